"""Volumes as napari layers and back: world axes (S, A, R) in mm, contrast.

napari shows the last two axes, so an image is turned to ``[S, A, R]``: its world coordinates are
those of the scanner, RAS mm read backwards. With P that reverses the three, the layer's matrix is
``P affine P``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import DataError, GeometryError
from emrecon.volume import Volume

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

log = logging.getLogger(__name__)

Matrix = NDArray[np.float64]
Info = dict[str, Any]

AXES = ("S", "A", "R")
KEY = "emrecon"
"""Under which a layer's metadata hold what this plugin knows of it: ``path``, ``unit`` and, for
counts of a scan, ``scan``."""

LABELS = 1002
"""NIFTI_INTENT_LABEL."""

_MANY = 200_000
"""Voxels that are looked at to choose a window."""


def reversed_axes(affine: Matrix) -> Matrix:
    """Return an affine for (R, A, S) as one for (S, A, R), or back."""
    swap = np.eye(4)[[2, 1, 0, 3]]
    turned: Matrix = swap @ affine @ swap
    return turned


def placement(affine: Matrix, shape: tuple[int, ...], frames: tuple[float, ...] = ()) -> Info:
    """Return what puts an image of axes (R, A, S) in its place as a layer (..., S, A, R).

    Parameters
    ----------
    affine : ndarray
        Voxel indices to RAS mm, the axes along those of the world; what they are off by (under
        a tenth of a degree) is left away about the middle.
    shape : tuple of int
        Voxels along R, A, S.
    frames : tuple of float, optional
        Distances along axes before these, in seconds.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    middle = (np.asarray(shape[:3], float) - 1) / 2
    first = affine[:3, :3] @ middle + affine[:3, 3] - spacing * middle
    lead = len(frames)
    return {
        "scale": (*frames, *spacing[::-1]),
        "translate": (*(0.0,) * lead, *first[::-1]),
        "units": (*("s",) * lead, "mm", "mm", "mm"),
        "axis_labels": (*("t",) * lead, *AXES),
    }


def volume_info(volume: Volume) -> tuple[NDArray[np.float32], Info]:
    """Return a volume's array and place as a layer.

    Raises
    ------
    GeometryError
        If it is oblique; see `napari_plugin.oblique`.
    """
    volume = volume.ras()
    if not volume.aligned:
        raise GeometryError("an oblique image has no place along napari's axes: resample it")
    voxels = volume.voxels.swapaxes(-1, -3)
    frames = (1.0,) * (volume.voxels.ndim - 3)
    return voxels, placement(volume.affine, volume.voxels.shape[-3:], frames)


def world(layer: Layer) -> Matrix:
    """Return a layer's matrix for its last three axes, indices to (S, A, R), shape ``(4, 4)``."""
    ends = layer.data_to_world(np.zeros(layer.ndim))
    matrix = np.eye(4)
    matrix[:3, 3] = ends[-3:]
    for axis in range(3):
        unit = np.zeros(layer.ndim)
        unit[layer.ndim - 3 + axis] = 1.0
        matrix[:3, axis] = (np.asarray(layer.data_to_world(unit)) - ends)[-3:]
    return matrix


def in_mm(matrix: Matrix, units: Sequence[object]) -> Matrix:
    """Return the matrix of an image in mm whose world axes are in other units of length.

    Parameters
    ----------
    matrix : ndarray, shape (4, 4)
        Indices to (S, A, R).
    units : sequence
        Of the three axes, as napari has them; what is no length is taken to be in mm.
    """
    from pint import DimensionalityError, UndefinedUnitError, application_registry  # noqa: PLC0415 - napari's

    scaled, odd = matrix.copy(), set[str]()
    for axis, unit in enumerate(map(str, units)):
        try:
            scaled[axis] *= application_registry.Quantity(1.0, unit).to("mm").magnitude
        except (DimensionalityError, UndefinedUnitError):
            odd.add(unit)
    for unit in sorted(odd):
        log.warning("a layer in units of %s, no length, is taken to be in mm", unit)
    return scaled


def volume_of(layer: Layer) -> Volume:
    """Return a layer as a volume: read from its file where what is shown is a resampled copy.

    Raises
    ------
    DataError
        If it holds a scan's counts, or is no image of three axes.
    """
    about = layer.metadata.get(KEY, {})
    if "scan" in about:
        raise DataError(f"{layer.name} holds counts of a scan, not an image")
    if layer.metadata.get("nifti", {}).get("display_only"):
        from emrecon import io  # noqa: PLC0415 - brings nibabel

        return io.read_image(Path(about["path"]))
    if layer.ndim != 3:
        raise DataError(f"an image of one frame is wanted, not {layer.name} of {layer.ndim} axes")
    voxels = np.asarray(layer.data, np.float32).transpose(2, 1, 0)
    affine = reversed_axes(in_mm(world(layer), layer.units))
    return Volume(np.ascontiguousarray(voxels), affine, str(about.get("unit", "")))


def in_space(layer: Layer) -> bool:
    """Return whether a layer is an image that lies in the patient."""
    from napari.layers import Image  # noqa: PLC0415 - heavy

    return isinstance(layer, Image) and layer.ndim >= 3 and tuple(layer.axis_labels[-3:]) == AXES


def blank_labels(layer: Layer, name: str) -> Info:
    """Return labels on the voxels of an image of axes S, A, R, of one frame, all 0."""
    kept = layer.metadata.get("nifti")
    about: Info = {KEY: {}} if kept is None else {KEY: {}, "nifti": dict(kept)}
    if kept is not None:  # a file of labels, with the axes of the image's
        about["nifti"]["header"] = kept["header"].copy()
        about["nifti"]["header"].set_intent(LABELS)
        if kept["display_only"]:
            about[KEY] = {"path": layer.metadata[KEY]["path"]}
    return {
        "data": np.zeros(layer.data.shape[-3:], np.uint8), "name": name, "metadata": about,
        "scale": layer.scale[-3:], "translate": layer.translate[-3:], "units": layer.units[-3:],
        "axis_labels": AXES,
    }  # fmt: skip


def drop(viewer: ViewerModel, *layers: Layer | None) -> None:
    """Remove those of the layers that are there, and let go of their voxels at once.

    What napari keeps of a layer goes when cycles are collected: without this, the history of a
    run was held during the next, which then needed the memory of both.
    """
    for layer in layers:
        if layer is not None and layer in viewer.layers:
            viewer.layers.remove(layer)
            layer.data = np.broadcast_to(layer.data.dtype.type(0), layer.data.shape)


PRESETS = (
    "PET, grey inverted",
    "PET, SUV 0 to 6",
    "PET, 0 to 20 kBq/mL",
    "PET, hot",
    "PET, over another image",
    "CT, soft tissue",
    "CT, lung",
    "CT, bone",
    "MR, 1 to 99 %",
    "Full range",
)
"""Windows by name."""

_CT = {
    "CT, soft tissue": (-160.0, 240.0),
    "CT, lung": (-1350.0, 150.0),
    "CT, bone": (-450.0, 1050.0),
}


FIXED = {"PET, SUV 0 to 6": ("g/mL", 6.0), "PET, 0 to 20 kBq/mL": ("kBq/mL", 20.0)}
"""Presets from 0 to a value in a unit."""


def look(preset: str, data: Any, scale: float = 1.0) -> Info:  # noqa: ANN401 - any array
    """Return colours and window of a preset for this data.

    Parameters
    ----------
    preset : str
        One of `PRESETS`.
    data : array
        The voxels; PET windows reach from 0 to their upper end, those of MR hold 98 % of those
        that are not 0.
    scale : float, optional
        Of presets in a unit: how many of it a 1 in the data is.
    """
    if preset in _CT:
        return {"colormap": "gray", "contrast_limits": _CT[preset]}
    if preset in FIXED:
        return {"colormap": "gray_r", "contrast_limits": (0.0, FIXED[preset][1] / scale)}
    some = sample(data)
    if preset == "PET, over another image":
        return {"colormap": fusion(), "contrast_limits": (0.0, upper(some))}
    if preset.startswith("PET"):
        colours = "hot" if preset == "PET, hot" else "gray_r"
        return {"colormap": colours, "contrast_limits": (0.0, upper(some))}
    if preset.startswith("MR"):
        tissue = some[some != 0]
        low, high = np.percentile(tissue if tissue.size else some, (1, 99))
        if tissue.size and low == tissue.min() > 0:  # labels: the least is not as dark as none
            low = 0.0
    else:
        low, high = some.min(), some.max()
    if low == high > 0:  # a mask: its one value is bright
        low = 0.0
    return {"colormap": "gray", "contrast_limits": (float(low), above(float(low), float(high)))}


def fusion(colours: Any = None) -> Any:  # noqa: ANN401 - napari's colours
    """Return colours, hot ones by default, that are the clearer the lower the value is.

    Of an image that is laid over another, the dark end would cover it.
    """
    from napari.utils.colormaps import Colormap, ensure_colormap  # noqa: PLC0415 - heavy

    steps = np.linspace(0, 1, 256)
    table = np.array((colours or ensure_colormap("hot")).map(steps))
    table[:, 3] = np.minimum(2 * steps, 1)
    return Colormap(table, name="emrecon fusion")


def usual(data: Any, unit: str = "") -> str:  # noqa: ANN401 - any array
    """Return the preset that suits an image, by its unit and values."""
    if unit == "g/mL":
        return "PET, SUV 0 to 6"
    if unit in {"counts/mm", "Bq/mL", "kBq/mL"}:
        return "PET, grey inverted"
    some = sample(data)
    if unit == "1/mm" or not some.size:
        return "Full range"
    if float(some.min()) <= -900 and float(some.max()) > 200:
        return "CT, soft tissue"
    return "MR, 1 to 99 %"


def upper(values: NDArray[Any]) -> float:
    """Return the upper end of a window from 0: what all but 1 in 2000 voxels are below."""
    return above(0.0, float(np.quantile(values, 0.9995)) if values.size else 1.0)


def above(low: float, high: float) -> float:
    """Return `high`, or something above `low` where it is not: a window has some width."""
    return high if high > low else low + 1.0


def sample(data: Any, many: int = _MANY) -> NDArray[Any]:  # noqa: ANN401 - any array
    """Return about so `many` voxels, evenly taken from all of it, that are finite."""
    step = max(1, round((np.prod(data.shape) / many) ** (1 / data.ndim)))
    some: NDArray[Any] = np.asarray(data[(slice(None, None, step),) * data.ndim]).ravel()
    finite: NDArray[Any] = some[np.isfinite(some)]
    return finite
