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
    """Of each step, shape ``(n,)``; a neighbour across a face, 1 mm away, counts 1."""

    @property
    def colours(self) -> int:
        """Number of colours that leave no two neighbours alike."""
        return 2 if len(self.steps) == 6 else 8

    def colour(self, i: NDArray[np.intp], j: NDArray[np.intp], k: NDArray[np.intp]) -> Colours:
        """Return the colour of voxels at some indices."""
        if self.colours == 2:
            return ((i + j + k) % 2).astype(np.int8)
        return (4 * (i % 2) + 2 * (j % 2) + k % 2).astype(np.int8)

    def earlier(self, colour: int) -> NDArray[np.bool_]:
        """Return which neighbours of a voxel of `colour` have a lower colour."""
        if self.colours == 2:
            return np.full(len(self.steps), colour == 1)
        flips = np.abs(self.steps) @ np.array([4, 2, 1])
        return np.asarray(np.bitwise_xor(flips, colour) < colour)


Colours = NDArray[np.int8]


def neighbourhood(count: int, spacing_mm: tuple[float, float, float]) -> Neighbourhood:
    """Return the 6 (faces) or 26 (faces, edges, corners) neighbours on a grid of voxels.

    Weights are inverse distances; those of 26 neighbours are scaled to the sum of the 6, so that
    one strength suits both.

    Raises
    ------
    SettingsError
        If `count` is neither 6 nor 26.
    """
    if count not in {6, 26}:
        raise SettingsError(f"a voxel has 6 or 26 neighbours, not {count}")
    steps = np.array([s for s in product((-1, 0, 1), repeat=3) if any(s)])
    faces = np.abs(steps).sum(axis=1) == 1
    inverse = 1 / np.linalg.norm(steps * np.asarray(spacing_mm), axis=1)
    total = inverse[faces].sum()
    if count == 6:
        return Neighbourhood(steps[faces], inverse[faces])
    return Neighbourhood(steps, inverse * total / inverse.sum())
