"""What several tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data, or a skip where there is none."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("EMRECON_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip("no folder of real data: set EMRECON_TEST_DATA")
    return folder


@pytest.fixture
def one_thread():
    """Of some dozen voxels: to wake a second thread costs ten times what it saves."""
    import numba

    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(threads)
