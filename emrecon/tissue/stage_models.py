"""The models of a segmentation's stages: means of ever smaller blocks, then the whole image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emrecon.neighbours import neighbourhood
from emrecon.tissue.bias import basis
from emrecon.tissue.data import Data
from emrecon.tissue.field import Image, State
from emrecon.tissue.lattice import lattice
from emrecon.tissue.layout import Layout
from emrecon.tissue.maps import Atlas
from emrecon.tissue.mixture import Prior
from emrecon.tissue.moments import Rules
from emrecon.tissue.result import Stage
from emrecon.tissue.settings import Settings

Floats32 = NDArray[np.float32]
Strides = tuple[int, int, int]
"""Voxel steps along i, j, k of a stage."""

STRIDES_MM = (4.0, 2.0)
"""Voxel distances of the coarse stages before the full image."""

FEW = 100_000
"""An image of fewer voxels has no coarse stage."""

LEAST_BLOCKS = 1000
"""Blocks of which there are fewer show nothing."""

BEGIN = 1.0
"""Strength of the spatial field before it is estimated."""

FIELD_WEIGHT = 1e-2
"""Prior precision of the slowest function of the bias field, per voxel of the mask."""


def shows_details(data: Data, settings: Settings) -> bool:
    """Return whether an image shows deep nuclei and thin layers as an adult's T1 does."""
    return settings.shows_nuclei and data.values.shape[1] > FEW


def prior_of(settings: Settings, voxels: float, data: Data) -> Prior:
    """Return the prior of weights and covariances, worth a share of so many voxels."""
    channels = len(data.centre)
    return Prior(settings.weight_prior * voxels, 0.01 * voxels, 0.05 * np.eye(channels))


def strides_of(data: Data) -> Iterator[Strides]:
    """Yield the voxel steps of each stage, from coarse to 1.

    Yields
    ------
    tuple of int
        Steps along i, j, k.
    """
    last = None
    for distance in STRIDES_MM:
        i, j, k = (max(round(distance / d), 1) for d in data.spacing_mm)
        enough = data.mask.sum() > max(FEW, LEAST_BLOCKS * i * j * k)
        if max(i, j, k) > 1 and (i, j, k) != last and enough:
            last = (i, j, k)
            yield last
    yield (1, 1, 1)


def model_of(
    data: Data,
    layout: Layout,
    settings: Settings,
    stride: tuple[int, int, int],
    atlas: Atlas | None,
    bias_mm: float,
) -> Image:
    """Return the model of the image, or of the means of blocks of it; 0 mm is no bias field."""
    averaged = data.averaged(stride)
    i, j, k = averaged.spacing_mm
    count = settings.neighbours
    if count == 12 and (bias_mm or stride != (1, 1, 1)):
        count = 6  # bends of blocks tell nothing, and what shows a field was measured with 6
    near = neighbourhood(count, (i, j, k))
    sites = lattice(averaged.mask, averaged.values, near)
    values = np.nan_to_num(averaged.values[:, sites.order], copy=False)
    rules = Rules(
        layout, settings.covariance, 1e-6, prior_of(settings, sites.size, data), sites.seen, -2.0
    )
    functions = None
    if bias_mm:
        functions = basis(
            sites.shape, sites.places, (i, j, k), bias_mm,
            FIELD_WEIGHT * sites.size, 5.0 if stride == (1, 1, 1) else 8.0,
        )  # fmt: skip
        functions = functions if len(functions.modes) else None
    external = None
    if atlas is not None:
        external = atlas.log_prior(sites.index, averaged.affine, settings.atlas_weight)
    beta = BEGIN if settings.beta == "auto" else settings.beta
    return Image(
        values,
        sites,
        rules,
        data.centre,
        data.scale,
        beta,
        functions,
        external,
        (i, j, k),
    )


def begun_from(
    coarse: Stage, image: Image, state: State, *, fixed: bool
) -> tuple[Image, State, Floats32 | None]:
    """Return where a finer stage begins: with the fractions and the field of the coarser one.

    With `fixed` the image is divided by the field, which comes last, and has none of its own.
    """
    near, old = image.lattice, coarse.image.lattice
    ratio = [round(a / b) for a, b in zip(coarse.image.spacing_mm, image.spacing_mm, strict=True)]
    inside = [
        np.clip((np.arange(n) + c) // r - o, 0, m - 1)
        for n, c, r, o, m in zip(
            near.shape, near.corner, ratio, old.corner, old.shape, strict=True
        )
    ]  # fmt: skip
    from_ = old.numbers.reshape(old.shape)[np.ix_(*inside)].ravel()[near.places]
    fractions = near.blank(state.fractions.shape[1])
    for of_class, old_class in zip(fractions.T, coarse.state.fractions.T, strict=True):
        np.take(old_class, from_, out=of_class[:-1], mode="clip")
    bias, basis = coarse.state.bias, coarse.image.basis
    begun = replace(state, fractions=fractions)
    if basis is None:
        return image, begun, None
    if image.basis is not None and not fixed and image.basis.modes.shape == basis.modes.shape:
        return image, replace(begun, bias=bias), None
    if not fixed:
        return image, begun, None
    corner = [
        o * d - c * e
        for o, d, c, e in zip(
            old.corner, coarse.image.spacing_mm, near.corner, image.spacing_mm, strict=True
        )
    ]
    log_field = image.log_field(bias, basis, np.array(corner))
    level = replace(begun, bias=np.zeros((len(bias), 0)))
    return image.without(log_field), level, log_field
