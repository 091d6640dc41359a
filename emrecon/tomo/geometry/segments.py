"""Segments: planes of one mean tilt, and the ring differences that they gather."""

from __future__ import annotations

from dataclasses import dataclass

from emrecon.errors import GeometryError


@dataclass(frozen=True)
class Segment:
    """Parallel planes of one mean tilt."""

    planes: int
    """Number of planes."""

    first_mm: float
    """Axial mid-point of the first plane's lines."""

    step_mm: float
    """Distance from one plane to the next."""

    tilt_mm: float = 0.0
    """``z2 - z1`` between the two ends of a line."""

    ring_differences: tuple[int, int] = (0, 0)
    """Least and greatest ring difference that the planes gather."""

    @property
    def place_mm(self) -> tuple[float, float, float]:
        """Where the planes begin and end, and their tilt."""
        return self.first_mm, self.first_mm + self.step_mm * (self.planes - 1), self.tilt_mm


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
