"""The story of a list-mode reconstruction: events and settings to a model for each subset."""

from __future__ import annotations

import logging

import numpy as np

from emrecon.compiled import set_threads
from emrecon.errors import DataError, SettingsError
from emrecon.tomo.corrections import attenuation
from emrecon.tomo.geometry.bins import subset_order
from emrecon.tomo.geometry.image_grid import grid_of
from emrecon.tomo.geometry.pairs import Pairs
from emrecon.tomo.listmode_emission import ListmodeEmission
from emrecon.tomo.listmode_scan import ListmodeScan
from emrecon.tomo.operators.algebra import Chain, Operator
from emrecon.tomo.operators.blur import Blur
from emrecon.tomo.operators.joseph import JosephProjector
from emrecon.tomo.operators.lines import LineProjector
from emrecon.tomo.recon import Problem, Progress, start_image, within
from emrecon.tomo.sensitivity import Sensitivities
from emrecon.tomo.settings import Settings, per_axis
from emrecon.volume import Array, Grid

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
    grid = grid_of(scan.bins, settings)
    if sensitivity is None:
        sensitivity = sensitivity_of(scan, settings, progress)
    totals = float(len(events)), events.background_total * events.share
    start, facts = start_image(within(grid, scan.bins.fov_mm), totals, sensitivity)
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
    grid = grid_of(scan.bins, settings)
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
        system: Operator = JosephProjector(grid, bins, scan.bins.fov_mm)
        blur = _blur(grid, settings)
        system = system if blur is None else Chain(system, blur)
        total += system.adjoint(values)
        progress(number + 1, groups)
    return total


def _blur(grid: Grid, settings: Settings) -> Blur | None:
    """Return the resolution model in the image, where one is wanted."""
    fwhm = per_axis(settings.psf_fwhm_mm)
    return Blur(grid, fwhm) if any(fwhm) else None
