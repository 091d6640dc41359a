"""Where a gamma camera's counts lie: views, each with an angle and a distance, and a flat image.

A camera at angle theta has its normal along ``(cos(theta), sin(theta))`` in the transaxial plane,
from the axis to the detector, and looks inward from `radius_mm` away. ``u`` increases along
``(-sin(theta), cos(theta))``, ``z`` along the axis. Several heads, and orbits that are no circle,
are nothing but arrays of angles and radii.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emrecon.brief import brief
from emrecon.errors import GeometryError
from emrecon.volume import SIZES_MM, Grid

Floats = NDArray[np.float64]

EVEN = 1e-3
"""How far bins may stray from even spacing, as a share of a bin."""


@dataclass(frozen=True, eq=False)
class Camera:
    """The layout of a parallel-hole camera's projections ``data[view, u, z]``.

    Examples
    --------
    >>> import numpy as np
    >>> theta, cells = np.arange(60) * np.pi / 30, (np.arange(32) - 15.5) * 4.8
    >>> Camera(theta, np.full(60, 250.0), cells, cells).shape
    (60, 32, 32)
    """

    theta_rad: Floats
    """Angle of the detector's normal in each view, shape ``(views,)``."""

    radius_mm: Floats
    """Distance from the axis to the face of the collimator in each view, shape ``(views,)``."""

    u_mm: Floats
    """Transaxial place of each bin, increasing and evenly spaced, shape ``(bins,)``."""

    z_mm: Floats
    """Axial place of each plane, increasing and evenly spaced, shape ``(planes,)``."""

    __repr__ = brief

    def __post_init__(self) -> None:
        for name in ("theta_rad", "radius_mm", "u_mm", "z_mm"):
            values = np.array(getattr(self, name), np.float64)
            if values.ndim != 1 or not values.size or not np.all(np.isfinite(values)):
                raise GeometryError(f"a camera's {name} is a row of numbers, not {values}")
            values.flags.writeable = False
            object.__setattr__(self, name, values)
        if self.theta_rad.shape != self.radius_mm.shape:
            raise GeometryError(
                f"{self.radius_mm.size} radii given for {self.theta_rad.size} views: "
                "each view needs one"
            )
        _check_sizes("a radius", self.radius_mm.min(), self.radius_mm.max())
        for name in ("u_mm", "z_mm"):
            steps = np.diff(getattr(self, name))
            if steps.size and not (
                steps.min() > 0 and np.ptp(steps) <= EVEN * steps.min() * steps.size
            ):
                raise GeometryError(f"a camera's {name} must increase in even steps")
            _check_sizes("a bin", _step(getattr(self, name)))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of views, bins and planes."""
        return self.theta_rad.size, self.u_mm.size, self.z_mm.size

    @property
    def planes(self) -> int:
        """Number of planes."""
        return self.z_mm.size

    @property
    def bin_mm(self) -> float:
        """Size of a bin across the axis."""
        return _step(self.u_mm)

    @property
    def plane_mm(self) -> float:
        """Size of a bin along the axis."""
        return _step(self.z_mm, self.bin_mm)

    @property
    def plane_z_mm(self) -> Floats:
        """Axial place of every plane, as a ring scanner's bins call it."""
        return self.z_mm

    @property
    def fov_mm(self) -> float:
        """The radius of the cylinder that every view sees; the orbit may cut it off."""
        edge = min(-self.u_mm[0], self.u_mm[-1]) + self.bin_mm / 2
        if not edge >= SIZES_MM[0]:
            raise GeometryError("no view sees the axis: bins must lie on both of its sides")
        return float(min(edge, self.radius_mm.max()))

    def grid(
        self,
        voxel_mm: tuple[float, float, float] | None = None,
        shape: tuple[int, int, int] | None = None,
        centre_mm: tuple[float, float, float] | None = None,
    ) -> Grid:
        """Return an image grid that covers the field of view.

        Parameters
        ----------
        voxel_mm : tuple of float, optional
            Voxel size; by default a bin across and a plane along the axis.
        shape : tuple of int, optional
            Number of voxels; by default what covers all bins and planes.
        centre_mm : tuple of float, optional
            Middle of the grid; by default on the axis, in the middle of the planes.
        """
        spacing = (self.bin_mm, self.bin_mm, self.plane_mm) if voxel_mm is None else voxel_mm
        if shape is None:
            width = self.u_mm.size * self.bin_mm
            extents = (width, width, self.planes * self.plane_mm)
            i, j, k = (max(1, round(e / v)) for e, v in zip(extents, spacing, strict=True))
            shape = (i, j, k)
        if centre_mm is None:
            centre_mm = (0.0, 0.0, float(self.z_mm[0] + self.z_mm[-1]) / 2)
        corner = Grid.centred(shape, spacing).origin_mm
        x, y, z = (c + m for c, m in zip(corner, centre_mm, strict=True))
        return Grid(shape, spacing, (x, y, z))

    def subset(self, number: int, subsets: int) -> Camera:
        """Return every `subsets`-th view, starting with view `number`."""
        return self.of_views(np.arange(number, self.theta_rad.size, subsets))

    def of_views(self, views: NDArray[np.intp]) -> Camera:
        """Return some of the views, in the order given."""
        return Camera(self.theta_rad[views], self.radius_mm[views], self.u_mm, self.z_mm)

    def difference(self, other: object) -> str:
        """Return in words where `other` lies differently; empty where it does not."""
        if not isinstance(other, Camera):
            return "they are no projections of a gamma camera"
        if self.shape != other.shape:
            return f"(views, bins, planes) are {other.shape}, wanted {self.shape}"
        turned = np.abs(np.exp(1j * self.theta_rad) - np.exp(1j * other.theta_rad)).max()
        if turned > 1e-4:
            return f"views are up to {np.rad2deg(turned):.3g} degrees apart"
        for name, what in (("radius_mm", "radii"), ("u_mm", "bins"), ("z_mm", "planes")):
            moved = float(np.abs(getattr(self, name) - getattr(other, name)).max())
            if moved > 1e-2:
                return f"{what} are up to {moved:.3g} mm apart"
        return ""


def _check_sizes(what: str, *sizes_mm: float) -> None:
    """Refuse lengths of which the kernels could not count the steps."""
    least, most = SIZES_MM
    for size in sizes_mm:
        if not least <= size <= most:
            raise GeometryError(f"{what} of {size:g} mm: it must be of {least:g} to {most:g} mm")


def _step(places: Floats, alone: float = 1.0) -> float:
    """Return the spacing of even places, or `alone` where there is but one."""
    if places.size == 1:
        return alone
    return float((places[-1] - places[0]) / (places.size - 1))
