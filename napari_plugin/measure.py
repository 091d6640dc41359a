"""Statistics of images in regions: those of labels, and those that are drawn as shapes."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import DataError, GeometryError
from emrecon.metrics.compare import onto
from emrecon.volume import Volume
from napari_plugin.layers import KEY, reversed_axes, world

if TYPE_CHECKING:
    from napari.layers import Labels, Layer, Shapes

Mask = NDArray[np.bool_]
Values = NDArray[Any]

_ROUND = np.linspace(0, 2 * np.pi, 72, endpoint=False)
_AREAS = {"rectangle", "ellipse", "polygon"}
_LINES = {"line", "path"}


@dataclass(frozen=True)
class Row:
    """What an image holds in a region."""

    region: str
    """Name of the region."""

    mean: float
    """In the image's unit, as are `sd`, `maximum` and `truth`."""

    sd: float
    """Standard deviation over the voxels (the mean square is over their number, not one less)."""

    maximum: float
    """Greatest value."""

    ml: float
    """Volume."""

    noise_percent: float
    """Standard deviation over the mean."""

    truth: float | None = None
    """Mean of the truth."""

    bias_percent: float | None = None
    """Mean less that of the truth, over the latter."""


def regions(layer: Labels | Shapes, image: Layer) -> dict[str, Mask]:
    """Return the regions of a layer by name, as masks on an image's voxels.

    Parameters
    ----------
    layer : Labels or Shapes
        Labels on another grid count by the nearest voxel; areas count in the plane that they are
        drawn in.
    image : Layer
        Whose last three axes are space.

    Raises
    ------
    GeometryError
        If labels have time frames, or an area lies across the planes of voxels.
    """
    shape = image.data.shape[-3:]
    from napari.layers import Labels  # noqa: PLC0415 - heavy

    if isinstance(layer, Labels):
        marks = _labels(layer, image)
        names = _names(layer)
        present = (int(value) for value in np.unique(marks) if value)
        return {names.get(n, f"label {n}"): marks == n for n in present}
    kinds = zip(layer.data, layer.shape_type, strict=True)
    areas = [(data, kind) for data, kind in kinds if kind in _AREAS]
    return {
        f"{kind} {number}": _area(_outline(_indices(layer, data, image), kind), shape)
        for number, (data, kind) in enumerate(areas, 1)
    }


def table(
    values: Values, masks: dict[str, Mask], voxel_ml: float, truth: Values | None = None
) -> list[Row]:
    """Return the statistics of one frame in every region that has voxels."""
    return [
        _row(name, values[mask], voxel_ml, None if truth is None else truth[mask])
        for name, mask in masks.items()
        if mask.any()
    ]


def _row(name: str, inside: Values, voxel_ml: float, wanted: Values | None) -> Row:
    mean, sd = float(inside.mean(dtype=np.float64)), float(inside.std(dtype=np.float64))
    true = None if wanted is None else float(wanted.mean(dtype=np.float64))
    return Row(
        name, mean, sd, float(inside.max()), inside.size * voxel_ml,
        100 * sd / mean if mean else float("nan"), true,
        100 * (mean / true - 1) if true else None,
    )  # fmt: skip


def text(rows: Sequence[Row], unit: str) -> str:
    """Return a table as CSV, the image's unit in the heads of the columns that are in it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    valued = {"mean", "sd", "maximum", "truth"}
    names = [item.name for item in fields(Row)]
    writer.writerow([f"{n} ({unit})" if unit and n in valued else n for n in names])
    writer.writerows(["" if value is None else value for value in astuple(row)] for row in rows)
    return out.getvalue()


def columns_text(columns: Mapping[str, Sequence[object]]) -> str:
    """Return columns of one length as CSV, their names as heads."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return out.getvalue()


def frame_times(layer: Layer) -> list[tuple[float, float]]:
    """Return start and duration in s of each frame of an image of four axes.

    Where its file did not tell, frames follow one another evenly, as the layer's first axis says.
    """
    count = layer.data.shape[0]
    frames = layer.metadata.get(KEY, {}).get("frames_s")
    if frames and len(frames) == count:
        return [(float(start), float(duration)) for start, duration in frames]
    step, first = float(layer.scale[0]), float(layer.translate[0])
    return [(first + step * place, step) for place in range(count)]


def curves(frames: Sequence[Values], masks: dict[str, Mask]) -> dict[str, list[float]]:
    """Return the mean of every frame in every region: time-activity curves."""
    there = {name: mask for name, mask in masks.items() if mask.any()}
    return {
        name: [float(np.mean(np.asarray(frame)[mask], dtype=np.float64)) for frame in frames]
        for name, mask in there.items()
    }


def contrast_and_noise(
    pictures: Sequence[Values], signal: Mask, background: Mask
) -> tuple[list[float], list[float]]:
    """Return of each picture the contrast in percent, and the noise of the background in percent.

    Contrast is the mean of the signal over that of the background, less 1; noise is the standard
    deviation of the background over its mean.
    """
    contrast, noise = [], []
    for picture in pictures:
        ground = picture[background]
        level = float(ground.mean(dtype=np.float64))
        if level:
            contrast.append(100 * (float(picture[signal].mean(dtype=np.float64)) / level - 1))
            noise.append(100 * float(ground.std(dtype=np.float64)) / level)
    return contrast, noise


def profile(layer: Shapes, image: Layer, values: Values) -> tuple[Values, Values] | None:
    """Return places in mm along the last line that was drawn, and the values there, linearly.

    None where there is no line.
    """
    from scipy.ndimage import map_coordinates  # noqa: PLC0415 - heavy, seldom needed

    kinds = zip(layer.data, layer.shape_type, strict=True)
    drawn = [data for data, kind in kinds if kind in _LINES]
    if not drawn:
        return None
    corners = _indices(layer, drawn[-1], image)
    sizes = np.abs(np.diag(world(image))[:3])
    steps = np.linalg.norm(np.diff(corners, axis=0) * sizes, axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    places = np.arange(0.0, along[-1], min(sizes) / 2)
    points = np.stack([np.interp(places, along, corners[:, axis]) for axis in range(3)])
    sampled = map_coordinates(np.asarray(values, np.float32), points, order=1, mode="nearest")
    return places, sampled


def truth_on(truth: Layer, image: Layer) -> Values:
    """Return a true image at the voxels of another, linearly."""
    return np.asarray(onto(_volume(truth), _volume(image), order=1).transpose(2, 1, 0))


def voxel_ml(image: Layer) -> float:
    """Return the volume of a voxel."""
    return float(abs(np.linalg.det(world(image)[:3, :3]))) / 1000


def _volume(layer: Layer) -> Volume:
    """Return a layer of three axes, or the first frame of one of more, as a volume."""
    values = np.asarray(layer.data[(0,) * (layer.ndim - 3)], np.float32)
    return Volume(values.transpose(2, 1, 0), reversed_axes(world(layer)))


def _labels(layer: Labels, image: Layer) -> NDArray[Any]:
    if layer.ndim != 3:
        raise GeometryError(f"labels of three axes are wanted, not {layer.name} of {layer.ndim}")
    same = layer.data.shape == image.data.shape[-3:]
    if same and np.allclose(world(layer), world(image), atol=1e-4):
        return np.asarray(layer.data)
    marks = onto(_volume(layer), _volume(image), order=0).transpose(2, 1, 0)
    return np.asarray(np.rint(marks).astype(np.int64))


def _names(layer: Labels) -> dict[int, str]:
    table = layer.features
    if not {"index", "name"} <= set(table.columns):
        return {}
    pairs = zip(table["index"], table["name"], strict=True)
    return {int(index): str(name) for index, name in pairs if str(name)}


def _indices(layer: Shapes, data: Values, image: Layer) -> Values:
    """Return corners as indices into the last three axes of an image."""
    if layer.ndim < 3:
        raise DataError(
            f"{layer.name} has {layer.ndim} axes: draw on a layer of three, in a plane"
        )
    points = np.array([layer.data_to_world(point)[-3:] for point in data])
    to_index = np.linalg.inv(world(image))
    indices: Values = points @ to_index[:3, :3].T + to_index[:3, 3]
    return indices


def _outline(corners: Values, kind: str) -> Values:
    """Return the corners of an area; of an ellipse those of a polygon, from its box."""
    if kind != "ellipse":
        return corners
    middle = corners.mean(axis=0)
    one, other = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    outline: Values = middle + np.cos(_ROUND)[:, None] * one + np.sin(_ROUND)[:, None] * other
    return outline


def _area(corners: Values, shape: tuple[int, ...]) -> Mask:
    """Return the voxels whose centres lie in an outline, in its plane."""
    from skimage.draw import polygon2mask  # noqa: PLC0415 - heavy, seldom needed

    depth = int(np.argmin(np.ptp(corners, axis=0)))
    if np.ptp(corners[:, depth]) > 0.5:
        raise GeometryError("an area lies across the planes of voxels: draw it in one of them")
    across = [axis for axis in range(3) if axis != depth]
    mask = np.zeros(shape, bool)
    place = round(float(corners[0, depth]))
    if 0 <= place < shape[depth]:
        size = [shape[axis] for axis in across]
        flat = polygon2mask(size, corners[:, across])  # type: ignore[no-untyped-call]
        mask[tuple(place if axis == depth else slice(None) for axis in range(3))] = flat
    return mask
