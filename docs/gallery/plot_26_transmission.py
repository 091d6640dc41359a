"""
X-rays of few photons
=====================

The logarithm of few counts is biased, and has no value where nothing was counted. ``Transmission``
takes the counts themselves, Poisson about ``blank exp(-A mu) + background``. ``Mltr`` climbs its
likelihood, which never falls. Here 60 photons leave for each ray, and 6 scattered ones are added.
"""

from itertools import pairwise, repeat

import matplotlib.pyplot as plt
import numpy as np
from skimage.transform import iradon

import emrecon as em
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.priors.pairs import PairPrior, Pairs
from emrecon.tomo.priors.relative_difference import RelativeDifference
from phantoms.nema import nema
from phantoms.simulate import attenuation_factors

# %%
# The NEMA body, of water with a lung, in parallel beams: the exact share of each ray that comes
# through, then its counts.
s_mm = np.arange(-45, 46) * 4.0
bins = Bins.parallel(np.arange(120) * np.pi / 120, s_mm, slice_mm=4.0)
grid = bins.grid()
truth = nema().mu(grid).voxels
blank, scatter = np.full(bins.shape, 60.0), np.full(bins.shape, 6.0)
mean = blank * attenuation_factors(nema(), bins) + scatter
counts = np.random.default_rng(0).poisson(mean)

# %%
# With the logarithm, scatter is taken off first, and what is then below half a count is raised.
through = np.maximum(counts - scatter, 0.5) / blank
integrals = -np.log(through)[:, :, 0].T / 4.0
theta = np.rad2deg(bins.phi_rad)
filtered = iradon(integrals, theta, filter_name="hann")[::-1].T[:, :, None]

# %%
# From the counts, stopped early or with a prior. A run from zeros that stops too early is too low;
# ``epsilon`` is small against mu, in 1/mm.
rays = em.Transmission(em.projector(bins, grid, em.Settings()), counts, blank, scatter)
prior = PairPrior(250.0, RelativeDifference(2.0, 1e-4), Pairs.around(grid.spacing_mm))
nothing = np.zeros(grid.shape, np.float32)
stopped = em.last(em.until(em.em(repeat(em.Mltr(rays)), nothing), em.after(30)))
run = list(em.until(em.em(repeat(em.Mltr(rays, prior)), nothing), em.after(80)))
for before, after in pairwise(one.log_likelihood for one in run):
    assert after >= before - 1e-3

# %%
# The error is of all pixels; the bias that of the mean of the water.
water = (truth > 0.99 * truth.max()) & (np.hypot(*np.indices(grid.shape)[:2] - 45) > 12)
figure, panels = plt.subplots(1, 4, figsize=(11, 3.5), layout="constrained")
pictures = {
    "truth": truth,
    "log, filtered back-projection": filtered,
    "MLTR, 30 steps": stopped.params,
    "MLTR, relative difference": run[-1].params,
}
for axes, (title, mu) in zip(panels, pictures.items(), strict=True):
    error = np.sqrt(np.mean((mu - truth) ** 2)) / truth.max()
    bias = mu[water].mean() / truth[water].mean() - 1
    axes.imshow(mu[:, ::-1, 0].T, cmap="gray", vmin=0, vmax=1.3 * truth.max())
    axes.set(title=f"{title}\nerror {error:.1%}, bias {bias:+.1%}", xticks=[], yticks=[])
plt.show()
