"""How large each tissue is, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emrecon.brief import brief
from emrecon.tissue.classes import Classes
from emrecon.tissue.information import Free, information, sandwich, scores
from emrecon.tissue.mixture import Mixture
from emrecon.tissue.moments import maximise

Floats = NDArray[np.float64]

BLOCK_MM = 16.0
"""Size of the blocks that vary as a whole."""

NORMAL_95 = 1.959964

REFIT = 5
"""Passes of a refit with the means of a rival model."""


@dataclass(frozen=True, eq=False)
class Errors:
    """Standard errors of a fit, and what of them comes into the tissues' shares."""

    plain: Classes
    """Errors that take voxels for independent, in the place of the parameters."""

    honest: Classes
    """Errors that let blocks of the image vary: the ones to report."""

    shares: Floats
    """Honest error of each class's share of the mask, shape ``(k,)``."""

    rivals: Floats
    """Root mean square of what refits with the means of rival models change of it, ``(k,)``."""

    __repr__ = brief


def errors(
    model: Mixture, classes: Classes, places_mm: Floats, voxels: int, rivals: Floats
) -> Errors:
    """Return the errors of parameters and class shares from a sample of an image's voxels.

    Parameters
    ----------
    model : Mixture
        Sampled intensities, all channels seen.
    classes : Classes
        Estimate.
    places_mm : array, shape (n, 3)
        Where the sampled voxels lie.
    voxels : int
        Voxels that the sample stands for.
    rivals : array, shape (k,)
        What refits change; see `refits`.
    """
    rules = model.rules(classes)
    free = Free(classes, rules.layout, model.covariance)
    weight = voxels / len(model.voxels)
    bread = (information(model, classes) + _of_prior(model, classes, free)) * weight
    gradients = scores(model, classes) * weight
    index = np.floor((places_mm - places_mm.min(axis=0)) / BLOCK_MM).astype(np.int64)
    blocks = np.unique(index, axis=0, return_inverse=True)[1].ravel()
    spread = sandwich(bread, gradients, blocks)
    iid = np.linalg.pinv((bread + bread.T) / 2, hermitian=True)
    slope = _share_slope(model, classes, free)
    shares = np.sqrt(np.maximum(np.einsum("kp,pq,kq->k", slope, spread, slope), 0))
    return Errors(_named(free, np.asarray(iid, np.float64)), _named(free, spread), shares, rivals)


def refits(model: Mixture, classes: Classes, rivals: Floats) -> Floats:
    """Return what other means change of the classes' shares, root mean square, shape ``(k,)``.

    Weights and covariances are fitted to each.

    Parameters
    ----------
    model : Mixture
        Sampled intensities.
    classes : Classes
        Estimate.
    rivals : array, shape (r, g, c)
        Means in place of its own.
    """
    rules = replace(model.rules(classes), known_means=True)
    shares = []
    for means in (classes.means, *rivals):
        fitted = replace(classes, means=means)
        for _ in range(REFIT):
            fitted = maximise(model.expect(fitted)[0], fitted, rules)
        shares.append(model.fractions(fitted).mean(axis=0))
    off = np.array(shares[1:]).reshape(-1, rules.layout.classes) - shares[0]
    return np.asarray(np.sqrt((off**2).sum(axis=0) / max(len(off), 1)))


def _of_prior(model: Mixture, classes: Classes, free: Free) -> Floats:
    """Return what the prior on the weights adds to the information."""
    information = np.zeros((free.size, free.size))
    weights = free.layout.gather(classes.weights)[:-1]
    count = free.groups - 1
    spread = np.diag(weights) - np.outer(weights, weights)
    information[:count, :count] = model.prior.weight * free.groups * spread
    return information


def _share_slope(model: Mixture, classes: Classes, free: Free) -> Floats:
    """Return how each class's share changes with the free parameters, shape ``(k, p)``."""
    at = free.pack(classes)
    slope = np.empty((free.layout.classes, free.size))
    for p in range(free.size):
        step = np.zeros(free.size)
        step[p] = 1e-4 * max(abs(at[p]), 1.0)
        ends = [model.fractions(free.unpack(at + s * step)).mean(axis=0) for s in (1, -1)]
        slope[:, p] = (ends[0] - ends[1]) / (2 * step[p])
    return slope


def _named(free: Free, covariance: Floats) -> Classes:
    """Return the errors in the place of the parameters they belong to."""
    deviations = np.sqrt(np.maximum(np.diag(covariance), 0))
    count, (g, c) = free.groups - 1, free.like.means.shape
    weights = free.layout.gather(free.like.weights)
    slope = np.diag(weights) - np.outer(weights, weights)
    inner = covariance[:count, :count]
    of_groups = np.sqrt(np.maximum(np.diag(slope[:, :count] @ inner @ slope[:count]), 0))
    rows, columns = np.tril_indices(c)
    spread = np.zeros((free.distinct, c, c))
    spread[:, rows, columns] = deviations[count + g * c :].reshape(free.distinct, -1)
    spread[:, columns, rows] = spread[:, rows, columns]
    means = deviations[count : count + g * c].reshape(g, c)
    return Classes(free.layout.spread(of_groups), means, np.resize(spread, (g, c, c)))
