"""Worker processes: what becomes of them and of their jobs, and what they tell."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from emrecon.batch import Processes, Record, Store, worker
from emrecon.batch.job import batch_job
from emrecon.batch.slot import POOLS, Slot
from tests.batch.conftest import copies

pytestmark = pytest.mark.slow


@pytest.fixture
def slot() -> Iterator[Slot]:
    slot = Slot(1)
    slot.start()
    yield slot
    slot.close()


def order(scan: Path, folder: Path, limit_mb: float = 0.0, iterations: int = 1) -> dict[str, Any]:
    settings = {"iterations": iterations, "subsets": 4}
    job = batch_job(scan.name, "recon", (str(scan),), folder / f"{scan.name}.nii.gz", settings)
    Store(folder / "batch").make()
    return {"job": job.plain(), "store": str(folder / "batch"), "limit_mb": limit_mb}


def silent(*steps: object) -> None: ...


def test_a_worker_killed_between_two_jobs_costs_none(
    slot: Slot, made: Path, tmp_path: Path
) -> None:
    first, second = copies(made, tmp_path, 2)
    assert slot.run(order(first, tmp_path), silent).status == "done"
    slot._process.kill()
    slot._process.wait()
    assert slot.run(order(second, tmp_path), silent).status == "done"


def test_a_killed_worker_leaves_no_temporary_files(slot: Slot, made: Path, tmp_path: Path) -> None:
    tmp = slot._tmp.path
    (tmp / "events").touch()
    killed = []

    def kill(*steps: object) -> None:
        if not killed:
            killed.append(slot._process.kill())

    record = slot.run(order(made, tmp_path, iterations=20000), kill)
    assert "SIGKILL" in record.error
    assert not tmp.exists()


def test_a_job_that_is_ended_with_its_batch_leaves_nothing_half_written(
    slot: Slot, made: Path, tmp_path: Path
) -> None:
    begun = tmp_path / ".part-abcdefgh-scan.nii.gz"

    def end(*steps: object) -> None:
        if not begun.exists():
            begun.touch()
            slot.close()

    job = order(made, tmp_path, iterations=20000)
    assert slot.run(job, end).status == "running"
    assert not list(tmp_path.glob(".part-*"))


def test_a_process_without_jobs_is_ended_and_the_next_job_has_another(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    slot = Slot(1, idle_s=0.01)
    for scan in copies(made, tmp_path, 2):
        slot.start()
        _rested(slot)
        assert not list(tmp_path.glob("emrecon-slot-*"))
        assert slot.run(order(scan, tmp_path), silent).status == "done"
    _rested(slot)
    slot.close()


def _rested(slot: Slot) -> None:
    """Wait until there is no process, and nothing is done about it any more."""
    while True:
        with slot._working:
            if slot._process is None:
                return
        time.sleep(0.01)


def test_a_job_over_its_limit_is_stopped_alone(made: Path, tmp_path: Path) -> None:
    greedy, modest = copies(made, tmp_path, 2)
    records: dict[str, Record] = {}

    def done(record: Record) -> None:
        records[record.name] = record

    processes = Processes(2, 1)
    processes.submit(order(greedy, tmp_path, limit_mb=50.0), silent, done)
    processes.submit(order(modest, tmp_path, limit_mb=2000.0), silent, done)
    end = time.monotonic() + 120
    while len(records) < 2 and time.monotonic() < end:
        time.sleep(0.02)
    processes.close()
    assert "MB of memory; it may hold 50" in records["p000"].error
    assert records["p001"].status == "done", records["p001"].error


def test_threads_are_set_before_any_library_is_loaded_and_ctrl_c_does_not_reach(
    slot: Slot, made: Path, tmp_path: Path
) -> None:
    assert slot.run(order(made, tmp_path), silent).status == "done"
    process = psutil.Process(slot._process.pid)  # no sooner: it takes time to have an environment
    surroundings = process.environ()
    assert {surroundings[name] for name in POOLS} == {"1"}
    assert os.getpgid(process.pid) != os.getpgid(0)


def test_a_lost_job_is_told_of_where_nothing_can_be_written(
    slot: Slot, made: Path, tmp_path: Path
) -> None:
    lost = order(made, tmp_path, limit_mb=1.0)
    shutil.rmtree(tmp_path / "batch")
    assert "it may hold 1" in slot.run(lost, silent).error


@pytest.mark.filterwarnings("default")
def test_what_a_job_warns_of_is_in_its_record(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logged or Python's own, in a line and once; that of another job is not."""
    perform = worker.perform

    def warned(*args: Any, **settings: Any) -> Any:
        logging.getLogger("emrecon").warning("randoms\nare missing")
        logging.getLogger("emrecon").warning("randoms\nare missing")
        warnings.warn("few counts", UserWarning, stacklevel=1)
        return perform(*args, **settings)

    monkeypatch.setattr(worker, "perform", warned)
    logging.captureWarnings(capture=False)  # a command that ran here before leaves it on
    logging.captureWarnings(capture=True)
    try:
        records = [worker.obey(order(made, tmp_path), silent) for _ in range(2)]
    finally:
        logging.captureWarnings(capture=False)
    for record in records:
        logged, python = record.warnings
        assert logged == "randoms are missing"
        assert "UserWarning: few counts" in python
        assert "\n" not in python
    assert Record.of(records[0].plain()).warnings == records[0].warnings
