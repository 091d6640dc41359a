"""CT in Hounsfield units: a DICOM series (a folder, or one of its files) or NIfTI."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from emrecon import io
from emrecon.io.dicom.attributes import is_dicom
from emrecon.io.dicom.series import slices_of, stacked
from emrecon.io.formats import open_head
from emrecon.volume import Volume

STORAGE = "1.2.840.10008.5.1.4.1.1.2"
"""SOP class of CT Image Storage."""


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
        slices = slices_of(path, STORAGE, "CT")
        first = slices[0]
        position = first.text("PatientPosition") or None
        return Ct(stacked(slices, "HU"), first.number("KVP"), position)
    return Ct(io.read_image(path), None, io.patient_position(path))
