"""Voxelised bodies against exact volumes and against points."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from emrecon.errors import DataError, GeometryError
from emrecon.volume import Grid, Volume
from phantoms.shapes import Body, Material, box, cylinder, ellipsoid, rotation, sphere
from phantoms.voxels import label_map, painted, voxelise

TURN = rotation(20, -35, 50)
GRID = Grid((40, 44, 38), (3.0, 2.8, 3.2), (-57.0, -61.0, -60.0))
BODIES = {
    "ellipsoid": ellipsoid((5, -8, 3), (40, 25, 30), TURN),
    "cap": sphere((1, 2, 3), 30).clipped((1, 1, 0), 10),
    "cylinder": cylinder((3, 9, -5), (30, 20), 50, TURN),
    "upright": cylinder((3.1, 9, -5), (30, 20), 50).clipped((1, 2, 0), 10),
    "box": box((3, 9, -5), (30, 40, 50), TURN),
}


def points(grid: Grid) -> np.ndarray:
    axes = [grid.centres_mm(axis) for axis in range(3)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def test_a_sphere_of_37_mm_keeps_its_volume() -> None:
    rng = np.random.default_rng(2)
    for size in ((2.0, 2.0, 2.0), (4.0, 4.0, 4.0), (2.1, 3.0, 4.0)):
        grid = Grid.centred((int(60 / size[0]), int(60 / size[1]), int(60 / size[2])), size)
        for _ in range(8):
            body = sphere(rng.uniform(-4, 4, 3), 18.5)
            total = voxelise([body], grid, [1.0]).voxels.sum(dtype=np.float64) * np.prod(size)
            assert total == pytest.approx(body.volume_mm3, rel=3e-4)


@pytest.mark.parametrize("name", BODIES)
def test_volumes_and_first_moments_are_kept(name: str) -> None:
    body = BODIES[name]
    voxels = voxelise([body], GRID, [2.0]).voxels.astype(np.float64)
    size = float(np.prod(GRID.spacing_mm))
    assert voxels.sum() * size == pytest.approx(2 * body.volume_mm3, rel=5e-4)
    assert voxels.min() == 0
    assert voxels.max() == pytest.approx(2)
    # No shift: the centroid is that of points drawn inside; 3e5 of them know it to 0.05 mm.
    drawn = np.random.default_rng(7).uniform(*body.bounds_mm, (300_000, 3))
    expected = drawn[body.contains(drawn)].mean(axis=0)
    centroid = np.tensordot(voxels, points(GRID), 3) / voxels.sum()
    np.testing.assert_allclose(centroid, expected, atol=0.2)


@pytest.mark.parametrize("name", BODIES)
def test_voxels_are_shares_of_finely_sampled_points(name: str) -> None:
    body = BODIES[name]
    grid = Grid.centred((11, 12, 13), (7.0, 7.0, 7.0))
    steps = (np.arange(10) + 0.5) / 10 - 0.5
    shifts = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3) * 7
    counted = np.mean([body.contains(points(grid) + shift) for shift in shifts], axis=0)
    got = voxelise([body], grid, [1.0]).voxels
    np.testing.assert_allclose(got, counted, atol=0.07)  # two samplings of one surface
    assert np.abs(got - counted).mean() < 0.002


@pytest.mark.parametrize("name", BODIES)
def test_labels_are_those_of_centres(name: str) -> None:
    body = BODIES[name].filled(Material(1, 0), label=4)
    inner = sphere((0, 0, 0), 9).filled(Material(1, 0), label=7)
    at = points(GRID)
    expected = np.where(inner.contains(at), 7, np.where(body.contains(at), 4, 0))
    np.testing.assert_array_equal(label_map([body, inner], GRID).voxels, expected)


def test_bodies_that_reach_out_of_the_grid_are_cut() -> None:
    grid = Grid.centred((4, 5, 6), (2.0, 2.0, 2.0))
    whole = voxelise([sphere((1, 1, 1), 100)], grid, [3.0])
    np.testing.assert_array_equal(whole.voxels, np.float32(3))
    assert not voxelise([sphere((200, 0, 0), 100)], grid, [3.0]).voxels.any()


def test_what_cancels_is_zero_not_noise() -> None:
    parts: list[Body] = [sphere((0, 0, 0), 30), sphere((0, 0, 0), 30), sphere((0, 0, 0), 30)]
    voxels = voxelise(parts, GRID, [0.1, 0.2, -0.3]).voxels
    assert not voxels.any()


def test_same_bits_for_any_number_of_threads() -> None:
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        one = voxelise(list(BODIES.values()), GRID, np.arange(1, 6))
        numba.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))
        two = voxelise(list(BODIES.values()), GRID, np.arange(1, 6))
    finally:
        numba.set_num_threads(threads)
    assert one.voxels.tobytes() == two.voxels.tobytes()


def test_a_label_map_is_painted() -> None:
    labels = Volume(np.array([[[0, 3, 3, 5]]], np.float32), np.eye(4))
    volume = painted(labels, {3: 20.0, 5: 5.0}, "kBq/mL")
    np.testing.assert_array_equal(volume.voxels, [[[0, 20, 20, 5]]])
    assert volume.unit == "kBq/mL"
    with pytest.raises(DataError, match=r"\[5\.0\]"):
        painted(labels, {3: 20.0})


def test_values_and_samples_must_fit() -> None:
    with pytest.raises(GeometryError, match="as many values"):
        voxelise([sphere((0, 0, 0), 1)], GRID, [])
    with pytest.raises(GeometryError, match="at least one line"):
        voxelise([sphere((0, 0, 0), 1)], GRID, [1.0], samples=0)
