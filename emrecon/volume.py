"""An image in space: voxels, and the affine that says where they lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import GeometryError

Array = NDArray[np.float32]
"""Images and counts."""


SIZES_MM = (1e-3, 1e6)
"""Least and greatest distance between voxels of a grid: what any file can say of them."""


@dataclass(frozen=True)
class Grid:
    """A box of voxels, axis-aligned with the scanner, axes towards R, A and S.

    Examples
    --------
    >>> grid = Grid((4, 4, 2), (2.0, 2.0, 3.0), (-3.0, -3.0, 0.0))
    >>> grid.centres_mm(0)
    array([-3., -1.,  1.,  3.])
    """

    shape: tuple[int, int, int]
    """Number of voxels along i, j, k."""

    spacing_mm: tuple[float, float, float]
    """Distance between voxel centres, above zero."""

    origin_mm: tuple[float, float, float]
    """Centre of voxel ``(0, 0, 0)`` in RAS mm."""

    def __post_init__(self) -> None:
        least, most = SIZES_MM
        if min(self.shape) < 1 or not all(least <= size <= most for size in self.spacing_mm):
            raise GeometryError(
                f"a grid needs at least one voxel along each axis, of {least:g} to {most:g} mm, "
                f"not {self.shape} voxels of {self.spacing_mm} mm"
            )

    @classmethod
    def centred(cls, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> Grid:
        """Return the grid whose middle is the world origin."""
        i, j, k = (-(n - 1) / 2 * d for n, d in zip(shape, spacing_mm, strict=True))
        return cls(shape, spacing_mm, (i, j, k))

    @property
    def affine(self) -> NDArray[np.float64]:
        """Voxel indices to RAS mm, shape ``(4, 4)``."""
        affine = np.diag([*self.spacing_mm, 1.0])
        affine[:3, 3] = self.origin_mm
        return affine

    def centres_mm(self, axis: int) -> NDArray[np.float64]:
        """Return the voxel centres along one axis."""
        steps = np.arange(self.shape[axis], dtype=np.float64)
        return self.origin_mm[axis] + self.spacing_mm[axis] * steps


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxel values with their place in scanner space (RAS+, mm).

    Examples
    --------
    >>> import numpy as np
    >>> image = Volume(np.zeros((4, 5, 6), np.float32), np.diag([2.0, 2.0, 3.0, 1.0]), "Bq/mL")
    >>> image.spacing_mm
    (2.0, 2.0, 3.0)
    """

    voxels: NDArray[np.float32]
    """Values, shape ``(i, j, k)``, or ``(t, i, j, k)`` for frames and gates."""

    affine: NDArray[np.float64]
    """Voxel indices to mm, shape ``(4, 4)``."""

    unit: str = ""
    """Unit of the values, such as ``counts/mm``, ``1/mm`` or ``Bq/mL``; empty when unknown."""

    def __post_init__(self) -> None:
        if self.affine.shape != (4, 4):
            raise GeometryError(f"an affine is 4 x 4, not {self.affine.shape}")
        if self.voxels.ndim not in {3, 4}:
            raise GeometryError(f"a volume has 3 axes (4 with time), not {self.voxels.ndim}")
        voxels = self.voxels.view()
        voxels.flags.writeable = False
        object.__setattr__(self, "voxels", voxels)

    def __repr__(self) -> str:
        """Say what it is in a line, without its numbers."""
        voxels, sizes = self.voxels, " x ".join(f"{size:.4g}" for size in self.spacing_mm)
        shape = " x ".join(map(str, voxels.shape))
        unit = f", {self.unit}" if self.unit else ""
        return f"Volume({shape} voxels of {sizes} mm, {voxels.dtype}{unit})"

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxels along each axis."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(i), float(j), float(k)

    @property
    def aligned(self) -> bool:
        """Whether each voxel axis runs along one world axis: R-L, A-P or S-I, in that order."""
        directions = self.affine[:3, :3] / np.asarray(self.spacing_mm)
        return bool(np.abs(directions - np.diag(np.diag(directions))).max() < 1e-4)

    def ras(self) -> Volume:
        """Return the same image with its axes turned towards R, A and S, values untouched.

        Axes are permuted and reversed only, so an oblique volume stays oblique.
        """
        turned = self.turned()
        return Volume(np.ascontiguousarray(turned.voxels), turned.affine, self.unit)

    def turned(self) -> Volume:
        """Return what `ras` does as a view of the same memory, in whatever order that is."""
        directions = self.affine[:3, :3] / np.asarray(self.spacing_mm)
        order = _nearest_axes(directions)
        affine = self.affine.copy()
        affine[:, :3] = affine[:, order]
        lead = self.voxels.ndim - 3
        voxels = self.voxels.transpose(*range(lead), *(lead + axis for axis in order))
        for axis in range(3):
            if affine[axis, axis] < 0:
                affine[:3, 3] += affine[:3, axis] * (voxels.shape[lead + axis] - 1)
                affine[:3, axis] *= -1
                voxels = np.flip(voxels, lead + axis)
        return Volume(voxels, affine, self.unit)

    def grid(self) -> Grid:
        """Return the grid of an aligned volume in RAS order; see `ras`.

        Raises
        ------
        GeometryError
            If the volume is oblique or mirrored against the scanner's axes.
        """
        if not self.aligned or min(np.diag(self.affine)[:3]) <= 0:
            raise GeometryError("the volume's axes do not run towards R, A and S")
        i, j, k = (int(n) for n in self.voxels.shape[-3:])
        x, y, z = (float(v) for v in self.affine[:3, 3])
        return Grid((i, j, k), self.spacing_mm, (x, y, z))


def _nearest_axes(directions: NDArray[np.float64]) -> list[int]:
    """Return, for each world axis, the voxel axis that runs most along it."""
    left = np.abs(directions)
    order = [0, 0, 0]
    for _ in range(3):
        world, voxel = np.unravel_index(int(np.argmax(left)), (3, 3))
        order[int(world)] = int(voxel)
        left[world, :] = -1
        left[:, voxel] = -1
    return order
