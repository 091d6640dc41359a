"""What a sinogram says about detector pairs of any scanner: each is in the bin of nearest line."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import GeometryError
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.events import Events
from emrecon.tomo.geometry.pairs import Pairs
from emrecon.tomo.geometry.tof import Timing
from emrecon.volume import Array

Places = NDArray[np.int64]
Floats = NDArray[np.float64]

LOST = 0.05
"""Share of the counts from which on bins without a pair tell of another scanner."""

EARLY = 0.55
"""Where a view begins, in steps before its middle: every other bin of raw sinograms lies half a
step before its view, and is not of the view before."""


def nearest_bins(bins: Bins, ends_mm: Floats) -> tuple[Places, NDArray[np.bool_]]:
    """Return the bin nearest to each line, and whether end 1 of the line is end 2 of the bin.

    Parameters
    ----------
    bins : Bins
        Bins whose views are spread evenly over half a turn.
    ends_mm : array
        Both ends of each line, shape ``(n, 2, 3)``.

    Returns
    -------
    array of int
        Places in flattened data without time of flight; -1 for lines beyond all bins.
    array of bool
        Which lines run the other way.

    Raises
    ------
    GeometryError
        If the views are not spread evenly over half a turn.
    """
    views, count, planes = bins.shape
    step = np.pi / views
    if not np.allclose(np.diff(bins.phi_rad), step, rtol=1e-3):
        raise GeometryError("views must be spread evenly over half a turn")
    one, across = ends_mm[:, 0], ends_mm[:, 1] - ends_mm[:, 0]
    phi = np.arctan2(-across[:, 0], across[:, 1]) - bins.phi_rad[0]
    turns = np.floor((phi + EARLY * step) / np.pi)
    turned = turns % 2 == 1
    phi -= turns * np.pi
    view = np.minimum((phi / step + EARLY).astype(np.int64), views - 1)
    phi += bins.phi_rad[0]
    s = one[:, 0] * np.cos(phi) + one[:, 1] * np.sin(phi)
    plane = _planes(bins, ends_mm[:, :, 2].mean(axis=1), np.where(turned, -1, 1) * across[:, 2])
    at = np.searchsorted(_edges(bins.s_mm, np.ones(count)), s) - 1
    inside = (at >= 0) & (at < count) & (plane >= 0) & across[:, :2].any(axis=1)
    return np.where(inside, (view * count + at) * planes + plane, -1), turned


def _planes(bins: Bins, z_mm: Floats, climb_mm: Floats) -> Places:
    """Return the plane nearest to each line, in the segment of nearest tilt; -1 for none."""
    tilts = np.array([segment.tilt_mm for segment in bins.segments])
    gathered = np.array([np.ptp(segment.ring_differences) + 1.0 for segment in bins.segments])
    order = np.argsort(tilts)
    edges = _edges(tilts[order], gathered[order], 2 * bins.segments[0].step_mm)
    at = np.searchsorted(edges, climb_mm) - 1
    known = (at >= 0) & (at < len(order))
    segment = order[np.where(known, at, 0)]
    first, step, planes = (
        np.array([getattr(each, name) for each in bins.segments])[segment]
        for name in ("first_mm", "step_mm", "planes")
    )
    plane = np.rint((z_mm - first) / step).astype(np.int64)
    known &= (plane >= 0) & (plane < planes)
    return np.where(known, bins.offsets[segment] + plane, -1)


def _edges(centres: Floats, widths: Floats, alone: float = 0.0) -> Floats:
    """Return the edges of stretches side by side, of increasing centres and these relative widths.

    A stretch that is the only one is `alone` wide.
    """
    if len(centres) == 1:
        return np.array([centres[0] - alone / 2, centres[0] + alone / 2])
    low, high = widths[:-1], widths[1:]
    inner = (centres[:-1] * high + centres[1:] * low) / (low + high)
    first, last = 2 * (inner[[0, -1]] - centres[[0, -1]])
    return np.concatenate([[inner[0] - first], inner, [inner[-1] - last]])


class Shared:
    """Counts of a sinogram that live pairs of detectors share evenly, bin by bin.

    Parameters
    ----------
    bins : Bins
        The bins.
    counts : array
        Mean counts, shape of the bins with or without time of flight.
    pairs : Pairs
        All pairs of the scanner; all of them are gone through once.
    timing : Timing, optional
        Time-of-flight bins of its events, which must be those of the sinogram.

    Raises
    ------
    GeometryError
        If the sinogram is of another scanner or has other time-of-flight bins.
    """

    def __init__(
        self, bins: Bins, counts: Array, pairs: Pairs, timing: Timing | None = None
    ) -> None:
        if not _same(bins.timing, timing):
            raise GeometryError(
                f"the scatter has {_words(bins.timing)}, the events have {_words(timing)}"
            )
        self._bins = bins
        live = np.zeros(np.prod(bins.shape), np.int64)
        for chunk in pairs.every():
            place, _ = nearest_bins(bins, chunk.points_mm[chunk.pairs].astype(float))
            counted = place >= 0 if chunk.factors is None else (place >= 0) & (chunk.factors > 0)
            live += np.bincount(place[counted], minlength=len(live))
        data = counts.reshape(-1, len(live))
        self._mean = np.divide(data, live, out=np.zeros_like(data), where=live > 0)
        self.total = float(data.sum(where=live > 0, dtype=float))
        """Counts of all pairs together."""
        whole = float(data.sum(dtype=float))
        if self.total < (1 - LOST) * whole:
            raise GeometryError(
                f"{100 * (1 - self.total / whole):.0f} % of the scatter lies in bins that no pair "
                "of detectors is in: it is of another scanner"
            )

    def of(self, events: Events) -> Array:
        """Return the mean counts in the pair, and time-of-flight bin, of each event."""
        ends = events.points_mm[events.pairs].astype(float)
        place, turned = nearest_bins(self._bins, ends)
        tof = np.zeros(1, np.int64) if events.tof is None else events.tof.astype(np.int64)
        tof = np.where(turned, len(self._mean) - 1 - tof, tof)
        return np.asarray(self._mean[tof, np.maximum(place, 0)] * (place >= 0), np.float32)


def _same(one: Timing | None, other: Timing | None) -> bool:
    """Return whether two sets of time-of-flight bins are the same, or both none."""
    if one is None or other is None:
        return one is other
    return one.bins == other.bins and bool(np.isclose(one.width_mm, other.width_mm, rtol=1e-3))


def _words(timing: Timing | None) -> str:
    if timing is None:
        return "no time of flight"
    return f"{timing.bins} time-of-flight bins of {timing.width_mm:.4g} mm"
