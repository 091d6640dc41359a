"""From counts/mm of a PET image to Bq/mL, and on to standardised uptake values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from emrecon.errors import SettingsError
from emrecon.tomo.corrections.decay import earlier_over_later

CORRECTED = ("attenuation", "scatter")
"""What an image may be corrected for, and has another scale without."""


@dataclass(frozen=True)
class PetCalibration:
    """What a PET scanner's images are multiplied by, from a cylinder of known activity."""

    factor: float
    """Bq/mL, if every decay gave a positron, for one count/mm/s."""

    scanner: str
    """Name of the scanner."""

    efficiencies: str
    """Where the efficiencies of the cylinder's scan were from: they set the scale of counts/mm."""

    corrected: frozenset[str] | None = None
    """What of `CORRECTED` the cylinder's image was corrected for; None where that is not known."""

    def __post_init__(self) -> None:
        if not (self.factor > 0 and math.isfinite(self.factor)):
            raise SettingsError(f"a calibration factor is above zero, not {self.factor}")

    def refuse_other(self, scanner: str, efficiencies: str, corrected: frozenset[str]) -> None:
        """Refuse a scan whose counts/mm have another scale.

        Raises
        ------
        SettingsError
            If scanner or source of the efficiencies differ, or the scan is corrected for what the
            cylinder was not.
        """
        for what, mine, other in (
            ("the scanner", self.scanner, scanner),
            ("efficiencies from", self.efficiencies, efficiencies),
        ):
            if mine != other:
                raise SettingsError(
                    f"the calibration was made with {what} {mine!r}, and this scan has {what} "
                    f"{other!r}: its counts have another scale; make one with `emrecon calibrate`"
                )
        more = set() if self.corrected is None else corrected - self.corrected
        if more:
            raise SettingsError(
                f"the calibration's cylinder was not corrected for {' and '.join(sorted(more))}, "
                "and this scan is: its counts have another scale; reconstruct the cylinder so, "
                "too, and make one with `emrecon calibrate`"
            )


@dataclass(frozen=True)
class Counting:
    """How long a PET image's counts were taken, of what."""

    seconds: float
    """Time of the counts."""

    half_life_s: float
    """Half-life of the isotope."""

    branching: float
    """Positrons a decay."""

    decay: float
    """Activity at the start of the scan over its mean during the counts."""

    def __post_init__(self) -> None:
        if not (self.seconds > 0 and self.half_life_s > 0 and 0 < self.branching <= 1):
            raise SettingsError(
                f"counts of {self.seconds} s of an isotope with a half-life of "
                f"{self.half_life_s} s and {self.branching} positrons a decay make no sense"
            )

    @property
    def rate_factor(self) -> float:
        """What makes counts/mm the decays of the scan's start, counts/mm/s."""
        return self.decay / (self.seconds * self.branching)

    def facts(self) -> dict[str, Any]:
        """Return every factor by name, for the sidecar."""
        return {
            "counting_s": self.seconds,
            "half_life_s": self.half_life_s,
            "branching_ratio": self.branching,
            "decay_factor": self.decay,
        }


def suv_factor(weight_kg: float, dose_bq: float, uptake_s: float, half_life_s: float) -> float:
    """Return the standardised uptake value, g/mL, of 1 Bq/mL at the start of the scan.

    The dose is brought to the start of the scan, as in DICOM's ``DecayCorrection`` START (QIBA,
    "SUV vendor-neutral pseudo-code").

    Parameters
    ----------
    weight_kg : float
        Weight of the body.
    dose_bq : float
        Activity at the time of injection.
    uptake_s : float
        Time from the injection to the start of the scan.
    half_life_s : float
        Half-life of the isotope.

    Raises
    ------
    SettingsError
        If weight or dose are not above zero.
    """
    if not (0 < weight_kg < 1000 and dose_bq > 0 and math.isfinite(dose_bq + uptake_s)):
        raise SettingsError(
            f"a body of {weight_kg} kg with {dose_bq} Bq, {uptake_s} s before the scan, makes no "
            "sense"
        )
    return 1000 * weight_kg * earlier_over_later(half_life_s, uptake_s) / dose_bq
