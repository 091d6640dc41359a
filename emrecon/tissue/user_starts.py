"""Starts that the user gives: means, a label image, or an atlas laid on the image."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emrecon.errors import DataError, SettingsError
from emrecon.tissue.classes import Classes
from emrecon.tissue.data import Data
from emrecon.tissue.layout import Layout
from emrecon.tissue.maps import Atlas
from emrecon.tissue.settings import Settings
from emrecon.tissue.starts import from_labels, from_means

SURE = 0.7
"""Share of the atlas's classes from which a voxel counts as one of them."""


def means_start(means: ArrayLike, data: Data, layout: Layout) -> Classes:
    """Return classes about given means in the image's units, shape ``(g,)`` or ``(g, c)``.

    Raises
    ------
    SettingsError
        If they are not as many as Gaussians and channels, or not finite.
    """
    wanted = np.asarray(means, np.float64)
    wanted = wanted.reshape(len(wanted), -1)
    channels = len(data.values)
    if wanted.shape != (layout.gaussians, channels):
        raise SettingsError(
            f"{layout.gaussians} Gaussians of {channels} channels need as many means, "
            f"not {wanted.shape}"
        )
    ends = np.nanmin(data.values, axis=1), np.nanmax(data.values, axis=1)
    low, high = (end + data.taken_off for end in ends)
    beyond = ~((low - (high - low) <= wanted) & (wanted <= high + (high - low)))  # NaN, too
    if beyond.any() or len(np.unique(wanted, axis=0)) < len(wanted):
        raise SettingsError(
            f"means are distinct intensities of the image ({low[0]:g} to {high[0]:g} in channel "
            f"1), not {', '.join(f'{one:g}' for one in wanted.ravel())}"
        )
    return from_means(
        (wanted - data.taken_off - data.centre) / data.scale, layout, np.full(channels, 0.1)
    )


def labels_start(
    labels: NDArray[np.float32], data: Data, layout: Layout, settings: Settings
) -> Classes:
    """Return classes with the means of labelled voxels.

    Parameters
    ----------
    labels : array, shape (i, j, k)
        1 to k in the order of the class names, 0 where not known.
    data : Data
        What is to be segmented.
    layout : Layout
        How components make up classes.
    settings : Settings
        Names and their order of brightness.

    Raises
    ------
    DataError
        If a label is none of the classes', a class has no voxel, or the classes are not in the
        order of brightness that their names stand for.
    """
    own = np.nan_to_num(labels[data.mask])
    if own.min(initial=0) < 0 or own.max(initial=0) > settings.most_classes:
        raise DataError(
            f"the start's labels go from {own.min():g} to {own.max():g}: {settings.most_classes} "
            f"classes have labels 1 to {settings.most_classes}, and 0 is none"
        )
    if (own != np.rint(own)).any():
        raise DataError("the start's labels are not whole numbers")
    known = own > 0
    rank = own[known].astype(np.intp)
    rank = settings.ranks[rank - 1] + 1
    values = data.values[:, known].T
    standard = ((values - data.centre) / data.scale).astype(np.float64)
    return _from_ranks(standard, rank, layout, settings, "the start's labels")


def atlas_start(atlas: Atlas, data: Data, layout: Layout, settings: Settings) -> Classes:
    """Return classes with the means of the voxels that an atlas is sure of.

    Raises
    ------
    DataError
        If the atlas is sure of no voxel of a class, or puts the classes in an order of
        brightness other than that of their names.
    """
    places = np.nonzero(data.mask)
    step = max(len(places[0]) // 200_000, 1)
    index = [a[::step] for a in places]
    chance = atlas.at(index, data.affine)
    sure = chance.max(axis=1) > SURE
    rank = chance[sure].argmax(axis=1) + 1
    values = data.values[:, ::step][:, sure].T
    standard = ((values - data.centre) / data.scale).astype(np.float64)
    return _from_ranks(standard, rank, layout, settings, "the priors")


def _from_ranks(
    values: NDArray[np.float64],
    ranks: NDArray[np.intp],
    layout: Layout,
    settings: Settings,
    what: str,
) -> Classes:
    """Return classes from standardised values of voxels whose rank in brightness is given."""
    each = layout.gaussians // layout.classes
    parts = np.zeros(len(ranks), np.intp)
    levels = []
    for rank in range(1, layout.classes + 1):
        own = np.flatnonzero((ranks == rank) & ~np.isnan(values[:, 0]))
        if len(own) < each:
            name = settings.names[settings.dark_first[rank - 1]]
            raise DataError(f"{what} give {name} no voxel with the first channel in the mask")
        levels.append(float(np.median(values[own, 0])))
        order = np.argsort(np.argsort(values[own, 0], kind="stable"), kind="stable")
        parts[own] = (rank - 1) * each + order * each // len(own) + 1
    if (np.diff(levels) <= 0).any():
        raise DataError(
            f"{what} put the classes in another order of brightness than an image "
            f"that is {settings.weighted} has them: check the order of the classes, the "
            "contrast, and that they lie on the image the right way round. A head stripped "
            "without --mask may lack the fluid: then give a mask that holds it"
        )
    return from_labels(values, parts, layout)
