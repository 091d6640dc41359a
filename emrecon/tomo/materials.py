"""Attenuation maps at the emission energy from CT, and the coefficients they come from."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emrecon.errors import DataError, SettingsError
from emrecon.volume import Volume

_KEV = (100.0, 150.0, 200.0, 300.0, 400.0, 500.0, 600.0, 800.0)

_PER_MASS: dict[str, tuple[float, tuple[float, ...]]] = {
    "water": (1.00, (0.1707, 0.1505, 0.1370, 0.1186, 0.1061, 0.09687, 0.08956, 0.07865)),
    "bone": (1.92, (0.1855, 0.1480, 0.1309, 0.1113, 0.09908, 0.09022, 0.08332, 0.07308)),
    "lead": (11.35, (5.549, 2.014, 0.9985, 0.4031, 0.2323, 0.1614, 0.1248, 0.08870)),
    "tungsten": (19.30, (4.438, 1.581, 0.7844, 0.3238, 0.1925, 0.1378, 0.1093, 0.08066)),
}
"""Density in g/cm3, and mass attenuation coefficients in cm2/g at the energies above, of water,
cortical bone (ICRU 44), lead and tungsten: J. H. Hubbell and S. M. Seltzer, NISTIR 5632."""

BONE_HU = {80: 2077.0, 100: 1707.0, 110: 1537.0, 120: 1482.0, 130: 1372.0, 140: 1340.0}
"""CT number of cortical bone by kVp: from the slopes for bone at 511 keV of J. P. J. Carney et
al., Med. Phys. 33, 976 (2006), table I, and the coefficients of water and cortical bone above."""

AIR_HU = -1000.0


def attenuation_per_mm(material: str, energy_kev: float) -> float:
    """Return the linear attenuation coefficient of a material, 1/mm.

    Interpolated along energy by a cubic spline of the logarithms, 100 to 800 keV; narrow beam,
    coherent scatter included.

    Raises
    ------
    SettingsError
        If material or energy are not in the tables.
    """
    from scipy.interpolate import CubicSpline  # noqa: PLC0415 - heavy

    if material not in _PER_MASS:
        raise SettingsError(f"attenuation is known of {', '.join(_PER_MASS)}, not of {material!r}")
    if not _KEV[0] <= energy_kev <= _KEV[-1]:
        raise SettingsError(
            f"attenuation is known from {_KEV[0]:g} to {_KEV[-1]:g} keV, not at {energy_kev:g} keV"
        )
    density, per_mass = _PER_MASS[material]
    curve = CubicSpline(np.log(_KEV), np.log(per_mass))
    return float(np.exp(curve(np.log(energy_kev))) * density / 10)


def mu_of_hu(hu: ArrayLike, energy_kev: float, kvp: float) -> NDArray[np.float32]:
    """Return the attenuation coefficient at the emission energy of CT numbers, 1/mm.

    The bilinear rule [1]_: mixtures of air and water below 0 HU, of water and cortical bone above.

    Parameters
    ----------
    hu : array_like
        CT numbers in Hounsfield units.
    energy_kev : float
        Energy of the photons that are imaged.
    kvp : float
        Tube voltage of the CT, on which the CT number of bone depends.

    References
    ----------
    .. [1] C. Bai et al., "A generalized model for the conversion from CT numbers to linear
       attenuation coefficients", IEEE Trans. Nucl. Sci. 50, 1510 (2003).
    """
    if not min(BONE_HU) <= kvp <= max(BONE_HU):
        raise SettingsError(
            f"CT numbers of bone are known from {min(BONE_HU)} to {max(BONE_HU)} kVp, not at {kvp}"
        )
    bone_hu = np.interp(kvp, list(BONE_HU), list(BONE_HU.values()))
    water = attenuation_per_mm("water", energy_kev)
    bone = attenuation_per_mm("bone", energy_kev)
    values = np.asarray(hu, np.float32)
    slope = np.where(values > 0, (bone - water) / bone_hu, water / -AIR_HU).astype(np.float32)
    return np.asarray(np.maximum(slope * values + np.float32(water), 0), np.float32)


def mu_map(ct: Volume, energy_kev: float, kvp: float) -> Volume:
    """Return a CT in Hounsfield units as an attenuation map in 1/mm, on the CT's own voxels.

    Raises
    ------
    DataError
        If the values cannot be Hounsfield units.
    SettingsError
        If energy or kVp are beyond what is known.
    """
    low, high = float(np.min(ct.voxels)), float(np.max(ct.voxels))
    if not np.isfinite(low + high) or low > -500 or high > 40000:
        raise DataError(
            f"the CT's values run from {low:g} to {high:g}: Hounsfield units have air near -1000; "
            "apply the rescale slope and intercept first, or give a mu-map"
        )
    return Volume(mu_of_hu(ct.voxels, energy_kev, kvp), ct.affine, "1/mm")
