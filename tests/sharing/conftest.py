"""A small PET scan with every correction, and workers that work at once and here."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import pytest

from emrecon.jobs import Execution
from emrecon.jobs.recon import reconstruct
from emrecon.jobs.simulate import write_simulation
from phantoms.acquisition import Acquisition
from phantoms.flip_finder import flip_finder

SMALL = Acquisition(
    scanner="tiny", span=3, counts=3e5, randoms_fraction=0.1, scatter_fraction=0.1, dead_blocks=1
)


@pytest.fixture(scope="session")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sharing") / "scan"
    write_simulation(folder, SMALL.scan(flip_finder().scaled(0.3)))
    return folder


class Here:
    """Stands for a cluster's workers: a future is its result."""

    def __init__(self, count: int) -> None:
        self.count, self.threads = count, 1
        self.at: list[int] = []

    def __len__(self) -> int:
        return self.count

    def submit(self, worker, task, *args):
        self.at.append(worker % self.count)
        return task(*args)

    def place(self, value):
        return value

    @staticmethod
    def result(future):
        return future


def shared(path, out, settings, corrections=None, *, workers, chunks=0, resume=False, **more):
    """Reconstruct by workers that are there already."""
    execution = Execution(resume=resume, workers="2", chunks=chunks)
    with mock.patch("emrecon.workers.opened", return_value=nullcontext(workers)):
        return reconstruct(path, out, settings, corrections, execution=execution, **more)
