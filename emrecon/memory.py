"""How much memory there is, so that what would not fit is refused before it begins."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from emrecon.errors import SettingsError

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Numbers of settings in glibc's malloc.h."""

CGROUP = Path("/sys/fs/cgroup")
"""Where a container is told how much memory it may use."""


def free_mb() -> float:
    """Return the memory of this machine that is free to use; 0 where that cannot be told."""
    limits = [
        _meminfo_mb(),
        _number_mb(CGROUP / "memory.max") - _number_mb(CGROUP / "memory.current"),
    ]
    return min((mb for mb in limits if mb > 0), default=0.0)


def check_fits(needed_mb: float, what: str, instead: str) -> None:
    """Refuse to begin what would not fit into the memory that is free.

    Raises
    ------
    SettingsError
        If it would not; `instead` says what would.
    """
    free = free_mb()
    if free and needed_mb > free:
        raise SettingsError(
            f"{what} would take about {needed_mb / 1024:,.1f} GB of memory, and "
            f"{free / 1024:,.1f} GB are free: {instead}"
        )


def keep_freed() -> None:
    """Have glibc keep what is freed for what is asked for next; nothing with another C library.

    By default it takes each large array from the system and gives it back at once, and the system
    clears all of it again for the next: of a reconstruction with images of 40 MB that was a third
    of the system's time. For a process of one job: what it once held stays its own.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)


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
