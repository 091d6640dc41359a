"""Who does the jobs: workers of a Dask cluster, here, elsewhere, or started by SLURM.

Only orders (paths and settings) and records travel. Every Dask worker keeps a worker process of
its own for the jobs, see `emrecon.batch.slot`, so that a job that dies does not take its Dask
worker along. If a Dask worker itself dies, its job goes to another one, and on from its
checkpoint. No more jobs are handed out than there are workers, as Dask counts a worker's death
against every task that was handed to it, begun or not.
"""

from __future__ import annotations

import getpass
import logging
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emrecon.batch.job import Job
from emrecon.batch.record import Record
from emrecon.batch.slot import Slot, Told
from emrecon.errors import EmreconError, SettingsError

if TYPE_CHECKING:
    from distributed import Client, Future

log = logging.getLogger(__name__)

TOPIC = "emrecon-progress"

ROOM = {"RECON": 1}
"""What a worker offers and a job takes: one job a worker."""

START_S = 60.0
"""How long to wait for a scheduler."""

CALM = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
}
"""Lets Dask look at itself less often; left alone, each of its processes takes 3 % of a core."""

TEND_EVERY_S = 15.0
"""How often to look after workers that SLURM started, which may mean to ask SLURM."""


@dataclass(frozen=True)
class Slurm:
    """Workers that are jobs of SLURM."""

    workers: int
    """How many."""

    threads: int
    """Processor threads of each."""

    memory_mb: float
    """Memory of each."""

    walltime: str = "08:00:00"
    """Time limit of each."""

    queue: str = ""
    """Partition."""

    account: str = ""
    """Account."""

    scratch: str = ""
    """Folder on the node's own disk, for what Dask spills."""


class DaskEngine:
    """Workers of a Dask cluster.

    Parameters
    ----------
    client : distributed.Client
        Of the scheduler.
    threads : int
        Processor threads of each job.
    close : callable
        Ends the cluster, where it is ours.
    tend : callable, optional
        Given how many workers there are, now and then; starts those that are missing.
    """

    def __init__(
        self,
        client: Client,
        threads: int,
        close: Callable[[], object],
        tend: Callable[[int], object] = lambda workers: None,
    ) -> None:
        self._client: Any = client
        self._end, self._tend = close, tend
        self._told: Told = lambda *far: None
        self._count = 0
        self._closed = False
        client.register_plugin(_plugin(threads))
        client.subscribe_topic(TOPIC, self._hear)

    def about(self) -> str:
        """Return in a line what it is, and where to look at it."""
        found = self._workers()
        words = f"{found} workers" if found else "no worker yet"
        return f"Dask, {words}; dashboard: {self._client.dashboard_link}"

    def slots(self) -> int:
        """Return how many workers there are now; one while there are none yet."""
        found = self._workers()
        self._tend(found)
        return max(1, found)

    def _workers(self) -> int:
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        return sum("RECON" in worker["resources"] for worker in workers)

    def submit(self, order: dict[str, Any], told: Told, done: Callable[[Record], object]) -> None:
        """Begin a job; `done` is given its record, from another thread."""
        self._told = told
        self._count += 1
        name = order["job"]["name"]
        future = self._client.submit(
            obey_here,
            order,
            key=f"job-{self._count}-{name}",
            pure=False,
            resources=ROOM,
        )
        future.add_done_callback(lambda ended: done(self._record(ended, order)))

    def close(self) -> None:
        """End, and with it the jobs that still run."""
        self._closed = True
        self._client.run(close_here)
        self._client.close()
        self._end()

    def _hear(self, event: tuple[float, Any]) -> None:
        message = event[1]
        if isinstance(message, dict) and "far" in message:
            self._told(*message["far"])

    def _record(self, future: Future[Any], order: dict[str, Any]) -> Record:
        """Return the record of a task, also of one that Dask gave up."""
        job = Job.of(order["job"])
        if self._closed or future.status == "cancelled":
            return Record(job.name, job.kind, "waiting")
        error = future.exception()
        if error is None:
            return Record.of(future.result())
        kind, words = type(error).__name__, " ".join(str(error).split())
        if kind == "KilledWorker":
            words = f"the Dask workers that did it died, one after another: {words}"
        return Record(job.name, job.kind, "failed", error=words, error_kind=kind)


def obey_here(order: dict[str, Any]) -> dict[str, Any]:
    """Do a job in the worker process that goes with this Dask worker.

    A job that Dask hands out again, as the worker that had it died, is taken up where it was.
    """
    from distributed import get_worker  # noqa: PLC0415 - in a Dask worker

    worker = get_worker()
    own: Any = worker.plugins["emrecon"]

    def told(*far: object) -> None:
        worker.log_event(TOPIC, {"far": list(far)})

    slot: Slot = own.slot
    return slot.run(order, told).plain()


def close_here(dask_worker: Any) -> None:  # noqa: ANN401 - distributed.Worker
    """End the worker process that goes with a Dask worker."""
    dask_worker.plugins["emrecon"].slot.close()


def local(slots: int, threads: int) -> DaskEngine:
    """Return a cluster of Dask workers on this machine.

    Raises
    ------
    SettingsError
        If Dask is not installed.
    """
    distributed = _module("distributed")
    with _module("dask").config.set(CALM):
        cluster = distributed.LocalCluster(
            n_workers=slots,
            threads_per_worker=1,
            processes=True,
            resources=ROOM,
            memory_limit=0,  # each slot watches its own process
            dashboard_address="127.0.0.1:0",
        )
    return DaskEngine(distributed.Client(cluster), threads, cluster.close)


def existing(address: str, threads: int) -> DaskEngine:
    """Return the cluster of a scheduler.

    Raises
    ------
    EmreconError
        If there is none, or none of its workers takes jobs one at a time.
    """
    distributed = _module("distributed")
    try:
        client = distributed.Client(address, timeout=START_S)
    except (OSError, ValueError) as error:
        raise EmreconError(f"no Dask scheduler answers at {address}: {error}") from error
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    if not any("RECON" in worker["resources"] for worker in workers):
        client.close()
        raise SettingsError(
            f"no worker of {address} takes emrecon's jobs: start them with "
            f"dask worker {address} --nthreads 1 --resources RECON=1"
        )
    return DaskEngine(client, threads, lambda: None)


def slurm(how: Slurm, out: Path) -> DaskEngine:
    """Submit Dask workers to SLURM and return them as an engine.

    Raises
    ------
    EmreconError
        If they cannot be submitted.
    """
    logs = out / "batch" / "logs" / "slurm"
    cluster = _slurm_cluster(how, str(logs))
    try:
        cluster.scale(jobs=how.workers)
        client = _module("distributed").Client(cluster)
    except (OSError, RuntimeError) as error:
        cluster.close()
        raise EmreconError(f"SLURM does not take the workers: {error}") from error
    return DaskEngine(client, how.threads, cluster.close, Tender(cluster, how.workers, logs))


class Tender:
    """Submits workers anew that SLURM ended: at their time limit, cancelled, node gone.

    Parameters
    ----------
    cluster : dask_jobqueue.SLURMCluster
        Who submits them.
    workers : int
        How many there shall be.
    logs : Path
        Where they write what became of them.
    """

    def __init__(self, cluster: Any, workers: int, logs: Path) -> None:  # noqa: ANN401 - imported late
        self._cluster, self._workers, self._logs = cluster, workers, logs
        self._looked = time.monotonic()
        self._came = False
        self._seen: set[str] = set()

    def __call__(self, workers: int) -> None:
        """Look after them, given how many there are.

        Raises
        ------
        EmreconError
            If none ever came, and SLURM knows of none that could still come.
        """
        self._came = self._came or workers > 0
        if time.monotonic() - self._looked < TEND_EVERY_S:
            return
        self._looked = time.monotonic()
        if workers < self._workers:
            self._forget_lost()
        self._cluster.scale(jobs=self._workers)

    def _forget_lost(self) -> None:
        """Forget jobs that ended before their worker came, which Dask would wait for."""
        jobs = {name: job.job_id for name, job in dict(self._cluster.workers).items()}
        here = [about["name"] for about in self._cluster.scheduler_info["workers"].values()]
        self._seen |= {jobs[name] for name in here if name in jobs}  # Dask learns of their end
        waited = {name: job for name, job in jobs.items() if job and job not in self._seen}
        known = _known_to_slurm() if waited else None
        lost = [name for name, job in waited.items() if known is not None and job not in known]
        if lost and not self._came and len(lost) == len(waited):
            raise EmreconError(
                "the jobs that SLURM was given ended, and no worker came from them: "
                f"see {self._logs}"
            )
        for name in lost:
            log.warning("job %s ended before its worker came", jobs[name])
            self._cluster.loop.add_callback(self._cluster.workers.pop, name, None)


def _known_to_slurm() -> set[str] | None:
    """Return the jobs of this user that wait or run; None if SLURM does not answer."""
    command = ["squeue", "--noheader", "--format=%i", f"--user={getpass.getuser()}"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)  # noqa: S603 - ours
    except (OSError, subprocess.SubprocessError):
        return None
    return set(told.stdout.split())


def job_script(how: Slurm) -> str:
    """Return what would be submitted to SLURM for each worker."""
    cluster = _slurm_cluster(how, "")
    try:
        return str(cluster.job_script())
    finally:
        cluster.close()


def _slurm_cluster(how: Slurm, logs: str) -> Any:  # noqa: ANN401 - SLURMCluster, imported late
    jobqueue = _module("dask_jobqueue")
    return jobqueue.SLURMCluster(
        cores=how.threads,
        processes=1,
        worker_extra_args=["--nthreads", "1", "--resources", "RECON=1"],
        memory=f"{how.memory_mb:.0f} MB",
        walltime=how.walltime,
        queue=how.queue or None,
        account=how.account or None,
        local_directory=how.scratch or None,
        log_directory=logs or None,
    )


def _plugin(threads: int) -> Any:  # noqa: ANN401 - WorkerPlugin, imported late
    from emrecon.batch.dask_plugin import OwnProcess  # noqa: PLC0415 - needs distributed

    return OwnProcess(threads)


def _module(name: str) -> Any:  # noqa: ANN401 - a module
    try:
        module = import_module(name)
    except ImportError as error:
        raise SettingsError(f"{name} is not installed: pip install 'emrecon[dask]'") from error
    logging.getLogger("distributed").setLevel(logging.WARNING)  # it tells of each connection
    return module
