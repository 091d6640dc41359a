"""The modules of attributes that every DICOM NM TOMO file has, for the writer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import GeometryError, SettingsError
from emrecon.io.dicom.frames import GATED, VECTORS
from emrecon.io.dicom.nm import STORAGE
from emrecon.io.dicom.windows import NUCLIDE_CODES
from emrecon.io.spect import Window
from emrecon.tomo.geometry.camera import Camera

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

POSITIONS = ("HFS", "HFP", "FFS", "FFP")
"""How a patient may lie."""

_LYING = {"S": ("40199007", "supine"), "P": ("1240000", "prone")}
_GANTRY = {"H": ("102540008", "headfirst"), "F": ("102541007", "feet-first")}


@dataclass(frozen=True)
class Study:
    """What an NM TOMO file says besides angles, radii and counts."""

    windows: tuple[Window, ...]
    """Energy windows, in the order of the counts."""

    nuclide: str = "Tc-99m"
    """Isotope."""

    heads: int = 1
    """Heads; the views of each stand together."""

    view_s: float = 20.0
    """Time of a view."""

    position: str = "HFS"
    """How the patient lies: HFS, HFP, FFS or FFP."""

    origin_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Where the camera's origin lies in the patient's coordinates, RAS."""

    frame_order: tuple[str, ...] = ("window", "interval", "slot", "detector", "rotation", "view")
    """What the frames run through, slowest first."""

    first_row: str = "head"
    """head or feet: the end of the patient that the first row shows."""

    collimator: str = "LEHR"
    """Name of the collimator."""

    dose_mbq: float | None = None
    """Activity given to the patient."""

    acquired: datetime = datetime(2000, 1, 1, 12, 0, 0)
    """When the first view began."""

    description: str = "simulated"
    """Description of the series."""

    def __post_init__(self) -> None:
        if sorted(self.frame_order) not in (sorted(VECTORS), sorted(set(VECTORS) - GATED)):
            raise SettingsError(f"frame_order has each of {', '.join(VECTORS)} once")
        if self.first_row not in {"head", "feet"} or self.position[:1] not in _GANTRY:
            raise SettingsError(f"first_row is head or feet, position HFS ..., unlike {self}")
        if self.position not in POSITIONS or self.heads < 1:
            raise SettingsError("position is HFS, HFP, FFS or FFP; heads are 1 or more")


def uid(digest: str, what: str) -> str:
    """Return an identifier that is the same whenever the contents are."""
    from pydicom.uid import generate_uid

    return str(generate_uid(entropy_srcs=[digest, what]))


def patient_and_study(study: Study, digest: str) -> Dataset:
    """Return who lies how in which study: nobody, a phantom."""
    from pydicom.dataset import Dataset

    dataset = Dataset()
    moment = study.acquired
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = STORAGE
    dataset.SOPInstanceUID = uid(digest, "image")
    dataset.StudyInstanceUID = uid(digest, "study")
    dataset.SeriesInstanceUID = uid(digest, "series")
    dataset.FrameOfReferenceUID = uid(digest, "frame of reference")
    for what in ("Study", "Series", "Acquisition", "Content"):
        setattr(dataset, f"{what}Date", moment.strftime("%Y%m%d"))
        setattr(dataset, f"{what}Time", moment.strftime("%H%M%S"))
    dataset.Modality = "NM"
    dataset.Manufacturer = "emrecon"
    dataset.ManufacturerModelName = "simulated camera"
    dataset.SoftwareVersions = version("emrecon")
    dataset.SeriesDescription = study.description[:64]
    dataset.BodyPartExamined = "WHOLEBODY"
    dataset.StudyID = "1"
    dataset.PatientName = "Phantom^Simulated"
    dataset.PatientID = "phantom"
    for empty in (
        "AccessionNumber", "ReferringPhysicianName", "PatientBirthDate", "PatientSex",
        "PositionReferenceIndicator", "DeviceSerialNumber",
    ):  # fmt: skip
        setattr(dataset, empty, "")
    dataset.SeriesNumber = 1
    dataset.InstanceNumber = 1
    lie(dataset, study.position)
    return dataset


def lie(dataset: Dataset, position: str) -> None:
    """Say how the patient lies: HFS, HFP, FFS or FFP."""
    recumbent = code_item("102538003", "SCT", "recumbent")
    lying, gantry = _LYING[position[2]], _GANTRY[position[0]]
    recumbent.PatientOrientationModifierCodeSequence = [code_item(lying[0], "SCT", lying[1])]
    dataset.PatientOrientationCodeSequence = [recumbent]
    dataset.PatientGantryRelationshipCodeSequence = [code_item(gantry[0], "SCT", gantry[1])]


def code_item(value: str, scheme: str, meaning: str) -> Dataset:
    """Return an item of a code sequence."""
    from pydicom.dataset import Dataset

    code = Dataset()
    code.CodeValue = value
    code.CodingSchemeDesignator = scheme
    code.CodeMeaning = meaning
    return code


def image(camera: Camera, frames: NDArray[np.uint16], *, gated: bool) -> Dataset:
    """Return the frames, and how they are stored."""
    from pydicom.dataset import Dataset

    dataset = Dataset()
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "GATED TOMO" if gated else "TOMO", "EMISSION"]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.NumberOfFrames = len(frames)
    dataset.Rows, dataset.Columns = frames.shape[1:]
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 0
    dataset.PixelSpacing = [decimal(camera.plane_mm), decimal(camera.bin_mm)]
    dataset.PixelData = frames.tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.CountsAccumulated = int(min(frames.sum(dtype=np.int64), 2**31 - 1))
    dataset.AcquisitionTerminationCondition = "TIME"
    dataset.TypeOfDetectorMotion = "STEP AND SHOOT"
    return dataset


def isotope(dataset: Dataset, study: Study) -> None:
    """Add energy windows and isotope to a data set."""
    from pydicom.dataset import Dataset as Item

    dataset.EnergyWindowInformationSequence = []
    for number, window in enumerate(study.windows, 1):
        item = Item()
        item.EnergyWindowName = short(window.name or f"window {number}")
        item.EnergyWindowRangeSequence = []
        for low, high in window.ranges_kev:
            limits = Item()
            limits.EnergyWindowLowerLimit, limits.EnergyWindowUpperLimit = (
                decimal(low),
                decimal(high),
            )
            item.EnergyWindowRangeSequence.append(limits)
        dataset.EnergyWindowInformationSequence.append(item)
    pharmaceutical = Item()
    pharmaceutical.Radiopharmaceutical = study.nuclide
    pharmaceutical.RadiopharmaceuticalStartTime = ""
    if study.dose_mbq is not None:
        pharmaceutical.RadionuclideTotalDose = decimal(study.dose_mbq)
    code = NUCLIDE_CODES.get(study.nuclide)
    pharmaceutical.RadionuclideCodeSequence = [code_item(*code)] if code else []
    dataset.RadiopharmaceuticalInformationSequence = [pharmaceutical]


def gates_of(dataset: Dataset, gates: int, study: Study) -> None:
    """Describe one interval of equal gates in a beat of a second."""
    from pydicom.dataset import Dataset as Item

    interval = Item()
    interval.NominalInterval = 1000
    interval.FrameTime = decimal(1000 / gates)
    interval.LowRRValue = interval.HighRRValue = 1000
    interval.IntervalsAcquired = round(study.view_s)
    interval.IntervalsRejected = 0
    dataset.BeatRejectionFlag = "N"
    gated = Item()
    gated.TriggerTime = "0"
    gated.CardiacFramingType = "FORW"
    gated.DataInformationSequence = [interval]
    dataset.GatedInformationSequence = [gated]


def short(name: str) -> str:
    """Return the last words of a name that go into 16 characters, as DICOM's short strings are."""
    while len(name) > 16 and " " in name:
        name = name.split(" ", 1)[1]
    return name[:16]


def decimal(value: float) -> str:
    """Return a number in at most 16 characters, as DICOM's decimal strings are."""
    plain = float(value)
    for digits in range(15, 5, -1):
        text = f"{plain:.{digits}g}"
        if len(text) <= 16:
            return "0" if plain == 0 else text
    raise GeometryError(f"{value} cannot be written as a decimal string")
