"""Measures the regions of an image: means, standard errors, resolution, volumes."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon import io, metrics
from emrecon.em import Iterate, last, until
from emrecon.io import sidecar
from emrecon.jobs.base import Meters
from emrecon.jobs.recon_image import ReconImage
from emrecon.jobs.region_table import RegionRow, RegionTable
from emrecon.metrics.compare import onto
from emrecon.stop import Enough, Rule, Stopped
from emrecon.tomo.draw import Draw
from emrecon.tomo.region_settings import RegionSettings
from emrecon.tomo.uncertainty import (
    AtMaximum,
    at_maximum,
    drawn_again,
    filtered,
    fwhm_mm,
    response_of_stopped,
)
from emrecon.volume import Array, Volume

log = logging.getLogger(__name__)

NEAR = 1.0
"""Percent of the typical value that an image may be from the maximum."""

APART_MM = 50.0
"""Points that are looked at together are as far apart at least."""

Voxel = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Regions:
    """Regions on the grid of an image that was reconstructed."""

    image: ReconImage
    """What was iterated."""

    reached: Array
    """The iterate that it ended with."""

    updates: int
    """How many updates that took."""

    labels: Volume
    """Where the regions are."""

    names: Mapping[int, str] = field(default_factory=dict)
    """What labels stand for."""

    @cached_property
    def volume(self) -> Volume:
        """The image as it is written."""
        return self.image.volume(self.reached)

    @cached_property
    def rows(self) -> list[metrics.Region]:
        """One row a region: mean and volume."""
        return metrics.regions(self.volume, None, self.labels, self.names)

    @cached_property
    def weights(self) -> list[Array]:
        """For each row, what its mean weights voxels with."""
        labels = onto(self.labels, self.volume, order=0)
        inside = [(labels == row.label).astype(np.float32) for row in self.rows]
        return [one / np.float32(one.sum()) for one in inside]

    @cached_property
    def scale(self) -> float:
        """What counts/mm are multiplied by in the image."""
        calibration = self.image.problem.calibration
        return self.image.quantity.scale * (calibration.factor if calibration else 1.0)

    def means(self, volume: Volume) -> list[float]:
        """Return the means of another image in the regions."""
        return [float(np.sum(w * volume.voxels, dtype=np.float64)) for w in self.weights]

    def innermost(self) -> list[Voxel]:
        """Return the voxel of every region that lies deepest in it, the first of several."""
        from scipy.ndimage import distance_transform_edt  # noqa: PLC0415 - heavy

        spacing = self.image.problem.grid.spacing_mm
        return [
            _deepest(distance_transform_edt(np.pad(w, 1), spacing)[1:-1, 1:-1, 1:-1])
            for w in self.weights
        ]

    def widths(self, response: Callable[[Array], Array]) -> list[float]:
        """Return the resolution at the innermost voxel of every region, few looks for all."""
        places, grid = self.innermost(), self.image.problem.grid
        widths = dict.fromkeys(range(len(places)), math.nan)
        for group in _apart(places, grid.spacing_mm):
            points = np.zeros(grid.shape, np.float32)
            for number in group:
                points[places[number]] = 1
            spread = filtered(self.image.problem, response(points))
            for number in group:
                widths[number] = fwhm_mm(spread, places[number], grid.spacing_mm)
        return [widths[number] for number in range(len(places))]


def table(
    regions: Regions, settings: RegionSettings, meters: Meters, rules: Sequence[Rule] = ()
) -> RegionTable:
    """Return the table of the regions of an image.

    Parameters
    ----------
    regions : Regions
        Where they are.
    settings : RegionSettings
        Where standard errors come from.
    meters : callable
        Makes the progress bars.
    rules : sequence of Rule, optional
        What ends the run early: then the replicates that there are count.
    """
    penalty = regions.image.problem.penalised
    method = settings.method(converged=bool(penalty and penalty.penalty.until_converged))
    nothing = [math.nan] * len(regions.rows)
    errors, widths = nothing, nothing
    facts: dict[str, Any] = {"uncertainty": method}
    if method != "none":
        maximum = None
        if penalty is not None:
            maximum = at_maximum(regions.image.problem, regions.reached)
        widths = regions.widths(_response(regions, maximum))
    if method == "curvature" and maximum is not None:
        _warn_of_distance(regions.image)
        errors = _by_curvature(regions, maximum, meters)
    if method == "bootstrap":
        drawn = list(_replicates(regions, settings, meters, rules))
        facts |= {"draws": len(drawn), "draw_seed": settings.draw_seed}
        errors = np.std(drawn, axis=0, ddof=1).tolist() if len(drawn) > 1 else nothing
    unit = regions.volume.unit
    rows = tuple(
        RegionRow(row.label, row.name, row.mean, row.sd, error, width, row.volume_ml, unit)
        for row, error, width in zip(regions.rows, errors, widths, strict=True)
    )
    return RegionTable(rows, facts)


def measured(
    image: ReconImage,
    reached: Iterate[Array],
    settings: RegionSettings,
    meters: Meters,
    rules: Sequence[Rule] = (),
) -> RegionTable | None:
    """Return the table of the regions in the file that the settings name; None without one.

    Raises
    ------
    EmreconError
        If they cannot be read, or none is in the image.
    """
    if settings.regions is None:
        return None
    labels, names = io.read_image(settings.regions), sidecar.label_names(settings.regions)
    regions = Regions(image, reached.params, reached.number, labels, names)
    return table(regions, settings, meters, rules)


def means_alone(volume: Volume, path: Path) -> RegionTable:
    """Return the table of the regions in a file of any image, without standard errors.

    Raises
    ------
    EmreconError
        If they cannot be read.
    """
    labels, names, nothing = io.read_image(path), sidecar.label_names(path), math.nan
    rows = tuple(
        RegionRow(row.label, row.name, row.mean, row.sd, nothing, nothing, row.volume_ml,
                  volume.unit)
        for row in metrics.regions(volume, None, labels, names)
    )  # fmt: skip
    return RegionTable(rows, {"uncertainty": "none"})


def _deepest(depth: NDArray[np.float64]) -> Voxel:
    """Return where a depth is greatest."""
    i, j, k = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return int(i), int(j), int(k)


def _apart(places: Sequence[Voxel], spacing_mm: Sequence[float]) -> list[list[int]]:
    """Return the numbers of places in groups, those of one far from each other."""
    groups: list[list[int]] = []
    for number, place in enumerate(places):
        for group in groups:
            steps = np.array([places[other] for other in group]) - place
            if np.linalg.norm(steps * np.asarray(spacing_mm), axis=1).min() >= APART_MM:
                group.append(number)
                break
        else:
            groups.append([number])
    return groups


def _response(regions: Regions, maximum: AtMaximum | None) -> Callable[[Array], Array]:
    """Return what tells what becomes of points in the image."""
    if maximum is not None:
        return maximum.response
    problem, updates = regions.image.problem, regions.updates
    return lambda points: response_of_stopped(problem, points, updates)


def _warn_of_distance(image: ReconImage) -> None:
    """Say where an image is far from the maximum, of which its errors are."""
    residuals = [row.residual_percent for row in image.history.rows]
    known = [percent for percent in residuals if not math.isnan(percent)]
    if not (known and known[-1] <= NEAR):
        log.warning(
            "standard errors are those of the maximum, and the image is %s of it: go on until it "
            "has converged, or take --uncertainty bootstrap",
            f"within {known[-1]:.2g} %" if known else "an unknown way short",
        )


def _by_curvature(regions: Regions, maximum: AtMaximum, meters: Meters) -> list[float]:
    """Return the standard errors at a maximum, region by region."""
    problem, errors = regions.image.problem, []
    with meters("standard errors", len(regions.rows)) as meter:
        for weights in regions.weights:
            variance = maximum.variance(filtered(problem, weights))
            errors.append(regions.scale * math.sqrt(variance))
            if meter:
                meter.update(len(errors), len(regions.rows))
    return errors


def _replicates(
    regions: Regions, settings: RegionSettings, meters: Meters, rules: Sequence[Rule]
) -> Iterator[list[float]]:
    """Yield the means of the regions in one replicate after another."""
    image = regions.image
    with meters("bootstrap", settings.draws) as meter:
        for number in range(settings.draws):
            problem = drawn_again(image.problem, Draw(settings.draw_seed, image.number, number))
            enough = Enough(problem.enough())
            try:
                reached = last(until(problem.iterates(), enough, *rules))
            except Stopped:
                return
            if not enough.reached:
                return
            yield regions.means(replace(image, problem=problem).volume(reached.params))
            if meter:
                meter.update(number + 1, settings.draws)
