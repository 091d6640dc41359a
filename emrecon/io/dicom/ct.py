"""CT and PET slices: a DICOM series (a folder, or one of its files); a CT is NIfTI, too."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from emrecon import io
from emrecon.errors import FormatError
from emrecon.io.dicom import is_dicom
from emrecon.io.dicom.attributes import Attributes, open_dicom
from emrecon.io.formats import open_head
from emrecon.volume import Volume

log = logging.getLogger(__name__)

STORAGES = {"CT": "1.2.840.10008.5.1.4.1.1.2", "PET": "1.2.840.10008.5.1.4.1.1.128"}
"""SOP classes of the slices that are read."""

PET_UNITS = {"BQML": "Bq/mL", "GML": "SUV", "CNTS": "counts"}
"""Units by their names in DICOM PS3.3 C.8.9.1.1.3; GML of the body weight."""

EVEN = 0.1
"""How far a slice may lie from its place in an even stack, as a share of a step."""

UPRIGHT_DEG = 0.05
"""Greatest angle between the step and the planes' normal that is taken for rounding."""


@dataclass(frozen=True, eq=False)
class Ct:
    """A CT, and what its files say of it."""

    volume: Volume
    """Hounsfield units, where the patient is."""

    kvp: float | None = None
    """Tube voltage in kV, where it is said."""

    position: str | None = None
    """How the patient lies in DICOM's words, such as HFS, where it is said."""


def read_ct(path: Path) -> Ct:
    """Read a CT.

    Parameters
    ----------
    path : Path
        A folder with the files of a DICOM series, one of these files, or an image.

    Returns
    -------
    Ct
        Hounsfield units where the patient is, tube voltage and position.

    Raises
    ------
    FormatError
        If the files are no CT, are of several series, slices are missing or unevenly stacked.
    """
    if path.is_dir() or is_dicom(open_head(path)):
        slices = _series(path, "CT")
        first = slices[0]
        volume = _stacked(slices, "HU")
        return Ct(volume, first.number("KVP"), first.text("PatientPosition") or None)
    return Ct(io.read_image(path), None, io.patient_position(path))


def read_series(path: Path) -> Volume:
    """Read the slices of a DICOM series of CT or PET, where the patient is.

    Parameters
    ----------
    path : Path
        A folder with the files of one series, or one of these files.

    Returns
    -------
    Volume
        Hounsfield units of CT; of PET what its files say: Bq/mL, SUV by weight or counts.

    Raises
    ------
    FormatError
        If the files are neither, are of several series, slices are missing or unevenly stacked.
    """
    if path.is_file():
        of = open_dicom(path, pixels=False).text("SOPClassUID")
        kinds = [kind for kind, storage in STORAGES.items() if storage == of]
    else:
        kinds = [kind for kind in STORAGES if _slices(path, kind)]
    if len(kinds) != 1:
        there = " and ".join(kinds) or "neither CT nor PET"
        raise FormatError(f"{path}: {there}; slices of one CT or PET series are wanted")
    slices = _series(path, kinds[0])
    if kinds[0] == "CT":
        return _stacked(slices, "HU")
    units = {one.text("Units") for one in slices}
    if units == {""}:
        log.warning("%s does not say in what unit the image is", path)
        return _stacked(slices, "")
    if len(units) > 1 or not units <= set(PET_UNITS):
        said = ", ".join(sorted(units))
        raise FormatError(f"{path}: PET in units of {said}; known are {', '.join(PET_UNITS)}")
    return _stacked(slices, PET_UNITS[units.pop()])


def _slices(path: Path, kind: str) -> list[Attributes]:
    """Return the slices of a kind in a folder, or beside a file."""
    folder = path if path.is_dir() else path.parent
    files = sorted(file for file in folder.iterdir() if file.is_file())
    slices = [open_dicom(file) for file in files if is_dicom(open_head(file))]
    return [one for one in slices if one.text("SOPClassUID") == STORAGES[kind]]


def _series(path: Path, kind: str) -> list[Attributes]:
    """Return the slices of the series of a file, or of the only one of a folder."""
    slices = _slices(path, kind)
    if path.is_file():
        uid = open_dicom(path).text("SeriesInstanceUID")
        slices = [one for one in slices if one.text("SeriesInstanceUID") == uid]
    if len(slices) < 2:
        raise FormatError(f"{path}: no series of {kind} slices there ({len(slices)} found)")
    uids = {one.text("SeriesInstanceUID") for one in slices}
    if len(uids) > 1:
        raise FormatError(
            f"{path} holds {len(uids)} series of {kind} slices: give one file of the one wanted"
        )
    return slices


def _stacked(slices: list[Attributes], unit: str) -> Volume:
    """Return slices as a volume, in the order of their places."""
    first = slices[0]
    for one in slices:
        for keyword, count in (("ImageOrientationPatient", 6), ("PixelSpacing", 2)):
            stated, wanted = one.numbers(keyword), first.numbers(keyword)
            if len(stated) != count or not np.allclose(stated, wanted, atol=1e-4):
                raise one.refusal(keyword, f"other slices have {wanted}")
        if len(one.numbers("ImagePositionPatient")) != 3:
            raise one.refusal("ImagePositionPatient", "3 numbers are wanted")
    cosines = np.array(first.numbers("ImageOrientationPatient")).reshape(2, 3)
    normal = np.cross(*cosines)
    slices = sorted(slices, key=lambda s: float(normal @ s.numbers("ImagePositionPatient")))
    places = np.array([one.numbers("ImagePositionPatient") for one in slices])
    step = _step(slices, places, normal)
    row_mm, column_mm = first.numbers("PixelSpacing")
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = cosines[0] * column_mm, cosines[1] * row_mm
    lps[:3, 2], lps[:3, 3] = step, places[0]
    voxels = np.stack([_rescaled(one, unit) for one in slices], axis=2)
    return Volume(voxels, np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps, unit)


def _step(
    slices: list[Attributes], places: NDArray[np.float64], normal: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the way from each slice to the next, which must be the same between all.

    It need not run along the planes' normal: slices of a tilted gantry are a sheared stack.
    """
    step: NDArray[np.float64] = (places[-1] - places[0]) / (len(places) - 1)
    along = float(step @ normal)
    even = places[0] + np.arange(len(places))[:, None] * step
    stray = np.linalg.norm(places - even, axis=1)
    if not along > 0 or stray.max() > EVEN * along:
        _refuse_uneven(slices, np.diff(places, axis=0), normal)
    tilt = math.degrees(math.acos(min(1.0, along / float(np.linalg.norm(step)))))
    if tilt > UPRIGHT_DEG:
        log.info(
            "%s: the stack of slices is sheared by %.1f degrees, as of a tilted gantry, and is "
            "placed so",
            slices[0].path.parent, tilt,
        )  # fmt: skip
    return step


def _refuse_uneven(
    slices: list[Attributes], steps: NDArray[np.float64], normal: NDArray[np.float64]
) -> NoReturn:
    """Refuse a stack of slices at the step that differs most from the others."""
    usual = np.median(steps, axis=0)
    at = int(np.argmax(np.linalg.norm(steps - usual, axis=1)))
    away, others = float(steps[at] @ normal), float(usual @ normal)
    aside = float(np.linalg.norm(steps[at] - usual - (away - others) * normal))
    if aside > abs(away - others):
        raise slices[at].refusal(
            "ImagePositionPatient",
            f"the next slice lies {aside:.4g} mm aside of where the others lead: the series was "
            "recentred; resample it to one grid, or give the slices of one part alone",
        )
    raise slices[at].refusal(
        "ImagePositionPatient",
        f"the next slice is {away:.4g} mm away, others {others:.4g} mm: one is missing or there "
        "twice, or the slices are not evenly spaced",
    )


def _rescaled(one: Attributes, unit: str) -> NDArray[np.float32]:
    """Return a slice ``[column, row]`` in its unit."""
    slope, intercept = one.number("RescaleSlope"), one.number("RescaleIntercept")
    if slope is None or intercept is None:
        missing = "RescaleSlope" if slope is None else "RescaleIntercept"
        what = "Hounsfield units" if unit == "HU" else unit or "values of PET"
        raise one.refusal(missing, f"without it these are no {what}")
    try:
        stored = one.dataset.pixel_array
    except (RuntimeError, ValueError, AttributeError, NotImplementedError) as error:
        raise FormatError(f"{one.path}: the slice cannot be read: {error}") from error
    return np.ascontiguousarray(stored.T, np.float32) * np.float32(slope) + np.float32(intercept)
