"""Dask workers that share one reconstruction: some of this machine, or those of a scheduler."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from emrecon.errors import EmreconError, SettingsError

if TYPE_CHECKING:
    from distributed import Client, Future

START_S = 60.0
"""How long to wait for a scheduler."""

OURS = {
    # Replicas of the image are what outlives a worker; work belongs where its views are.
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.no-workers-timeout": "60s",
    "distributed.worker.profile.enabled": False,  # takes 3 % of a core of each worker
    "distributed.admin.tick.interval": "1s",
    "logging.distributed": "error",  # deaths are survived, or reported by what they stop
}
"""Settings of a scheduler that is ours."""

ANY_SIZE = {"distributed.admin.large-graph-warning-threshold": "1TB"}
"""Images go to workers as part of a task, so that they are still known when a worker dies."""


class Workers:
    """Workers by number; a task goes to the worker named, or to another if that is dead.

    Parameters
    ----------
    client : distributed.Client
        Of the scheduler.
    addresses : list of str
        The workers to use.
    threads : int
        Processor threads of each; 0 is all there are.
    """

    def __init__(self, client: Client, addresses: list[str], threads: int) -> None:
        self._client: Any = client
        self._addresses = addresses
        self.threads = threads

    def __len__(self) -> int:
        return len(self._addresses)

    def submit(self, worker: int, task: Callable[..., Any], *args: Any) -> Future[Any]:  # noqa: ANN401 - what the task takes
        """Have a task done, with futures in place of their results."""
        return self._client.submit(
            task,
            *args,
            workers=[self._addresses[worker % len(self)]],
            allow_other_workers=True,
            pure=False,
        )

    def place(self, value: Any) -> Future[Any]:  # noqa: ANN401 - any value
        """Send a value to a worker, from which others take it; the scheduler keeps it as well."""
        return self.submit(0, _itself, value)

    @staticmethod
    def result(future: Future[Any]) -> Any:  # noqa: ANN401 - of any task
        """Return what a task made.

        Raises
        ------
        EmreconError
            If its workers died, one after another, or the scheduler did; and what the task raised.
        """
        from distributed import KilledWorker  # noqa: PLC0415 - an extra
        from distributed.scheduler import NoValidWorkerError  # noqa: PLC0415

        try:
            return future.result()
        except (KilledWorker, NoValidWorkerError, CancelledError) as error:
            raise EmreconError(
                f"the workers died ({type(error).__name__}: {error}); with checkpoints "
                "(--checkpoint-every) the run goes on from the last one with --resume"
            ) from error


@contextmanager
def opened(address: str, threads: int = 0) -> Iterator[Workers]:
    """Give workers: so many of this machine, or those of the scheduler at an address.

    Parameters
    ----------
    address : str
        A number, or the address of a scheduler.
    threads : int, optional
        Processor threads of each worker; 0 shares the cores of this machine, or takes all of each
        of the others.

    Raises
    ------
    EmreconError
        If there is no scheduler, or no fitting worker, or Dask is not installed.
    """
    check_address(address)
    if address.isdecimal():
        with _local(int(address), threads) as workers:
            yield workers
    else:
        with _existing(address, threads) as workers:
            yield workers


def check_address(address: str) -> None:
    """Refuse what names no workers, and any without Dask, which is not imported yet.

    Raises
    ------
    SettingsError
        If there can be none.
    """
    if not address.isdecimal() and "://" not in address:
        raise SettingsError(
            f"workers are a number or the address of a Dask scheduler, tcp://..., not {address!r}"
        )
    if address.isdecimal() and int(address) < 1:
        raise SettingsError("at least one worker is needed")
    for name in ("dask", "distributed"):
        if find_spec(name) is None:
            raise SettingsError(f"{name} is not installed: pip install 'emrecon[dask]'")


@contextmanager
def _local(count: int, threads: int) -> Iterator[Workers]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    config = import_module("dask").config
    for defaults in config.defaults:  # an earlier run took those of distributed along at its end
        config.update(config.global_config, defaults, priority="old")
    # before distributed is imported, which reads it then
    with config.set(OURS | ANY_SIZE), ExitStack() as ending:
        distributed = import_module("distributed")
        try:
            cluster = distributed.LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                processes=True,
                memory_limit=0,  # images must not be spilled while they are iterated
                dashboard_address="127.0.0.1:0",  # None serves pages on 8787, to all who ask
                scheduler_kwargs={"dashboard": False},
                silence_logs=logging.CRITICAL,  # what a worker raises is told once, by the client
            )
        except (RuntimeError, OSError) as error:
            raise EmreconError(
                f"the workers could not be started, or one was killed meanwhile: {error}"
            ) from error
        ending.enter_context(cluster)
        client = ending.enter_context(distributed.Client(cluster, set_as_default=False))
        addresses = [cluster.workers[n].worker_address for n in sorted(cluster.workers)]
        yield Workers(client, addresses, threads or max(1, (cores or 1) // count))


@contextmanager
def _existing(address: str, threads: int) -> Iterator[Workers]:
    distributed = import_module("distributed")
    try:
        client = distributed.Client(address, timeout=START_S, set_as_default=False)
    except (OSError, ValueError, MemoryError) as error:  # the last where another server answers
        words = "another server does" if isinstance(error, MemoryError) else error
        raise EmreconError(f"no Dask scheduler answers at {address}: {words}") from error
    with _silent(), client, import_module("dask").config.set(ANY_SIZE):
        workers = client.scheduler_info(n_workers=-1)["workers"]
        fitting = sorted(name for name, about in workers.items() if about["nthreads"] == 1)
        if not fitting:
            raise SettingsError(
                f"of {len(workers)} workers of {address} none does one task at a time: start them "
                f"with dask worker {address} --nthreads 1"
            )
        yield Workers(client, fitting, threads)


@contextmanager
def _silent() -> Iterator[None]:
    """Have Dask say nothing: of a lost scheduler it tells in tracebacks, and we in a line."""
    with ExitStack() as ending:
        for name in ("distributed", "distributed.client"):  # those that have levels of their own
            logger = logging.getLogger(name)
            ending.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.CRITICAL)
        yield


def _itself(value: Any) -> Any:  # noqa: ANN401 - any value
    """Return what it takes: a task that gives a value."""
    return value
