"""Who does the jobs: workers of a Dask cluster, here, elsewhere, or started by SLURM.

Only orders (paths and settings) and records travel. Every Dask worker keeps a worker process of
its own for the jobs, see `emrecon.batch.slot`, so that a job that dies does not take its Dask
worker along. If a Dask worker itself dies, its job goes to another one, and on from its
checkpoint. No more jobs are handed out than there are workers, as Dask counts a worker's death
against every task that was handed to it, begun or not.
"""

from __future__ import annotations

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

TOPIC = "emrecon-progress"

ROOM = {"RECON": 1}
"""What a worker offers and a job takes: one job a worker."""

START_S = 60.0
"""How long to wait for a scheduler."""


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
    """

    def __init__(self, client: Client, threads: int, close: Callable[[], object]) -> None:
        self._client: Any = client
        self._end = close
        self._told: Told = lambda *far: None
        self._count = 0
        self._closed = False
        client.register_plugin(_plugin(threads))
        client.subscribe_topic(TOPIC, self._hear)

    def about(self) -> str:
        """Return in a line what it is, and where to look at it."""
        return f"Dask, {self.slots()} workers; dashboard: {self._client.dashboard_link}"

    def slots(self) -> int:
        """Return how many workers there are now; one while there are none yet."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        return max(1, sum("RECON" in worker["resources"] for worker in workers))

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
    cluster = _slurm_cluster(how, str(out / "batch" / "logs" / "slurm"))
    try:
        cluster.scale(jobs=how.workers)
        client = _module("distributed").Client(cluster)
    except (OSError, RuntimeError) as error:
        cluster.close()
        raise EmreconError(f"SLURM does not take the workers: {error}") from error
    return DaskEngine(client, how.threads, cluster.close)


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
        return import_module(name)
    except ImportError as error:
        raise SettingsError(f"{name} is not installed: pip install 'emrecon[dask]'") from error
