"""Some events of a list-mode scan, counted into direct planes: what looks at sinograms reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from emrecon.tomo.corrections.bin_places import places_of
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.pairs import Pairs
from emrecon.tomo.geometry.segments import Segment
from emrecon.tomo.listmode_scan import ListmodeScan
from emrecon.tomo.scan import Scan
from emrecon.volume import Array

Indices = NDArray[np.int64]
Places = Callable[[NDArray[np.unsignedinteger]], Indices]
"""Returns the bin of each detector pair, as a place in flattened data: -1 where that is in no
direct plane, and -2 where no coincidence is."""

EVENTS = 1_000_000
"""About how many events are counted."""

PAIRS = 16_000_000
"""About how many detector pairs tell how well the bins are seen."""

VIEWS, PITCH_MM = 24, 14.0
"""Views, and about the size of bins and planes, where a scanner has none of its own."""

TILT = 0.1
"""Climb of a line over its length across the axis, up to which it lies in a direct plane."""


def in_direct_planes(scan: ListmodeScan) -> Scan:
    """Return a share of a scan's events in direct planes, with efficiencies and background.

    A scanner of any shape has coarse bins of its own, and efficiencies that are known up to a
    factor. All of the background is taken to lie where randoms do: their ends are those of
    different events [1]_.

    References
    ----------
    .. [1] M. E. Casey, E. J. Hoffman, "Quantitation in positron emission computed tomography: 7.
       A technique to reduce noise in accidental coincidence measurements and coincidence
       efficiency calibration", J. Comput. Assist. Tomogr. 10, 845 (1986).
    """
    bins, places, efficiency = (
        _of_ring(scan.bins, scan.efficiency)
        if isinstance(scan.bins, Bins)
        else _of_pairs(scan.bins)
    )
    events, share = scan.events, max(1, len(scan.events) // EVENTS)
    parts = [
        part.pairs if part.factors is None else part.pairs[part.factors > 0]
        for part in events.subset(0, share)
    ]
    pairs = np.concatenate(parts)
    background = events.background_total * events.share / share
    randoms = None
    if background:
        mixed = places(np.random.default_rng(0).permutation(pairs.ravel()).reshape(-1, 2))
        possible = max(1, int(np.count_nonzero(mixed > -2)))
        randoms = _counted(bins, mixed) * np.float32(background / possible)
    return Scan(bins, _counted(bins, places(pairs)), efficiency, randoms=randoms)


def _counted(bins: Bins, places: Indices, weights: Array | None = None) -> Array:
    """Return how many pairs lie in every bin."""
    inside = places >= 0
    kept = None if weights is None else weights[inside]
    counts = np.bincount(places[inside], kept, int(np.prod(bins.shape)))
    return counts.reshape(bins.shape).astype(np.float32)


def _of_ring(bins: Bins, efficiency: Array) -> tuple[Bins, Places, Array]:
    """Return the direct planes of a ring scanner's bins, what finds a pair's, and efficiencies."""
    planes, direct = bins.planes, bins.segments[0].planes

    def places(pairs: NDArray[np.unsignedinteger]) -> Indices:
        column, plane = np.divmod(places_of(bins, pairs), planes)
        flat = np.where(plane < direct, column * direct + plane, -1)
        return np.where(column < 0, -2, flat)

    flat = replace(bins, segments=bins.segments[:1])
    return flat, places, np.ascontiguousarray(efficiency[..., :direct])


def _of_pairs(pairs: Pairs) -> tuple[Bins, Places, Array]:
    """Return coarse direct planes of a scanner of any shape, what finds a pair's, efficiencies."""
    half = int(np.ceil(pairs.fov_mm / PITCH_MM))
    low, high = pairs.plane_z_mm
    planes = max(1, round((high - low) / PITCH_MM))
    step = float(high - low) / planes or 1.0
    bins = Bins(
        (np.arange(VIEWS) + 0.5) * np.pi / VIEWS,
        PITCH_MM * np.arange(-half, half + 1, dtype=np.float64),
        (Segment(planes, float(low) + step / 2, step),),
        pairs.radius_mm,
    )
    rng = np.random.default_rng(0)
    places = partial(_places, bins, pairs.points_mm, np.float32(pairs.crystal_mm), rng)
    seen, wanted = np.zeros(bins.shape, np.float32), max(1, PAIRS // pairs.chunks)
    for chunk in pairs.every():
        some = np.arange(len(chunk))
        if len(chunk) > wanted:
            some = rng.integers(0, len(chunk), wanted)
        weight = np.full(len(some), len(chunk) / max(1, len(some)), np.float32)
        weights = weight if chunk.factors is None else weight * chunk.factors[some]
        seen += _counted(bins, places(chunk.pairs[some]), weights)
    return bins, places, seen


def _places(
    bins: Bins,
    points_mm: Array,
    crystal_mm: np.float32,
    rng: np.random.Generator,
    pairs: NDArray[np.unsignedinteger],
) -> Indices:
    """Return the coarse bin of a line of each pair, as `Places` does.

    It ends anywhere in the two crystals: their middles would beat with the bins.
    """
    ends = points_mm[pairs] + crystal_mm * (rng.random((*pairs.shape, 3), np.float32) - 0.5)
    start, end = ends.transpose(1, 0, 2)
    along = end - start
    length = np.maximum(np.hypot(along[:, 0], along[:, 1]), np.float32(1e-9))
    aside = (start[:, 0] * along[:, 1] - start[:, 1] * along[:, 0]) / length
    views, count, planes = bins.shape
    possible = (np.abs(aside) < (count // 2 + 0.5) * PITCH_MM) & (length > 1)
    place = np.where(possible, -1, -2)
    some = np.flatnonzero(possible & (np.abs(along[:, 2]) <= TILT * length))
    turn, phi = np.divmod(np.arctan2(-along[some, 0], along[some, 1]), np.pi)
    view = np.minimum((phi / np.pi * views).astype(np.int64), views - 1)
    at = np.rint(np.where(turn % 2, -1, 1) * aside[some] / PITCH_MM).astype(np.int64) + count // 2
    flat = bins.segments[0]
    height = (start[some, 2] + end[some, 2]) / 2 - (flat.first_mm - flat.step_mm / 2)
    plane = np.clip((height / flat.step_mm).astype(np.int64), 0, planes - 1)
    place[some] = (view * count + at) * planes + plane
    return place
