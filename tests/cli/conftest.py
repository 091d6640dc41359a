"""A small simulated scan on disk, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from emrecon.jobs.simulate import write_simulation
from phantoms.acquisition import Acquisition
from phantoms.flip_finder import flip_finder

SMALL = Acquisition(
    scanner="tiny",
    span=3,
    max_ring_difference=None,
    counts=3e5,
    randoms_fraction=0.1,
    scatter_fraction=0.1,
)


@pytest.fixture(scope="session")
def scan_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "scan"
    write_simulation(folder, SMALL.scan(flip_finder().scaled(0.3)))
    return folder


@pytest.fixture
def copy(scan_folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    import shutil

    return Path(shutil.copytree(scan_folder, tmp_path / "scan"))
