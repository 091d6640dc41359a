"""The calibration job: the image of a cylinder of known activity to a scanner's calibration."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from emrecon import io
from emrecon.brief import brief, outcome
from emrecon.errors import DataError, SettingsError
from emrecon.files import read_text
from emrecon.io import sidecar
from emrecon.io.calibration_file import write_calibration
from emrecon.io.pet_facts import PetFacts
from emrecon.jobs import base
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
from emrecon.jobs.cylinder import Cylinder
from emrecon.jobs.quantify import scale_from
from emrecon.metrics.cylinder import Inside, inside_of
from emrecon.tomo.corrections.decay import Emitter, emitter_named, start_over_mean
from emrecon.tomo.corrections.quantity import Counting, PetCalibration
from emrecon.tomo.problem import UNIT

UNEVEN, DRIFT = 0.05, 0.02
"""Departures of the mean of a plane, and of a stretch, beyond which a cylinder is no measure of a
scanner."""

SURE = 4.0
"""Standard errors by noise that such a departure is greater than."""


@dataclass(frozen=True)
class CalibrationJob:
    """Find what makes Bq/mL of a PET scanner's counts/mm, from a cylinder's image."""

    image: Path
    """Image of a uniform cylinder in counts/mm, with its sidecar beside it."""

    out: Path | None = None
    """File to write (.json)."""

    cylinder: Cylinder = field(default_factory=Cylinder)
    """What is known about the cylinder."""

    KIND: ClassVar[str] = "calibrate"

    __repr__ = brief

    def inputs(self) -> dict[str, Path]:
        """Return every file that is read, by what it is."""
        beside = sidecar.beside(self.image, ".json")
        return base.with_data({"image": self.image}) | (
            {"sidecar": beside} if beside.exists() else {}
        )

    def outputs(self) -> tuple[Path, ...]:
        """Return the file that is written, if one is."""
        return () if self.out is None else (self.out,)

    def keep_others(self) -> None:
        """Refuse to write over a file that is no calibration by the same image.

        Raises
        ------
        WriteError
            If there is one.
        """
        out = self.outputs()
        keep_others(
            out, str(self.image), ours=lambda: sidecar.made_of(out[0], "image", self.image)
        )

    def check(self, execution: Execution) -> None:
        """Refuse what cannot be read or written, and a cylinder of which too little is said."""
        self._checked(execution)

    def estimate(self) -> Estimate:
        """Return what it is likely to need, from the headers of its files."""
        voxels, _ = base.image_size(self.image)
        return Estimate(BASE_MB + voxels * 30 / MB, START_S)

    def begin(
        self, meters: Meters = no_meters, execution: Execution | None = None
    ) -> Once[CalibrationResult]:
        """Refuse what cannot be read or written."""
        about, emitter, seconds, scanner = self._checked(execution or Execution())
        return Once(lambda: self._measured(about, emitter, seconds, scanner))

    def _checked(self, execution: Execution) -> tuple[dict[str, Any], Emitter, float, str]:
        """Return what the sidecar says, isotope, duration in s and scanner."""
        files, cylinder = self.inputs(), self.cylinder
        check_outputs(self.outputs(), files, anywhere=execution.MAKES_FOLDERS)
        about = _sidecar(files.get("sidecar"))
        facts = about.get("Facts", {})
        stated = PetFacts(dict(about))
        isotope = cylinder.isotope or str(facts.get("radionuclide") or stated.nuclide)
        seconds = cylinder.duration_s or stated.duration_s
        scanner = cylinder.scanner or str(facts.get("scanner", ""))
        for flag, value in (("isotope", isotope), ("duration_s", seconds), ("scanner", scanner)):
            if not value:
                raise SettingsError(
                    f"the sidecar of {self.image.name} does not say {flag}: give "
                    f"--{flag.replace('_', '-')}"
                )
        emitter = emitter_named(isotope)
        cylinder.concentration(emitter.half_life_s)  # refuses now what it would then
        return about, emitter, float(seconds or 0.0), scanner

    def _measured(
        self, about: Mapping[str, Any], emitter: Emitter, seconds: float, scanner: str
    ) -> CalibrationResult:
        """Measure the cylinder."""
        facts, cylinder = about.get("Facts", {}), self.cylinder
        image = io.read_image(self.image)
        unit = image.unit or str(about.get("Units", ""))
        if unit != UNIT:
            raise DataError(
                f"{self.image.name} is in {unit or 'no stated unit'}: a calibration is made of an "
                f"image in {UNIT}, reconstructed whole and without one"
            )
        counting = Counting(
            seconds, emitter.half_life_s, emitter.branching,
            start_over_mean(emitter.half_life_s, seconds),
        )  # fmt: skip
        inside = inside_of(image, cylinder.inside)
        true = cylinder.concentration(emitter.half_life_s)
        calibration = PetCalibration(
            true / (inside.mean * counting.rate_factor),
            scanner,
            scale_from(str(facts.get("efficiencies_from", "nothing")), facts),
        )
        known = {"isotope": emitter.name, "bq_per_ml_at_start": true, **counting.facts()}
        return CalibrationResult(self, calibration, inside, known)


@dataclass(frozen=True, eq=False)
class CalibrationResult:
    """A calibration, and the cylinder that it is from."""

    job: CalibrationJob
    """What was measured."""

    calibration: PetCalibration
    """What was found."""

    inside: Inside
    """What the cylinder's image holds."""

    known: dict[str, Any]
    """What was known about the cylinder."""

    __repr__ = outcome

    def summary(self) -> Summary:
        """Return what is to be said of it."""
        seen = self.inside
        one = f"1 count/mm/s is {self.calibration.factor:.6g} Bq/mL on {self.calibration.scanner}"
        noise = [100 * max(errors) for errors in (seen.plane_errors, seen.stretch_errors)]
        drift = 100 * max(abs(value - 1) for value in seen.stretches)
        lines = (
            f"{one}, by noise uncertain by {100 * seen.error:.2g} %",
            f"cylinder: radius {seen.radius_mm:.1f} mm, {seen.length_mm:.1f} mm long",
            f"inside: {seen.voxels} voxels, which vary by {100 * seen.spread:.2g} %",
            f"its planes vary by up to {100 * seen.plane_spread:.2g} %, by noise {noise[0]:.2g} %",
            f"stretches of {seen.stretch_mm:.0f} mm by {drift:.2g} %, by noise {noise[1]:.2g} %",
        )
        return Summary((*lines, *_doubts(seen)))

    def write(self) -> tuple[Path, ...]:
        """Write the calibration."""
        out = self.job.out
        if out is None:
            raise SettingsError("there is no name to write the calibration to")
        about = {
            "Cylinder": asdict(self.inside) | self.known,
            "Inputs": {what: sidecar.file_facts(p) for what, p in self.job.inputs().items()},
        }
        with written_together(out, out.parent, out.name) as beside:
            write_calibration(beside / out.name, self.calibration, about)
        return (out,)


def _doubts(seen: Inside) -> Iterator[str]:
    """Yield what speaks against a calibration by this cylinder."""
    parts = (
        (seen.planes, seen.plane_errors, UNEVEN),
        (seen.stretches, seen.stretch_errors, DRIFT),
    )
    if any(
        abs(value - 1) > max(most, SURE * error)
        for values, errors, most in parts
        for value, error in zip(values, errors, strict=True)
    ):
        yield "the planes differ too much for a uniform cylinder: check the corrections"
    hidden = SURE * max(seen.stretch_errors)
    if hidden > UNEVEN:
        yield (f"noise would hide that planes differ by {100 * hidden:.2g} %: scan longer")


def _sidecar(path: Path | None) -> dict[str, Any]:
    """Return what stands beside an image; nothing of no file, or of another program's."""
    if path is None:
        return {}
    try:
        content = json.loads(read_text(path))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is no sidecar that can be read: {error}") from error
    return content if isinstance(content, dict) else {}
