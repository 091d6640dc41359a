"""What napari asks to save layers: NIfTI with the header and axes that an image came with."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
from nibabel.orientations import inv_ornt_aff
from numpy.typing import NDArray

from emrecon import io
from emrecon.errors import DataError, GeometryError, WriteError
from emrecon.files import replacing
from emrecon.io import nifti, sidecar
from emrecon.volume import Volume
from napari_plugin.layers import KEY, LABELS, Info, Matrix, in_mm, reversed_axes

log = logging.getLogger(__name__)


def write_image(path: str, data: Any, meta: Info) -> list[str]:  # noqa: ANN401 - any array
    """Write an image layer (npe2); return the files."""
    return [str(file) for file in write(Path(path), data, meta, labels=False)]


def write_labels(path: str, data: Any, meta: Info) -> list[str]:  # noqa: ANN401 - any array
    """Write a labels layer (npe2), the names of the labels beside it; return the files."""
    return [str(file) for file in write(Path(path), data, meta, labels=True)]


def write(path: Path, data: Any, meta: Info, *, labels: bool) -> list[Path]:  # noqa: ANN401
    """Write one layer: an image that was read goes back with its own axes and header.

    Raises
    ------
    EmreconError
        If the layer is no image in space, or the file cannot be written.
    """
    about = meta.get("metadata", {}).get(KEY, {})
    if "scan" in about:
        raise DataError("counts of a scan are no image in space: they stay in their own file")
    form = io.image_format(path)
    voxels = np.asarray(data)
    if meta.get("rgb"):
        raise DataError("a picture in colours cannot be saved as a medical image")
    if voxels.ndim not in {3, 4}:
        raise DataError(f"an image has 3 axes (4 with time), not {voxels.ndim}")
    affine = reversed_axes(matrix(meta, voxels.ndim))
    if form.name != "NIfTI":
        turned = np.ascontiguousarray(voxels.swapaxes(-1, -3), np.float32)
        io.write_image(Volume(turned, affine, str(about.get("unit", ""))), path)
        return [path]
    _save(_image(voxels.transpose(), affine, meta, labels=labels), path)
    return [path, *(_names(path, meta) if labels else ())]


def matrix(meta: Info, ndim: int) -> Matrix:
    """Return a layer's matrix for (S, A, R) in mm from what napari says of it."""
    from napari.utils.transforms import Affine  # noqa: PLC0415 - heavy

    inner = Affine(
        scale=meta.get("scale", (1.0,) * ndim),
        translate=meta.get("translate", (0.0,) * ndim),
        rotate=meta.get("rotate"),
        shear=meta.get("shear"),
        ndim=ndim,
    ).affine_matrix
    whole = np.asarray(meta.get("affine", np.eye(ndim + 1))) @ inner
    lead = ndim - 3
    if lead and (whole[0, 1:-1].any() or whole[1:-1, 0].any()):
        raise GeometryError("time is mixed with space in this layer: reset its transform")
    return in_mm(whole[lead:, lead:], _units(meta, ndim)[lead:])


def _units(meta: Info, ndim: int) -> list[str]:
    return [str(unit) for unit in meta.get("units") or ("pixel",) * ndim]


def _image(canon: NDArray[Any], affine: Matrix, meta: Info, *, labels: bool) -> nib.Nifti1Image:
    """Return the NIfTI image of voxels along R, A, S (and time) with this affine."""
    from napari_plugin.nifti_layers import native, onto  # noqa: PLC0415 - reads too

    kept = meta.get("metadata", {}).get("nifti")
    if kept is None:
        return _new(canon, affine, meta, labels=labels)
    ornt, header = kept["ornt"], kept["header"].copy()
    if kept["display_only"]:
        unchanged = _unchanged(canon, affine, meta, labels=labels)
        if unchanged is not None:
            return cast("nib.Nifti1Image", unchanged)
        log.warning("an oblique image changed: interpolated back onto its own voxels")
        shape = tuple(int(n) for n in kept["shape"][:3])
        voxels = onto(canon, affine, kept["affine"], shape, 0 if labels else 1)
        return _with_header(voxels, kept["affine"], header, labels=labels)
    voxels = native(canon, ornt)
    to_ras = affine @ np.linalg.inv(inv_ornt_aff(ornt, voxels.shape[:3]))
    same = voxels.shape[:3] == tuple(kept["shape"][:3]) and _alike(to_ras, kept["affine"])
    return _with_header(voxels, None if same else to_ras, header, labels=labels)


def _alike(one: Matrix, other: Matrix) -> bool:
    """Return whether two affines are one, but for a tilt that is not shown and for rounding."""
    from napari_plugin.nifti_layers import OBLIQUE_DEG  # noqa: PLC0415

    size = np.linalg.norm(other[:3, :3], axis=0)
    turned = np.abs(one[:3, :3] - other[:3, :3]) / size
    if np.allclose(one, other, rtol=0, atol=1e-4):
        return True
    return bool(turned.max() < np.deg2rad(OBLIQUE_DEG) and turned.max() > 1e-6)


def _unchanged(canon: NDArray[Any], affine: Matrix, meta: Info, *, labels: bool) -> Any:  # noqa: ANN401 - an image
    """Return the file of a layer that shows a resampled copy, if the copy is as it was made."""
    from napari_plugin import nifti_layers  # noqa: PLC0415

    path = Path(meta["metadata"][KEY]["path"])
    if not path.exists():
        return None
    for data, info, _ in nifti_layers.read(path):
        place = reversed_axes(matrix(info, data.ndim))
        if np.array_equal(data.transpose(), canon) and np.allclose(place, affine, atol=1e-6):
            image = nifti.open_image(path).image
            single = isinstance(image, nib.Nifti1Image)
            return image if single else nib.Nifti1Image.from_image(image)
    return None


def _with_header(
    voxels: NDArray[Any], affine: Matrix | None, header: nib.Nifti1Header, *, labels: bool
) -> nib.Nifti1Image:
    """Return an image with the header that it came with; its place too unless one is given."""
    voxels = _typed(voxels, labels=labels, like=header.get_data_dtype())
    header.set_data_dtype(voxels.dtype)
    header.set_slope_inter(1.0, 0.0)
    make: Any = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    image: nib.Nifti1Image = make(voxels, None, header, dtype=voxels.dtype)
    if affine is not None:
        codes = int(header["qform_code"]) or 1, int(header["sform_code"]) or 1
        image.header.set_xyzt_units("mm", header.get_xyzt_units()[1])
        image.set_qform(affine, codes[0])
        image.set_sform(affine, codes[1])
    return image


def _new(voxels: NDArray[Any], affine: Matrix, meta: Info, *, labels: bool) -> nib.Nifti1Image:
    """Return an image that no file was there for."""
    units = _units(meta, voxels.ndim)
    voxels = _typed(voxels, labels=labels, like=voxels.dtype)
    image = nib.Nifti1Image(voxels, affine, dtype=voxels.dtype)
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    kept = str((meta.get("axis_labels") or ("",))[0]) == "kept"  # a history, which is no time
    timed = voxels.ndim == 4 and units[0] == "second" and not kept
    image.header.set_xyzt_units("mm", "sec" if timed else None)
    if voxels.ndim == 4:
        image.header["pixdim"][4] = float(meta["scale"][0])
    unit = str(meta.get("metadata", {}).get(KEY, {}).get("unit", ""))
    image.header["descrip"] = (
        f"emrecon [{unit}]".encode() if unit.isascii() and unit else b"emrecon"
    )
    if labels:
        image.header.set_intent(LABELS)
    return image


def _typed(voxels: NDArray[Any], *, labels: bool, like: np.dtype[Any]) -> NDArray[Any]:
    """Return voxels in a type that NIfTI has: the file's own if it holds them all."""
    if voxels.dtype.kind == "b":
        voxels = voxels.astype(np.uint8)
    if labels or voxels.dtype.kind in "iu":
        low, high = int(voxels.min()), int(voxels.max())
        for kind in (like, np.uint8, np.int16, np.int32, np.int64):
            held = np.dtype(kind)
            if held.kind in "iu" and np.iinfo(held).min <= low and high <= np.iinfo(held).max:
                return voxels.astype(held)
    if voxels.dtype.kind == "f":
        return voxels.astype(np.float64 if voxels.dtype == np.float64 else np.float32)
    raise DataError(f"{voxels.dtype} cannot be saved as an image")


def _save(image: nib.Nifti1Image, path: Path) -> None:
    try:
        with replacing(path) as beside:
            image.to_filename(beside)
    except ValueError as error:
        raise WriteError(f"cannot write {path}: {error}") from error


def _names(path: Path, meta: Info) -> list[Path]:
    """Write what the labels stand for beside them, where that is known."""
    features = meta.get("features")
    if features is None or "name" not in features or not len(features):
        return []
    rows = zip(features["index"], features["name"], strict=True)
    names = {int(index): str(name) for index, name in rows if int(index)}
    return [sidecar.write_label_names(path, names)] if names else []
