"""Counting a stream of list-mode words into sinograms, a block at a time."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emrecon.brief import brief
from emrecon.errors import FormatError, GeometryError
from emrecon.tomo.gates import STEP_BACK_MS, Gate, GatedWords, When
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.detectors import planes_of_rings, scanner_of
from emrecon.volume import Array

if TYPE_CHECKING:
    from emrecon.tomo.geometry.detectors import Indices

log = logging.getLogger(__name__)

Counts = NDArray[np.int64]

EVERYTHING = (0.0, float(2**29))
"""A time window, in s, that no scan is longer than."""


@dataclass(frozen=True, eq=False)
class ListmodeSinograms:
    """What a list-mode file holds, counted.

    A bin's counts are the sum over its ring pairs and mashed views.
    """

    bins: Bins
    """Where the counts lie."""

    prompts: Array
    """Prompt coincidences, shape of `bins`."""

    delayeds: Array | None
    """Delayed coincidences, shape of `bins`; None where only their sum was wanted."""

    delayed_sum: int
    """Delayed coincidences in all of `bins`."""

    prompt_fans: Counts
    """Prompts that each detector took part in, shape ``(rings, crystals)``; every ring difference
    of the file."""

    delayed_fans: Counts
    """Delayeds that each detector took part in, likewise."""

    max_ring_difference: int
    """Largest ring difference of the file."""

    prompt_count: int
    """Prompts in the time window, dropped ones included."""

    delayed_count: int
    """Delayeds in the time window, dropped ones included."""

    dropped: int
    """Events of both kinds whose ring difference no segment of `bins` gathers."""

    time_tags: int
    """Time tags in the time window."""

    other_tags: int
    """Tags of any other kind in the time window."""

    duration_s: float
    """Time between the first and the last time tag counted, both included, or that of all tags
    in a gate; 0 without any."""

    __repr__ = brief


class Histogram:
    """Sinograms that grow by one block of words after the other.

    Parameters
    ----------
    bins : Bins
        The bins to count into: raw bins of any span and mashing.
    ring1, ring2 : array
        Rings at end 1 and end 2 of each sinogram of the file, in the file's order.
    window_s : tuple of float or Gate, optional
        Time at which to start, and before which to stop; or a gate.
    tag_ms : int, optional
        Time between two time tags.
    keep_delayeds : bool, optional
        Whether delayeds are counted bin by bin; else only their sum is.
    """

    def __init__(
        self,
        bins: Bins,
        ring1: Indices,
        ring2: Indices,
        window_s: When = EVERYTHING,
        *,
        tag_ms: int = 1,
        keep_delayeds: bool = True,
    ) -> None:
        from emrecon.tomo.kernels import histogram  # noqa: PLC0415 - numba only when needed

        self._kernel = histogram
        self._bins = bins
        self._rings = ring1, ring2, planes_of_rings(bins)[ring1, ring2]
        self._part = PartOfStream(window_s, tag_ms)
        scanner = scanner_of(bins)
        self._crystals = scanner.crystals
        self._delayeds = np.zeros(bins.shape if keep_delayeds else (0, 0, 0), np.float32)
        self._prompts = np.zeros(bins.shape, np.float32)
        self._fans = np.zeros((2, scanner.crystals, scanner.rings), np.int64)
        self._state = np.zeros(histogram.STATE, np.int64)

    @property
    def finished(self) -> bool:
        """Whether the end of the time window was passed."""
        return bool(self._state[self._kernel.FINISHED])

    def add(self, words: NDArray[np.uint32]) -> None:
        """Count the events among `words`."""
        self._kernel.count_words(
            self._part.of(words),
            self._part.window_ms,
            *self._rings,
            self._crystals,
            self._delayeds,
            self._prompts,
            self._fans,
            self._state,
        )

    def sinograms(self) -> ListmodeSinograms:
        """Return what was counted.

        Raises
        ------
        FormatError
            If words did not fit the file's own description.
        """
        kernel, state = self._kernel, self._state
        refuse_nonsense(state, self._part.window_ms)
        delayeds, prompts = (int(kind.sum()) // 2 for kind in self._fans)  # two ends an event
        return ListmodeSinograms(
            bins=self._bins,
            prompts=self._prompts,
            delayeds=self._delayeds if self._delayeds.size else None,
            delayed_sum=int(state[kernel.DELAYEDS]),
            prompt_fans=np.ascontiguousarray(self._fans[1].T),
            delayed_fans=np.ascontiguousarray(self._fans[0].T),
            max_ring_difference=int(np.abs(self._rings[1] - self._rings[0]).max()),
            prompt_count=prompts,
            delayed_count=delayeds,
            dropped=int(state[kernel.DROPPED]),
            time_tags=int(state[kernel.TIME_TAGS]),
            other_tags=int(state[kernel.OTHER_TAGS]),
            duration_s=self._part.duration_s(state),
        )


class PartOfStream:
    """What of a stream of list-mode words is wanted.

    Parameters
    ----------
    when : tuple of float or Gate
        Time at which to start, and before which to stop, in s; or a gate.
    tag_ms : int
        Time between two time tags.
    """

    def __init__(self, when: When, tag_ms: int) -> None:
        gate = when if isinstance(when, Gate) else None
        self._gated = None if gate is None else GatedWords(gate)
        self._tag_ms = tag_ms
        self.window_ms = window_in_ms(EVERYTHING if isinstance(when, Gate) else when)
        """Time at which to start counting, and before which to stop."""

    def of(self, words: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Return the next words without those that are in no stretch of the gate."""
        return words if self._gated is None else self._gated.take(words)

    def duration_s(self, state: Counts) -> float:
        """Return the time that was counted, by the state of the kernels."""
        from emrecon.tomo.kernels import histogram  # noqa: PLC0415 - numba only when needed

        tags = int(state[histogram.TIME_TAGS])
        between = int(state[histogram.LAST] - state[histogram.FIRST]) + self._tag_ms
        counted_ms = between if self._gated is None else tags * self._tag_ms
        return counted_ms / 1000.0 if tags else 0.0


def refuse_nonsense(state: Counts, window_ms: NDArray[np.int64]) -> None:
    """Refuse words that the file's own header rules out, by the state of the kernels.

    Time that steps back by a few ms is warned of.

    Raises
    ------
    FormatError
        If addresses are beyond the sinograms, time runs backwards, or the window holds no time.
    """
    from emrecon.tomo.kernels import histogram  # noqa: PLC0415 - numba only when needed

    outside = int(state[histogram.OUT_OF_RANGE])
    if outside:
        raise FormatError(
            f"{outside} events have a bin address beyond the sinograms that the header "
            "describes: header and data do not belong together, or the file is damaged"
        )
    backwards = int(state[histogram.BACKWARDS])
    if backwards:
        raise FormatError(
            f"time runs backwards {backwards} times: the file is damaged, or several were "
            "joined; give them one by one"
        )
    if steps := int(state[histogram.STEPS_BACK]):
        log.warning("%d time tags step back by %d ms or less: time is held", steps, STEP_BACK_MS)
    now_s, (start_s, stop_s) = state[histogram.NOW] / 1000, window_ms / 1000
    if state[histogram.FINISHED] and not state[histogram.TIME_TAGS]:
        raise FormatError(
            f"the file tells no time from {start_s:g} to {stop_s:g} s: its time goes on at "
            f"{now_s:g} s; times count from 0 of its own clock"
        )
    if window_ms[0] > state[histogram.NOW]:
        raise FormatError(
            f"the file ends at {now_s:g} s, before the time window starts at {start_s:g} s"
        )


def window_in_ms(window_s: tuple[float, float]) -> NDArray[np.int64]:
    """Return a time window in whole ms, refusing one that no scan can have."""
    if not 0 <= window_s[0] < window_s[1]:
        raise GeometryError(
            f"a time window starts at 0 s or later and ends after its start, not {window_s}"
        )
    return np.rint(np.minimum(window_s, 1e12) * 1000.0).astype(np.int64)
