"""CT in Hounsfield units: a DICOM series (a folder, or one of its files) or NIfTI."""

from __future__ import annotations

from pathlib import Path

from emrecon import io
from emrecon.io.dicom.attributes import is_dicom
from emrecon.io.dicom.series import slices_of, stacked
from emrecon.io.formats import open_head
from emrecon.volume import Volume

STORAGE = "1.2.840.10008.5.1.4.1.1.2"
"""SOP class of CT Image Storage."""


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
    if path.is_dir() or is_dicom(open_head(path)):
        slices = slices_of(path, STORAGE, "CT")
        return stacked(slices, "HU"), slices[0].number("KVP")
    return io.read_image(path), None
