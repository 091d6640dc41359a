"""
Noise and iterations
====================

MLEM sharpens an image with every iteration, and makes it noisier. Where to stop? With the truth at
hand one can look; without it, one stops early, or goes on and filters afterwards.
"""

import matplotlib.pyplot as plt
import numpy as np

import emrecon as em
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.operators.blur import Blur
from phantoms.shepp_logan import shepp_logan

angles = np.arange(96) * np.pi / 96
bins = Bins.parallel(angles, np.arange(-50, 51) * 2.0, slice_mm=2.0)
phantom = shepp_logan(100)


def error(image, truth):
    """Return the root mean square error as a share of the truth's mean."""
    return float(np.sqrt(np.mean((image - truth) ** 2)) / truth.mean())


# %%
# The same phantom with few, more and many counts; the error of every iterate, as it is and after a
# Gaussian filter of 5 mm.
figure, panels = plt.subplots(1, 3, figsize=(10, 3.2), sharey=True, layout="constrained")
for axes, counts in zip(panels, (1e5, 1e6, 1e7), strict=True):
    rng = np.random.default_rng(0)
    made = em.simulate(phantom, bins, counts=counts, rng=rng, attenuate=False)
    problem = em.prepare(made.scan, em.Settings(subsets=2))
    blur = Blur(problem.grid, (5.0, 5.0, 0.0))
    truth = made.truth.voxels
    plain, filtered = [], []
    for one in em.until(problem.iterates(), em.after(2 * 30)):
        if one.number % 2 == 0:
            plain.append(error(one.params, truth))
            filtered.append(error(blur.forward(one.params), truth))
    axes.plot(plain, label="as it is")
    axes.plot(filtered, label="filtered, 5 mm")
    best = int(np.argmin(plain))
    axes.plot(best, plain[best], "o", color="C0")
    axes.set(title=f"{counts:.0e} counts: best after {best}", xlabel="iteration")
panels[0].set(ylabel="error against the truth", ylim=(0, 1.5))
panels[0].legend()
plt.show()
