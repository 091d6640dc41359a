"""Who does the jobs: worker processes on this machine."""

from __future__ import annotations

import os
import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from emrecon.batch.record import Record
from emrecon.batch.slot import Progress, Slot


class Engine(Protocol):
    """Does jobs, several at a time, each on its own."""

    ahead: int
    """How many more to hand out than it can do at a time, as it is slow to take the next."""

    def about(self) -> str:
        """Return in a line what it is, and where to look at it."""
        ...

    def slots(self) -> int:
        """Return how many jobs it can do at a time, now."""
        ...

    def submit(
        self, order: dict[str, Any], progress: Progress, done: Callable[[Record], object]
    ) -> None:
        """Begin a job; `done` is given its record, from another thread."""
        ...

    def close(self) -> None:
        """End, and with it the jobs that still run."""
        ...


class Processes:
    """Worker processes on this machine.

    Parameters
    ----------
    slots : int
        Jobs at a time.
    threads : int
        Processor threads of each.
    """

    ahead = 0

    def __init__(self, slots: int, threads: int) -> None:
        self._slots = [Slot(threads) for _ in range(slots)]
        self._free: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        for slot in self._slots:
            self._free.put(slot)
        self._pool = ThreadPoolExecutor(slots, "emrecon-slot")
        self._threads = threads

    def start(self, most: int) -> None:
        """Start processes ahead of their first jobs, not more than there are jobs."""
        for slot in self._slots[:most]:
            slot.start()

    def about(self) -> str:
        """Return in a line what it is."""
        return f"at a time: {len(self._slots)}; processor threads of each: {self._threads}"

    def slots(self) -> int:
        """Return how many jobs it can do at a time."""
        return len(self._slots)

    def submit(
        self, order: dict[str, Any], progress: Progress, done: Callable[[Record], object]
    ) -> None:
        """Begin a job; `done` is given its record, from another thread."""
        self._pool.submit(lambda: done(self.run(order, progress)))

    def run(self, order: dict[str, Any], progress: Progress) -> Record:
        """Do a job, when one of the processes is free, and return its record."""
        slot = self._free.get()
        try:
            return slot.run(order, progress)
        finally:
            self._free.put(slot)

    def close(self) -> None:
        """End, and with it the jobs that still run."""
        for slot in self._slots:
            slot.close()
        self._pool.shutdown(wait=True, cancel_futures=True)


def cores() -> int:
    """Return the processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
