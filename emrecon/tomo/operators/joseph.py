"""The Joseph projector of ring scanners and parallel beams, as an operator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from emrecon.brief import brief
from emrecon.errors import GeometryError
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.segments import Segment
from emrecon.tomo.kernels import axial, axial_tof
from emrecon.tomo.operators.columns import Columns
from emrecon.tomo.operators.resampling import resampling
from emrecon.volume import Array, Grid

FINEST = 1 / 256
"""Distance of places that time of flight tells apart, in widths (FWHM) of its resolution."""

WHOLE = 1e-3
"""How far, in voxels over a whole segment, plane steps may stray from whole voxels."""


@dataclass(frozen=True, eq=False)
class JosephProjector:
    """Line integrals of an image along every line of `bins`, in mm; and the exact adjoint.

    Joseph's method [1]_: at every voxel row across a line, linear interpolation within the row
    and along the axis, times the path length from one row to the next. Planes must step a whole
    number of voxels; where the grid's axial spacing does not allow it, the image is first
    resampled along the axis (`resampling`), which costs a little time and blurs by at most one
    voxel of the coarser spacing.

    With `Bins.timing` every sample is shared among the time-of-flight bins by the resolution's
    Gaussian, integrated over each bin; the sum over the bins is the line integral without.

    With `ring_wide` a line is the mean over the width of a ring, as in STIR: on voxels of half a
    ring spacing a direct plane takes a quarter, a half and a quarter of three image planes. At
    span 1 nothing lies beyond the end planes of the image, as in STIR.

    References
    ----------
    .. [1] P. M. Joseph, "An improved algorithm for reprojecting rays through pixel images",
       IEEE Trans. Med. Imaging 1, 192 (1982).
    """

    grid: Grid
    """Where the image lies."""

    bins: Bins
    """Where the lines lie."""

    fov_mm: float = field(default=0.0)
    """Only the image within this distance of the axis counts; 0 for what every view sees."""

    ring_wide: bool = False
    """Whether a line is as wide along the axis as a ring, instead of having no width."""

    summed: bool = False
    """Whether all time-of-flight bins are taken together, which costs no more than one."""

    _axial: Columns | None = field(init=False, repr=False)
    _geometry: dict[str, Any] = field(init=False, repr=False)

    __repr__ = brief

    def __post_init__(self) -> None:
        if not self.fov_mm:
            object.__setattr__(self, "fov_mm", self.bins.fov_mm)
        z0, vz, matrix = self.grid.origin_mm[2], self.grid.spacing_mm[2], None
        if self.ring_wide and self.bins.scanner is None:
            raise GeometryError("lines as wide as a ring need a ring scanner")
        if self.ring_wide or not all(_whole(segment, vz) for segment in self.bins.segments):
            z0, vz, matrix = self._resampling()
        object.__setattr__(self, "_axial", None if matrix is None else Columns(matrix))
        object.__setattr__(self, "_geometry", self._tables(z0, vz))

    @property
    def domain(self) -> tuple[int, ...]:
        """Shape of the image."""
        return self.grid.shape

    @property
    def range(self) -> tuple[int, ...]:
        """Views, bins, planes; with time of flight its bins in front, unless `summed`."""
        return self.bins.shape if self.summed else self.bins.data_shape

    @property
    def resampled(self) -> bool:
        """Whether the image is resampled along the axis before projection."""
        return self._axial is not None

    def forward(self, image: Array) -> Array:
        """Return the line integrals of `image` (per mm), shape `range`."""
        self._fits(image.shape, self.domain, "image")
        image = np.ascontiguousarray(image, np.float32)
        if self._axial is not None:
            image = self._axial.forward(image)
        out = np.empty(self.range, np.float32)
        if "flight" in self._geometry:
            axial_tof.forward(image, **self._geometry, out=out.reshape(-1, *self.bins.shape))
        else:
            axial.forward(image, **self._geometry, out=out)
        return out

    def adjoint(self, data: Array) -> Array:
        """Return the sum over all lines of their value times their length in each voxel."""
        self._fits(data.shape, self.range, "data")
        nz = self.grid.shape[2] if self._axial is None else len(self._axial.matrix)
        image = np.empty((*self.grid.shape[:2], nz), np.float32)
        data = np.ascontiguousarray(data, np.float32)
        if "flight" in self._geometry:
            axial_tof.adjoint(data.reshape(-1, *self.bins.shape), **self._geometry, image=image)
        else:
            axial.adjoint(data, **self._geometry, image=image)
        return image if self._axial is None else self._axial.adjoint(image)

    def _resampling(self) -> tuple[float, float, Array]:
        """Return where voxels lie on which planes step whole voxels, their size, and the matrix.

        The new voxels reach over all planes and the whole old grid.
        """
        vz, planes_mm, old_mm = (
            axial_step_mm(self.bins),
            self.bins.plane_z_mm,
            self.grid.centres_mm(2),
        )
        first, last = planes_mm.min(), max(planes_mm.max(), old_mm[-1])
        z0 = first - vz * np.ceil(max(0.0, first - old_mm[0]) / vz)
        if self.ring_wide:  # a plane lies between two voxels, each the mean over half a ring
            z0 -= vz / 2
        new_mm = z0 + vz * np.arange(np.ceil((last - z0) / vz - WHOLE) + 1)
        # STIR, too, takes nothing for what a direct plane of span 1 sees beyond the image.
        stops = self.ring_wide and self.bins.segments[0].step_mm > 1.5 * vz
        matrix = resampling(old_mm, self.grid.spacing_mm[2], new_mm, vz, goes_on=not stops)
        return float(z0), vz, matrix

    def _tables(self, z0: float, vz: float) -> dict[str, Any]:
        """Return the geometry as the kernels want it."""
        segments = self.bins.segments
        return {
            "x0": self.grid.origin_mm[0],
            "y0": self.grid.origin_mm[1],
            "vx": self.grid.spacing_mm[0],
            "vy": self.grid.spacing_mm[1],
            "vz": vz,
            "cosines": np.cos(self.bins.phi_rad),
            "sines": np.sin(self.bins.phi_rad),
            "s_mm": np.asarray(self.bins.s_mm, np.float64),
            "half_chord_mm": self.bins.half_chord_mm,
            "fov_mm": self.fov_mm,
            "tilt": np.array([segment.tilt_mm / vz for segment in segments]),
            "first": np.array([(segment.first_mm - z0) / vz for segment in segments]),
            "step": np.array([max(1, round(segment.step_mm / vz)) for segment in segments]),
            "planes": np.array([segment.planes for segment in segments]),
            "offset": self.bins.offsets,
            **self._flight(),
        }

    def _flight(self) -> dict[str, Any]:
        """Return how time of flight shares samples; nothing where all bins together see all."""
        timing = self.bins.timing
        if timing is None:
            return {}
        phases = timing.phases(timing.fwhm_mm * FINEST)
        if self.summed:
            tilt = np.max(np.abs(self.bins.plane_tilt_mm)) / 2
            edge = np.sqrt(max(self.bins.radius_mm**2 - self.fov_mm**2, 1.0))
            if timing.covers(self.fov_mm * float(np.hypot(1.0, tilt / edge))):
                return {}
            timing = timing.whole
            phases = timing.phases(phases[2])  # the same places, so the very sum
        return {"flight": axial_tof.flight_of(*phases, timing.bins)}

    @staticmethod
    def _fits(came: tuple[int, ...], wanted: tuple[int, ...], what: str) -> None:
        if came != wanted:
            raise GeometryError(f"{what} of shape {came} given to a projector that takes {wanted}")


def _whole(segment: Segment, vz: float) -> bool:
    """Return whether the planes of a segment step a whole number (1 to 8) of voxels."""
    if segment.planes == 1:
        return True
    ratio = segment.step_mm / vz
    steps = round(ratio)
    return 1 <= steps <= 8 and abs(ratio - steps) * segment.planes < WHOLE


def axial_step_mm(bins: Bins) -> float:
    """Return the axial spacing on which every plane of every segment can lie.

    Half the ring spacing on a ring scanner, else the step of the first segment.
    """
    if bins.scanner is not None:
        return bins.scanner.ring_spacing_mm / 2
    return bins.segments[0].step_mm
