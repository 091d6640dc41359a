"""The inside of a uniform cylinder along the axis, found in its image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import DataError
from emrecon.volume import Volume

FEWEST = 100
"""Voxels below which a region tells nothing."""


@dataclass(frozen=True)
class Inside:
    """What the inside of a cylinder holds."""

    mean: float
    """Mean over all voxels."""

    spread: float
    """Standard deviation of the voxels, as a share of the mean."""

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
    if inside.size < FEWEST:
        raise DataError(
            f"the inside of a cylinder has {inside.size} voxels here: is this the image of a "
            "uniform cylinder along the scanner's axis?"
        )
    mean = float(inside.mean())
    each = inside.mean(axis=0) / mean
    return Inside(
        mean=mean,
        spread=float(inside.std() / mean),
        plane_spread=float(np.abs(each - 1).max()),
        voxels=inside.size,
        radius_mm=radius,
        length_mm=float(abs(z[1] - z[0]) * (full[-1] - full[0] + 1)),
        planes=tuple(float(value) for value in each),
    )


def _half(voxels: NDArray[np.float32]) -> float:
    """Return half of what the cylinder holds: of the mean of what is above a third of the top."""
    if not np.isfinite(voxels).all() or voxels.max() <= 0 or min(voxels.shape) < 2:
        raise DataError("the image is empty, or not finite: there is no cylinder in it")
    top = float(np.percentile(voxels[voxels > 0], 95))
    return float(voxels[voxels > top / 3].mean()) / 2
