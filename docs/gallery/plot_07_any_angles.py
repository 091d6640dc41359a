"""
Few and uneven angles
=====================

Nothing in EM asks for even angles, nor for many. Views are rows of a model; those that are missing
are not asked.
"""

import matplotlib.pyplot as plt
import numpy as np

import emrecon as em
from emrecon.tomo.geometry.bins import Bins
from phantoms.shepp_logan import shepp_logan

rng = np.random.default_rng(1)
choices = {
    "120 even views": np.arange(120) * np.pi / 120,
    "31 uneven views": np.sort(rng.uniform(0, np.pi, 31)),
    "a gap of 60 degrees": np.arange(80) * np.pi / 120,
}
figure, panels = plt.subplots(1, 3, figsize=(9, 3.3), layout="constrained")
for axes, (title, angles) in zip(panels, choices.items(), strict=True):
    bins = Bins.parallel(angles, np.arange(-50, 51) * 2.0, slice_mm=2.0)
    made = em.simulate(shepp_logan(100), bins, counts=2e6, rng=rng, attenuate=False)
    image = em.recon(made.scan, em.Settings(subsets=1, iterations=25))
    scale = made.facts["counts_per_mm_per_unit"]
    axes.imshow(image.voxels[:, ::-1, 0].T / scale, cmap="gray_r")
    axes.set(title=title, xticks=[], yticks=[])
plt.show()
