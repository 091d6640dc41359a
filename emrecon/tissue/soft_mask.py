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
    known = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    highest = float(known.max(initial=0.0))
    if np.array_equal(values, image, equal_nan=True):
        return np.asarray(known != 0)
    inside = known[known > highest / 2]
    middle = float(np.median(inside)) if inside.size else 0.0
    plateau = bool(inside.size) and np.mean(np.abs(inside - middle) <= _SAME * middle) >= 0.5
    if (known == np.rint(known)).all() and not (plateau and _graded(known, middle)):
        return np.asarray(known > 0)
    if not plateau and highest > _UNIT:
        return np.asarray(known != 0)
    half = middle / 2 if plateau else 0.5
    log.warning("%s is not of 0 and 1 alone: it is cut at one half, %.3g", what, half)
    return np.asarray(known > half)


def _graded(known: NDArray[np.float32], middle: float) -> bool:
    """Return whether whole numbers are levels of a mask, and no labels: most are there."""
    highest = float(known.max())
    levels = len(np.unique(known[(known > 0) & (known < middle)]))
    return middle >= _LEVELS and middle >= (1 - _SAME) * highest and levels > middle / 4
