"""A small scan for batches, made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from emrecon.jobs.simulate import write_simulation
from phantoms.acquisition import Acquisition
from phantoms.flip_finder import flip_finder

TINY = Acquisition(
    scanner="tiny", span=3, counts=3e5, randoms_fraction=0.1, scatter_fraction=0.1, seed=3
)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One scan, to be copied."""
    folder = tmp_path_factory.mktemp("batch") / "scan"
    write_simulation(folder, TINY.scan(flip_finder().scaled(0.3)))
    return folder


def copies(made: Path, to: Path, count: int) -> list[Path]:
    """Copy a scan under the names p000, p001, ..."""
    return [Path(shutil.copytree(made, to / f"p{n:03}")) for n in range(count)]
