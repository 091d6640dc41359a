"""Engine: workers of a Dask cluster, here or elsewhere.

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
from contextlib import ExitStack
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from emrecon.batch.engine import Processes
from emrecon.batch.job import Job
from emrecon.batch.record import Record
from emrecon.batch.slot import Progress
from emrecon.errors import EmreconError, SettingsError

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster

log = logging.getLogger(__name__)

TOPIC = "emrecon-progress"

RESOURCE = "RECON"
"""What a Dask worker offers one of for each job at a time."""

START_S = 5.0
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
        Of the scheduler.
    plugin : str
        Name of the plugin of its workers that does jobs.
    ending : ExitStack
        Ends the jobs, the client, and the cluster where it is ours.
    tend : callable, optional
        Is called now and then; starts workers that are missing.
    ahead : int, optional
        Jobs to hand out beside those that run: Dask takes some 0.03 s from one job to the next.
    """

    def __init__(
        self,
        client: Client,
        plugin: str,
        ending: ExitStack,
        tend: Callable[[], object] = lambda: None,
        ahead: int = 0,
    ) -> None:
        self._client: Any = client
        self._plugin, self._ending, self._tend, self.ahead = plugin, ending, tend, ahead
        self._progress: Progress = lambda *steps: None
        self._lost = False
        client.subscribe_topic(TOPIC, self._hear)

    def about(self) -> str:
        """Return in a line what it is, and where to look at it."""
        places = self._places()
        words = f"{places} jobs at a time" if places else "no worker yet"
        return f"Dask, {words}; dashboard: {self._client.dashboard_link}"

    def slots(self) -> int:
        """Return how many jobs the workers take now; one while there are none yet.

        Raises
        ------
        EmreconError
            If the scheduler is gone, and with it the jobs it had.
        """
        if self._lost:
            raise EmreconError(
                "the Dask scheduler ended, and with it its jobs: with --resume the rest is done"
            )
        self._tend()
        return max(1, self._places())

    def _places(self) -> int:
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        return int(sum(worker["resources"].get(RESOURCE, 0) for worker in workers))

    def submit(
        self, order: dict[str, Any], progress: Progress, done: Callable[[Record], object]
    ) -> None:
        """Begin a job; `done` is given its record, from another thread."""
        self._progress = progress
        job = Job.of(order["job"])
        future = self._client.submit(
            obey_here,
            order,
            self._plugin,
            key=f"{job.name}-{uuid4().hex}",
            pure=False,
            resources={RESOURCE: 1},
        )
        future.add_done_callback(lambda ended: self._end(ended, job, done))

    def close(self) -> None:
        """End, and with it the jobs that still run."""
        self._ending.close()

    def _hear(self, event: tuple[float, Any]) -> None:
        message = event[1]
        if isinstance(message, dict) and "steps" in message:
            self._progress(*message["steps"])

    def _end(self, future: Future[Any], job: Job, done: Callable[[Record], object]) -> None:
        """Tell of the end of a task; of none that was lost, as by our own end."""
        if future.status == "cancelled":
            self._lost = True
        else:
            done(_record(future, job))


def _record(future: Future[Any], job: Job) -> Record:
    """Return the record of a task, also of one that Dask gave up."""
    error = future.exception()
    if error is None:
        return Record.of(future.result())
    kind, words = type(error).__name__, " ".join(str(error).split())
    if kind == "KilledWorker":
        words = f"the Dask workers that did it died, one after another: {words}"
    return Record(job.name, job.kind, "failed", error=words, error_kind=kind)


def obey_here(order: dict[str, Any], plugin: str) -> dict[str, Any]:
    """Do a job in a worker process that goes with this Dask worker.

    A job that Dask hands out again, as the worker that had it died, is taken up where it was.
    """
    from distributed import get_worker  # noqa: PLC0415 - in a Dask worker

    worker = get_worker()
    processes: Processes = worker.plugins[plugin].processes

    def progress(*steps: object) -> None:
        worker.log_event(TOPIC, {"steps": list(steps)})

    return processes.run(order, progress).plain()


def local(processes: Processes) -> DaskEngine:
    """Return a Dask cluster in this process, whose worker has these processes do its jobs.

    It listens on the loopback interface only, its dashboard too.

    Raises
    ------
    SettingsError
        If Dask is not installed.
    """
    slots = processes.slots()
    distributed = module("distributed")
    plugin = module("emrecon.batch.dask_plugin").JobProcesses(0, processes)
    with module("dask").config.set(CALM), ExitStack() as ending:
        cluster = distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=slots,
            processes=False,
            host="127.0.0.1",
            protocol="tcp",  # inproc would have the worker listen on all interfaces
            plugins=[plugin],
            resources={RESOURCE: slots},
            memory_limit=0,  # each slot watches its own process
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
        )
        ending.callback(cluster.close)
        drawing = threading.Thread(target=_draw, args=(cluster,))
        drawing.start()
        ending.callback(drawing.join)
        client = distributed.Client(cluster, set_as_default=False)
        ending.callback(client.close)
        ending.callback(processes.close)
        return DaskEngine(client, plugin.name, ending.pop_all(), ahead=slots)


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
        client = distributed.Client(address, timeout=START_S, set_as_default=False)
    except (OSError, ValueError, MemoryError) as error:  # the last where another server answers
        words = "another server does" if isinstance(error, MemoryError) else error
        raise EmreconError(f"no Dask scheduler answers at {address}: {words}") from error
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    if not any(RESOURCE in worker["resources"] for worker in workers):
        client.close()
        raise SettingsError(
            f"of {len(workers)} workers of {address} none takes emrecon's jobs: start them with "
            f"dask worker {address} --nthreads 1 --resources {RESOURCE}=1"
        )
    return with_processes(client, threads, ExitStack())


def with_processes(
    client: Client, threads: int, ending: ExitStack, tend: Callable[[], object] = lambda: None
) -> DaskEngine:
    """Return the engine of a cluster elsewhere, each of whose workers gets processes for jobs."""
    plugin = module("emrecon.batch.dask_plugin").JobProcesses(threads)
    ending.callback(client.close)
    client.register_plugin(plugin)
    ending.callback(_unregister, client, plugin.name)
    return DaskEngine(client, plugin.name, ending, tend)


def _unregister(client: Client, plugin: str) -> None:
    """End the processes for jobs of a cluster elsewhere, if its scheduler is there to do so."""
    if client.status == "running":
        client.unregister_worker_plugin(plugin)


def module(name: str) -> ModuleType:
    """Return a module that is Dask's, or needs it.

    Raises
    ------
    SettingsError
        If Dask is not installed.
    """
    try:
        imported = import_module(name)
    except ImportError as error:
        raise SettingsError(
            f"{error.name} is not installed: pip install 'emrecon[dask]'"
        ) from error
    logging.getLogger("distributed").setLevel(logging.WARNING)  # it tells of each connection
    for client in (
        "distributed.client",
        "distributed.utils",
    ):  # of a scheduler's end, in tracebacks
        logging.getLogger(client).setLevel(logging.CRITICAL)
    logging.getLogger("tornado.application").setLevel(logging.CRITICAL)  # tracebacks
    return imported
