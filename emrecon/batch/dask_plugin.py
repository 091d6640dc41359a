"""What does the jobs of a Dask worker, and lives as long as it."""

from __future__ import annotations

import os
from typing import Any
from uuid import uuid4

from distributed import WorkerPlugin

from emrecon.batch.dask_engine import RESOURCE
from emrecon.batch.engine import Processes

TRIM = "MALLOC_TRIM_THRESHOLD_"
"""Dask has its workers give memory back at once. A process that takes as much again for the next
array is a fifth slower for it."""


class JobProcesses(WorkerPlugin):
    """Worker processes of a Dask worker, as many as it offers room.

    Parameters
    ----------
    threads : int
        Processor threads of each job.
    processes : Processes, optional
        Those to use, where the Dask worker lives in the process that started them.
    """

    def __init__(self, threads: int, processes: Processes | None = None) -> None:
        self.name = f"emrecon-{uuid4().hex}"  # two batches can use a cluster
        self._threads = threads
        self.processes = processes

    def setup(self, worker: Any) -> None:  # noqa: ANN401 - distributed.Worker
        """Start the processes."""
        room = int(worker.state.total_resources.get(RESOURCE, 0))
        if self.processes or not room:
            return
        os.environ.pop(TRIM, None)
        self.processes = Processes(room, self._threads)
        self.processes.start(room)

    def teardown(self, worker: Any) -> None:  # noqa: ANN401 - distributed.Worker
        """End them with the Dask worker, or with the batch."""
        if self.processes:
            self.processes.close()
