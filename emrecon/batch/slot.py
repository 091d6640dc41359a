"""A place for one job at a time: a worker process, watched from outside.

Any process of a batch may be killed at any moment, and that may cost one job at most. Libraries'
pools do not hold to this, so these processes are our own. Tried, with SIGKILL:

- concurrent.futures, loky: a job that dies fails those beside it and those that wait;
- pebble (LGPL-3): a worker killed between two jobs ends the pool;
- both: when whoever gave the orders is killed, the workers live on.

psutil, a library of processes rather than of pools, looks at their memory.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from emrecon.batch.job import Job
from emrecon.batch.record import Record
from emrecon.batch.store import Store
from emrecon.errors import EmreconError
from emrecon.jobs.bundle import remove_parts
from emrecon.scratch import Scratch

log = logging.getLogger(__name__)

LEAST_WAIT_S, MOST_WAIT_S = 0.02, 0.5
"""Between two looks at the memory of a process."""

IDLE_S = 300.0
"""How long a process waits for a job before it is ended; the next one starts another. The client
of a Dask cluster may have been killed, of which its workers are not told."""

GROWTH_MB_PER_S = 10_000.0
"""No process takes memory faster: so one far from its limit need not be looked at so often."""

POOLS = (
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""Variables by which libraries set their number of threads when they are loaded."""

Progress = Callable[[str, str, int, int], object]
"""Takes a job's name, the name of its stage, steps done and steps in all."""


class Slot:
    """A worker process that does jobs one by one.

    Parameters
    ----------
    threads : int
        Processor threads of each job.
    idle_s : float, optional
        How long a process waits for a job before it is ended.
    """

    def __init__(self, threads: int, idle_s: float = IDLE_S) -> None:
        self._threads, self._idle_s = threads, idle_s
        self._process: subprocess.Popen[str] | None = None
        self._tmp: Scratch | None = None
        self._closed = threading.Event()
        self._working = threading.Lock()
        self._resting: threading.Timer | None = None

    def start(self) -> None:
        """Start the process ahead of its first job, so that it is ready when that comes."""
        with self._at_work():
            self._ready()

    def run(self, order: dict[str, Any], progress: Progress) -> Record:
        """Have a job done; whatever happens to its process, return a record.

        Parameters
        ----------
        order : dict
            ``job``, ``store`` and the most memory it may hold, ``limit_mb``.
        progress : callable
            Is called while the job runs.
        """
        with self._at_work():
            return self._done(order, progress)

    def _done(self, order: dict[str, Any], progress: Progress) -> Record:
        job, store = Job.of(order["job"]), Store(Path(order["store"]))
        if self._closed.is_set():
            return Record(job.name, job.kind, "waiting")
        process = self._ready()
        over = threading.Event()
        with ThreadPoolExecutor(1) as beside:
            excess = beside.submit(_limit, process, order["limit_mb"], over)
            try:
                answer = _converse(process, order, lambda *steps: progress(job.name, *steps))
            finally:
                over.set()
        if "record" in answer:
            return Record.of(answer["record"])
        if "refused" in answer:
            return _lost(job, store, answer["refused"])
        code = process.wait()
        remove_parts(Path(job.out))
        if self._closed.is_set():
            return store.load(job) or Record(job.name, job.kind, "waiting")
        self._clear()
        return _lost(job, store, excess.result() or _cause_of_death(code))

    def close(self) -> None:
        """End the process, and what it is doing."""
        self._closed.set()
        if self._resting:
            self._resting.cancel()
        self._end()

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """Do not end the process meanwhile, but when it was idle for long afterwards."""
        with self._working:
            if self._resting:
                self._resting.cancel()
            try:
                yield
            finally:
                if not self._closed.is_set():
                    self._resting = threading.Timer(self._idle_s, self._rest)
                    self._resting.daemon = True
                    self._resting.start()

    def _rest(self) -> None:
        with self._working:
            if threading.current_thread() is self._resting:  # else there was a job meanwhile
                self._end()

    def _end(self) -> None:
        if process := self._process:
            process.kill()
        self._clear()

    def _ready(self) -> subprocess.Popen[str]:
        """Return a process that lives."""
        if self._process and self._process.poll() is None:
            return self._process
        self._clear()
        self._tmp = Scratch("slot")
        pinned = dict.fromkeys(POOLS, str(self._threads))
        own = pinned | {"TMPDIR": str(self._tmp.path), "EMRECON_BATCH_TMP": "1"}
        path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from emrecon.batch.worker import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=os.environ | own | path,
            start_new_session=True,  # Ctrl-C is for whoever gives the orders; so on Windows:
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        return self._process

    def _clear(self) -> None:
        """Forget a process that is dead or dying, and its temporary files."""
        (process, tmp), self._process, self._tmp = (self._process, self._tmp), None, None
        if process:
            process.communicate()  # closes its pipes, and waits
        if tmp:
            tmp.close()


def _limit(process: subprocess.Popen[str], limit_mb: float, over: threading.Event) -> str:
    """Kill a process that holds (resident) more memory than it may, and say so; 0 is any."""
    wait_s = LEAST_WAIT_S
    while limit_mb and not over.wait(wait_s):
        try:
            held_mb = psutil.Process(process.pid).memory_info().rss / (1 << 20)
        except psutil.Error:  # it is dead
            break
        if held_mb > limit_mb:
            process.kill()
            return (
                f"stopped at {held_mb:.0f} MB of memory; it may hold {limit_mb:.0f} "
                "(memory_mb of the job, or --memory-mb)"
            )
        wait_s = min(max((limit_mb - held_mb) / GROWTH_MB_PER_S, LEAST_WAIT_S), MOST_WAIT_S)
    return ""


def _converse(
    process: subprocess.Popen[str],
    order: dict[str, Any],
    progress: Callable[[str, int, int], object],
) -> dict[str, Any]:
    """Give an order and return the answer; empty when the process dies over it."""
    assert process.stdin and process.stdout  # noqa: S101, PT018 - tells the type checker
    try:
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            message: dict[str, Any] = json.loads(line)
            if "progress" not in message:
                return message
            progress(*message["progress"])
    except (OSError, ValueError):  # the pipe broke, or the last line did
        pass
    return {}


def _lost(job: Job, store: Store, why: str) -> Record:
    """Return, and keep, the record of a job whose process is gone."""
    before = store.load(job)
    if not before or before.status != "running":
        before = Record(job.name, job.kind, "running")
    record = replace(before, status="failed", error=why, error_kind="WorkerDied")
    try:
        store.save(record)
    except EmreconError as error:  # where the disk is full, the report still tells of the job
        log.warning("%s", error)
    return record


def _cause_of_death(code: int) -> str:
    """Return in words what an exit code tells."""
    if code >= 0:
        return f"its worker process ended with exit code {code} (see the log)"
    names = {number.value: number.name for number in signal.Signals}
    name = names.get(-code, f"signal {-code}")
    if name == "SIGKILL":
        return (
            "its worker process was killed (SIGKILL): by someone, or by the system because memory "
            "ran out"
        )
    return f"its worker process died of {name} (see the log)"
