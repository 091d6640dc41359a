"""An object that looks different after any flip, exchange of axes, turn or shift."""

from __future__ import annotations

from phantoms.phantom import BONE_PER_MM, LUNG_PER_MM, WATER_PER_MM, Phantom
from phantoms.shapes import Body, Material, box, cylinder, ellipsoid, rotation, sphere

# No two of the bodies share a size, an activity or a distance from the origin along any axis.
SPOTS: tuple[tuple[str, Body, Material], ...] = (
    ("right ball", sphere((60, 9, -8), 13), Material(40, WATER_PER_MM)),
    ("anterior ball", sphere((-17, 38, 11), 10), Material(30, WATER_PER_MM)),
    ("superior ball", sphere((13, -16, 37), 8), Material(50, WATER_PER_MM)),
    (
        "left posterior rod",
        cylinder((-46, -30, -17), (9, 6), 34, rotation(25, 40)),
        Material(20, BONE_PER_MM),
    ),
    (
        "inferior plate",
        box((26, -35, -27), (34, 18, 12), rotation(15, -10, 35)),
        Material(0, LUNG_PER_MM),
    ),
    (
        "middle egg",
        ellipsoid((-5, 6, -34), (16, 11, 7), rotation(0, 20, -30)),
        Material(60, WATER_PER_MM),
    ),
)


def flip_finder(background: float = 10.0) -> Phantom:
    """Return six small bodies in a warm, cut and turned ellipsoid, 190 mm wide and 120 mm long.

    Each has its own label, so a volume is compared by the centroids of its labels.
    """
    warm = Material(background, WATER_PER_MM)
    head = ellipsoid((4, -3, 2), (95, 72, 60), rotation(8, -6, 14))
    bodies = [head.clipped((-0.6, 0.7, 0.4), 56).filled(warm, label=1)]
    names = {1: "background"}
    for label, (name, body, material) in enumerate(SPOTS, start=2):
        bodies.append(body.filled(material, inside=warm, label=label))
        names[label] = name
    return Phantom("flip-finder", tuple(bodies), names)
