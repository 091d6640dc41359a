"""Layers of grey matter between fluid and white matter are mixed voxels where they are thin."""

from __future__ import annotations

import numpy as np
import pytest

from emrecon.tissue.segment import segment
from emrecon.tissue.settings import Settings
from emrecon.tissue.thin_grey import DEEP_MM, between_fluid_and_white, without_thin_grey
from emrecon.volume import Grid, Volume
from phantoms.brain import brain
from phantoms.mri import Scan, acquire, from_phantom


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


@pytest.mark.parametrize("depth_mm", [DEEP_MM + 1, DEEP_MM - 1, None])
def test_thin_layers_deep_in_the_mask_are_parted_as_bright_as_they_are(
    depth_mm: float | None,
) -> None:
    means = np.array([200.0, 500.0, 700.0])
    index = tuple(axis.ravel() for axis in np.indices((50, 50, 50)))
    off = np.stack(index, axis=1) - 24.5
    radius = np.linalg.norm(off, axis=1)
    layer = (radius > 8) & (radius < 9)
    grey = layer | ((radius > 8) & (off[:, 0] > 5))
    tissue = np.where(grey, 1, np.where(radius <= 8, 0, 2))
    posteriors = np.tile(np.eye(3, dtype=np.float32)[tissue], (1, 2))
    depth = None if depth_mm is None else np.full(len(radius), depth_mm, np.float32)
    before = posteriors.copy()
    voxels = without_thin_grey(depth, index, np.ones(3), means, posteriors)
    if depth_mm is not None and depth_mm < DEEP_MM:
        np.testing.assert_array_equal(posteriors, before)
        assert voxels == 0
        return
    np.testing.assert_array_equal(posteriors[:, :3], posteriors[:, 3:])
    thin = layer & (off[:, 0] < 2)
    np.testing.assert_allclose(posteriors[thin, :3], [[0.4, 0, 0.6]] * thin.sum(), atol=1e-6)
    assert (posteriors[grey & (off[:, 0] > 8), 1] == 1).all()
    np.testing.assert_array_equal(posteriors[~grey, :3], np.eye(3)[tissue[~grey]])
    assert voxels == before[:, 1].sum() - posteriors[:, 1].sum()


@pytest.mark.parametrize(
    ("settings", "looked_for"),
    [
        (Settings(contrast="T1", bias_mm=0), True),
        (Settings(contrast="T1", bias_mm=0, deep_grey="none"), False),
        (Settings(contrast="other", bias_mm=0), False),
    ],
)
def test_they_are_looked_for_without_maps_in_a_t1_alone(
    settings: Settings, *, looked_for: bool
) -> None:
    grid = Grid.centred((84, 96, 90), (2.0, 2.0, 2.0))
    truth = from_phantom(brain(), {3: 1, 4: 2, 5: 3, 6: 2, 7: 2}, grid)
    image, _ = acquire(truth, Scan(noise_percent=2), np.random.default_rng(0))
    found = segment([image], settings, mask=Volume(truth.mask.astype(np.float32), truth.affine))
    assert (found.thin_grey_ml > 0) == looked_for
    assert found.pale_white_ml == 0
    assert found.fractions.sum(axis=1) == pytest.approx(1, abs=1e-4)
