"""Whether counts and factors of a scan fit each other, as far as they tell."""

from __future__ import annotations

import logging
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import DataError
from emrecon.tomo.corrections.map_place import net_counts, say_counts_beside
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.scan import Scan
from emrecon.volume import Array

log = logging.getLogger(__name__)

BINS = 2_000_000
"""About how many bins are looked at one by one."""

EXPECTED = 200.0
"""Counts to expect by others of the scan, above which it is no chance that there are none."""

INVERSE, SURE = (-1.5, -0.5), 4.0
"""Slope of counts over efficiencies where these are the inverse (it is 1 where they fit, about 0
where they are of another scan), and by how many standard deviations it is to differ from 0."""


def checked(scan: Scan) -> Scan:
    """Return a scan whose counts and factors fit each other.

    It warns of attenuation factors that leave many counts in air, and of a segment that is there
    twice.

    Raises
    ------
    DataError
        If views, bins or segments are empty, or counts lie where efficiency is low.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        if np.isfinite(scan.prompts.sum(dtype=np.float64)):  # else they are refused by name later
            _check(scan)
    return scan


def _check(scan: Scan) -> None:
    """Look at views, segments, attenuation and normalisation."""
    _refuse_empty(scan)
    every = max(1, scan.prompts.size // BINS)
    some = scan.of_views(slice(None, None, every))
    if isinstance(some.bins, Bins):
        _say_double(some.prompts, some.bins)
        if some.attenuation is not None:
            say_counts_beside(some.bins, some, some.attenuation, "attenuation factors")
    if scan.normalisation is not None:
        views = max(3, len(scan.normalisation) // every)
        _refuse_inverse(scan.of_views(slice(0, views)), scan.normalisation[:views])


def _refuse_empty(scan: Scan) -> None:
    """Refuse views, bins or segments that count nothing, where others of the body count much."""
    counts = _flat(scan.prompts)
    live = np.ones(counts.shape, bool) if scan.normalisation is None else scan.normalisation > 0
    offsets = [0, *scan.bins.offsets[1:]] if isinstance(scan.bins, Bins) else [0]
    for what, sums in (
        ("views", [data.sum(axis=(1, 2), dtype=np.float64) for data in (counts, live)]),
        ("bins", [data.sum(axis=(0, 2), dtype=np.float64) for data in (counts, live)]),
        ("segments", [
            np.add.reduceat(data.sum(axis=(0, 1), dtype=np.float64), offsets)
            for data in (counts, live)
        ]),
    ):  # fmt: skip
        seen, size = sums
        expected = seen.sum() * size / max(size[seen > 0].sum(), 1)
        empty = (seen == 0) & (expected > EXPECTED)
        if what == "bins":  # the body may end, but has no gap in all views
            some = np.flatnonzero(seen > EXPECTED)
            empty[: some.min(initial=len(seen))] = empty[some.max(initial=0) :] = False
        if empty.any():
            raise DataError(
                f"{np.count_nonzero(empty)} of {len(seen)} {what} hold no counts, and others "
                "many: give what is missing, or a normalisation that is 0 there"
            )


def _say_double(prompts: Array, bins: Bins) -> None:
    """Warn where a segment holds the counts of another: chance makes no two such."""
    ends = [*bins.offsets, bins.planes]
    parts = [_flat(prompts)[..., first:last] for first, last in pairwise(ends)]
    for number, part in enumerate(parts):
        for before in range(number):
            if np.array_equal(parts[before], part) and _drawn(part):
                log.warning(
                    "segments %d and %d of the prompts hold the same counts: is one of them "
                    "written twice?",
                    before + 1, number + 1,
                )  # fmt: skip


def _drawn(data: Array) -> bool:
    """Return whether counts are whole numbers, and many that differ."""
    return bool(data.sum() > EXPECTED and np.ptp(data) and np.array_equal(data, np.rint(data)))


def _flat(prompts: Array) -> Array:
    """Return counts of all time-of-flight bins together."""
    return prompts if prompts.ndim == 3 else prompts.sum(axis=0)


def _refuse_inverse(scan: Scan, efficiency: NDArray[np.float32]) -> None:
    """Refuse efficiencies that differ from their neighbours as the counts do, but inversely.

    Along all axes alike: a body's attenuation, which may be among them, is steeper along some.
    """
    counts = np.stack([net_counts(scan, view) for view in range(len(efficiency))])
    live = efficiency > 0
    logs = np.log(efficiency, where=live, out=np.zeros(live.shape, np.float32)).astype(np.float64)
    planes = [each.planes for each in scan.bins.segments] if isinstance(scan.bins, Bins) else [1]
    segment = np.repeat(np.arange(len(planes)), planes)
    told = 0
    for axis in range(3):
        before, here, after = _neighbours(live, axis)
        bend = _bend(logs, axis) * (before & here & after)
        if axis == 2 and len(planes) > 1:
            bend *= segment[2:] == segment[:-2]
        scale = float(np.sum(sum(_neighbours(counts, axis)) / 3 * bend**2))
        if scale < 1.5 * SURE**2:  # too little differs to tell
            continue
        slope = float(np.sum(_bend(counts, axis) * bend)) / scale
        if not INVERSE[0] < slope < INVERSE[1]:
            return
        told += 1
    if told > 1:
        raise DataError(
            "the counts are low in the bins where the normalisation is high, and high where it is "
            "low: it is detection efficiency, so give the inverse of correction factors "
            "(--correction takes factors as they are)"
        )


def _neighbours(data: NDArray[Any], axis: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return what lies before, at and after all inner places along an axis."""
    data = np.moveaxis(data, axis, 0)
    before, here, after = (
        np.moveaxis(part, 0, axis) for part in (data[:-2], data[1:-1], data[2:])
    )
    return before, here, after


def _bend(data: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Return by how much bins are above the mean of their neighbours along an axis."""
    before, here, after = _neighbours(data, axis)
    return np.asarray(here - (before + after) / 2, np.float64)
