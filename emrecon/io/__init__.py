"""Files in, volumes and projections out; and back.

Formats are told apart by content, tried in order; the modules that read them are loaded when
they are first needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from emrecon.errors import FormatError, WriteError
from emrecon.io.sniff import (
    Kind,
    dicom_kind,
    interfile_kind,
    is_dicom,
    is_interfile,
    is_nifti,
    is_petsird,
    open_head,
)
from emrecon.volume import Volume

__all__ = [
    "FORMATS",
    "Format",
    "Kind",
    "image_format",
    "image_size",
    "kind",
    "read_image",
    "write_image",
]


class _Module(Protocol):
    """What a module that reads and writes images offers."""

    def read(self, path: Path) -> Volume: ...

    def write(self, volume: Volume, path: Path) -> None: ...


@dataclass(frozen=True)
class Format:
    """A file format for images."""

    name: str
    suffixes: tuple[str, ...]
    """Endings of the files that are written in this format."""

    claims: Callable[[bytes], bool]
    """Whether a file that begins with these bytes, decompressed, is of this format."""

    kind: Callable[[Path], Kind]
    """What a file of this format holds."""

    module: str
    """Where `read` and `write` are."""

    def load(self) -> _Module:
        """Return the module that reads and writes."""
        return cast("_Module", import_module(self.module))


FORMATS = (
    Format("NIfTI", (".nii", ".nii.gz"), is_nifti, lambda _: "image", "emrecon.io.nifti"),
    Format("Interfile", (".hv",), is_interfile, interfile_kind, "emrecon.io.interfile.images"),
    Format("DICOM", (), is_dicom, dicom_kind, "emrecon.io.dicom.nm"),
    Format("PETSIRD", (), is_petsird, lambda _: "petsird", "emrecon.io.petsird.file"),
)
"""Formats in the order in which they are tried."""


def kind(path: Path) -> Kind:
    """Return what the file holds, by its content.

    Raises
    ------
    FormatError
        If the file cannot be read.
    """
    form = _format_of(path)
    return "unknown" if form is None else form.kind(path)


def read_image(path: Path) -> Volume:
    """Read an image, whatever its format.

    Raises
    ------
    FormatError
        If the file cannot be read, is of no known format, is damaged, or is not an image.
    """
    form = _format_of(path)
    if form is None:
        known = ", ".join(form.name for form in FORMATS if form.suffixes)
        raise FormatError(f"cannot tell what {path} is; known images are {known}")
    found = form.kind(path)
    if found != "image":
        raise FormatError(f"{path} holds no image ({found})")
    return form.load().read(path)


def write_image(volume: Volume, path: Path) -> None:
    """Write an image in the format that the ending of `path` names.

    Raises
    ------
    WriteError
        If the ending names no known format, or the file cannot be written.
    GeometryError
        If the format cannot say where the volume lies.
    """
    image_format(path).load().write(volume, path)


def image_size(path: Path) -> tuple[float, float]:
    """Return the number of voxels of an image, and mm3 of each, from its header alone.

    Where only bytes are known, as many voxels of 1 mm3 as the largest file beside it has bytes.
    """
    from emrecon.io import interfile, nifti  # noqa: PLC0415 - nibabel

    if kind(path) == "image" and path.name.endswith((".nii", ".nii.gz")):
        return nifti.size(path)
    if path.suffix == ".hv":
        return interfile.images.size(path)
    beside = [file for file in path.parent.glob(f"{path.stem}.*") if file.is_file()]
    return float(max(file.stat().st_size for file in beside)), 1.0


def image_format(path: Path) -> Format:
    """Return the format that the ending of `path` names.

    Raises
    ------
    WriteError
        If the ending names no known format.
    """
    for form in FORMATS:
        if path.name.endswith(form.suffixes):
            return form
    known = ", ".join(suffix for form in FORMATS for suffix in form.suffixes)
    raise WriteError(f"cannot write {path}: no format ends so; known are {known}")


def _format_of(path: Path) -> Format | None:
    head = open_head(path)
    return next((form for form in FORMATS if form.claims(head)), None)
