"""Where several starts lead on a histogram or sample of the intensities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import DataError
from emrecon.tissue.classes import Classes
from emrecon.tissue.data import Data
from emrecon.tissue.layout import Layout
from emrecon.tissue.mixture import Mixture
from emrecon.tissue.settings import Settings
from emrecon.tissue.splitmerge import split_and_merge
from emrecon.tissue.stage_models import prior_of
from emrecon.tissue.starts import (
    Optimum,
    from_means,
    kmeans_means,
    quantile_means,
    search,
    with_outliers,
)

Floats = NDArray[np.float64]

BINS = 256
"""Bins of the histogram from which the starts of one channel are fitted."""

SAMPLE = 8_000
"""Voxels from which the starts of several channels are fitted."""


def starting_points(
    data: Data, layout: Layout, settings: Settings, user_starts: dict[str, Classes]
) -> list[Optimum]:
    """Return where several starts lead on a histogram or sample of the intensities, best first.

    Parameters
    ----------
    data : Data
        What is to be segmented.
    layout : Layout
        How components make up classes.
    settings : Settings
        Number of starts, priors, seed.
    user_starts : dict of Classes
        Starts to take in place of all others; but where that of an atlas, which nobody asked for
        by name, leads to classes out of order or hardly apart, others are taken that do not.

    Raises
    ------
    EmreconError
        If no start leads anywhere.
    """
    if len(data.values) == 1:
        values, counts = data.binned(BINS)
    else:
        values = data.standard(SAMPLE)
        counts = np.ones(len(values))
    prior = prior_of(settings, float(counts.sum()), data)
    model = Mixture(values, layout, settings.covariance, counts, prior=prior)
    given = search(model, user_starts, settings.unlike) if user_starts else []
    if given and not (settings.start == "auto" and "atlas" in user_starts and given[0].rank[0]):
        return given
    rng = np.random.default_rng(settings.seed)
    starts = _of_intensities(values, counts, layout, settings, rng)
    if layout.outliers:
        starts |= _fitted_without_outliers(model, starts)
    optima = split_and_merge(model, search(model, starts, settings.unlike), rng)
    if given:
        optima = sorted([*given, *optima], key=lambda one: (one.rank[0], one.start != "atlas"))
    return optima


def _of_intensities(
    values: Floats, counts: Floats, layout: Layout, settings: Settings, rng: np.random.Generator
) -> dict[str, Classes]:
    """Return starts from quantiles and k-means in turns, or one of them alone."""
    complete = ~np.isnan(values).any(axis=1)
    whole, many = values[complete], counts[complete]
    if len(whole) < layout.gaussians:
        raise DataError("too few voxels have all channels to start from: give means")
    spread, count = np.full(values.shape[1], 0.1), layout.gaussians
    starts: dict[str, Classes] = {}
    for number in range(settings.starts):
        kind = {"quantiles": 0, "k-means": 1}.get(settings.start, number % 2)
        if kind == 0:
            tail = 0.01 + 0.04 * (number // 2)
            means = quantile_means(whole, many, count, min(tail, 0.3))
            starts[f"quantiles {tail:.2f}"] = from_means(means, layout, spread)
        else:
            means = kmeans_means(whole, many, count, rng)
            starts[f"k-means {number // 2 + 1}"] = from_means(means, layout, spread)
    return starts


def _fitted_without_outliers(model: Mixture, starts: dict[str, Classes]) -> dict[str, Classes]:
    """Return where the starts lead without outliers, as further starts of a model with them.

    All are so ranked by one model, and the best does not hang on how outliers grew on the way.
    """
    layout = Layout.of(1) if model.layout is None else model.layout.inner()
    inner = {
        name: replace(start, weights=start.weights[:-1] / start.weights[:-1].sum())
        for name, start in starts.items()
    }
    optima = search(replace(model, layout=layout), inner)
    return {f"{one.start}, no outliers": with_outliers(one.classes) for one in optima}
