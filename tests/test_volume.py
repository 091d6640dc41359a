"""Voxels and where they lie."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from emrecon.errors import GeometryError
from emrecon.volume import Grid, Volume


def test_voxels_cannot_be_changed_through_the_volume() -> None:
    mine = np.zeros((1, 1, 1), np.float32)
    volume = Volume(mine, np.eye(4))
    with pytest.raises(ValueError, match="read-only"):
        volume.voxels[0, 0, 0] = 1
    mine[0, 0, 0] = 2  # the caller's array stays the caller's


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1), (-1, -1, -1)])
def test_turning_to_ras_moves_no_voxel(order: tuple[int, ...], signs: tuple[int, ...]) -> None:
    voxels = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis in range(3):
        affine[order[axis], axis] = signs[axis] * (axis + 1.5)
    affine[:3, 3] = [5, -7, 11]
    volume = Volume(voxels, affine)
    turned = volume.ras()
    assert turned.aligned
    assert turned.grid().affine == pytest.approx(turned.affine)
    for index in np.ndindex(voxels.shape):
        place = affine @ [*index, 1]
        there = np.rint(np.linalg.inv(turned.affine) @ place).astype(int)[:3]
        assert turned.voxels[tuple(there)] == voxels[index]
    frames = Volume(np.stack([voxels, voxels + 100]), affine).ras()
    np.testing.assert_array_equal(frames.voxels[1], turned.voxels + 100)


def test_oblique_volumes_have_no_grid() -> None:
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]]
    volume = Volume(np.zeros((2, 2, 2), np.float32), affine)
    assert not volume.aligned
    with pytest.raises(GeometryError, match="do not run"):
        volume.grid()


def test_grid() -> None:
    grid = Grid.centred((4, 5, 6), (2.0, 3.0, 1.0))
    assert grid.centres_mm(0) == pytest.approx([-3, -1, 1, 3])
    assert grid.affine @ [0, 0, 0, 1] == pytest.approx([-3, -6, -2.5, 1])
    with pytest.raises(GeometryError, match="at least one voxel"):
        Grid((0, 1, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    with pytest.raises(GeometryError, match="4 x 4"):
        Volume(np.zeros((1, 1, 1), np.float32), np.eye(3))
    with pytest.raises(GeometryError, match="3 axes"):
        Volume(np.zeros((1, 1), np.float32), np.eye(4))
