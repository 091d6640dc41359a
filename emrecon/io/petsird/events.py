"""PETSIRD list-mode to events: one pass over the file, and what is known about each pair."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import repeat, tee
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import FormatError, SettingsError
from emrecon.io.event_store import EventStore, building
from emrecon.io.petsird.deadtime import AliveTime
from emrecon.io.petsird.file import Block, PetsirdFile
from emrecon.io.petsird.scanner import Detectors, Types
from emrecon.tomo.corrections.bin_lookup import Shared
from emrecon.tomo.corrections.map_place import events_survival
from emrecon.tomo.gates import Gate, When
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.events import CHUNK, Events
from emrecon.tomo.geometry.pairs import Pairs
from emrecon.tomo.geometry.tof import Timing
from emrecon.tomo.listmode import EVERYTHING
from emrecon.tomo.listmode_scan import ListmodeScan
from emrecon.volume import Array, Volume

Floats = NDArray[np.float64]

ROUNDS = 20
"""Most rounds that rates of single crystals are refined in."""

CLOSE = 1e-3
"""Change of the rates at which rounds end."""


@contextmanager
def reading(
    path: Path,
    window_s: When = EVERYTHING,
    mu: Volume | None = None,
    scatter: tuple[Bins, Array] | None = None,
    keep: Path | None = None,
) -> Iterator[ListmodeScan]:
    """Give a PETSIRD file as events, each with its efficiency, randoms and attenuation.

    The events lie in a folder, memory-mapped, which is removed at the end. Randoms come from the
    delayed coincidences, if there are some: rates of single crystals whose products explain how
    often each crystal took part.

    Parameters
    ----------
    path : Path
        The file.
    window_s : tuple of float or Gate, optional
        Time in s at which to start, and before which to stop; whole blocks are taken.
    mu : Volume, optional
        Attenuation map in 1/mm.
    scatter : tuple of Bins and array, optional
        Mean scatter, counts in the bins of any sinogram of this scanner, which has the
        time-of-flight bins of the events.
    keep : Path, optional
        Where to leave the folder of events.

    Yields
    ------
    ListmodeScan
        The scan.

    Raises
    ------
    FormatError
        If the file is damaged, see `PetsirdFile`, or time of flight is not the
        same for all its events.
    """
    file = PetsirdFile(path)
    scanner = file.detectors
    timing = _timing(path, scanner)
    with building(keep, scanner.points_mm, timing) as store:
        seen = _Pass(file, window_s, timing)
        pairs = _gather(seen, mu, store)
        if seen.alive.stated:  # only now is its mean known: count again
            file = PetsirdFile(path)
            alive = seen.alive.applied(scanner.efficiencies, seen.duration_ms)
            file.detectors = replace(scanner, efficiencies=alive)
            seen = _Pass(file, window_s, timing)
            store.restart()
            pairs = replace(_gather(seen, mu, store), passing=True)
        total = float(seen.delayed.sum()) / 2  # two ends an event
        shared = Shared(*scatter, pairs, timing) if scatter else None
        expected = total + (shared.total if shared else 0.0)
        facts = {"duration_s": seen.duration_ms / 1000.0, "background_total": expected}
        if expected:
            rates = _rates(seen.delayed, pairs) / np.sqrt(timing.bins if timing else 1)
            for chunk in store.events(**facts).subset(0, 1):
                randoms = rates[chunk.pairs].prod(axis=1)
                store.add(background=randoms + (shared.of(chunk) if shared else 0))
        about = {
            "scanner": scanner.model,
            "prompts": seen.prompts,
            "delayeds": int(total),
            "scatter": shared.total if shared else None,
            "crystals": len(scanner.points_mm),
            "dead_time": "corrected" if seen.alive.stated else "not told",
        }
        nothing = np.empty(0, np.float32)
        exam = replace(file.exam, dead_time_corrected=seen.alive.stated)
        yield ListmodeScan(store.events(**facts), pairs, nothing, mu, exam, about)


def _gather(seen: _Pass, mu: Volume | None, store: EventStore) -> Pairs:
    """Put the prompts of a file into a store; return all pairs of its detectors."""
    pairs = all_pairs(seen.file.detectors)
    store.add(pairs=np.empty((0, 2), np.uint16))
    if seen.timing:
        store.add(tof=np.empty(0, np.int16))
    chunks, again = tee(seen.chunks())
    survival: Iterable[Array | np.float32] = repeat(np.float32(1))
    if mu is not None:
        survival = events_survival(mu, pairs, again, lambda: float(seen.delayed.sum()) / 2)
    for survived, chunk in zip(survival, chunks, strict=False):
        store.add(pairs=chunk.pairs, factors=np.asarray(chunk.factors) * survived)
        if chunk.tof is not None:
            store.add(tof=chunk.tof)
    return pairs


def all_pairs(scanner: Detectors) -> Pairs:
    """Return all pairs of detection bins that are in coincidence, with their efficiencies."""
    steps = list(_steps(scanner))

    def every() -> Iterator[Events]:
        for (one, two), rows in steps:
            first = np.arange(rows.start, rows.stop)
            count = first + 1 if one == two else np.full(len(first), scanner.types[two].bins)
            second = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
            bins = np.column_stack([np.repeat(first, count), second])
            factors = scanner.efficiencies.of(scanner.types, (one, two), bins)
            live = factors > 0
            ends = (scanner.crystals(one, bins[live, 0]), scanner.crystals(two, bins[live, 1]))
            yield Events(scanner.points_mm, np.column_stack(ends), factors=factors[live])

    return Pairs(scanner.points_mm, len(steps), every)


def _steps(scanner: Detectors) -> Iterator[tuple[Types, range]]:
    """Yield pairs of module types and detection bins of the first, about a chunk of pairs each."""
    for one, first in enumerate(scanner.types):
        for two in range(one + 1):
            rows = max(1, CHUNK // scanner.types[two].bins)
            for start in range(0, first.bins, rows):
                yield (one, two), range(start, min(start + rows, first.bins))


class _Pass:
    """The prompts of a file in chunks, and what else is counted on the way."""

    def __init__(self, file: PetsirdFile, window_s: When, timing: Timing | None) -> None:
        self.file, self.timing, self._when = file, timing, window_s
        self.alive = AliveTime(file.detectors.types, window_s)
        """What the file told about dead time."""
        self.delayed = np.zeros(len(file.detectors.points_mm), np.int64)
        """Delayed coincidences that each crystal took part in."""
        self.duration_ms = self.prompts = 0

    def chunks(self) -> Iterator[Events]:
        """Yield the prompts with the efficiencies of their pairs as factors."""
        gathered: list[Events] = []
        last = -1
        for block in self.file.blocks(self.alive.add):
            if not _within(self._when, block):
                continue
            if block.start_ms != last:
                self.duration_ms += block.stop_ms - block.start_ms
                last = block.start_ms
            for end, kind in enumerate(block.pair):
                crystals = self.file.detectors.crystals(kind, block.delayeds[:, end])
                self.delayed += np.bincount(crystals, minlength=len(self.delayed))
            gathered.append(self._events(block))
            if sum(map(len, gathered)) >= CHUNK:
                yield self._together(gathered)
                gathered = []
        if gathered:
            yield self._together(gathered)

    def _events(self, block: Block) -> Events:
        scanner = self.file.detectors
        ends = [scanner.crystals(kind, block.bins[:, e]) for e, kind in enumerate(block.pair)]
        return Events(
            scanner.points_mm,
            np.column_stack(ends),
            tof=None if self.timing is None else block.tof.astype(np.int16),
            timing=self.timing,
            factors=scanner.efficiencies.of(scanner.types, block.pair, block.bins),
        )

    def _together(self, parts: list[Events]) -> Events:
        self.prompts += sum(map(len, parts))
        whole = parts[0]
        columns = {"pairs", "factors"} | ({"tof"} if self.timing else set())
        return whole.with_(
            **{name: np.concatenate([getattr(chunk, name) for chunk in parts]) for name in columns}
        )


def _within(when: When, block: Block) -> bool:
    """Return whether a block is of a stretch of time, or its middle in a gate."""
    if not isinstance(when, Gate):
        return when[0] * 1000 <= block.start_ms <= block.stop_ms <= when[1] * 1000
    if not len(when.stretches_ms):
        return False
    length, usual = block.stop_ms - block.start_ms, np.median(np.diff(when.stretches_ms))
    if length > usual:
        raise SettingsError(
            f"the file tells the time of its events to {length} ms, and stretches of a gate last "
            f"{usual:g} ms: take fewer gates"
        )
    return bool(when.holds((block.start_ms + block.stop_ms) // 2))


def _timing(path: Path, scanner: Detectors) -> Timing | None:
    """Return the time of flight of all events."""
    timings = {
        scanner.timings.get((one, two))
        for one, _ in enumerate(scanner.types)
        for two in range(one + 1)
    }
    if len(timings) > 1:
        raise FormatError(
            f"{path.name}: time of flight differs between kinds of modules, which cannot be "
            f"reconstructed together: {', '.join(map(str, timings))}"
        )
    return timings.pop()


def _rates(delayed: NDArray[np.int64], pairs: Pairs) -> Floats:
    """Return rates of crystals whose products, over all pairs, add to their delayeds.

    Iterative proportional fitting, damped by a square root since both ends change at once.
    """
    wanted = delayed.astype(float)
    rates: Floats = wanted / np.sqrt(max(wanted.sum(), 1.0))
    for _ in range(ROUNDS if wanted.any() else 0):
        partners = np.zeros_like(rates)
        for chunk in pairs.every():
            one, two = chunk.pairs.T.astype(np.intp)
            partners += np.bincount(one, rates[two], len(rates))
            partners += np.bincount(two, rates[one], len(rates))
        refined = np.sqrt(rates * wanted / np.where(partners > 0, partners, np.inf))
        change = np.abs(refined - rates).max() / max(rates.max(), 1e-30)
        rates = refined
        if change < CLOSE:
            break
    return rates
