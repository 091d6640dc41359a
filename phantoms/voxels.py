"""Bodies and label maps to volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emrecon.errors import DataError, GeometryError
from emrecon.volume import Grid, Volume
from phantoms.kernels import voxels as kernel
from phantoms.lines import frames
from phantoms.shapes import Body


def voxelise(
    bodies: Sequence[Body], grid: Grid, values: ArrayLike, *, unit: str = "", samples: int = 8
) -> Volume:
    """Return the mean of the bodies' summed values over every voxel.

    Every voxel is crossed by ``samples x samples`` lines along k, whose way through each body is
    exact; only across them is the surface sampled. With 8 x 8 lines the volume of a 37 mm sphere
    is right to 0.03 % on voxels of 2 to 4 mm. A flat side that runs along the voxels is placed to
    half the distance of two lines, 1/16 voxel.

    Parameters
    ----------
    bodies : sequence of Body
        Bodies whose values add.
    grid : Grid
        Voxels of the result.
    values : array_like
        One value a body, such as ``[body.activity for body in bodies]``.
    unit : str, optional
        Unit of the values.
    samples : int, optional
        Lines through a voxel, along i and along j.
    """
    weights = np.asarray(values, float)
    if weights.shape != (len(bodies),):
        raise GeometryError(f"{len(bodies)} bodies need as many values, not {weights.shape}")
    if samples < 1:
        raise GeometryError(f"a voxel needs at least one line, not {samples}")
    kept = [body for body, weight in zip(bodies, weights, strict=True) if weight]
    out = np.zeros(grid.shape, np.float32)
    if kept:
        spacing, origin = np.array(grid.spacing_mm, float), np.array(grid.origin_mm, float)
        boxes = np.stack([body.bounds_mm for body in kept])
        weights = weights[weights != 0]
        kernel.columns(spacing, origin, frames(kept), boxes, weights, samples, out)
    return Volume(out, grid.affine, unit)


def label_map(bodies: Sequence[Body], grid: Grid) -> Volume:
    """Return the label of the last labelled body that holds each voxel's centre, 0 outside."""
    kept = [body for body in bodies if body.label]
    out = np.zeros(grid.shape, np.float32)
    if kept:
        spacing, origin = np.array(grid.spacing_mm, float), np.array(grid.origin_mm, float)
        boxes = np.stack([body.bounds_mm for body in kept])
        names = np.array([body.label for body in kept], np.int64)
        kernel.labels(spacing, origin, frames(kept), boxes, names, out)
    return Volume(out, grid.affine, "label")


def painted(labels: Volume, values: Mapping[int, float], unit: str = "") -> Volume:
    """Return a label map with every label replaced by its value, such as an activity.

    Raises
    ------
    DataError
        If the map holds a label without a value; 0 stands for itself unless given.
    """
    by_label = {0: 0.0, **values}
    present, inverse = np.unique(labels.voxels, return_inverse=True)
    missing = sorted({float(label) for label in present} - {float(label) for label in by_label})
    if missing:
        raise DataError(f"no value for the labels {missing[:10]}; give one for every label")
    table: NDArray[np.float32] = np.array([by_label[int(label)] for label in present], np.float32)
    return Volume(table[inverse].reshape(labels.voxels.shape), labels.affine, unit)
