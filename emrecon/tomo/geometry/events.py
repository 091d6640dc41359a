"""Coincidences one by one: which two points each joins, and what is known about it.

An event lies on the line from the first point of its pair (end 1) to the second (end 2). The
model of all events is a Poisson process on the detector pairs: pair ``p`` gives ``f_p (A x)_p +
b_p`` counts in the mean, with the efficiency times attenuation ``f`` and the background ``b``
(randoms and scatter, counts in the pair; with time of flight in the bin of the pair). An event
carries ``f`` and ``b`` of its own pair.

The arrays may be memory-mapped: nothing here reads more than it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emrecon.brief import brief
from emrecon.errors import DataError, GeometryError
from emrecon.tomo.geometry.tof import Timing
from emrecon.volume import Array

Data = NDArray[Any]

BLOCK = 4096
"""Most events that stay together when events are shared out among subsets."""

CHUNK = 1 << 20
"""Events looked at in one go."""


@dataclass(frozen=True, eq=False)
class Events:
    """Events in the order of their time."""

    points_mm: Array
    """Where the photons interact: crystal centres (or ends of lines), RAS mm, shape
    ``(points, 3)``."""

    pairs: NDArray[np.unsignedinteger]
    """Points at end 1 and end 2 of each event, shape ``(events, 2)``, any unsigned type."""

    tof: NDArray[np.int16] | None = None
    """Time-of-flight bin of each event, 0 ... bins - 1; needs `timing`."""

    timing: Timing | None = None
    """Time-of-flight bins along the line, positive towards end 2."""

    factors: Array | None = None
    """Efficiency times attenuation of each event's pair; None for 1. At 0 an event takes no
    part."""

    background: Array | None = None
    """Mean randoms and scatter in each event's pair (and time-of-flight bin), counts; None for
    0."""

    background_total: float = 0.0
    """Mean background in all pairs together, those without events too, counts."""

    share: float = 1.0
    """What `background` and its total are multiplied by: the share of the scan's time that these
    events come from."""

    upto: NDArray[np.int64] | None = None
    """Number of events before each tick, shape ``(ticks + 1,)``: what frames are cut by."""

    tick_s: float = 0.0
    """Time between ticks."""

    start_s: float = 0.0
    """Time of the first tick after the start of the scan."""

    duration_s: float = 0.0
    """Time that the events took; 0 where it is not known."""

    __repr__ = brief

    def __post_init__(self) -> None:
        if self.points_mm.ndim != 2 or self.points_mm.shape[1] != 3:
            raise GeometryError(f"points have three coordinates, not {self.points_mm.shape}")
        if self.pairs.ndim != 2 or self.pairs.shape[1] != 2 or self.pairs.dtype.kind != "u":
            raise GeometryError(
                f"pairs are two unsigned numbers an event, not {self.pairs.dtype} of shape "
                f"{self.pairs.shape}"
            )
        for name in ("tof", "factors", "background"):
            data = getattr(self, name)
            if data is not None and data.shape != (len(self.pairs),):
                raise GeometryError(f"{name} of shape {data.shape} for {len(self.pairs)} events")
        if (self.tof is None) != (self.timing is None):
            raise GeometryError("time-of-flight bins need their timing, and timing its bins")
        if self.upto is not None and (self.tick_s <= 0 or self.upto[-1] != len(self.pairs)):
            raise GeometryError("ticks of no length, or that do not end at the last event")

    @classmethod
    def between_ends(cls, end1_mm: ArrayLike, end2_mm: ArrayLike) -> Events:
        """Return events on lines between points of their own, each of shape ``(events, 3)``."""
        ends = np.stack([np.asarray(end, np.float32) for end in (end1_mm, end2_mm)], axis=1)
        pairs = np.arange(2 * len(ends), dtype=np.uint32).reshape(-1, 2)
        return cls(ends.reshape(-1, 3), pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def with_(self, **parts: Any) -> Events:  # noqa: ANN401 - any field
        """Return the same events with some parts replaced."""
        return replace(self, **parts)

    def part(self, begin: int, end: int) -> Events:
        """Return the events `begin` ... `end` - 1 in time; ticks are left behind."""
        return self._taken(lambda data: data[begin:end])

    def between(self, start_s: float, stop_s: float) -> Events:
        """Return the events of a stretch of time: a frame.

        The background keeps its rate. The ends fall on ticks, the nearest ones.

        Raises
        ------
        DataError
            If the events have no times, or the stretch is not within them.
        """
        if self.upto is None:
            raise DataError("these events have no times: they cannot be cut into frames")
        ticks = len(self.upto) - 1
        first, last = (round((t - self.start_s) / self.tick_s) for t in (start_s, stop_s))
        if not 0 <= first < last <= ticks:
            raise DataError(
                f"a frame from {start_s:g} to {stop_s:g} s is not within the events, which run "
                f"from {self.start_s:g} to {self.start_s + ticks * self.tick_s:g} s"
            )
        begin, end = int(self.upto[first]), int(self.upto[last])
        return replace(
            self.part(begin, end),
            upto=self.upto[first : last + 1] - begin,
            tick_s=self.tick_s,
            start_s=self.start_s + first * self.tick_s,
            duration_s=(last - first) * self.tick_s,
            share=self.share * (last - first) / ticks,
        )

    def subset(
        self, number: int, subsets: int, at_once: int = CHUNK, chunk: tuple[int, int] = (0, 1)
    ) -> Iterator[Events]:
        """Yield the events of one subset, in memory, about `at_once` at a time.

        Blocks of neighbouring events are dealt out in turn, so that every subset sees all of the
        scan and files are read in long stretches. The blocks of a subset are dealt out once more
        where it is split in chunks.

        Parameters
        ----------
        number, subsets : int
            Which subset, of how many.
        at_once : int, optional
            Events in memory at a time.
        chunk : tuple of int, optional
            Which chunk of the subset, of how many.

        Raises
        ------
        DataError
            If an event names a point or a time-of-flight bin that does not exist.
        """
        block = self.block(subsets)
        begins = np.arange(number * block, len(self), subsets * block)[chunk[0] :: chunk[1]]
        together = max(1, at_once // block)
        for at in range(0, len(begins), together):
            some = begins[at : at + together]
            if subsets * chunk[1] == 1:
                piece = self.part(int(some[0]), int(some[-1]) + block)
            else:
                piece = self._taken(partial(_blocks, begins=some, block=block))
            piece.check()
            yield piece

    def block(self, subsets: int) -> int:
        """Return how many events stay together when they are shared out among subsets.

        Of the sizes from a half to all of what is taken at most, that with which subsets are most
        alike: each scales the image as its own number of events says.
        """
        most = max(1, min(BLOCK, len(self) // (64 * subsets)))
        sizes = np.arange(most, most // 2, -1)
        left = len(self) % (sizes * subsets)  # in a last, unfinished round
        unlike = np.where(left <= sizes, left, sizes)
        unlike = np.where(left > sizes * (subsets - 1), sizes * subsets - left, unlike)
        return int(sizes[np.argmin(unlike)])

    def check(self) -> None:
        """Refuse events that name points or bins that do not exist, or factors that cannot be.

        Raises
        ------
        DataError
            If there is such an event. All events are read.
        """
        if not len(self):
            return
        highest = int(self.pairs.max())
        if highest >= len(self.points_mm):
            raise DataError(
                f"an event names detector {highest}, but there are {len(self.points_mm)}: the "
                "events belong to another scanner, or are damaged"
            )
        if self.tof is not None and self.timing is not None:
            low, high = int(self.tof.min()), int(self.tof.max())
            if low < 0 or high >= self.timing.bins:
                raise DataError(
                    f"time-of-flight bins run from {low} to {high}, but there are "
                    f"{self.timing.bins}, from 0 on"
                )
        for name in ("factors", "background"):
            data = getattr(self, name)
            if data is not None and not (data.min() >= 0 and np.isfinite(data.max())):
                raise DataError(f"{name} of some events are negative, infinite or NaN")

    def _taken(self, take: Callable[[Data], Data]) -> Events:
        """Return the events that `take` chooses of every array."""
        names = ("pairs", "tof", "factors", "background")
        arrays = {name: getattr(self, name) for name in names}
        taken: dict[str, Any] = {
            name: None if data is None else take(data) for name, data in arrays.items()
        }
        return replace(self, **taken, upto=None, tick_s=0.0)


def _blocks(data: Data, begins: NDArray[np.int64], block: int) -> Data:
    """Return some blocks of an array, one after the other."""
    return np.concatenate([data[begin : begin + block] for begin in begins])
