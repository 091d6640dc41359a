"""Detection efficiency from geometry: how many live detector pairs each bin gathers.

A bin of measured data holds the *sum* of the counts of its detector pairs (the ring pairs of its
plane, times the views mashed into one), while the model's line integral is their *mean*. So the
efficiency of a bin is the number of its pairs whose detectors both work: 0 marks a bin that
nothing was measured in.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import GeometryError
from emrecon.tomo.geometry.bins import Bins, Scanner
from emrecon.tomo.geometry.detectors import planes_of_rings, sum_over_pairs
from emrecon.volume import Array

Live = NDArray[np.bool_]
Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

# Place, in each transaxial block, of the "virtual" crystal that stands for the gap between blocks,
# in the numbering of `geometry.detectors`. mMR: UCL/STIR Scanner.cxx says one in nine; that it
# is the first is what a scan shows (218,881 prompts and 35,320 delayeds, none of them there).
_GAP_IN_BLOCK = {"Siemens mMR": 0, "Siemens mCT": 0}
_GAP_RING = {"Siemens mCT": 13}  # the last of a block of 14 rings, by UCL/STIR alone

ALIVE = 0.1
"""A crystal that counts more than this share of what its surroundings do is alive."""

CHANCE = 1e-6
"""Probability of calling any live crystal of a scanner dead."""


def ring_pairs(bins: Bins) -> NDArray[np.int64]:
    """Return the number of ring pairs in every plane, shape ``(planes,)``."""
    planes = planes_of_rings(bins)
    return np.bincount(planes[planes >= 0], minlength=bins.planes).astype(np.int64)


def known_gaps(scanner: Scanner) -> Live:
    """Return the live crystals of the scanner by its make, shape ``(rings, crystals)``.

    All of them where no place of gaps is known, as for the Vision 600, whose blocks have a virtual
    crystal as well: see `find_live` to look for gaps in data.
    """
    live = np.ones((scanner.rings, scanner.crystals), np.bool_)
    place = _GAP_IN_BLOCK.get(scanner.name)
    if place is not None:
        live[:, place :: scanner.block_crystals[0]] = False
    ring = _GAP_RING.get(scanner.name)
    if ring is not None:
        live[ring :: scanner.block_crystals[1]] = False
    return live


def find_live(fans: Counts, block: tuple[int, int] = (1, 1)) -> Live:
    """Return the detectors that are not dead, by the counts they took part in.

    A detector is called dead only if its counts cannot be chance: were it alive with a tenth of
    its surroundings' rate, so few would come with a probability below 1e-6 for the whole scanner.
    Places in a block, crystals of all rings, blocks and single detectors are looked at in turn,
    so that few counts still show what repeats. The surroundings are two blocks on every side, and
    the side with the least counts decides: the edge of what a small object lights up is no gap.
    A whole dead ring is not told from one that sees nothing.

    Parameters
    ----------
    fans : array
        Counts of every detector (fan sums), shape ``(rings, crystals)``; prompts and delayeds
        together say most.
    block : tuple of int, optional
        Crystals of a detector block: around the ring, along the axis.

    Returns
    -------
    array of bool
        Live detectors, shape ``(rings, crystals)``.
    """
    rings, crystals = fans.shape
    around, along = block
    if crystals % around or rings % along:
        raise GeometryError(
            f"blocks of {around} x {along} do not divide {crystals} crystals in {rings} rings"
        )
    live = np.ones(fans.shape, np.bool_)
    place = fans.sum(axis=0).reshape(-1, around).sum(axis=0)
    live[:, np.tile(_dead(place, np.median(place), fans.size), crystals // around)] = False
    for size in ((1, rings), (around, along), (1, 1)):
        pooled = _pooled(np.where(live, fans, 0), size)
        looked_at = np.where(_pooled(live, size) > 0, pooled, np.nan)
        reach = (2 * around // size[0], max(2 * along // size[1], 1))
        dead = _dead(looked_at, _surroundings(looked_at, reach), fans.size)
        live &= ~np.repeat(np.repeat(dead, size[1], axis=0), size[0], axis=1)
    return live


def live_pairs(bins: Bins, live: Live | None = None) -> Array:
    """Return the number of live detector pairs in every bin: its efficiency.

    Parameters
    ----------
    bins : Bins
        Raw bins of a ring scanner.
    live : array of bool, optional
        Live detectors, shape ``(rings, crystals)``; by default those of `known_gaps`.
    """
    if live is None:
        if bins.scanner is None:
            raise GeometryError("bins without a scanner have no detectors")
        live = known_gaps(bins.scanner)
    return sum_over_pairs(bins, live.astype(np.float32))


def _dead(counts: NDArray[np.generic], expected: Floats | float, tests: int) -> Live:
    """Return where counts are too few to be those of a live detector; never where NaN."""
    from scipy.special import pdtr  # noqa: PLC0415 - heavy

    chance = pdtr(counts, np.maximum(ALIVE * np.asarray(expected), 1e-30))
    return np.asarray(chance < CHANCE / tests, np.bool_)


def _surroundings(counts: Floats, reach: tuple[int, int]) -> Floats:
    """Return, for every place, the least of the medians of its neighbours on each side.

    The neighbours are `reach` places around the ring and along the axis; those that are NaN do
    not count, and neither does a side beyond the first or last ring.
    """
    around, along = min(reach[0], counts.shape[1] - 1), reach[1]
    ring = np.pad(counts, ((0, 0), (around, around)), mode="wrap")
    axis = np.pad(counts, ((along, along), (0, 0)), constant_values=np.nan)
    beside = np.sort(np.lib.stride_tricks.sliding_window_view(ring, around, axis=1), axis=-1)
    above = np.sort(np.lib.stride_tricks.sliding_window_view(axis, along, axis=0), axis=-1)
    medians_beside, medians_above = _lower_median(beside), _lower_median(above)
    sides = (
        medians_beside[:, : counts.shape[1]],
        medians_beside[:, around + 1 :],
        medians_above[: counts.shape[0]],
        medians_above[along + 1 :],
    )
    return np.asarray(np.fmin.reduce(sides), np.float64)


def _lower_median(ordered: Floats) -> Floats:
    """Return the (lower) median along the last axis, where NaN come last; NaN if all are."""
    valid = np.count_nonzero(~np.isnan(ordered), axis=-1)
    middle = np.maximum(valid - 1, 0) // 2
    return np.take_along_axis(ordered, middle[..., None], axis=-1)[..., 0]


def _pooled(values: NDArray[np.generic], block: tuple[int, int]) -> Counts:
    """Return the sums over whole blocks."""
    around, along = block
    rings, crystals = values.shape
    pooled = values.reshape(rings // along, along, crystals // around, around)
    return np.asarray(pooled.sum(axis=(1, 3)), np.int64)
