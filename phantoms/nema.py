"""The image-quality phantom of NEMA NU 2 (the IEC 61675-1 body phantom).

Figures: NEMA Standards Publication NU 2, section 7, and IEC 61675-1. The inside of the body is a
half circle of 147 mm radius over two quarter circles of 77 mm joined by 140 mm, 194 mm long;
the six spheres' centres lie on a circle of 114.4 mm around the lung insert's axis, 35 mm above
the flat of the half circle, in one plane 70 mm from one end. Walls (3 mm of acrylic, 1 mm of
glass) and filling stems are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emrecon.errors import GeometryError
from phantoms.phantom import LUNG_PER_MM, WATER_PER_MM, Phantom
from phantoms.shapes import Body, Material, box, cylinder, sphere

DIAMETERS_MM = (37.0, 28.0, 22.0, 17.0, 13.0, 10.0)
"""Inner diameters of the spheres, in their order around the circle."""

RING_MM = 114.4 / 2
"""Distance of the spheres' centres from the lung insert's axis."""

RAISED_MM = 35.0
"""Height of the lung insert's axis over the flat of the half circle."""

PLANE_MM = 70.0
"""Distance of the spheres' plane from the body's upper end."""


def nema(
    background: float = 5.0,
    contrast: float = 4.0,
    *,
    cold: bool = False,
    length_mm: float = 194.0,
    first_deg: float = 180.0,
) -> Phantom:
    """Return the NEMA image-quality phantom with the spheres' plane at z = 0.

    The lung insert's axis is the scanner's axis, which is also the middle of the body's height.

    Parameters
    ----------
    background : float, optional
        Activity of the body.
    contrast : float, optional
        Activity of hot spheres over `background`; the standard asks for 4 or 8.
    cold : bool, optional
        Whether the two largest spheres hold no activity, as in editions before 2018.
    length_mm : float, optional
        Inner length of the body; the standard asks for at least 180 mm.
    first_deg : float, optional
        Azimuth of the largest sphere; the others follow in steps of 60 degrees.

    Raises
    ------
    GeometryError
        If the body is too short to hold the largest sphere.
    """
    least = PLANE_MM + DIAMETERS_MM[0] / 2
    if not length_mm >= least:
        raise GeometryError(
            f"a body of {length_mm} mm does not hold the spheres: give {least} or more"
        )
    water = Material(background, WATER_PER_MM)
    bodies = [body.filled(water, label=1) for body in torso(length_mm)]
    middle = PLANE_MM - length_mm / 2
    insert = cylinder((0, 0, middle), (25, 25), length_mm)
    bodies.append(insert.filled(Material(0.0, LUNG_PER_MM), inside=water, label=2))
    names = {1: "background", 2: "lung insert"}
    for label, (shape, diameter) in enumerate(
        zip(spheres(first_deg), DIAMETERS_MM, strict=True), start=3
    ):
        hot = 0.0 if cold and diameter > 25 else background * contrast
        bodies.append(shape.filled(Material(hot, WATER_PER_MM), inside=water, label=label))
        names[label] = f"sphere {diameter:.0f} mm"
    return Phantom("nema", tuple(bodies), names)


def torso(length_mm: float) -> Sequence[Body]:
    """Return the four parts of the body, side by side."""
    z, flat = PLANE_MM - length_mm / 2, -RAISED_MM
    upper = cylinder((0, flat, z), (147, 147), length_mm).clipped((0, -1, 0), -flat)
    left = cylinder((-70, flat, z), (77, 77), length_mm).clipped((1, 0, 0), -70)
    right = cylinder((70, flat, z), (77, 77), length_mm).clipped((-1, 0, 0), -70)
    below = [side.clipped((0, 1, 0), flat) for side in (left, right)]
    return [upper, *below, box((0, flat - 38.5, z), (140, 77, length_mm))]


def spheres(first_deg: float = 180.0) -> list[Body]:
    """Return the six spheres, the largest first."""
    angles = np.deg2rad(first_deg + 60 * np.arange(len(DIAMETERS_MM)))
    return [
        sphere((RING_MM * float(np.cos(at)), RING_MM * float(np.sin(at)), 0), diameter / 2)
        for at, diameter in zip(angles, DIAMETERS_MM, strict=True)
    ]
