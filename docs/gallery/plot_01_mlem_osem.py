"""
MLEM and OSEM
=============

A slice of the Shepp-Logan phantom is counted and reconstructed twice: by MLEM, which uses all the
views for every update, and by OSEM, which uses a subset of them and so updates more often.
"""

import matplotlib.pyplot as plt
import numpy as np

import emrecon as em
from emrecon.tomo.geometry.bins import Bins
from phantoms.shepp_logan import shepp_logan

# %%
# A scan. 96 views of 101 bins, 2 mm apart, of one slice; two million counts. Line integrals of
# the phantom are exact: it is not projected by the projector that reconstructs.
angles = np.arange(96) * np.pi / 96
bins = Bins.parallel(angles, np.arange(-50, 51) * 2.0, slice_mm=2.0)
made = em.simulate(
    shepp_logan(100),
    bins,
    counts=2e6,
    rng=np.random.default_rng(0),
    attenuate=False,
)

# %%
# ``prepare`` makes one likelihood for each subset and a start image; ``iterates`` is the loop,
# which we hold: ``until`` says when it is enough.
runs = {}
for subsets in (1, 8):
    problem = em.prepare(made.scan, em.Settings(subsets=subsets))
    updates = 16 if subsets == 1 else 8 * 16
    runs[subsets] = list(em.until(problem.iterates(), em.after(updates)))

# %%
# After 2 passes over the data OSEM with 8 subsets has made 16 updates and shows what MLEM shows
# after 16 passes.
figure, panels = plt.subplots(1, 4, figsize=(10, 3), layout="constrained")
shown = {
    "MLEM, 2 passes": runs[1][2],
    "MLEM, 16 passes": runs[1][16],
    "OSEM, 2 passes": runs[8][16],
}
top = made.truth.voxels.max()
for axes, (title, iterate) in zip(panels, shown.items(), strict=False):
    axes.imshow(iterate.params[:, ::-1, 0].T, cmap="gray_r", vmin=0, vmax=top)
    axes.set(title=title, xticks=[], yticks=[])
whole = em.prepare(made.scan, em.Settings(subsets=1)).models[0]
for subsets, run in runs.items():
    passes = run[::subsets]
    reached = [whole.expect(one.params)[1] for one in passes]
    panels[3].plot(reached, label="MLEM" if subsets == 1 else "OSEM")
panels[3].set(xlabel="passes over the data", ylabel="log-likelihood", ylim=(reached[1], None))
panels[3].legend()
plt.show()
