"""
Priors
======

At few counts MLEM fits noise. A prior takes away what is unlikely in an image: relative
differences of neighbours, total variation, or edges where an anatomical image has none. The
algorithm that maximises the log-likelihood less the prior is the same for all of them;
``recon --prior rdp`` does this for any scan.
"""

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import emrecon as em
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.penalised import Penalised
from emrecon.tomo.penalty import Penalty
from phantoms.shepp_logan import shepp_logan

bins = Bins.parallel(np.arange(48) * np.pi / 48, np.arange(-50, 51) * 2.0, slice_mm=2.0)
made = em.simulate(
    shepp_logan(100), bins, counts=3e5, rng=np.random.default_rng(0), attenuate=False
)
problem = em.prepare(made.scan, em.Settings(subsets=8))

# %%
# The anatomy shows the borders of the regions, at brightnesses of its own.
anatomy = np.sqrt(made.labels.voxels)
anatomy += np.random.default_rng(1).normal(0, 0.02, anatomy.shape)
priors = {
    "OSEM": None,
    "relative difference": Penalised(Penalty("rdp")),
    "total variation": Penalised(Penalty("tv")),
    "parallel level sets": Penalised(
        Penalty("pls", anatomy=(Path("anatomy"),)), anatomy=anatomy[None]
    ),
}

# %%
# Eight passes each. The strength is left out: it then follows from what the data know of a voxel,
# and from how many neighbours it has. OSEM is past its best image by the second pass.
figure, panels = plt.subplots(2, 4, figsize=(10, 5.4), layout="constrained")
top = made.truth.voxels.max()
field = made.labels.voxels > 0
for (above, below), (name, prior) in zip(panels.T, priors.items(), strict=True):
    run = list(em.until(replace(problem, penalised=prior).iterates(), em.after(8 * 8)))
    errors = [
        np.sqrt(np.mean((one.params - made.truth.voxels)[field] ** 2))
        / made.truth.voxels[field].mean()
        for one in run[8::8]
    ]
    above.imshow(run[-1].params[:, ::-1, 0].T, cmap="gray_r", vmin=0, vmax=top)
    above.set(title=name, xticks=[], yticks=[])
    below.plot(range(1, 9), errors)
    below.set(xlabel="passes", ylim=(0, 0.8), title=f"error {errors[-1]:.2f}")
panels[1, 0].set(ylabel="root mean square error over mean")
plt.show()
