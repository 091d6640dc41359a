"""PET images from DICOM PT series."""

from __future__ import annotations

import logging
from pathlib import Path

from emrecon.errors import FormatError
from emrecon.io.dicom.attributes import is_dicom, open_dicom
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
    """Read the series that a slice belongs to, one frame.

    Raises
    ------
    FormatError
        If slices are missing, or there are several frames.
    """
    slices = slices_of(path, STORAGE, "PET")
    first = slices[0]
    if (first.count("NumberOfTimeSlices") or 1) > 1:
        raise FormatError(f"{path}: a series of several frames is not read: give one frame")
    told = first.count("NumberOfSlices")
    if told is not None and told != len(slices):
        raise first.refusal("NumberOfSlices", f"{len(slices)} files of this series are there")
    return stacked(slices, _unit(path, {one.text("Units") for one in slices}))


def _unit(path: Path, stated: set[str]) -> str:
    """Return the unit that the slices of a series state."""
    if stated == {""}:
        log.warning("%s does not say in what unit the image is", path)
        return ""
    names = {word: unit for unit, word in UNITS.items()} | {"CNTS": "counts"}
    if len(stated) > 1 or not stated <= set(names):
        said = ", ".join(sorted(stated))
        raise FormatError(f"{path}: PET in units of {said}; known are {', '.join(names)}")
    return names[stated.pop()]
