"""Which voxels are neighbours, and how much each counts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import SettingsError


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """Steps to a voxel's neighbours, and weights that fall with distance."""

    steps: NDArray[np.intp]
    """Index steps, shape ``(n, 3)``; with each its opposite."""

    weights: NDArray[np.float64]
    """Of each step, shape ``(n,)``; of 6 neighbours, one that is 1 mm away counts 1."""

    @property
    def reach(self) -> int:
        """Most voxels to a neighbour along an axis."""
        return int(np.abs(self.steps).max())

    @property
    def colours(self) -> int:
        """Number of colours that leave no two neighbours alike."""
        return {6: 2, 12: 3, 26: 8}[len(self.steps)]

    def colour(self, i: NDArray[np.intp], j: NDArray[np.intp], k: NDArray[np.intp]) -> Colours:
        """Return the colour of voxels at some indices."""
        if self.colours < 8:
            return ((i + j + k) % self.colours).astype(np.int8)
        return (4 * (i % 2) + 2 * (j % 2) + k % 2).astype(np.int8)

    def earlier(self, colour: int) -> NDArray[np.bool_]:
        """Return which neighbours of a voxel of `colour` have a lower colour."""
        if self.colours < 8:
            return np.asarray((colour + self.steps.sum(axis=1)) % self.colours < colour)
        flips = np.abs(self.steps) @ np.array([4, 2, 1])
        return np.asarray(np.bitwise_xor(flips, colour) < colour)


Colours = NDArray[np.int8]


def neighbourhood(count: int, spacing_mm: tuple[float, float, float]) -> Neighbourhood:
    """Return the 6 (faces), 12 (two steps each way) or 26 (and edges, corners) neighbours.

    Weights are inverse distances, scaled to the sum of the 6, so that one strength suits all. Of
    12 neighbours the nearer attract and the farther repel, a quarter as much: an image is drawn to
    where it bends least, ``sum (x[-1] - 2 x[0] + x[1])**2`` along each axis, as 6 draw it to where
    it is level. That spares thin sheets and edges that many voxels share, and so 12 may be a
    quarter stronger in sum.

    Raises
    ------
    SettingsError
        If `count` is not 6, 12 or 26.

    References
    ----------
    Blake and Zisserman, Visual Reconstruction (MIT Press, 1987), membranes and thin plates.
    """
    if count not in {6, 12, 26}:
        raise SettingsError(f"a voxel has 6, 12 or 26 neighbours, not {count}")
    steps = np.array([s for s in product((-1, 0, 1), repeat=3) if any(s)])
    faces = np.abs(steps).sum(axis=1) == 1
    inverse = 1 / np.linalg.norm(steps * np.asarray(spacing_mm), axis=1)
    total = inverse[faces].sum()
    if count == 6:
        return Neighbourhood(steps[faces], inverse[faces])
    if count == 12:
        near, weights = steps[faces], inverse[faces] * 5 / 12
        return Neighbourhood(np.vstack([near, 2 * near]), np.append(4 * weights, -weights))
    return Neighbourhood(steps, inverse * total / inverse.sum())
