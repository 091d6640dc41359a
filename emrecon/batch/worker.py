"""A worker process: does one job after another, and keeps its compiled kernels loaded.

Orders come on standard input, a line of JSON each; progress and records go to standard output
likewise. While a job runs, whatever else is printed or logged goes to the job's log, and its
warnings to its record. When standard input ends, so does the worker, at once: whoever gave the
orders is gone.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import logging
import os
import platform
import queue
import shutil
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from emrecon.batch.job import Job
from emrecon.batch.perform import Made, perform
from emrecon.batch.record import Record, Seen, key_of, look_at
from emrecon.batch.report import write_thumbnail
from emrecon.batch.store import WAIT_S, Store, locked
from emrecon.errors import EmreconError, WriteError
from emrecon.heard import heard
from emrecon.io.formats import data_files
from emrecon.jobs.base import settings_of

if TYPE_CHECKING:
    from emrecon.em import Iterate
    from emrecon.jobs import Meters

log = logging.getLogger("emrecon.batch")

TELL_EVERY_S = 0.2

MOST_WARNINGS = 50
"""Kept of a job; all are in its log."""

Tell = Callable[[dict[str, Any]], None]


@dataclass
class Teller:
    """A meter that tells how far a stage is, now and then."""

    tell: Tell
    what: str
    total: int
    last_s: float = 0.0

    def __call__(self, iterate: Iterate[Any], /) -> None:
        self.update(iterate.number, self.total)

    def update(self, done: int, total: int) -> None:
        """Tell that `done` of `total` steps are made."""
        if time.monotonic() - self.last_s > TELL_EVERY_S or done == total:
            self.last_s = time.monotonic()
            self.tell({"progress": [self.what, done, total]})


def obey(order: dict[str, Any], tell: Tell) -> Record:
    """Do the job of an order, keep its record and return it; a job that fails is a record too.

    Parameters
    ----------
    order : dict
        ``job``, the ``store``'s folder, and inputs that were ``seen`` already.
    tell : callable
        Given messages on the way.
    """
    job, store = Job.of(order["job"]), Store(Path(order["store"]))
    store.make()
    began, cpu = time.monotonic(), time.process_time()
    reset_peak()
    facts = Record(
        job.name, job.kind, "running", version=version("emrecon"), host=platform.node(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )  # fmt: skip
    with (
        _logged(store.log_of(job.name)),
        warnings.catch_warnings(),  # Python's own are said again for each job
        heard("", every_thread=True) as said,
    ):
        try:
            facts, same = _identified(job, store, facts, order.get("seen", {}))
            outcome = perform(job, _meters(tell), resume=same)
            ended = replace(_with_outputs(facts, outcome), status="done")
            if ended.picture:
                write_thumbnail(Path(ended.picture), store.thumbnail_of(job.name))
        except Exception as error:  # noqa: BLE001 - one job's failure is not the batch's
            ended = failed(facts, error)
        ended = replace(
            ended,
            seconds=round(time.monotonic() - began, 3),
            cpu_seconds=round(time.process_time() - cpu, 3),
            peak_mb=round(peak_mb(), 1),
            warnings=tuple(said)[:MOST_WARNINGS],
        )
        store.save(ended)
    return ended


def _identified(
    job: Job, store: Store, facts: Record, seen: Mapping[str, Seen]
) -> tuple[Record, bool]:
    """Find out what exactly the job is, mark it as running, and say if it ran before."""
    earlier = store.load(job)
    inputs = look_at(job.work.inputs(), earlier.inputs if earlier else {}, seen)
    facts = replace(facts, inputs=inputs, key=key_of(job, inputs), settings=settings_of(job.work))
    store.save(facts)
    return facts, earlier is not None and earlier.key == facts.key


def _meters(tell: Tell) -> Meters:
    """Return what makes meters that tell how far a stage is."""

    @contextmanager
    def meters(what: str, total: int) -> Iterator[Teller]:
        yield Teller(tell, what, total)

    return meters


def failed(facts: Record, error: Exception) -> Record:
    """Return the record of a job that failed, with the reason in one line."""
    kind, words = type(error).__name__, " ".join(str(error).split())
    if isinstance(error, EmreconError):
        log.error("%s: %s", kind, words)
    elif isinstance(error, MemoryError):
        words = "out of memory: choose larger voxels or fewer of them, or a smaller span"
        log.error("%s", words)
    else:
        log.error("unexpected", exc_info=error)
        words = f"unexpected {kind}: {words} (see the log)"
    return replace(facts, status="failed", error=words, error_kind=kind)


def _with_outputs(facts: Record, outcome: Made) -> Record:
    data = data_files({str(path): path for path in outcome.written}).values()
    written = tuple(dict.fromkeys([*outcome.written, *data]))
    pictures = [str(path) for path in outcome.written if path.suffix == ".png"]
    return replace(
        facts,
        counts=outcome.summary.counts,
        curve=outcome.summary.curve,
        subsets=outcome.summary.subsets,
        resumed_at=outcome.summary.resumed_at,
        summary=outcome.summary.lines,
        outputs=tuple(str(path) for path in written),
        sizes=tuple(path.stat().st_size for path in written),
        picture=pictures[0] if pictures else "",
    )


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """Send standard error to a job's log, which no one else may write to meanwhile.

    Raises
    ------
    WriteError
        If another process is at work on this job.
    """
    with locked(path, WAIT_S) as file:
        if file is None:
            raise WriteError(f"{path.stem} is being done by another process: wait for it")
        sys.stderr.flush()
        before = os.dup(2)
        os.dup2(file.fileno(), 2)
        log.info("pid %d on %s", os.getpid(), platform.node())
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(before, 2)
            os.close(before)


def peak_mb() -> float:
    """Return the most memory held since `reset_peak`; elsewhere than on Linux, ever."""
    with contextlib.suppress(OSError, IndexError):
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return float(status.split("VmHWM:")[1].split()[0]) / (1 << 10)
    with contextlib.suppress(AttributeError):  # Windows
        return float(psutil.Process().memory_info().peak_wset) / (1 << 20)
    import resource  # noqa: PLC0415 - not on Windows

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def reset_peak() -> None:
    """Begin anew to look for the most memory held."""
    with contextlib.suppress(OSError):  # not Linux, or not allowed: then it is the peak so far
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def main() -> None:
    """Obey orders until there is no one left who gives any."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    faulthandler.enable()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for noisy in ("numba", "pydicom", "PIL"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    orders: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()

    def tell(message: dict[str, Any]) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    import_module("emrecon.jobs")  # what most jobs need, while the first of them is planned
    while True:
        order = orders.get()
        try:
            tell({"record": obey(order, tell).plain()})
        except EmreconError as error:
            tell({"refused": str(error)})


def _listen(orders: queue.SimpleQueue[dict[str, Any]]) -> None:
    """Pass orders on; when there are no more, clean up and leave."""
    for line in sys.stdin:
        orders.put(json.loads(line))
    if "EMRECON_BATCH_TMP" in os.environ:
        shutil.rmtree(tempfile.gettempdir(), ignore_errors=True)
    os._exit(0)
