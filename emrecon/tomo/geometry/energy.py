"""Energies that a scanner counts, and what Compton scatter makes of an annihilation photon."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emrecon.errors import GeometryError
from emrecon.gaussian import FWHM_PER_SIGMA

Floats = NDArray[np.float64]

REST_KEV = 510.999
"""Energy of an annihilation photon, which is the rest energy of an electron."""

LUTETIUM, BISMUTH = 0.88, 0.40
"""How fast the share of photons that leave all their energy in a block of 20 to 25 mm of LSO or
LYSO, or 30 mm of BGO, grows as their energy falls: the power of 511 keV over it. By Monte Carlo of
such blocks (``tests/benchmarks/crystals.py``), within 1 % between 400 and 511 keV."""


@dataclass(frozen=True)
class EnergyWindow:
    """The window in which photons count, and the blur with which their energy is measured."""

    low_kev: float
    """Lower limit."""

    high_kev: float
    """Upper limit."""

    resolution: float
    """FWHM of the measured energy at 511 keV as a share of it; it grows as the energy's root."""

    absorption: float = LUTETIUM
    """Power of 511 keV over the energy by which crystals take more of the photons whole; 0 for
    crystals that take all alike."""

    def __post_init__(self) -> None:
        if not (0 < self.low_kev < self.high_kev and 0 < self.resolution < 1):
            raise GeometryError(
                f"an energy window from {self.low_kev} to {self.high_kev} keV with a resolution "
                f"of {self.resolution} makes no sense: the resolution is a share, such as 0.15"
            )

    def accepts(self, kev: ArrayLike) -> Floats:
        """Return the probability that photons of these energies are counted.

        Relative to a photon at the lower limit, which is taken to leave all its energy. Those
        that leave a part do not count: in crystals and windows of PET they are under 1 %.
        """
        from scipy.special import ndtr  # noqa: PLC0415 - heavy

        energy = np.asarray(kev, float)
        sigma = self.resolution / FWHM_PER_SIGMA * np.sqrt(energy * REST_KEV)
        seen = ndtr((self.high_kev - energy) / sigma) - ndtr((self.low_kev - energy) / sigma)
        return np.asarray(seen * (self.low_kev / energy) ** self.absorption, float)


def scattered_kev(cosine: ArrayLike) -> Floats:
    """Return the energy of an annihilation photon after Compton scatter by an angle."""
    return REST_KEV / (2 - np.asarray(cosine, float))


def angular_density(cosine: ArrayLike) -> Floats:
    """Return the probability a steradian that a scattered annihilation photon is so deflected.

    The Klein-Nishina cross-section at 511 keV over its integral.
    """
    ratio = scattered_kev(cosine) / REST_KEV
    sine2 = 1 - np.square(np.asarray(cosine, float))
    shape = ratio * (1 - ratio * sine2 + ratio**2)
    return np.asarray(shape / (2 * np.pi * (40 / 9 - 3 * np.log(3))), float)


def relative_attenuation(kev: ArrayLike) -> Floats:
    """Return the Klein-Nishina cross-section over that at 511 keV: how mu grows as energy falls.

    Photoelectric absorption is left out, which in tissue is below 1 % of mu above 200 keV.
    """
    return _total(np.asarray(kev, float) / REST_KEV) / _total(np.asarray(1.0))


def _total(a: Floats) -> Floats:
    """Return the total Klein-Nishina cross-section in units of 2 pi r_e^2."""
    log = np.log1p(2 * a)
    return np.asarray(
        (1 + a) / a**2 * (2 * (1 + a) / (1 + 2 * a) - log / a)
        + log / (2 * a)
        - (1 + 3 * a) / (1 + 2 * a) ** 2,
        float,
    )
