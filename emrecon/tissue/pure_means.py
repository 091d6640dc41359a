"""Means of pure tissue, from the voxels where the image is flat.

In real brains many voxels lie between the tissues: mixed ones, deep nuclei, cortex rich in myelin,
white matter beside cortex. They draw the means of a mixture of all voxels together, and with them
every border. Where an image is flat voxels are seldom mixed; and whether it is flat is judged
without the voxel itself, so that its noise has no part in the choice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emrecon.tissue.classes import Classes
from emrecon.tissue.field import Image
from emrecon.tissue.layout import Layout
from emrecon.tissue.mixture import Mixture, Prior
from emrecon.tissue.starts import fit, gap

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]

FLATTEST = 0.5
"""Share of the voxels that count as flat."""

COMMON = 0.7
"""Voxels of the classes' common covariance that each class starts with, in those of a class if
all were equal: without them one class widens and takes what lies between it and the next."""

LEAST = 0.003
"""Share of the flat voxels below which a class is not shown: narrow ventricles hold 1 %."""

BINS = 512
"""Bins of the histogram of one channel."""

SAMPLE = 20_000
"""Flat voxels taken of several channels."""


def flat_voxels(image: Image, corrected: Floats32) -> NDArray[np.bool_]:
    """Return which voxels have the least slopes between their six neighbours, shape ``(n,)``.

    Voxels at the edge of the mask have no slope, and do not count as flat.

    Parameters
    ----------
    image : Image
        The model, which says where its voxels lie.
    corrected : float32 array, shape (c, n)
        Standardised intensities without the field.
    """
    near, square = image.lattice, np.zeros(image.lattice.size, np.float32)
    numbers, strides = near.numbers, (near.shape[1] * near.shape[2], near.shape[2], 1)
    padded = np.pad(corrected, ((0, 0), (0, 1)), constant_values=np.nan)
    for stride, spacing in zip(strides, image.spacing_mm, strict=True):
        after, before = (numbers[near.places + step] for step in (stride, -stride))
        for values in padded:
            square += ((values[after] - values[before]) / np.float32(spacing)) ** 2
    inner = np.isfinite(square)
    if not inner.any():
        return inner
    return np.asarray(inner & (square <= np.quantile(square[inner], FLATTEST)))


def pure_means(image: Image, classes: Classes) -> Classes | None:
    """Return a mixture of the flat voxels, or none where they do not show every class.

    Parameters
    ----------
    image : Image
        An image without field of its own.
    classes : Classes
        Where to start, in order of brightness.
    """
    corrected = image.corrected(np.zeros((len(image.values), 0)))
    flat = flat_voxels(image, corrected)
    if not flat.any():
        return None
    voxels, counts = _summary(corrected[:, flat].astype(np.float64))
    layout = Layout.of(len(classes.means))
    prior = Prior(common=COMMON * float(counts.sum()) / layout.gaussians)
    model = Mixture(voxels, layout, "full", counts, prior=prior)
    equal = np.full(layout.gaussians, 1 / layout.gaussians)
    start = Classes(equal, classes.means, classes.covariances)
    pure = fit(model, start, iterations=200)[0].params
    shown = pure.weights.min() >= LEAST and gap(pure) >= 1
    return pure if shown else None


def _summary(values: Floats) -> tuple[Floats, Floats]:
    """Return the histogram of one channel, or some voxels of several: values and counts."""
    if len(values) > 1:
        some = values[:, :: max(values.shape[1] // SAMPLE, 1)].T
        return some, np.ones(len(some))
    counts, edges = np.histogram(values[0], BINS)
    middle = (edges[1:] + edges[:-1]) / 2
    return middle[counts > 0, None], counts[counts > 0].astype(np.float64)
