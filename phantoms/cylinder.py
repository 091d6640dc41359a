"""A cylinder of uniform activity in water."""

from __future__ import annotations

from phantoms.phantom import WATER_PER_MM, Phantom
from phantoms.shapes import Material, cylinder


def uniform_cylinder(
    radius_mm: float = 100.0,
    length_mm: float = 200.0,
    activity: float = 10.0,
    mu_per_mm: float = WATER_PER_MM,
) -> Phantom:
    """Return a uniform cylinder along the scanner's axis, 20 cm wide and long by default."""
    body = cylinder((0, 0, 0), (radius_mm, radius_mm), length_mm)
    return Phantom(
        "cylinder", (body.filled(Material(activity, mu_per_mm), label=1),), {1: "cylinder"}
    )
