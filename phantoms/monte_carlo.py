"""Monte Carlo: photon pairs followed one by one, with every scatter told.

Both photons of a decay start back to back from a point of the activity. Each is followed by
Woodcock's method through voxels of matter in which all interactions are Compton scatter after
Klein and Nishina (attenuation grows as its cross-section as energy falls; what is absorbed in
tissue above 250 keV is below 1 %), to the scanner's cylinder. There it counts with the probability
that the blurred energy lies in the window. Positron range, acollinearity, crystals' depth and
dead time are left out, so unscattered counts follow the line integrals of `phantoms.lines`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import DataError, GeometryError
from emrecon.gaussian import FWHM_PER_SIGMA
from emrecon.tomo.geometry.bins import Bins, Scanner
from emrecon.tomo.geometry.energy import REST_KEV, EnergyWindow, relative_attenuation
from emrecon.volume import Array, Volume
from phantoms.kernels import monte_carlo as kernel

BLOCKS = 64
"""Blocks of decays followed at a time."""

NEVER = 1e-6
"""Probability of counting below which a photon is given up."""


@dataclass(frozen=True, eq=False)
class Coincidences:
    """Pairs of photons that were counted."""

    pairs: NDArray[np.uint32]
    """Crystals ``ring * crystals + crystal`` at both ends, shape ``(n, 2)``."""

    orders: NDArray[np.uint8]
    """How often each photon was scattered, shape ``(n, 2)``."""

    places_mm: Array
    """Place along the line that the exact arrival times tell, positive towards end 2."""

    decays: float
    """Decays followed."""

    @property
    def scatters(self) -> NDArray[np.int64]:
        """How often both photons together were scattered, shape ``(n,)``."""
        return np.asarray(self.orders.sum(axis=1), np.int64)

    def of(self, chosen: NDArray[Any], decays: float | None = None) -> Coincidences:
        """Return some of them, by truth values or numbers, of as many decays or of so many."""
        return Coincidences(
            self.pairs[chosen],
            self.orders[chosen],
            self.places_mm[chosen],
            self.decays if decays is None else decays,
        )

    def turned(self, chosen: NDArray[np.bool_]) -> Coincidences:
        """Return them with the ends of some exchanged."""
        turned = chosen[:, None]
        return Coincidences(
            np.where(turned, self.pairs[:, ::-1], self.pairs),
            np.where(turned, self.orders[:, ::-1], self.orders),
            np.where(chosen, -self.places_mm, self.places_mm),
            self.decays,
        )


def coincidences(
    activity: Volume,
    mu: Volume,
    scanner: Scanner,
    decays: int,
    seed: int = 1,
    window: EnergyWindow | None = None,
) -> Coincidences:
    """Follow decays, and return what a ring scanner counts of them.

    Parameters
    ----------
    activity : Volume
        Where decays happen, in any unit.
    mu : Volume
        Attenuation at 511 keV, 1/mm, on any grid along the axes.
    scanner : Scanner
        What counts.
    decays : int
        How many to follow at least; whole blocks are.
    seed : int, optional
        Seed; the same one gives the same coincidences for any number of threads.
    window : EnergyWindow, optional
        Energies that count; the scanner's by default.

    Raises
    ------
    DataError
        If there is no activity.
    GeometryError
        If no energy window is known.
    """
    blocks = max(1, -(-decays // kernel.BLOCK))
    parts = list(followed(activity, mu, scanner, seed, window=window, blocks=blocks))
    pairs, orders, places = (
        np.concatenate([getattr(block, name) for block in parts])
        for name in ("pairs", "orders", "places_mm")
    )
    return Coincidences(pairs, orders, places, blocks * kernel.BLOCK)


def followed(  # noqa: PLR0913 - each is one fact of the scan
    activity: Volume,
    mu: Volume,
    scanner: Scanner,
    seed: int = 1,
    *,
    window: EnergyWindow | None = None,
    resolution_mm: float = 0.0,
    blocks: int | None = None,
) -> Iterator[Coincidences]:
    """Yield what is counted of decays, some blocks of them at a time, without end by default.

    Parameters
    ----------
    activity, mu, scanner, seed, window
        See `coincidences`.
    resolution_mm : float, optional
        FWHM of the blur of a point in the middle of the scanner, beside that by the crystals'
        width: each photon is seen by a Gaussian, along and around the cylinder, of the root of
        two times that.
    blocks : int, optional
        Blocks of decays to follow.
    """
    window = window or scanner.energy
    if window is None:
        raise GeometryError(f"the energy window of {scanner.name} is not known: give one")
    setting = _source(activity), _matter(mu), _ring(scanner, window, resolution_mm)
    pairs = np.empty((BLOCKS, kernel.BLOCK + 1, 2), np.uint32)
    orders = np.empty((BLOCKS, kernel.BLOCK + 1, 2), np.uint8)
    places = np.empty((BLOCKS, kernel.BLOCK + 1), np.float32)
    for first in count(0, BLOCKS):
        some = BLOCKS if blocks is None else min(BLOCKS, blocks - first)
        if some <= 0:
            return
        counts = np.zeros(some, np.int64)
        kernel.coincidences(first, seed, *setting, pairs, orders, places, counts)
        held = np.arange(kernel.BLOCK + 1) < counts[:, None]
        yield Coincidences(
            pairs[:some][held], orders[:some][held], places[:some][held], some * kernel.BLOCK
        )


def pairs_a_decay(bins: Bins, activity_sum: float) -> float:
    """Return the line integral that a decay is worth to a pair of crystals facing each other.

    The counts of a pair without attenuation are ``decays`` times this, times the integral of the
    activity, times the pair's `facing`, with the squared efficiency at 511 keV still to come.

    Parameters
    ----------
    bins : Bins
        Raw bins of a ring scanner.
    activity_sum : float
        Integral of the activity over its volume, mm3 times its unit.
    """
    scanner = bins.scanner
    if scanner is None:
        raise GeometryError("bins without a scanner have no crystals")
    area = 2 * np.pi * bins.radius_mm / scanner.crystals * scanner.ring_spacing_mm
    return float(area**2 / (4 * bins.radius_mm**2) / (2 * np.pi) / activity_sum)


def facing(bins: Bins) -> NDArray[np.float64]:
    """Return how well the crystals of each bin see each other, shape ``(bins, planes)``.

    Cosines of incidence over the squared distance, relative to crystals opposite each other: on
    a cylinder the fourth power of the cosine of the line's tilt.
    """
    across = 4 * np.maximum(bins.half_chord_mm, 1e-3)[:, None] ** 2
    return np.asarray((across / (across + bins.plane_tilt_mm**2)) ** 2)


def _source(activity: Volume) -> kernel.Source:
    """Return where decays happen."""
    grid, voxels = activity.grid(), np.asarray(activity.voxels, np.float64)
    held = np.argwhere(voxels > 0)
    if not len(held):
        raise DataError("there is no activity to follow decays of")
    spacing = np.array(grid.spacing_mm, float)
    below = np.cumsum(voxels[tuple(held.T)])
    return kernel.Source(below, held.astype(np.int32), grid.origin_mm - spacing / 2, spacing)


def _matter(mu: Volume) -> kernel.Matter:
    """Return what photons pass."""
    grid, voxels = mu.grid(), np.ascontiguousarray(mu.voxels, np.float32)
    spacing = np.array(grid.spacing_mm, float)
    extra = relative_attenuation(np.maximum(np.arange(kernel.KEVS), 1.0))
    most = max(float(voxels.max()), 1e-6)
    return kernel.Matter(voxels, grid.origin_mm - spacing / 2, spacing, most, extra)


def _ring(scanner: Scanner, window: EnergyWindow, resolution_mm: float) -> kernel.Ring:
    """Return what counts."""
    kev = np.arange(kernel.KEVS) + 0.5
    accepts = window.accepts(np.minimum(kev, REST_KEV))
    accepts[int(REST_KEV)] = window.accepts(REST_KEV)
    return kernel.Ring(
        scanner.effective_radius_mm,
        scanner.rings * scanner.ring_spacing_mm / 2,
        scanner.rings,
        scanner.crystals,
        scanner.ring_spacing_mm,
        float(np.deg2rad(scanner.view_offset_deg)),
        accepts,
        float(np.argmax(accepts > NEVER)),
        float(np.sqrt(2) * resolution_mm / FWHM_PER_SIGMA),
    )
