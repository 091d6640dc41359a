"""What goes into a segmentation: channels and mask on one grid, checked before any work."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import DataError, GeometryError
from emrecon.metrics.compare import onto
from emrecon.tissue.soft_mask import as_flags
from emrecon.volume import Volume

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Flags = NDArray[np.bool_]

SAME_GRID = 0.02
"""Share of a voxel by which images of one grid may lie apart: headers are rounded."""

FEW_LEVELS = 16
"""Distinct intensities, of which an image whose noise tells tissues apart has more."""

CHANNEL, MASK, EXCLUSION, LABELS = "channel {}", "the mask", "the exclusion mask", "the labels"
"""What images of the first channel's grid are called."""

_TAIL = 0.001
_HEADROOM = 0.3


@dataclass(frozen=True, eq=False)
class Data:
    """Channels of one grid, the voxels that take part, and the scale of their intensities."""

    values: Floats32
    """Intensities of the voxels that take part, in the raster order of `mask`, shape ``(c, n)``;
    NaN where missing, cut at `high`."""

    mask: Flags
    """Voxels that take part: in the mask, and with one channel or more, shape ``(i, j, k)``."""

    affine: Floats
    """Voxel indices to mm."""

    centre: Floats
    """Middle intensity of each channel, shape ``(c,)``."""

    scale: Floats
    """Spread of each channel, shape ``(c,)``."""

    high: Floats
    """Intensity above which voxels are cut, shape ``(c,)``."""

    times: float = 1.0
    """Length of the brain beside that of a human one, which the affine gives it."""

    taken_off: Floats | float = 0.0
    """What was subtracted from each channel, shape ``(c,)``."""

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between voxel centres."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(i), float(j), float(k)

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel, in the brain's own size."""
        return float(abs(np.linalg.det(self.own_affine[:3, :3]))) / 1000

    @property
    def own_affine(self) -> Floats:
        """Voxel indices to mm, in the brain's own size."""
        return scaled(self.affine, self.times)

    @property
    def human_ml(self) -> float:
        """Volume of all voxels that take part, were the brain as large as a human one."""
        return float(abs(np.linalg.det(self.affine[:3, :3])) * self.values.shape[1] / 1000)

    def averaged(self, steps: tuple[int, int, int]) -> Data:
        """Return the means over blocks of so many voxels, where half a block or more is seen."""
        if steps == (1, 1, 1):
            return self
        half = np.prod(steps) / 2
        box = _box(self.mask, steps)
        inside = self.mask[box]
        all_seen = count = blocks(inside.astype(np.float32), steps)
        parts, image = [], np.zeros(inside.shape, np.float32)
        for one in self.values:
            seen = ~np.isnan(one)
            if not seen.all():
                image[inside] = seen
                count = blocks(image, steps)
            image[inside] = np.where(seen, one, 0)
            total = blocks(image, steps)
            parts.append(np.where(count >= half, total / np.maximum(count, 1), np.float32(np.nan)))
            count = all_seen
        means = np.stack(parts)
        kept = (all_seen >= half) & np.isfinite(means).any(axis=0)
        mask = np.zeros([-(-n // s) for n, s in zip(self.mask.shape, steps, strict=True)], bool)
        coarse = [slice(b.start // s, -(-b.stop // s)) for b, s in zip(box, steps, strict=True)]
        mask[tuple(coarse)] = kept
        affine = self.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ ((np.array(steps) - 1) / 2)
        affine[:3, :3] *= steps
        return replace(self, values=means[:, kept], mask=mask, affine=affine)

    def standard(self, most: int) -> Floats:
        """Return about `most` voxels' standardised intensities, ``(n, c)``, evenly spread."""
        some = self.values[:, :: max(self.values.shape[1] // most, 1)]
        return ((some.T - self.centre) / self.scale).astype(np.float64)

    def binned(self, bins: int) -> tuple[Floats, Floats]:
        """Return the one channel's standardised histogram: bin centres ``(b, 1)`` and counts.

        A mixture of the bins agrees with that of the voxels up to the bins' width squared over
        12, which every variance gains.
        """
        values = self.values[0]
        count, edges = np.histogram(values, bins, (float(values.min()), float(values.max())))
        middle = (edges[1:] + edges[:-1]) / 2
        used = count > 0
        standard = (middle[used, None] - self.centre) / self.scale
        return standard.astype(np.float64), count[used].astype(np.float64)


def scaled(affine: Floats, times: float) -> Floats:
    """Return the affine of an image that is so many times as large about the origin."""
    return np.asarray(affine * np.array([times, times, times, 1.0])[:, None])


def resized(volume: Volume, times: float) -> Volume:
    """Return an image that is so many times as large about the origin."""
    return volume if times == 1 else Volume(volume.voxels, scaled(volume.affine, times))


def _box(mask: Flags, steps: tuple[int, int, int]) -> tuple[slice, ...]:
    """Return the least box of whole blocks that holds a mask."""
    slices = []
    for axis, step in enumerate(steps):
        others = tuple(a for a in range(3) if a != axis)
        shown = np.flatnonzero(mask.any(axis=others))
        first, last = int(shown[0]) // step * step, -(-(int(shown[-1]) + 1) // step) * step
        slices.append(slice(first, min(last, mask.shape[axis])))
    return tuple(slices)


def blocks(image: Floats32, steps: tuple[int, int, int]) -> Floats32:
    """Return the sums over blocks of so many voxels along the last three axes."""
    for axis, step in enumerate(steps, image.ndim - 3):
        lines = np.moveaxis(image, axis, 0)
        total = lines[::step].copy()
        for shift in range(1, step):
            total[: len(lines[shift::step])] += lines[shift::step]
        image = np.moveaxis(total, 0, axis)
    return image


def gather(
    images: Sequence[Volume], mask: Volume | None, *, resample: bool
) -> tuple[list[Floats32], Flags | None, Floats]:
    """Return channels ``(i, j, k)``, mask (none when not given) and affine of one grid.

    Raises
    ------
    GeometryError
        If an image has time frames, or grids differ and may not be resampled.
    DataError
        If there is no image.
    """
    if not images:
        raise DataError("there is no image to segment")
    first = images[0]
    parts = [
        on_grid(image, first, CHANNEL.format(n), 1, resample=resample)
        for n, image in enumerate(images, 1)
    ]
    region = None if mask is None else flags_of(mask, first, MASK, resample=resample)
    return parts, region, first.affine


def flags_of(mask: Volume, first: Volume, what: str, *, resample: bool) -> Flags:
    """Return where a mask is set, on the first image's grid.

    Raises
    ------
    GeometryError
        As `on_grid`.
    """
    return as_flags(on_grid(mask, first, what, 0, resample=resample), first.voxels, what)


def prepare(
    channels: Sequence[Floats32], mask: Flags, affine: Floats, classes: int, times: float = 1.0
) -> Data:
    """Return what a segmentation works on: channels of one shape, in a mask.

    The affine gives the brain its human size, than which it is so many `times` as long.

    Raises
    ------
    DataError
        If the mask is empty or misses the image, or a channel is constant, missing throughout or
        has fewer distinct intensities than there are classes.
    """
    if not mask.any():
        raise DataError("the mask is empty: no voxel takes part")
    inside = np.stack([one[mask] for one in channels]).astype(np.float32, copy=False)
    inside[np.isinf(inside)] = np.nan
    known = ~np.isnan(inside).all(axis=0)
    left = int(known.size - known.sum())
    if left == known.size:
        raise DataError("no voxel of the mask has a finite intensity")
    if left:
        log.warning("%d voxels of the mask have no finite intensity and are left out", left)
        mask, inside = mask.copy(), inside[:, known]
        mask[mask] = known
    centre, scale, high = (np.empty(len(channels)) for _ in range(3))
    for c, one in enumerate(inside):
        values = one[~np.isnan(one)]
        _varied(values, classes, c + 1)
        low, top = np.quantile(values, [_TAIL, 1 - _TAIL])
        high[c] = top + _HEADROOM * (top - low)
        inner = values[(values >= low) & (values <= top)].astype(np.float64)
        centre[c], scale[c] = np.median(inner), inner.std() or values.std(dtype=np.float64)
    np.minimum(inside, high[:, None].astype(np.float32), out=inside)
    return Data(inside, mask, affine, centre, scale, high, times)


def _varied(values: Floats32, classes: int, channel: int) -> None:
    """Refuse intensities that cannot be told apart into classes."""
    if not values.size:
        raise DataError(f"channel {channel} has no finite intensity in the mask")
    distinct = np.unique(values[:: max(values.size // 100_000, 1)])
    if len(distinct) < classes:
        distinct = np.unique(values)
    if len(distinct) == 1 and distinct[0] == 0:
        raise DataError(
            f"channel {channel} is 0 throughout the mask: does the mask fit the image?"
        )
    if len(distinct) < classes:
        raise DataError(
            f"channel {channel} has {len(distinct)} distinct intensities in the mask, which "
            f"cannot be {classes} classes"
        )
    if len(distinct) < FEW_LEVELS < values.size:
        log.warning(
            "channel %d has only %d distinct intensities in the mask: are they labels, or an "
            "image that was cut to few levels? Noise and fields are not told from such ones",
            channel, len(distinct),
        )  # fmt: skip


def apart_mm(one: Floats, other: Floats, shape: tuple[int, ...]) -> float:
    """Return the largest distance between a voxel's places in two affines."""
    ends = np.indices((2, 2, 2)).reshape(3, -1).T * (np.array(shape[-3:]) - 1)
    moved = ends @ (one - other)[:3, :3].T + (one - other)[:3, 3]
    return float(np.linalg.norm(moved, axis=1).max())


def on_grid(volume: Volume, first: Volume, what: str, order: int, *, resample: bool) -> Floats32:
    """Return a volume's voxels on the first image's grid, nearest (order 0) or linear (1).

    Raises
    ------
    GeometryError
        As `same_grid`.
    """
    if same_grid(volume, first, what, resample=resample):
        return np.asarray(volume.voxels, np.float32)
    log.warning("%s is interpolated onto the first channel's voxels", what)
    return np.asarray(onto(volume, first, 1 if order else 0), np.float32)


def same_grid(volume: Volume, first: Volume, what: str, *, resample: bool) -> bool:
    """Return whether a volume lies on the first image's grid; its voxels do not matter.

    Raises
    ------
    GeometryError
        If it has time frames, or its grid differs and may not be resampled.
    """
    if volume.voxels.ndim != 3:
        raise GeometryError(
            f"{what} holds {len(volume.voxels)} volumes (4D): give one; --volume says which of a "
            "channel's"
        )
    same = volume.voxels.shape == first.voxels.shape
    apart = apart_mm(volume.affine, first.affine, first.voxels.shape) if same else np.inf
    fits = apart <= SAME_GRID * min(first.spacing_mm)
    if not (fits or resample):
        why = f"; up to {apart:.3g} mm apart" if same else ""
        raise GeometryError(
            f"{what} ({volume.voxels.shape} voxels{why}) does not lie on the first channel's grid "
            f"({first.voxels.shape}): resample it (--resample), or give one on the same grid"
        )
    return fits
