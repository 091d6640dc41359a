"""Volumes beside a grid are told by their affines alone."""

from __future__ import annotations

import numpy as np
import pytest

from emrecon.errors import GeometryError
from emrecon.tomo.operators.resampling import lies_beside, resampled
from emrecon.volume import Grid, Volume

GRID = Grid.centred((8, 6, 4), (3.0, 4.0, 5.0))


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("oblique", [False, True])
def test_what_lies_beside_has_nothing_on_the_grid(seed, oblique):
    """And what has something there is never said to lie beside it."""
    rng = np.random.default_rng(seed)
    turn = np.diag(rng.choice([-1.0, 1.0], 3))
    if oblique:
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = turn * rng.uniform(1, 6, 3)
    affine[:3, 3] = rng.uniform(-40, 40, 3)
    volume = Volume(np.ones((5, 3, 4), np.float32), affine)
    if lies_beside(volume, GRID):
        with pytest.raises(GeometryError):
            resampled(volume, GRID)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("side", [-1, 1])
def test_the_edge_of_a_volume_is_where_its_last_voxels_end_to_count(axis, side):
    """A column falls to zero within a voxel beyond its last centre."""
    half = np.array(GRID.shape) * GRID.spacing_mm / 2
    for beyond, beside in ((-0.1, False), (0.1, True)):
        affine = np.diag([2.0, 2.0, 2.0, 1.0])
        affine[:3, 3] = -2.0
        affine[axis, 3] = side * (half[axis] + 2.0 + 2.0 + beyond) - 2.0
        volume = Volume(np.ones((3, 3, 3), np.float32), affine)
        assert lies_beside(volume, GRID) is beside
        if beside:
            with pytest.raises(GeometryError):
                resampled(volume, GRID)
        else:
            assert resampled(volume, GRID).voxels.any()
