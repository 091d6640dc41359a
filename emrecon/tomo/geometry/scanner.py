"""Ring PET scanners: crystals on a cylinder, and the bins their coincidences fall into."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emrecon.errors import GeometryError
from emrecon.tomo.geometry.bins import Bins, Segment
from emrecon.tomo.geometry.tof import Timing


@dataclass(frozen=True)
class Scanner:
    """A cylinder of equally spaced crystals.

    Figures are those that decide where lines of response lie; see `presets` for
    real scanners.
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


def ring_difference_ranges(rings: int, span: int, most: int) -> list[tuple[int, int]]:
    """Return (least, greatest) ring difference of segments 0, +1, -1, +2, ... up to `most`.

    The outermost segments are cut at `most` where the span does not fit.
    """
    if span < 1 or span % 2 == 0:
        raise GeometryError(f"a span is odd and above zero, not {span}")
    if not 0 <= most < rings:
        raise GeometryError(f"a largest ring difference of {most} needs more than {rings} rings")
    half = span // 2
    ranges = [(-min(half, most), min(half, most))]
    for least in range(half + 1, most + 1, span):
        greatest = min(least + span - 1, most)
        ranges += [(least, greatest), (-greatest, -least)]
    return ranges
