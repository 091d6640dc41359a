"""
How sure is a region's mean?
============================

One scan gives one image; another scan of the same body would give another. The bootstrap draws
counts from the counts and reconstructs again, and the spread of what comes out is the standard
error. At the maximum of a penalised likelihood, its curvature tells the same without another
reconstruction. In a simulation both can be held against what many scans show. From files,
``emrecon recon scan --regions labels.nii.gz`` writes the table.
"""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

import emrecon as em
from emrecon.tomo.draw import Draw
from emrecon.tomo.penalised import Penalised
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.uncertainty import (
    at_maximum,
    drawn_again,
    filtered,
    fwhm_mm,
    response_of_stopped,
)
from phantoms import brain
from phantoms.acquisition import Acquisition

# %%
# The brain on some rings of an ECAT HR+, and three balls of 20 mm: grey matter in front and
# on the left, and white matter.
like = Acquisition(views=36, bins=144, span=9, max_ring_difference=4, counts=1e6, spread=0)
made = like.scan(brain())
settings = em.Settings(
    voxel_mm=(5.0, 5.0, 4.85), size=(36, 42, 31), subsets=6, iterations=4, post_fwhm_mm=(6.0,)
)
problem = em.prepare(made.scan, settings)
grid = problem.grid
x, y, z = np.meshgrid(*(grid.centres_mm(axis) for axis in range(3)), indexing="ij")
places = {"front": (0, 76, 0), "left": (-58, 0, 0), "white": (35, 0, 20)}
balls = [(x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2 < 10**2 for a, b, c in places.values()]
weights = [(ball / ball.sum()).astype(np.float32) for ball in balls]


def reconstructed(one):
    """Return the image before the filter."""
    return em.last(em.until(one.iterates(), *one.enough())).params


def means(one, image):
    """Return the means of the balls after the filter."""
    return [float(np.sum(w * filtered(one, image))) for w in weights]


# %%
# OSEM with a filter: the bootstrap of one scan, and the spread of as many scans.
draws = 8
again = [drawn_again(problem, Draw(1, number)) for number in range(draws)]
bootstrap = np.std([means(one, reconstructed(one)) for one in again], axis=0, ddof=1)

rng = np.random.default_rng(2)
values = []
for _ in range(draws):
    counts = rng.poisson(made.mean).astype(np.float32)
    other = em.prepare(made.scan.with_(prompts=counts), settings)
    values.append(means(other, reconstructed(other)))
spread = np.std(values, axis=0, ddof=1)

# %%
# The relative difference prior at its maximum: by curvature.
prior = replace(
    problem, penalised=Penalised(Penalty("rdp", 3e-3)), settings=replace(settings, iterations=8)
)
maximum = at_maximum(prior, reconstructed(prior))
curved = [np.sqrt(maximum.variance(w)) for w in weights]

# %%
# What becomes of a point, in white matter.
point = np.zeros(grid.shape, np.float32)
at = tuple(int(np.argmin(np.abs(grid.centres_mm(a) - places["white"][a]))) for a in range(3))
point[at] = 1
spots = {
    "OSEM and filter": filtered(problem, response_of_stopped(problem, point, 24)),
    "prior": maximum.response(point),
}
widths = {name: fwhm_mm(spot, at, grid.spacing_mm) for name, spot in spots.items()}

image = reconstructed(problem)
levels, smooth = means(problem, image), [float(np.sum(w * maximum.image)) for w in weights]
for name, level, own, others, curve, flat in zip(
    places, levels, bootstrap, spread, curved, smooth, strict=True
):
    print(f"{name:7s} OSEM {level:.4f} +- {own:.4f} (of {draws} scans {others:.4f}), "
          f"prior {flat:.4f} +- {curve:.4f}")  # fmt: skip
print("a point becomes", ", ".join(f"{width:.0f} mm wide ({n})" for n, width in widths.items()))

# %%
# Eight draws know a standard error to 27 %. The prior buys smaller ones with a wider response.
figure, panels = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
panels[0].imshow(filtered(problem, image)[::-1, ::-1, 15].T, cmap="gray_r")
panels[0].contour(np.sum(balls, axis=0)[::-1, ::-1, 15].T, [0.5], colors="tab:red")
panels[0].set(title="OSEM, filter of 6 mm", xticks=[], yticks=[])
at_x = np.arange(len(places))
panels[1].bar(at_x - 0.27, 100 * bootstrap / levels, 0.25, label="OSEM, bootstrap of one")
panels[1].bar(at_x, 100 * spread / levels, 0.25, label=f"OSEM, {draws} scans")
panels[1].bar(at_x + 0.27, 100 * np.divide(curved, smooth), 0.25, label="prior, curvature")
panels[1].set(xticks=at_x, xticklabels=places, ylabel="standard error, %")
panels[1].legend(fontsize="x-small")
for name, spot in spots.items():
    line = spot[:, at[1], at[2]]
    panels[2].plot(grid.centres_mm(0), line / line.max(), label=f"{name}, {widths[name]:.0f} mm")
panels[2].set(xlim=(0, 70), xlabel="x, mm", title="a point in white matter")
panels[2].legend(fontsize="x-small")
plt.show()
