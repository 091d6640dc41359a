"""Interfile PET projections: in which order numbers stand in the file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from numpy.typing import NDArray

from emrecon.errors import FormatError
from emrecon.io.interfile.header import Header

BINS, AXIAL, VIEW, SEGMENT, TIMING = (
    "tangential coordinate",
    "axial coordinate",
    "view",
    "segment",
    "timing positions",
)
"""STIR's names of the axes."""

_BY_VIEW = (BINS, AXIAL, VIEW, SEGMENT)
_BY_SINOGRAM = (BINS, VIEW, AXIAL, SEGMENT)


PIECE = 1 << 20
"""About how many numbers are read at a time: they stay in a cache while they are turned."""


@dataclass(frozen=True)
class Piece:
    """Some views, or some planes, of a segment, which stand together in the file."""

    views: range
    planes: range

    first: int
    """How many numbers of the segment stand before."""

    count: int
    """How many numbers it has."""


@dataclass(frozen=True)
class Layout:
    """Order and sizes of what the data file holds, segment after segment."""

    views: int
    bins: int
    planes: tuple[int, ...]
    """Planes of each segment, in the order of the file."""

    ranges: tuple[tuple[int, int], ...]
    """Least and greatest ring difference of each segment, in the order of the file."""

    by_view: bool
    """Whether the planes of a view stand together, or the views of a plane."""

    timings: int = 0
    """Time-of-flight positions, each holding all segments; 0 without."""

    @property
    def order(self) -> list[int]:
        """Where segments 0, +1, -1, +2, -2, ... stand in the file."""
        return sorted(
            range(len(self.ranges)),
            key=lambda number: (abs(sum(self.ranges[number])), -sum(self.ranges[number])),
        )

    @property
    def count(self) -> int:
        """How many numbers the file holds."""
        return max(self.timings, 1) * self.views * self.bins * sum(self.planes)

    def pieces(self, planes: int) -> Iterator[Piece]:
        """Yield what to read at a time of a segment with so many planes, in the file's order."""
        outer, each = (self.views, planes) if self.by_view else (planes, self.views)
        step = max(1, PIECE // (each * self.bins))
        for begin in range(0, outer, step):
            some, others = range(begin, min(begin + step, outer)), range(each)
            views, chosen = (some, others) if self.by_view else (others, some)
            size = each * self.bins
            yield Piece(views, chosen, begin * size, len(some) * size)

    def by_view_bin_plane(self, values: NDArray[Any], piece: Piece) -> NDArray[Any]:
        """Return the numbers of a piece as a view with axes ``[view, bin, plane]``."""
        views, planes = len(piece.views), len(piece.planes)
        if self.by_view:
            return values.reshape(views, planes, self.bins).transpose(0, 2, 1)
        return values.reshape(planes, views, self.bins).transpose(1, 2, 0)


def layout_of(header: Header) -> Layout:
    """Return the layout that a header describes.

    Raises
    ------
    FormatError
        If axes, sizes or ring differences are missing, unknown or contradict each other.
    """
    dimensions = header.integer("number of dimensions")
    if dimensions not in {4, 5}:
        raise header.refusal("number of dimensions", "4 (5 with time of flight) are")
    axes = tuple(header.text("matrix axis label", n).lower() for n in range(1, dimensions + 1))
    if axes[:4] not in {_BY_VIEW, _BY_SINOGRAM} or axes[4:] not in {(), (TIMING,)}:
        raise FormatError(
            f"{header.path}: axes [1] to [{dimensions}] are {', '.join(axes)}; supported are "
            f"{', '.join(_BY_VIEW)} and {', '.join(_BY_SINOGRAM)}, then {TIMING}"
        )
    size = {axis: n for n, axis in enumerate(axes, 1)}
    planes = header.integers("matrix size", size[AXIAL])
    layout = Layout(
        views=header.integer("matrix size", size[VIEW]),
        bins=header.integer("matrix size", size[BINS]),
        planes=tuple(planes),
        ranges=_ranges(header),
        by_view=axes[:4] == _BY_VIEW,
        timings=header.integer("matrix size", size[TIMING]) if TIMING in size else 0,
    )
    if min(layout.views, layout.bins, *planes, layout.timings if TIMING in size else 1) < 1:
        raise FormatError(f"{header.path}: a 'matrix size' is not above zero")
    segments = header.integer("matrix size", size[SEGMENT])
    if not segments == len(planes) == len(layout.ranges):
        raise FormatError(
            f"{header.path}: {segments} segments, but {len(planes)} numbers of planes and "
            f"{len(layout.ranges)} pairs of ring differences"
        )
    return layout


def _ranges(header: Header) -> tuple[tuple[int, int], ...]:
    least = header.integers("minimum ring difference per segment")
    greatest = header.integers("maximum ring difference per segment")
    if len(least) != len(greatest):
        raise FormatError(
            f"{header.path}: {len(least)} least but {len(greatest)} greatest ring differences"
        )
    ranges = tuple(zip(least, greatest, strict=True))
    if any(low > high for low, high in ranges):
        raise header.refusal(
            "minimum ring difference per segment", "none may exceed its greatest ring difference"
        )
    if not any(low + high == 0 for low, high in ranges):
        raise header.refusal(
            "minimum ring difference per segment", "one segment must have mean ring difference 0"
        )
    for one, other in combinations(sorted(ranges), 2):
        if other[0] <= one[1]:
            raise header.refusal(
                "minimum ring difference per segment",
                f"ring difference {other[0]} stands in two segments",
            )
    return ranges
