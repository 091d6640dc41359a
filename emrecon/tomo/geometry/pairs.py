"""All detector pairs of a scanner of any shape: what its events are drawn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import GeometryError
from emrecon.tomo.geometry.events import Events
from emrecon.volume import Array, Grid

SAMPLED = 100_000
"""Pairs that are looked at to find the field of view."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Detector pairs in coincidence, as events whose factors are their efficiencies."""

    points_mm: Array
    """Crystal centres, RAS mm, shape ``(crystals, 3)``."""

    chunks: int
    """How many chunks `every` gives."""

    every: Callable[[], Iterator[Events]]
    """Gives all pairs, each once, a chunk at a time; those not in coincidence have factor 0 or are
    left out."""

    passing: bool = False
    """Whether the efficiencies hold for the time of these events alone (dead time)."""

    @cached_property
    def fov_mm(self) -> float:
        """Distance from the axis of the farthest line, among evenly chosen ones of all chunks."""
        farthest = 0.0
        for chunk in self.every():
            live = (
                np.arange(len(chunk)) if chunk.factors is None else np.flatnonzero(chunk.factors)
            )
            some = live[:: 1 + len(live) * self.chunks // SAMPLED]
            if len(some):
                ends = self.points_mm[chunk.pairs[some]][..., :2].astype(float)
                farthest = max(farthest, float(_aside(ends).max()))
        if not farthest:
            raise GeometryError("no two detectors of the scanner are in coincidence")
        return farthest

    @cached_property
    def radius_mm(self) -> float:
        """Distance of the farthest crystal from the axis."""
        return float(np.hypot(*self.points_mm[:, :2].T.astype(float)).max())

    @property
    def plane_z_mm(self) -> NDArray[np.float64]:
        """Where the scanner begins and ends along the axis."""
        z = self.points_mm[:, 2].astype(float)
        return np.array([z.min(), z.max()])

    @cached_property
    def crystal_mm(self) -> float:
        """Distance between neighbouring crystals."""
        from scipy.spatial import KDTree  # noqa: PLC0415 - not needed for rings

        points = np.unique(self.points_mm, axis=0)
        if len(points) < 2:
            raise GeometryError("a scanner has two crystals or more")
        nearest, _ = KDTree(points).query(points, [2])
        return float(np.median(nearest))

    def grid(
        self,
        voxel_mm: tuple[float, float, float] | None = None,
        shape: tuple[int, int, int] | None = None,
        centre_mm: tuple[float, float, float] | None = None,
    ) -> Grid:
        """Return an image grid that covers the field of view, by default in half crystals."""
        half = self.crystal_mm / 2
        spacing = (half, half, half) if voxel_mm is None else voxel_mm
        low, high = self.plane_z_mm
        if shape is None:
            extent = (2 * self.fov_mm, 2 * self.fov_mm, high - low + self.crystal_mm)
            i, j, k = (max(1, round(e / s)) for e, s in zip(extent, spacing, strict=True))
            shape = (i, j, k)
        middle = (0.0, 0.0, float(low + high) / 2) if centre_mm is None else centre_mm
        corner = Grid.centred(shape, spacing).origin_mm
        x, y, z = (c + m for c, m in zip(corner, middle, strict=True))
        return Grid(shape, spacing, (x, y, z))


def _aside(ends: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance from the axis of lines between ends ``(n, 2, 2)``."""
    along = ends[:, 1] - ends[:, 0]
    across = ends[:, 0, 0] * along[:, 1] - ends[:, 0, 1] * along[:, 0]
    return np.asarray(np.abs(across) / np.maximum(np.hypot(*along.T), 1e-9))
