"""The transmission job: counts of X-rays or of a rod source to an attenuation map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import cycle, islice, repeat
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from emrecon import forms, io
from emrecon.brief import brief, outcome
from emrecon.compiled import set_threads
from emrecon.em import Iterate, em, last, until, watch
from emrecon.errors import DataError, SettingsError
from emrecon.io import sidecar
from emrecon.io.data_exchange import ENDINGS, read_frames
from emrecon.io.manifest import resolved
from emrecon.io.pictures.preview import preview
from emrecon.io.scan import read_scan
from emrecon.jobs import input_files
from emrecon.jobs.anatomy import inputs_of, read_on_grid
from emrecon.jobs.base import (
    BASE_MB,
    MB,
    Estimate,
    Execution,
    Look,
    Meters,
    Summary,
    no_meters,
    nobody,
)
from emrecon.jobs.bundle import check_outputs, keep_others, written_together
from emrecon.jobs.data_kinds import refuse_unused, sinograms_of
from emrecon.jobs.prior_images import check_guides, penalised
from emrecon.jobs.refused import BY_TRANSMISSION
from emrecon.stop import Rule, after
from emrecon.tomo.algorithms.mltr import Mltr
from emrecon.tomo.anatomy_settings import AnatomySettings
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.image_grid import grid_of
from emrecon.tomo.inputs import Corrections
from emrecon.tomo.kernel_settings import KernelSettings
from emrecon.tomo.operators.projector import projector
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.priors import Prior
from emrecon.tomo.transmission import Transmission
from emrecon.tomo.transmission_settings import RayFiles, TransmissionSettings
from emrecon.volume import Array, Grid, Volume

UNIT = "1/mm"


@dataclass(frozen=True)
class TransmissionJob:
    """Reconstruct an attenuation map from counts of rays."""

    scan: Path
    """X-ray frames (HDF5), or projections of a ring scanner (Interfile)."""

    out: Path | None = None
    """Attenuation map to write, in 1/mm."""

    rays: RayFiles = field(default_factory=RayFiles)
    """What was measured beside the counts."""

    settings: TransmissionSettings = field(default_factory=TransmissionSettings)
    """The image, and how long it is iterated."""

    penalty: Penalty = field(default_factory=Penalty)
    """A prior."""

    KIND: ClassVar[str] = "transmission"

    __repr__ = brief

    def inputs(self) -> dict[str, Path]:
        """Return every file that is read, by what it is."""
        rays = forms.paths_in(self.rays)
        beside = {what: resolved(path, Corrections())[0] for what, path in rays.items()}
        images = forms.paths_in(replace(self.penalty, anatomy=()))
        images |= inputs_of("anatomy", self.penalty.anatomy, AnatomySettings())
        scan = input_files.scan_inputs(self.scan, Corrections())
        return scan | input_files.with_data(beside | images)

    def outputs(self) -> tuple[Path, ...]:
        """Return the files that are written, the map first."""
        if self.out is None:
            return ()
        return (self.out, *(sidecar.beside(self.out, end) for end in (".json", ".png")))

    def keep_others(self) -> None:
        """Refuse to write over a map of other counts.

        Raises
        ------
        WriteError
            If there is one.
        """
        if out := self.outputs():
            prompts, _ = resolved(self.scan, Corrections())
            ours = partial(sidecar.made_of, out[1], "prompts", prompts)
            keep_others(out, str(self.scan), ours=ours)

    def check(self, execution: Execution) -> None:
        """Refuse what no map can be made of, as far as settings and headers tell."""
        self._refuse_settings()
        check_outputs(self.outputs(), self.inputs(), anywhere=execution.MAKES_FOLDERS)
        if not self._has_frames:
            self._refuse_bins()
        elif not self.rays.pixel_mm:
            raise SettingsError("how large is a pixel of the detector? say --pixel-mm")
        input_files.check_data(self.inputs())
        if not self._has_frames:
            self._refuse_images()

    def estimate(self) -> Estimate:
        """Return what it is likely to need, from the sizes of its files."""
        size = sum(path.stat().st_size for path in self.inputs().values())
        return Estimate(BASE_MB + 8 * size / MB, 0.0)

    def begin(
        self, meters: Meters = no_meters, execution: Execution | None = None
    ) -> TransmissionRun:
        """Read the counts, and refuse what no map can be made of."""
        self.check(execution or Execution())
        set_threads(self.settings.threads)
        with meters(f"reading {self.scan.name}", 1):
            rays = self._of_frames() if self._has_frames else self._of_bins()
        grid = grid_of(rays.bins, self.settings.projection())
        return TransmissionRun(self, rays, grid)

    @property
    def _has_frames(self) -> bool:
        return self.scan.suffix.lower() in ENDINGS

    def _refuse_settings(self) -> None:
        """Refuse settings that say nothing here."""
        self.penalty.fitted(self.settings.projection())
        if self.out is not None and io.image_format(self.out).name != "NIfTI":
            raise SettingsError(f"an attenuation map is written as NIfTI, not as {self.out.name}")
        if unused := sorted(BY_TRANSMISSION.intersection(forms.changed(self.penalty))):
            raise SettingsError(f"{unused[0]} says nothing about transmission: leave it out")
        refuse_unused("transmission counts", self.scan.name, self.penalty)
        if self.penalty.betas:
            raise SettingsError("several betas are of images of activity: give one")
        if self.penalty.prior and not self.settings.quick:
            raise SettingsError("a prior takes its strength from quick passes: give 1 or more")
        rays = forms.changed(self.rays)
        beside, pixels = {"blank", "background", "blank_scale"}, {
            "pixel_mm", "axis_column", "sum_columns"
        }  # fmt: skip
        if unused := sorted((beside if self._has_frames else pixels) & set(rays)):
            kind = "HDF5, which has fields of its own" if self._has_frames else "projections"
            raise SettingsError(f"{unused[0]} says nothing about {kind}: leave it out")

    def _refuse_bins(self) -> None:
        """Refuse counts of a ring scanner of which no map can be made, as headers tell."""
        if self.rays.blank is None:
            raise SettingsError("transmission needs the scan without the object: give --blank")
        prompts, named = resolved(self.scan, Corrections())
        if corrections := sorted(forms.changed(named)):
            raise SettingsError(
                f"{self.scan} names {corrections[0]}, which transmission does not use: give the "
                "counts alone, and what did not come straight through as --background"
            )
        bins = _sinograms(prompts)
        for path in forms.paths_in(self.rays).values():
            if unlike := bins.difference(_sinograms(resolved(path, Corrections())[0])):
                raise DataError(f"{path} lies in other bins than the counts: {unlike}")

    def _refuse_images(self) -> None:
        """Refuse voxels and images of a prior by the grid of a ring scanner's map."""
        prompts, corrections = resolved(self.scan, Corrections())
        projection = self.settings.projection()
        grid = input_files.grid_of_scan(prompts, corrections, projection)
        if grid is not None:
            check_guides(self.penalty, KernelSettings(), AnatomySettings(), grid)

    def _of_frames(self) -> Measured:
        """Return the rays of X-ray frames."""
        frames, columns = read_frames(self.scan), self.rays.sum_columns
        axis = self.rays.axis_column
        axis = frames.axis_column() if axis == "auto" else axis
        frames = frames.summed(columns)
        middle = (axis - (columns - 1) / 2) / columns
        _, count, rows = frames.counts.shape
        pixel = self.rays.pixel_mm
        at_mm = (np.arange(count, dtype=np.float64) - middle) * columns * pixel
        bins = Bins.parallel(
            frames.angles_rad, np.asarray(at_mm, np.float64), slices=rows, slice_mm=pixel
        )
        return Measured(bins, frames.counts, frames.dark, frames.white, {"axis_column": axis})

    def _of_bins(self) -> Measured:
        """Return the rays of a ring scanner."""
        scan, _ = read_scan(self.scan)
        assert isinstance(scan.bins, Bins)  # noqa: S101 - as its header told
        assert self.rays.blank is not None  # noqa: S101 - which is refused
        blank = self._beside(self.rays.blank) * np.float32(self.rays.blank_scale)
        dark = np.zeros_like(blank)
        if self.rays.background is not None:
            dark = self._beside(self.rays.background)
        return Measured(scan.bins, scan.prompts, dark, blank + dark, {})

    @staticmethod
    def _beside(path: Path) -> Array:
        """Return counts in the same bins."""
        return read_scan(path)[0].prompts


def _sinograms(path: Path) -> Bins:
    words = "transmission takes sinograms without time of flight"
    return sinograms_of(path, Corrections(), words)


@dataclass(frozen=True, eq=False)
class Measured:
    """Counts with both fields, in bins."""

    bins: Bins
    counts: Any
    dark: Any
    white: Any
    facts: dict[str, Any]

    def likelihood(self, grid: Grid, job: TransmissionJob, views: Any) -> Transmission:  # noqa: ANN401
        """Return the likelihood of some views."""
        bins, settings = self.bins.of_views(views), job.settings.projection()
        lines = projector(bins, grid, settings, self.bins.fov_mm)
        several = np.ndim(self.dark) == 3
        dark, white = (a[views] if several else a for a in (self.dark, self.white))
        return Transmission.from_fields(lines, self.counts[views], dark, white)


@dataclass(frozen=True, eq=False)
class TransmissionRun:
    """A reconstruction up to its first iterate."""

    job: TransmissionJob
    """What is reconstructed."""

    rays: Measured
    """What was measured."""

    grid: Grid
    """Where the map lies."""

    name: str = "MLTR"
    """What is iterated."""

    facts: dict[str, Any] = field(default_factory=dict)
    """What auto values came to, once it iterates."""

    __repr__ = brief

    @property
    def subsets(self) -> int:
        """The subsets of the quick passes."""
        return min(self.job.settings.subsets, len(self.rays.bins.phi_rad))

    @property
    def quick(self) -> int:
        """The updates of the quick passes."""
        return self.job.settings.quick * self.subsets

    @property
    def updates(self) -> int:
        """Most updates that it makes."""
        return self.quick + self.job.settings.iterations

    def iterates(self) -> Iterator[Iterate[Array]]:
        """Yield zeros, and every update after it."""
        every = np.arange(len(self.rays.bins.phi_rad))
        image = np.zeros(self.grid.shape, np.float32)
        if self.quick:
            turns = [every[first :: self.subsets] for first in range(self.subsets)]
            models = [Mltr(self.rays.likelihood(self.grid, self.job, one)) for one in turns]
            for iterate in em(islice(cycle(models), self.quick + 1), image):
                image = iterate.params
                if iterate.number < self.quick:
                    yield iterate
            del models
        whole = self.rays.likelihood(self.grid, self.job, every)
        yield from em(repeat(Mltr(whole, self._prior(whole, image))), image, start=self.quick)

    def _prior(self, whole: Transmission, near: Array) -> Prior | None:
        """Return the prior, its strength by the data."""
        if not self.job.penalty.prior:
            return None
        chosen = penalised(self.job.penalty, self.grid, partial(read_on_grid, grid=self.grid))
        seen = whole.system.adjoint(np.ones(whole.system.range, np.float32)) > 0
        prior = chosen.objective([whole], near, seen, self.grid).prior
        self.facts.update(chosen.facts)
        return prior

    def iterate(self, look: Look = nobody, *rules: Rule) -> TransmissionResult:
        """Iterate to the end, or until a rule says that it is enough."""
        curve: list[float] = []
        steps = watch(self.iterates(), lambda it: curve.append(it.objective), *look(self))
        reached = last(until(steps, after(self.updates), *rules))
        return TransmissionResult(self, reached, tuple(curve[self.quick :]))


@dataclass(frozen=True, eq=False)
class TransmissionResult:
    """An attenuation map, and how it was found."""

    run: TransmissionRun
    """What was reconstructed."""

    reached: Iterate[Array]
    """The map."""

    curve: tuple[float, ...]
    """Objective of every iterate with all rays."""

    __repr__ = outcome

    @property
    def volume(self) -> Volume:
        """The map."""
        return Volume(self.reached.params, self.run.grid.affine, UNIT)

    def summary(self) -> Summary:
        """Return what is to be said of it."""
        counts = float(np.sum(self.run.rays.counts, dtype=np.float64))
        shape = " x ".join(str(n) for n in self.volume.voxels.shape)
        largest = float(np.percentile(self.volume.voxels, 99))
        line = (
            f"{counts:.6g} counts; {self.reached.number} updates; {shape} voxels, 99 % of them "
            f"below {largest:.4g} per mm"
        )
        return Summary((line,), counts, self.curve)

    def write(self) -> tuple[Path, ...]:
        """Write the map with sidecar and picture: all of them or none."""
        job = self.run.job
        if job.out is None:
            raise SettingsError("there is no name to write the map to")
        if not np.isfinite(self.volume.voxels).all():
            raise DataError("the map is not finite, and is not written: check the fields")
        outputs, inputs = job.outputs(), job.inputs()
        about = {
            "GeneratedBy": sidecar.generated_by(),
            "ReconMethodName": "MLTR",
            "Units": UNIT,
            "Settings": forms.plain(job.rays) | forms.plain(job.settings)
            | (forms.plain(job.penalty) if job.penalty.prior else {}),
            "Facts": self.run.rays.facts | ({"prior": self.run.facts} if self.run.facts else {}),
            "Inputs": {what: sidecar.file_facts(path) for what, path in inputs.items()},
            "Objective": list(self.curve),
        }  # fmt: skip
        with written_together(job.out, job.out.parent, job.out.name, inputs) as beside:
            image, json, png = (beside / path.name for path in outputs)
            sidecar.write(json, about)
            preview(self.volume, png, title=f"MLTR {self.reached.number}")
            io.write_image(self.volume, image)
        return outputs
