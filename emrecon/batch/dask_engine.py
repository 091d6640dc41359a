"""Who does the jobs: workers of a Dask cluster, here or elsewhere.

Only orders (paths and settings) and records travel. The jobs are done by worker processes that go
with each Dask worker, see `emrecon.batch.slot`, so that a job that dies does not take its Dask
worker along. The Dask worker of this machine therefore needs no process of its own, which would
take seconds to start. If one elsewhere dies, its job goes to another one, and on from its
checkpoint. Those are handed no more jobs than there are workers, as Dask counts a worker's death
against every task that was handed to it, begun or not.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from emrecon.batch.engine import Processes
from emrecon.batch.job import Job
from emrecon.batch.record import Record
from emrecon.batch.slot import Slot, Told
from emrecon.errors import EmreconError, SettingsError

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster

log = logging.getLogger(__name__)

TOPIC = "emrecon-progress"

ROOM = {"RECON": 1}
"""What a job takes of what a worker offers."""

START_S = 60.0
"""How long to wait for a scheduler."""

CALM = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
}
"""Lets Dask look at itself less often; left alone, each of its processes takes 3 % of a core."""


class DaskEngine:
    """Workers of a Dask cluster.

    Parameters
    ----------
    client : distributed.Client
        Of the scheduler, whose workers have the plugin that obeys orders.
    close : callable
        Ends the cluster, where it is ours.
    tend : callable, optional
        Given how many workers there are, now and then; starts those that are missing.
    ahead : int, optional
        Jobs to hand out beside those that run: Dask takes some 0.03 s from one job to the next.
    """

    def __init__(
        self,
        client: Client,
        close: Callable[[], object],
        tend: Callable[[int], object] = lambda workers: None,
        ahead: int = 0,
    ) -> None:
        self._client: Any = client
        self._end, self._tend, self.ahead = close, tend, ahead
        self._told: Told = lambda *far: None
        self._count = 0
        self._closed = False
        client.subscribe_topic(TOPIC, self._hear)

    def about(self) -> str:
        """Return in a line what it is, and where to look at it."""
        found = self._places()
        words = f"{found} jobs at a time" if found else "no worker yet"
        return f"Dask, {words}; dashboard: {self._client.dashboard_link}"

    def slots(self) -> int:
        """Return how many jobs the workers take now; one while there are none yet."""
        found = self._places()
        self._tend(found)
        return max(1, found)

    def _places(self) -> int:
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        return int(sum(worker["resources"].get("RECON", 0) for worker in workers))

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


def local(processes: Processes) -> DaskEngine:
    """Return a Dask cluster in this process, whose worker has these processes do its jobs.

    Raises
    ------
    SettingsError
        If Dask is not installed.
    """
    slots = processes.slots()
    distributed = module("distributed")
    with module("dask").config.set(CALM):
        cluster = distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=slots,
            processes=False,
            protocol="tcp",  # else the dashboard's address is told wrong
            plugins=[plugins().TheseProcesses(processes)],
            resources={"RECON": slots},
            memory_limit=0,  # each slot watches its own process
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
        )
    drawing = threading.Thread(target=_draw, args=(cluster,))
    drawing.start()

    def close() -> None:
        drawing.join()
        cluster.close()

    return DaskEngine(distributed.Client(cluster), close, ahead=slots)


def _draw(cluster: LocalCluster) -> None:
    """Add the dashboard's pages, which take a second to load: the first jobs need not wait."""
    try:
        pages = import_module("distributed.dashboard.scheduler")
    except ImportError as error:
        log.warning("Dask's dashboard cannot be drawn: %s", error)
        return
    scheduler = cluster.scheduler
    http = scheduler.http_application, scheduler.http_server
    cluster.loop.add_callback(pages.connect, *http, scheduler, prefix="/")


def existing(address: str, threads: int) -> DaskEngine:
    """Return the cluster of a scheduler.

    Raises
    ------
    EmreconError
        If there is none, or none of its workers takes jobs one at a time.
    """
    distributed = module("distributed")
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
    client.register_plugin(plugins().OwnProcess(threads))
    return DaskEngine(client, lambda: None)


def plugins() -> ModuleType:
    """Return what Dask workers are given; the module needs Dask."""
    return import_module("emrecon.batch.dask_plugin")


def module(name: str) -> ModuleType:
    """Return a module of Dask's.

    Raises
    ------
    SettingsError
        If it is not installed.
    """
    try:
        found = import_module(name)
    except ImportError as error:
        raise SettingsError(f"{name} is not installed: pip install 'emrecon[dask]'") from error
    logging.getLogger("distributed").setLevel(logging.WARNING)  # it tells of each connection
    return found
