"""A PET image as a series of DICOM PT files, one a slice and frame.

What the files say comes from the image's sidecar, by the keys of BIDS PET; what is missing there
and without which a reader would go wrong (times, isotope) is refused by name.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import DataError, SettingsError, WriteError
from emrecon.io.dicom.modules import POSITIONS, code_item, decimal, lie, uid
from emrecon.io.pet_facts import WEIGHT, PetFacts
from emrecon.tomo.corrections.decay import ELEMENTS, Emitter, emitter_named
from emrecon.tomo.dust import without_dust
from emrecon.volume import Volume

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

STORAGE = "1.2.840.10008.5.1.4.1.1.128"
"""SOP class of Positron Emission Tomography Image Storage."""

UNITS = {"Bq/mL": "BQML", "g/mL": "GML", "counts/mm": "PROPCNTS", "counts/mm/s": "PROPCPS"}
"""DICOM's word for the unit of an image."""

TIMES = ("TimeZero", "ScanStart", "FrameTimesStart", "FrameDuration", "ImageDecayCorrected")
"""What every series needs to know."""

MOST = 2**16 - 1
"""Greatest stored value."""

NO_DATE = date(2000, 1, 1)
"""Date of a scan whose facts have none (ScanDate), as in data without names."""

CODES = {
    "C-11": "40565003", "N-13": "21576001", "O-15": "129504001", "F-18": "77004003",
    "Na-22": "71633006", "Cu-64": "3932008", "Ga-68": "35337001", "Ge-68": "53315004",
    "Rb-82": "79197006", "Zr-89": "63360001", "I-124": "40937006",
}  # fmt: skip
"""SNOMED CT codes of positron emitters (PS3.16, CID 4020)."""


@dataclass(frozen=True)
class Frame:
    """When a frame was counted."""

    start: datetime
    """When it began."""

    seconds: float
    """How long it lasted."""

    decay: float | None
    """What brought it to the time that all are corrected to."""


@dataclass(frozen=True)
class Exam:
    """What a series says about the examination."""

    about: PetFacts
    """The sidecar."""

    zero: datetime
    """BIDS' ``TimeZero`` with its date."""

    emitter: Emitter
    """The isotope."""

    frames: tuple[Frame, ...]
    """The frames."""

    correction: str
    """DICOM's word for the time that decay is corrected to: NONE, START or ADMIN."""

    def at(self, seconds: float) -> datetime:
        """Return a time that is told in s after ``TimeZero``."""
        return self.zero + timedelta(seconds=seconds)


def write_series(volume: Volume, folder: Path, about: Mapping[str, Any]) -> tuple[Path, ...]:
    """Write an image as DICOM PT files into a folder; return them.

    Values are stored in 16 bits with a slope for each slice: they come back within 1/131070 of
    the greatest of their slice.

    Parameters
    ----------
    volume : Volume
        The image, in Bq/mL, g/mL (SUV) or counts.
    folder : Path
        An empty folder.
    about : mapping
        The image's sidecar.

    Raises
    ------
    DataError
        If values are negative or not finite, or the unit has no word in DICOM.
    SettingsError
        If the sidecar lacks times or isotope.
    """
    if volume.unit not in UNITS:
        known = ", ".join(UNITS)
        why = (
            f"has no word for {volume.unit}" if volume.unit else "says a unit, the image has none"
        )
        raise DataError(f"DICOM PT {why}: known are {known}")
    voxels, _ = without_dust(volume.voxels, "image")
    frames = voxels if voxels.ndim == 4 else voxels[np.newaxis]
    low, high = float(frames.min()), float(frames.max())
    if not (low >= 0 and math.isfinite(high)):
        raise DataError(f"DICOM PT stores values from 0 on, and these go from {low:g} to {high:g}")
    exam = read_exam(about, len(frames))
    oriented = _oriented(Volume(frames, volume.affine, volume.unit))
    content = json.dumps(dict(about), sort_keys=True, default=str).encode()
    digest = hashlib.sha256(oriented.voxels.tobytes() + content).hexdigest()
    common = _common(exam, oriented, digest)
    files = []
    for number, frame in enumerate(exam.frames):
        for k in range(oriented.voxels.shape[3]):
            index = number * oriented.voxels.shape[3] + k + 1
            path = folder / f"{index:05d}.dcm"
            _slice(common, oriented, exam, (number, k), frame, uid(digest, str(index)), path)
            files.append(path)
    return tuple(files)


def read_exam(about: Mapping[str, Any], frames: int) -> Exam:
    """Return what a sidecar tells of times and isotope.

    Raises
    ------
    SettingsError
        If it lacks some, or tells of another number of frames.
    """
    facts = PetFacts(dict(about))
    facts.require(*TIMES, purpose="a DICOM series")
    nuclide = facts.nuclide or str(about.get("Facts", {}).get("radionuclide", ""))
    if not nuclide:
        facts.require("TracerRadionuclide", purpose="a DICOM series")
    zero = _zero(facts)
    starts, lengths = about["FrameTimesStart"], about["FrameDuration"]
    corrected = bool(about["ImageDecayCorrected"])
    decay = about.get("DecayCorrectionFactor", [1.0] * frames) if corrected else [None] * frames
    if not len(starts) == len(lengths) == len(decay) == frames:
        raise SettingsError(
            f"the image has {frames} frames, and the sidecar tells of {len(starts)} starts, "
            f"{len(lengths)} durations and {len(decay)} decay factors"
        )
    times = zip(starts, lengths, decay, strict=True)
    timing = tuple(Frame(zero + timedelta(seconds=float(s)), float(d), f) for s, d, f in times)
    return Exam(
        facts, zero, emitter_named(nuclide), timing, _correction(facts, corrected=corrected)
    )


def _zero(facts: PetFacts) -> datetime:
    day, moment = facts.values.get("ScanDate"), facts.values["TimeZero"]
    try:
        on = NO_DATE if day is None else date.fromisoformat(str(day).rstrip("Z"))
        return datetime.combine(on, time.fromisoformat(str(moment)))
    except ValueError as error:
        raise SettingsError(f"TimeZero is hh:mm:ss, and ScanDate YYYY-MM-DD: {error}") from error


def _correction(facts: PetFacts, *, corrected: bool) -> str:
    """Return DICOM's word for what decay is corrected to."""
    if not corrected:
        return "NONE"
    to = facts.number("ImageDecayCorrectionTime")
    for word, key in (("START", "ScanStart"), ("ADMIN", "InjectionStart")):
        if key in facts.values and abs(to - facts.number(key)) < 0.5:
            return word
    raise SettingsError(
        f"ImageDecayCorrectionTime is {to:g} s: DICOM knows the scan's start and the injection's"
    )


def _oriented(volume: Volume) -> Volume:
    """Return voxels ``[t, i, j, k]`` whose axes run to L, P and S, as a viewer shows them."""
    upright = volume.ras()
    affine = upright.affine.copy()
    for axis in (0, 1):
        affine[:3, 3] += affine[:3, axis] * (upright.voxels.shape[1 + axis] - 1)
        affine[:3, axis] *= -1
    return Volume(np.ascontiguousarray(upright.voxels[:, ::-1, ::-1]), affine, volume.unit)


def _common(exam: Exam, volume: Volume, digest: str) -> Dataset:
    """Return what all slices have in common."""
    from pydicom.dataset import Dataset

    about, start = exam.about.values, exam.at(exam.about.scan_start_s)
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = STORAGE
    dataset.Modality = "PT"
    for what in ("Study", "Series"):
        _when(dataset, what, start)
    dataset.StudyInstanceUID = uid(digest, "study")
    dataset.SeriesInstanceUID = uid(digest, "series")
    dataset.FrameOfReferenceUID = uid(digest, "frame of reference")
    _who(dataset, exam)
    dataset.Manufacturer = str(about.get("Manufacturer", "emrecon"))
    dataset.ManufacturerModelName = str(about.get("ManufacturersModelName", "emrecon"))
    dataset.SoftwareVersions = f"emrecon {version('emrecon')}"
    dataset.SeriesDescription = _words(exam)[:64]
    dataset.ReconstructionMethod = _words(exam)[:64]
    dataset.StudyID = "1"
    dataset.SeriesNumber = 1
    _quantity(dataset, exam, volume.unit)
    dataset.NumberOfSlices = volume.voxels.shape[3]
    if len(exam.frames) > 1:
        dataset.NumberOfTimeSlices = len(exam.frames)
    dataset.RadiopharmaceuticalInformationSequence = [_injection(exam)]
    _geometry(dataset, volume)
    return dataset


def _quantity(dataset: Dataset, exam: Exam, unit: str) -> None:
    """Say what the values are, and what they were corrected for."""
    about = exam.about.values
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.SeriesType = ["DYNAMIC" if len(exam.frames) > 1 else "STATIC", "IMAGE"]
    dataset.Units = UNITS[unit]
    if dataset.Units == "GML":
        dataset.SUVType = "BW"
    dataset.CountsSource = "EMISSION"
    dataset.CorrectedImage = _corrected(exam)
    dataset.DecayCorrection = exam.correction
    dataset.AttenuationCorrectionMethod = str(about.get("AttenuationCorrection", "none"))[:64]


def _who(dataset: Dataset, exam: Exam) -> None:
    """Say who was scanned, how lying: nobody where the sidecar does not say."""
    about = exam.about.values
    dataset.PatientName = str(about.get("PatientName", "Anonymous^Anonymous"))
    dataset.PatientID = str(about.get("PatientID", "anonymous"))[:64]
    for empty in (
        "AccessionNumber", "ReferringPhysicianName", "PatientBirthDate", "PatientSex",
        "PositionReferenceIndicator", "CollimatorType",
    ):  # fmt: skip
        setattr(dataset, empty, "")
    if exam.about.values.get(WEIGHT) is not None:
        dataset.PatientWeight = decimal(exam.about.weight_kg)
    dataset.BodyPartExamined = str(about.get("BodyPart", "WHOLEBODY")).upper()[:16]
    position = str(about.get("Facts", {}).get("patient_position", "HFS"))
    lie(dataset, position if position in POSITIONS else "HFS")


def _geometry(dataset: Dataset, volume: Volume) -> None:
    """Say how pixels lie, and how they are stored."""
    spacing = volume.spacing_mm
    lps = np.diag([-1.0, -1.0, 1.0]) @ volume.affine[:3, :3]
    cosines = (lps / spacing).T
    dataset.ImageOrientationPatient = [decimal(v + 0.0) for v in (*cosines[0], *cosines[1])]
    dataset.PixelSpacing = [decimal(spacing[1]), decimal(spacing[0])]
    dataset.SliceThickness = decimal(spacing[2])
    dataset.Columns, dataset.Rows = volume.voxels.shape[1:3]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 0
    dataset.RescaleIntercept = "0"


def _slice(  # noqa: PLR0913, PLR0917 - one file: what is in it, and where it goes
    common: Dataset,
    volume: Volume,
    exam: Exam,
    which: tuple[int, int],
    frame: Frame,
    own: str,
    path: Path,
) -> None:
    """Write one slice of one frame."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    dataset = Dataset()
    dataset.update(common)
    number, k = which
    index = number * volume.voxels.shape[3] + k + 1
    dataset.SOPInstanceUID = own
    dataset.InstanceNumber = dataset.ImageIndex = index
    for what in ("Acquisition", "Content"):
        _when(dataset, what, frame.start)
    dataset.ActualFrameDuration = round(1000 * frame.seconds)
    after = (frame.start - exam.at(exam.about.scan_start_s)).total_seconds()
    dataset.FrameReferenceTime = decimal(1000 * (after + _mean_s(exam.emitter, frame.seconds)))
    if frame.decay is not None:
        dataset.DecayFactor = decimal(frame.decay)
    x, y, z = (volume.affine @ [0, 0, k, 1])[:3]
    dataset.ImagePositionPatient = [decimal(v + 0.0) for v in (-x, -y, z)]
    stored, slope = _stored(volume.voxels[number, :, :, k])
    dataset.RescaleSlope = slope
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OW"
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = UID(STORAGE)
    meta.MediaStorageSOPInstanceUID = UID(own)
    dataset.file_meta = meta
    try:
        dataset.save_as(path, enforce_file_format=True)
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror or error}") from error


def _stored(values: NDArray[np.float32]) -> tuple[NDArray[np.uint16], str]:
    """Return rows of stored values of a slice ``[column, row]``, and what multiplies them."""
    most = float(values.max())
    slope = decimal(most / MOST) if most > 0 else "1"
    rows = values.T.astype(np.float64) / float(slope)
    return np.minimum(np.rint(rows), MOST).astype("<u2"), slope


def _mean_s(emitter: Emitter, seconds: float) -> float:
    """Return when, after a frame's start, the activity was its mean during the frame."""
    gone = math.log(2) * seconds / emitter.half_life_s
    if gone < 1e-6:
        return seconds / 2
    return math.log(gone / -math.expm1(-gone)) / gone * seconds


def _injection(exam: Exam) -> Dataset:
    """Return what was injected, when."""
    from pydicom.dataset import Dataset

    about, emitter = exam.about, exam.emitter
    item = Dataset()
    item.Radiopharmaceutical = str(about.values.get("TracerName", ""))[:64]
    item.RadionuclideHalfLife = decimal(emitter.half_life_s)
    item.RadionuclidePositronFraction = decimal(emitter.branching)
    element, mass = emitter.name.split("-")
    meaning = f"^{mass}^{ELEMENTS[element.lower()].capitalize()}"
    item.RadionuclideCodeSequence = [code_item(CODES[emitter.name], "SCT", meaning)]
    if about.values.get("InjectionStart") is not None:
        injected = exam.at(about.number("InjectionStart"))
        item.RadiopharmaceuticalStartTime = injected.strftime("%H%M%S.%f")
        item.RadiopharmaceuticalStartDateTime = injected.strftime("%Y%m%d%H%M%S.%f")
    if about.values.get("InjectedRadioactivity") is not None:
        item.RadionuclideTotalDose = decimal(about.dose_bq)
    return item


def _corrected(exam: Exam) -> list[str]:
    """Return DICOM's words for the corrections that were made."""
    about = exam.about.values
    facts: Mapping[str, Any] = about.get("Facts", {})
    one: Mapping[str, Any] = next(iter(facts.get("frames", [])), facts)
    words = {
        "NORM": one.get("efficiencies_from", "nothing") != "nothing",
        "ATTN": str(about.get("AttenuationCorrection", "none")) != "none",
        "RAN": bool(one.get("randoms") or one.get("delayeds")),
        "SCAT": bool(one.get("scatter")),
        "DECY": exam.correction != "NONE",
        "DTIM": "dead_time_factor" in one or one.get("dead_time") == "corrected",
    }
    return [word for word, applied in words.items() if applied]


def _words(exam: Exam) -> str:
    """Return the method as scanners write it: ``OSEM4i12s``."""
    about = exam.about.values
    pairs = zip(
        about.get("ReconMethodParameterLabels", []),
        about.get("ReconMethodParameterValues", []),
        strict=False,
    )
    used = {str(label): value for label, value in pairs}
    name = str(about.get("ReconMethodName", "emrecon"))
    if {"iterations", "subsets"} <= set(used):
        return f"{name}{used['iterations']}i{used['subsets']}s"
    return name


def _when(dataset: Dataset, what: str, moment: datetime) -> None:
    setattr(dataset, f"{what}Date", moment.strftime("%Y%m%d"))
    setattr(dataset, f"{what}Time", moment.strftime("%H%M%S.%f"))
