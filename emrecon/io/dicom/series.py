"""DICOM series of slices, as volumes in their place: CT, PET images."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import FormatError
from emrecon.io.dicom.attributes import Attributes, is_dicom, open_dicom
from emrecon.io.formats import check_affine, open_head
from emrecon.volume import Volume

log = logging.getLogger(__name__)

EVEN = 0.1
"""How far a slice may lie from its place in an even stack, as a share of a step."""

UPRIGHT_DEG = 0.05
"""Greatest angle between the step and the planes' normal that is taken for rounding."""


def slices_of(path: Path, storage: str, name: str) -> list[Attributes]:
    """Return the slices of a file's series, or of the only series of a folder.

    Parameters
    ----------
    path : Path
        A folder, or one of its files.
    storage : str
        SOP class of the slices; others are passed over.
    name : str
        What they are of, such as CT.

    Raises
    ------
    FormatError
        If there are less than two, or those of several series.
    """
    folder = path if path.is_dir() else path.parent
    files = sorted(file for file in folder.iterdir() if file.is_file())
    slices = [open_dicom(file) for file in files if is_dicom(open_head(file))]
    slices = [one for one in slices if one.text("SOPClassUID") == storage]
    if path.is_file():
        uid = open_dicom(path).text("SeriesInstanceUID")
        slices = [one for one in slices if one.text("SeriesInstanceUID") == uid]
    if len(slices) < 2:
        raise FormatError(f"{path}: no series of {name} slices there ({len(slices)} found)")
    uids = {one.text("SeriesInstanceUID") for one in slices}
    if len(uids) > 1:
        raise FormatError(
            f"{path} holds {len(uids)} series of {name} slices: give one file of the one wanted"
        )
    return slices


def stacked(slices: list[Attributes], unit: str) -> Volume:
    """Return slices as a volume, in the order of their places."""
    first = slices[0]
    for one in slices:
        for keyword, count in (("ImageOrientationPatient", 6), ("PixelSpacing", 2)):
            stated, wanted = one.numbers(keyword), first.numbers(keyword)
            if len(stated) != count or not np.allclose(stated, wanted, atol=1e-4):
                raise one.refusal(keyword, f"other slices have {wanted}")
        for keyword in ("Rows", "Columns", "PatientPosition"):
            if one.text(keyword) != first.text(keyword):
                raise one.refusal(keyword, f"other slices have {first.text(keyword) or 'none'}")
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
    check_affine(first.path, lps)
    voxels = np.stack([_values(one) for one in slices], axis=2)
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


def _values(one: Attributes) -> NDArray[np.float32]:
    """Return a slice ``[column, row]`` in the unit of its slope."""
    slope, intercept = one.number("RescaleSlope"), one.number("RescaleIntercept")
    if slope is None or intercept is None:
        missing = "RescaleSlope" if slope is None else "RescaleIntercept"
        raise one.refusal(missing, "without it values have no unit")
    try:
        stored = one.dataset.pixel_array
    except (RuntimeError, ValueError, AttributeError, NotImplementedError) as error:
        raise FormatError(f"{one.path}: the slice cannot be read: {error}") from error
    if stored.ndim != 2:
        raise FormatError(
            f"{one.path}: a slice of one grey plane is wanted, not of shape {stored.shape}"
        )
    return np.ascontiguousarray(stored.T, np.float32) * np.float32(slope) + np.float32(intercept)
