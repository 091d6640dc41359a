"""Whether probability maps that are taken as they lie do lie on the image."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import DataError
from emrecon.tissue.maps import Atlas
from emrecon.volume import Volume

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]

BEYOND = 0.1
"""Part of the mask that may lie beyond the maps."""

_HALF = 0.5
_POINTS = 20_000
_BINS = 32
_STEP_MM = 20.0
_SIDES = ("left and right", "front and back", "top and bottom")
_CLEARLY = 0.01  # nats a point


def check_overlap(atlas: Atlas, image: Volume, region: NDArray[np.bool_]) -> None:
    """Refuse maps that miss much of the mask; warn of maps that would fit better elsewhere.

    Parameters
    ----------
    atlas : Atlas
        Maps taken as they lie.
    image : Volume
        The first channel.
    region : array
        Voxels that take part.

    Raises
    ------
    DataError
        If more than `BEYOND` of the mask lies beyond the maps, or they are 0 in all of it.
    """
    flat = np.flatnonzero(region)
    index = np.unravel_index(flat[:: max(len(flat) // _POINTS, 1)], region.shape)
    to_maps = np.linalg.inv(atlas.affine) @ atlas.matrix @ image.affine
    at = np.stack(index, axis=1) @ to_maps[:3, :3].T + to_maps[:3, 3]
    out = ((at < -0.5) | (at > np.array(atlas.maps.shape[:3]) - 0.5)).any(axis=1).mean()
    if out > BEYOND:
        raise DataError(
            f"{out:.0%} of the mask lies beyond the priors: they do not lie on the image. Have "
            "them aligned (--align affine), or give maps that cover it"
        )
    if not atlas.at(index, image.affine).any():
        raise DataError("the priors are 0 throughout the mask: do they lie on the image?")
    _compare(atlas, image, index)


def overlap(atlas: Atlas, image: Volume, region: NDArray[np.bool_]) -> float:
    """Return the Dice coefficient of a mask and of the brain of maps that lie on its image."""
    flat = np.flatnonzero(region)
    index = np.unravel_index(flat[:: max(len(flat) // _POINTS, 1)], region.shape)
    inside = float((atlas.at(index, image.affine).sum(axis=1) > _HALF).mean())
    voxel = abs(np.linalg.det((atlas.matrix @ image.affine)[:3, :3]))
    mask_mm3 = voxel * len(flat)
    maps_mm3 = abs(np.linalg.det(atlas.affine[:3, :3])) * (atlas.maps.sum(axis=3) > _HALF).sum()
    return float(2 * inside * mask_mm3 / (mask_mm3 + maps_mm3))


def _compare(atlas: Atlas, image: Volume, index: tuple[NDArray[np.intp], ...]) -> None:
    """Warn if the maps say more of the intensities when they are moved or turned over."""
    values = image.voxels[index]
    bins = np.searchsorted(np.quantile(values, np.linspace(0, 1, _BINS + 1)[1:-1]), values)
    here = _information(atlas.at(index, image.affine), bins)
    about = np.stack(index, axis=1).mean(axis=0) @ image.affine[:3, :3].T + image.affine[:3, 3]
    scores: dict[str, float] = {}
    for axis, sides in enumerate(_SIDES):
        over = np.eye(4)
        over[axis, axis], over[axis, 3] = -1, 2 * about[axis]
        scores[f"turned over, {sides}"] = _information(
            _shifted(atlas, over).at(index, image.affine), bins
        )
        for way in (-_STEP_MM, _STEP_MM):
            step = np.eye(4)
            step[axis, 3] = way
            shifted = _information(_shifted(atlas, step).at(index, image.affine), bins)
            moved = f"moved by {_STEP_MM:.0f} mm"
            scores[moved] = max(shifted, scores.get(moved, shifted))
    best = max(scores, key=lambda what: scores[what])
    if scores[best] > here + _CLEARLY:
        log.warning(
            "the priors fit better when %s (they tell %.2f nats a voxel of the "
            "intensities, %.2f as they lie): are they on the image? --align affine aligns them",
            best, scores[best], here,
        )  # fmt: skip


def _shifted(atlas: Atlas, motion: Floats) -> Atlas:
    """Return the maps as a motion of the image, in mm, would meet them."""
    return replace(atlas, matrix=atlas.matrix @ motion)


def _information(chances: NDArray[np.float32], bins: NDArray[np.intp]) -> float:
    """Return what the classes tell of the intensities' bins, nats a point."""
    known = chances.astype(np.float64) + 1e-3
    known /= known.sum(axis=1, keepdims=True)
    table = np.stack([np.bincount(bins, one, _BINS) for one in known.T]).astype(np.float64)
    table /= table.sum(axis=1, keepdims=True)
    alone = np.bincount(bins, minlength=_BINS) / len(bins)
    return float(np.mean(np.log((known * table[:, bins].T).sum(axis=1) / alone[bins])))
