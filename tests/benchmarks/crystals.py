"""How often crystals take all of a photon's energy, by energy: the exponents of `EnergyWindow`.

``python -m tests.benchmarks.crystals`` follows photons that meet a block of crystals head on,
anywhere on its face, until they are absorbed or leave it, and fits the share of those that leave
all their energy by a power of 511 keV over the energy, from the lower limit of the window on. It
also tells how many photons of 511 keV count at all, and how many of these left a part of their
energy: two Compton scatters and an escape.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from emrecon.tomo.geometry.energy import REST_KEV, EnergyWindow, relative_attenuation
from emrecon.tomo.geometry.presets import DISCOVERY_MI_4, HR_PLUS, INVEON, MMR, VISION_600

Floats = NDArray[np.float64]

PHOTONS = 400_000
LEAST_KEV = 60.0
"""Energy below which a photon is taken to go no further."""

KEVS = (100.0, 200.0, 300.0, 400.0, 511.0)
MATERIALS = {
    "LSO": (7.40, (0.0, 0.32283, 0.10839, 0.05143, 0.02806), 0.05389),
    "LYSO": (7.10, (0.0, 0.29231, 0.09807, 0.04651, 0.02537), 0.05199),
    "BGO": (7.13, (0.0, 0.42659, 0.14779, 0.07155, 0.03964), 0.05095),
}
"""Density in g/cm3, photoelectric absorption at `KEVS` and Compton scatter at 511 keV, 1/mm, by
the tables of Elam, Ravel and Sieber (Radiat. Phys. Chem. 63, 121, 2002), as xraydb has them."""

BLOCKS = {
    "mMR": ("LSO", (32.0, 32.0, 20.0), MMR.energy),
    "Vision 600": ("LSO", (32.0, 32.0, 20.0), VISION_600.energy),
    "Discovery MI": ("LYSO", (16.0, 48.0, 25.0), DISCOVERY_MI_4.energy),
    "ECAT HR+": ("BGO", (35.0, 38.0, 30.0), HR_PLUS.energy),
    "Inveon": ("LSO", (32.0, 32.0, 10.0), INVEON.energy),
}
"""Crystals, block in mm across, along and deep, and the window. The light of a block is summed."""


def photoelectric(name: str, kev: Floats) -> Floats:
    """Return the absorption, 1/mm: a power of the energy from each entry to the next."""
    table = np.log(MATERIALS[name][1][1:])
    slope = (table[0] - table[1]) / np.log(2 / 3)
    table = np.concatenate([[table[0] + slope * np.log(0.5)], table])
    return np.asarray(np.exp(np.interp(np.log(kev), np.log(KEVS), table)))


def deposits(name: str, size: tuple[float, ...], kev: float) -> tuple[Floats, Floats]:
    """Return the energies that photons leave in a block, and their weights."""
    rng = np.random.default_rng(1)
    half = np.array(size) / 2
    at = rng.uniform(-half, half, (PHOTONS, 3))
    at[:, 2] = -half[2]
    way = np.tile([0.0, 0.0, 1.0], (PHOTONS, 1))
    energy, left, weight = np.full(PHOTONS, kev), np.zeros(PHOTONS), np.ones(PHOTONS)
    inside = np.ones(PHOTONS, np.bool_)
    while inside.any():
        absorbed = photoelectric(name, energy)
        both = absorbed + MATERIALS[name][2] * relative_attenuation(energy)
        at += way * (-np.log(rng.random(PHOTONS)) / both)[:, None]
        inside &= (np.abs(at) <= half).all(axis=1)
        ends = inside & ((rng.random(PHOTONS) < absorbed / both) | (energy < LEAST_KEV))
        left[ends] += energy[ends]
        inside &= ~ends
        cosine = rng.uniform(-1, 1, PHOTONS)
        kept = 1 / (1 + energy / REST_KEV * (1 - cosine))
        shape = kept**2 * (kept + 1 / kept - 1 + cosine**2)
        mean = 8 / 3 * relative_attenuation(energy) / relative_attenuation(1e-3)
        weight[inside] *= (2 * shape / mean)[inside]
        left[inside] += (energy * (1 - kept))[inside]
        energy[inside] *= kept[inside]
        way = turned(way, cosine, rng.uniform(0, 2 * np.pi, PHOTONS))
    return left, weight


def turned(way: Floats, cosine: Floats, azimuth: Floats) -> Floats:
    """Return unit vectors turned by angles, about themselves by azimuths."""
    across = np.cross(way, np.where(np.abs(way[:, 2:]) < 0.9, [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]))
    across /= np.linalg.norm(across, axis=1)[:, None]
    other = np.cross(way, across)
    aside = across * np.cos(azimuth)[:, None] + other * np.sin(azimuth)[:, None]
    return np.asarray(cosine[:, None] * way + np.sqrt(1 - cosine**2)[:, None] * aside)


def main() -> None:
    for name, (material, size, window) in BLOCKS.items():
        assert window is not None
        plain = EnergyWindow(window.low_kev, window.high_kev, window.resolution, 0.0)
        kevs = np.linspace(max(window.low_kev - 20, 340), 510.9, 6)
        whole, counted = [], []
        for kev in kevs:
            left, weight = deposits(material, size, float(kev))
            whole.append((weight * (left > kev - 0.01)).mean())
            counted.append((weight * plain.accepts(np.maximum(left, 1.0))).mean())
        rise = np.log(np.array(whole) / whole[-1])
        steps = np.log(REST_KEV / kevs)
        power = float((rise * steps).sum() / (steps**2).sum())
        partial = 1 - whole[-1] * float(plain.accepts(REST_KEV)) / counted[-1]
        ratio = np.array(counted) / counted[-1] * plain.accepts(REST_KEV) / plain.accepts(kevs)
        fit = (REST_KEV / kevs) ** power
        sys.stdout.write(
            f"{name}: exponent {power:.3f}; at 511 keV {counted[-1]:.3f} count, {partial:.4f} of "
            f"them not whole; by keV {dict(zip(kevs.round(), ratio.round(3), strict=True))}, "
            f"fit {fit.round(3)}\n"
        )


if __name__ == "__main__":
    main()
