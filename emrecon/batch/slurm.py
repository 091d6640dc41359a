"""Dask workers that are jobs of SLURM."""

from __future__ import annotations

import getpass
import logging
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emrecon.batch.dask_engine import DaskEngine, module, plugins
from emrecon.errors import EmreconError

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
        client = module("distributed").Client(cluster)
    except (OSError, RuntimeError) as error:
        cluster.close()
        raise EmreconError(f"SLURM does not take the workers: {error}") from error
    client.register_plugin(plugins().OwnProcess(how.threads))
    return DaskEngine(client, cluster.close, Tender(cluster, how.workers, logs))


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
        jobs = self._jobs()
        here = [about["name"] for about in self._cluster.scheduler_info["workers"].values()]
        self._seen |= {jobs[name] for name in here if name in jobs}
        if time.monotonic() - self._looked < TEND_EVERY_S:
            return
        self._looked = time.monotonic()
        if workers < self._workers:
            self._forget_lost(jobs)
        self._cluster.scale(jobs=self._workers)

    def _jobs(self) -> dict[str, str]:
        """Return the jobs that were submitted, by the names of their workers."""
        named = {name: job.job_id for name, job in dict(self._cluster.workers).items()}
        return {name: job for name, job in named.items() if job}

    def _forget_lost(self, jobs: dict[str, str]) -> None:
        """Forget jobs that ended before their worker came; of the others Dask learns itself.

        It cancels, after a while, whatever job then has the name of a worker that left.
        """
        waited = {name: job for name, job in jobs.items() if job not in self._seen}
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
    jobqueue = module("dask_jobqueue")
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
