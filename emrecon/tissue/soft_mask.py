"""Masks that were interpolated, or stand for probabilities: cut at one half."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

_SAME = 0.03
"""How far, as a share, voxels inside an interpolated mask lie from one another."""

_LEVELS = 50
"""Least value inside of a mask of whole numbers that were interpolated: 100 or 255, often."""

_UNIT = 1.25
"""Largest value of probabilities, with what an interpolation adds."""


def as_flags(
    values: NDArray[np.float32], image: NDArray[np.float32], what: str
) -> NDArray[np.bool_]:
    """Return where a mask is set.

    Whole numbers are set above 0, intensities of an image where they are not 0. Other numbers up
    to 1, or most of which inside are alike, are a mask that was interpolated, dust far outside
    included: they are set above one half of the value inside, and a warning says so. So are whole
    numbers that run through most levels up to the one inside, such as 0 to 255.

    Parameters
    ----------
    values : ndarray
        The mask.
    image : ndarray
        The image that it belongs to, which may be its own mask.
    what : str
        Name of the mask, for the warning.
    """
    known = np.where(np.isfinite(values), values, np.float32(0))
    if _same(values, image):
        return np.asarray(known != 0)
    shown = known[known != 0]
    highest = float(shown.max(initial=0.0))
    inside = shown[shown > highest / 2]
    middle = float(np.median(inside)) if inside.size else 0.0
    plateau = bool(inside.size) and np.mean(np.abs(inside - middle) <= _SAME * middle) >= 0.5
    if (shown == np.rint(shown)).all() and not (plateau and _graded(shown, middle)):
        return np.asarray(known > 0)
    if not plateau and highest > _UNIT:
        return np.asarray(known != 0)
    half = middle / 2 if plateau else 0.5
    log.warning("%s is not of 0 and 1 alone: it is cut at one half, %.3g", what, half)
    return np.asarray(known > half)


def _same(values: NDArray[np.float32], image: NDArray[np.float32]) -> bool:
    """Return whether two arrays are equal, NaN included; most are told apart by a few values."""
    few = (slice(None, None, 16),)
    return all(np.array_equal(values[at], image[at], equal_nan=True) for at in (few, ...))


def _graded(shown: NDArray[np.float32], middle: float) -> bool:
    """Return whether whole numbers are levels of a mask, and no labels: most are there."""
    highest = float(shown.max())
    levels = len(np.unique(shown[(shown > 0) & (shown < middle)]))
    return middle >= _LEVELS and middle >= (1 - _SAME) * highest and levels > middle / 4
