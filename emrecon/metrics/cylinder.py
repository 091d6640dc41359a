"""The inside of a uniform cylinder along the axis, found in its image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import DataError
from emrecon.volume import Volume

Floats = NDArray[np.float64]

FEWEST = 100
"""Voxels below which a region tells nothing."""

BLOCK_MM, LEAST_ACROSS, LEAST_ALONG = 20.0, 6, 3
"""Side of blocks whose noise is taken to be independent, some times the resolution, and how many
of them lie across a cylinder that is too small for such ones, and stretches along it."""


@dataclass(frozen=True)
class Inside:
    """What the inside of a cylinder holds."""

    mean: float
    """Mean over all voxels."""

    spread: float
    """Standard deviation of the voxels, as a share of the mean."""

    error: float
    """Standard error of the mean by noise, as a share of it."""

    plane_spread: float
    """Largest departure of a plane's mean, as a share of the mean."""

    voxels: int
    """Number of voxels."""

    radius_mm: float
    """Radius of the whole cylinder, at half of its activity."""

    length_mm: float
    """Length of the whole cylinder as far as it is seen."""

    planes: tuple[float, ...]
    """Mean of each plane, as a share of the mean."""

    plane_errors: tuple[float, ...]
    """Standard error of each by noise."""

    stretches: tuple[float, ...]
    """Mean of each stretch along the axis, as a share of the mean."""

    stretch_errors: tuple[float, ...]
    """Standard error of each by noise."""

    stretch_mm: float
    """Their length: 20 mm, or less in small cylinders."""

    @property
    def seen_ml(self) -> float:
        """Volume of the cylinder as far as it is seen."""
        return math.pi * self.radius_mm**2 * self.length_mm / 1000


def inside_of(image: Volume, share: float = 0.75) -> Inside:
    """Measure the middle of a uniform cylinder whose axis is that of the scanner.

    Parameters
    ----------
    image : Volume
        The cylinder's image, three-dimensional.
    share : float, optional
        Share of radius and length that is measured, about the cylinder's middle.

    Raises
    ------
    DataError
        If there is no cylinder, or too little of it.
    """
    upright = image.ras()
    voxels = upright.voxels
    if voxels.ndim != 3:
        raise DataError(f"one image is wanted, not {len(voxels)} frames")
    x, y, z = (upright.affine[a, a] * np.arange(n) for a, n in enumerate(voxels.shape))
    mask = voxels > _half(voxels)
    area = mask.sum(axis=(0, 1)).astype(np.float64)
    full = np.flatnonzero(area > 0.5 * np.median(area[area > 0]))
    radius = float(np.sqrt(np.median(area[full]) * abs(x[1] - x[0]) * abs(y[1] - y[0]) / np.pi))
    flat = mask[:, :, full].sum(axis=2)
    middle = (flat.sum(1) @ x / flat.sum(), flat.sum(0) @ y / flat.sum())
    near = np.hypot(x[:, None] - middle[0], y[None, :] - middle[1]) <= share * radius
    centre, half = (full[0] + full[-1]) / 2, share * (full[-1] - full[0] + 1) / 2
    planes = np.flatnonzero(np.abs(np.arange(len(z)) - centre) <= half)
    inside = voxels[near][:, planes].astype(np.float64)
    side = min(BLOCK_MM, 2 * share * radius / LEAST_ACROSS)
    blocks = inside[:0]
    if inside.size >= FEWEST:
        blocks = _blocks(inside, np.floor(x / side), np.floor(y / side), near)
    if len(blocks) < 2:
        raise DataError(
            f"the inside of a cylinder has {inside.size} voxels here: is this the image of a "
            "uniform cylinder along the scanner's axis?"
        )
    mean = float(inside.mean())
    each, step = inside.mean(axis=0) / mean, float(abs(z[1] - z[0]))
    stretch = min(max(LEAST_ALONG, int(len(planes) * step / side)), len(planes))
    parts = np.array_split(np.arange(len(planes)), stretch)
    stretches = np.stack([blocks[:, part].mean(axis=1) for part in parts], axis=1)
    errors = _errors(stretches) / mean
    return Inside(
        mean=mean,
        spread=float(inside.std() / mean),
        error=float(np.sqrt(np.mean(errors**2) / errors.size)),
        plane_spread=float(np.abs(each - 1).max()),
        voxels=inside.size,
        radius_mm=radius,
        length_mm=step * float(full[-1] - full[0] + 1),
        planes=tuple(float(value) for value in each),
        plane_errors=tuple(float(value) for value in _errors(blocks) / mean),
        stretches=tuple(float(each[part].mean()) for part in parts),
        stretch_errors=tuple(float(value) for value in errors),
        stretch_mm=step * len(planes) / len(parts),
    )


def _blocks(inside: Floats, across: Floats, down: Floats, near: NDArray[np.bool_]) -> Floats:
    """Return the means of square blocks in every plane, shape ``(blocks, planes)``.

    Blocks of which less than half is inside are left out.
    """
    i, j = np.nonzero(near)
    _, block = np.unique(np.stack([across[i], down[j]]), axis=1, return_inverse=True)
    count = np.bincount(block.ravel())
    sums = np.zeros((count.size, inside.shape[1]))
    np.add.at(sums, block.ravel(), inside)
    full = count >= 0.5 * count.max()
    return np.asarray(sums[full] / count[full, None], float)


def _errors(blocks: Floats) -> Floats:
    """Return the standard error of the mean of each column, by how its blocks differ.

    What a block has more or less in all columns is no noise and takes no part: this is the
    residual of a two-way analysis of variance. One column has none to compare with.
    """
    number, columns = blocks.shape
    rest, free = blocks - blocks.mean(axis=0), float(number - 1)
    if columns > 1:
        rest -= rest.mean(axis=1, keepdims=True)
        free *= 1 - 1 / columns
    return np.asarray(np.sqrt((rest**2).sum(axis=0) / free / number), float)


def _half(voxels: NDArray[np.float32]) -> float:
    """Return half of what the cylinder holds: of the mean of what is above a third of the top."""
    if not np.isfinite(voxels).all() or voxels.max() <= 0 or min(voxels.shape) < 2:
        raise DataError("the image is empty, or not finite: there is no cylinder in it")
    top = float(np.percentile(voxels[voxels > 0], 95))
    return float(voxels[voxels > top / 3].mean()) / 2
