"""Mean randoms in every bin, from delayed coincidences by way of single rates.

The delayeds between two detectors have the mean ``s_i s_j``, with ``s`` the detectors' single
rates (in units that take in the coincidence window and the scan's length). Thousands of pairs
share a detector, so its delayeds with all partners, its fan sum, fix ``s_i`` well; the products
are then the randoms of every pair with far less noise than its own delayeds (M. E. Casey and
E. J. Hoffman, J Comput Assist Tomogr 10:845, 1986). Maximum likelihood asks that expected and
measured fan sums agree, ``s_i sum_j s_j = f_i``, which is solved by iteration (D. Hogg et al.,
IEEE NSS-MIC 2001; V. Y. Panin et al., IEEE NSS-MIC 2007).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import DataError
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.detectors import crystal_pairs, scanner_of, sum_over_pairs
from emrecon.tomo.listmode import ListmodeSinograms
from emrecon.volume import Array

Floats = NDArray[np.float64]
Live = NDArray[np.bool_]

STEPS = 300
"""Most iterations; mMR needs about 40."""

ENOUGH = 1e-6
"""Relative change at which iterations end."""


def mean_randoms(counts: ListmodeSinograms, live: Live | None = None) -> Array:
    """Return the mean randoms in every bin, counts; their total is that of the delayeds.

    Parameters
    ----------
    counts : ListmodeSinograms
        Counts of a list-mode file.
    live : array of bool, optional
        Live detectors, shape ``(rings, crystals)``; bins without a live pair get 0.
    """
    total = float(counts.delayed_sum)
    if not total:
        return np.zeros(counts.bins.shape, np.float32)
    rates = singles(counts.delayed_fans, counts.bins, counts.max_ring_difference, live)
    randoms = sum_over_pairs(counts.bins, rates)
    randoms *= np.float32(total / float(randoms.sum(dtype=np.float64)))
    return randoms


def singles(
    fans: NDArray[np.integer],
    bins: Bins,
    max_ring_difference: int,
    live: Live | None = None,
) -> Floats:
    """Return the single rates whose products are the mean delayeds, shape ``(rings, crystals)``.

    First a rate for every ring times one for every crystal; then each detector's own departure
    from it, drawn towards none as strongly as the spread of all departures beyond chance tells
    (a gamma prior whose variance is estimated from the data). With few counts that leaves the
    product of ring and crystal rates, with many the rates of single detectors.

    Parameters
    ----------
    fans : array
        Delayeds that each detector took part in, shape ``(rings, crystals)``.
    bins : Bins
        Bins of the same scanner, which tell the crystals in coincidence.
    max_ring_difference : int
        Largest ring difference in coincidence.
    live : array of bool, optional
        Live detectors; the rate of others is 0.
    """
    scanner = scanner_of(bins)
    shape = (scanner.rings, scanner.crystals)
    if fans.shape != shape or (live is not None and live.shape != shape):
        raise DataError(f"fan sums and live detectors must have shape {shape}, not {fans.shape}")
    alive = np.ones(shape) if live is None else live.astype(np.float64)
    measured = fans * alive
    reach = _Reach(bins, max_ring_difference)
    if measured.sum() == 0:
        return np.zeros(shape)
    common = _ring_times_crystal(measured, alive, reach)
    prior = _prior(measured, reach.fans(common))
    if prior is None:
        return common
    return np.asarray(common * _departures(measured, common, reach, prior), np.float64)


class _Reach:
    """Which detectors are in coincidence."""

    def __init__(self, bins: Bins, max_ring_difference: int) -> None:
        scanner = scanner_of(bins)
        ring = np.arange(scanner.rings)
        self.along = (np.abs(ring[:, None] - ring) <= max_ring_difference).astype(np.float64)
        end1, end2 = crystal_pairs(bins)
        self.around = np.zeros((scanner.crystals, scanner.crystals))
        self.around[end1, end2] = self.around[end2, end1] = 1.0

    def fans(self, rates: Floats) -> Floats:
        """Return the expected fan sums; the same bits with any number of threads."""
        beside = np.einsum("qr,rc->qc", self.along, rates)
        partners = np.einsum("rc,dc->rd", beside, self.around)  # `around` is symmetric
        return np.asarray(rates * partners, np.float64)


def _ring_times_crystal(measured: Floats, alive: Floats, reach: _Reach) -> Floats:
    """Return the most likely rates that are a product of ring and crystal rates."""
    rates = np.asarray(alive * np.sqrt(measured.sum() / reach.fans(alive).sum()), np.float64)
    for _ in range(STEPS):
        change = 0.0
        for axis in (0, 1):
            total = measured.sum(axis=axis, keepdims=True)
            # The square root keeps both ends of a pair from overshooting together.
            factor = np.sqrt(_ratio(total, reach.fans(rates).sum(axis=axis, keepdims=True)))
            rates *= factor
            change = max(change, float(np.abs(factor - 1.0)[total > 0].max()))
        if change < ENOUGH:
            break
    return rates


def _prior(measured: Floats, expected: Floats) -> float | None:
    """Return the shape of the gamma prior of departures; None where they look like chance."""
    weight = float((expected**2).sum())
    beyond = float(((measured - expected) ** 2).sum() - measured.sum())
    chance = float(np.sqrt(2.0 * weight + measured.sum()))  # a standard deviation of `beyond`
    return weight / beyond if beyond > 3.0 * chance else None


def _departures(measured: Floats, common: Floats, reach: _Reach, prior: float) -> Floats:
    """Return each detector's most likely factor on its common rate."""
    factor = np.ones_like(common)
    for _ in range(STEPS):
        expected = reach.fans(common * factor)
        step = np.sqrt((measured + prior) / (expected + prior * factor))
        factor = factor * step
        if float(np.abs(step - 1.0).max()) < ENOUGH:
            break
    return factor


def _ratio(above: Floats, below: Floats) -> Floats:
    """Return the quotient, 0 where there is nothing below."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)
