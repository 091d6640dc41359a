"""PET images from DICOM PT series."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from emrecon.errors import FormatError
from emrecon.io.dicom.attributes import Attributes, is_dicom, open_dicom
from emrecon.io.dicom.pet_series import STORAGE, UNITS
from emrecon.io.dicom.series import slices_of, stacked
from emrecon.io.formats import open_head
from emrecon.volume import Volume

log = logging.getLogger(__name__)


def is_slice(path: Path) -> bool:
    """Return whether a DICOM file is a slice of a PET image."""
    return open_dicom(path, pixels=False).text("SOPClassUID") == STORAGE


def others(path: Path) -> tuple[Path, ...]:
    """Return the other files of a slice's series."""
    uid = open_dicom(path, pixels=False).text("SeriesInstanceUID")
    files = sorted(file for file in path.parent.iterdir() if file.is_file() and file != path)
    return tuple(
        file
        for file in files
        if is_dicom(open_head(file))
        and open_dicom(file, pixels=False).text("SeriesInstanceUID") == uid
    )


def read_image(path: Path) -> Volume:
    """Read the series that a slice belongs to; several frames are the first axis.

    Raises
    ------
    FormatError
        If slices are missing, or those of several frames do not say which they are of.
    """
    slices = slices_of(path, STORAGE, "PET")
    first, unit = slices[0], _unit(path, {one.text("Units") for one in slices})
    frames, stated = first.count("NumberOfTimeSlices") or 1, first.count("NumberOfSlices")
    if stated is not None and stated * frames != len(slices):
        raise first.refusal(
            "NumberOfSlices",
            f"{len(slices)} files of this series are there"
            + (f", of {frames} frames" if frames > 1 else ""),
        )
    if frames == 1:
        return stacked(slices, unit)
    volumes = [stacked(frame, unit) for frame in _by_frame(slices, frames)]
    one = volumes[0]
    if any(not np.allclose(each.affine, one.affine, atol=1e-3) for each in volumes):
        raise FormatError(f"{path}: the frames of this series do not lie in one place")
    return Volume(np.stack([each.voxels for each in volumes]), one.affine, unit)


def _by_frame(slices: list[Attributes], frames: int) -> list[list[Attributes]]:
    """Return the slices of each frame in turn, by their numbers in the series (Image Index)."""
    each = len(slices) // frames
    parts: list[list[Attributes]] = [[] for _ in range(frames)]
    for one in slices:
        index = one.count("ImageIndex")
        if index is None or index > len(slices):
            raise one.refusal("ImageIndex", f"the frame of one of {len(slices)} slices is wanted")
        parts[(index - 1) // each].append(one)
    for frame in parts:
        if len(frame) != each:
            raise slices[0].refusal(
                "ImageIndex", f"{len(frame)} slices of a frame are there, and {each} of others"
            )
    return parts


def _unit(path: Path, stated: set[str]) -> str:
    """Return the unit that the slices of a series state."""
    if stated == {""}:
        log.warning("%s does not say in what unit the image is", path)
        return ""
    names = {word: unit for unit, word in UNITS.items()} | {"CNTS": "counts"}
    if len(stated) > 1 or not stated <= set(names):
        units = ", ".join(sorted(stated))
        raise FormatError(f"{path}: PET in units of {units}; known are {', '.join(names)}")
    return names[stated.pop()]
