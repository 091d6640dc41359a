"""A reconstruction in memory: scan and settings to likelihoods, iterates and a volume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from emrecon.compiled import set_threads
from emrecon.em import Iterate, last, until, watch
from emrecon.tomo import camera_setup
from emrecon.tomo.corrections.map_shift import say_elsewhere
from emrecon.tomo.geometry.image_grid import grid_of
from emrecon.tomo.listmode_scan import ListmodeScan
from emrecon.tomo.operators.projector import seen_mm
from emrecon.tomo.problem import Problem, start_image, within
from emrecon.tomo.scan import Scan
from emrecon.tomo.sensitivity import Sensitivities
from emrecon.tomo.settings import Settings
from emrecon.tomo.subset_likelihoods import (
    Progress,
    bin_likelihoods,
    check_events,
    count_totals,
    event_likelihoods,
    event_totals,
    sensitivity_of,
    silent,
)
from emrecon.tomo.subsets import turns
from emrecon.volume import Array, Volume


def recon(
    scan: Scan | ListmodeScan,
    settings: Settings | None = None,
    *observers: Callable[[Iterate[Array]], object],
) -> Volume:
    """Reconstruct a scan by MLEM or OSEM.

    Parameters
    ----------
    scan : Scan or ListmodeScan
        Counts or events with their corrections.
    settings : Settings, optional
        How; the defaults without it.
    *observers : callable
        Each is shown every iterate; see `emrecon.watchers`.

    Returns
    -------
    Volume
        Activity in counts per mm of line integral, or in Bq/mL with a camera's calibration.

    Examples
    --------
    >>> import numpy as np
    >>> import emrecon as em
    >>> from emrecon.tomo.geometry.bins import Bins
    >>> bins = Bins.parallel(np.arange(12) * np.pi / 12, np.arange(-8.0, 9.0))
    >>> scan = em.Scan(bins, np.random.default_rng(0).poisson(5, bins.shape).astype(np.float32))
    >>> image = em.recon(scan, em.Settings(iterations=2, subsets=3))
    >>> image.voxels.shape, image.unit
    ((17, 17, 1), 'counts/mm')
    """
    problem = prepare(scan, settings or Settings()).balanced()
    reached = last(until(watch(problem.iterates(), *observers), *problem.enough()))
    problem.balance(reached.params)
    return problem.volume(reached.params)


def prepare(
    scan: Scan | ListmodeScan,
    settings: Settings,
    *,
    kept: Sensitivities | None = None,
    progress: Progress = silent,
    sensitivity: Array | None = None,
) -> Problem:
    """Build the likelihood of every subset and the start image.

    Parameters
    ----------
    scan, settings
        What to reconstruct, and how.
    kept : Sensitivities, optional
        Where sensitivities are kept, to share them between runs; counts in bins alone.
    progress : callable, optional
        Is shown how much of the sensitivity is done, and of how much.
    sensitivity : array, optional
        What `sensitivity_of` gives, where it is known; events alone.

    Raises
    ------
    DataError
        If the counts cannot come from a Poisson model, or are explained by background alone.
    SettingsError
        If the machine or the scan cannot do what the settings say.

    Examples
    --------
    >>> import numpy as np
    >>> import emrecon as em
    >>> from emrecon.tomo.geometry.bins import Bins
    >>> bins = Bins.parallel(np.arange(12) * np.pi / 12, np.arange(-8.0, 9.0))
    >>> scan = em.Scan(bins, np.random.default_rng(0).poisson(5, bins.shape).astype(np.float32))
    >>> problem = em.prepare(scan, em.Settings(subsets=1))
    >>> run = [one.log_likelihood for one in em.until(problem.iterates(), em.after(5))]
    >>> run == sorted(run)
    True
    """
    set_threads(settings.threads)
    if isinstance(scan, ListmodeScan):
        return _of_events(scan, settings, sensitivity, progress)
    return _of_bins(scan, settings, kept or Sensitivities(), progress)


def _of_bins(scan: Scan, settings: Settings, kept: Sensitivities, progress: Progress) -> Problem:
    """Build the likelihoods of counts in bins, and their start image."""
    scan.check()
    calibration = camera_setup.calibration(scan, settings)
    scan = camera_setup.completed(scan, settings)
    grid = grid_of(scan.bins, settings)
    order = turns(scan.bins, grid, settings)
    settings = replace(settings, subsets=len(order))
    each = bin_likelihoods(scan, settings, grid, scan.bins.fov_mm, order)
    likelihoods = tuple(
        replace(likelihood, keep=kept.of(number, len(order), grid.shape))
        for (number, _), likelihood in zip(order, each, strict=True)
    )
    if scan.mu is not None:
        say_elsewhere(scan, scan.mu)
    total = np.zeros(grid.shape, np.float32)
    for done, likelihood in enumerate(likelihoods, 1):
        total += likelihood.sensitivity
        progress(done, len(order))
    inside = within(grid, seen_mm(scan.bins, grid, settings))
    start, facts = start_image(inside, count_totals(likelihoods[0]), total)
    facts |= camera_setup.facts(scan, calibration)
    exam = scan.exam.lasting(scan.duration_s)
    return Problem(likelihoods, start, grid, settings, facts, calibration, scan.origin_mm, exam)


def _of_events(
    scan: ListmodeScan, settings: Settings, sensitivity: Array | None, progress: Progress
) -> Problem:
    """Build the likelihoods of single events, and their start image."""
    check_events(scan, settings)
    grid = grid_of(scan.bins, settings)
    if sensitivity is None:
        sensitivity = sensitivity_of(scan, settings, progress)
    start, facts = start_image(within(grid, scan.bins.fov_mm), event_totals(scan), sensitivity)
    each = event_likelihoods(scan, settings, grid, sensitivity)
    models, exam = tuple(one for _, one in each), scan.exam.lasting(scan.duration_s)
    return Problem(models, start, grid, settings, facts, exam=exam)
