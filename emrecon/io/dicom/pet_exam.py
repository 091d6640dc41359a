"""What a slice of a DICOM PT series says of the examination, by the keys of BIDS PET."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from emrecon.io.dicom.attributes import Attributes, open_dicom
from emrecon.io.nuclides import nuclide_in
from emrecon.io.pet_facts import WEIGHT, PetFacts

_DAY = timedelta(days=1)


def read_exam_facts(path: Path) -> PetFacts:
    """Read dose, weight, isotope and times of a slice, as far as it says them.

    ``TimeZero`` is the start of the scan, the series' time, which images with the decay correction
    START are corrected to (QIBA, "SUV vendor-neutral pseudo-code"). A series whose time is
    after its own counts was made later, and the start is then not known.

    Raises
    ------
    FormatError
        If an attribute cannot be understood.
    """
    slice_ = open_dicom(path, pixels=False)
    values: dict[str, Any] = {WEIGHT: slice_.number("PatientWeight")}
    start, counted = (_when(slice_, what) for what in ("Series", "Acquisition"))
    known = start is not None and (counted is None or start <= counted)
    correction = slice_.text("DecayCorrection")
    values["ImageDecayCorrected"] = correction in {"START", "ADMIN"}
    values["ScanStart"] = 0 if known else None
    values |= _injection(slice_, start if known else None)
    at = {"START": "ScanStart", "ADMIN": "InjectionStart"}.get(correction, "")
    values["ImageDecayCorrectionTime"] = values.get(at)
    return PetFacts({key: value for key, value in values.items() if value is not None}, path)


def _injection(slice_: Attributes, start: datetime | None) -> dict[str, Any]:
    """Return what was injected, how much, and when after the start of the scan."""
    items = slice_.items("RadiopharmaceuticalInformationSequence")
    if not items:
        return {}
    injection = items[0]
    codes = injection.items("RadionuclideCodeSequence")
    named = codes[0].text("CodeMeaning") if codes else injection.text("Radiopharmaceutical")
    values: dict[str, Any] = {
        "TracerRadionuclide": nuclide_in(named) or None,
        "InjectedRadioactivity": injection.number("RadionuclideTotalDose"),
        "InjectedRadioactivityUnits": "Bq",
    }
    injected = _moment(injection.text("RadiopharmaceuticalStartDateTime"))
    if injected is None and start is not None:
        clock = injection.text("RadiopharmaceuticalStartTime")
        injected = _moment(f"{start:%Y%m%d}{clock}") if clock else None
        if injected is not None and injected > start:  # before midnight
            injected -= _DAY
    if injected is not None and start is not None:
        values["InjectionStart"] = (injected - start).total_seconds()
    return values


def _when(slice_: Attributes, what: str) -> datetime | None:
    return _moment(slice_.text(f"{what}Date") + slice_.text(f"{what}Time"))


def _moment(text: str) -> datetime | None:
    """Return date and time as DICOM writes them, without a zone; None of anything else."""
    plain = text.partition("+")[0].partition("-")[0]
    for form in ("%Y%m%d%H%M%S.%f", "%Y%m%d%H%M%S"):
        try:
            return datetime.strptime(plain, form)
        except ValueError:
            continue
    return None
