"""NIfTI-1 and NIfTI-2 in a single file, by nibabel."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import IOBase
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from emrecon.errors import DataError, FormatError, WriteError
from emrecon.files import replacing
from emrecon.io.sniff import is_nifti, open_head
from emrecon.volume import Volume

try:
    from isal import igzip as gzip  # ISA-L: packs eight times as quickly as zlib
    from isal import isal_zlib
except ImportError:  # no wheel for this processor: zlib makes other bytes of the same content
    import gzip
    import zlib as isal_zlib

logger = logging.getLogger(__name__)

SUFFIXES = (".nii", ".nii.gz")
"""Endings of the files written here."""

_MADE = "emrecon"
_GZIP = b"\x1f\x8b"
_PLANES = 16
_TO_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # unknown, metre, mm, micron
_BROKEN = (
    ImageFileError,
    HeaderDataError,
    OSError,
    EOFError,
    MemoryError,
    OverflowError,
    TypeError,
    ValueError,
    zlib.error,
    isal_zlib.error,
)


def size(path: Path) -> tuple[float, float]:
    """Return the number of voxels, and mm3 of each, that a single-file NIfTI's header tells.

    Raises
    ------
    FormatError
        If there is no such header.
    """
    try:
        image = _load(path)
        to_mm = _TO_MM.get(int(image.header["xyzt_units"]) % 8, 1.0)
        mm3 = abs(float(np.linalg.det(image.affine[:3, :3]))) * to_mm**3
        return float(np.prod(image.shape)), mm3
    except _BROKEN as error:
        raise FormatError(f"{path} is not a NIfTI file that can be read: {error}") from error


def read(path: Path) -> Volume:
    """Read a single-file NIfTI as float32, scaling applied, lengths in mm.

    Time, where there is more than one frame, becomes the first axis; a single frame is a volume
    without time.

    Raises
    ------
    FormatError
        If the file is truncated or damaged, does not hold numbers, or has an affine that no
        image can have.
    """
    try:
        image = _load(path)
        voxels = _real(image)
    except _BROKEN as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FormatError(f"cannot read {path} as NIfTI: {reason}") from error
    voxels = _three_or_four_axes(path, voxels)
    affine = np.asarray(image.affine, np.float64)
    code = int(image.header["xyzt_units"]) % 8
    if code not in _TO_MM:
        raise FormatError(f"{path}: unit of length {code} is none of NIfTI's")
    affine[:3] *= _TO_MM[code]
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise FormatError(f"{path}: its affine is singular or not finite")
    if not (int(image.header["qform_code"]) or int(image.header["sform_code"])):
        logger.warning("%s does not say where it lies in space: left and right are a guess", path)
    return Volume(_turned(voxels), affine, _unit(image))


def write(
    volume: Volume,
    path: Path,
    *,
    labels: bool = False,
    like: Path | None = None,
    intent: str = "none",
    step: float = 0.0,
) -> None:
    """Write `volume` as NIfTI-1 with its affine as it is, compressed if `path` ends in ``.gz``.

    Float32; with `labels`, or voxels of an integer type, uint8 or else int16. Both qform and
    sform say "scanner" (code 1), units are mm and s.

    Parameters
    ----------
    volume : Volume
        What to write.
    path : Path
        File to write.
    labels : bool, optional
        Whether the voxels are labels.
    like : Path, optional
        Image on the same voxels. If it is NIfTI, its header is kept: qform, sform and their
        codes, units, description and all else but type, scaling, display range and extensions.
    intent : str, optional
        What the values are, in NIfTI's words: ``label``, ``estimate``.
    step : float, optional
        What the voxels are multiples of, if they are not the values but whole numbers; they are
        stored as they are, with this slope.

    Raises
    ------
    DataError
        If labels are not whole numbers that int16 can hold.
    WriteError
        If the file cannot be written.
    """
    if not path.name.endswith(SUFFIXES):
        raise WriteError(f"cannot write {path}: NIfTI files are named {' or '.join(SUFFIXES)}")
    voxels: NDArray[Any] = volume.voxels
    if not step:
        labels = labels or voxels.dtype.kind in "iub"
        voxels = voxels.astype(_label_type(voxels) if labels else np.float32, copy=False)
    if voxels.ndim == 4:
        voxels = np.moveaxis(voxels, 0, -1)
    image = nib.Nifti1Image(voxels, volume.affine)
    image.set_qform(volume.affine, 1)
    image.set_sform(volume.affine, 1)
    image.header.set_xyzt_units("mm", "sec")
    unit = f" [{volume.unit}]" if volume.unit and volume.unit.isascii() else ""
    image.header["descrip"] = f"{_MADE}{unit}".encode()
    if like is not None:
        image = _like(image, like)
    image.header.set_intent(intent)
    image.header.set_slope_inter(step or 1, 0)
    image.update_header()
    with replacing(path) as beside, _opened(beside) as file:
        image.header.write_to(file)
        stored = image.get_data_dtype()  # of the byte order of a header that was kept
        for first in range(0, voxels.shape[-1], _PLANES):
            file.write(np.ascontiguousarray(voxels[..., first : first + _PLANES].T, stored))


def _like(image: nib.Nifti1Image, path: Path) -> nib.Nifti1Image:
    """Return the image with the header of the file at `path`, if that is NIfTI of its shape."""
    if not is_nifti(open_head(path)):
        return image  # another format, whose reader has said where the voxels lie
    header = _header(path)
    if header.get_data_shape()[:3] != image.shape[:3]:
        return image
    kept = nib.Nifti1Header.from_header(header, check=False)
    for name in ("qform_code", "sform_code", "xyzt_units", "descrip", "aux_file", "dim_info",
                 "slice_start", "slice_end", "slice_code", "slice_duration", "toffset",
                 "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z",
                 "srow_x", "srow_y", "srow_z"):  # fmt: skip
        kept[name] = header[name]
    kept.extensions.clear()  # they may name the patient
    kept["pixdim"] = header["pixdim"]
    kept.set_data_dtype(image.get_data_dtype())
    kept.set_data_shape(image.shape)
    kept["cal_min"] = kept["cal_max"] = 0
    return nib.Nifti1Image(image.dataobj, None, kept)


@contextmanager
def _opened(path: Path) -> Iterator[IOBase]:
    """Open a file to write to, compressed if its name says so, to the same bits every time."""
    with path.open("wb") as file:
        if not path.name.endswith(".gz"):
            yield file
            return
        with gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as packed:
            yield packed


def _load(path: Path) -> nib.Nifti1Image:
    """Return the image; a compressed one is read to its end, where its checksum stands."""
    with path.open("rb") as file:
        head = file.read(4)
    if not head.startswith(_GZIP):
        return _class(head).from_filename(path)
    with gzip.open(path) as file:
        content = file.read()
    return _class(content[:4]).from_bytes(content)


def _header(path: Path) -> nib.Nifti1Header:
    """Return the header alone, which stands at the beginning."""
    with path.open("rb") as file:
        packed = file.read(4).startswith(_GZIP)
    with gzip.open(path) if packed else path.open("rb") as file:
        kind = _class(file.read(4)).header_class
        file.seek(0)
        found: nib.Nifti1Header = kind.from_fileobj(file)
        return found


def _class(head: bytes) -> type[nib.Nifti1Image]:
    sizes = {int.from_bytes(head, order) for order in ("little", "big")}
    return nib.Nifti2Image if 540 in sizes else nib.Nifti1Image


def _real(image: nib.Nifti1Image) -> NDArray[np.float32]:
    """Return the values in float32; TypeError if they are complex, or colours."""
    dtype = image.get_data_dtype()
    if dtype.kind not in "biuf":
        raise TypeError(f"it holds {dtype}, not real numbers")
    stored: Any = image.dataobj
    if (stored.slope, stored.inter) == (1, 0):  # one pass turns type and order
        return _turned(np.asarray(stored.get_unscaled()))
    return np.asarray(image.dataobj, np.float32)


def _turned(voxels: NDArray[Any]) -> NDArray[np.float32]:
    """Return the voxels as float32 with their last axis contiguous, where a file has the first.

    Plane by plane, so that what is turned stays in the processor's cache: three times as quick.
    """
    if voxels.ndim < 3 or voxels.flags.c_contiguous:
        return np.asarray(voxels, np.float32, order="C")
    found = np.empty(voxels.shape, np.float32)
    for j in range(voxels.shape[1]):
        found[:, j] = np.ascontiguousarray(voxels[:, j].T).T
    return found


def _three_or_four_axes(path: Path, voxels: NDArray[np.float32]) -> NDArray[np.float32]:
    while voxels.ndim > 3 and voxels.shape[-1] == 1:
        voxels = voxels[..., 0]
    if voxels.ndim not in {3, 4} or not voxels.size:
        raise FormatError(f"{path}: an image has 3 axes (4 with time), not {voxels.shape}")
    return np.moveaxis(voxels, -1, 0) if voxels.ndim == 4 else voxels


def _label_type(voxels: NDArray[np.generic]) -> type[np.uint8 | np.int16]:
    low, high = voxels.min(), voxels.max()
    whole = voxels.dtype.kind in "iub" or (
        np.isfinite(voxels).all() and bool((voxels == np.rint(voxels)).all())
    )
    if not whole or low < -32768 or high > 32767:
        raise DataError(
            f"labels are whole numbers between -32768 and 32767, not {low:g} to {high:g}"
        )
    return np.uint8 if low >= 0 and high <= 255 else np.int16


def _unit(image: nib.Nifti1Image) -> str:
    """Return the unit that `write` put beside its name."""
    text = bytes(image.header["descrip"].item()).decode("ascii", "ignore").rstrip("\0")
    made, _, unit = text.partition(" [")
    return unit.removesuffix("]") if made == _MADE else ""
