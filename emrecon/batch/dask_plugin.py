"""What every Dask worker is given: who does its jobs."""

from __future__ import annotations

import os
from typing import Any

from distributed import WorkerPlugin

from emrecon.batch.engine import Processes
from emrecon.batch.slot import Slot

TRIM = "MALLOC_TRIM_THRESHOLD_"
"""Dask has its workers give memory back at once. A process that takes as much again for the next
array is a fifth slower for it."""


class OwnProcess(WorkerPlugin):
    """A slot that lives as long as its Dask worker.

    Parameters
    ----------
    threads : int
        Processor threads of each job.
    """

    name = "emrecon"

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def setup(self, worker: Any) -> None:  # noqa: ANN401 - distributed.Worker
        """Make the slot."""
        os.environ.pop(TRIM, None)
        self.slot = Slot(self._threads)
        self.slot.start()

    def teardown(self, worker: Any) -> None:  # noqa: ANN401 - distributed.Worker
        """End the process with its Dask worker."""
        self.slot.close()


class TheseProcesses(WorkerPlugin):
    """Worker processes for a Dask worker that lives in the same process as whoever started them.

    Parameters
    ----------
    processes : Processes
        As many as it takes jobs at a time.
    """

    name = "emrecon"

    def __init__(self, processes: Processes) -> None:
        self.slot = processes
