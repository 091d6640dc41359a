"""Where a mixture may start, and which of several ends to believe.

The likelihood of intensities has several optima, and on real scans the highest is not always the
anatomy. Fits from several starts are therefore ranked by a penalised likelihood, with priors on
weights and variances, and those with two classes in one place, or with fluid where the contrast
cannot have it, come last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from emrecon.brief import brief
from emrecon.em import Iterate, em, last, until
from emrecon.errors import DataError, EmreconError
from emrecon.squarem import Squarem
from emrecon.stop import Enough, Flat, after
from emrecon.tissue.classes import Classes
from emrecon.tissue.layout import Layout
from emrecon.tissue.mixture import Mixture

Floats = NDArray[np.float64]

OUTLIERS = 1e-3
"""Weight of the outliers that a fit starts with."""


@dataclass(frozen=True, eq=False)
class Optimum:
    """Where one start led."""

    start: str
    """How the start was made."""

    classes: Classes
    """Parameters found."""

    posterior: float
    """Penalised log-likelihood a voxel."""

    gap: float
    """Least distance of two classes' means, in standard deviations."""

    converged: bool
    """Whether the likelihood had come to rest."""

    unlike: bool = False
    """Whether fluid is too near grey matter for the contrast."""

    __repr__ = brief

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """What the optima are ordered by: the better one is less."""
        return self.gap < 1, self.unlike, -self.posterior


def from_means(means: Floats, layout: Layout, spread: Floats) -> Classes:
    """Return classes with equal weights about given means, ``(g, c)``, in order of brightness.

    `spread` is the variance of each channel, ``(c,)``.
    """
    ordered = means[np.argsort(means[:, 0], kind="stable")]
    covariances = np.repeat(np.diag(spread)[None], len(ordered), axis=0)
    weights = np.where(np.arange(len(layout.mixing)) < layout.gaussians, 1.0, 0.3)
    if layout.outliers:
        weights[-1] = OUTLIERS
    groups = layout.gather(weights)
    return Classes(layout.spread(groups / groups.sum()), ordered, covariances)


def from_labels(values: Floats, labels: NDArray[np.integer], layout: Layout) -> Classes:
    """Return classes with the means of labelled voxels; labels are 1 to k, 0 is none.

    Raises
    ------
    DataError
        If a class has no voxel.
    """
    means = np.empty((layout.gaussians, values.shape[1]))
    spread = np.zeros(values.shape[1])
    for k in range(layout.gaussians):
        own = values[labels == k + 1]
        if not len(own) or np.isnan(np.nanmean(own, axis=0)).any():
            raise DataError(f"the start's labels give class {k + 1} no voxel with all channels")
        means[k] = np.nanmean(own, axis=0)
        spread += np.nanvar(own, axis=0) / layout.gaussians
    return from_means(means, layout, np.maximum(spread, 1e-6))


def with_outliers(classes: Classes) -> Classes:
    """Return the classes of a mixture without outliers as the start of one that has them."""
    return Classes(np.append(classes.weights, OUTLIERS), classes.means, classes.covariances)


def quantile_means(values: Floats, counts: Floats, count: int, tail: float) -> Floats:
    """Return means at evenly spaced quantiles of the first channel, ``(count, c)``.

    `tail` is the part of the voxels left out at both ends.
    """
    order = np.argsort(values[:, 0], kind="stable")
    share = np.cumsum(counts[order]) / counts.sum()
    edges = np.linspace(tail, 1 - tail, count + 1)
    means = np.empty((count, values.shape[1]))
    for k in range(count):
        own = order[(share >= edges[k]) & (share <= edges[k + 1])]
        own = own if len(own) else order[[np.searchsorted(share, edges[k]) % len(order)]]
        means[k] = np.average(values[own], axis=0, weights=np.maximum(counts[own], 1e-12))
    return means


def kmeans_means(values: Floats, counts: Floats, count: int, rng: np.random.Generator) -> Floats:
    """Return the means of k-means from a k-means++ start: hard EM of the same mixture.

    References
    ----------
    Arthur and Vassilvitskii, SODA 2007.
    """
    means = [values[rng.choice(len(values), p=counts / counts.sum())]]
    while len(means) < count:
        square = np.min([((values - m) ** 2).sum(axis=1) for m in means], axis=0) * counts
        if not square.sum() > 0:
            raise DataError(f"there are fewer than {count} distinct intensities")
        means.append(values[rng.choice(len(values), p=square / square.sum())])
    model = Mixture(values, counts=counts, hard=True)
    ones = np.repeat(np.eye(values.shape[1])[None], count, axis=0)
    start = Classes(np.full(count, 1 / count), np.array(means), ones)
    return last(until(em(repeat(model), start), after(30))).params.means


def flatten(classes: Classes) -> Floats:
    """Return free numbers that stand for a mixture: logs of weights, means, Cholesky factors."""
    lower = np.linalg.cholesky(classes.covariances)
    rows, columns = np.tril_indices(classes.channels)
    diagonal = np.arange(classes.channels)
    lower[:, diagonal, diagonal] = np.log(lower[:, diagonal, diagonal])
    weights = np.log(np.maximum(classes.weights, 1e-30))
    return np.concatenate([weights, classes.means.ravel(), lower[:, rows, columns].ravel()])


def restore(vector: Floats, like: Classes) -> Classes:
    """Return the mixture that the numbers of `flatten` stand for."""
    j, g, c = len(like.weights), len(like.means), like.channels
    rows, columns = np.tril_indices(c)
    diagonal = np.arange(c)
    weights = np.exp(np.clip(vector[:j], -70, 5))
    lower = np.zeros((g, c, c))
    lower[:, rows, columns] = vector[j + g * c :].reshape(g, -1)
    lower[:, diagonal, diagonal] = np.exp(np.clip(lower[:, diagonal, diagonal], -30, 30))
    means = vector[j : j + g * c].reshape(g, c)
    return Classes(weights / weights.sum(), means, lower @ lower.transpose(0, 2, 1))


def fit(
    model: Mixture, start: Classes, *, iterations: int = 60, tolerance: float = 1e-7
) -> tuple[Iterate[Classes], bool]:
    """Return the end of an accelerated fit, and whether it came to rest.

    `tolerance` is on the log-likelihood a voxel.
    """
    total = float(model.counts.sum()) if model.counts is not None else len(model.voxels)
    flat = Enough([Flat(tolerance, size=total)])
    run = em(repeat(Squarem(model, flatten, restore)), start)
    return last(until(run, after(iterations), flat)), flat.reached


def search(
    model: Mixture, starts: dict[str, Classes], unlike: Callable[[Floats], bool] | None = None
) -> list[Optimum]:
    """Return where the starts lead, best first.

    Optima whose classes keep apart by less than one standard deviation come after all others,
    and among the others those whose classes are unlike the contrast.

    Parameters
    ----------
    model : Mixture
        What is fitted.
    starts : dict of Classes
        Where to start, by name.
    unlike : callable, optional
        Tells from the means of the first channel whether they cannot be those of the contrast.

    Raises
    ------
    DataError
        If no start leads anywhere.
    """
    total = float(model.counts.sum()) if model.counts is not None else len(model.voxels)
    optima, reason = [], "there is none"
    for name, start in starts.items():
        try:
            end, rest = fit(model, start)
        except EmreconError as error:
            reason = str(error)
            continue
        if not np.isfinite(end.log_likelihood):
            continue
        classes, posterior = end.params, end.log_likelihood / total
        odd = bool(unlike and unlike(classes.means[:, 0]))
        optima.append(Optimum(name, classes, posterior, gap(classes), rest, odd))
    if not optima:
        raise DataError(f"no start of the mixture led to classes: {reason}")
    return sorted(optima, key=lambda one: one.rank)


def gap(classes: Classes) -> float:
    """Return the least step from one Gaussian to the next, in standard deviations.

    Steps are those of the first channel, in the order of the Gaussians: below zero when two have
    changed places.
    """
    means, deviations = classes.means[:, 0], np.sqrt(classes.variances[:, 0])
    steps = np.diff(means) / np.sqrt((deviations[1:] ** 2 + deviations[:-1] ** 2) / 2)
    return float(steps.min(initial=np.inf))
