"""Tissue probability maps as what is known of each voxel beforehand, laid on the image."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from emrecon.em import Iterate, em, last, until
from emrecon.errors import DataError, GeometryError, SettingsError
from emrecon.stop import Flat, after
from emrecon.tissue.align import AFFINE, BINS, REACH_MM, RIGID, Alignment, Pose
from emrecon.tissue.atlas_starts import angle, quarter_turns, shift_mm, starting_maps
from emrecon.tissue.data import blocks
from emrecon.tissue.maps import Atlas, Average
from emrecon.tissue.prior_overlap import check_overlap, overlap
from emrecon.tissue.settings import Settings
from emrecon.volume import Volume

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Flags = NDArray[np.bool_]

WELL, WELL_TURNED, SHARED, STRETCHED = 0.48, 0.6, 0.85, 1.4
"""Of an average brain that lies well: least nats a point that its maps tell of the intensities, as
the header has it and where it had to be turned, least Dice coefficient of its brain and the mask,
and most stretch of one axis beside another. Two real brains had 0.69, 0.94 and 1.2; their halves
and slabs fail in one or more."""

PRIORS, AVERAGE = "the priors", "the maps of an average brain"
"""What maps are called in messages: those that a person gave, and those that are installed."""

_MARGIN_MM = 12.0
_MOST_SCALE = 1.7
_TOLERANCE, _ROUGHLY = 1e-5, 1e-4
_CLEARLY = 0.01  # nats a point
_FINALISTS = 3
_STEEP = 45.0  # degrees
_FAR_MM = 100.0
_FINE_MM = 1.5
_DARKEST = 0.001


def lay(
    priors: Sequence[Volume],
    classes_of: Sequence[int],
    settings: Settings,
    image: Volume,
    region: Flags,
    called: str = PRIORS,
) -> Atlas:
    """Return given maps laid on an image, with its classes from dark to bright.

    Parameters
    ----------
    priors, classes_of : sequences
        Maps, and the class of each; see `stack`.
    settings : Settings
        Classes, and whether to align.
    image : Volume
        The first channel.
    region : array
        Voxels that take part.
    called : str, optional
        What the maps are called in messages.

    Raises
    ------
    EmreconError
        If the maps do not fit the classes or the image, or cannot be aligned with it.
    """
    maps, affine = stack(priors, settings.most_classes, classes_of)
    maps = np.ascontiguousarray(maps[..., settings.dark_first])
    same = maps.shape[:3] == image.voxels.shape
    same = same and np.allclose(affine, image.affine, rtol=0, atol=1e-3)
    if settings.align == "affine" or (settings.align == "auto" and not same):
        return align(image, region, maps, affine, called=called)
    if not same and not settings.resample:
        raise GeometryError(
            "the priors do not lie on the first channel's grid: have them interpolated "
            "(--resample), or aligned (--align affine)"
        )
    atlas = Atlas(maps, affine, np.eye(4))
    check_overlap(atlas, image, region)
    return atlas


def stack(
    priors: Sequence[Volume], classes: int, classes_of: Sequence[int]
) -> tuple[Floats32, Floats]:
    """Return the maps of each class, ``(i, j, k, c)``, and their affine, from one map or more.

    Parameters
    ----------
    priors : sequence of Volume
        Probability maps, all on one grid.
    classes : int
        Number of classes.
    classes_of : sequence of int
        Class of each map, from 1; empty for one map a class, in order.

    Raises
    ------
    SettingsError
        If a class has no map, or a map no class.
    GeometryError
        If the maps are not on one grid.
    DataError
        If they are no probabilities, or 0 everywhere.
    """
    owners = tuple(classes_of) or tuple(range(1, len(priors) + 1))
    if len(owners) != len(priors) or set(owners) != set(range(1, classes + 1)):
        raise SettingsError(
            f"{classes} classes need as many priors, or the class of each with --prior-classes: "
            f"{len(priors)} maps stand for classes {', '.join(map(str, owners))}"
        )
    first = priors[0]
    maps = np.zeros((*first.voxels.shape, classes), np.float32)
    for number, (one, owner) in enumerate(zip(priors, owners, strict=True), 1):
        if one.voxels.ndim != 3:
            raise GeometryError(f"prior {number} has {len(one.voxels)} time frames: choose one")
        if one.voxels.shape != first.voxels.shape or not np.allclose(
            one.affine, first.affine, rtol=0, atol=1e-3
        ):
            raise GeometryError(f"prior {number} is not on the grid of the first prior")
        maps[..., owner - 1] += np.clip(np.nan_to_num(one.voxels), 0, None)
    total = maps.sum(axis=3)
    if not total.any():
        raise DataError("the priors are 0 everywhere")
    if total.max() > 2:
        raise DataError(
            f"the priors add up to {total.max():g} in a voxel: give probabilities, from 0 to 1"
        )
    maps /= np.maximum(total, 1)[..., None]
    return maps, first.affine


def place(image: Volume, region: Flags, maps: Floats32, affine: Floats) -> Average:
    """Return where an average brain lies on an image, whichever way its header turns it.

    Parameters are those of `align`.
    """
    maps, affine = thinned(maps, affine)
    try:
        atlas = align(image, region, maps, affine, turned=True, called=AVERAGE)
    except DataError as error:
        log.warning("deep nuclei are not told apart by an average brain: %s", error)
        return Average(why_not=str(error))
    return well_placed(atlas, image, region)


def well_placed(atlas: Atlas, image: Volume, region: Flags) -> Average:
    """Return where an average brain that was aligned lies on an image, or why it lies badly.

    Parameters
    ----------
    atlas : Atlas
        Maps of the average brain, aligned.
    image : Volume
        The first channel.
    region : array
        Voxels that take part.
    """
    least = WELL_TURNED if angle(atlas.matrix, np.eye(4)) > _STEEP else WELL
    scales = np.linalg.svd(atlas.matrix[:3, :3], compute_uv=False)
    stretched = float(scales.max() / scales.min())
    shared = overlap(atlas, image, region)
    if atlas.explained < least or shared < SHARED or stretched > STRETCHED:
        why = (
            f"it does not lie well on the image: its maps tell {atlas.explained:.2f} nats a point "
            f"of the intensities (least {least}), its brain and the mask share a Dice of "
            f"{shared:.2f} (least {SHARED}), one axis is stretched by {stretched:.2f} beside "
            f"another (most {STRETCHED})"
        )
        log.warning("deep nuclei are not told apart by an average brain: %s", why)
        return Average(None, atlas.explained, why)
    return Average(atlas.matrix, atlas.explained, atlas=atlas)


def align(
    image: Volume,
    region: Flags | None,
    maps: Floats32,
    affine: Floats,
    *,
    turned: bool = False,
    called: str = PRIORS,
) -> Atlas:
    """Return the atlas laid on an image, from wherever their headers put them.

    Parameters
    ----------
    image : Volume
        The first channel.
    region : array, optional
        Voxels that take part; all others are taken as outside the brain.
    maps : float32 array, shape (i, j, k, c)
        Probability of each class.
    affine : array
        Voxels of the maps to atlas mm.
    turned : bool, optional
        Whether the image's header may be wrong about its orientation.
    called : str, optional
        What the maps are called in messages, a plural.

    Raises
    ------
    DataError
        If no place is found where the maps explain the image, or they fit clearly better with
        the image turned by quarter turns: its header then lies about its orientation.
    """
    full, grid = maps, affine
    image = _lifted(image, region)
    maps, affine = thinned(maps, affine)
    coarsest = replace(points(image, region, maps, affine, 12.0), free=RIGID)
    begun = [
        climb(coarsest, coarsest.begin(m), 20, _ROUGHLY)
        for m in starting_maps(coarsest, maps, affine)
    ]
    best = max(begun, key=lambda one: one.log_likelihood)
    best = _upright(coarsest, best, turned=turned, called=called)
    coarse = points(image, region, maps, affine, 8.0)
    best = climb(coarse, coarse.begin(best.params.matrix), 30)
    fine = points(image, region, maps, affine, 5.0)
    end = climb(fine, fine.begin(best.params.matrix), 40)
    matrix = end.params.matrix
    scales = np.linalg.svd(matrix[:3, :3], compute_uv=False)
    if scales.max() > _MOST_SCALE or scales.min() < 1 / _MOST_SCALE:
        raise DataError(
            f"{called} cannot be aligned with the image: they would be scaled by "
            f"{1 / scales.max():.2f} to {1 / scales.min():.2f}. Check both files' voxel sizes, "
            "give a mask, or align them beforehand and take --align none"
        )
    turn, moved = angle(matrix, np.eye(4)), shift_mm(matrix, fine.middle)
    log.info(
        "%s were aligned: moved by %.0f mm at the middle of the image, turned by %.0f "
        "degrees, scaled by %.2f to %.2f",
        called, moved, turn, 1 / scales.max(), 1 / scales.min(),
    )  # fmt: skip
    if moved > _FAR_MM:
        log.warning(
            "%s were moved by %.0f mm to lie on the image: its header and theirs count "
            "from different origins. Look at the picture",
            called, moved,
        )  # fmt: skip
    if turn > _STEEP:
        log.warning(
            "%s lie on the image turned by %.0f degrees: is the image's header right "
            "about its orientation? Look at the picture",
            called, turn,
        )  # fmt: skip
    return Atlas(full, grid, matrix, explained(fine, end))


def thinned(maps: Floats32, affine: Floats) -> tuple[Floats32, Floats]:
    """Return the means of blocks of maps finer than 1.5 mm, and their affine: enough to align."""
    steps = [2 if d < _FINE_MM else 1 for d in np.linalg.norm(affine[:3, :3], axis=0)]
    i, j, k = steps
    sums = np.stack([blocks(one, (i, j, k)) for one in np.moveaxis(maps, 3, 0)], axis=-1)
    coarse = affine.copy()
    coarse[:3, 3] += affine[:3, :3] @ ((np.array(steps) - 1) / 2)
    coarse[:3, :3] *= steps
    return np.ascontiguousarray(sums / np.float32(np.prod(steps))), coarse


def points(
    image: Volume, region: Flags | None, maps: Floats32, affine: Floats, distance_mm: float
) -> Alignment:
    """Return the points of an image about every so many mm, and the maps as blurred as those."""
    from scipy import ndimage  # noqa: PLC0415 - heavy, and only atlases need it

    i, j, k = (max(round(distance_mm / d), 1) for d in image.spacing_mm)
    steps = (i, j, k)
    usable = np.isfinite(image.voxels) if region is None else region & np.isfinite(image.voxels)
    indices = np.nonzero(usable & (image.voxels > 0))
    if not indices[0].size:
        raise DataError("the image is nowhere above 0: priors cannot be aligned with it")
    margins = [round(_MARGIN_MM / d) for d in image.spacing_mm]
    first = [max(int(a.min()) - m, 0) for a, m in zip(indices, margins, strict=True)]
    box = tuple(
        slice(f, int(a.max()) + m + 1) for f, a, m in zip(first, indices, margins, strict=True)
    )
    seen = np.isfinite(image.voxels[box])
    used = usable[box] & (image.voxels[box] > 0)
    count = blocks(used.astype(np.float32), steps)
    total = blocks(np.where(used, image.voxels[box], np.float32(0)), steps)
    shown = np.where(count >= np.prod(steps) / 2, total / np.maximum(count, 1), 0)
    known = (blocks(seen.astype(np.float32), steps) > 0).ravel()
    bins = _binned(shown.ravel())
    axes = (
        f + s * np.arange(n) + (s - 1) / 2
        for f, n, s in zip(first, shown.shape, steps, strict=True)
    )
    index = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    mm = index @ image.affine[:3, :3].T + image.affine[:3, 3]
    middle = mm[bins > 0].mean(axis=0)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    blur = [*(0.6 * distance_mm / spacing), 0]
    blurred = ndimage.gaussian_filter(maps, blur, mode="constant", truncate=3.0)
    places = np.ascontiguousarray((mm[known] - middle) / REACH_MM)
    return Alignment(blurred, affine, places, bins[known], middle, AFFINE)


def _lifted(image: Volume, region: Flags | None) -> Volume:
    """Return an image of which nearly all in a region is above 0, as that of a brain is."""
    if region is None or not (inside := image.voxels[region]).size or np.nanmin(inside) >= 0:
        return image
    low = np.float32(np.quantile(inside[np.isfinite(inside)], _DARKEST))
    return replace(image, voxels=image.voxels - low) if low < 0 else image


def _binned(values: Floats32) -> NDArray[np.int32]:
    """Return the bin of each intensity: 0 for 0 and less, the others of even width."""
    above = values > 0
    low, high = np.quantile(values[above], [0.0, 0.995])
    width = (high - low) / (BINS - 1) or 1.0
    bins = 1 + np.clip((values - low) / width, 0, BINS - 2).astype(np.int32)
    return np.where(above, bins, 0).astype(np.int32)


def climb(model: Alignment, pose: Pose, most: int, tolerance: float = _TOLERANCE) -> Iterate[Pose]:
    """Return the last of at most so many iterates, where the likelihood is flat."""
    flat = Flat(tolerance, size=len(model.places))
    return last(until(em(repeat(model), pose), after(most), flat))


def _upright(model: Alignment, best: Iterate[Pose], *, turned: bool, called: str) -> Iterate[Pose]:
    """Return the best pose; unless it may be `turned`, refuse one that is, by quarter turns."""
    tried = []
    for turn in quarter_turns():
        about = np.eye(4)
        about[:3, :3] = turn
        about[:3, 3] = model.middle - turn @ model.middle
        climbed = climb(model, model.begin(best.params.matrix @ about), 5)
        tried.append((climbed.log_likelihood, climbed.params))
    for _, pose in sorted(tried, key=lambda one: -one[0])[:_FINALISTS]:
        climbed = climb(model, pose, 25, _ROUGHLY)
        gain = (climbed.log_likelihood - best.log_likelihood) / len(model.places)
        steep = angle(climbed.params.matrix, best.params.matrix) > _STEEP
        if gain > _CLEARLY and steep and not turned:
            raise DataError(
                f"{called} fit better by {gain:.2f} nats a point when the image is turned by "
                "quarter turns: its header seems to be wrong about its orientation. Correct "
                "the header, or take --align none and priors aligned beforehand"
            )
        if gain > (_CLEARLY if steep else 0):
            best = climbed
    return best


def explained(model: Alignment, end: Iterate[Pose]) -> float:
    """Return the likelihood's gain over one class everywhere, nats a point."""
    counts = np.bincount(model.bins, minlength=BINS)
    counts = counts[counts > 0]
    alone = float((counts * np.log(counts / counts.sum())).sum())
    before = float(0.5 * np.log(end.params.densities).sum())
    return (end.log_likelihood - before - alone) / len(model.places)
