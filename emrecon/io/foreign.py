"""Files of formats that are not read here, named, so that a person knows what to do instead."""

from __future__ import annotations

MAGIC = {
    b"/annex/objects/": "a pointer of git-annex, whose content is not here: datalad get it",
    b"version https://git-lfs": "a pointer of Git LFS, whose content is not here: git lfs pull",
    b"root": "a ROOT file, as GATE writes: let GATE write Interfile, or convert it to PETSIRD",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file: no format in HDF5 is read",
    b"MATRIX7": "ECAT 7: convert images to NIfTI, sinograms to STIR's Interfile",
    b"NRRD00": "NRRD: convert it to NIfTI",
    b"MATLAB 5.0 MAT-file": "a MATLAB file: write NIfTI or Interfile",
    b"\x93NUMPY": "a NumPy array, which says nothing of places: write NIfTI",
    b"PK\x03\x04": "a ZIP archive: unpack it",
}
"""Beginnings of files, and what they are."""

CASTOR = "a CASToR header: convert it to PETSIRD, or count its events into Interfile sinograms"

TEXT = {
    ("data filename:", "data mode:"): CASTOR,
    ("data filename:", "number of events:"): CASTOR,
    ("ndims =", "dimsize ="): "MetaImage: convert it to NIfTI",
    ("\n!interfile",): "Interfile behind lines that are none: remove all before !INTERFILE",
}
"""Phrases that only headers of one format hold, and what it is."""


def foreign(head: bytes) -> str:
    """Return what a file that begins so is, and what to do; empty where that is not known."""
    if not head:
        return "an empty file"
    for magic, words in MAGIC.items():
        if head.startswith(magic):
            return words
    text = head.decode("latin-1").lower()
    for phrases, words in TEXT.items():
        if all(phrase in text for phrase in phrases):
            return words
    return ""
