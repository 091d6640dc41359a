"""The story of a reconstruction: scan and settings, models, iterates, volume."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import cycle, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon.compiled import set_threads
from emrecon.em import Iterate, Model, em, last, until, watch
from emrecon.errors import DataError
from emrecon.stop import Flat, Rule, after
from emrecon.tomo import camera_setup
from emrecon.tomo.corrections import attenuation
from emrecon.tomo.corrections.calibration import Calibration
from emrecon.tomo.emission import Emission
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.geometry.image_grid import grid_of
from emrecon.tomo.operators.algebra import Chain, Operator
from emrecon.tomo.operators.blur import Blur
from emrecon.tomo.operators.camera import CameraProjector, fitted
from emrecon.tomo.operators.joseph import JosephProjector
from emrecon.tomo.operators.siddon import Siddon, field_of_view_mm
from emrecon.tomo.scan import Scan, together
from emrecon.tomo.sensitivity import Sensitivities, key_of
from emrecon.tomo.settings import Settings, per_axis
from emrecon.tomo.subsets import Views, turns
from emrecon.volume import Array, Grid, Volume
from emrecon.watchers import relative_change

log = logging.getLogger(__name__)

UNIT = "counts/mm"
"""Unit of a reconstructed image until a calibration gives Bq/mL."""

Progress = Callable[[int, int], object]


@dataclass(frozen=True, eq=False)
class Problem:
    """Everything the loop needs: a model for each subset, and where to start."""

    models: tuple[Model[Any, Any], ...]
    """One model a subset, in the order of their turns; of arrays where it is one process."""

    start: Any
    """Uniform image inside the field of view that explains the total of the counts."""

    grid: Grid
    """Where the image lies."""

    settings: Settings
    """The settings as used: threads and subsets that fit."""

    facts: dict[str, Any]
    """What was found on the way: totals, voxels not seen."""

    kept: Sensitivities
    """Keeps the sensitivities of the models."""

    calibration: Calibration | None = None
    """What makes Bq/mL of counts/mm, where it is known."""

    place: Callable[[Array], Any] = np.asarray
    """Brings an image to where the models take it."""

    change: Callable[[Any, Any], float] = relative_change
    """Tells how far an iterate is from the one before."""

    def iterates(self, image: Array | None = None, number: int = 0) -> Iterator[Iterate[Any]]:
        """Yield the start image, or the `image` of a stopped run, and every update after it."""
        turns = islice(cycle(self.models), number % len(self.models), None)
        return em(turns, self.start if image is None else self.place(image), start=number)

    def enough(self, earlier: Sequence[float] = ()) -> list[Rule]:
        """Return the rules that end the run by the settings.

        A run that goes on gives the log-likelihoods of its `earlier` iterates.
        """
        rules = [after(self.settings.iterations * len(self.models))]
        if self.settings.tolerance:
            rules.append(Flat(self.settings.tolerance, len(self.models), earlier))
        return rules

    def volume(self, image: Array) -> Volume:
        """Return an iterate as a volume, after the post-filter."""
        fwhm = per_axis(self.settings.post_fwhm_mm)
        if any(fwhm):
            image = Blur(self.grid, fwhm).forward(image)
        volume = Volume(image, self.grid.affine, UNIT)
        return volume if self.calibration is None else self.calibration.applied(volume)


def recon(
    scan: Scan,
    settings: Settings | None = None,
    *observers: Callable[[Iterate[Array]], object],
) -> Volume:
    """Reconstruct a scan by MLEM or OSEM.

    Parameters
    ----------
    scan : Scan
        Counts with their corrections.
    settings : Settings, optional
        How; the defaults without it.
    *observers : callable
        Each is shown every iterate; see `emrecon.watchers`.

    Returns
    -------
    Volume
        Activity in counts per mm of line integral, or in Bq/mL with a camera's calibration.
    """
    problem = prepare(scan, settings or Settings())
    reached = last(until(watch(problem.iterates(), *observers), *problem.enough()))
    return problem.volume(reached.params)


def prepare(
    scan: Scan,
    settings: Settings,
    *,
    kept: Sensitivities | None = None,
    progress: Progress = lambda done, total: None,
) -> Problem:
    """Build the model of every subset and the start image.

    Parameters
    ----------
    scan, settings
        What to reconstruct, and how.
    kept : Sensitivities, optional
        Where sensitivities are kept, to share them between runs.
    progress : callable, optional
        Told how many of the subsets are ready, and their number.

    Raises
    ------
    DataError
        If the counts cannot come from a Poisson model, or are explained by background alone.
    SettingsError
        If the machine or the scan cannot do what the settings say.
    """
    set_threads(settings.threads)
    scan.check()
    scan, calibration = (
        camera_setup.completed(scan, settings),
        camera_setup.calibration(scan, settings),
    )
    grid = grid_of(scan.bins, settings)
    order = turns(scan.bins, grid, settings)
    settings = replace(settings, subsets=len(order))
    kept = kept or Sensitivities()
    models: list[Emission] = []
    total = np.zeros(grid.shape, np.float32)
    for number, bare in bare_models(scan, settings, (grid, scan.bins.fov_mm), order):
        sensitivity = kept.of(bare, number, len(order))
        models.append(replace(bare, sensitivity=sensitivity))
        total += sensitivity()
        progress(len(models), len(order))
    inside = _inside(scan, settings, grid)
    start, facts = start_image(inside, count_totals(models[0]), total)
    facts |= camera_setup.facts(scan, calibration)
    return Problem(tuple(models), start, grid, settings, facts, kept, calibration)


def bare_models(
    scan: Scan, settings: Settings, where: tuple[Grid, float], order: list[tuple[int, Views]]
) -> Iterator[tuple[int, Emission]]:
    """Yield number and model of every subset, in the `order` given, without its sensitivity.

    Parameters
    ----------
    scan, settings
        What to reconstruct, and how.
    where : tuple
        The image's grid, and the radius in mm of the field of view.
    order : list
        Number and views of every subset.
    """
    scan = _medium(scan, where)
    prompts, factors, background = scan.prompts, _factors(scan), _background(scan)
    for number, views in order:
        system, summed = _systems(scan, settings, where, views)
        bare = Emission(system, prompts, factors, background, views, lambda: NOTHING, summed)
        yield number, bare


def fingerprint(scan: Scan, settings: Settings) -> str:
    """Return a name for all that decides the iterates: counts, corrections, geometry, settings.

    The version of emrecon decides too. Iterations, tolerance, threads and checkpoints do not:
    they say only when to stop.
    """
    parts = (scan.prompts, scan.normalisation, scan.attenuation, scan.randoms, scan.scatter)
    mu = scan.mu and (scan.mu.voxels, scan.mu.affine)
    grid = (settings.voxel_mm, settings.size, settings.centre_mm)
    projector = (settings.projector, settings.rays, settings.ring_wide)
    decides = (settings.subsets, grid, settings.psf_fwhm_mm, projector)
    if isinstance(scan.bins, Camera):
        at = (scan.bins.theta_rad, scan.bins.radius_mm, scan.bins.u_mm, scan.bins.z_mm)
        response = camera_setup.completed(scan, settings).response
        return key_of(*parts, *(mu or ()), *at, response, *decides)
    ring = scan.bins
    bins = (ring.phi_rad, ring.s_mm, ring.segments, ring.radius_mm, ring.timing)
    return key_of(version("emrecon"), *parts, *(mu or ()), *bins, *decides)


NOTHING = np.empty(0, np.float32)


def _systems(
    scan: Scan, settings: Settings, where: tuple[Grid, float], chosen: Views
) -> tuple[Operator, Operator | None]:
    """Return the projector of one subset, with the resolution model where one is wanted.

    With time of flight also its sum over the time-of-flight bins.
    """
    views, (grid, fov_mm) = scan.bins.of_views(chosen), where
    projector: Operator
    summed: Operator | None = None
    if isinstance(views, Camera):
        projector = CameraProjector(grid, views, scan.response, scan.mu, fov_mm)
    elif settings.projector == "siddon":
        projector = Siddon(grid, views, rays=settings.rays)
    else:
        projector = JosephProjector(grid, views, fov_mm, settings.ring_wide)
        if views.timing is not None:
            summed = JosephProjector(grid, views, fov_mm, settings.ring_wide, summed=True)
    fwhm = per_axis(settings.psf_fwhm_mm)
    if not any(fwhm):
        return projector, summed
    blur = Blur(grid, fwhm)
    return Chain(projector, blur), summed and Chain(summed, blur)


def _medium(scan: Scan, where: tuple[Grid, float]) -> Scan:
    """Return a camera's scan with its attenuation map as all subsets read it."""
    if scan.mu is None or not isinstance(scan.bins, Camera):
        return scan
    return scan.with_(mu=fitted(scan.mu, where[0], scan.bins, where[1]))


def _factors(scan: Scan) -> Array | None:
    """Return normalisation times attenuation; None where both are 1.

    The attenuation of a camera depends on depth, and is part of its projector.
    """
    if isinstance(scan.bins, Camera):
        return scan.normalisation
    survival = scan.attenuation
    if scan.mu is not None:
        survival = attenuation.factors(scan.mu, scan.bins)
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


def _inside(scan: Scan, settings: Settings, grid: Grid) -> NDArray[np.bool_]:
    """Return which columns of voxels lie in the field of view."""
    fov_mm = scan.bins.fov_mm
    if settings.projector == "siddon" and isinstance(scan.bins, Bins):
        fov_mm = field_of_view_mm(grid, scan.bins) * (1 + 1e-6)  # voxel centres lie on it
    return within(grid, fov_mm)


def within(grid: Grid, fov_mm: float) -> NDArray[np.bool_]:
    """Return which columns of voxels lie within a distance of the axis."""
    x, y = grid.centres_mm(0), grid.centres_mm(1)
    return x[:, None] ** 2 + y[None, :] ** 2 <= fov_mm**2


def start_image(
    inside: NDArray[np.bool_], totals: tuple[float, float], sensitivity: Array
) -> tuple[Array, dict[str, Any]]:
    """Return the start image and what was counted: expected and measured totals agree.

    Parameters
    ----------
    inside : Array
        Which columns of voxels lie in the field of view.
    totals : tuple of float
        Prompts and background, see `count_totals`.
    sensitivity : Array
        That of all subsets together.
    """
    seen = (sensitivity > 0) & inside[:, :, None]
    prompts, behind = totals
    reach = float(np.sum(sensitivity, where=seen, dtype=np.float64))
    if not reach:
        raise DataError("no voxel of the image is seen by any bin: check grid and normalisation")
    if prompts <= behind:
        raise DataError(
            f"{prompts:.6g} prompts are no more than the {behind:.6g} of randoms and scatter: "
            "there is nothing left to reconstruct"
        )
    facts = {
        "prompts": prompts,
        "background": behind,
        "voxels": int(seen.size),
        "voxels_in_field_of_view": int(inside.sum()) * sensitivity.shape[2],
        "voxels_not_seen": int(np.count_nonzero(inside[:, :, None] & (sensitivity <= 0))),
    }
    if facts["voxels_not_seen"]:
        log.info("%d voxels of the field of view are seen by no bin", facts["voxels_not_seen"])
    return seen.astype(np.float32) * np.float32((prompts - behind) / reach), facts


def count_totals(model: Emission) -> tuple[float, float]:
    """Return prompts and background of all views over the bins that take part, view by view."""
    counts, factors, background = model.counts, model.factors, model.background
    prompts = behind = 0.0
    for view in range(counts.shape[-3]):
        live = True if factors is None else factors[view] > 0
        prompts += float(np.sum(counts[..., view, :, :], where=live, dtype=np.float64))
        if background is not None:
            behind += float(np.sum(background[..., view, :, :], where=live, dtype=np.float64))
    return prompts, behind
