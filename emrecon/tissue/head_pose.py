"""Where the brain of a whole head lies: tissue maps of an average brain, aligned with the head.

Beyond the brain the maps are continued by shells of bone and scalp, as otherwise nothing keeps the
maps from growing until they hold the whole head.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emrecon.em import Iterate
from emrecon.tissue.align import RIGID, STRETCHED, Pose
from emrecon.tissue.atlas import climb, points
from emrecon.tissue.mask import head_mask
from emrecon.volume import Volume

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]

INNER = 3
"""Classes of the maps that are inside the skull: fluid, grey and white matter."""

_SHELLS_MM = (3.0, 10.0, 17.0)  # inner and outer face of the bone, and of the scalp
_BLUR_MM = 1.2
_MAPS_MM = 4.0
_TOP_ML = 20.0  # of a head above where its top is taken to be: hair and noise are less
_CENTRE_MM = 60.0  # of the brain below the top of the head
_BALL_MM = 105.0
_SHIFTS_MM = (-12.0, 12.0)
_PITCHES_DEG = (-15.0, 10.0, 35.0)  # heads are more often bent forward


def shelled(maps: Floats32, affine: Floats) -> tuple[Floats32, Floats]:
    """Return fluid, grey and white matter with bone and scalp about them, and their affine.

    Parameters
    ----------
    maps : float32 array, shape (i, j, k, 3)
        Probabilities of fluid, grey and white matter; fluid may end at the cortex.
    affine : array
        Voxels of the maps to atlas mm.
    """
    from scipy.ndimage import distance_transform_edt  # noqa: PLC0415 - heavy, only heads need it

    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    steps = [max(round(_MAPS_MM / d), 1) for d in spacing]
    coarse, moved = _coarse(maps, affine, steps)
    more = np.ceil(1.3 * _SHELLS_MM[-1] / (spacing * steps)).astype(int)
    coarse = np.pad(coarse, [*((n, n) for n in more), (0, 0)])
    moved[:3, 3] -= moved[:3, :3] @ more
    inside = coarse.sum(axis=3) > 0.5
    sampling = spacing * steps
    far = distance_transform_edt(~inside, sampling) - distance_transform_edt(inside, sampling)
    beyond = [1 / (1 + np.exp(-(far - d) / _BLUR_MM)) for d in _SHELLS_MM]
    fluid = np.maximum(1 - beyond[0] - coarse[..., 1] - coarse[..., 2], 0)
    parts = [fluid, coarse[..., 1], coarse[..., 2], beyond[0] - beyond[1], beyond[1] - beyond[2]]
    return np.stack(parts, axis=3).astype(np.float32), moved


def _coarse(maps: Floats32, affine: Floats, steps: list[int]) -> tuple[Floats32, Floats]:
    """Return the means of blocks of the maps, and their affine."""
    from scipy.ndimage import uniform_filter  # noqa: PLC0415 - heavy, only heads need it

    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ [s // 2 - (0.0 if s % 2 else 0.5) for s in steps]
    moved[:3, :3] = affine[:3, :3] * steps
    cut = tuple(slice(s // 2, None, s) for s in steps)
    return uniform_filter(maps, [*steps, 1], mode="constant")[cut], moved


def find(image: Volume, maps: Floats32, affine: Floats) -> Floats:
    """Return the map from the head's mm to the atlas's mm, shape ``(4, 4)``.

    Parameters
    ----------
    image : Volume
        A whole head, its top up in the header's mm.
    maps, affine : arrays
        Of `shelled`.

    Raises
    ------
    DataError
        If there is no head in the image.
    """
    middle = _middle(image)
    ball = _near(image, middle)
    about = replace(image, voxels=np.where(ball, image.voxels, np.float32(np.nan)))
    inner = np.argwhere(maps[..., :INNER].sum(axis=3) > 0.5)
    brain = (inner @ affine[:3, :3].T + affine[:3, 3]).mean(axis=0)
    coarse = replace(points(about, ball, maps, affine, 12.0), free=RIGID)
    begun: list[Iterate[Pose]] = []
    for up in _SHIFTS_MM:
        for pitch in np.radians(_PITCHES_DEG):
            start = np.eye(4)
            start[1:3, 1:3] = [[np.cos(pitch), np.sin(pitch)], [-np.sin(pitch), np.cos(pitch)]]
            start[:3, 3] = brain - start[:3, :3] @ (middle + np.array([0.0, 0.0, up]))
            begun.append(climb(coarse, coarse.begin(start), 15))
    best = max(begun, key=lambda one: one.log_likelihood)
    return refine(image, ball, maps, affine, best.params.matrix, free=STRETCHED)


def refine(
    image: Volume,
    region: NDArray[np.bool_],
    maps: Floats32,
    affine: Floats,
    matrix: Floats,
    *,
    free: Floats = RIGID,
) -> Floats:
    """Return a better map from the head's mm to the atlas's mm, from the voxels of a region alone.

    Parameters
    ----------
    image : Volume
        A whole head.
    region : array of bool
        Voxels that are looked at.
    maps, affine : arrays
        Of `shelled`.
    matrix : array
        Where to start.
    free : array, optional
        Steps that are allowed; see `emrecon.tissue.align`.
    """
    about = replace(image, voxels=np.where(region, image.voxels, np.float32(np.nan)))
    for distance_mm in (8.0, 6.0):
        finer = replace(points(about, region, maps, affine, distance_mm), free=free)
        matrix = climb(finer, finer.begin(matrix), 30).params.matrix
    return matrix


def _middle(image: Volume) -> Floats:
    """Return about where the middle of the brain is, mm: so far below the top of the head."""
    steps = [max(round(4.0 / d), 1) for d in image.spacing_mm]
    coarse, affine = _coarse(np.nan_to_num(image.voxels)[..., None], image.affine, steps)
    index = np.argwhere(head_mask(coarse[..., 0]))
    mm = index @ affine[:3, :3].T + affine[:3, 3]
    voxel_ml = float(abs(np.linalg.det(affine[:3, :3]))) / 1000
    few = min(int(_TOP_ML / voxel_ml), len(mm) // 10)
    height = float(np.sort(mm[:, 2])[-1 - few]) - _CENTRE_MM
    near = mm[np.abs(mm[:, 2] - height) < 10]
    across = (near if len(near) else mm)[:, :2].mean(axis=0)
    return np.array([*across, height])


def _near(image: Volume, middle: Floats) -> NDArray[np.bool_]:
    """Return the voxels about the middle of the brain: the neck would only mislead."""
    axes = [np.arange(n, dtype=np.float32) for n in image.voxels.shape]
    square = np.zeros(image.voxels.shape, np.float32)
    for row, shift, centre in zip(image.affine[:3, :3], image.affine[:3, 3], middle, strict=True):
        along = [a * np.float32(r) for a, r in zip(axes, row, strict=True)]
        i, j, k = np.ix_(*along)
        square += (i + j + k + np.float32(shift - centre)) ** 2
    return np.asarray(square < _BALL_MM**2)
