"""NIfTI as napari layers: in place to a thousandth of a millimetre, with all it takes to go back.

An image keeps its type and header. napari cannot slice obliquely, so an oblique file is shown as
a copy on a grid along R, A and S; whatever computes with it reads the file.
"""

from __future__ import annotations

import itertools
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from nibabel.orientations import inv_ornt_aff, io_orientation
from numpy.typing import NDArray

from emrecon.errors import FormatError
from emrecon.io import nifti, sidecar
from emrecon.io.nifti.copying import new_header
from emrecon.io.nifti.reading import single_header
from napari_plugin.labels import label_info
from napari_plugin.layers import KEY, LABELS, Info, Matrix, look, placement, usual
from napari_plugin.units import facts_of

if TYPE_CHECKING:
    from emrecon.io.nifti.reading import StoredImage

log = logging.getLogger(__name__)

LayerData = tuple[Any, Info, str]

OBLIQUE_DEG = 0.1
"""Tilt from which on an image is resampled to be shown."""

LAZY_BYTES = 1 << 30
"""Size from which on voxels are read when they are looked at."""

COLOURS = ("R", "G", "B")
"""Fields of voxels in colour."""

_NAMED = re.compile(r"(dseg|labels?|aseg|aparc|segmentation|_mask$|_roi$|lesion)", re.IGNORECASE)
_TO_S = {"msec": 1e-3, "usec": 1e-6}


def read(path: Path) -> list[LayerData]:
    """Return the layers of a NIfTI file: one, or one a channel.

    Raises
    ------
    FormatError
        If the file is damaged, or holds what cannot be shown.
    """
    stored = nifti.open_image(path)
    if stored.dtype.kind not in "biuf" and stored.dtype.names != COLOURS:
        raise FormatError(f"{path} holds {stored.dtype}, which cannot be shown")
    voxels, colour = _voxels(stored), stored.dtype.names == COLOURS
    kept = {
        "header": _header(stored),
        "affine": stored.affine,
        "ornt": io_orientation(stored.affine),
        "shape": stored.shape,
        "display_only": False,
    }
    stem = re.sub(r"(\.nii|\.nii\.gz|\.mgz|\.mgh|\.hdr|\.img)$", "", path.name)
    channels = _channels(path, voxels, colour=colour)
    layers = []
    for number, channel in enumerate(channels, 1):
        name = stem if len(channels) == 1 else f"{stem} [{number}]"
        facts = facts_of(path)
        unit = stored.unit or str(facts.values.get("Units", ""))
        about = {"path": str(path), "unit": unit, "frames_s": facts.frames_s}
        info = {"name": name, "metadata": {"nifti": dict(kept), KEY: about}}
        layers.append(_layer(channel, info, path, colour=colour))
    return layers


def _header(stored: StoredImage) -> nib.Nifti1Header:
    """Return the header as one of NIfTI; that of MGH has no more than type, place and time."""
    header = stored.image.header
    if isinstance(header, nib.Nifti1Header):
        return single_header(header)
    return new_header(stored)


def tilt_deg(affine: Matrix) -> float:
    """Return the largest angle between a voxel axis and the world axis nearest to it."""
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    nearest = np.abs(directions).max(axis=0)
    return float(np.rad2deg(np.arccos(np.clip(nearest, 0, 1)).max()))


def canonical(data: Any, ornt: NDArray[np.float64]) -> Any:  # noqa: ANN401 - array, in memory or not
    """Return an array with its first three axes turned towards R, A and S; no copy."""
    flips = tuple(slice(None, None, int(sign)) for sign in ornt[:, 1])
    order = [int(np.flatnonzero(ornt[:, 0] == axis)[0]) for axis in range(3)]
    return data[flips].transpose([*order, *range(3, data.ndim)])


def native(data: Any, ornt: NDArray[np.float64]) -> Any:  # noqa: ANN401 - array
    """Undo `canonical`."""
    turned = data.transpose([*ornt[:, 0].astype(int), *range(3, data.ndim)])
    return turned[tuple(slice(None, None, int(sign)) for sign in ornt[:, 1])]


def shown(
    data: Any,  # noqa: ANN401 - array
    affine: Matrix,
    ornt: NDArray[np.float64],
    order: int,
) -> tuple[Any, Matrix, bool]:
    """Return voxels along R, A, S with their affine, and whether they had to be resampled."""
    turned = canonical(data, ornt)
    to_ras = affine @ inv_ornt_aff(ornt, data.shape[:3])
    if tilt_deg(affine) < OBLIQUE_DEG:
        return turned, to_ras, False
    return *resampled(np.asarray(turned), to_ras, order), True


def resampled(data: NDArray[Any], affine: Matrix, order: int) -> tuple[NDArray[Any], Matrix]:
    """Return an oblique image on the grid along R, A and S that holds all of it."""
    ends = [(-0.5, n - 0.5) for n in data.shape[:3]]
    corners = np.array(list(itertools.product(*ends))) @ affine[:3, :3].T + affine[:3, 3]
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    low, high = corners.min(axis=0), corners.max(axis=0)
    shape = np.ceil((high - low) / spacing - 1e-6).astype(int)
    grid = np.diag([*spacing, 1.0])
    grid[:3, 3] = (low + high) / 2 - spacing * (shape - 1) / 2
    return onto(data, affine, grid, tuple(shape), order), grid


def onto(
    data: NDArray[Any], affine: Matrix, grid: Matrix, shape: tuple[int, ...], order: int
) -> NDArray[Any]:
    """Return an image at the voxels of another grid, frame by frame; 0 beyond its own edge."""
    from scipy.ndimage import affine_transform  # noqa: PLC0415 - heavy, seldom needed

    to_data = np.linalg.inv(affine) @ grid
    whole = data.dtype.kind in "biu" and order == 0
    frames: NDArray[Any] = data.reshape(*data.shape[:3], -1)
    out = np.empty((*shape, frames.shape[3]), data.dtype if whole else np.float32)
    for number in range(frames.shape[3]):
        out[..., number] = affine_transform(  # type: ignore[call-overload] # order is 0 or 1
            frames[..., number] if whole else frames[..., number].astype(np.float32),
            to_data[:3, :3], to_data[:3, 3], shape, order=order, mode="grid-constant",
        )  # fmt: skip
    return out.reshape(*shape, *data.shape[3:])


def _voxels(stored: StoredImage) -> Any:  # noqa: ANN401 - array, in memory or not
    """Return the values in the file's own type, or float32 where they are scaled."""
    if stored.dtype.names == COLOURS:
        raw = stored.voxels()
        return np.stack([raw[name] for name in COLOURS], axis=-1)
    if int(np.prod(stored.shape)) * stored.dtype.itemsize <= LAZY_BYTES:
        return stored.voxels()
    from dask.array import from_array

    chunks = (*stored.shape[:3], *(1,) * (len(stored.shape) - 3))
    return from_array(stored.image.dataobj, chunks=chunks, asarray=True)


def _channels(path: Path, voxels: Any, *, colour: bool) -> list[Any]:  # noqa: ANN401 - array
    """Return the arrays (i, j, k) or (i, j, k, t), colours last, of all channels."""
    if colour:
        while voxels.ndim > 4 and voxels.shape[3] == 1:
            voxels = voxels[..., 0, :]
        if voxels.ndim == 4:
            return [voxels]
        raise FormatError(f"{path}: colours with frames cannot be shown")
    while voxels.ndim > 3 and voxels.shape[-1] == 1:
        voxels = voxels[..., 0]
    while voxels.ndim < 3:
        voxels = voxels[..., None]
    if voxels.ndim == 5:
        parts = [voxels[..., number] for number in range(voxels.shape[4])]
        return [channel[..., 0] if channel.shape[3] == 1 else channel for channel in parts]
    if voxels.ndim > 5 or not all(voxels.shape):
        raise FormatError(f"{path}: {voxels.shape} is more than space, time and channels")
    return [voxels]


def _layer(voxels: Any, info: Info, path: Path, *, colour: bool) -> LayerData:  # noqa: ANN401
    """Return one layer."""
    kept, about = info["metadata"]["nifti"], info["metadata"][KEY]
    labels = not colour and _is_labels(path, voxels, kept["header"])
    data, to_ras, copied = shown(voxels, kept["affine"], kept["ornt"], 0 if labels else 1)
    kept["display_only"] = copied
    frames = _frames(kept["header"], voxels.ndim - 3 - int(colour))
    info |= placement(to_ras, data.shape[:3], frames)
    if colour:
        colours = data.astype(np.uint8).transpose(2, 1, 0, 3)
        return colours, info | {"rgb": True}, "image"
    data = data.transpose()
    if copied:
        info["name"] += " (resampled to be shown)"
        log.info("%s is oblique: what is shown is a resampled copy", path.name)
    if labels:
        return data, info | label_info(path, data), "labels"
    return data, info | _window(data, kept["header"], about["unit"]), "image"


def _frames(header: nib.Nifti1Header, count: int) -> tuple[float, ...]:
    """Return the seconds between frames."""
    if count == 0:
        return ()
    step = float(header["pixdim"][4]) * _TO_S.get(header.get_xyzt_units()[1], 1.0)
    return (step if step > 0 else 1.0,)


def _window(data: Any, header: nib.Nifti1Header, unit: str) -> Info:  # noqa: ANN401 - array
    low, high = float(header["cal_min"]), float(header["cal_max"])
    chosen = look(usual(data, unit), data)
    return chosen | ({"contrast_limits": (low, high)} if high > low else {})


def _is_labels(path: Path, voxels: Any, header: nib.Nifti1Header) -> bool:  # noqa: ANN401 - array
    """Return whether an image's whole numbers stand for something."""
    if voxels.dtype.kind not in "iu":
        return False
    named = _NAMED.search(path.name.partition(".")[0]) is not None
    return int(header["intent_code"]) == LABELS or named or bool(sidecar.label_names(path))
