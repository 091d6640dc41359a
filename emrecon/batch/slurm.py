"""Engine: Dask workers that are jobs of SLURM.

dask-jobqueue submits them, with what a site has in its configuration. submitit would make a
SLURM job of every scan, and tell nothing of it until it ends. `Tender` is ours, as dask-jobqueue
waits for ever for a job that ended before its worker came.
"""

from __future__ import annotations

import getpass
import logging
import shutil
import subprocess
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emrecon.batch.dask_engine import RESOURCE, DaskEngine, module, with_processes
from emrecon.errors import EmreconError, SettingsError
from emrecon.files import make_folder

log = logging.getLogger(__name__)

TEND_EVERY_S = 15.0
"""How often to look after the workers, which may mean to ask SLURM."""


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


def slurm(asked: Slurm, out: Path) -> DaskEngine:
    """Submit Dask workers to SLURM and return them as an engine.

    Raises
    ------
    EmreconError
        If they cannot be submitted.
    """
    if shutil.which("sbatch") is None:
        raise SettingsError(
            "there is no sbatch on this machine: run --engine slurm where jobs are submitted to "
            "SLURM, or leave it out"
        )
    logs = out / "batch" / "logs" / "slurm"
    make_folder(logs)
    with ExitStack() as ending:
        cluster = _cluster(asked, str(logs))
        for _ in range(asked.workers):  # to `scale` it here would only log what goes wrong
            cluster.worker_spec.update(cluster.new_worker_spec())
        try:
            ending.enter_context(cluster)
        except (OSError, RuntimeError, ValueError) as error:
            words = " ".join(str(error).split())
            raise EmreconError(f"SLURM does not take the workers: {words}") from error
        client = module("distributed").Client(cluster, set_as_default=False)
        tend = Tender(cluster, asked.workers, logs)
        return with_processes(client, asked.threads, ending.pop_all(), tend)


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
        self._next_s = time.monotonic() + TEND_EVERY_S
        self._came: set[str] = set()

    def __call__(self) -> None:
        """Look after them.

        Raises
        ------
        EmreconError
            If none ever came, and SLURM knows of none that could still come.
        """
        jobs = {name: job.job_id for name, job in dict(self._cluster.workers).items()}
        here = {about["name"] for about in self._cluster.scheduler_info["workers"].values()}
        self._came |= {jobs[name] for name in here & jobs.keys()}
        if time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + TEND_EVERY_S
        self._forget_lost({name: job for name, job in jobs.items() if job not in self._came})
        self._cluster.scale(jobs=self._workers)

    def _forget_lost(self, waited: dict[str, str | None]) -> None:
        """Forget jobs that ended before their worker came; of the others Dask learns itself.

        It cancels, after a while, whatever job then has the name of a worker that left.
        """
        known = _known_to_slurm() if waited else None
        if known is None:
            return
        lost = [name for name, job in waited.items() if job not in known]
        if lost and not self._came and len(lost) == len(waited):
            raise EmreconError(
                "the jobs that SLURM was given ended, and no worker came from them: "
                f"see {self._logs}"
            )
        for name in lost:
            job = waited[name] or "that SLURM did not take"
            log.warning("job %s ended before its worker came", job)
            self._cluster.loop.add_callback(self._cluster.workers.pop, name, None)


def _known_to_slurm() -> set[str] | None:
    """Return the jobs of this user that wait or run; None if SLURM does not answer."""
    command = ["squeue", "--noheader", "--format=%i", f"--user={getpass.getuser()}"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)  # noqa: S603 - ours
    except (OSError, subprocess.SubprocessError):
        return None
    return set(answer.stdout.split())


def job_script(asked: Slurm) -> str:
    """Return what would be submitted to SLURM for each worker."""
    cluster = _cluster(asked, "")
    try:
        return str(cluster.job_script())
    finally:
        cluster.close()


def _cluster(asked: Slurm, logs: str) -> Any:  # noqa: ANN401 - SLURMCluster, imported late
    """Return a cluster without workers yet, which takes none without the keys of this run."""
    module("cryptography")
    jobqueue, failed = module("dask_jobqueue.slurm"), module("distributed").Status.failed

    class WorkerJob(jobqueue.SLURMJob):  # type: ignore[misc, name-defined] # imported late
        """One whose cluster can be closed although it was not submitted."""

        async def start(self) -> None:
            try:
                await super().start()
            except Exception:
                self.status = failed
                raise

    return jobqueue.SLURMCluster(
        job_cls=WorkerJob,
        cores=asked.threads,
        processes=1,
        worker_extra_args=["--nthreads", "1", "--resources", f"{RESOURCE}=1", "--no-dashboard"],
        memory=f"{asked.memory_mb:.0f} MB",
        walltime=asked.walltime,
        queue=asked.queue or None,
        account=asked.account or None,
        local_directory=asked.scratch or None,
        log_directory=logs or None,
        security=True,
        shared_temp_directory=logs or tempfile.gettempdir(),
        scheduler_options={"dashboard_address": "127.0.0.1:0"},
    )
