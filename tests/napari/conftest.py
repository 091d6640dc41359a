"""What the tests of the panel share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from emrecon import jobs
from emrecon.jobs.simulate import SimulationJob
from phantoms.acquisition import Acquisition

os.environ.setdefault("LIBGL_ALWAYS_SOFTWARE", "1")

TINY = Acquisition(
    scanner="ECAT HR+", views=24, bins=32, span=9, max_ring_difference=4, counts=2e5, seed=3
)


@pytest.fixture(scope="session")
def scan_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan so small that an update takes milliseconds, with its truth."""
    folder = tmp_path_factory.mktemp("scans") / "tiny"
    jobs.run(SimulationJob("cylinder", folder, TINY))
    return folder


@pytest.fixture
def wait() -> Callable[..., None]:
    """Wait until something is true, for a thread without Qt."""
    import time

    def until(true: Callable[[], object], seconds: float = 180.0) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.002)

    return until


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep to the test's own folders, and to Qt without a screen where no X server runs."""
    if not os.environ.get("DISPLAY"):  # pytest-xvfb starts one where Xvfb is installed
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NAPARI_CONFIG", str(tmp_path / "napari.yaml"))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
