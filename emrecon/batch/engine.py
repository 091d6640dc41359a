"""Who does the jobs: worker processes on this machine."""

from __future__ import annotations

import os
import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from emrecon.batch.record import Record
from emrecon.batch.slot import Slot, Told

CGROUP = Path("/sys/fs/cgroup")
"""Where a container is told how much memory it may use."""


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

    def submit(self, order: dict[str, Any], told: Told, done: Callable[[Record], object]) -> None:
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
        return f"{len(self._slots)} worker processes, {self._threads} threads each"

    def slots(self) -> int:
        """Return how many jobs it can do at a time."""
        return len(self._slots)

    def pids(self) -> list[int]:
        """Return the worker processes that live."""
        return [slot.pid for slot in self._slots if slot.pid]

    def submit(self, order: dict[str, Any], told: Told, done: Callable[[Record], object]) -> None:
        """Begin a job; `done` is given its record, from another thread."""
        self._pool.submit(lambda: done(self.run(order, told)))

    def run(self, order: dict[str, Any], told: Told) -> Record:
        """Do a job, when one of the processes is free, and return its record."""
        slot = self._free.get()
        record = slot.run(order, told)
        self._free.put(slot)
        return record

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


def memory_mb() -> float:
    """Return the memory of this machine that is free to use; 0 where that cannot be told."""
    found = [
        _meminfo_mb(),
        _number_mb(CGROUP / "memory.max") - _number_mb(CGROUP / "memory.current"),
    ]
    return min((mb for mb in found if mb > 0), default=0.0)


def _meminfo_mb() -> float:
    """Return the memory that Linux says is available, or that any other system says is free."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(float(line.split()[1]) / 1024 for line in lines if "MemAvailable" in line)
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
    except (ValueError, OSError, AttributeError):
        return 0.0


def _number_mb(path: Path) -> float:
    """Return the bytes that a file tells, in MB; 0 where it tells none."""
    try:
        return float(path.read_text(encoding="ascii")) / (1 << 20)
    except (OSError, ValueError):
        return 0.0
