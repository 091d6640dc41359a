"""The story of a list-mode reconstruction: events and settings to a model for each subset."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np

from emrecon.errors import DataError, SettingsError
from emrecon.tomo import attenuation
from emrecon.tomo.bins import subset_order
from emrecon.tomo.blur import Blur
from emrecon.tomo.lines import LineProjector
from emrecon.tomo.listmode_emission import ListmodeEmission
from emrecon.tomo.listmode_scan import ListmodeScan
from emrecon.tomo.operator import Array, Chain, Operator
from emrecon.tomo.pairs import Pairs
from emrecon.tomo.ray import Projector
from emrecon.tomo.recon import Problem, Progress, grid_of, set_threads
from emrecon.tomo.sensitivity import Sensitivities
from emrecon.tomo.settings import Settings, per_axis
from emrecon.volume import Grid

log = logging.getLogger(__name__)

GROUPS = 12
"""Groups of views that the sensitivity is summed in, one in memory at a time."""


def prepare(
    scan: ListmodeScan,
    settings: Settings,
    *,
    sensitivity: Array | None = None,
    progress: Progress = lambda done, total: None,
) -> Problem:
    """Build the model of every subset of the events, and the start image.

    Parameters
    ----------
    scan, settings
        What to reconstruct, and how.
    sensitivity : array, optional
        What `sensitivity_of` gives, where it is known.
    progress : callable, optional
        Told how much of the sensitivity is done, and of how much.

    Raises
    ------
    DataError
        If there are no events, or they are explained by background alone.
    SettingsError
        If the settings ask for what list-mode cannot do.
    """
    set_threads(settings.threads)
    events = scan.events
    if not len(events):
        raise DataError("there are no events to reconstruct")
    if settings.subsets > len(events):
        raise SettingsError(f"{settings.subsets} subsets of {len(events)} events make no sense")
    grid = grid_of(scan, settings)
    if sensitivity is None:
        sensitivity = sensitivity_of(scan, settings, progress)
    start, facts = _start(scan, grid, sensitivity)
    lines, blur = LineProjector(grid, scan.bins.fov_mm), _blur(grid, settings)
    models = tuple(
        ListmodeEmission(lines, events, sensitivity, (number, settings.subsets), blur)
        for number in subset_order(settings.subsets)
    )
    return Problem(models, start, grid, settings, facts, Sensitivities())


def sensitivity_of(
    scan: ListmodeScan, settings: Settings, progress: Progress = lambda done, total: None
) -> Array:
    """Return how well each voxel is seen: the sum over all detector pairs, not a sample.

    The pairs of a bin share its line. With a span of 1 a bin is a ring pair, with a higher span
    the mean of neighbouring ones.
    """
    if settings.ring_wide:
        raise SettingsError("single events have no width: --ring-wide is for sinograms")
    grid = grid_of(scan, settings)
    if isinstance(scan.bins, Pairs):
        return scan.bins.sensitivity(grid, scan.mu, _blur(grid, settings), progress)
    views = len(scan.efficiency)
    groups = min(GROUPS, views)
    total = np.zeros(grid.shape, np.float32)
    for number in range(groups):
        bins = scan.bins.subset(number, groups)
        values = np.ascontiguousarray(scan.efficiency[number::groups])
        if scan.mu is not None:
            values *= attenuation.factors(scan.mu, bins)
        system: Operator = Projector(grid, bins, scan.bins.fov_mm)
        blur = _blur(grid, settings)
        system = system if blur is None else Chain(system, blur)
        total += system.adjoint(values)
        progress(number + 1, groups)
    return total


def _blur(grid: Grid, settings: Settings) -> Blur | None:
    """Return the resolution model in the image, where one is wanted."""
    fwhm = per_axis(settings.psf_fwhm_mm)
    return Blur(grid, fwhm) if any(fwhm) else None


def _start(scan: ListmodeScan, grid: Grid, sensitivity: Array) -> tuple[Array, dict[str, Any]]:
    """Return the start image and what was counted: expected and measured totals agree."""
    x, y = grid.centres_mm(0), grid.centres_mm(1)
    inside = (x[:, None] ** 2 + y[None, :] ** 2 <= scan.bins.fov_mm**2)[:, :, None]
    seen = (sensitivity > 0) & inside
    events = scan.events
    prompts, behind = float(len(events)), events.background_total * events.share
    reach = float(np.sum(sensitivity, where=seen, dtype=np.float64))
    if not reach:
        raise DataError("no voxel of the image is seen by any detectors: check the grid")
    if prompts <= behind:
        raise DataError(
            f"{prompts:.6g} events are no more than the {behind:.6g} of randoms and scatter: "
            "there is nothing left to reconstruct"
        )
    facts = {
        "prompts": prompts,
        "background": behind,
        "voxels": int(seen.size),
        "voxels_in_field_of_view": int(inside.sum()) * grid.shape[2],
        "voxels_not_seen": int(np.count_nonzero(inside & (sensitivity <= 0))),
    }
    return seen.astype(np.float32) * np.float32((prompts - behind) / reach), facts


def without_events(scan: ListmodeScan) -> ListmodeScan:
    """Return a scan of the same scanner whose events are not held on to."""
    return replace(scan, events=scan.events.part(0, 0))
