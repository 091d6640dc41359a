"""The voxels of a mask in the order in which a mean-field sweep visits them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emrecon.brief import brief
from emrecon.neighbours import Neighbourhood
from emrecon.tissue.classes import patterns

Floats32 = NDArray[np.float32]
Flags = NDArray[np.bool_]


class Run(NamedTuple):
    """Voxels ``first`` to ``last`` share one colour and one pattern of channels."""

    colour: int
    pattern: int
    first: int
    last: int


@dataclass(frozen=True, eq=False)
class Lattice:
    """Where each voxel of a mask lies in a padded box, colour by colour."""

    shape: tuple[int, int, int]
    """Of the padded box: as many voxels of margin on each side as neighbours are away."""

    corner: tuple[int, int, int]
    """Index in the image of the padded box's first voxel."""

    places: NDArray[np.int32]
    """Index in the flat padded box of each voxel, shape ``(n,)``."""

    order: NDArray[np.intp]
    """Rank of each voxel in the raster order of the mask, shape ``(n,)``."""

    runs: tuple[Run, ...]
    """In the order of the sweep."""

    seen: Flags
    """Patterns of channels, shape ``(p, c)``."""

    beside: NDArray[np.int32]
    """Number of each voxel's neighbours, shape ``(o, n)``; n for those outside the mask."""

    weights: Floats32
    """Of the neighbours, shape ``(o,)``."""

    earlier: Flags
    """Whether a neighbour of each colour was visited before, shape ``(colours, o)``."""

    __repr__ = brief

    @property
    def index(self) -> tuple[NDArray[np.intp], ...]:
        """Index of each voxel in the image, three arrays of shape ``(n,)``."""
        inside = np.unravel_index(self.places, self.shape)
        return tuple(np.asarray(a + c) for a, c in zip(inside, self.corner, strict=True))

    @property
    def size(self) -> int:
        """Number of voxels."""
        return len(self.places)

    @property
    def numbers(self) -> NDArray[np.int32]:
        """Number of the voxel at each place of the flat padded box; n where there is none."""
        numbers = np.full(int(np.prod(self.shape)), self.size, np.int32)
        numbers[self.places] = np.arange(self.size, dtype=np.int32)
        return numbers

    def blank(self, classes: int) -> Floats32:
        """Return fractions of 0 for each voxel, and for what is outside, ``(n + 1, k)``."""
        return np.zeros((self.size + 1, classes), np.float32, "F")

    def paint(self, values: NDArray[np.generic], shape: tuple[int, ...]) -> NDArray[np.generic]:
        """Return an image of `shape`, with the voxels' values and 0 elsewhere."""
        image = np.zeros(shape, values.dtype)
        image[self.index] = values
        return image


def lattice(mask: Flags, values: Floats32, near: Neighbourhood) -> Lattice:
    """Return the lattice of a mask whose voxels have `values` (NaN where missing), ``(c, n)``.

    The values are in the raster order of the mask.
    """
    spans = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    box = np.pad(mask[tuple(slice(a[0], a[-1] + 1) for a in spans)], near.reach)
    flat = np.flatnonzero(box).astype(np.int32)
    axes = np.ogrid[: box.shape[0], : box.shape[1], : box.shape[2]]
    small: list[NDArray[Any]] = [a.astype(np.int16) for a in axes]
    colour = near.colour(*small).ravel()[flat]
    seen, pattern = patterns(values.T)
    key = colour.astype(np.int16) * len(seen) + pattern.astype(np.int16)  # sorted by digits
    order = np.argsort(key, kind="stable")
    edges = np.searchsorted(key[order], np.arange(near.colours * len(seen) + 1))
    runs = tuple(
        Run(n // len(seen), n % len(seen), int(edges[n]), int(edges[n + 1]))
        for n in range(near.colours * len(seen))
        if edges[n + 1] > edges[n]
    )
    earlier = np.array([near.earlier(c) for c in range(near.colours)])
    weights = near.weights.astype(np.float32)
    i, j, k = box.shape
    a, b, c = (int(span[0]) - near.reach for span in spans)
    nobody = np.empty((len(weights), 0), np.int32)
    sites = Lattice((i, j, k), (a, b, c), flat[order], order, runs, seen, nobody, weights, earlier)
    return replace(sites, beside=_beside(sites, near.steps))


def _beside(lattice: Lattice, steps: NDArray[np.intp]) -> NDArray[np.int32]:
    """Return the number of each voxel's neighbours, shape ``(o, n)``."""
    offsets = (steps @ [lattice.shape[1] * lattice.shape[2], lattice.shape[2], 1]).astype(np.int32)
    numbers = lattice.numbers
    table = np.empty((len(offsets), lattice.size), np.int32)
    for beside, offset in zip(table, offsets, strict=True):
        np.take(numbers, lattice.places + offset, out=beside, mode="clip")
    return table
