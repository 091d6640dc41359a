"""The three-dimensional Shepp-Logan head, with activities to reconstruct.

Ellipsoids: A. C. Kak and M. Slaney, "Principles of Computerized Tomographic Imaging", IEEE Press
1988, table 3.1 (p. 102) with the authors' errata. Their densities, made for CT, differ by 1-2 %;
the activities are this project's, with the signs of the originals.
"""

from __future__ import annotations

from emrecon.errors import SettingsError
from phantoms.phantom import BONE_PER_MM, WATER_PER_MM, Phantom
from phantoms.shapes import ellipsoid, rotation

# name, semi-axes, centre (units of the head's half-size), turn about z in degrees, added activity
ELLIPSOIDS = (
    ("skull", (0.69, 0.92, 0.90), (0.0, 0.0, 0.0), 0.0, 10.0),
    ("brain", (0.6624, 0.874, 0.88), (0.0, 0.0, 0.0), 0.0, -6.0),
    ("left ventricle", (0.41, 0.16, 0.21), (-0.22, 0.0, -0.25), 108.0, -2.0),
    ("right ventricle", (0.31, 0.11, 0.22), (0.22, 0.0, -0.25), 72.0, -2.0),
    ("large tumour", (0.21, 0.25, 0.50), (0.0, 0.35, -0.25), 0.0, 2.0),
    ("round tumour", (0.046, 0.046, 0.046), (0.0, 0.1, -0.25), 0.0, 2.0),
    ("left small tumour", (0.046, 0.023, 0.02), (-0.08, -0.65, -0.25), 0.0, 1.0),
    ("right small tumour", (0.046, 0.023, 0.02), (0.06, -0.65, -0.25), 90.0, 1.0),
    ("upper tumour", (0.056, 0.04, 0.10), (0.06, -0.105, 0.625), 90.0, 2.0),
    ("upper cavity", (0.056, 0.056, 0.10), (0.0, 0.1, 0.625), 0.0, -2.0),
)


def shepp_logan(half_size_mm: float = 110.0, contrast: float = 1.0) -> Phantom:
    """Return the Shepp-Logan head: bright rim, warm inside, everything above zero.

    Parameters
    ----------
    half_size_mm : float, optional
        Half the cube that holds the head; the head is 0.92 of it high.
    contrast : float, optional
        What the added activities inside the brain are multiplied by, above 0 and at most 1.

    Raises
    ------
    SettingsError
        If the contrast is outside that range: more would make activities below zero.
    """
    if not 0 < contrast <= 1:
        raise SettingsError(f"the contrast is above 0 and at most 1, not {contrast}")
    bodies = []
    for label, (_, axes, centre, turn, activity) in enumerate(ELLIPSOIDS, start=1):
        shape = ellipsoid(centre, axes, rotation(z_deg=turn)).scaled(half_size_mm)
        mu = {1: BONE_PER_MM, 2: WATER_PER_MM - BONE_PER_MM}.get(label, 0.0)
        added = activity if label <= 2 else activity * contrast
        bodies.append(shape.adding(added, mu, label))
    names = {label: row[0] for label, row in enumerate(ELLIPSOIDS, start=1)}
    return Phantom("shepp-logan", tuple(bodies), names)
