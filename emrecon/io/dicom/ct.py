"""CT in Hounsfield units: a DICOM series (a folder, or one of its files) or NIfTI."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emrecon import io
from emrecon.errors import FormatError
from emrecon.io.dicom import is_dicom
from emrecon.io.dicom.attributes import Attributes, open_dicom
from emrecon.io.formats import open_head
from emrecon.volume import Volume

STORAGE = "1.2.840.10008.5.1.4.1.1.2"
"""SOP class of CT Image Storage."""

EVEN = 0.02
"""How far slices may lie from even steps, as a share of a step."""


def read_ct(path: Path) -> tuple[Volume, float | None]:
    """Read a CT.

    Parameters
    ----------
    path : Path
        A folder with the files of a DICOM series, one of these files, or an image.

    Returns
    -------
    Volume
        Hounsfield units, where the patient is.
    float or None
        Tube voltage in kV, where the files say so.

    Raises
    ------
    FormatError
        If the files are no CT, are of several series, or slices are missing.
    """
    if path.is_dir():
        return _series(path, sorted(file for file in path.iterdir() if file.is_file()))
    if is_dicom(open_head(path)):
        return _series(path, sorted(file for file in path.parent.iterdir() if file.is_file()))
    return io.read_image(path), None


def _series(path: Path, files: Sequence[Path]) -> tuple[Volume, float | None]:
    """Return the series of a file, or the only one of a folder."""
    slices = [open_dicom(file) for file in files if is_dicom(open_head(file))]
    slices = [one for one in slices if one.text("SOPClassUID") == STORAGE]
    if path.is_file():
        uid = open_dicom(path).text("SeriesInstanceUID")
        slices = [one for one in slices if one.text("SeriesInstanceUID") == uid]
    if len(slices) < 2:
        raise FormatError(f"{path}: no series of CT slices there ({len(slices)} found)")
    uids = {one.text("SeriesInstanceUID") for one in slices}
    if len(uids) > 1:
        raise FormatError(
            f"{path} holds {len(uids)} series of CT slices: give one file of the one wanted"
        )
    return _stacked(slices), slices[0].number("KVP")


def _stacked(slices: list[Attributes]) -> Volume:
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
    step = _step(slices, places @ normal)
    row_mm, column_mm = first.numbers("PixelSpacing")
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = cosines[0] * column_mm, cosines[1] * row_mm
    lps[:3, 2], lps[:3, 3] = normal * step, places[0]
    voxels = np.stack([_hounsfield(one) for one in slices], axis=2)
    return Volume(voxels, np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps, "HU")


def _step(slices: list[Attributes], along: NDArray[np.float64]) -> float:
    """Return the distance of slices, which must be the same between all."""
    steps = np.diff(along)
    step = float(np.median(steps))
    odd = np.flatnonzero(np.abs(steps - step) > EVEN * step)
    if not step > 0 or odd.size:
        at = int(odd[0]) if odd.size else 0
        raise slices[at].refusal(
            "ImagePositionPatient",
            f"the next slice is {steps[at]:.4g} mm away, others {step:.4g} mm: one is missing or "
            "there twice",
        )
    return step


def _hounsfield(one: Attributes) -> NDArray[np.float32]:
    """Return a slice ``[column, row]`` in Hounsfield units."""
    slope, intercept = one.number("RescaleSlope"), one.number("RescaleIntercept")
    if slope is None or intercept is None:
        missing = "RescaleSlope" if slope is None else "RescaleIntercept"
        raise one.refusal(missing, "without it these are no Hounsfield units")
    try:
        stored = one.dataset.pixel_array
    except (RuntimeError, ValueError, AttributeError, NotImplementedError) as error:
        raise FormatError(f"{one.path}: the slice cannot be read: {error}") from error
    return np.ascontiguousarray(stored.T, np.float32) * np.float32(slope) + np.float32(intercept)
