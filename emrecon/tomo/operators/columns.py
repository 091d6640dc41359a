"""An image times a matrix along its axis, where the matrix is mostly 0.

Not by BLAS: its threads spin for a while after each product, and on two cores the projector's
threads then wait for them longer than the product takes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from emrecon.tomo.kernels import columns as kernel
from emrecon.volume import Array

_Taps = tuple[Array, NDArray[np.int32]]


@dataclass(frozen=True, eq=False)
class Columns:
    """The map of every column (last axis) of an image by one matrix; and its adjoint."""

    matrix: Array
    """Shape ``(new, old)``."""

    _ways: tuple[_Taps, _Taps] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ways", (_taps(self.matrix), _taps(self.matrix.T)))

    def forward(self, image: Array) -> Array:
        """Return an image of columns of `old` voxels as one of columns of `new` voxels."""
        return _times(image, self._ways[0], len(self.matrix))

    def adjoint(self, image: Array) -> Array:
        """Return the transpose of `forward`, applied to an image of columns of `new` voxels."""
        return _times(image, self._ways[1], self.matrix.shape[1])


def _taps(matrix: Array) -> _Taps:
    """Return the elements of each row from the first on that is not 0, and where that is."""
    rows, size = matrix.shape
    there = matrix != 0
    first, last = there.argmax(axis=1), size - 1 - there[:, ::-1].argmax(axis=1)
    wide = int(np.max(np.where(there.any(axis=1), last - first, 0))) + 1
    first = np.minimum(first, size - wide)
    taps = [matrix[np.arange(rows), first + t] for t in range(wide)]
    return np.ascontiguousarray(taps, np.float32), first.astype(np.int32)


def _times(image: Array, taps: _Taps, new: int) -> Array:
    flat = np.ascontiguousarray(image, np.float32).reshape(-1, image.shape[-1])
    out = np.empty((len(flat), new), np.float32)
    kernel.times(flat, *taps, out)
    return out.reshape(*image.shape[:-1], new)
