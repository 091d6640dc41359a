"""A head of tissue classes with the activity of an FDG scan, made of ellipsoids.

Sizes are rounded ones of an adult head. Every body lies wholly in one parent or beside its
sisters, so each point is of exactly one class. Left and right differ a little everywhere.
"""

from __future__ import annotations

from phantoms.phantom import BONE_PER_MM, BRAIN_PER_MM, WATER_PER_MM, Phantom
from phantoms.shapes import Body, Material, ellipsoid, rotation

CLASSES = {
    1: "scalp",
    2: "skull",
    3: "cerebrospinal fluid",
    4: "grey matter",
    5: "white matter",
    6: "deep grey nuclei",
    7: "cerebellum",
    8: "air",
}
"""Tissue class of each label."""

FLOOR_MM = -28.0
"""Height of the plane between the hemispheres and what lies below them."""


def brain(grey: float = 20.0, white: float = 5.0) -> Phantom:
    """Return the head, 196 mm long and 158 mm wide, the middle of the brain at the origin.

    Parameters
    ----------
    grey, white : float, optional
        Activity of grey and of white matter; FDG gives about 4 to 1. Deep nuclei hold 1.1 and
        the cerebellum 0.9 times the activity of grey matter.
    """
    scalp, skull = Material(0.2 * grey, BRAIN_PER_MM), Material(0.1 * grey, BONE_PER_MM)
    fluid, air = Material(0.05 * grey, WATER_PER_MM), Material()
    tissue = {
        4: Material(grey, BRAIN_PER_MM),
        5: Material(white, BRAIN_PER_MM),
        6: Material(1.1 * grey, BRAIN_PER_MM),
        7: Material(0.9 * grey, BRAIN_PER_MM),
    }
    bodies = [
        ellipsoid((0, 0, 0), (79, 98, 92)).filled(scalp, label=1),
        ellipsoid((0, -1, 0), (73, 92, 86)).filled(skull, inside=scalp, label=2),
        ellipsoid((1, -1, 0), (66, 85, 79)).filled(fluid, inside=skull, label=3),
        ellipsoid((4, 40, -50), (10, 12, 7)).filled(air, inside=fluid, label=8),
    ]
    cortex = [*hemisphere(1.0, 64, 82, 76), *hemisphere(-1.0, 62, 81, 75)]
    bodies += [body.filled(tissue[4], inside=fluid, label=4) for body in cortex]
    pulp = [*hemisphere(1.0, 54, 72, 67, 5), *hemisphere(-1.0, 52.5, 71, 66, 5)]
    bodies += [body.filled(tissue[5], inside=tissue[4], label=5) for body in pulp]
    bodies += [body.filled(tissue[6], inside=tissue[5], label=6) for body in nuclei()]
    bodies += [body.filled(fluid, inside=tissue[5], label=3) for body in ventricles()]
    below = ellipsoid((0, -38, -38), (40, 27, 20)).clipped((0, 0, 1), FLOOR_MM - 2)
    bodies.append(below.filled(tissue[7], inside=fluid, label=7))
    return Phantom("brain", tuple(bodies), CLASSES)


def hemisphere(side: float, x: float, y: float, z: float, inset_mm: float = 0.0) -> list[Body]:
    """Return the upper part and the temporal lobe of the right (+1) or left (-1) hemisphere.

    `x`, `y` and `z` are the semi-axes of the upper part; `inset_mm` keeps white matter away from
    the flat sides of the grey matter around it.
    """
    upper = ellipsoid((0, 0, 0), (x, y, z)).clipped((-side, 0, 0), -1.5 - inset_mm)
    lobe = ellipsoid(
        (side * 34, 14, -36),
        (17 - inset_mm + side, 30 - inset_mm, 18 - inset_mm),
        rotation(z_deg=-8 * side),
    )
    return [
        upper.clipped((0, 0, -1), -FLOOR_MM - inset_mm),
        lobe.clipped((0, 0, 1), FLOOR_MM - 1 - inset_mm),
    ]


def nuclei() -> list[Body]:
    """Return caudate head, putamen and thalamus of both sides."""
    bodies = []
    for side, size in ((1.0, 1.0), (-1.0, 0.92)):
        caudate = ellipsoid((side * 13, 22, 8), (4.5 * size, 10 * size, 7 * size))
        turn = rotation(z_deg=-12 * side)
        putamen = ellipsoid((side * 26, 6, 2), (5.5 * size, 15 * size, 9 * size), turn)
        thalamus = ellipsoid((side * 13, -14, 4), (6.5 * size, 10 * size, 7.5 * size))
        bodies += [caudate, putamen, thalamus]
    return bodies


def ventricles() -> list[Body]:
    """Return the two lateral ventricles, above the nuclei; the right one is the larger."""
    return [
        ellipsoid((14, -2, 24), (5.5, 30, 7), rotation(-6, 0, -7)),
        ellipsoid((-13, -3, 24), (4.5, 27, 6), rotation(-6, 0, 7)),
    ]
