"""From a scan to the likelihood of each of its subsets: in bins, or event by event."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice, repeat, tee

import numpy as np

from emrecon.errors import DataError, SettingsError
from emrecon.tomo.corrections import attenuation
from emrecon.tomo.corrections.direct_events import in_direct_planes
from emrecon.tomo.corrections.map_place import (
    say_camera_counts_beside,
    say_counts_beside,
    say_cover,
)
from emrecon.tomo.corrections.map_shift import say_elsewhere
from emrecon.tomo.emission import Emission
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.geometry.image_grid import grid_of
from emrecon.tomo.geometry.pairs import Pairs
from emrecon.tomo.listmode_emission import ListmodeEmission
from emrecon.tomo.listmode_scan import ListmodeScan
from emrecon.tomo.operators.algebra import Chain, Operator
from emrecon.tomo.operators.camera import fitted
from emrecon.tomo.operators.joseph import JosephProjector
from emrecon.tomo.operators.lines import LineProjector
from emrecon.tomo.operators.projector import Medium, projector, resolution
from emrecon.tomo.scan import Scan, together
from emrecon.tomo.settings import Settings
from emrecon.tomo.subsets import Turn, subset_order
from emrecon.volume import Array, Grid

Progress = Callable[[int, int], object]
"""Is shown how many steps are done, and of how many."""

SMALL_MM = 100.0
"""Radius of a field of view in which coarse bins of events tell nothing of the place of a map:
what attenuates there is thin, and of few bins."""

GROUPS = 12
"""Groups of views that the sensitivity of events is summed in, one in memory at a time."""


def silent(done: int, total: int) -> None:
    """Show nothing."""


def bin_likelihoods(
    scan: Scan, settings: Settings, grid: Grid, fov_mm: float, order: list[Turn]
) -> Iterator[Emission]:
    """Yield the likelihood of every subset of a scan in bins.

    Parameters
    ----------
    scan, settings
        What to reconstruct, and how.
    grid : Grid
        Where the image lies.
    fov_mm : float
        Radius of the field of view.
    order : list of Turn
        Number and views of every subset.
    """
    medium = _medium(scan, grid, fov_mm)
    factors, background, blur = _factors(scan), _background(scan), resolution(grid, settings)

    def resolved(lines: Operator) -> Operator:
        return lines if blur is None else Chain(lines, blur)

    for _, views in order:
        layout = scan.bins.of_views(views)
        make = partial(projector, layout, grid, settings, fov_mm, medium)
        timed = isinstance(layout, Bins) and layout.timing is not None
        system, summed = resolved(make()), resolved(make(summed=True)) if timed else None
        yield Emission(system, scan.prompts, factors, background, views, summed)


def count_totals(likelihood: Emission) -> tuple[float, float]:
    """Return prompts and background of all views over the bins that take part, view by view."""
    counts, factors, background = likelihood.counts, likelihood.factors, likelihood.background
    prompts = expected = 0.0
    for view in range(counts.shape[-3]):
        live = True if factors is None else factors[view] > 0
        prompts += float(np.sum(counts[..., view, :, :], where=live, dtype=np.float64))
        if background is not None:
            expected += float(np.sum(background[..., view, :, :], where=live, dtype=np.float64))
    return prompts, expected


def check_events(scan: ListmodeScan, settings: Settings) -> None:
    """Refuse events that are too few to be reconstructed.

    Raises
    ------
    DataError
        If there are none.
    SettingsError
        If there are more subsets.
    """
    count = len(scan.events)
    if not count:
        raise DataError("there are no events to reconstruct")
    if settings.subsets > count:
        raise SettingsError(f"{settings.subsets} subsets of {count} events make no sense")


def event_totals(scan: ListmodeScan) -> tuple[float, float]:
    """Return prompts and background of all events."""
    return float(len(scan.events)), scan.events.background_total * scan.events.share


def event_likelihoods(
    scan: ListmodeScan,
    settings: Settings,
    grid: Grid,
    sensitivity: Array,
    chunk: tuple[int, int] = (0, 1),
) -> Iterator[tuple[int, ListmodeEmission]]:
    """Yield number and likelihood of every subset of events, or of a chunk of it.

    Parameters
    ----------
    scan, settings
        What to reconstruct, and how.
    grid : Grid
        Where the image lies.
    sensitivity : array
        What `sensitivity_of` gives.
    chunk : tuple of int, optional
        Which chunk of each subset, of how many.
    """
    lines, blur = LineProjector(grid, scan.bins.fov_mm), resolution(grid, settings)
    for number in subset_order(settings.subsets):
        subset = number, settings.subsets
        yield number, ListmodeEmission(lines, scan.events, sensitivity, subset, blur, chunk)


def sensitivity_of(
    scan: ListmodeScan,
    settings: Settings,
    progress: Progress = silent,
    chunk: tuple[int, int] = (0, 1),
) -> Array:
    """Return how well each voxel is seen: the sum over all detector pairs, not a sample.

    The pairs of a bin share its line. With a span of 1 a bin is a ring pair, with a higher span
    the mean of neighbouring ones. With a `chunk`, its number and how many there are, the sum is
    over that share of the pairs.
    """
    if settings.ring_wide:
        raise SettingsError("single events have no width: --ring-wide is for sinograms")
    if scan.mu is not None and len(scan.events) and scan.bins.fov_mm > SMALL_MM and not chunk[0]:
        say_elsewhere(in_direct_planes(scan), scan.mu)
    grid = grid_of(scan.bins, settings)
    blur = resolution(grid, settings)
    if isinstance(scan.bins, Pairs):
        seen = _over_pairs(scan, scan.bins, grid, progress, chunk)
        return seen if blur is None else blur.adjoint(seen)
    total = np.zeros(grid.shape, np.float32)
    for seen in _groups(scan, scan.bins, grid, progress, chunk):
        total += seen if blur is None else blur.adjoint(seen)
    return total


def _groups(
    scan: ListmodeScan, bins: Bins, grid: Grid, progress: Progress, chunk: tuple[int, int]
) -> Iterator[Array]:
    """Yield the sums over the bins that gather the pairs, of a group of views at a time."""
    groups = min(GROUPS, len(scan.efficiency))
    for number in range(groups)[chunk[0] :: chunk[1]]:
        group = bins.subset(number, groups)
        values = np.ascontiguousarray(scan.efficiency[number::groups])
        if scan.mu is not None:
            values *= attenuation.factors(scan.mu, group)
        yield JosephProjector(grid, group, bins.fov_mm).adjoint(values)
        progress(number + 1, groups)


def _over_pairs(
    scan: ListmodeScan, pairs: Pairs, grid: Grid, progress: Progress, chunk: tuple[int, int]
) -> Array:
    """Return the sum over the pairs themselves, some at a time."""
    lines = LineProjector(grid, pairs.fov_mm)
    views = lines.nothing()
    some, again = tee(islice(pairs.every(), chunk[0], None, chunk[1]))
    survival: Iterable[Array | np.float32] = repeat(np.float32(1))
    if scan.mu is not None:
        survival = attenuation.event_factors(scan.mu, pairs, again)
    for number, (events, survived) in enumerate(zip(some, survival, strict=False), 1):
        values = np.full(len(events), 1, np.float32) * np.asarray(survived, np.float32)
        if events.factors is not None:
            values *= events.factors
        lines.trace(events).adjoint(np.ascontiguousarray(values, np.float32), views)
        progress(number, pairs.chunks)
    return lines.image(views)


def _medium(scan: Scan, grid: Grid, fov_mm: float) -> Medium:
    """Return what a camera's photons pass, its attenuation map as all subsets read it."""
    if not isinstance(scan.bins, Camera):
        return Medium()
    if scan.mu is None:
        return Medium(scan.response)
    say_cover(scan.mu, scan.bins)
    mu = fitted(scan.mu, grid, scan.bins, fov_mm)
    say_camera_counts_beside(scan.bins, scan, mu)
    return Medium(scan.response, mu)


def _factors(scan: Scan) -> Array | None:
    """Return normalisation times attenuation; None where both are 1.

    The attenuation of a camera depends on depth, and is part of its projector.
    """
    if isinstance(scan.bins, Camera):
        return scan.normalisation
    survival = scan.attenuation
    if scan.mu is not None:
        survival = attenuation.factors(scan.mu, scan.bins)
        say_cover(scan.mu, scan.bins)
        say_counts_beside(scan.bins, scan, survival)
    if survival is None or scan.normalisation is None:
        return scan.normalisation if survival is None else survival
    if scan.mu is not None:  # computed here, so it may be changed here
        return np.multiply(survival, scan.normalisation, out=survival)
    return survival * scan.normalisation


def _background(scan: Scan) -> Array | None:
    """Return randoms plus scatter; None where both are 0."""
    if scan.randoms is None or scan.scatter is None:
        return scan.scatter if scan.randoms is None else scan.randoms
    flat, timed = sorted((scan.randoms, scan.scatter), key=lambda part: part.ndim)
    return together(timed.copy(), flat)
