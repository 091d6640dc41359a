"""What a person states about a PET examination by BIDS' names, and what is derived of it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emrecon.errors import FormatError, SettingsError
from emrecon.files import read_text
from emrecon.io.nuclides import nuclide_in
from emrecon.tomo.corrections.decay import emitter_named
from emrecon.tomo.corrections.quantity import suv_factor

WEIGHT = "PatientWeight"
"""Weight of the body in kg: BIDS has no key for it, this is the one of dcm2niix and DICOM."""

BECQUEREL = {
    "Bq": 1.0, "kBq": 1e3, "MBq": 1e6, "GBq": 1e9, "mCi": 3.7e7, "uCi": 3.7e4, "Ci": 3.7e10
}  # fmt: skip
"""Units of activity in Bq."""

FOR_DOSE = (
    "InjectedRadioactivity", "InjectedRadioactivityUnits", "InjectionStart", "ScanStart"
)  # fmt: skip
"""What the activity in the body at the start of the scan needs."""

FOR_SUV = (*FOR_DOSE, WEIGHT)
"""What standardised uptake values need."""

OF_IMAGES = ("InjectedRadioactivity", "InjectedRadioactivityUnits", "InjectionStart", WEIGHT,
             "TracerRadionuclide", "ImageDecayCorrectionTime")  # fmt: skip
"""What those of an image that is in Bq/mL need."""


@dataclass(frozen=True)
class PetFacts:
    """The content of a BIDS PET sidecar, or part of one."""

    values: dict[str, Any] = field(default_factory=dict)
    """Everything that it says, by BIDS' keys."""

    path: Path | None = None
    """The file."""

    @property
    def scan_start_s(self) -> float:
        """Start of the scan after BIDS' ``TimeZero``; 0 where nothing is said."""
        return self.number("ScanStart", 0.0)

    @property
    def duration_s(self) -> float | None:
        """Length of the scan where it has one frame and says so."""
        stated = self.values.get("FrameDuration")
        if isinstance(stated, list) and len(stated) == 1:
            stated = stated[0]
        usable = isinstance(stated, int | float) and not isinstance(stated, bool)
        return float(stated) if usable and stated > 0 else None  # type: ignore[arg-type,operator]

    @property
    def frames_s(self) -> list[tuple[float, float]]:
        """Start after ``TimeZero`` and duration of each frame; none where it is not said."""
        starts, durations = self.values.get("FrameTimesStart"), self.values.get("FrameDuration")
        if not isinstance(starts, list) or not isinstance(durations, list):
            return []
        numbers = all(isinstance(value, int | float) for value in (*starts, *durations))
        same = len(starts) == len(durations)
        return list(zip(starts, durations, strict=True)) if numbers and same else []

    @property
    def nuclide(self) -> str:
        """Isotope; empty where it is not said."""
        stated = str(self.values.get("TracerRadionuclide", ""))
        return nuclide_in(stated) or stated

    @property
    def dose_bq(self) -> float:
        """Activity at the time of injection."""
        unit = str(self.values.get("InjectedRadioactivityUnits", ""))
        if unit not in BECQUEREL:
            raise self.refusal("InjectedRadioactivityUnits", f"one of {', '.join(BECQUEREL)}")
        return self.number("InjectedRadioactivity") * BECQUEREL[unit]

    @property
    def weight_kg(self) -> float:
        """Weight of the body."""
        return self.number(WEIGHT)

    @property
    def uptake_s(self) -> float:
        """Time from the injection to the start of the scan."""
        return self.number("ScanStart") - self.number("InjectionStart")

    @property
    def suv_per_bq_per_ml(self) -> float:
        """Standardised uptake value, g/mL, of 1 Bq/mL in the image that the facts are of.

        The dose is brought to the time that the image's decay is corrected to.
        """
        self.require(*OF_IMAGES, purpose="SUV")
        if self.values.get("ImageDecayCorrected") is not True:
            raise self.refusal(
                "ImageDecayCorrected", "true: SUV are of images corrected for decay"
            )
        uptake = self.number("ImageDecayCorrectionTime") - self.number("InjectionStart")
        half_life_s = emitter_named(self.nuclide).half_life_s
        return suv_factor(self.weight_kg, self.dose_bq, uptake, half_life_s)

    def has(self, *keys: str) -> bool:
        """Return whether all of these are said; BIDS has "n/a" for what is not known."""
        return all(self.values.get(key) not in (None, "n/a") for key in keys)

    def require(self, *keys: str, purpose: str) -> None:
        """Refuse facts that lack one of these keys, naming all that are missing."""
        missing = [key for key in keys if not self.has(key)]
        if missing:
            raise SettingsError(
                f"{purpose} needs {', '.join(missing)}: state it in "
                f"{self.path.name if self.path else 'a file for --facts'}, by BIDS' keys"
            )

    def number(self, key: str, default: float | None = None) -> float:
        """Return a number; the default where nothing is said."""
        stated = self.values.get(key)
        if stated is None and default is not None:
            return default
        if isinstance(stated, bool) or not isinstance(stated, int | float):
            raise self.refusal(key, "a number")
        if not math.isfinite(stated):
            raise self.refusal(key, "a finite number")
        return float(stated)

    def refusal(self, key: str, wanted: str) -> FormatError:
        """Return the error that says what stands at a key, and what is wanted."""
        stated = self.values.get(key)
        return FormatError(f"{self.path or 'facts'}: {key} is {stated!r}; wanted {wanted}")


def read_pet_facts(path: Path | None) -> PetFacts:
    """Read a BIDS PET sidecar, or one's beginning that a person wrote; nothing of no file.

    Raises
    ------
    FormatError
        If it is no JSON object.
    """
    if path is None:
        return PetFacts()
    try:
        content = json.loads(read_text(path))
    except (OSError, ValueError) as error:
        raise FormatError(f"{path} holds no facts in JSON: {error}") from error
    if not isinstance(content, dict):
        raise FormatError(f"{path} holds no facts: a JSON object with BIDS' keys is wanted")
    return PetFacts(content, path)
