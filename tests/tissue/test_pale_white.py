"""What is dark beside the ventricles is white where an average brain has no grey matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from emrecon.io.head_maps import installed_maps
from emrecon.tissue.atlas import stack, thinned
from emrecon.tissue.maps import Atlas
from emrecon.tissue.pale_white import (
    BESIDE_MM,
    CLEAR_MM,
    VENTRICLE_MM,
    beside_ventricles,
    without_pale_white,
)
from emrecon.volume import Grid

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


@pytest.mark.parametrize("radius_mm", [RADIUS_MM, 11.0])
@pytest.mark.parametrize("turned", [False, True])
def test_what_is_beside_the_ventricle_and_clear_of_grey_matter_is_found(
    radius_mm: float, *, turned: bool
) -> None:
    matrix = np.eye(4)
    if turned:  # the image's axes run otherwise
        matrix = np.array([[0, 1, 0, 3], [-1, 0, 0, -5], [0, 0, 1, 2], [0, 0, 0, 1]], np.float64)
    atlas, off, radius = ventricle(matrix)
    index = tuple(axis.ravel() for axis in np.indices(GRID.shape))
    affine = np.linalg.inv(matrix) @ atlas.affine  # of an image of the same voxels
    fluid = radius < radius_mm
    found = beside_ventricles(atlas, index, affine, fluid.ravel()).reshape(GRID.shape)
    wide = radius_mm - RADIUS_MM  # pushes white and grey matter off, along the way out
    beside = (radius > radius_mm) & (radius < radius_mm + BESIDE_MM - 2)
    clear = off[..., 0] * (1 - wide / radius) < 5 - CLEAR_MM - 3
    assert found[beside & clear].all()
    grey = off[..., 0] * (1 - 0.7 * wide / radius) > 5
    assert not found[grey].any()
    assert not found[fluid].any()
    assert not found[radius > radius_mm + BESIDE_MM + 1].any()


def test_wide_ventricles_push_off_the_white_matter_that_the_average_has_at_its_own() -> None:
    atlas, _, radius = ventricle(np.eye(4))
    grey = radius > RADIUS_MM + 5
    maps = np.stack([radius < RADIUS_MM, grey, (radius >= RADIUS_MM) & ~grey], axis=-1)
    atlas = replace(atlas, maps=maps.astype(np.float32))
    index = tuple(axis.ravel() for axis in np.indices(GRID.shape))
    wide_mm = RADIUS_MM + 6  # where the average has grey matter alone
    found = beside_ventricles(atlas, index, atlas.affine, radius.ravel() < wide_mm)
    found = found.reshape(GRID.shape)
    assert found[(radius > wide_mm) & (radius < wide_mm + 1.5)].mean() > 0.8
    assert not found[radius > wide_mm + 5].any()


def test_maps_that_have_no_fluid_where_the_ventricle_is_tell_nothing() -> None:
    atlas, _, _ = ventricle(np.eye(4))
    index = tuple(axis.ravel() for axis in np.indices(GRID.shape))
    fluid = atlas.maps[..., 0].ravel() > 0.5
    assert beside_ventricles(atlas, index, atlas.affine, fluid).any()
    dry = replace(atlas, maps=atlas.maps[..., ::-1].copy())  # grey matter's map stays
    assert not beside_ventricles(dry, index, atlas.affine, fluid).any()
    away = atlas.affine + np.pad([[500.0]] * 3, ((0, 1), (3, 0)))
    assert not beside_ventricles(replace(atlas, affine=away), index, away, fluid).any()
    assert not beside_ventricles(atlas, index, away, fluid).any()  # an image beyond the maps


def test_an_image_without_fluid_where_the_average_has_ventricles_tells_nothing() -> None:
    atlas, off, _ = ventricle(np.eye(4))
    index = tuple(axis.ravel() for axis in np.indices(GRID.shape))
    for fluid in (np.zeros(GRID.shape, bool), np.linalg.norm(off - 25, axis=-1) < RADIUS_MM):
        assert not beside_ventricles(atlas, index, atlas.affine, fluid.ravel()).any()


def test_the_installed_average_has_ventricles_of_an_adult_beside_which_there_is_white() -> None:
    maps = installed_maps()
    if not maps:
        pytest.skip("no maps of an average brain")
    thin, affine = thinned(*stack(maps, 3, ()))
    index = tuple(axis.ravel() for axis in np.indices(thin.shape[:3]))
    fluid = thin[..., 0].ravel() > 0.5
    found = beside_ventricles(Atlas(thin, affine, np.eye(4)), index, affine, fluid)
    share = thin.reshape(-1, 3)[found].mean(axis=0)
    assert 20 < found.sum() * 0.008 < 60  # mL
    assert share[1] < 0.2
    assert share[2] > 0.7


def test_a_dark_rim_of_the_ventricle_is_white_and_no_voxel_is_lost() -> None:
    atlas, off, radius = ventricle(np.eye(4))
    index = tuple(axis.ravel() for axis in np.indices(GRID.shape))
    tissue = atlas.maps.argmax(axis=-1)
    dark = (radius > RADIUS_MM) & (radius < RADIUS_MM + 4) & (off[..., 0] < 0)
    tissue[dark] = 1
    posteriors = np.tile(np.eye(3, dtype=np.float32)[tissue.ravel()], (1, 2))
    before = posteriors.copy()
    voxels = without_pale_white(atlas, index, atlas.affine, posteriors)
    np.testing.assert_array_equal(posteriors[:, :3], posteriors[:, 3:])
    labels = posteriors[:, :3].argmax(axis=1).reshape(GRID.shape)
    assert (labels[dark] == 2).all()
    np.testing.assert_array_equal(
        labels[~dark & (off[..., 0] > 5)], tissue[~dark & (off[..., 0] > 5)]
    )
    moved = before.sum(axis=0) - posteriors.sum(axis=0)
    assert moved[:3].tolist() == [0, voxels, -voxels]
    assert voxels >= dark.sum()
