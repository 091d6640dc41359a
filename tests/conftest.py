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
