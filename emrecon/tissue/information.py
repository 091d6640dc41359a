"""Standard errors of a mixture's parameters: what the data say, and how sure that is.

Plain errors take every voxel for independent. Voxels are not: structure that the model does not
know makes neighbours err together. The honest errors let whole blocks of the image vary, and
come out many times larger.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import DataError
from emrecon.tissue.classes import Classes
from emrecon.tissue.layout import Layout
from emrecon.tissue.mixture import Mixture
from emrecon.tissue.moments import Covariance

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Free:
    """The free numbers of a mixture: log weights of groups against the last, means, variances.

    Variances are the lower triangles of the distinct covariances.
    """

    like: Classes
    """Parameters to take the shapes from."""

    layout: Layout
    """How components make up classes."""

    covariance: Covariance
    """Which covariances are distinct."""

    @property
    def groups(self) -> int:
        """Number of weights."""
        return int(self.layout.groups.max()) + 1

    @property
    def distinct(self) -> int:
        """Number of distinct covariances."""
        return 1 if self.covariance == "tied" else len(self.like.means)

    @property
    def size(self) -> int:
        """Number of free parameters."""
        triangle = self.like.channels * (self.like.channels + 1) // 2
        return self.groups - 1 + self.like.means.size + self.distinct * triangle

    def pack(self, classes: Classes) -> Floats:
        """Return the free numbers of a mixture."""
        weights = np.log(self.layout.gather(classes.weights))
        low = np.tril_indices(classes.channels)
        lower = classes.covariances[: self.distinct, low[0], low[1]]
        parts = [weights[:-1] - weights[-1], classes.means.ravel(), lower.ravel()]
        return np.concatenate(parts)

    def unpack(self, vector: Floats) -> Classes:
        """Return the mixture that the numbers stand for."""
        count, (g, c) = self.groups - 1, self.like.means.shape
        weights = np.exp(np.append(vector[:count], 0.0))
        means = vector[count : count + g * c].reshape(g, c)
        rows, columns = np.tril_indices(c)
        covariances = np.zeros((self.distinct, c, c))
        covariances[:, rows, columns] = vector[count + g * c :].reshape(self.distinct, -1)
        covariances[:, columns, rows] = covariances[:, rows, columns]
        spread = self.layout.spread(weights / weights.sum())
        return Classes(spread, means, np.resize(covariances, (g, c, c)))


def scores(model: Mixture, classes: Classes) -> Floats:
    """Return each voxel's gradient of its log-likelihood, shape ``(n, p)``; see `Free`.

    By Fisher's identity it is the expected gradient of the complete data.
    """
    return _first_two(model, classes)[0]


def information(model: Mixture, classes: Classes) -> Floats:
    """Return the observed information matrix, shape ``(p, p)``, of all voxels together.

    Missing information is taken from complete information (Louis); nothing is differentiated
    numerically. The parameters are those of `Free`, without prior.

    Raises
    ------
    DataError
        If a voxel lacks a channel.

    References
    ----------
    Louis, J. R. Stat. Soc. B 44, 226 (1982).
    """
    first, second = _first_two(model, classes)
    counts = _counts(model)
    return np.asarray((first * counts[:, None]).T @ first - second)


def _counts(model: Mixture) -> Floats:
    return np.ones(len(model.voxels)) if model.counts is None else model.counts


def _first_two(model: Mixture, classes: Classes) -> tuple[Floats, Floats]:
    """Return the voxels' scores, and the sum of E[s s' + H] over voxels and components."""
    if np.isnan(model.voxels).any():
        raise DataError("errors are computed from voxels with all channels: leave out the others")
    rules = model.rules(classes)
    free = Free(classes, rules.layout, model.covariance)
    member, counts = model.memberships(classes), _counts(model)
    total = np.zeros((len(model.voxels), free.size))
    second = np.zeros((free.size, free.size))
    weights = rules.layout.gather(classes.weights)[:-1]
    count = free.groups - 1
    second[:count, :count] -= counts.sum() * (np.diag(weights) - np.outer(weights, weights))
    for j in range(len(rules.layout.mixing)):
        own = np.zeros((len(model.voxels), free.size))
        own[:, :count] = -weights
        if rules.layout.groups[j] < count:
            own[:, rules.layout.groups[j]] += 1
        shares = member[:, j] * counts
        if rules.layout.mixing[j].any():
            second += _gaussian(own, model.voxels, classes, free, j, shares)
        total += member[:, j : j + 1] * own
        second += (own * shares[:, None]).T @ own
    return total, second


def _gaussian(
    own: Floats, values: Floats, classes: Classes, free: Free, j: int, shares: Floats
) -> Floats:
    """Fill a component's scores of means and covariances; return the summed second derivative."""
    mixing, (g, c) = free.layout.mixing[j], classes.means.shape
    covariance = np.einsum("g,gcd->cd", mixing, classes.covariances)
    precision = np.linalg.inv(covariance)
    off = values - mixing @ classes.means
    white = off @ precision
    at, low = free.groups - 1, np.tril_indices(c)
    names = [("m", k, a) for k in range(g) for a in range(c)]
    of_distinct = [1.0] if free.distinct == 1 else list(mixing)
    names += [("v", d, t) for d in range(free.distinct) for t in range(len(low[0]))]
    basis = np.zeros((len(low[0]), c, c))
    for t, (a, b) in enumerate(zip(*low, strict=True)):
        basis[t, a, b] = basis[t, b, a] = 1
    turned = np.einsum("nc,tcd->ntd", white, basis)
    slope = 0.5 * (
        np.einsum("ntd,nd->nt", turned, white) - np.einsum("cd,tcd->t", precision, basis)
    )
    factors = np.array([mixing[k] if kind == "m" else of_distinct[k] for kind, k, _ in names])
    raw = np.array([white[:, t] if kind == "m" else slope[:, t] for kind, _, t in names])
    own[:, at:] = (factors[:, None] * raw).T
    mean_mean = -shares.sum() * precision
    mean_cov = -np.einsum("n,ntd,dc->ct", shares, turned, precision)
    squares = np.einsum("n,nc,nd->cd", shares, white, white)
    half = np.einsum("cd,tde,ef,ufc->tu", precision, basis, precision, basis)
    cov_cov = 0.5 * shares.sum() * half - np.einsum(
        "cd,tde,ef,ufc->tu", squares, basis, precision, basis
    )
    kernel = np.block([[mean_mean, mean_cov], [mean_cov.T, (cov_cov + cov_cov.T) / 2]])
    places = np.array([t if kind == "m" else c + t for kind, _, t in names])
    information = np.zeros((free.size, free.size))
    information[at:, at:] = np.outer(factors, factors) * kernel[np.ix_(places, places)]
    return information


def sandwich(bread: Floats, gradients: Floats, blocks: NDArray[np.intp]) -> Floats:
    """Return the covariance of the parameters when whole blocks vary, shape ``(p, p)``.

    To first order this is what resampling the blocks (a block bootstrap) gives, without the
    resampling.

    Parameters
    ----------
    bread : array, shape (p, p)
        Observed information.
    gradients : array, shape (n, p)
        Scores of the voxels, times how often each is there.
    blocks : array, shape (n,)
        Block of each voxel, counted from 0.

    References
    ----------
    Liang and Zeger, Biometrika 73, 13 (1986).
    """
    sums = np.stack([np.bincount(blocks, g) for g in gradients.T], axis=1)
    used = np.bincount(blocks) > 0
    sums = sums[used] - sums[used].mean(axis=0)
    many = len(sums)
    meat = sums.T @ sums * many / max(many - 1, 1)
    inverse = np.linalg.pinv((bread + bread.T) / 2, hermitian=True)
    return np.asarray(inverse @ meat @ inverse)
