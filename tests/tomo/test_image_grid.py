"""Voxels in which nothing is told apart are refused, very coarse ones told."""

from __future__ import annotations

import numpy as np
import pytest

from emrecon.errors import SettingsError
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.geometry.image_grid import grid_of
from emrecon.tomo.settings import Settings
from tests.tomo.makers import SMALL

SCANNERS = {
    "ring": SMALL.bins(),
    "camera": Camera(
        np.arange(4.0), np.full(4, 90.0), np.arange(-15, 16) * 3.0, np.arange(20) * 3.0
    ),
    "slice": Bins.parallel(np.arange(4.0), np.arange(-15, 16) * 3.0),
}


@pytest.mark.parametrize("kind", SCANNERS)
def test_voxels_as_large_as_what_is_seen(kind, caplog):
    bins = SCANNERS[kind]
    usual = bins.grid().spacing_mm
    assert grid_of(bins, Settings(voxel_mm=tuple(2 * size for size in usual))).shape
    assert not caplog.messages
    for voxel in ((0.6 * bins.fov_mm, 2, 2), (2, 0.6 * bins.fov_mm, 2), (500.0,)):
        with pytest.raises(SettingsError, match="show nothing of a field of view"):
            grid_of(bins, Settings(voxel_mm=voxel))
    if np.ptp(bins.plane_z_mm):
        with pytest.raises(SettingsError, match="mm long: choose smaller"):
            grid_of(bins, Settings(voxel_mm=(2.0, 2.0, 1.1 * float(np.ptp(bins.plane_z_mm)))))
    assert not caplog.messages
    if kind != "ring":  # which is as short as that
        grid_of(bins, Settings(voxel_mm=(*usual[:2], 10.5 * usual[2])))
        assert "over 10 times the usual ones" in caplog.text
