"""Folders for the time of a run; what a killed run left, the next one removes."""

from __future__ import annotations

import logging
import os
import platform
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import IO

log = logging.getLogger(__name__)

OWNER = "owner"
"""File in a folder that its run holds a lock on, and that says on which machine."""

FAR = 1 << 30
"""Which byte of a file is locked on Windows, where no one can read or write what is."""


class Scratch:
    """A folder among the system's temporary ones that goes when this does, or its process ends.

    A process that is killed leaves its folder. The system gives back the lock that it held in it,
    by which the next one of the same kind on this machine knows that no one needs it any more.

    Parameters
    ----------
    kind : str
        What it is for, a word of its name.

    Raises
    ------
    OSError
        If it cannot be made.
    """

    def __init__(self, kind: str) -> None:
        prefix = f"emrecon-{kind}-"
        for left in Path(tempfile.gettempdir()).glob(f"{prefix}*/{OWNER}"):
            _remove_left(left)
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        file = (self.path / OWNER).open("w", encoding="utf-8")
        self._end = weakref.finalize(self, _remove, self.path, file)
        if lock(file):  # a file system without locks has none: such a folder stays
            file.write(_machine())
            file.flush()

    def close(self) -> None:
        """Remove the folder."""
        self._end()


def lock(file: IO[str]) -> bool:
    """Lock an open file, if no one else has; its holder's death gives it back."""
    try:
        import fcntl  # noqa: PLC0415 - not on Windows
    except ImportError:
        return _lock_byte(file)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _lock_byte(file: IO[str]) -> bool:
    """Lock a byte beyond the end of a file, as Windows has it, if no one else has."""
    import msvcrt  # noqa: PLC0415 - on Windows alone

    os.lseek(file.fileno(), FAR, os.SEEK_SET)
    try:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined] # there
    except OSError:
        return False
    finally:
        os.lseek(file.fileno(), 0, os.SEEK_END)
    return True


def _machine() -> str:
    """Return what tells this machine, as long as it runs, from others that share a file system."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return platform.node()


def _remove_left(owner: Path) -> None:
    """Remove a folder whose owner was killed; leave those of others, and of other machines."""
    try:
        with owner.open("r+", encoding="utf-8") as file:
            dead = file.read() == _machine() and lock(file)
    except OSError:  # it is another user's, or gone
        return
    if dead:
        log.info("removing %s, left by a run that was killed", owner.parent)
        shutil.rmtree(owner.parent, ignore_errors=True)


def _remove(folder: Path, file: IO[str]) -> None:
    file.close()
    shutil.rmtree(folder, ignore_errors=True)
