"""Layers that seem grey matter in a T1-weighted image and are too thin to be any.

A voxel that fluid and white matter share is as dark as grey matter. Where the two meet, in the
ventricles' walls, a layer of such voxels is thinner than any cortex or nucleus.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emrecon.tissue.contrasts import CSF, GM, WM

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Flags = NDArray[np.bool_]

DEEP_MM = 20.0
"""How deep under the outside of the mask such layers are looked for: cortex that lies as deep is
thicker than that of the central and calcarine sulci. From 15 to 30 mm real brains fare alike."""

ABOUT_MM = 1.5
"""Standard deviation of the Gaussian by which the tissues about a voxel count."""

THIN, BOTH = 0.4, 0.1
"""Most grey matter, and least fluid and white matter, about a mixed voxel: a layer of grey matter
between the two is then thinner than 1.6 mm. With 0.5 simulated caudate nuclei lose their tails."""


def without_thin_grey(
    depth_mm: Floats32 | None,
    index: Sequence[NDArray[np.integer]],
    spacing_mm: Floats,
    means: Floats,
    posteriors: Floats32,
) -> float:
    """Part the grey matter of thin layers into fluid and white matter, in place.

    In proportions that are as bright as it. Return how many voxels of grey matter that was.

    Parameters
    ----------
    depth_mm : array, shape (n,), optional
        How deep the voxels lie in the mask. Where that is not known, as in a mask into which all
        sulci are cut, they may lie anywhere.
    index : sequence of arrays
        Where the voxels lie.
    spacing_mm : array, shape (3,)
        Distance of neighbouring voxels.
    means : array, shape (3,)
        Brightness of CSF, grey and white matter.
    posteriors : float32 array, shape (n, 6)
        Fractions of CSF, grey and white matter, and the chances of each.
    """
    near = np.ones(len(posteriors), bool) if depth_mm is None else depth_mm > DEEP_MM
    mixed = between_fluid_and_white(near, index, spacing_mm, posteriors[:, :3])
    white = float(np.clip((means[GM] - means[CSF]) / (means[WM] - means[CSF]), 0, 1))
    return parted(posteriors, mixed, white)


def parted(posteriors: Floats32, where: Flags, white: float) -> float:
    """Make grey matter white by a share and fluid else, in place; return how many voxels it was.

    Parameters
    ----------
    posteriors : float32 array, shape (n, 6)
        Fractions of CSF, grey and white matter, and the chances of each.
    where : array, shape (n,)
        The voxels.
    white : float
        The share, 0 to 1.
    """
    count = float(posteriors[where, GM].sum(dtype=np.float64))
    for first in (0, 3):
        grey = posteriors[where, first + GM]
        posteriors[where, first + WM] += np.float32(white) * grey
        posteriors[where, first + CSF] += np.float32(1 - white) * grey
        posteriors[where, first + GM] = 0
    return count


def between_fluid_and_white(
    near: Flags,
    index: Sequence[NDArray[np.integer]],
    spacing_mm: Floats,
    fractions: Floats32,
) -> Flags:
    """Return in which voxels fluid and white matter meet without grey matter between, ``(n,)``.

    Parameters
    ----------
    near : array, shape (n,)
        Voxels that are asked for.
    index : sequence of arrays
        Where the voxels lie.
    spacing_mm : array, shape (3,)
        Distance of neighbouring voxels.
    fractions : float32 array, shape (n, 3)
        Of CSF, grey and white matter.
    """
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - slow to load

    meet = np.zeros(len(near), bool)
    if not near.any():
        return meet
    width = ABOUT_MM / spacing_mm
    boxed = np.ones(len(near), bool)
    corner, shape = [], []
    for axis, margin in zip(index, np.ceil(3 * width).astype(int), strict=True):
        low, high = axis[near].min() - margin, axis[near].max() + margin
        boxed &= (axis >= low) & (axis <= high)
        corner.append(low)
        shape.append(high - low + 1)
    inner = tuple(axis[boxed] - low for axis, low in zip(index, corner, strict=True))
    about = []
    for tissue in (CSF, GM, WM):
        drawn = np.zeros(shape, np.float32)
        drawn[inner] = fractions[boxed, tissue]
        about.append(gaussian_filter(drawn, width, mode="constant", truncate=3.0)[inner])
    fluid, grey, white = about
    meet[boxed] = (grey < THIN) & (fluid > BOTH) & (white > BOTH)
    return meet & near
