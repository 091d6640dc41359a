"""The voxels of a mask in the order in which a mean-field sweep visits them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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

    offsets: NDArray[np.intp]
    """Steps to the neighbours in the flat box, shape ``(o,)``."""

    weights: Floats32
    """Of the neighbours, shape ``(o,)``."""

    earlier: Flags
    """Whether a neighbour of each colour was visited before, shape ``(colours, o)``."""

    @property
    def index(self) -> tuple[NDArray[np.intp], ...]:
        """Index of each voxel in the image, three arrays of shape ``(n,)``."""
        inside = np.unravel_index(self.places, self.shape)
        return tuple(np.asarray(a + c) for a, c in zip(inside, self.corner, strict=True))

    @property
    def box(self) -> int:
        """Number of voxels of the padded box."""
        return int(np.prod(self.shape))

    @property
    def size(self) -> int:
        """Number of voxels."""
        return len(self.places)

    def paint(self, values: NDArray[np.generic], shape: tuple[int, ...]) -> NDArray[np.generic]:
        """Return an image of `shape`, with the voxels' values and 0 elsewhere."""
        image = np.zeros(shape, values.dtype)
        image[self.index] = values
        return image


def lattice(mask: Flags, values: Floats32, near: Neighbourhood) -> Lattice:
    """Return the lattice of a mask whose voxels have `values` (NaN where missing), ``(c, n)``.

    The values are in the raster order of the mask.
    """
    where = np.nonzero(mask)
    corner = tuple(int(a.min()) - near.reach for a in where)
    shape = tuple(int(a.max()) - c + 1 + near.reach for a, c in zip(where, corner, strict=True))
    inside = [a - c for a, c in zip(where, corner, strict=True)]
    colour = near.colour(inside[0], inside[1], inside[2])
    seen, pattern = patterns(np.asarray(values.T, np.float64))
    key = (colour.astype(np.int64) * len(seen) + pattern).astype(np.int16)  # sorted by digits
    order = np.argsort(key, kind="stable")
    flat = np.ravel_multi_index(tuple(inside), shape).astype(np.int32)
    edges = np.searchsorted(key[order], np.arange(near.colours * len(seen) + 1))
    runs = tuple(
        Run(n // len(seen), n % len(seen), int(edges[n]), int(edges[n + 1]))
        for n in range(near.colours * len(seen))
        if edges[n + 1] > edges[n]
    )
    offsets = near.steps @ np.array([shape[1] * shape[2], shape[2], 1])
    earlier = np.array([near.earlier(c) for c in range(near.colours)])
    weights = near.weights.astype(np.float32)
    i, j, k = shape
    a, b, c = corner
    return Lattice((i, j, k), (a, b, c), flat[order], order, runs, seen, offsets, weights, earlier)
