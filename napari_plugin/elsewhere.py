"""A job in a process of its own: the window stays quick, and Stop ends it at once."""

from __future__ import annotations

import logging
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

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
    process = subprocess.Popen(  # noqa: S603 - our own command
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    with process:
        while process.poll() is None:
            try:
                process.wait(POLL_S)
            except subprocess.TimeoutExpired:
                if session.control.is_set():
                    process.kill()
                    raise Stopped from None
        said = process.stderr.read().splitlines() if process.stderr else []
    if process.returncode:
        reason = said[-1] if said else f"ended with {process.returncode}"
        raise DataError(reason.removeprefix("emrecon: "))
    for line in said:
        if line.startswith(_WARNING):
            log.warning("%s", line.removeprefix(_WARNING))
