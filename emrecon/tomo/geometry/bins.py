"""Where counts lie: views, tangential bins, and the axial planes of every segment.

A line of response is ``x cos(phi) + y sin(phi) = s`` in the transaxial plane. Along the axis it
has the mid-point ``z`` of its plane and climbs by its segment's tilt between its two ends.
Parallel-beam slices are one segment without tilt on a ring of infinite radius.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emrecon.brief import brief
from emrecon.errors import GeometryError
from emrecon.tomo.geometry.energy import EnergyWindow
from emrecon.tomo.geometry.segments import Segment, ring_difference_ranges
from emrecon.tomo.geometry.tof import Timing
from emrecon.volume import Grid

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Bins:
    """The layout of ``data[view, bin, plane]``, or ``[tof, view, bin, plane]`` with timing.

    Examples
    --------
    >>> import numpy as np
    >>> Bins.parallel(np.arange(60) * np.pi / 60, np.arange(-20, 21) * 2.0).shape
    (60, 41, 1)
    """

    phi_rad: Floats
    """Azimuth of each view, shape ``(views,)``."""

    s_mm: Floats
    """Signed distance of each bin from the axis, increasing, shape ``(bins,)``."""

    segments: tuple[Segment, ...]
    """Segments in the order of their planes: 0, +1, -1, +2, -2, ..."""

    radius_mm: float = np.inf
    """Effective radius of the ring; infinite for parallel beams."""

    scanner: Scanner | None = None
    """The scanner these bins belong to, where there is one."""

    arc_corrected: bool = True
    """Whether bins are equally spaced in mm."""

    timing: Timing | None = None
    """Time-of-flight bins, where counts are sorted into some."""

    __repr__ = brief

    def __post_init__(self) -> None:
        if self.phi_rad.ndim != 1 or self.s_mm.ndim != 1 or not self.segments:
            raise GeometryError("bins need views, tangential positions and segments")
        if np.any(np.diff(self.s_mm) <= 0):
            raise GeometryError("tangential positions must increase")
        if np.isinf(self.radius_mm) and any(segment.tilt_mm for segment in self.segments):
            raise GeometryError("tilted segments need a ring of finite radius")
        if np.isinf(self.radius_mm) and self.timing is not None:
            raise GeometryError("time of flight needs a ring of finite radius")

    @classmethod
    def parallel(
        cls, angles_rad: Floats, s_mm: Floats, slices: int = 1, slice_mm: float = 1.0
    ) -> Bins:
        """Return parallel-beam bins: any angles, any increasing `s_mm`, slices side by side."""
        flat = Segment(slices, -(slices - 1) / 2 * slice_mm, slice_mm)
        return cls(np.asarray(angles_rad, float), np.asarray(s_mm, float), (flat,))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of views, bins, and planes of all segments."""
        return self.phi_rad.size, self.s_mm.size, self.planes

    @property
    def data_shape(self) -> tuple[int, ...]:
        """Shape of the counts: `shape`, with the time-of-flight bins in front if there are any."""
        return self.shape if self.timing is None else (self.timing.bins, *self.shape)

    @property
    def untimed(self) -> Bins:
        """The same lines without time of flight."""
        return replace(self, timing=None)

    def timed(self, timing: Timing | None) -> Bins:
        """Return the same lines with these time-of-flight bins."""
        return replace(self, timing=timing)

    @property
    def planes(self) -> int:
        """Number of planes of all segments."""
        return sum(segment.planes for segment in self.segments)

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Index of each segment's first plane, shape ``(segments,)``."""
        planes = [segment.planes for segment in self.segments]
        return np.concatenate([[0], np.cumsum(planes)[:-1]]).astype(np.int64)

    @property
    def plane_z_mm(self) -> Floats:
        """Axial mid-point of every plane, shape ``(planes,)``."""
        return np.concatenate(
            [seg.first_mm + seg.step_mm * np.arange(seg.planes) for seg in self.segments]
        )

    @property
    def plane_tilt_mm(self) -> Floats:
        """Climb ``z2 - z1`` of every plane's lines, shape ``(planes,)``."""
        return np.concatenate([np.full(seg.planes, seg.tilt_mm) for seg in self.segments])

    @property
    def half_chord_mm(self) -> Floats:
        """Distance ``l`` from the middle of a line to its ends, shape ``(bins,)``.

        It is 0 for a bin beyond the ring, which sees nothing.
        """
        return np.sqrt(np.maximum(self.radius_mm**2 - self.s_mm**2, 0.0))

    @property
    def bin_mm(self) -> float:
        """Size of the central bin."""
        if self.s_mm.size == 1:
            return 1.0
        middle = int(np.argmin(np.abs(self.s_mm)))
        at = min(max(middle, 1), self.s_mm.size - 1)
        return float(self.s_mm[at] - self.s_mm[at - 1])

    @property
    def fov_mm(self) -> float:
        """The radius of the cylinder that every view sees."""
        edge = min(-self.s_mm[0], self.s_mm[-1]) + self.bin_mm / 2
        return float(min(edge, self.radius_mm))

    def subset(self, number: int, subsets: int) -> Bins:
        """Return every `subsets`-th view, starting with view `number`."""
        return self.of_views(np.arange(number, self.phi_rad.size, subsets))

    def of_views(self, views: NDArray[np.intp]) -> Bins:
        """Return some of the views, in the order given."""
        return replace(self, phi_rad=self.phi_rad[views])

    def difference(self, other: Bins) -> str:
        """Return in words where `other` lies differently; empty where it does not.

        `other` may be without time of flight.
        """
        if self.shape != other.shape:
            return f"(views, bins, planes) are {other.shape}, wanted {self.shape}"
        turned = np.abs(np.exp(1j * self.phi_rad) - np.exp(1j * other.phi_rad)).max()
        if turned > 1e-4:
            return f"views are up to {np.rad2deg(turned):.3g} degrees apart"
        moved = np.abs(self.s_mm - other.s_mm).max()
        if moved > 1e-3 * self.bin_mm:
            return f"bins are up to {moved:.3g} mm apart"
        for mine, theirs in zip(self.segments, other.segments, strict=True):
            ends = np.subtract(mine.place_mm, theirs.place_mm)
            if np.abs(ends).max() > 1e-2:
                return f"planes lie elsewhere: {theirs}, wanted {mine}"
        words = ""
        if not np.isclose(self.radius_mm, other.radius_mm, atol=1e-2):
            words = (
                f"the ring's radius is {other.radius_mm:.2f} mm, wanted {self.radius_mm:.2f} mm"
            )
        elif other.timing is not None and not other.timing.like(self.timing):
            words = f"time-of-flight bins are {other.timing}, wanted {self.timing}"
        return words

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
            Voxel size; by default the central bin size in the plane and the distance between
            the direct planes (half the ring spacing on a ring scanner) along the axis.
        shape : tuple of int, optional
            Number of voxels; by default what covers the tangential and axial extent.
        centre_mm : tuple of float, optional
            Middle of the grid; by default the middle of the scanner.
        """
        flat = self.segments[0]
        axial = flat.step_mm
        if self.scanner is not None:
            axial = self.scanner.ring_spacing_mm / 2
        default = (self.bin_mm, self.bin_mm, axial)
        spacing = default if voxel_mm is None else voxel_mm
        if shape is None:
            width = self.s_mm.size * self.bin_mm if self.arc_corrected else 2 * self.fov_mm
            if self.scanner is None:
                length = flat.planes * flat.step_mm
            else:
                length = (2 * self.scanner.rings - 1) * axial
            i, j, k = (
                max(1, round(extent / size))
                for extent, size in zip((width, width, length), spacing, strict=True)
            )
            shape = (i, j, k)
        if centre_mm is None:
            centre_mm = (0.0, 0.0, flat.first_mm + flat.step_mm * (flat.planes - 1) / 2)
        corner = Grid.centred(shape, spacing).origin_mm
        x, y, z = (c + m for c, m in zip(corner, centre_mm, strict=True))
        return Grid(shape, spacing, (x, y, z))


@dataclass(frozen=True)
class Scanner:
    """A cylinder of equally spaced crystals.

    Figures are those that decide where lines of response lie; see `presets` for
    real scanners.

    Examples
    --------
    >>> Scanner("one ring", 1, 200, 20.0, 400.0, 7.0, 4.0, 99).crystals
    200
    """

    name: str
    """Model name, as written to file headers."""

    rings: int
    """Number of crystal rings along the axis."""

    crystals: int
    """Number of crystals in a ring, gaps between blocks counted where they stand for crystals."""

    ring_spacing_mm: float
    """Distance between the middles of neighbouring rings."""

    radius_mm: float
    """Distance from the axis to the crystal faces."""

    doi_mm: float
    """Mean depth of interaction behind the crystal face."""

    bin_mm: float
    """Default size of an arc-corrected bin at the centre."""

    max_bins: int
    """Most tangential positions, not arc-corrected."""

    block_crystals: tuple[int, int] = (1, 1)
    """Crystals in a detector block: around the ring, along the axis."""

    view_offset_deg: float = 0.0
    """Azimuth of the first view of unmashed data."""

    timing: Timing | None = None
    """Time-of-flight bins as the scanner usually sorts into them, where it measures it."""

    energy: EnergyWindow | None = None
    """Energies that it usually counts, and how well it measures them, where that is known."""

    def __post_init__(self) -> None:
        numbers = (self.rings, self.crystals, self.max_bins, self.radius_mm, self.bin_mm)
        if min(numbers) <= 0 or self.ring_spacing_mm <= 0 or self.doi_mm < 0:
            raise GeometryError(f"scanner {self.name}: counts and lengths must be above zero")
        if self.crystals % 2:
            raise GeometryError(f"scanner {self.name}: {self.crystals} crystals, an odd number")

    @property
    def effective_radius_mm(self) -> float:
        """Distance from the axis to where photons are taken to interact."""
        return self.radius_mm + self.doi_mm

    def bins(
        self,
        *,
        span: int = 1,
        max_ring_difference: int | None = None,
        views: int | None = None,
        count: int | None = None,
        arc_corrected: bool = False,
    ) -> Bins:
        """Return the sinogram bins of this scanner.

        Parameters
        ----------
        span : int, optional
            Axial compression, odd: ring differences that share a segment.
        max_ring_difference : int, optional
            Largest ring difference in coincidence; all rings by default.
        views : int, optional
            Number of views; half the crystals (no mashing) by default.
        count : int, optional
            Number of tangential positions; `max_bins` by default.
        arc_corrected : bool, optional
            Whether bins are equally spaced in mm (`bin_mm`) instead of in angle.

        Raises
        ------
        GeometryError
            If span, ring difference, views or count do not fit the scanner.
        """
        most = self.rings - 1 if max_ring_difference is None else max_ring_difference
        ranges = ring_difference_ranges(self.rings, span, most)
        return self.bins_of(ranges, views=views, count=count, arc_corrected=arc_corrected)

    def bins_of(
        self,
        ranges: list[tuple[int, int]],
        *,
        views: int | None = None,
        count: int | None = None,
        arc_corrected: bool = False,
        bin_mm: float | None = None,
    ) -> Bins:
        """Return the bins of segments with these (least, greatest) ring differences."""
        views = self.crystals // 2 if views is None else views
        count = self.max_bins if count is None else count
        if views < 1 or (self.crystals // 2) % views:
            raise GeometryError(
                f"{views} views do not divide the {self.crystals // 2} of {self.name}"
            )
        if count < 1 or (not arc_corrected and count > self.crystals):
            raise GeometryError(f"{count} bins do not fit {self.crystals} crystals a ring")
        mash = self.crystals // 2 // views
        step = np.pi / views
        first = np.deg2rad(self.view_offset_deg) + np.pi / self.crystals * (mash - 1)
        # The middle bin is the one that Interfile counts as 0 once its axis is turned to ours.
        index = np.arange(count) - (count - 1 - count // 2)
        if arc_corrected:
            s_mm = index * (self.bin_mm if bin_mm is None else bin_mm)
        else:
            s_mm = self.effective_radius_mm * np.sin(index * np.pi / self.crystals)
        segments = tuple(self.segment(least, greatest) for least, greatest in ranges)
        return Bins(
            phi_rad=first + step * np.arange(views),
            s_mm=s_mm.astype(np.float64),
            segments=segments,
            radius_mm=self.effective_radius_mm,
            scanner=self,
            arc_corrected=arc_corrected,
        )

    def segment(self, least: int, greatest: int) -> Segment:
        """Return the planes of the ring differences from `least` to `greatest`."""
        if least > greatest or max(abs(least), abs(greatest)) >= self.rings:
            raise GeometryError(
                f"ring differences {least} to {greatest} do not exist on {self.rings} rings"
            )
        nearest = 0 if least <= 0 <= greatest else min(abs(least), abs(greatest))
        if least == greatest:
            planes, step = self.rings - nearest, self.ring_spacing_mm
        else:
            planes, step = 2 * (self.rings - nearest) - 1, self.ring_spacing_mm / 2
        return Segment(
            planes=planes,
            first_mm=-(planes - 1) / 2 * step,
            step_mm=step,
            tilt_mm=(least + greatest) / 2 * self.ring_spacing_mm,
            ring_differences=(least, greatest),
        )
