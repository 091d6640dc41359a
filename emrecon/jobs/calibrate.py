"""The calibration job: the image of a cylinder of known activity to a scanner's calibration."""

from __future__ import annotations

import json
import math
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
from emrecon.jobs.cylinder import Cylinder
from emrecon.jobs.quantify import scale_from
from emrecon.metrics.cylinder import Inside, inside_of
from emrecon.tomo.corrections.decay import Emitter, emitter_named, start_over_mean
from emrecon.tomo.corrections.quantity import CORRECTED, Counting, PetCalibration
from emrecon.tomo.geometry.presets import same_scanner
from emrecon.tomo.problem import UNIT
from emrecon.volume import Volume

UNEVEN, DRIFT = 0.05, 0.02
"""Departures of the mean of a plane, and of a stretch, beyond which a cylinder is no measure of a
scanner."""

SURE = 4.0
"""Standard errors by noise that such a departure is greater than."""

SEEN = 0.8
"""Share of the cylinder's volume in its image that its stated volume is at least."""

FEWEST, MOST = 1e-4, 0.5
"""Coincidences counted for each positron in view, below and above which numbers are doubted: rings
count some thousandths to a tenth, whole bodies of them a fifth."""


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
        return input_files.with_data({"image": self.image}) | (
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
        voxels, _ = input_files.image_size(self.image)
        return Estimate(BASE_MB + voxels * 30 / MB, START_S)

    def begin(
        self, meters: Meters = no_meters, execution: Execution | None = None
    ) -> Once[CalibrationResult]:
        """Refuse what cannot be read or written."""
        about, emitter, seconds, scanner = self._checked(execution or Execution())
        return Once(lambda: self._measured(about, emitter, seconds, scanner))

    def _checked(self, execution: Execution) -> tuple[dict[str, Any], Emitter, float, str]:
        """Return what the sidecar says, isotope, duration in s and scanner."""
        files = self.inputs()
        check_outputs(self.outputs(), files, anywhere=execution.MAKES_FOLDERS)
        about = _sidecar(files.get("sidecar"))
        emitter, seconds, scanner = self._stated(about)
        self.cylinder.concentration(emitter.half_life_s)  # refuses now what it would then
        input_files.check_data(files)
        if (header := input_files.image_header(self.image)) is not None:
            self._refuse_other_unit(header, about)
        return about, emitter, seconds, scanner

    def _measured(
        self, about: Mapping[str, Any], emitter: Emitter, seconds: float, scanner: str
    ) -> CalibrationResult:
        """Measure the cylinder."""
        facts, cylinder = about.get("Facts", {}), self.cylinder
        image = io.read_image(self.image)
        self._refuse_other_unit(image, about)
        counting = Counting(
            seconds, emitter.half_life_s, emitter.branching,
            start_over_mean(emitter.half_life_s, seconds),
        )  # fmt: skip
        inside = inside_of(image, cylinder.inside)
        _check_volume(cylinder, inside)
        true = cylinder.concentration(emitter.half_life_s)
        calibration = PetCalibration(
            true / (inside.mean * counting.rate_factor),
            scanner,
            scale_from(str(facts.get("efficiencies_from", "nothing")), facts),
            None if (made := facts.get("corrected_for")) is None else frozenset(made),
        )
        known = {"isotope": emitter.name, "bq_per_ml_at_start": true, **counting.facts()}
        if {"prompts", "background"} <= facts.keys():
            positrons = true * inside.seen_ml / counting.rate_factor
            share = (float(facts["prompts"]) - float(facts["background"])) / positrons
            known["counted_of_positrons_in_view"] = _possible(share, true)
        return CalibrationResult(self, calibration, inside, known)

    def _refuse_other_unit(self, image: Volume, about: Mapping[str, Any]) -> None:
        """Refuse an image of another unit than counts/mm."""
        unit = image.unit or str(about.get("Units", ""))
        if unit != UNIT:
            raise DataError(
                f"{self.image.name} is in {unit or 'no stated unit'}: a calibration is made of an "
                f"image in {UNIT}, reconstructed whole and without one"
            )

    def _stated(self, about: Mapping[str, Any]) -> tuple[Emitter, float, str]:
        """Return isotope, duration and scanner, by the sidecar and by what stands in for it.

        Raises
        ------
        SettingsError
            If neither says one of them, or they contradict each other.
        """
        facts, cylinder, stated = about.get("Facts", {}), self.cylinder, PetFacts(dict(about))
        isotope = str(facts.get("radionuclide") or stated.nuclide)
        known = (
            ("isotope", cylinder.isotope, isotope and emitter_named(isotope).name),
            ("duration_s", cylinder.duration_s, stated.duration_s),
            ("scanner", cylinder.scanner, str(facts.get("scanner", ""))),
        )
        for name, chosen, said in known:
            flag = f"--{name.replace('_', '-')}"
            if not (chosen or said):
                raise SettingsError(
                    f"the sidecar of {self.image.name} does not say {name}: give {flag}"
                )
            if chosen and said and not _same(name, chosen, said):
                raise SettingsError(
                    f"the sidecar of {self.image.name} says {name} {said}, and {flag} {chosen}: "
                    "leave it out, or correct the sidecar"
                )
        named, seconds, scanner = (said or chosen for _, chosen, said in known)
        emitter = emitter_named(str(named))
        if isotope:  # as the scan's file has it, which its images in Bq/mL are made by, too
            half_life_s = float(facts.get("half_life_s") or emitter.half_life_s)
            branching = float(facts.get("branching_factor") or emitter.branching)
            emitter = Emitter(emitter.name, half_life_s, branching)
        return emitter, float(seconds or 0.0), str(scanner)


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
        isotope, true = self.known["isotope"], self.known["bq_per_ml_at_start"]
        lines: tuple[str, ...] = (
            f"{one}, by noise uncertain by {100 * seen.error:.2g} %",
            f"from {true:.6g} Bq/mL of {isotope} at the start, for {self.known['counting_s']:g} s",
            f"cylinder: radius {seen.radius_mm:.1f} mm, {seen.length_mm:.1f} mm long",
            f"inside: {seen.voxels} voxels, which vary by {100 * seen.spread:.2g} %",
            f"its planes vary by up to {100 * seen.plane_spread:.2g} %, by noise {noise[0]:.2g} %",
            f"stretches of {seen.stretch_mm:.0f} mm by {drift:.2g} %, by noise {noise[1]:.2g} %",
        )
        counted = self.known.get("counted_of_positrons_in_view")
        if counted is not None:
            lines += (f"counted: {100 * counted:.3g} % of the positrons in view",)
        return Summary((*lines, *_doubts(seen, counted), *self._uncorrected()))

    def _uncorrected(self) -> Iterator[str]:
        """Yield what the cylinder was not corrected for, and scans to be calibrated will be."""
        made = self.calibration.corrected
        missing = [] if made is None else [what for what in CORRECTED if what not in made]
        if missing:
            yield (
                f"its image is not corrected for {' and '.join(missing)}: no scan that is can be "
                "calibrated by it"
            )

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


def _same(name: str, chosen: Any, said: Any) -> bool:  # noqa: ANN401 - a name or a time
    """Return whether two statements about a cylinder's scan agree."""
    if name == "isotope":
        return bool(emitter_named(str(chosen)).name == said)
    if name == "scanner":
        return same_scanner(str(chosen), str(said))
    return math.isclose(float(chosen), float(said), rel_tol=1e-3)


def _check_volume(cylinder: Cylinder, seen: Inside) -> None:
    """Refuse a volume that is less than what is seen of the cylinder."""
    if cylinder.volume_ml and cylinder.volume_ml < SEEN * seen.seen_ml:
        raise SettingsError(
            f"the cylinder holds {cylinder.volume_ml:g} mL, and in its image it has "
            f"{seen.seen_ml:.6g} mL (radius {seen.radius_mm:.1f} mm, {seen.length_mm:.1f} mm "
            "long): is volume_ml in mL?"
        )


def _possible(share: float, true: float) -> float:
    """Return the share of positrons that were counted, refusing more than there were."""
    if share < 1:
        return share
    raise DataError(
        f"the scan counted {share:.3g} coincidences for each positron that {true:.6g} Bq/mL emit "
        "in view: check the activity, its unit, and how long before the scan it was assayed"
    )


def _doubts(seen: Inside, counted: float | None) -> Iterator[str]:
    """Yield what speaks against a calibration by this cylinder."""
    if counted is not None and not FEWEST < counted < MOST:
        yield "that is no usual share: check the activity, its unit, and when it was assayed"
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
