"""The projector that STIR's ray-tracing matrix makes, as an operator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon.brief import brief
from emrecon.errors import GeometryError
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.segments import Segment
from emrecon.tomo.kernels import siddon
from emrecon.volume import Array, Grid

WHOLE = 1e-3
"""How far, in voxels over a whole segment, plane steps may stray from whole voxels."""


@dataclass(frozen=True, eq=False)
class Siddon:
    """Mean lengths of a bin's rays in voxels that are boxes, in mm; and the exact adjoint.

    Siddon's method [1]_ with the rays of STIR's matrix "Ray Tracing" [2]_, to reproduce what it
    computes:

    - across, a bin is the mean of `rays` parallel rays, evenly spaced over its width; all have
      the tilt of the bin's middle;
    - along the axis a bin is as wide as planes of its segment are apart: one ray for each voxel
      of that, evenly spaced, or the mean over the width where there is no tilt. Data of span 1
      on voxels of half a ring thus have two rays, and direct planes take a quarter, a half and
      a quarter of three image planes;
    - a ray runs through whole voxels, from that which holds its entry into the field of view to
      that which holds its exit.

    Raises
    ------
    GeometryError
        If planes are no whole number of voxels apart, or the image does not surround the axis.

    References
    ----------
    .. [1] R. L. Siddon, "Fast calculation of the exact radiological path for a three-dimensional
       CT array", Med. Phys. 12, 252 (1985).
    .. [2] K. Thielemans et al., "STIR: software for tomographic image reconstruction release 2",
       Phys. Med. Biol. 57, 867 (2012).
    """

    grid: Grid
    """Where the image lies."""

    bins: Bins
    """Where the lines lie."""

    fov_mm: float = 0.0
    """Radius of the field of view; 0 for STIR's, see `field_of_view_mm`."""

    rays: int = 2
    """Rays across a bin."""

    _geometry: dict[str, Any] = field(init=False, repr=False)

    __repr__ = brief

    def __post_init__(self) -> None:
        if self.rays < 1:
            raise GeometryError(f"a bin needs at least one ray, not {self.rays}")
        if self.bins.timing is not None:
            raise GeometryError(
                "siddon's rays know no time of flight: say --sum-tof, or take the joseph projector"
            )
        if not self.fov_mm:
            object.__setattr__(self, "fov_mm", field_of_view_mm(self.grid, self.bins))
        object.__setattr__(self, "_geometry", self._tables())

    @property
    def domain(self) -> tuple[int, ...]:
        """Shape of the image."""
        return self.grid.shape

    @property
    def range(self) -> tuple[int, ...]:
        """Views, bins, planes."""
        return self.bins.shape

    def forward(self, image: Array) -> Array:
        """Return the mean line integrals of `image` (per mm), shape `range`."""
        _fits(image.shape, self.domain, "image")
        out = np.empty(self.range, np.float32)
        image = np.ascontiguousarray(image, np.float32)
        siddon.forward(image, **self._geometry, out=out)
        return out

    def adjoint(self, data: Array) -> Array:
        """Return the sum over all lines of their value times their length in each voxel."""
        _fits(data.shape, self.range, "data")
        image = np.empty(self.domain, np.float32)
        siddon.adjoint(np.ascontiguousarray(data, np.float32), **self._geometry, image=image)
        return image

    def _tables(self) -> dict[str, Any]:
        """Return the geometry as the kernels want it."""
        (x0, y0, z0), (vx, vy, vz) = self.grid.origin_mm, self.grid.spacing_mm
        segments = self.bins.segments
        return {
            "x0": x0,
            "y0": y0,
            "vx": vx,
            "vy": vy,
            "vz": vz,
            "cosines": np.cos(self.bins.phi_rad),
            "sines": np.sin(self.bins.phi_rad),
            "s_mm": _rays_mm(self.bins, self.rays),
            "half_chord_mm": self.bins.half_chord_mm,
            "fov_mm": self.fov_mm,
            "tilt": np.array([segment.tilt_mm / vz for segment in segments]),
            "first": np.array([(segment.first_mm - z0) / vz for segment in segments]),
            "step": np.array([_steps(segment, vz) for segment in segments]),
            "planes": np.array([segment.planes for segment in segments]),
            "offset": self.bins.offsets,
        }


def _fits(came: tuple[int, ...], wanted: tuple[int, ...], what: str) -> None:
    if came != wanted:
        raise GeometryError(f"{what} of shape {came} given to a projector that takes {wanted}")


def _rays_mm(bins: Bins, rays: int) -> NDArray[np.float64]:
    """Return where the rays of each bin lie, shape ``(bins, rays)``."""
    s_mm = np.asarray(bins.s_mm, np.float64)
    width = np.gradient(s_mm) if s_mm.size > 1 else np.array([bins.bin_mm])
    return s_mm[:, None] + width[:, None] * ((np.arange(rays) + 0.5) / rays - 0.5)


def _steps(segment: Segment, vz: float) -> int:
    """Return how many voxels the planes of a segment are apart."""
    ratio = segment.step_mm / vz
    steps = round(ratio)
    if steps < 1 or abs(ratio - steps) * segment.planes >= WHOLE:
        raise GeometryError(
            f"the siddon projector, as STIR's, needs planes a whole number of voxels apart: they "
            f"are {segment.step_mm:g} mm apart, voxels {vz:g} mm; give voxels of "
            f"{segment.step_mm / max(1, steps):g} mm along the axis, or use the joseph projector"
        )
    return steps


def check_grid(bins: Bins, grid: Grid) -> None:
    """Refuse an image that the projector of these bins does not take.

    Raises
    ------
    GeometryError
        If planes are no whole number of voxels apart, or the image is not about the axis.
    """
    for segment in bins.segments:
        _steps(segment, grid.spacing_mm[2])
    field_of_view_mm(grid, bins)


def field_of_view_mm(grid: Grid, bins: Bins) -> float:
    """Return the radius of STIR's field of view, or of what every view sees where that is less.

    STIR's is the circle about the axis through the outermost voxel centre on the nearest side.
    """
    ends = [grid.centres_mm(axis)[[0, -1]] for axis in (0, 1)]
    for (low, high), size in zip(ends, grid.spacing_mm, strict=False):
        if low >= 0 or high <= 0 or abs(low + high) / 2 > size * (1 + 1e-6):
            raise GeometryError(
                "the siddon projector, as STIR's, needs an image that is centred on the scanner's "
                f"axis to within a voxel; this one goes from {low:g} to {high:g} mm: centre it, "
                "or use the joseph projector"
            )
    return min(bins.fov_mm, float(np.abs(ends).min()))
