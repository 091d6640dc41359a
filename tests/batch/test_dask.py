"""Batches on a Dask cluster: the same images, and a death costs one job at most."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING
from urllib.request import urlopen

import psutil
import pytest

pytest.importorskip("distributed")

import emrecon
from emrecon import Settings
from emrecon.batch import Job, Processes, Record, Store, plan, run
from emrecon.batch.dask_engine import RESOURCE, existing, local
from emrecon.batch.job import batch_job
from emrecon.batch.slurm import Slurm, Tender, _cluster, job_script, slurm
from emrecon.cli import main
from emrecon.errors import EmreconError, SettingsError
from emrecon.jobs.recon import reconstruct
from tests.batch import faults
from tests.batch.conftest import copies

if TYPE_CHECKING:
    from emrecon.batch.dask_engine import DaskEngine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore:Port .* is already in use",
        "default::ResourceWarning",
        "ignore:unclosed file .*dask-jobqueue:ResourceWarning",
    ),
]


@pytest.fixture(autouse=True)
def collected():
    """Have dask-jobqueue's files of keys closed, which it leaves to the garbage collector."""
    yield
    gc.collect()


class Quiet:
    """Remembers how far jobs were."""

    def __init__(self) -> None:
        self.far: list[tuple[str, str, int, int]] = []

    def started(self, name: str) -> None: ...

    def progressed(self, name: str, what: str, done: int, total: int) -> None:
        self.far.append((name, what, done, total))

    def ended(self, record: Record) -> None: ...


def jobs(scans: list[Path], out: Path, iterations: int) -> list[Job]:
    settings = {"iterations": iterations, "subsets": 4}
    return [
        batch_job(s.name, "recon", (str(s),), out / f"{s.name}.nii.gz", settings) for s in scans
    ]


@pytest.fixture
def cluster():
    """Dask workers in processes of their own, as elsewhere."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, resources={RESOURCE: 1}, dashboard_address=None
    ) as cluster:
        yield cluster


@pytest.fixture
def engine():
    """The engine of this machine."""
    engine = local(Processes(2, 1))
    yield engine
    engine.close()


def test_the_dashboard_is_there(engine: DaskEngine) -> None:
    (address,) = re.findall(r"http://127\.0\.0\.1:\d+/status", engine.about())
    end = time.monotonic() + 120
    page = ""
    while "docs_json" not in page and time.monotonic() < end:
        with contextlib.suppress(OSError), urlopen(address) as answer:  # noqa: S310 - ours
            page = answer.read().decode()
    assert "docs_json" in page  # figures


def test_arrays_of_the_process_stay_its_own(engine: DaskEngine) -> None:
    """Dask makes a client the scheduler of all arrays, unless told not to."""
    from dask import config

    assert engine.slots() == 2
    assert config.get("scheduler", None) is None


def test_same_images_and_a_killed_process_fails_only_its_job(
    engine: DaskEngine, made: Path, tmp_path: Path
) -> None:
    assert engine.slots() == 2
    scans, store, view = copies(made, tmp_path, 4), Store(tmp_path / "batch"), Quiet()
    todo = [*jobs(scans[:3], tmp_path, 2), *jobs(scans[3:], tmp_path, 20000)]
    with faults.Killer(store.log_of("p003"), 0.5):
        records = run(plan(todo, store), engine, store, view)
    assert [record.status for record in records] == ["done"] * 3 + ["failed"]
    assert "SIGKILL" in records[3].error
    reconstruct(made, tmp_path / "here.nii.gz", Settings(iterations=2, subsets=4))
    for name in ("p000", "p001", "p002"):
        there = (tmp_path / f"{name}.nii.gz").read_bytes()
        assert there == (tmp_path / "here.nii.gz").read_bytes()
    assert ("OSEM", 8, 8) in {far[1:] for far in view.far}


def test_a_job_goes_on_elsewhere_when_its_dask_worker_dies(
    cluster, made: Path, tmp_path: Path
) -> None:
    engine = existing(cluster.scheduler_address, 1)
    scan, store = copies(made, tmp_path, 1), Store(tmp_path / "batch")
    (job,) = jobs(scan, tmp_path, 60)
    killed = []

    def kill() -> None:
        while not (tmp_path / "p000.checkpoint.npz").exists():
            time.sleep(0.02)
        pid = int(re.findall(r"pid (\d+)", store.log_of("p000").read_text())[0])
        stat = Path(f"/proc/{pid}/stat").read_text()
        killed.append(int(stat.rsplit(")", 1)[1].split()[1]))  # parent: the Dask worker
        os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    (record,) = run(plan([job], store), engine, store, Quiet())
    thread.join()
    engine.close()
    assert killed
    assert record.status == "done", record.error
    assert record.resumed_at
    reconstruct(made, tmp_path / "here.nii.gz", Settings(iterations=60, subsets=4))
    assert (tmp_path / "p000.nii.gz").read_bytes() == (tmp_path / "here.nii.gz").read_bytes()


def test_a_scheduler_without_fitting_workers_is_refused() -> None:
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, processes=False, dashboard_address=None, protocol="tcp"
    ) as cluster:
        with pytest.raises(SettingsError, match="--resources RECON=1"):
            existing(cluster.scheduler_address, 1)


def test_no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emrecon.batch.dask_engine.START_S", 0.5)
    with pytest.raises(EmreconError, match="no Dask scheduler answers"):
        existing("tcp://127.0.0.1:9", 1)


def listening() -> set[tuple[str, int]]:
    """Addresses and ports at which this process can be reached."""
    connections = psutil.Process().net_connections()
    return {tuple(one.laddr) for one in connections if one.status == psutil.CONN_LISTEN}


def test_only_this_machine_can_reach_a_cluster_of_its_own(engine: DaskEngine) -> None:
    assert {address for address, _ in listening()} == {"127.0.0.1"}


def test_two_batches_use_one_cluster(cluster, made: Path, tmp_path: Path) -> None:
    """The end of one does not end the processes of the other."""
    scans, store = copies(made, tmp_path, 1), Store(tmp_path / "batch")
    first, second = (existing(cluster.scheduler_address, 1) for _ in range(2))
    first.close()
    (record,) = run(plan(jobs(scans, tmp_path, 1), store), second, store)
    second.close()
    assert record.status == "done", record.error


def test_without_slurm(made: Path, tmp_path: Path, monkeypatch, capfd) -> None:
    """In a line, and nothing waits."""
    pytest.importorskip("dask_jobqueue")
    monkeypatch.setenv("PATH", str(tmp_path))
    copies(made, tmp_path, 1)
    (tmp_path / "jobs.toml").write_text("out = 'out'\n[[scan]]\ninput = 'p0*'\n")
    flags = ["--engine", "slurm", "--memory-mb", "2000"]
    with pytest.raises(SystemExit) as left:
        main(["batch", str(tmp_path / "jobs.toml"), *flags])
    assert left.value.code == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "there is no sbatch on this machine" in line


def test_what_slurm_refuses(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("dask_jobqueue")
    (tmp_path / "sbatch").write_text("#!/bin/sh\necho no such partition: long >&2\nexit 1\n")
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(EmreconError, match=r"^SLURM does not take .* no such partition: long$"):
        slurm(Slurm(2, 1, 2000), tmp_path)


def test_workers_of_slurm_need_the_keys_of_their_run(tmp_path: Path) -> None:
    from distributed import Client

    pytest.importorskip("dask_jobqueue")
    with _cluster(Slurm(1, 1, 2000), str(tmp_path)) as cluster:
        address = cluster.scheduler_address
        port = int(address.rsplit(":", 1)[1])
        assert {address for address, at in listening() if at != port} == {"127.0.0.1"}
        keys = list(tmp_path.glob(".dask-jobqueue*"))
        assert len(keys) == 3
        assert all(path.stat().st_mode & 0o077 == 0 for path in keys)
        with pytest.raises((OSError, TypeError)):
            Client(address, timeout=2)


def test_what_slurm_would_be_given() -> None:
    pytest.importorskip("dask_jobqueue")
    script = job_script(Slurm(8, 4, 6000, "02:30:00", "long", "pet", "/scratch"))
    for words in (
        "#SBATCH -p long", "#SBATCH -A pet", "#SBATCH --cpus-per-task=4", "#SBATCH -t 02:30:00",
        "--mem=6G", "--resources RECON=1", "--nthreads 1", "--local-directory /scratch",
    ):  # fmt: skip
        assert words in script, script


def test_workers_that_slurm_starts(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With stand-ins for sbatch and scancel that run the script here."""
    pytest.importorskip("dask_jobqueue")
    commands = {
        "sbatch": f"cp $1 {tmp_path}/job.sh\nsetsid sh {tmp_path}/job.sh > {tmp_path}/log 2>&1 &\n"
        "echo Submitted batch job $!\n",
        "scancel": "kill -TERM -- -$1\n",
    }
    for name, text in commands.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", str(Path(emrecon.__file__).parents[1]))
    scan, store = copies(made, tmp_path, 1), Store(tmp_path / "batch")
    engine = slurm(Slurm(1, 1, 2000), tmp_path)
    try:
        (record,) = run(plan(jobs(scan, tmp_path, 1), store), engine, store)
    finally:
        engine.close()
    assert record.status == "done", record.error


class Submitted:
    """A cluster that remembers how often it was told how many workers there shall be."""

    def __init__(self) -> None:
        self.workers = {"one": SimpleNamespace(job_id="7")}
        self.loop = SimpleNamespace(add_callback=lambda call, *told: call(*told))
        self.scheduler_info: dict[str, dict] = {"workers": {}}
        self.scaled: list[int] = []

    def scale(self, jobs: int) -> None:
        self.scaled.append(jobs)


@pytest.fixture
def squeue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What SLURM says of its jobs; it is asked each time."""
    monkeypatch.setattr("emrecon.batch.slurm.TEND_EVERY_S", 0.0)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "squeue").write_text(f"#!/bin/sh\ncat {tmp_path}/told\n")
    (tmp_path / "squeue").chmod(0o755)
    return tmp_path / "told"


def test_workers_that_slurm_ended_are_submitted_anew(squeue: Path, tmp_path: Path) -> None:
    cluster = Submitted()
    tend = Tender(cluster, 2, tmp_path)
    squeue.write_text("3\n7\n")
    tend()  # none came yet, but 7 may
    squeue.write_text("")
    cluster.scheduler_info["workers"] = {"tcp://1": {"name": "one"}}
    tend()
    cluster.scheduler_info["workers"] = {}
    tend()  # it is gone
    assert cluster.scaled == [2, 2, 2]


def test_of_the_end_of_a_worker_that_came_dask_learns_itself(squeue: Path, tmp_path: Path) -> None:
    """It would cancel the next job of that name, too."""
    cluster = Submitted()
    tend = Tender(cluster, 1, tmp_path)
    cluster.scheduler_info["workers"] = {"tcp://1": {"name": "one"}}
    tend()
    cluster.scheduler_info["workers"] = {}
    squeue.write_text("3\n")
    tend()
    assert list(cluster.workers) == ["one"]


def test_jobs_that_end_without_a_worker_are_not_waited_for(squeue: Path, tmp_path: Path) -> None:
    squeue.write_text("3\n77\n")
    with pytest.raises(EmreconError, match=r"no worker came from them: see .*logs"):
        Tender(Submitted(), 2, tmp_path / "logs")()


def test_a_job_that_ended_while_it_waited_is_submitted_anew(
    squeue: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With a stand-in for sbatch that numbers its calls (two at a time), beside a worker."""
    pytest.importorskip("dask_jobqueue")
    calls = tmp_path / "calls"
    calls.mkdir()
    number = f"n=1\nuntil mkdir {calls}/$n 2>/dev/null; do n=$((n + 1)); done\necho $n\n"
    for name, text in {"sbatch": number, "scancel": ""}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}")
        (tmp_path / name).chmod(0o755)

    def submitted(count: int) -> int:
        end = time.monotonic() + 120
        while time.monotonic() < end and len(cluster.workers) < 2:
            time.sleep(0.02)
        while time.monotonic() < end and len(list(calls.iterdir())) < count:
            time.sleep(0.02)
        return len(list(calls.iterdir()))

    with _cluster(Slurm(2, 1, 2000), "") as cluster:
        tend = Tender(cluster, 2, tmp_path)
        squeue.write_text("1\n2\n")
        tend()
        assert submitted(2) == 2
        tend._came.add("1")
        squeue.write_text("1\n")
        tend()
        assert submitted(3) == 3
        assert "job 2 ended before its worker came" in caplog.text
        ids = {job.job_id for job in cluster.workers.values()}
    assert ids <= {"1", "2", "3"}
