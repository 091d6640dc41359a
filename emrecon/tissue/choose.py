"""How many classes an image shows, judged with as many voxels as are independent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emrecon.tissue.choice import Choice
from emrecon.tissue.data import Data, gather, prepare, resized
from emrecon.tissue.information import Free
from emrecon.tissue.layout import Layout
from emrecon.tissue.mask import brain_mask
from emrecon.tissue.mixture import Mixture, Prior
from emrecon.tissue.settings import CANDIDATES, Settings
from emrecon.tissue.starting_points import starting_points
from emrecon.tissue.starts import Optimum
from emrecon.volume import Volume

Floats = NDArray[np.float64]

SAMPLE = 20_000
"""Voxels from which the criteria are computed."""


def compare_classes(
    images: Sequence[Volume],
    candidates: Sequence[int] = CANDIDATES,
    settings: Settings | None = None,
    *,
    mask: Volume | None = None,
) -> list[Choice]:
    """Return the criteria of several numbers of classes, on intensities alone.

    Neighbouring voxels err together, so the likelihood of all of them is taken for that of as
    many independent ones as the correlation of the residuals leaves: otherwise ever more classes
    would be found in ever finer images.

    Parameters
    ----------
    images : sequence of Volume
        Channels, corrected for any strong bias field.
    candidates : sequence of int, optional
        Numbers of classes.
    settings : Settings, optional
        Everything else about the mixture.
    mask : Volume, optional
        As in `emrecon.tissue.segment.segment`.

    Raises
    ------
    EmreconError
        If images and mask do not fit together, or hold nothing to segment.

    References
    ----------
    Schwarz, Ann. Stat. 6, 461 (1978); Biernacki, Celeux and Govaert, IEEE Trans. Pattern Anal.
    Mach. Intell. 22, 719 (2000).
    """
    settings = settings or Settings()
    images = [resized(one, 1 / settings.times) for one in images]
    mask = mask and resized(mask, 1 / settings.times)
    channels, region, affine = gather(images, mask, resample=settings.resample)
    if region is None:
        region = brain_mask(channels[0], Volume(channels[0], affine).spacing_mm)
    return compare(prepare(channels, region, affine, max(candidates)), candidates, settings)


def compare(data: Data, candidates: Sequence[int], settings: Settings) -> list[Choice]:
    """Return the criteria of several numbers of classes; see `compare_classes`."""
    chosen = [replace(settings, classes=k, criterion="icl", contrast="other") for k in candidates]
    layouts = [Layout.of(k, settings.gaussians, settings.mixed) for k in candidates]
    best = [
        starting_points(data, layout, one, {})[0]
        for layout, one in zip(layouts, chosen, strict=True)
    ]
    # too few classes leave structure in the residuals: the most independent ones tell of noise
    count = max(
        _independent(data, one.classes.means, layout)
        for one, layout in zip(best, layouts, strict=True)
    )
    return [
        _choice(data, one, layout, optimum, count)
        for one, layout, optimum in zip(chosen, layouts, best, strict=True)
    ]


def chosen(data: Data, settings: Settings) -> tuple[Settings, tuple[Choice, ...]]:
    """Return settings with a number of classes, and how well each compared with the others."""
    if settings.classes != "auto":
        return settings, ()
    choices = compare(data, CANDIDATES, settings)
    best = min(choices, key=lambda one: one.icl if settings.criterion == "icl" else one.bic)
    best_settings = replace(settings, classes=best.classes, criterion="icl", contrast="other")
    return best_settings, tuple(choices)


def _choice(data: Data, settings: Settings, layout: Layout, best: Optimum, count: float) -> Choice:
    values = data.standard(SAMPLE)
    model = Mixture(values, layout, settings.covariance, prior=Prior())
    log_likelihood = model.expect(best.classes)[1] / len(values)
    member = np.clip(model.memberships(best.classes), 1e-12, 1)
    shares = np.clip(member @ layout.fractions, 1e-12, 1)
    entropy = -float((shares * np.log(shares)).sum(axis=1).mean())
    size = Free(best.classes, layout, settings.covariance).size
    bic = -2 * count * log_likelihood + size * float(np.log(count))
    return Choice(settings.most_classes, bic, bic + 2 * count * entropy, best.gap, count)


def _independent(data: Data, means: Floats, layout: Layout) -> float:
    """Return the voxels over the volume, in voxels, within which residuals are alike."""
    standard = (data.values[0] - data.centre[0]) / data.scale[0]
    levels = np.sort(layout.mixing @ means[:, 0])
    edges = (levels[1:] + levels[:-1]) / 2
    departures = standard - levels[np.digitize(np.nan_to_num(standard), edges)]
    residual, known = np.zeros(data.mask.shape), np.zeros(data.mask.shape, bool)
    known[data.mask] = ~np.isnan(departures)
    residual[data.mask] = np.nan_to_num(departures - np.nanmean(departures))
    shrink = 1.0
    for axis in range(3):
        one, two = np.moveaxis(residual, axis, 0)[:-1], np.moveaxis(residual, axis, 0)[1:]
        pair = np.moveaxis(known, axis, 0)[:-1] & np.moveaxis(known, axis, 0)[1:]
        if pair.any():
            alike = float(np.mean((one * two)[pair])) / float(residual[known].var())
            alike = min(max(alike, 0.0), 0.99)
            shrink *= (1 - alike) / (1 + alike)
    return float(max(known.sum() * shrink, 2.0))
