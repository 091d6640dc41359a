"""Cortical and subcortical grey matter, as maps tell them, and the five tissues of MRtrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import DataError, SettingsError
from emrecon.tissue.contrasts import CSF, GM, PARTS, WM
from emrecon.tissue.result import Segmentation
from emrecon.volume import Volume

Floats32 = NDArray[np.float32]


def deep_share(
    priors: Sequence[Volume], classes_of: Sequence[int], deep: Sequence[int]
) -> Floats32:
    """Return how much of the priors' grey matter is deep, 0 to 1, shape ``(i, j, k)``.

    Parameters
    ----------
    priors : sequence of Volume
        Probability maps on one grid.
    classes_of : sequence of int
        Class of each, from 1; empty for one a class.
    deep : sequence of int
        Numbers of the maps of deep grey matter, from 1.

    Raises
    ------
    SettingsError
        If a number is none of the maps', or not of one of several maps of grey matter.
    """
    owners = tuple(classes_of) or tuple(range(1, len(priors) + 1))
    grey = {n for n, owner in enumerate(owners, 1) if owner == GM + 1}
    if not set(deep) < grey:
        raise SettingsError(
            f"deep_priors {' '.join(map(str, deep))}: they are numbers of some of the priors of "
            f"grey matter (class 2), of which there are {' '.join(map(str, sorted(grey)))}; the "
            "others are the cortex's (--prior-classes says the class of each)"
        )
    total, own = (
        sum(np.clip(np.nan_to_num(priors[n - 1].voxels), 0, None) for n in numbers)
        for numbers in (grey, deep)
    )
    return np.asarray(own / np.maximum(total, 1e-6), np.float32)


def grey_parts(segmentation: Segmentation) -> dict[str, Floats32]:
    """Return the fractions of cortical and subcortical grey matter; none where maps do not tell.

    A voxel's grey matter is all of one kind: that which more of the maps' is there.
    """
    if segmentation.subcortical is None:
        return {}
    grey = segmentation.fractions[:, GM]
    parts = grey * ~segmentation.subcortical, grey * segmentation.subcortical
    return dict(zip(PARTS, parts, strict=True))


def five_tissues(segmentation: Segmentation) -> Volume:
    """Return MRtrix's five tissues, ``[t, i, j, k]``, cut to the mask with a voxel about it.

    Cortical and subcortical grey matter, white matter, fluid, and lesions as pathological tissue;
    their sum is 1 in the mask and 0 outside.

    Raises
    ------
    DataError
        If no maps tell which grey matter is deep.

    References
    ----------
    Smith et al., NeuroImage 62, 1924 (2012).
    """
    parts = grey_parts(segmentation)
    if not parts:
        raise DataError("five tissues need priors of deep grey matter (--deep-priors)")
    lesions = np.zeros(len(segmentation.fractions), np.float32)
    if segmentation.lesions is not None:
        lesions[segmentation.lesions] = 1
    every = [
        parts["CGM"],
        parts["SGM"],
        segmentation.fractions[:, WM],
        segmentation.fractions[:, CSF],
        lesions,
    ]
    whole = np.clip(np.stack(every), 0, 1)
    whole /= whole.sum(axis=0)
    first = [max(int(a.min()) - 1, 0) for a in segmentation.index]
    last = [
        min(int(a.max()) + 2, n)
        for a, n in zip(segmentation.index, segmentation.shape, strict=True)
    ]
    image = np.zeros((5, *(b - a for a, b in zip(first, last, strict=True))), np.float32)
    i, j, k = (a - f for a, f in zip(segmentation.index, first, strict=True))
    image[:, i, j, k] = whole
    affine = segmentation.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ first
    return Volume(image, affine)
