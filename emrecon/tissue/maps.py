"""Tissue probability maps, and where they lie on an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emrecon.brief import brief
from emrecon.tissue.kernels import atlas as kernel

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]

LEAST = 0.01
"""Least probability of a class, so that no map can rule one out."""


@dataclass(frozen=True, eq=False)
class Atlas:
    """Probability maps of the classes, and where they lie on an image."""

    maps: Floats32
    """Probability of each class in the order of the names, shape ``(i, j, k, c)``."""

    affine: Floats
    """Voxels of the maps to atlas mm."""

    matrix: Floats
    """Image mm to atlas mm, shape ``(4, 4)``; the identity where they were aligned before."""

    explained: float = 0.0
    """What the maps tell of the intensities, nats a point; 0 where they were aligned before."""

    deep: Floats32 | None = None
    """How much of the grey matter is deep, 0 to 1, shape ``(i, j, k)``, where maps tell it."""

    __repr__ = brief

    def resized(self, times: float) -> Atlas:
        """Return the atlas of image and maps that are so many times as large about the origin."""
        affine, matrix = self.affine.copy(), self.matrix.copy()
        affine[:3] *= times
        matrix[:3, 3] *= times
        return replace(self, affine=affine, matrix=matrix)

    def at(self, index: Sequence[NDArray[np.integer]], affine: Floats) -> Floats32:
        """Return the classes' probabilities at an image's voxels, shape ``(n, c)``.

        Sums over the classes are 1, or 0 beyond the atlas.
        """
        to_maps = np.linalg.inv(self.affine) @ self.matrix @ affine
        points = np.tile(to_maps[:3, 3], (len(index[0]), 1))
        for axis, step in zip(index, to_maps[:3, :3].T, strict=True):  # spares a copy of all
            points += axis[:, None] * step
        out = np.empty((len(points), self.maps.shape[3]), np.float32)
        kernel.sample(self.maps, points, out)
        return out

    def deep_at(
        self, index: Sequence[NDArray[np.integer]], affine: Floats
    ) -> NDArray[np.bool_] | None:
        """Return whether most grey matter at an image's voxels is deep; none if maps do not tell.

        Parameters
        ----------
        index : sequence of arrays
            Where the voxels lie.
        affine : array
            Voxels of the image to mm.
        """
        if self.deep is None:
            return None
        only = replace(self, maps=np.ascontiguousarray(self.deep[..., None]))
        return only.at(index, affine)[:, 0] > 0.5

    def log_prior(
        self, index: Sequence[NDArray[np.integer]], affine: Floats, weight: float
    ) -> Floats32:
        """Return the weighted log of the classes' share of what is known, shape ``(n, c)``."""
        chance = self.at(index, affine)
        chance += np.float32(1e-6)  # beyond the atlas all classes are alike
        chance /= chance.sum(axis=1, keepdims=True)
        return np.asarray(weight * np.log(np.maximum(chance, LEAST)), np.float32)


@dataclass(frozen=True, eq=False)
class Average:
    """Where an average brain was laid on an image, or why it was not."""

    matrix: Floats | None = None
    """Image mm to mm of the average brain, shape ``(4, 4)``."""

    explained: float = 0.0
    """What its maps tell of the intensities, nats a point."""

    why_not: str = ""
    """Why it has no place on the image."""

    atlas: Atlas | None = None
    """Its maps, in that place."""

    __repr__ = brief


NOWHERE = Average()
"""No average brain."""
