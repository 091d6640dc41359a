"""What a file is, by its first bytes; nothing heavy is imported."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Literal

from emrecon.errors import FormatError
from emrecon.io.interfile.header import normal, parse

Kind = Literal["image", "projections", "listmode", "petsird", "spect", "dicom", "unknown"]
"""What a file may hold."""

_HEAD = 544
_SIZES = {348: (344, b"n+1"), 540: (4, b"n+2")}


def open_head(path: Path) -> bytes:
    """Return the first bytes of a file, decompressed where it is gzip.

    Raises
    ------
    FormatError
        If the file cannot be read, or its compression is damaged.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
        if not head.startswith(b"\x1f\x8b"):
            return head
        with gzip.open(path) as file:
            return file.read(_HEAD)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FormatError(f"{path} is damaged: {error}") from error
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror or error}") from error


def is_nifti(head: bytes) -> bool:
    """Return whether a file that begins so is NIfTI-1 or NIfTI-2 in a single file."""
    for order in ("little", "big"):
        size = int.from_bytes(head[:4], order)
        if size in _SIZES:
            at, magic = _SIZES[size]
            return head[at : at + 3] == magic
    return False


def is_dicom(head: bytes) -> bool:
    """Return whether a file that begins so is DICOM, with its preamble of 128 bytes."""
    return head[128:132] == b"DICM"


def is_petsird(head: bytes) -> bool:
    """Return whether a file that begins so is of yardl's encoding, of which PETSIRD is one."""
    return head.startswith(b"yardl")


def is_interfile(head: bytes) -> bool:
    """Return whether a file that begins so is Interfile."""
    for line in head.decode("latin-1").splitlines():
        content = line.partition(";")[0].strip()
        if content:
            return normal(content.partition(":")[0]) == "interfile"
    return False


def interfile_kind(path: Path) -> Kind:
    """Return what an Interfile header describes.

    Raises
    ------
    FormatError
        If it is not made of keys and values.
    """
    header = parse(path)
    space = header.text("%sms-mi header name space", default="").lower()
    if "petlink" in space or normal(header.text("data format", default="")) == "coincidencelist":
        return "listmode"
    first_axis = header.text("matrix axis label", default="").lower()
    if first_axis == "tangential coordinate":
        return "projections"
    if first_axis == "x" or "image" in header.words("pet data type"):
        return "image"
    if header.entry("number of projections") is not None:
        return "spect"
    return "unknown"


def dicom_kind(path: Path) -> Kind:
    """Return what a DICOM file holds, as far as it is read here.

    Raises
    ------
    FormatError
        If it is damaged.
    """
    from emrecon.io.dicom import nm  # noqa: PLC0415 - brings pydicom

    return "spect" if nm.is_acquisition(path) else "dicom"
