"""A place for one job at a time: a worker process, watched from outside.

The job's process may die in any way, by its own fault or another's: its slot says so in a record,
and starts another process for the next job.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from emrecon.batch.job import Job
from emrecon.batch.record import Record
from emrecon.batch.store import Store
from emrecon.jobs.bundle import remove_parts

LEAST_WAIT_S, MOST_WAIT_S = 0.02, 0.5
"""Between two looks at the memory of a process."""

GROWTH_MB_PER_S = 10_000.0
"""No process takes memory faster: so one far from its limit need not be looked at so often."""

POOLS = (
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""What tells libraries how many threads to use."""

Told = Callable[[str, str, int, int], object]
"""Given a job's name, the name of its stage, steps made and steps in all."""


class Slot:
    """A worker process that does jobs one by one.

    Parameters
    ----------
    threads : int
        Processor threads of each job.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._process: subprocess.Popen[str] | None = None
        self._tmp = ""
        self._why = ""
        self._closed = threading.Event()

    @property
    def pid(self) -> int | None:
        """Process now at work, for a test to kill."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the process ahead of its first job, so that it is ready when that comes."""
        self._ready()

    def run(self, order: dict[str, Any], told: Told) -> Record:
        """Have a job done; whatever happens to its process, return a record.

        Parameters
        ----------
        order : dict
            ``job``, ``store`` and the most memory it may hold, ``limit_mb``.
        told : callable
            Told how far the job is.
        """
        job, store = Job.of(order["job"]), Store(Path(order["store"]))
        if self._closed.is_set():
            return Record(job.name, job.kind, "waiting")
        process = self._ready()
        self._why = ""
        over = threading.Event()
        watch = threading.Thread(target=self._watch, args=(process, order["limit_mb"], over))
        watch.start()
        try:
            answer = _converse(process, order, lambda *far: told(job.name, *far))
        finally:
            over.set()
            watch.join()
        if "record" in answer:
            return Record.of(answer["record"])
        if "refused" in answer:
            return _lost(job, store, answer["refused"])
        if self._closed.is_set():
            return store.load(job) or Record(job.name, job.kind, "waiting")
        code = process.wait()
        self._clear()
        remove_parts(Path(job.out))
        return _lost(job, store, self._why or _last_words(code))

    def close(self) -> None:
        """End the process, and what it is doing."""
        self._closed.set()
        if self._process:
            self._process.kill()
            self._process.wait()
        self._clear()

    def _ready(self) -> subprocess.Popen[str]:
        """Return a process that lives."""
        if self._process and self._process.poll() is None:
            return self._process
        self._clear()
        self._tmp = tempfile.mkdtemp(prefix="emrecon-slot-")
        pinned = dict.fromkeys(POOLS, str(self._threads))
        surroundings = os.environ | pinned | {"TMPDIR": self._tmp, "EMRECON_BATCH_TMP": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from emrecon.batch.worker import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=surroundings | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # Ctrl-C is for the one who gives the orders
        )
        return self._process

    def _watch(
        self, process: subprocess.Popen[str], limit_mb: float, over: threading.Event
    ) -> None:
        """Kill the process when it holds more memory than it may; a limit of 0 is none."""
        wait_s = LEAST_WAIT_S
        while limit_mb and not over.wait(wait_s):
            held = held_mb(process.pid)
            wait_s = min(max((limit_mb - held) / GROWTH_MB_PER_S, LEAST_WAIT_S), MOST_WAIT_S)
            if held > limit_mb:
                self._why = (
                    f"stopped at {held:.0f} MB of memory; it may hold {limit_mb:.0f} "
                    "(memory_mb of the job, or --memory-mb)"
                )
                process.kill()
                return

    def _clear(self) -> None:
        """Forget a process that is dead, and its temporary files."""
        if self._process:
            for stream in (self._process.stdin, self._process.stdout):
                if stream:
                    with contextlib.suppress(OSError):
                        stream.close()
        if self._tmp:
            shutil.rmtree(self._tmp, ignore_errors=True)
        self._process, self._tmp = None, ""


def held_mb(pid: int) -> float:
    """Return the memory that a process holds (resident); 0 where that cannot be told."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return _held_elsewhere(pid)
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def _held_elsewhere(pid: int) -> float:
    """Return the same where there is no /proc, if psutil is there (it comes with Dask)."""
    try:
        psutil = import_module("psutil")
    except ImportError:
        return 0.0
    try:
        return float(psutil.Process(pid).memory_info().rss) / (1 << 20)
    except psutil.Error:
        return 0.0


def _converse(
    process: subprocess.Popen[str],
    order: dict[str, Any],
    told: Callable[[str, int, int], object],
) -> dict[str, Any]:
    """Give an order and hear the answer; empty when the process dies over it."""
    assert process.stdin and process.stdout  # noqa: S101, PT018 - tells the type checker
    try:
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            message: dict[str, Any] = json.loads(line)
            if "progress" not in message:
                return message
            told(*message["progress"])
    except (OSError, ValueError):  # the pipe broke, or the last line did
        pass
    return {}


def _lost(job: Job, store: Store, why: str) -> Record:
    """Return, and keep, the record of a job whose process is gone."""
    before = store.load(job)
    begun = (
        before if before and before.status == "running" else Record(job.name, job.kind, "running")
    )
    record = replace(begun, status="failed", error=why, error_kind="WorkerDied")
    store.save(record)
    return record


def _last_words(code: int) -> str:
    """Return what is known of a death by its exit code."""
    if code >= 0:
        return f"its worker process ended with exit code {code} (see the log)"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if name == "SIGKILL":
        return (
            "its worker process was killed (SIGKILL): by someone, or by the system because memory "
            "ran out"
        )
    return f"its worker process died of {name} (see the log)"
