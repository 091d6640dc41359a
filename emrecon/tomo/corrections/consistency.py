"""Whether counts and factors of a scan fit each other, as far as they tell."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import DataError
from emrecon.tomo.corrections.map_place import net_counts, say_counts_beside
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.scan import Scan
from emrecon.volume import Array

BINS = 8_000_000
"""About how many bins are looked at one by one."""

EXPECTED = 200.0
"""Counts to expect by others of the scan, above which it is no chance that there are none."""

INVERSE, SURE = -0.5, 4.0
"""Slope of counts over efficiencies below which these are the inverse (where they fit it is 1, of
another scan about 0), and by how many standard deviations it is to be below 0."""


def checked(scan: Scan) -> Scan:
    """Return a scan whose counts and factors fit each other.

    It warns of attenuation factors that leave many counts in air.

    Raises
    ------
    DataError
        If views or segments are empty or double, or counts lie where efficiency is low.
    """
    _refuse_empty(scan)
    every = max(1, scan.prompts.size // BINS)
    some = scan.of_views(slice(None, None, every))
    if isinstance(some.bins, Bins):
        _refuse_double(some.prompts, some.bins)
        if some.attenuation is not None:
            say_counts_beside(some.bins, some, some.attenuation, "attenuation factors")
    if some.normalisation is not None:
        _refuse_inverse(some, some.normalisation)
    return scan


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
        some = np.flatnonzero(seen)
        expected = seen.sum() * size / max(size[some].sum(), 1)
        empty = (seen == 0) & (expected > EXPECTED)
        if what == "bins":  # the body may end, but has no gap in all views
            empty[: some.min(initial=len(seen))] = empty[some.max(initial=0) :] = False
        if empty.any():
            raise DataError(
                f"{np.count_nonzero(empty)} of {len(seen)} {what} hold no counts, and others "
                "many: give what is missing, or a normalisation that is 0 there"
            )


def _refuse_double(prompts: Array, bins: Bins) -> None:
    """Refuse segments of which one holds the counts of another: chance makes no such two."""
    ends = [*bins.offsets, bins.planes]
    parts = [_flat(prompts)[..., first:last] for first, last in pairwise(ends)]
    for number, part in enumerate(parts):
        for before in range(number):
            if np.array_equal(parts[before], part) and _drawn(part):
                raise DataError(
                    f"segments {before + 1} and {number + 1} of the prompts hold the same counts: "
                    "one was written twice"
                )


def _drawn(data: Array) -> bool:
    """Return whether counts are whole numbers, and many that differ."""
    return bool(data.sum() > EXPECTED and np.ptp(data) and np.array_equal(data, np.rint(data)))


def _flat(prompts: Array) -> Array:
    """Return counts of all time-of-flight bins together."""
    return prompts if prompts.ndim == 3 else prompts.sum(axis=0)


def _refuse_inverse(scan: Scan, efficiency: NDArray[np.float32]) -> None:
    """Refuse efficiencies that differ from their neighbours as the counts do, but inversely."""
    fit = scale = 0.0
    for view, values in enumerate(efficiency):
        live = values > 0
        logs = np.log(values, where=live, out=np.zeros(values.shape, np.float32)).astype(float)
        bend = _bend(logs) * (live[1:-1] & live[:-2] & live[2:])
        counts = net_counts(scan, view)
        mean = (counts[:-2] + counts[1:-1] + counts[2:]) / 3
        fit += float(np.sum(_bend(counts) * bend))
        scale += float(np.sum(mean * bend**2))
    if fit < INVERSE * scale and fit < -SURE * np.sqrt(1.5 * max(scale, 0.0)):
        raise DataError(
            "the counts are low in the bins where the normalisation is high, and high where it is "
            "low: it is detection efficiency, so give the inverse of correction factors "
            "(--correction takes factors as they are)"
        )


def _bend(data: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how much bins are above the mean of their neighbours."""
    return np.asarray(data[1:-1] - (data[:-2] + data[2:]) / 2, np.float64)
