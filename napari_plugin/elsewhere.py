"""Jobs in a process of their own: the window stays quick, and Stop ends them at once."""

from __future__ import annotations

import logging
import os
import pickle
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import IO, TYPE_CHECKING

import numba

from emrecon.errors import DataError
from emrecon.jobs.as_code import as_command
from emrecon.stop import Stopped
from napari_plugin.control import POLL_S

if TYPE_CHECKING:
    from emrecon.jobs import Job
    from napari_plugin.session import Session


log = logging.getLogger(__name__)

_WARNING = "WARNING: "
"""Begins a warning of the command."""


def in_a_process(job: Job, session: Session) -> None:
    """Do a job as its command does, and wait for it.

    Raises
    ------
    Stopped
        If the session is to end; so does the process, which leaves nothing half-written.
    DataError
        With the command's own words, if it fails.
    """
    _, *words = shlex.split(as_command(job))
    command = [sys.executable, "-m", "emrecon", *words]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as stderr:
        code = _ended(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr), session)  # noqa: S603 - our own command
        stderr.seek(0)
        lines = stderr.read().splitlines()
    if code:
        reason = lines[-1] if lines else f"ended with {code}"
        raise DataError(reason.removeprefix("emrecon: "))
    for line in lines:
        if line.startswith(_WARNING):
            log.warning("%s", line.removeprefix(_WARNING))


def compiled_elsewhere(job: Job, session: Session) -> None:
    """Have the kernels of a job compiled, and kept, by a process that makes its first update.

    To compile holds up every other thread of a process now and then, for seconds at its end.
    What goes wrong there goes wrong here again, where it is said.

    Raises
    ------
    Stopped
        If the session is to end.
    """
    environment = dict(os.environ)
    if folder := str(numba.config.CACHE_DIR):  # type: ignore[attr-defined] # set at run time
        environment["NUMBA_CACHE_DIR"] = folder
    with tempfile.TemporaryFile() as wanted, tempfile.TemporaryFile("w+") as names:
        pickle.dump(job, wanted)
        wanted.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-m", "napari_plugin.warm_up"], env=environment,
            stdin=wanted, stdout=names, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        code = _ended(process, session, lambda: _tell(names, session))
    log.debug("kernels compiled elsewhere: %d", code)


def _tell(names: IO[str], session: Session) -> None:
    """Say which kernel is being compiled."""
    names.seek(0)
    if lines := names.read().split("\n")[:-1]:
        session.note = f"compiling {lines[-1]}, once: it is kept"
    names.seek(0, os.SEEK_END)


def _ended(
    process: subprocess.Popen[bytes], session: Session, look: Callable[[], None] = lambda: None
) -> int:
    """Return with what a process ended; kill it if the session is to end."""
    with process:
        while process.poll() is None:
            try:
                process.wait(POLL_S)
            except subprocess.TimeoutExpired:
                look()
                if session.control.is_set():
                    process.kill()
                    raise Stopped from None
    return int(process.returncode)
