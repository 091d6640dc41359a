"""Lesions in a brain of known tissues: bright spots in white matter, and cavities of fluid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import DataError
from phantoms.mri import Brain, Floats

CSF, GM, WM = range(3)

OVER_GREY = {"T1": 1.0, "T2": 1.4, "PD": 1.2, "FLAIR": 1.5}
"""Signal of a lesion of white matter beside that of grey matter, about so; alike in T1."""


def spots(
    brain: Brain, count: int, radius_mm: tuple[float, float], rng: np.random.Generator
) -> Floats:
    """Return the share of each voxel that ball-shaped lesions deep in white matter have.

    Parameters
    ----------
    brain : Brain
        Its tissues.
    count : int
        Lesions; they may overlap.
    radius_mm : (float, float)
        Least and largest radius.
    rng : numpy.random.Generator
        Of places and radii.

    Raises
    ------
    DataError
        If no white matter is deep enough.
    """
    from scipy.ndimage import distance_transform_edt  # noqa: PLC0415 - heavy, seldom needed

    deep = distance_transform_edt(brain.fractions[..., WM] > 0.5, brain.spacing_mm)
    places = np.argwhere(deep >= min(radius_mm))
    if not len(places):
        raise DataError(f"no white matter is {min(radius_mm):g} mm deep")
    share = np.zeros(brain.mask.shape, np.float32)
    for place in places[rng.choice(len(places), count)]:
        share = np.maximum(share, ball(brain, place, rng.uniform(*radius_mm)))
    return np.asarray(share * brain.fractions[..., WM], np.float32)


def ball(brain: Brain, place: NDArray[np.integer], radius_mm: float) -> Floats:
    """Return the share of each voxel within a ball about a voxel."""
    away = [
        (np.arange(n) - at) * d
        for n, at, d in zip(brain.mask.shape, place, brain.spacing_mm, strict=True)
    ]
    x, y, z = np.ix_(*away)
    inside = (radius_mm - np.sqrt(x**2 + y**2 + z**2)) / float(brain.spacing_mm.mean()) + 0.5
    return np.asarray(np.clip(inside, 0, 1), np.float32)


def hollowed(brain: Brain, share: Floats) -> Brain:
    """Return a brain whose tissue is replaced by fluid, where a cavity has a share of voxels."""
    fractions = brain.fractions * (1 - share[..., None])
    fractions[..., CSF] += share * brain.fractions.sum(axis=-1)
    return replace(brain, fractions=fractions)
