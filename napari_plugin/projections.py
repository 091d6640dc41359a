"""A volume's greatest values along parallel rays, from all around its axis S."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

VIEWS = 40
"""In a turn."""

MOST = 96
"""Voxels along an axis: of larger images, the greatest of each block is looked at."""

Picture = NDArray[np.float32]


class Projections:
    """Maximum intensity projections (Wallis 1989, IEEE Trans Med Imaging 8:297), each made once.

    Parameters
    ----------
    volume : array, shape (S, A, R)
        The values.
    step_mm : tuple of float
        Distance between voxels along S, A, R; any sign.
    """

    def __init__(self, volume: NDArray[Any], step_mm: tuple[float, float, float]) -> None:
        blocks = tuple(-(-n // MOST) for n in volume.shape)
        small = _greatest(np.nan_to_num(np.asarray(volume, np.float32)), blocks)
        sizes = [abs(step) * block for step, block in zip(step_mm, blocks, strict=True)]
        flips = tuple(slice(None, None, -1 if step < 0 else 1) for step in step_mm)
        small = small[flips]
        self._shape, self._sizes = small.shape, sizes
        self._lines = small.reshape(small.shape[0], -1)
        self.pixel_mm, self.up_mm = max(sizes[1:]), sizes[0]
        reach = float(np.hypot(sizes[1] * self._shape[1], sizes[2] * self._shape[2]))
        self.across = 2 * int(reach / self.pixel_mm / 2) + 3
        self._made: dict[int, Picture] = {}

    def view(self, number: int) -> Picture:
        """Return what is seen from one of `VIEWS` directions: rows towards S, columns towards R.

        View 0 is seen along A (from the back the same values are seen, mirrored); a quarter of a
        turn on, A runs across.
        """
        half = VIEWS // 2
        number %= VIEWS
        if number >= half:
            return self.view(number - half)[:, ::-1]
        if number not in self._made:
            self._made[number] = self._projected(2 * np.pi * number / VIEWS)
        return self._made[number]

    def _projected(self, angle: float) -> Picture:
        """Return the greatest of the voxels whose middles fall into each column."""
        front, right = (
            (np.arange(count) - (count - 1) / 2) * size / self.pixel_mm
            for count, size in zip(self._shape[1:], self._sizes[1:], strict=True)
        )
        place = np.add.outer(front * np.sin(angle), right * np.cos(angle)).ravel()
        column = np.rint(place).astype(np.intp) + self.across // 2
        order = np.argsort(column, kind="stable")
        there, starts = np.unique(column[order], return_index=True)
        out = np.full((len(self._lines), self.across), self._lines.min(), np.float32)
        out[:, there] = np.maximum.reduceat(self._lines[:, order], starts, axis=1)
        return out


def _greatest(volume: Picture, blocks: tuple[int, ...]) -> Picture:
    """Return the greatest value of each block."""
    for axis, block in enumerate(blocks):
        if block > 1:
            starts = np.arange(0, volume.shape[axis], block)
            volume = np.maximum.reduceat(volume, starts, axis=axis)
    return volume
