"""The scatter job: an image and what attenuates to the mean scatter of every bin of a scan."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from emrecon import forms, io
from emrecon.brief import brief, outcome
from emrecon.errors import GeometryError, SettingsError
from emrecon.io import sidecar
from emrecon.io.manifest import resolved
from emrecon.io.scan import read_scan
from emrecon.jobs import input_files
from emrecon.jobs.base import (
    BASE_MB,
    MB,
    START_S,
    Estimate,
    Execution,
    Meters,
    Once,
    Summary,
    no_meters,
)
from emrecon.jobs.bundle import check_outputs, keep_others, written_together
from emrecon.jobs.data_kinds import data_of, need_map, refuse_unused
from emrecon.jobs.recon_scatter import draw_scatter
from emrecon.jobs.refused import BY_SCATTER
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.inputs import Corrections
from emrecon.tomo.listmode_settings import ListmodeSettings
from emrecon.tomo.problem import UNIT
from emrecon.tomo.scan import Scan
from emrecon.tomo.scatter_loop import ScatterEstimate, scatter_of_image, window_of
from emrecon.volume import Volume

PAIRS_S = 6.0
"""Processor time for the pairs of the coarse ring."""

LINE_S = 6e-8
"""Processor time for a line and time-of-flight bin."""


@dataclass(frozen=True)
class ScatterJob:
    """Work out the scatter of a scan from an image of its activity."""

    image: Path
    """Image of the activity, in counts/mm of the scan; of other units with fit."""

    out: Path | None = None
    """Scatter to write (.hs)."""

    like: Path | None = None
    """The scan whose bins, efficiencies and randoms are meant: folder, manifest or prompts."""

    fit: bool = False
    """Scale it to the prompts, all of them and those beside the body, instead of keeping the
    absolute scale of the image."""

    corrections: Corrections = field(default_factory=Corrections)
    """Files with the attenuation map, efficiencies and randoms of the scan."""

    KIND: ClassVar[str] = "scatter"

    __repr__ = brief

    @property
    def scan(self) -> Path:
        """The scan that is meant."""
        if self.like is None:
            raise SettingsError("scatter lies in the bins of a scan: name it (--like)")
        return self.like

    def inputs(self) -> dict[str, Path]:
        """Return every file that is read, by what it is."""
        image = input_files.with_data({"image": self.image})
        return image | input_files.scan_inputs(self.scan, self.corrections)

    def outputs(self) -> tuple[Path, ...]:
        """Return the files that are written, the header first."""
        if self.out is None:
            return ()
        beside = (sidecar.beside(self.out, end) for end in (".json", ".png"))
        return (self.out, self.out.with_suffix(".s"), *beside)

    def keep_others(self) -> None:
        """Refuse to write over files that are no scatter of the same image.

        Raises
        ------
        WriteError
            If there are some.
        """
        outputs = self.outputs()
        if any(path.is_file() for path in outputs):
            ours = partial(sidecar.made_of, outputs[-2], "image", self.image)
            keep_others(outputs, str(self.image), ours=ours)

    def check(self, execution: Execution) -> None:
        """Refuse what cannot be read, used or written."""
        self._checked(execution)

    def estimate(self) -> Estimate:
        """Return what it is likely to need, from the headers of its files."""
        bins = io.read_bins(*resolved(self.scan, self.corrections))
        if bins is None:
            return Estimate(BASE_MB, 0.0)
        lines, all_bins = float(np.prod(bins.shape)), float(np.prod(bins.data_shape))
        memory = BASE_MB + (12 * lines + 12 * all_bins) / MB
        return Estimate(memory, START_S + PAIRS_S + LINE_S * all_bins)

    def begin(
        self, meters: Meters = no_meters, execution: Execution | None = None
    ) -> Once[ScatterResult]:
        """Refuse what cannot be read, used or written."""
        files = self._checked(execution or Execution())

        def work() -> ScatterResult:
            with meters("scatter", 1):
                return self._estimated(files)

        return Once(work)

    def _checked(self, execution: Execution) -> dict[str, Path]:
        """Return what `inputs` does, refusing a bad name, and settings that do not go with it."""
        if self.out is not None and self.out.suffix != ".hs":
            raise SettingsError(f"scatter is written as Interfile (.hs), not {self.out}")
        if idle := sorted(BY_SCATTER.intersection(forms.asked(self.corrections))):
            raise SettingsError(
                f"{idle[0]} says nothing about the scatter of an image: leave it out"
            )
        files = self.inputs()
        prompts, stated = resolved(self.scan, self.corrections)
        simulated = replace(stated, simulate_scatter=True)
        refuse_unused(data_of(prompts, ListmodeSettings()), prompts.name, simulated)
        need_map(stated)
        check_outputs(self.outputs(), files, anywhere=execution.MAKES_FOLDERS)
        input_files.check_data(files)
        input_files.check_corrections(prompts, simulated)
        if (header := input_files.image_header(self.image)) is not None:
            self._refuse_image(header)
        return files

    def _refuse_image(self, image: Volume) -> None:
        """Refuse an image of several frames, or whose scatter has no scale."""
        if image.voxels.ndim != 3:
            raise GeometryError(f"{self.image.name} has frames: give one with the scan it is of")
        if image.unit != UNIT and not self.fit:
            raise SettingsError(
                f"{self.image.name} is in {image.unit or 'no stated unit'}, not {UNIT}: its "
                "scatter has no scale but that of the prompts (--fit)"
            )

    def _estimated(self, files: dict[str, Path]) -> ScatterResult:
        """Read everything, and work the scatter out."""
        image = io.read_image(self.image)
        self._refuse_image(image)
        scan, read = read_scan(self.scan, self.corrections)
        scan.check()
        chosen = self.corrections
        window = window_of(scan.bins, scan.exam, chosen.window_kev, chosen.energy_resolution)
        absolute = image.unit == UNIT
        estimate = scatter_of_image(scan, image, window, fit=self.fit, absolute=absolute)
        return ScatterResult(self, scan, image, estimate, {"image": files["image"], **read})


@dataclass(frozen=True, eq=False)
class ScatterResult:
    """Scatter in bins."""

    job: ScatterJob
    """What it was worked out from."""

    scan: Scan
    """The scan that it is of."""

    image: Volume
    """The activity."""

    estimate: ScatterEstimate
    """The scatter."""

    files: dict[str, Path]
    """The files that were read."""

    __repr__ = outcome

    def summary(self) -> Summary:
        """Return what is to be said of it."""
        share = self.estimate.facts["scatter_over_net_prompts"]
        fit = self.estimate.fit
        scale = "" if fit is None else f"; beside the body the counts say {fit.scale:.3g} times it"
        if self.job.fit and fit is not None:
            scale = f"; scaled by {fit.scale:.3g} to the counts beside the body"
        words = f"{self.estimate.total:.6g} scattered, {100 * share:.3g} % of the net prompts"
        return Summary((words + scale,), self.estimate.total)

    def write(self) -> tuple[Path, ...]:
        """Write the scatter with sidecar and picture: all of them or none."""
        from emrecon.io.interfile import write_projections  # noqa: PLC0415 - not without a file

        job, bins = self.job, self.scan.bins
        if job.out is None:
            raise SettingsError("there is no name to write the scatter to")
        assert isinstance(bins, Bins)  # noqa: S101 - the estimate is of such
        header, data, json, png = job.outputs()
        about: dict[str, Any] = {
            "GeneratedBy": sidecar.generated_by(),
            "Settings": {"fit": job.fit} | forms.told(job.corrections),
            "Facts": self.estimate.facts,
            "Inputs": {what: sidecar.file_facts(p) for what, p in self.files.items()},
        }
        with written_together(job.out, job.out.parent, job.out.name, self.files) as beside:
            write_projections(beside / header.name, bins, self.estimate.scatter, self.scan.exam)
            sidecar.write(beside / json.name, about)
            draw_scatter([self.estimate], beside / png.name)
        return (header, data, json, png)
