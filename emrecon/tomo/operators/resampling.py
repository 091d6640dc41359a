"""Volumes and columns of voxels on other grids, each voxel the mean over what it covers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import GeometryError
from emrecon.volume import Array, Grid, Volume

Sizes = NDArray[np.intp]

SAME = 1e-3
"""How far, as a share of a voxel, voxels may stray that are taken over as they are."""


def resampling(
    old_mm: NDArray[np.float64],
    old: float,
    new_mm: NDArray[np.float64],
    new: float,
    *,
    goes_on: bool = True,
) -> Array:
    """Return the matrix that resamples a column from voxels of one length to another.

    A new voxel is the mean, over its length, of the straight lines between the old voxel centres,
    so that neither finer nor coarser spacings lose any part of the column. For an old and a new
    voxel beyond the end centres the column goes on as it ends: a grid whose end is near that of
    the field of view, but not at it, thus explains all that the end planes see. Otherwise
    (`goes_on` false) it falls to zero within an old voxel. Shape ``(new, old)``.
    """
    distance = (new_mm[:, None] - old_mm[None, :]) / old
    lower, upper = distance - new / old / 2, distance + new / old / 2
    shares = _hat_integral(upper) - _hat_integral(lower)
    if goes_on:
        reach = 1 + new / old
        shares[:, 0] += _fall_integral(-lower[:, 0], reach) - _fall_integral(-upper[:, 0], reach)
        shares[:, -1] += _fall_integral(upper[:, -1], reach) - _fall_integral(lower[:, -1], reach)
    return (shares * old / new).astype(np.float32)


def _hat_integral(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the integral from -1 to `t` of the hat function of half-width 1."""
    t = np.clip(t, -1.0, 1.0)
    return 0.5 + t - 0.5 * t * np.abs(t)


def _fall_integral(t: NDArray[np.float64], reach: float) -> NDArray[np.float64]:
    """Return the integral from 0 to `t`, up to `reach`, of what the hat function has fallen by."""
    return 0.5 * np.clip(t, 0.0, 1.0) ** 2 + np.clip(t, 1.0, reach) - 1.0


def resampled(volume: Volume, grid: Grid) -> Volume:
    """Return a volume on another grid, each voxel the mean over what it covers.

    Both affines are obeyed. A volume whose axes run along the grid's is averaged exactly between
    its voxel centres, axis by axis; an oblique one is read linearly at enough points of each voxel
    that none of its own is passed over. Beyond the volume there is 0.

    Raises
    ------
    GeometryError
        If the volume lies wholly beside the grid.
    """
    turned = volume.ras()
    voxels = _by_axis(turned, grid) if turned.aligned else _by_points(turned, grid)
    if not np.any(voxels) and np.any(turned.voxels):
        raise GeometryError(
            "the attenuation map lies wholly beside the image: check the affines of both"
        )
    return Volume(voxels, grid.affine, volume.unit)


def lies_beside(volume: Volume, grid: Grid) -> bool:
    """Return whether a volume lies wholly beside a grid, whatever it holds.

    That is sure where an axis of either parts them: the voxels of the volume reach to the centres
    of the next ones that it would have.
    """
    shape, ours = np.array(volume.voxels.shape[-3:]), np.array(grid.shape)
    to_volume = np.asarray(np.linalg.inv(volume.affine) @ grid.affine, np.float64)
    back = np.asarray(np.linalg.inv(to_volume), np.float64)
    return _parted(to_volume, ours, 0.5, shape, 1.0) or _parted(back, shape, 1.0, ours, 0.5)


def _parted(
    to_other: NDArray[np.float64], shape: Sizes, reach: float, other: Sizes, its_reach: float
) -> bool:
    """Return whether an axis of another grid parts it from a box of voxels and their reach."""
    ends = np.array(list(np.ndindex(2, 2, 2)))
    corners = np.where(ends, shape - 1 + reach, -reach) @ to_other[:3, :3].T + to_other[:3, 3]
    low, high = corners.min(axis=0), corners.max(axis=0)
    return bool(np.any((high <= -its_reach) | (low >= other - 1 + its_reach)))


def _by_axis(volume: Volume, grid: Grid) -> Array:
    """Average a volume with axes along the grid's."""
    old, voxels = volume.grid(), volume.voxels
    for axis in range(3):
        size, wanted = old.spacing_mm[axis], grid.spacing_mm[axis]
        here, there = old.centres_mm(axis), grid.centres_mm(axis)
        shift = round((there[0] - here[0]) / size)
        moved = there[0] - here[0] - shift * size
        stray = abs(moved) + abs(size - wanted) * max(here.size, there.size)
        if stray < SAME * size:
            matrix = np.eye(there.size, here.size, shift, dtype=np.float32)
        else:
            matrix = resampling(here, size, there, wanted, goes_on=False)
        voxels = np.moveaxis(np.tensordot(matrix, voxels, (1, axis)), 0, axis)
    return np.ascontiguousarray(voxels, np.float32)


def _by_points(volume: Volume, grid: Grid) -> Array:
    """Average a volume at any angle, read at points that lie no farther apart than its voxels."""
    from scipy.ndimage import affine_transform  # noqa: PLC0415 - heavy, seldom needed

    finest = min(volume.spacing_mm)
    times = [max(1, int(np.ceil(size / finest))) for size in grid.spacing_mm]
    total = np.zeros(grid.shape, np.float32)
    to_volume = np.linalg.inv(volume.affine) @ grid.affine
    for point in np.ndindex(*times):
        offset = (np.array(point) + 0.5) / times - 0.5
        total += affine_transform(
            volume.voxels,
            to_volume[:3, :3],
            to_volume[:3, :3] @ offset + to_volume[:3, 3],
            output_shape=grid.shape,
            order=1,
            mode="grid-constant",
        )
    return total / np.float32(np.prod(times))
