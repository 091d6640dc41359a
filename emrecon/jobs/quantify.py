"""What a PET image is multiplied by: nothing, its rate, Bq/mL by a calibration, or SUV."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from emrecon.errors import SettingsError
from emrecon.io.calibration_file import read_calibration
from emrecon.io.frames import Frame
from emrecon.io.pet_facts import FOR_DOSE, FOR_SUV, PetFacts, read_pet_facts
from emrecon.jobs.data_kinds import EVENTS, LISTMODE
from emrecon.tomo.corrections.dead_time import DeadTime
from emrecon.tomo.corrections.decay import earlier_over_later, emitter_named, start_over_mean
from emrecon.tomo.corrections.quantity import CORRECTED, Counting, PetCalibration, suv_factor
from emrecon.tomo.exam import ExamInfo
from emrecon.tomo.gates import Gate
from emrecon.tomo.inputs import Corrections
from emrecon.tomo.problem import UNIT
from emrecon.volume import Volume

log = logging.getLogger(__name__)

UNIT_OF_FRAMES = "counts/mm/s"
"""Unit of frames and gates without a calibration, which are rates so that they compare."""

BQ_PER_ML = "Bq/mL"
"""Unit of images with a calibration."""

IMPOSSIBLE = 10.0
"""Share of the dose that no image can hold, even before it is iterated."""

SUV = "g/mL"
"""Unit of standardised uptake values by body weight."""


@dataclass(frozen=True)
class Quantity:
    """What counts/mm are multiplied by, and what that gives."""

    scale: float = 1.0
    """What multiplies counts/mm."""

    unit: str = UNIT
    """Unit of the product."""

    facts: dict[str, Any] = field(default_factory=dict)
    """Every factor, for the sidecar."""


@dataclass(frozen=True)
class Quantifier:
    """Turns the counts/mm of the images of one scan into what was asked for."""

    calibration: PetCalibration | None
    """The scanner's calibration, where there is one."""

    facts: PetFacts
    """What is known about the examination."""

    suv: bool
    """Whether standardised uptake values are wanted."""

    decay_corrected: bool
    """Whether frames and gates without a calibration are brought to the start of the scan."""

    efficiencies: str
    """Where the scan's efficiencies come from."""

    dead_time: DeadTime | None = None
    """How dead time is made up for, if it is."""

    corrected: frozenset[str] = frozenset()
    """What images are corrected for, of those of `CORRECTED`."""

    @classmethod
    def of(cls, corrections: Corrections, data: str, *, decay_corrected: bool) -> Quantifier:
        """Read the files, and refuse what they cannot give.

        Raises
        ------
        EmreconError
            If a file cannot be read, or lacks what is needed for SUV.
        """
        path = corrections.calibration
        calibration = None if path is None else read_calibration(path)
        facts = read_pet_facts(corrections.facts)
        if corrections.suv:
            facts.require(*FOR_SUV, purpose="SUV")
            suv_factor(facts.weight_kg, facts.dose_bq, facts.uptake_s, 1e9)
        source = efficiencies_from(corrections, data)
        dead_time = corrections.dead_time
        suv, corrected = bool(corrections.suv), corrected_for(corrections)
        return cls(calibration, facts, suv, decay_corrected, source, dead_time, corrected)

    def quantity(
        self,
        stretch: Frame | Gate | None,
        exam: ExamInfo,
        scan: Mapping[str, Any],
        counted_s: float | None,
    ) -> Quantity:
        """Return what an image of a stretch of a scan, or of all of it, is multiplied by.

        Parameters
        ----------
        stretch : Frame, Gate or None
            What of the scan it is made of.
        exam : ExamInfo
            What the scan's files say of isotope and times.
        scan : mapping
            The scan's facts, for the name of its scanner and the number of its prompts.
        counted_s : float or None
            Time in which its counts were taken, where the file tells.

        Raises
        ------
        SettingsError
            If isotope or time are needed and not known, or facts contradict the scan or each
            other, or the calibration is of another scanner.
        DataError
            If nothing with the dead time that was chosen counts so often.
        """
        self._refuse_other_isotope(exam)
        quantity = self._live(stretch, exam, scan, counted_s)
        if self.dead_time is None:
            return quantity
        if exam.dead_time_corrected:
            raise SettingsError(
                "the file tells its dead time, which is made up for already: "
                "leave dead_time_us out"
            )
        seconds = self._seconds(stretch, counted_s, "dead time needs")
        facts = self.dead_time.facts(float(scan["prompts"]) / seconds)
        return Quantity(
            quantity.scale * facts["dead_time_factor"], quantity.unit, quantity.facts | facts
        )

    def say_other_duration(self, counted_s: float) -> None:
        """Warn of facts that tell of another time than the scan's file, which goes before."""
        stated = self.facts.duration_s
        if stated and not math.isclose(stated, counted_s, rel_tol=0.01):
            log.warning(
                "%s says that FrameDuration is %g s, and the scan's file holds %g s of counts, "
                "which are used: is a part of the scan missing?",
                self.facts.path, stated, counted_s,
            )  # fmt: skip

    def dose_share(self, volume: Volume, facts: Mapping[str, Any]) -> float | None:
        """Return how much of the injected dose an image holds; None where that is not known.

        Parameters
        ----------
        volume : Volume
            An image with the activity at the start of the scan, or its standardised uptake.
        facts : mapping
            What its counts were multiplied by, see `quantity`.
        """
        known = self.facts
        if volume.unit not in {BQ_PER_ML, SUV} or not known.has(*FOR_DOSE):
            return None
        ml = float(np.prod(volume.spacing_mm)) / 1000
        held = float(volume.voxels.sum(dtype=np.float64)) * ml
        held /= float(facts.get("suv_per_bq_per_ml", 1.0))
        half_life_s = float(facts["half_life_s"])
        return held * earlier_over_later(half_life_s, known.uptake_s) / known.dose_bq

    def refuse_other_dose(self, volume: Volume, facts: Mapping[str, Any]) -> None:
        """Refuse a dose of which a first image, of the right total, holds many times as much.

        Raises
        ------
        SettingsError
            If the dose is in another unit, or for another person.
        """
        share = self.dose_share(volume, facts)
        if share is not None and share > IMPOSSIBLE:
            known = self.facts.values
            raise SettingsError(
                f"the counts are of about {share:.2g} times the dose that was injected by "
                f"{self.facts.path or 'facts'}, {known['InjectedRadioactivity']:g} "
                f"{known['InjectedRadioactivityUnits']}: is the unit right, and the calibration?"
            )

    def _live(
        self,
        stretch: Frame | Gate | None,
        exam: ExamInfo,
        scan: Mapping[str, Any],
        counted_s: float | None,
    ) -> Quantity:
        """Return the same as if no count were lost to dead time."""
        if self.calibration is None:
            return self._rate(stretch, exam, counted_s)
        self.calibration.refuse_other(
            str(scan.get("scanner", "")), scale_from(self.efficiencies, scan), self.corrected
        )
        counting = self._counting(stretch, exam, counted_s)
        scale = self.calibration.factor * counting.rate_factor
        facts = counting.facts() | {"calibration_bq_per_ml_per_rate": self.calibration.factor}
        if not self.suv:
            return Quantity(scale, BQ_PER_ML, facts)
        known = self.facts
        if stretch is None and known.uptake_s <= -counting.seconds:
            raise SettingsError(
                f"InjectionStart is {-known.uptake_s:g} s after ScanStart, when the scan of "
                f"{counting.seconds:g} s was over: both are in s after TimeZero"
            )
        uptake = suv_factor(known.weight_kg, known.dose_bq, known.uptake_s, counting.half_life_s)
        return Quantity(scale * uptake, SUV, facts | {"suv_per_bq_per_ml": uptake})

    def _refuse_other_isotope(self, exam: ExamInfo) -> None:
        """Refuse facts that name another isotope than the scan's file."""
        if not (exam.nuclide and self.facts.nuclide):
            return
        if emitter_named(exam.nuclide).name != emitter_named(self.facts.nuclide).name:
            raise SettingsError(
                f"the scan's file says that its isotope is {exam.nuclide}, and "
                f"{self.facts.path or 'facts'} that it is {self.facts.nuclide}: correct one"
            )

    def _rate(
        self, stretch: Frame | Gate | None, exam: ExamInfo, counted_s: float | None
    ) -> Quantity:
        """Return counts/mm of a scan, or the rate in a frame or gate."""
        if stretch is None:
            return Quantity()
        factor = 1.0
        if self.decay_corrected:
            half_life, _ = self._isotope(exam)
            factor = stretch.decay_factor(half_life)
        seconds = self._seconds(stretch, counted_s, "rates need")
        return Quantity(factor / seconds, UNIT_OF_FRAMES, {"decay_factor": factor})

    def _counting(
        self, stretch: Frame | Gate | None, exam: ExamInfo, counted_s: float | None
    ) -> Counting:
        half_life, branching = self._isotope(exam)
        seconds = self._seconds(stretch, counted_s, "Bq/mL need")
        if stretch is not None:
            return Counting(seconds, half_life, branching, stretch.decay_factor(half_life))
        return Counting(seconds, half_life, branching, start_over_mean(half_life, seconds))

    def _seconds(
        self, stretch: Frame | Gate | None, counted_s: float | None, purpose: str
    ) -> float:
        """Return the time of a stretch's counts, or of all: what was counted, in a gate."""
        if isinstance(stretch, Frame):
            return stretch.duration_s
        seconds = counted_s or (self.facts.duration_s if stretch is None else None)
        if not seconds:
            raise SettingsError(
                f"{purpose} the time of the counts, which the scan does not state: give --facts "
                "with FrameDuration"
            )
        return seconds

    def _isotope(self, exam: ExamInfo) -> tuple[float, float]:
        """Return half-life and positrons a decay: as the file states them, or of its isotope."""
        name = exam.nuclide or self.facts.nuclide
        if exam.half_life_s and exam.branching:
            return exam.half_life_s, exam.branching
        if exam.half_life_s and self.calibration is None:
            return exam.half_life_s, 1.0
        if not name:
            raise SettingsError(
                "decay needs the isotope's half-life, which the scan does not state: give --facts "
                "with TracerRadionuclide"
            )
        known = emitter_named(name)
        return exam.half_life_s or known.half_life_s, exam.branching or known.branching


def corrected_for(corrections: Corrections) -> frozenset[str]:
    """Return what the images of a scan are corrected for, of those of `CORRECTED`."""
    chosen = corrections
    by = {
        "attenuation": (chosen.mu, chosen.ct, chosen.attenuation, chosen.correction),
        "scatter": (chosen.scatter, chosen.simulate_scatter, chosen.additive),
    }
    return frozenset(what for what in CORRECTED if any(by[what]))


def efficiencies_from(corrections: Corrections, data: str) -> str:
    """Return where a scan's efficiencies come from, which set the scale of its counts/mm."""
    if corrections.norm:
        return "crystals (Siemens)"
    if corrections.normalisation or corrections.correction:
        return "bins"
    return "live detectors" if data in {LISTMODE, EVENTS} else "nothing"


def scale_from(efficiencies: str, scan: Mapping[str, Any]) -> str:
    """Return what sets the scale of a scan's counts/mm: efficiencies, or how many lines a bin has.

    Parameters
    ----------
    efficiencies : str
        Where they come from, see `efficiencies_from`.
    scan : mapping
        The scan's facts, with the numbers of its views and planes.
    """
    if efficiencies != "nothing" or "views" not in scan:
        return efficiencies
    return f"nothing, in {scan['views']} views and {scan['planes']} planes"
