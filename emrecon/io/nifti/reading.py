"""Images of NIfTI-1 and NIfTI-2 (one file or a pair), Analyze 7.5 and MGH, read by nibabel."""

from __future__ import annotations

import logging
import math
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import SEEK_END
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.fileholders import FileHolder
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from emrecon.errors import EmreconError, FormatError
from emrecon.io.formats import check_affine, open_head
from emrecon.io.nifti import SINGLE, is_mgh, is_nifti
from emrecon.io.nifti.packing import gzip, gzip_error
from emrecon.volume import Volume

log = logging.getLogger(__name__)

WRITER = "emrecon"
"""What the description of a file written here begins with."""

_TO_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # unknown, metre, mm, micron
_EXACT = 1 << 24  # float32 holds every whole number up to it
_BEYOND = "they are beyond the single precision that is computed with; scale them"
_CIFTI = range(3000, 3100)
"""Intents of CIFTI, which is stored as NIfTI-2."""

_CHUNK = 1 << 20
"""Bytes that are unpacked at a time."""

_BROKEN = (
    ImageFileError,
    HeaderDataError,
    WrapStructError,
    OSError,
    EOFError,
    MemoryError,
    OverflowError,
    TypeError,
    ValueError,
    zlib.error,
    gzip_error,
)


@dataclass(frozen=True, eq=False)
class StoredImage:
    """An image whose header was read, and whose voxels are when they are asked for."""

    path: Path
    """The file."""

    image: Any
    """What nibabel says of it, its header among others."""

    affine: NDArray[np.float64]
    """Voxel indices to RAS mm, shape ``(4, 4)``."""

    unit: str
    """Unit of the values, where emrecon wrote it into the description."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers, or colours, in the file."""
        kind: np.dtype[Any] = self.image.get_data_dtype()
        return kind

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of voxels along the axes as stored, time after space."""
        shape: tuple[int, ...] = self.image.shape
        return shape

    def voxels(self) -> NDArray[Any]:
        """Return the voxels in the file's own type, or float32 where the file scales them.

        Raises
        ------
        FormatError
            If the file is truncated or damaged.
        """
        slope, inter = self.scaling
        if slope != 1 or inter != 0:
            with _readable(self.path), np.errstate(over="ignore"):
                scaled = np.asarray(self.image.dataobj, np.float32)
            if np.isinf(scaled).any() and not np.isinf(self.unscaled()).any():
                raise FormatError(f"{self.path} scales its numbers by {slope:g}: {_BEYOND}")
            return scaled
        raw = self.unscaled()
        return raw.astype(raw.dtype.newbyteorder("="), copy=False)

    @property
    def scaling(self) -> tuple[float, float]:
        """Slope and intercept that turn the numbers in the file into values."""
        return float(self.image.dataobj.slope), float(self.image.dataobj.inter)

    def unscaled(self) -> NDArray[Any]:
        """Return the numbers as they are in the file.

        Raises
        ------
        FormatError
            If the file is truncated or damaged.
        """
        with _readable(self.path):
            return np.asarray(self.image.dataobj.get_unscaled())


def open_image(path: Path, *, whole: bool = True) -> StoredImage:
    """Read the header of an image; a `whole` compressed file, to its end and its checksum.

    Raises
    ------
    FormatError
        If the file is truncated or damaged, holds CIFTI, or has an affine that no image can have.
    """
    with _readable(path):
        image = _load(path, whole=whole)
        header, affine = image.header, np.asarray(image.affine, np.float64)
    nifti = isinstance(header, nib.Nifti1Header)
    if nifti and type(header).is_single and image.dataobj.offset < header.single_vox_offset:
        raise FormatError(
            f"cannot read {path} as an image: its voxels would begin at byte "
            f"{image.dataobj.offset}, in the header"
        )
    if nifti and int(header["intent_code"]) in _CIFTI:
        raise FormatError(
            f"{path} is CIFTI: its values lie on surfaces and in lists of voxels, and are no image"
        )
    code = int(header["xyzt_units"]) % 8 if nifti else 0
    if code not in _TO_MM:
        raise FormatError(f"{path}: unit of length {code} is none of NIfTI's")
    affine[:3] *= _TO_MM[code]
    check_affine(path, affine)
    if not _says_where(header):
        log.warning("%s does not say where it lies in space: left and right are a guess", path)
    if nifti and len(image.shape) > 2:
        _say_disagreement(path, header, _TO_MM[code])
    return StoredImage(path, image, affine, _unit(header) if nifti else "")


def open_numbers(path: Path, *, whole: bool = True) -> StoredImage:
    """Read the header of an image as `open_image`, and refuse what does not hold real numbers."""
    stored = open_image(path, whole=whole)
    if stored.dtype.kind not in "biuf":
        raise FormatError(f"cannot read {path}: it holds {stored.dtype}, not real numbers")
    return stored


def read(path: Path) -> Volume:
    """Read an image as float32, scaling applied, lengths in mm.

    Time, where there is more than one frame, becomes the first axis; a single frame is a volume
    without time.

    Raises
    ------
    FormatError
        As `open_image`, or if the file does not hold numbers.
    """
    stored = open_numbers(path)
    numbers = stored.voxels()
    _check_range(path, numbers)
    if numbers.dtype.kind in "iu" and numbers.itemsize > 2 and _rounded(numbers):
        log.warning("%s holds whole numbers above %d, which are rounded", path, _EXACT)
    voxels = _three_or_four_axes(path, _turned(numbers))
    return Volume(_turned(voxels), stored.affine, stored.unit)


def read_header(path: Path) -> Volume:
    """Return an image as `read` does, with 0 for its voxels, which are not read.

    Raises
    ------
    FormatError
        As `read`, as far as the header and the size of the file tell.
    """
    stored = open_numbers(path, whole=False)
    with _readable(path):
        nothing = np.broadcast_to(np.float32(0), stored.shape)
    return Volume(_three_or_four_axes(path, nothing), stored.affine, stored.unit)


def header_of(path: Path) -> nib.Nifti1Header:
    """Return the header alone of NIfTI in one file; what is mended in it was said on reading."""
    kind = _class(open_head(path)).header_class
    with gzip.open(path) if _packed(path) else path.open("rb") as file, _heard():
        header: nib.Nifti1Header = kind.from_fileobj(file)
        return header


def single_header(header: nib.Nifti1Header) -> nib.Nifti1Header:
    """Return a copy of a header for NIfTI in one file, even if it is that of a pair."""
    kind: Any = nib.Nifti2Header if isinstance(header, nib.Nifti2Header) else nib.Nifti1Header
    single: nib.Nifti1Header = kind(header.binaryblock, header.endianness, check=False)
    return header.copy() if type(header) is kind else single


def _check_range(path: Path, numbers: NDArray[Any]) -> None:
    """Refuse numbers that float32 would turn to infinity, or all to 0."""
    if numbers.dtype.kind != "f" or numbers.itemsize <= 4:
        return
    most = float(np.abs(numbers).max(initial=0, where=np.isfinite(numbers)))
    limits = np.finfo(np.float32)
    if most > float(limits.max) or 0 < most < float(limits.tiny):
        raise FormatError(f"{path} holds numbers up to {most:.3g}: {_BEYOND}")


def _rounded(numbers: NDArray[Any]) -> bool:
    """Return whether float32 cannot tell the largest of these whole numbers apart."""
    return bool(numbers.size) and max(-int(numbers.min()), int(numbers.max())) > _EXACT


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn whatever nibabel says of a damaged file into one error of one line.

    What it says of one that it mends is warned of.
    """
    try:
        with _heard() as messages:
            yield
        for words in messages:
            log.warning("%s: %s", path, words)
    except EmreconError:
        raise
    except _BROKEN as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if "Not a gzipped file" in reason:  # which it begins as
            reason = "bytes follow the end of what is compressed: it is damaged or was added to"
        if isinstance(error, MemoryError):
            reason = "its header tells of more voxels than memory holds"
        if isinstance(error, FileNotFoundError) and error.filename:  # of a pair
            reason = f"there is no {error.filename}, which belongs to it"
        raise FormatError(f"cannot read {path} as an image: {reason}") from error


@contextmanager
def _heard() -> Iterator[dict[str, None]]:
    """Collect what nibabel logs in this thread or warns of, which else lacks the file's name."""
    messages: dict[str, None] = {}
    thread = threading.get_ident()

    def kept(record: logging.LogRecord) -> bool:
        if record.thread != thread:
            return True
        messages[record.getMessage()] = None
        return False

    nib.imageglobals.logger.addFilter(kept)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always", UserWarning)
            yield messages
    finally:
        nib.imageglobals.logger.removeFilter(kept)
        messages |= {" ".join(str(one.message).split()): None for one in warned}


def _load(path: Path, *, whole: bool) -> Any:  # noqa: ANN401 - an image of nibabel's
    """Return the image; a whole compressed one is read to its end, where its checksum stands."""
    head = open_head(path)
    if not (is_mgh(head) or is_nifti(head, SINGLE)):
        pair = nib.load(path)  # by the names of its files
        data = Path(str(pair.file_map["image"].filename))
        if data.suffix not in {".bz2", ".zst"}:
            _refuse_cut(pair, data)
        return pair
    packed = _packed(path)
    misnamed = path.suffix in {".gz", ".bz2", ".zst"}  # nibabel would unpack it by its name
    if not (packed or misnamed or is_mgh(head)):  # nibabel leaves files of MGH open
        image = _class(head).from_file_map({"image": FileHolder(str(path))})
        _refuse_cut(image, path)
        return image
    with gzip.open(path) if packed else path.open("rb") as file:
        if whole:
            content = file.read()
            image = _class(head).from_bytes(content)
            _refuse_size(image, path, len(content))
            return image
        image = _class(head).from_file_map({"image": FileHolder(fileobj=file)})
        _refuse_cut(image, path)
        return image


def _refuse_cut(image: Any, path: Path) -> None:  # noqa: ANN401 - an image of nibabel's
    """Refuse a file that is too short for the voxels of its header, packed with gzip or not."""
    end = _end(image)
    _refuse_size(image, path, _unpacked_size(path, end) if _packed(path) else path.stat().st_size)


def _refuse_size(image: Any, path: Path, size: int) -> None:  # noqa: ANN401 - likewise
    if size < _end(image):
        raise FormatError(f"{path} is truncated: it has {size} bytes of {_end(image)}")


def _end(image: Any) -> int:  # noqa: ANN401 - likewise
    """Return how many bytes the header tells of, which may be more than fit 64 bits."""
    voxels = math.prod(map(int, image.shape))
    return int(image.dataobj.offset) + voxels * int(image.get_data_dtype().itemsize)


def _unpacked_size(path: Path, likely: int) -> int:
    """Return how many bytes a file of gzip holds, which is unpacked unless it ends by saying so.

    Its last four bytes are their number, modulo 2^32, unless it was cut or consists of several.
    """
    with path.open("rb") as file:
        file.seek(-4, SEEK_END)
        if int.from_bytes(file.read(), "little") == likely % (1 << 32):
            return likely
    with gzip.open(path) as file:
        return sum(map(len, iter(lambda: file.read(_CHUNK), b"")))


def _packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _class(head: bytes) -> Any:  # noqa: ANN401 - a class of nibabel's
    """Return what reads a single file that begins so."""
    if is_mgh(head):
        return nib.MGHImage
    return nib.Nifti2Image if is_nifti(head, (b"n+2",)) else nib.Nifti1Image


def _says_where(header: Any) -> bool:  # noqa: ANN401 - a header of nibabel's
    """Return whether a header says where its image lies, left and right above all."""
    if isinstance(header, nib.Nifti1Header):
        return bool(int(header["qform_code"]) or int(header["sform_code"]))
    return isinstance(header, nib.freesurfer.mghformat.MGHHeader)


def _say_disagreement(path: Path, header: nib.Nifti1Header, to_mm: float) -> None:
    """Warn where qform and sform place an image differently, by more than half a voxel."""
    try:
        qform, q_code = header.get_qform(coded=True)
        sform, s_code = header.get_sform(coded=True)
    except (HeaderDataError, ValueError):
        return  # a qform that says nothing
    if not (q_code and s_code):
        return
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(header.get_data_shape()[:3]) - 1)
    moved = corners @ (sform - qform)[:3, :3].T + (sform - qform)[:3, 3]
    farthest = float(np.linalg.norm(moved, axis=1).max())
    if farthest > 0.5 * float(np.min(header.get_zooms()[:3])):
        log.warning(
            "%s: its sform (code %d) and its qform (code %d) place it up to %.3g mm apart; the "
            "sform is taken",
            path, s_code, q_code, farthest * to_mm,
        )  # fmt: skip


def _turned(voxels: NDArray[Any]) -> NDArray[np.float32]:
    """Return the voxels as float32 with their last axis contiguous, where a file has the first.

    Plane by plane, so that what is turned stays in the processor's cache: three times as quick.
    """
    if voxels.ndim < 3 or voxels.flags.c_contiguous:
        return np.asarray(voxels, np.float32, order="C")
    turned = np.empty(voxels.shape, np.float32)
    for j in range(voxels.shape[1]):
        turned[:, j] = np.ascontiguousarray(voxels[:, j].T).T
    return turned


def _three_or_four_axes(path: Path, voxels: NDArray[np.float32]) -> NDArray[np.float32]:
    while voxels.ndim > 3 and voxels.shape[-1] == 1:
        voxels = voxels[..., 0]
    if voxels.ndim not in {3, 4} or not voxels.size:
        raise FormatError(f"{path}: an image has 3 axes (4 with time), not {voxels.shape}")
    return np.moveaxis(voxels, -1, 0) if voxels.ndim == 4 else voxels


def _unit(header: nib.Nifti1Header) -> str:
    """Return the unit that emrecon put beside its name."""
    text = bytes(header["descrip"].item()).decode("ascii", "ignore").rstrip("\0")
    writer, _, unit = text.partition(" [")
    return unit.removesuffix("]") if writer == WRITER else ""
