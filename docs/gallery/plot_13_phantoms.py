"""
Phantoms with exact line integrals
==================================

A phantom is a list of bodies: ellipsoids, cylinders, boxes. Their line integrals are formulas, so
a simulated scan knows no voxels, and a reconstruction is held against something that its own
projector did not make.
"""

import matplotlib.pyplot as plt

from emrecon.volume import Grid
from phantoms.brain import brain
from phantoms.derenzo import derenzo
from phantoms.flip_finder import flip_finder
from phantoms.nema import nema
from phantoms.phantom import WATER_PER_MM, Phantom
from phantoms.shapes import Material, box, cylinder, ellipsoid

# %%
# One of your own: a box of water with a tilted hot ellipsoid and a cold rod.
water = Material(1.0, WATER_PER_MM)
tank = box((0, 0, 0), (160, 120, 80)).filled(water, label=1)
hot = ellipsoid((-20, 10, 0), (30, 12, 20)).filled(
    Material(4.0, WATER_PER_MM), inside=water, label=2
)
rod = cylinder((40, -10, 0), (10, 10), 30).filled(
    Material(0.0, WATER_PER_MM), inside=water, label=3
)
own = Phantom("tank", (tank, hot, rod), {1: "water", 2: "hot", 3: "rod"})

# %%
# Voxels are means over each voxel's volume, so partial volume at edges is right.
shown = {
    "own": (own, 100, 0),
    "NEMA image quality": (nema(), 180, 0),
    "Derenzo": (derenzo(), 110, 0),
    "brain": (brain(), 100, 5),
    "flip finder": (flip_finder(), 150, 0),
}
figure, panels = plt.subplots(1, 5, figsize=(12, 2.8), layout="constrained")
for axes, (title, (phantom, half, z)) in zip(panels, shown.items(), strict=True):
    size = 2 * half / 128
    grid = Grid((128, 128, 1), (size, size, 2.0), (-half + size / 2, -half + size / 2, z))
    plane = phantom.activity(grid, samples=3).voxels[:, ::-1, 0].T
    axes.imshow(plane, cmap="gray_r")
    axes.set(title=title, xticks=[], yticks=[])
plt.show()
