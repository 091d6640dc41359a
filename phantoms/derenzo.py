"""Hot rods in six sectors (S. E. Derenzo 1977; the Jaszczak phantom).

Default diameters and length are those of the "Deluxe" Jaszczak insert: 4.8 to 12.7 mm, 88 mm.
"""

from __future__ import annotations

import numpy as np

from emrecon.errors import GeometryError
from phantoms.phantom import WATER_PER_MM, Phantom
from phantoms.shapes import Material, cylinder


def derenzo(
    diameters_mm: tuple[float, ...] = (4.8, 6.4, 7.9, 9.5, 11.1, 12.7),
    radius_mm: float = 108.0,
    length_mm: float = 88.0,
    background: float = 1.0,
    contrast: float = 8.0,
) -> Phantom:
    """Return rods along z on triangular lattices, twice their diameter apart.

    Parameters
    ----------
    diameters_mm : tuple of float, optional
        Rod diameter of each of the six sectors, counter-clockwise from azimuth 0.
    radius_mm, length_mm : float, optional
        Size of the cylinder that holds the rods.
    background : float, optional
        Activity between the rods.
    contrast : float, optional
        Activity of the rods over that of the background; the rods hold `contrast` itself where
        the background is 0.
    """
    if len(diameters_mm) != 6:
        raise GeometryError(f"six sectors need six rod diameters, not {len(diameters_mm)}")
    water = Material(background, WATER_PER_MM)
    hot = Material(contrast * (background or 1.0), WATER_PER_MM)
    body = cylinder((0, 0, 0), (radius_mm, radius_mm), length_mm)
    bodies, names = [body.filled(water, label=1)], {1: "background"}
    for sector, diameter in enumerate(diameters_mm):
        names[sector + 2] = f"rods {diameter:g} mm"
        centres = rod_centres(diameter, radius_mm, np.deg2rad(60 * sector + 30))
        if not centres:
            raise GeometryError(f"no rod of {diameter} mm fits in a radius of {radius_mm} mm")
        for x, y in centres:
            rod = cylinder((x, y, 0), (diameter / 2, diameter / 2), length_mm)
            bodies.append(rod.filled(hot, inside=water, label=sector + 2))
    return Phantom("derenzo", tuple(bodies), names)


def rod_centres(
    diameter_mm: float, radius_mm: float, bisector_rad: float
) -> list[tuple[float, float]]:
    """Return where the rods of the sector around one azimuth stand, from the axis outwards."""
    pitch = 2 * diameter_mm
    edges = [
        pitch * np.array([np.cos(bisector_rad + turn), np.sin(bisector_rad + turn)])
        for turn in (-np.pi / 6, np.pi / 6)
    ]
    first = (edges[0] + edges[1]) / np.sqrt(3)  # one pitch out: half a pitch from both sides
    rows = int(radius_mm / pitch) + 1
    centres = [first + i * edges[0] + j * edges[1] for i in range(rows) for j in range(rows)]
    limit = radius_mm - diameter_mm  # half a diameter of background outside the last rod
    return [(float(x), float(y)) for x, y in centres if np.hypot(x, y) <= limit]
