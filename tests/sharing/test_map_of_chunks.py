"""The place of a map is told by views from all around, once, not by the few of each chunk."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

from emrecon import Settings
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.sharing import share
from emrecon.volume import Volume
from tests.sharing.conftest import Here
from tests.tomo.test_map_place import WIDE, lopsided


@pytest.fixture(scope="module", params=["ring", pytest.param("camera", marks=pytest.mark.slow)])
def scan(request):
    if request.param == "ring":
        layout = WIDE.bins(span=3, views=24)
    else:
        theta = np.arange(24) * np.pi / 12
        u, z = np.arange(-15, 16) * 14.0, np.arange(-3, 4) * 14.0
        layout = Camera(theta, np.full(24, 220.0), u, z)
    made, mu = lopsided(layout)
    return made.with_(mu=mu)


@pytest.mark.parametrize("some", [True, False], ids=["views alone", "all views"])
@pytest.mark.parametrize("moved", [0, 40])
def test_the_place_of_a_map(scan, caplog, some, moved):
    affine = scan.mu.affine.copy()
    affine[1, 3] += moved
    held = scan.with_(mu=Volume(scan.mu.voxels, affine, scan.mu.unit))

    @contextmanager
    def load(only):
        yield held.of_views(only(24)) if some and only else held

    share(Here(2), load, Settings(subsets=2, voxel_mm=(20.0, 20.0, 14.0)), 8)
    told = [text for text in caplog.messages if "fit better" in text]
    assert len(told) == (1 if moved else 0), told
    assert not moved or "moved by (" in told[0]
