"""What goes into a segmentation: channels and mask on one grid, checked before any work."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import DataError, GeometryError
from emrecon.metrics.compare import onto
from emrecon.volume import Volume

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Flags = NDArray[np.bool_]

_TAIL = 0.001
_HEADROOM = 0.3


@dataclass(frozen=True, eq=False)
class Data:
    """Channels of one grid, the voxels that take part, and the scale of their intensities."""

    channels: Floats32
    """Intensities, shape ``(c, i, j, k)``, NaN where missing, cut at `high`."""

    mask: Flags
    """Voxels that take part: in the mask, and with one channel or more."""

    affine: Floats
    """Voxel indices to mm."""

    centre: Floats
    """Middle intensity of each channel, shape ``(c,)``."""

    scale: Floats
    """Spread of each channel, shape ``(c,)``."""

    high: Floats
    """Intensity above which voxels are cut, shape ``(c,)``."""

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between voxel centres."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(i), float(j), float(k)

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000

    def averaged(self, steps: tuple[int, int, int]) -> Data:
        """Return the means over blocks of so many voxels, where half a block or more is seen."""
        if steps == (1, 1, 1):
            return self
        half = np.prod(steps) / 2
        parts = []
        for one in self.channels:
            seen = self.mask & ~np.isnan(one)
            count = blocks(seen.astype(np.float32), steps)
            total = blocks(np.where(seen, one, np.float32(0)), steps)
            parts.append(np.where(count >= half, total / np.maximum(count, 1), np.float32(np.nan)))
        channels = np.stack(parts)
        mask = (blocks(self.mask.astype(np.float32), steps) >= half) & np.isfinite(channels).any(0)
        affine = self.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ ((np.array(steps) - 1) / 2)
        affine[:3, :3] *= steps
        return replace(self, channels=channels, mask=mask, affine=affine)

    def standard(self, most: int) -> Floats:
        """Return about `most` voxels' standardised intensities, ``(n, c)``, evenly spread."""
        where = np.flatnonzero(self.mask)
        where = where[:: max(len(where) // most, 1)]
        flat = self.channels.reshape(len(self.channels), -1)[:, where]
        return ((flat.T - self.centre) / self.scale).astype(np.float64)

    def binned(self, bins: int) -> tuple[Floats, Floats]:
        """Return the one channel's standardised histogram: bin centres ``(b, 1)`` and counts.

        A mixture of the bins agrees with that of the voxels up to the bins' width squared over
        12, which every variance gains.
        """
        values = self.channels[0][self.mask]
        count, edges = np.histogram(values, bins, (float(values.min()), float(values.max())))
        middle = (edges[1:] + edges[:-1]) / 2
        used = count > 0
        standard = (middle[used, None] - self.centre) / self.scale
        return standard.astype(np.float64), count[used].astype(np.float64)


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
    images: Sequence[Volume], mask: Volume | None, exclude: Volume | None, *, resample: bool
) -> tuple[Floats32, Flags | None, Floats]:
    """Return channels ``(c, i, j, k)``, mask (none when not given) and affine of one grid.

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
        on_grid(image, first, f"channel {n}", 1, resample=resample)
        for n, image in enumerate(images, 1)
    ]
    region = None
    if mask is not None:
        region = on_grid(mask, first, "the mask", 0, resample=resample) > 0
    if exclude is not None:
        left_out = on_grid(exclude, first, "the exclusion mask", 0, resample=resample) > 0
        region = ~left_out if region is None else region & ~left_out
        if mask is None:
            shown = np.isfinite(parts[0]) & (parts[0] > 0)
            region &= shown
    return np.stack(parts).astype(np.float32, copy=False), region, first.affine


def prepare(channels: Floats32, mask: Flags, affine: Floats, classes: int) -> Data:
    """Return what a segmentation works on.

    Raises
    ------
    DataError
        If the mask is empty or misses the image, or a channel is constant, missing throughout or
        has fewer distinct intensities than there are classes.
    """
    if not mask.any():
        raise DataError("the mask is empty: no voxel takes part")
    channels = np.where(np.isinf(channels), np.float32(np.nan), channels)
    part = mask & ~np.isnan(channels).all(axis=0)
    if not part.any():
        raise DataError("no voxel of the mask has a finite intensity")
    centre, scale, high = (np.empty(len(channels)) for _ in range(3))
    for c, one in enumerate(channels):
        values = one[part]
        values = values[~np.isnan(values)]
        _varied(values, classes, c + 1)
        low, top = np.quantile(values, [_TAIL, 1 - _TAIL])
        high[c] = top + _HEADROOM * (top - low)
        inner = values[(values >= low) & (values <= top)].astype(np.float64)
        centre[c], scale[c] = np.median(inner), inner.std() or values.std(dtype=np.float64)
    np.minimum(channels, high[:, None, None, None].astype(np.float32), out=channels)
    left = int(mask.sum() - part.sum())
    if left:
        log.warning("%d voxels of the mask have no finite intensity and are left out", left)
    return Data(channels, part, affine, centre, scale, high)


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


def on_grid(volume: Volume, first: Volume, what: str, order: int, *, resample: bool) -> Floats32:
    """Return a volume's voxels on the first image's grid, nearest (order 0) or linear (1).

    Raises
    ------
    GeometryError
        If it has time frames, or its grid differs and may not be resampled.
    """
    if volume.voxels.ndim != 3:
        raise GeometryError(f"{what} has {len(volume.voxels)} time frames: choose one")
    same = volume.voxels.shape == first.voxels.shape
    if same and np.allclose(volume.affine, first.affine, rtol=0, atol=1e-3):
        return np.asarray(volume.voxels, np.float32)
    if not resample:
        raise GeometryError(
            f"{what} ({volume.voxels.shape} voxels) does not lie on the first channel's grid "
            f"({first.voxels.shape}): resample it (--resample), or give one on the same grid"
        )
    log.warning("%s is interpolated onto the first channel's voxels", what)
    return np.asarray(onto(volume, first, 1 if order else 0), np.float32)
