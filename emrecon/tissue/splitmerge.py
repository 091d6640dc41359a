"""Out of local optima of mixtures of many classes: two become one, and another becomes two."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import EmreconError
from emrecon.tissue.classes import Classes, log_joint, tables
from emrecon.tissue.layout import Layout
from emrecon.tissue.mixture import Mixture
from emrecon.tissue.starts import Optimum, fit, gap

Floats = NDArray[np.float64]

MANY = 4
"""With more Gaussians than these, starts alone miss the best optimum too often."""

CANDIDATES = 5
"""Merges and splits tried before an optimum is believed."""

TRIES = 25
"""Accelerated steps of EM that a candidate is given."""

ROUNDS = 5
"""Most moves that are taken."""


def split_and_merge(
    model: Mixture, optima: list[Optimum], rng: np.random.Generator
) -> list[Optimum]:
    """Return the optima, and before them a better one where moves from the best find one.

    Of mixtures of more than four Gaussians the two whose memberships are most alike are merged,
    and the one whose voxels are least like its density is split; EM runs on from there. A move
    is taken only if the penalised likelihood grows, so no step makes it worse.

    Parameters
    ----------
    model : Mixture
        What is fitted.
    optima : list of Optimum
        Where starts led, best first.
    rng : numpy.random.Generator
        For the directions of splits.

    References
    ----------
    Ueda et al., Neural Comput. 12, 2109 (2000).
    """
    best = optima[0]
    if len(best.classes.means) <= MANY:
        return optima
    for _ in range(ROUNDS):
        better = _better(model, best, rng)
        if better is None:
            break
        best = better
    return optima if best is optima[0] else [best, *optima]


def _better(model: Mixture, best: Optimum, rng: np.random.Generator) -> Optimum | None:
    """Return the first candidate that leads to a better optimum, if one does."""
    counts = model.counts if model.counts is not None else np.ones(len(model.voxels))
    for one, two, split in _candidates(model, best.classes, counts):
        start = _moved(best.classes, model.rules(best.classes).layout, (one, two), split, rng)
        try:
            last, rest = fit(model, start, iterations=TRIES)
        except EmreconError:
            continue
        posterior = last.log_likelihood / float(counts.sum())
        least = gap(last.params)
        apart = least >= 1 or best.gap < 1
        if apart and np.isfinite(posterior) and posterior > best.posterior + 1e-7:
            return Optimum("split and merge", last.params, posterior, least, rest)
    return None


def _candidates(model: Mixture, classes: Classes, counts: Floats) -> list[tuple[int, int, int]]:
    """Return pairs to merge and Gaussians to split, the most promising first."""
    count = len(classes.means)
    member = model.memberships(classes)[:, :count]
    alike = member.T @ (member * counts[:, None])
    size = np.sqrt(np.diag(alike)) + 1e-300
    alike /= np.outer(size, size)
    pairs = sorted(combinations(range(count), 2), key=lambda p: -alike[p])
    unlike = _unlikeness(model, classes, member * counts[:, None])
    splits = [int(k) for k in np.argsort(-unlike)]
    ranked = [
        (rank + other, a, b, k)
        for rank, (a, b) in enumerate(pairs[:CANDIDATES])
        for other, k in enumerate(s for s in splits if s not in {a, b})
    ]
    return [(a, b, k) for _, a, b, k in sorted(ranked)[:CANDIDATES]]


def _unlikeness(model: Mixture, classes: Classes, member: Floats) -> Floats:
    """Return how far each Gaussian is from the voxels that are its own (Kullback-Leibler)."""
    whole = ~np.isnan(model.voxels).any(axis=1)
    own = member[whole] / np.maximum(member[whole].sum(axis=0), 1e-300)
    equal = Classes(np.full(len(classes.means), 1.0), classes.means, classes.covariances)
    pure = Layout.of(len(classes.means))
    density = log_joint(model.voxels[whole], tables(equal, pure, np.ones(classes.channels, bool)))
    return np.asarray((own * (np.log(np.maximum(own, 1e-300)) - density)).sum(axis=0))


def _moved(
    classes: Classes,
    layout: Layout,
    merged: tuple[int, int],
    split: int,
    rng: np.random.Generator,
) -> Classes:
    """Return a start in which two Gaussians are one, and another is two."""
    one, two = merged
    weights = layout.gather(classes.weights)
    means, covariances = classes.means.copy(), classes.covariances.copy()
    share = weights[one] / max(weights[one] + weights[two], 1e-300)
    means[one] = share * means[one] + (1 - share) * means[two]
    values, axes = np.linalg.eigh(covariances[split])
    direction = axes @ (np.sqrt(np.maximum(values, 0)) * rng.choice((-1.0, 1.0), len(values)))
    means[two] = means[split] + direction
    means[split] = means[split] - direction
    weights[one] += weights[two]
    weights[two] = weights[split] = weights[split] / 2
    covariances[two] = covariances[split]
    order = np.argsort(means[:, 0], kind="stable")
    weights[: len(means)] = weights[order]
    return Classes(layout.spread(weights / weights.sum()), means[order], covariances[order])
