"""What is dark beside the ventricles is white where an average brain has no grey matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from emrecon.io.head_maps import installed_maps
from emrecon.tissue.atlas import stack, thinned
from emrecon.tissue.finish import finish
from emrecon.tissue.maps import Atlas
from emrecon.tissue.pale_white import (
    BESIDE_MM,
    CLEAR_MM,
    VENTRICLE_MM,
    beside_ventricles,
    between_fluid_and_white,
    without_false_grey,
)
from emrecon.tissue.segment import begin
from emrecon.tissue.settings import Settings
from emrecon.volume import Grid, Volume

GRID = Grid.centred((40, 40, 40), (2.0, 2.0, 2.0))
RADIUS_MM = 8.0


def ventricle(matrix: np.ndarray) -> tuple[Atlas, np.ndarray, np.ndarray]:
    """Return maps of a ball of fluid in white matter, grey on one side; and mm from its middle."""
    affine = GRID.affine.copy()
    affine[:3, 3] += VENTRICLE_MM
    off = np.moveaxis(np.indices(GRID.shape), 0, 3) @ affine[:3, :3].T + affine[:3, 3]
    off -= VENTRICLE_MM
    radius = np.linalg.norm(off, axis=-1)
    fluid = radius < RADIUS_MM
    grey = ~fluid & (off[..., 0] > 5)
    maps = np.stack([fluid, grey, ~fluid & ~grey], axis=-1).astype(np.float32)
    return Atlas(maps, affine, matrix), off, radius


@pytest.mark.parametrize("turned", [False, True])
def test_what_is_beside_the_ventricle_and_clear_of_grey_matter_is_found(*, turned: bool) -> None:
    matrix = np.eye(4)
    if turned:  # the image's axes run otherwise
        matrix = np.array([[0, 1, 0, 3], [-1, 0, 0, -5], [0, 0, 1, 2], [0, 0, 0, 1]], np.float64)
    atlas, off, radius = ventricle(matrix)
    index = tuple(axis.ravel() for axis in np.indices(GRID.shape))
    affine = np.linalg.inv(matrix) @ atlas.affine  # of an image of the same voxels
    near, pale = beside_ventricles(atlas, index, affine)
    assert near[pale].all()
    beyond = radius.ravel() - RADIUS_MM - BESIDE_MM
    np.testing.assert_array_equal(near[abs(beyond) > 2], beyond[abs(beyond) > 2] < 0)
    found = pale.reshape(GRID.shape)
    clear = off[..., 0] < 4 - CLEAR_MM
    rim = (radius > RADIUS_MM + 1) & (radius < RADIUS_MM + BESIDE_MM - 3)
    assert found[rim & clear].all()
    assert not found[radius < RADIUS_MM - 1].any()
    assert not found[off[..., 0] > 5].any()
    assert not found[radius > RADIUS_MM + BESIDE_MM + 1].any()


def test_maps_that_have_no_fluid_where_the_ventricle_is_tell_nothing() -> None:
    atlas, _, _ = ventricle(np.eye(4))
    index = tuple(axis.ravel() for axis in np.indices(GRID.shape))
    dry = replace(atlas, maps=atlas.maps[..., ::-1].copy())  # grey matter's map stays
    assert not np.any(beside_ventricles(dry, index, atlas.affine))
    away = atlas.affine + np.pad([[500.0]] * 3, ((0, 1), (3, 0)))
    assert not np.any(beside_ventricles(replace(atlas, affine=away), index, away))


def test_the_installed_average_has_ventricles_of_an_adult_beside_which_there_is_white() -> None:
    maps = installed_maps()
    if not maps:
        pytest.skip("no maps of an average brain")
    thin, affine = thinned(*stack(maps, 3, ()))
    index = tuple(axis.ravel() for axis in np.indices(thin.shape[:3]))
    _, found = beside_ventricles(Atlas(thin, affine, np.eye(4)), index, affine)
    share = thin.reshape(-1, 3)[found].mean(axis=0)
    assert 30 < found.sum() * 0.008 < 90  # mL
    assert share[1] < 0.1
    assert share[2] > 0.8


def test_a_dark_rim_of_the_ventricle_is_white_and_no_voxel_is_lost() -> None:
    atlas, off, radius = ventricle(np.eye(4))
    rng = np.random.default_rng(1)
    tissue = atlas.maps.argmax(axis=-1)
    dark = (radius > RADIUS_MM + 1) & (radius < RADIUS_MM + 5) & (off[..., 0] < 0)
    tissue[dark] = 1
    drawn = np.array([300, 500, 700])[tissue] + rng.normal(0, 20, GRID.shape)
    image = Volume(drawn.astype(np.float32), atlas.affine)
    everywhere = Volume(np.ones(GRID.shape, np.float32), atlas.affine)
    means = np.array([300.0, 500, 700])
    fit = begin(
        [image],
        Settings(bias_mm=0, scale=1, deep_grey="none", pure_means=False, outliers=False),
        mask=everywhere,
        means=means,
    )
    stages = fit.stages(lambda *_: ())
    plain, placed = (
        finish(fit.data, fit.settings, fit.optima, stages, one) for one in (None, atlas)
    )
    inner = dark[plain.index]
    assert (plain.labels[inner] == 2).mean() > 0.9
    assert (placed.labels[inner] == 3).mean() > 0.9
    np.testing.assert_array_equal(plain.labels[off[..., 0][plain.index] > 5],
                                  placed.labels[off[..., 0][plain.index] > 5])  # fmt: skip
    for one in (plain, placed):
        assert one.fractions.sum(axis=1) == pytest.approx(1, abs=1e-4)
    assert placed.volumes_ml.sum() == pytest.approx(plain.volumes_ml.sum(), rel=1e-5)
    assert placed.volumes_ml[0] == pytest.approx(plain.volumes_ml[0], rel=0.02)


def test_a_layer_of_grey_matter_too_thin_for_a_nucleus_is_fluid_and_white_matter() -> None:
    depth = np.broadcast_to(np.arange(40) - 20, (30, 30, 40))  # voxels of 0.9 mm
    index = tuple(axis.ravel() + 5 for axis in np.indices(depth.shape))
    near = index[0] < 30
    for layers, meets in ((1, True), (4, False)):
        tissue = np.where(depth < 0, 0, np.where(depth < layers, 1, 2)).ravel()
        fractions = np.eye(3, dtype=np.float32)[tissue]
        found = between_fluid_and_white(near, index, np.full(3, 0.9), fractions)
        inner = (np.abs(np.stack(index) - 20) < 10).all(axis=0)
        layer = found[inner & (tissue == 1)]
        assert layer.all() if meets else not layer.any()
        assert not found[~near].any()
        deep = (depth.ravel() < -5) | (depth.ravel() > 9)
        assert not found[deep].any()
    assert not between_fluid_and_white(np.zeros_like(near), index, np.ones(3), fractions).any()


def test_mixed_voxels_are_parted_as_bright_as_they_are() -> None:
    atlas, _, _ = ventricle(np.eye(4))
    means = np.array([200.0, 500.0, 700.0])
    index = tuple(axis.ravel() for axis in np.indices((50, 50, 50)))
    affine = np.eye(4)  # voxels of 1 mm about the middle of the ventricle
    affine[:3, 3] = np.array(VENTRICLE_MM) - 24.5
    off = np.stack(index, axis=1) - 24.5
    radius = np.linalg.norm(off, axis=1)
    layer = (radius > RADIUS_MM) & (radius < RADIUS_MM + 1)
    grey = layer | ((radius > RADIUS_MM) & (off[:, 0] > 5))
    tissue = np.where(grey, 1, np.where(radius <= RADIUS_MM, 0, 2))
    posteriors = np.tile(np.eye(3, dtype=np.float32)[tissue], (1, 2))
    without_false_grey(atlas, index, affine, means, posteriors)
    np.testing.assert_array_equal(posteriors[:, :3], posteriors[:, 3:])
    thin = layer & (off[:, 0] < 2)
    np.testing.assert_allclose(posteriors[thin, :3], [[0.4, 0, 0.6]] * thin.sum(), atol=1e-6)
    assert (posteriors[grey & (off[:, 0] > 8), 1] == 1).all()
    np.testing.assert_array_equal(posteriors[~grey, :3], np.eye(3)[tissue[~grey]])
