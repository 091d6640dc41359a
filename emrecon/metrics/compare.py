"""Image against truth, voxel by voxel, on one grid."""

from __future__ import annotations

import logging
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import DataError, GeometryError
from emrecon.volume import Volume

log = logging.getLogger(__name__)

Array = NDArray[np.float64]
Numbers = NDArray[np.number]
Mask = NDArray[np.bool_]
Point = tuple[float, float, float]

ALIKE = 0.1
"""Volume of one box over that of another, below which both cannot show the same."""

BEYOND = 0.02
"""Share of an image's sum that may lie beyond the edge of the truth."""


def match(image: Volume, truth: Volume) -> tuple[Array, Array]:
    """Return the voxels of both on the image's grid, ready for the metrics here.

    A truth on another grid is interpolated linearly at the image's voxel centres, and is 0
    beyond its own edge. Centres are sampled, not averaged: give a truth much finer than the
    image as its means over the image's voxels.

    Raises
    ------
    GeometryError
        If either has time frames, or the two do not overlap.
    """
    if image.unit and truth.unit and image.unit != truth.unit:
        log.warning("an image in %s is compared with a truth in %s", image.unit, truth.unit)
    _say_sizes(image, truth)
    values, wanted = frame(image), onto(truth, image, order=1)
    _say_cut(values, image, truth)
    return values, wanted


def _say_sizes(image: Volume, truth: Volume) -> None:
    """Warn where one of two volumes is so small beside the other that a unit may be wrong."""
    litres = [
        abs(float(np.linalg.det(one.affine[:3, :3]))) * float(np.prod(one.voxels.shape[-3:])) / 1e6
        for one in (image, truth)
    ]
    if min(litres) < ALIKE * max(litres):
        log.warning(
            "the image is of %.3g litres and the truth of %.3g: beyond its edge a truth is 0; are "
            "both of the same part of the body, and their lengths in the same unit?",
            *litres,
        )


def _say_cut(values: Array, image: Volume, truth: Volume) -> None:
    """Warn where much of what an image holds lies beyond the truth's edge."""
    if image.voxels.shape == truth.voxels.shape and np.allclose(image.affine, truth.affine):
        return
    seen = onto(Volume(np.ones(truth.voxels.shape, np.float32), truth.affine), image, order=0)
    held = np.abs(np.where(np.isfinite(values), values, 0))
    beyond = float(held[seen == 0].sum() / max(float(held.sum()), 1e-300))
    if beyond > BEYOND:
        log.warning(
            "%.0f %% of the image lies beyond the edge of the truth, which is taken as 0 there: "
            "cut the image to the truth if that is not so",
            100 * beyond,
        )


def rmse(image: Numbers, truth: Numbers, mask: Mask | None = None) -> float:
    """Return the root of the mean squared error, in the image's unit."""
    values, wanted = pair(image, truth, mask)
    return float(np.sqrt(np.mean((values - wanted) ** 2)))


def nrmse(image: Numbers, truth: Numbers, mask: Mask | None = None) -> float:
    """Return the RMSE over the root mean square of the truth, both in the mask.

    Raises
    ------
    DataError
        If the truth is 0 throughout the mask.
    """
    _, wanted = pair(image, truth, mask)
    power = float(np.sqrt(np.mean(wanted**2)))
    if power == 0:
        raise DataError("the truth is 0 throughout the mask: there is nothing to normalise by")
    return rmse(image, truth, mask) / power


def bias(image: Numbers, truth: Numbers, mask: Mask | None = None) -> float:
    """Return the mean of image minus truth, in the image's unit."""
    values, wanted = pair(image, truth, mask)
    return float(np.mean(values - wanted))


def ssim(image: Numbers, truth: Numbers, mask: Mask | None = None) -> float:
    """Return the mean structural similarity, 1 where the two are equal.

    The window is a box of 7 voxels a side, or of the largest odd number that fits the thinnest
    axis; an axis of one or two voxels is taken slice by slice. The dynamic range is the truth's,
    over the whole volume. Without a mask, windows that reach over the edge do not count.

    Raises
    ------
    DataError
        If the truth is constant, or the volume is thin along more than one axis.

    References
    ----------
    Wang et al., IEEE Trans. Image Process. 13, 600 (2004).
    """
    from skimage.metrics import structural_similarity  # noqa: PLC0415 - heavy, seldom needed

    pair(image, truth, mask)
    thin = [axis for axis, n in enumerate(truth.shape) if n < 3]
    if len(thin) > 1:
        raise DataError(f"structural similarity needs a plane of 3 x 3 voxels, not {truth.shape}")
    spread = float(np.ptp(truth.astype(np.float64)))
    if spread == 0:
        raise DataError("the truth is constant: structural similarity has no range to go by")
    shortest = min(7, *(n for n in truth.shape if n >= 3))
    mean, local = structural_similarity(  # type: ignore[no-untyped-call] # scikit-image has no types
        truth.astype(np.float64),
        image.astype(np.float64),
        win_size=shortest - 1 + shortest % 2,
        data_range=spread,
        channel_axis=thin[0] if thin else None,
        full=True,
    )
    return float(mean if mask is None else np.mean(local[mask]))


def centroid_mm(
    values: Numbers,
    affine: NDArray[np.float64],
    mask: Mask | None = None,
    *,
    background: float = 0.0,
) -> Point:
    """Return the centre of gravity in RAS mm of what exceeds `background` inside the mask.

    Raises
    ------
    DataError
        If nothing does.
    """
    weights = np.maximum(values.astype(np.float64) - background, 0)
    if mask is not None:
        weights = np.where(mask, weights, 0)
    total = weights.sum()
    if not total > 0:
        raise DataError(f"no voxel is above {background:g}: there is no centroid")
    index = [
        weights.sum(axis=tuple({0, 1, 2} - {axis})) @ np.arange(weights.shape[axis]) / total
        for axis in range(3)
    ]
    x, y, z = affine[:3, :3] @ np.asarray(index) + affine[:3, 3]
    return float(x), float(y), float(z)


def pair(image: Numbers, truth: Numbers, mask: Mask | None) -> tuple[Array, Array]:
    """Return the values of both inside the mask, in float64.

    Raises
    ------
    GeometryError
        If the shapes differ.
    DataError
        If the mask is empty, or a voxel in it is not finite.
    """
    shapes = {image.shape, truth.shape} | ({mask.shape} if mask is not None else set())
    if len(shapes) > 1:
        raise GeometryError(
            f"image, truth and mask must have one shape, not {sorted(shapes)}; "
            "bring them onto one grid with match()"
        )
    inside = np.ones(image.shape, bool) if mask is None else mask.astype(bool)
    values, wanted = image[inside].astype(np.float64), truth[inside].astype(np.float64)
    if not values.size:
        raise DataError("the mask is empty: there is nothing to compare")
    bad = int(np.count_nonzero(~np.isfinite(values)) + np.count_nonzero(~np.isfinite(wanted)))
    if bad:
        raise DataError(f"{bad} voxels inside the mask are not finite; leave them out of it")
    return values, wanted


def frame(volume: Volume) -> Array:
    """Return the voxels in float64, of a volume without time frames."""
    if volume.voxels.ndim != 3:
        raise GeometryError(
            f"a volume of one frame is wanted, not of {volume.voxels.shape[0]}; choose one"
        )
    return volume.voxels.astype(np.float64)


def onto(volume: Volume, image: Volume, order: Literal[0, 1]) -> Array:
    """Return the volume at the image's voxel centres: nearest (order 0) or linear (order 1).

    Beyond the outer faces of its voxels the volume counts as 0.
    """
    voxels, shape = frame(volume), image.voxels.shape[-3:]
    to_volume = np.linalg.inv(volume.affine) @ image.affine
    if voxels.shape == shape and np.allclose(to_volume, np.eye(4), rtol=0, atol=1e-5):
        return voxels
    from scipy.ndimage import affine_transform  # noqa: PLC0415 - heavy, seldom needed

    matrix, shift = to_volume[:3, :3], to_volume[:3, 3]
    inside = affine_transform(
        np.ones(voxels.shape, np.uint8), matrix, shift, shape, order=0, mode="grid-constant"
    )
    if not inside.any():
        raise GeometryError(
            f"the two volumes do not overlap: one is centred at {_middle(volume)} mm, the other "
            f"at {_middle(image)} mm; check their affines"
        )
    moved = affine_transform(voxels, matrix, shift, shape, order=order, mode="nearest")
    return np.where(inside, moved, 0.0)


def _middle(volume: Volume) -> str:
    """Return where the volume's middle lies, for a message."""
    index = (np.asarray(volume.voxels.shape[-3:]) - 1) / 2
    x, y, z = volume.affine[:3, :3] @ index + volume.affine[:3, 3]
    return f"({x:.0f}, {y:.0f}, {z:.0f})"
