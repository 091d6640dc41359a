"""NIfTI-1 in a single file, written plane by plane."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import IOBase
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from emrecon.errors import DataError, WriteError
from emrecon.files import replacing
from emrecon.io.formats import open_head
from emrecon.io.nifti import SINGLE, SUFFIXES, is_nifti
from emrecon.io.nifti.packing import gzip
from emrecon.io.nifti.reading import WRITER, header_of
from emrecon.volume import Volume

_PLANES = 16


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
    sform say "scanner" (code 1), or the sform alone where the voxels are sheared; units are mm
    and s.

    Parameters
    ----------
    volume : Volume
        What to write.
    path : Path
        File to write.
    labels : bool, optional
        Whether the voxels are labels.
    like : Path, optional
        Image on the same voxels. If it is NIfTI in one file, its header is kept: qform, sform and
        their codes, units, description and all else but type, scaling, display range and
        extensions.
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
    if not np.allclose(image.get_qform(), volume.affine, atol=1e-3):
        image.set_qform(None, 0)  # it holds no shear
    image.set_sform(volume.affine, 1)
    image.header.set_xyzt_units("mm", "sec")
    unit = f" [{volume.unit}]" if volume.unit and volume.unit.isascii() else ""
    image.header["descrip"] = f"{WRITER}{unit}".encode()
    if like is not None:
        image = _like(image, like)
    image.header.set_intent(intent)
    image.header.set_slope_inter(step or 1, 0)
    image.update_header()
    write_stored(image.header, voxels, path)


def write_stored(header: nib.Nifti1Header, voxels: NDArray[Any], path: Path) -> None:
    """Write a header, and voxels in the type and byte order that it tells.

    Raises
    ------
    WriteError
        If the file cannot be written.
    """
    stored = header.get_data_dtype()
    with replacing(path) as beside, _opened(beside) as file:
        header.write_to(file)
        for first in range(0, voxels.shape[-1], _PLANES):
            file.write(np.ascontiguousarray(voxels[..., first : first + _PLANES].T, stored))


def _like(image: nib.Nifti1Image, path: Path) -> nib.Nifti1Image:
    """Return the image with the header of the file at `path`, if that is NIfTI of its shape."""
    if not is_nifti(open_head(path), SINGLE):
        return image  # another format, whose reader has said where the voxels lie
    header = header_of(path)
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
