"""The Joseph projector along the lines of single events, with or without time of flight."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon.brief import brief
from emrecon.errors import GeometryError
from emrecon.tomo.geometry.events import CHUNK, Events
from emrecon.tomo.kernels import lines
from emrecon.volume import Array, Grid

TABLE_STEPS = 4
"""Entries of the table of time-of-flight weights a voxel; a 16th of a standard deviation at most
in between."""

Views = tuple[Array, Array, Array]


@dataclass(frozen=True, eq=False)
class LineProjector:
    """Line integrals along events, in mm, and the exact adjoint, a chunk of events at a time.

    Joseph's method [1]_ along the axis nearest to a line. With time of flight a sample counts by
    the share of the event's bin [2]_, and only samples within reach of the bin are looked at.
    Across lines the image falls to zero within a voxel of its border, but along the axis of the
    scanner it goes on for a voxel as it ends, as in `JosephProjector`.

    References
    ----------
    .. [1] P. M. Joseph, "An improved algorithm for reprojecting rays through pixel images",
       IEEE Trans. Med. Imaging 1, 192 (1982).
    .. [2] T. Tomitani, "Image reconstruction and noise evaluation in photon time-of-flight
       assisted positron emission tomography", IEEE Trans. Nucl. Sci. 28, 4581 (1981).
    """

    grid: Grid
    """Where the image lies."""

    fov_mm: float = np.inf
    """Only the image within this distance of the axis counts."""

    __repr__ = brief

    def __post_init__(self) -> None:
        shape = np.array(self.grid.shape, np.int64)
        layer = np.prod(shape + lines.RIM) // np.min(shape + lines.RIM)
        if shape.max() > lines.MOST_LAYERS or layer > lines.MOST_IN_LAYER:
            raise GeometryError(
                f"the voxels of a grid of {self.grid.shape} are too many for single lines: "
                f"at most {lines.MOST_LAYERS} along an axis and {lines.MOST_IN_LAYER} in a layer; "
                "choose larger voxels or a smaller grid"
            )

    def views(self, image: Array) -> Views:
        """Return an image as the projector reads it; three times the memory."""
        self._fits(image.shape, self.grid.shape, "image")
        x, y, z = lines.views_of(np.asarray(image, np.float32))
        return x, y, z

    def nothing(self) -> Views:
        """Return the views of an image of zeros, to add to."""
        x, y, z = lines.empty_views(self.grid.shape)
        return x, y, z

    def image(self, views: Views) -> Array:
        """Return the image that views which were added to stand for."""
        return np.asarray(lines.image_of(views), np.float32)

    def trace(self, events: Events) -> Course:
        """Return the course of each event's line through the grid, for a chunk of checked events.

        It serves the forward projection and the adjoint.
        """
        centres, tof = np.zeros(1), np.empty(0, np.int16)
        table, step, half = np.zeros(1, np.float32), 1.0, 0.0
        timing = events.timing
        if timing is not None and events.tof is not None:
            finest = min(min(self.grid.spacing_mm) / TABLE_STEPS, timing.sigma_mm / 16)
            table, step = timing.table(finest)
            centres, half = timing.centres_mm, timing.reach_mm
            tof = np.ascontiguousarray(events.tof, np.int16)
        points = np.ascontiguousarray(events.points_mm, np.float32)
        frame = lines.frame_of(
            self.grid.shape, self.grid.origin_mm, self.grid.spacing_mm, min(self.fov_mm, 1e9)
        )
        pairs = np.ascontiguousarray(events.pairs)
        traced = lines.trace(points, pairs, frame, tof, centres, half, step)
        return Course(len(pairs), frame, traced, table)

    @staticmethod
    def _fits(came: tuple[int, ...], wanted: tuple[int, ...], what: str) -> None:
        if came != wanted:
            raise GeometryError(f"{what} of shape {came} given to a projector that takes {wanted}")


@dataclass(frozen=True, eq=False)
class Course:
    """Where the lines of a chunk of events run; see `LineProjector.trace`."""

    count: int
    """Number of events."""

    frame: Any
    traced: Any
    table: Array

    def forward(self, views: Views) -> Array:
        """Return the line integral of each event, per mm, shape ``(events,)``."""
        out = np.empty(self.count, np.float32)
        lines.forward(views, self.frame, self.traced, self.table, out)
        return out

    def adjoint(self, values: NDArray[np.float32], views: Views) -> None:
        """Add every event's value times its length in each voxel to `views`."""
        lines.adjoint(values, self.frame, self.traced, self.table, views)


@dataclass(frozen=True, eq=False)
class EventProjector:
    """All events as one `Operator`: an image to one line integral an event, and back."""

    lines: LineProjector
    """How lines are integrated."""

    events: Events
    """The events, in their order."""

    __repr__ = brief

    @property
    def domain(self) -> tuple[int, ...]:
        """Shape of the image."""
        return self.lines.grid.shape

    @property
    def range(self) -> tuple[int, ...]:
        """The number of events."""
        return (len(self.events),)

    def forward(self, image: Array) -> Array:
        """Return the line integrals of `image` (per mm), shape ``(events,)``."""
        views = self.lines.views(image)
        out = np.empty(len(self.events), np.float32)
        for begin, chunk in self._parts():
            out[begin : begin + len(chunk)] = self.lines.trace(chunk).forward(views)
        return out

    def adjoint(self, data: Array) -> Array:
        """Return the sum over all events of their value times their length in each voxel."""
        if data.shape != self.range:
            raise GeometryError(f"data of shape {data.shape} for {len(self.events)} events")
        views = self.lines.nothing()
        for begin, chunk in self._parts():
            values = np.ascontiguousarray(data[begin : begin + len(chunk)], np.float32)
            self.lines.trace(chunk).adjoint(values, views)
        return self.lines.image(views)

    def _parts(self) -> Iterator[tuple[int, Events]]:
        """Yield chunks of the events, and where they begin."""
        for begin in range(0, len(self.events), CHUNK):
            chunk = self.events.part(begin, min(begin + CHUNK, len(self.events)))
            chunk.check()
            yield begin, chunk
