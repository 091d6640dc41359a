"""The number of classes, and what independent voxels have to do with it."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from emrecon.tissue.choose import compare_classes
from emrecon.tissue.settings import Settings
from emrecon.volume import Volume


def layered(noise: np.ndarray) -> Volume:
    """Three layers of 100, 200 and 300 with this noise."""
    levels = np.repeat([100.0, 200.0, 300.0], 12)[:, None, None]
    return Volume((levels + noise).astype(np.float32), np.eye(4))


def test_three_layers_are_three_classes() -> None:
    rng = np.random.default_rng(0)
    image = layered(rng.normal(0, 12, (36, 20, 20)))
    mask = Volume(np.ones((36, 20, 20), np.float32), np.eye(4))
    found = compare_classes([image], (2, 3, 4), Settings(mixed=0), mask=mask)
    assert min(found, key=lambda c: c.bic).classes == 3
    assert min(found, key=lambda c: c.icl).classes == 3
    best = found[1]
    assert best.gap > 5
    assert 0.7 * image.voxels.size < best.effective_voxels <= image.voxels.size


def test_smooth_noise_counts_for_fewer_voxels() -> None:
    rng = np.random.default_rng(1)
    smooth = gaussian_filter(rng.normal(size=(36, 20, 20)), 1.0)
    image = layered(12 * smooth / smooth.std())
    mask = Volume(np.ones((36, 20, 20), np.float32), np.eye(4))
    found = compare_classes([image], (2, 3), Settings(mixed=0), mask=mask)
    # a Gaussian of 1 voxel makes neighbours alike by exp(-1/4): (1 - r) / (1 + r) is 0.124
    expected = 0.124**3 * image.voxels.size
    assert expected / 2 < found[1].effective_voxels < 5 * expected  # the mean is taken off
