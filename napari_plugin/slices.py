"""Planes of layers in mm, and their colours, for the orthogonal views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer
from numpy.typing import NDArray

from napari_plugin.layers import AXES, KEY, fusion, world

Point = tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Cut:
    """A plane of a layer."""

    picture: NDArray[Any]
    """Rows along the vertical, columns along the horizontal; colours along a third axis."""

    corner: tuple[float, float]
    """Centre of the first pixel, across and up, in mm."""

    step: tuple[float, float]
    """Distance between pixels, across and up, in mm."""


def spatial(layer: Layer) -> bool:
    """Return whether a layer is an image or labels along the world's axes."""
    if not isinstance(layer, Image | Labels) or "scan" in layer.metadata.get(KEY, {}):
        return False
    if layer.ndim < 3 or layer.multiscale:
        return False
    matrix = world(layer)[:3, :3]
    return bool(np.abs(matrix - np.diag(np.diag(matrix))).max() < 1e-4 * np.abs(matrix).max())


def known_axes(layer: Layer) -> bool:
    """Return whether a layer says that its world axes are S, A and R."""
    return tuple(layer.axis_labels[-3:]) == AXES


def extent(layer: Layer) -> NDArray[np.float64]:
    """Return the world coordinates of a layer's outer faces, lower and upper, shape ``(2, 3)``."""
    matrix = world(layer)
    step, first = np.diag(matrix)[:3], matrix[:3, 3]
    ends = np.array([first - step / 2, first + step * (np.array(_shape(layer)) - 0.5)])
    return np.sort(ends, axis=0)


def cut(layer: Layer, point: Point, depth: int) -> Cut | None:
    """Return the plane of a layer across a world axis through a point; None if it is outside.

    Parameters
    ----------
    layer : Layer
        See `spatial`.
    point : tuple of float
        World coordinates, those of space last.
    depth : int
        Which axis (S, A, R).
    """
    at = index(layer, point)
    if not 0 <= at[-3:][depth] < _shape(layer)[depth]:
        return None
    place: list[Any] = [*at[:-3], slice(None), slice(None), slice(None)]
    place[len(at) - 3 + depth] = at[len(at) - 3 + depth]
    picture = np.asarray(layer.data[tuple(place)])
    matrix = world(layer)
    upright, across = (axis for axis in range(3) if axis != depth)
    return Cut(
        picture,
        (float(matrix[across, 3]), float(matrix[upright, 3])),
        (float(matrix[across, across]), float(matrix[upright, upright])),
    )


def value(layer: Layer, point: Point) -> Any:  # noqa: ANN401 - a number, colours or nothing
    """Return the voxel of a layer at a point; None outside."""
    at = index(layer, point)
    inside = all(0 <= i < n for i, n in zip(at[-3:], _shape(layer), strict=True))
    return np.asarray(layer.data[tuple(at)]) if inside else None


def index(layer: Layer, point: Point) -> list[int]:
    """Return the voxel at a point; frames before or after a layer's are its first or last."""
    lead = layer.ndim - 3
    there = np.zeros(layer.ndim)
    known = min(layer.ndim, len(point))
    there[layer.ndim - known :] = point[len(point) - known :]
    indices = [round(float(i)) for i in layer.world_to_data(there)]
    counts = layer.data.shape[:lead]
    return [
        *(min(max(i, 0), n - 1) for i, n in zip(indices, counts, strict=False)),
        *indices[lead:],
    ]


def colours(layer: Layer, *, clear: bool = False) -> NDArray[np.uint8]:
    """Return an image layer's colours from the lower to the upper end of its window.

    Parameters
    ----------
    layer : Layer
        An image.
    clear : bool, optional
        The lower the value the clearer, to be laid over another; greys become hot.
    """
    chosen = layer.colormap
    if clear:
        chosen = fusion(None if str(chosen.name).startswith("gray") else chosen)
    table = np.asarray(chosen.map(np.linspace(0, 1, 256)))
    return np.asarray(np.rint(table * 255), np.uint8)


def painted(layer: Layer, picture: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a plane of labels in their colours."""
    return np.asarray(np.rint(np.asarray(layer.colormap.map(picture)) * 255), np.uint8)


def _shape(layer: Layer) -> tuple[int, ...]:
    lead = layer.ndim - 3
    return tuple(int(n) for n in layer.data.shape[lead : lead + 3])
