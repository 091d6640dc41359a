"""Gates: the stretches of a scan in which the body was in one phase of its motion.

Time is counted in whole ms, the ticks of list-mode: a tick belongs to one gate or to none, so
that no event is in two of them and their durations add up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emrecon.errors import FormatError, GeometryError, SettingsError

Times = NDArray[np.int64]

TIME_TAG = 4
"""The top three bits of a word that tells the time."""

STEP_BACK_MS = 10
"""By how much a time tag may be late, as scanners now and then write it; then time is held."""


@dataclass(frozen=True, eq=False)
class Gate:
    """The stretches of a scan that one image is made of."""

    stretches_ms: Times
    """Start of each stretch and the time before which it ends, in order, shape ``(n, 2)``."""

    def __post_init__(self) -> None:
        edges = self.stretches_ms
        if edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype != np.int64:
            raise GeometryError(
                f"stretches are pairs of whole ms, not {edges.dtype} {edges.shape}"
            )
        if edges.size and (edges.min() < 0 or (np.diff(edges.ravel()) < 0).any()):
            raise GeometryError("the stretches of a gate follow one another, from 0 s on")

    @property
    def duration_s(self) -> float:
        """Time of all stretches together."""
        return float((self.stretches_ms[:, 1] - self.stretches_ms[:, 0]).sum()) / 1000.0

    def holds(self, times_ms: ArrayLike) -> NDArray[np.bool_]:
        """Return which of these times lie in the gate."""
        starts, ends = np.ascontiguousarray(self.stretches_ms.T)
        if not starts.size:
            return np.zeros(np.shape(times_ms), np.bool_)
        after = np.searchsorted(starts, times_ms, side="right") - 1
        return np.asarray((after >= 0) & (times_ms < ends[after]), np.bool_)

    def overlap_ms(self, start_ms: float, stop_ms: float) -> float:
        """Return how much of the time from one to another is in the gate."""
        starts, ends = self.stretches_ms.T
        within = np.minimum(ends, stop_ms) - np.maximum(starts, start_ms)
        return float(np.maximum(within, 0).sum())

    def decay_factor(self, half_life_s: float) -> float:
        """Return the activity at the start of the scan over its mean during the gate."""
        rate = math.log(2) / (1000.0 * half_life_s)
        left = np.exp(-rate * self.stretches_ms)
        gone = float((left[:, 0] - left[:, 1]).sum())
        return 1000.0 * self.duration_s * rate / gone if gone else 1.0


When = tuple[float, float] | Gate
"""What of a scan to take: from one time to another, in s, or the stretches of a gate."""


def phase_gates(triggers_ms: Times, gates: int) -> tuple[Gate, ...]:
    """Split the time from each trigger to the next into equal parts, a gate each.

    Before the first trigger and after the last one the phase is not known: that time is in no
    gate.

    Raises
    ------
    SettingsError
        If there are less than two triggers, or cycles are too short for so many gates.
    """
    if gates < 1:
        raise SettingsError(f"a cycle has 1 gate or more, not {gates}")
    if len(triggers_ms) < 2:
        raise SettingsError(
            f"{len(triggers_ms)} triggers make no cycle: two or more are needed for gates"
        )
    start, end = triggers_ms[:-1, None], triggers_ms[1:, None]
    if np.median(end - start) < gates:
        raise SettingsError(
            f"cycles of {np.median(end - start):g} ms are too short for {gates} gates of 1 ms"
        )
    edges = np.rint(start + (end - start) * (np.arange(gates + 1) / gates)).astype(np.int64)
    return tuple(Gate(_lasting(edges[:, gate : gate + 2])) for gate in range(gates))


def gates_of_intervals(
    start_s: ArrayLike, duration_s: ArrayLike, gate: ArrayLike
) -> tuple[Gate, ...]:
    """Return gates from stretches that each belong to one, numbered from 1.

    Raises
    ------
    SettingsError
        If stretches overlap or have no length, or a gate has none.
    """
    times = np.column_stack([np.asarray(start_s, float), np.asarray(duration_s, float)])
    numbers = np.asarray(gate, np.int64)
    if not (np.isfinite(times).all() and (times[:, 0] >= 0).all() and (times[:, 1] > 0).all()):
        raise SettingsError("stretches of gates start at 0 s or later, and last longer than 0 s")
    order = np.argsort(times[:, 0], kind="stable")
    edges = np.rint(1000 * np.cumsum(times, axis=1)).astype(np.int64)[order]
    if (edges[1:, 0] < edges[:-1, 1]).any():
        late = int(np.argmax(edges[1:, 0] < edges[:-1, 1]))
        raise SettingsError(
            f"the stretch of a gate at {edges[late + 1, 0] / 1000:g} s starts before the one at "
            f"{edges[late, 0] / 1000:g} s ends: an event is in one gate alone"
        )
    count = int(numbers.max(initial=0))
    missing = set(range(1, count + 1)) - set(numbers.tolist())
    if not count or numbers.min() < 1 or missing:
        raise SettingsError("gates are numbered 1, 2, ..., each with a stretch or more")
    return tuple(Gate(_lasting(edges[numbers[order] == n])) for n in range(1, count + 1))


class GatedWords:
    """Takes the words of one gate, and the time tags there, out of a stream of list-mode words.

    An event belongs to the last time tag before it.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._clock = Clock()

    def take(self, words: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Return those of the next words that lie in the gate."""
        times, counts = self._clock.stretches(words)
        return words[np.repeat(self._gate.holds(times), counts)]


class Clock:
    """Tells the time of each word of a stream of list-mode words; held where it steps back."""

    def __init__(self) -> None:
        self._now = 0

    def stretches(self, words: NDArray[np.uint32]) -> tuple[Times, NDArray[np.intp]]:
        """Return times in ms, and how many of the next words belong to each.

        Raises
        ------
        FormatError
            If time runs backwards.
        """
        at = np.flatnonzero(words >> np.uint32(29) == TIME_TAG)
        stamps = (words[at] & np.uint32(0x1FFFFFFF)).astype(np.int64)
        times = np.concatenate([[self._now], stamps])
        held = np.maximum.accumulate(times)
        late = held - times > STEP_BACK_MS
        backwards = np.count_nonzero(late[1:] & ~late[:-1])
        if backwards:
            raise FormatError(
                f"time runs backwards {backwards} times: the file is damaged, or several were "
                "joined; give them one by one"
            )
        self._now = int(held[-1])
        return held, np.diff(np.concatenate([[0], at, [len(words)]]))


def _lasting(edges: Times) -> Times:
    """Return stretches without those of no length."""
    return np.ascontiguousarray(edges[edges[:, 1] > edges[:, 0]])
