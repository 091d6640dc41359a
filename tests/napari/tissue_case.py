"""A small image of three tissues whose labels are known."""

from __future__ import annotations

import numpy as np

from emrecon.volume import Volume

SHAPE = (30, 34, 26)
MEANS = (60.0, 110.0, 160.0)
"""Of CSF, GM and WM, as in a T1 image."""


def case(seed=5):
    """Return an image with a bias field and 0 outside, its true labels, both LAS."""
    i, j, k = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in SHAPE), indexing="ij")
    radius = np.sqrt((i / 14) ** 2 + (j / 16) ** 2 + (k / 12) ** 2)
    truth = np.select([radius < 0.6, radius < 0.85, radius < 1.0], [3, 2, 1], 0)
    noise = np.random.default_rng(seed).normal(0, 6, SHAPE)
    field = 1 + 0.05 * np.sin(i / 20)
    image = np.where(truth > 0, (np.array((0, *MEANS))[truth] + noise) * field, 0)
    affine = np.diag([-2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = 31, -40, -20
    return (
        Volume(np.maximum(image, 0).astype(np.float32), affine),
        Volume(truth.astype(np.float32), affine),
    )
