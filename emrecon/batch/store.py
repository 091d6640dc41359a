"""What a batch remembers between runs: a record, a log and a lock for each job."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from emrecon.batch.job import Job
from emrecon.batch.record import Record
from emrecon.errors import WriteError
from emrecon.files import make_folder, write_text
from emrecon.scratch import lock

log = logging.getLogger(__name__)

WAIT_S = 10.0
"""How long the last work of a run that was killed may take to end."""


@dataclass(frozen=True)
class Store:
    """The folder that a batch keeps its records, logs and reports in."""

    folder: Path

    @property
    def report(self) -> Path:
        """The page to look at."""
        return self.folder / "report.html"

    @property
    def lines(self) -> Path:
        """The report with a JSON line a job."""
        return self.folder / "report.jsonl"

    def log_of(self, name: str) -> Path:
        """Return the log file of a job."""
        return self.folder / "logs" / f"{safe(name)}.log"

    def record_of(self, name: str) -> Path:
        """Return the record file of a job."""
        return self.folder / "records" / f"{safe(name)}.json"

    def thumbnail_of(self, name: str) -> Path:
        """Return the file of a job's picture in the report."""
        return self.folder / "thumbnails" / f"{safe(name)}.jpg"

    def make(self) -> None:
        """Make the folders.

        Raises
        ------
        WriteError
            If they cannot be made.
        """
        for name in ("logs", "records", "thumbnails"):
            make_folder(self.folder / name)

    def used(self) -> bool:
        """Return whether a batch ran here before."""
        return any((self.folder / "records").glob("*.json"))

    def load(self, job: Job) -> Record | None:
        """Return the record of a job, if there is one that can be read."""
        path = self.record_of(job.name)
        try:
            return Record.of(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, AttributeError) as error:
            log.warning("%s cannot be read (%s): its job is done again", path, error)
            return None

    def save(self, record: Record) -> None:
        """Keep a record, whole or not at all."""
        write_text(self.record_of(record.name), record.line() + "\n")

    def forget(self, name: str) -> None:
        """Remove the record of a job."""
        self.record_of(name).unlink(missing_ok=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep a second batch out of this folder.

        Raises
        ------
        WriteError
            If one is at work in it.
        """
        with locked(self.folder / "lock", 0.0) as mine:
            if not mine:
                raise WriteError(f"another batch is at work in {self.folder.parent}: wait for it")
            yield


@contextmanager
def locked(path: Path, wait_s: float) -> Iterator[IO[str] | None]:
    """Hold a lock on a file while the caller works, and give the file; None if another has it.

    The system gives the lock back when its holder dies, however it dies.
    """
    with path.open("a", encoding="utf-8") as file:
        end = time.monotonic() + wait_s
        while not (mine := lock(file)) and time.monotonic() < end:
            time.sleep(0.05)
        yield file if mine else None


def safe(name: str) -> str:
    """Return a name that any file system takes, with the letters of all languages."""
    return re.sub(r"[^\w.=+-]+", "_", name)
