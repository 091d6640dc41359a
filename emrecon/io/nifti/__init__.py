"""NIfTI, and what else nibabel reads of the same family: Analyze 7.5 and FreeSurfer's MGH."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emrecon.io.formats import Kind, open_head
from emrecon.tomo.inputs import CameraFacts
from emrecon.volume import Volume

if TYPE_CHECKING:
    from emrecon.io.nifti.copying import copy
    from emrecon.io.nifti.reading import open_image, read
    from emrecon.io.nifti.writing import write

__all__ = ["FORMATS", "copy", "open_image", "read", "write"]

SUFFIXES = (".nii", ".nii.gz")
"""Endings of the files written here."""

SINGLE = (b"n+1", b"n+2")
"""Magic words of NIfTI-1 and NIfTI-2 in one file."""

_MAGIC = {348: 344, 540: 4}
"""Size of a NIfTI header, and where in it the magic word stands."""

_PAIR = {".hdr": ".img", ".img": ".hdr"}
_MGH_TYPES = {0, 1, 3, 4}


@dataclass(frozen=True)
class _Family:
    """A format that is read by nibabel."""

    name: str
    claims: Callable[[bytes], bool]

    def kind(self, head: bytes, path: Path) -> Kind | None:
        """Return ``image`` for such a header, and for the data file of a pair."""
        beside = path.with_suffix(".hdr")
        pair = path.suffix == ".img" and beside.is_file()
        return "image" if self.claims(head) or (pair and self.claims(open_head(beside))) else None

    def describe(self, path: Path, camera: CameraFacts) -> dict[str, str]:
        from emrecon.io.summary import image_summary  # noqa: PLC0415 - not for every command

        return image_summary(self.read_image(path))

    def read_image(self, path: Path) -> Volume:
        from emrecon.io.nifti.reading import read  # noqa: PLC0415 - brings nibabel

        return read(path)

    def image_header(self, path: Path) -> Volume:
        from emrecon.io.nifti.reading import read_header  # noqa: PLC0415 - brings nibabel

        return read_header(path)

    def data_files(self, path: Path) -> tuple[Path, ...]:
        other = path.with_suffix(_PAIR.get(path.suffix, path.suffix))
        return (other,) if other != path and other.is_file() else ()


@dataclass(frozen=True)
class _Nifti(_Family):
    """NIfTI, which is written too."""

    suffixes: tuple[str, ...] = SUFFIXES

    def write_image(self, volume: Volume, path: Path) -> None:
        from emrecon.io.nifti.writing import write  # noqa: PLC0415 - brings nibabel

        write(volume, path)


def is_nifti(head: bytes, magic: tuple[bytes, ...] = (*SINGLE, b"ni1", b"ni2")) -> bool:
    """Return whether a file begins like NIfTI-1 or NIfTI-2 of these magic words."""
    at = next((_MAGIC[n] for n in _sizes(head) if n in _MAGIC), None)
    return at is not None and head[at : at + 3] in magic


def is_analyze(head: bytes) -> bool:
    """Return whether a file begins like Analyze 7.5: its size, and 1 to 7 axes."""
    little, big = _sizes(head)
    if is_nifti(head) or 348 not in {little, big}:
        return False
    return 1 <= int.from_bytes(head[40:42], "little" if little == 348 else "big") <= 7


def is_mgh(head: bytes) -> bool:
    """Return whether a file begins like MGH: version 1, four sizes, and a type of numbers."""
    numbers = [int.from_bytes(head[at : at + 4], "big") for at in range(0, 24, 4)]
    sizes = all(0 < size < 1 << 20 for size in numbers[1:5])
    return len(head) >= 284 and numbers[0] == 1 and sizes and numbers[5] in _MGH_TYPES


def _sizes(head: bytes) -> tuple[int, int]:
    """Return the size of the header that its first bytes tell, in either byte order."""
    return int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big")


FORMATS = (
    _Nifti("NIfTI", is_nifti),
    _Family("Analyze", is_analyze),
    _Family("MGH", is_mgh),
)
"""Formats of this folder."""

_LATER = {
    "copy": "copying",
    "open_image": "reading",
    "read": "reading",
    "write": "writing",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    """Import what brings nibabel when it is first asked for (PEP 562)."""
    if name not in _LATER:
        raise AttributeError(f"module 'emrecon.io.nifti' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - as above

    return getattr(import_module(f"emrecon.io.nifti.{_LATER[name]}"), name)
