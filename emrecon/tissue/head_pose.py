"""Where the brain of a whole head lies: tissue maps of an average brain, aligned with the head.

Beyond the brain the maps are continued by shells of bone and scalp, as otherwise nothing keeps the
maps from growing until they hold the whole head.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emrecon.em import Iterate
from emrecon.tissue.align import RIGID, STRETCHED, Alignment, Pose
from emrecon.tissue.atlas import climb, explained, points
from emrecon.tissue.atlas_starts import angle, quarter_turns
from emrecon.tissue.mask import head_mask
from emrecon.volume import Volume

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Flags = NDArray[np.bool_]

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
_SCREEN_MM = 12.0
_FINALISTS = 3
_CLEARLY = 0.1  # nats a point, as wrong positions can come within 0.05


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


def find(image: Volume, maps: Floats32, affine: Floats, *, turned: bool = False) -> Floats:
    """Return the map from the head's mm to the atlas's mm, shape ``(4, 4)``.

    Parameters
    ----------
    image : Volume
        A whole head.
    maps, affine : arrays
        Of `shelled`.
    turned : bool, optional
        Whether its header may put another side than its top up; if it does, that is said. Only
        of a T1 do the maps tell: a FLAIR fits as well in wrong positions.

    Raises
    ------
    DataError
        If there is no head in the image.
    """
    inner = np.argwhere(maps[..., :INNER].sum(axis=3) > 0.5)
    brain = (inner @ affine[:3, :3].T + affine[:3, 3]).mean(axis=0)
    turn = _turn(image, maps, affine, brain) if turned else np.eye(4)
    image = replace(image, affine=turn @ image.affine)
    middle, ball = _ball(image)
    coarse = _points(image, ball, maps, affine)
    best = _best(coarse, middle, brain, np.eye(3))
    return refine(image, ball, maps, affine, best.params.matrix, free=STRETCHED) @ turn


def _turn(image: Volume, maps: Floats32, affine: Floats, brain: Floats) -> Floats:
    """Return the quarter turns that put a head upright, its face forward, shape ``(4, 4)``.

    All but those of the header are taken only where maps fit clearly better then.
    """
    steps = [max(round(_MAPS_MM / d), 1) for d in image.spacing_mm]
    blocks, affine_of_blocks = _coarse(np.nan_to_num(image.voxels)[..., None], image.affine, steps)
    small = Volume(np.ascontiguousarray(blocks[..., 0]), affine_of_blocks)
    alike: dict[tuple[float, ...], list[Floats]] = defaultdict(list)  # with the same side up
    for turn in (np.eye(3), *quarter_turns()):
        alike[tuple(turn[2])].append(turn)
    tried = []
    for turns in alike.values():
        middle, ball = _ball(replace(small, affine=_four(turns[0]) @ small.affine))
        model = _points(replace(small, affine=_four(turns[0]) @ small.affine), ball, maps, affine)
        for turn in turns:
            about = turn @ turns[0].T
            quick = _best(model, middle, brain, about, _SHIFTS_MM[:1], _PITCHES_DEG[1:2], 5)
            tried.append((explained(model, quick), turn, model, middle, about))
    tried.sort(key=lambda one: -one[0])
    full: list[tuple[float, Floats]] = []
    for _, turn, model, middle, about in tried:
        rests = np.array_equal(turn, np.eye(3))
        if rests and not full:
            return np.eye(4)
        if rests or len(full) < _FINALISTS:
            told = explained(model, _best(model, middle, brain, about))
            full.append((told + _CLEARLY * rests, turn))
    best = _four(max(full, key=lambda one: one[0])[1])
    if (degrees := angle(best, np.eye(4))) > 1:
        log.warning(
            "the head lies in the image turned by %.0f degrees from where its header has it: "
            "directions in the pictures and files are the header's. Correct it", degrees,
        )  # fmt: skip
    return best


def _best(  # noqa: PLR0913, PLR0917 - three say how far to look
    model: Alignment,
    middle: Floats,
    brain: Floats,
    about: Floats,
    shifts_mm: Iterable[float] = _SHIFTS_MM,
    pitches_deg: Iterable[float] = _PITCHES_DEG,
    most: int = 15,
) -> Iterate[Pose]:
    """Return the best of several climbs from the middle of a head on that of the maps' brain.

    Parameters
    ----------
    model : Alignment
        Points of the head.
    middle, brain : arrays
        The middles, mm.
    about : array, shape (3, 3)
        Turns the head beforehand, its top staying up.
    shifts_mm, pitches_deg : iterables
        How far up, and bent forward, to start.
    most : int
        Most steps of a climb.
    """
    begun = []
    for up in shifts_mm:
        for pitch in np.radians(list(pitches_deg)):
            start = np.eye(4)
            start[1:3, 1:3] = [[np.cos(pitch), np.sin(pitch)], [-np.sin(pitch), np.cos(pitch)]]
            start[:3, 3] = brain - start[:3, :3] @ (about @ middle + np.array([0.0, 0.0, up]))
            begun.append(climb(model, model.begin(start @ _four(about)), most))
    return max(begun, key=lambda one: one.log_likelihood)


def refine(
    image: Volume,
    region: Flags,
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


def _four(turn: Floats) -> Floats:
    """Return a turn about the origin as a map of shape ``(4, 4)``."""
    matrix = np.eye(4)
    matrix[:3, :3] = turn
    return matrix


def _ball(image: Volume) -> tuple[Floats, Flags]:
    """Return about where the middle of the brain is, mm, and the voxels about it."""
    middle = _middle(image)
    return middle, _near(image, middle)


def _points(image: Volume, ball: Flags, maps: Floats32, affine: Floats) -> Alignment:
    """Return the points of a head about the middle of its brain, and the maps as blurred."""
    about = replace(image, voxels=np.where(ball, image.voxels, np.float32(np.nan)))
    return replace(points(about, ball, maps, affine, _SCREEN_MM), free=RIGID)


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


def _near(image: Volume, middle: Floats) -> Flags:
    """Return the voxels about the middle of the brain: the neck would only mislead."""
    axes = [np.arange(n, dtype=np.float32) for n in image.voxels.shape]
    square = np.zeros(image.voxels.shape, np.float32)
    for row, shift, centre in zip(image.affine[:3, :3], image.affine[:3, 3], middle, strict=True):
        along = [a * np.float32(r) for a, r in zip(axes, row, strict=True)]
        i, j, k = np.ix_(*along)
        square += (i + j + k + np.float32(shift - centre)) ** 2
    return np.asarray(square < _BALL_MM**2)
