"""From expected memberships to parameters: the M-step of Gaussian mixtures.

The E-step leaves, for every pattern of observed channels and every component, the count, the
sums and the sums of products of the voxels; nothing else is needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from emrecon.brief import brief
from emrecon.errors import DataError
from emrecon.tissue.classes import Classes
from emrecon.tissue.layout import Layout

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Covariance = Literal["full", "tied", "diag", "spherical"]


@dataclass(frozen=True, eq=False)
class Prior:
    """What is known of the parameters beforehand, worth so many voxels.

    Dirichlet on the weights of the groups, inverse Wishart on the covariances.
    """

    weight: float = 0.0
    """Voxels that each group of components starts with."""

    spread: float = 0.0
    """Voxels of covariance `scale` that each Gaussian starts with."""

    scale: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    """Covariance expected beforehand, shape ``(c, c)``."""

    common: float = 0.0
    """Voxels of the classes' common covariance that each Gaussian starts with, where each has its
    own. The common one is estimated, too: the harmonic mean of all, their scale under an inverse
    Wishart distribution."""

    __repr__ = brief

    def log(self, classes: Classes, layout: Layout, covariance: Covariance) -> float:
        """Return the log-density of the parameters, without constants."""
        total = 0.0
        if self.weight:
            total += self.weight * float(np.log(layout.gather(classes.weights)).sum())
        if self.spread:
            distinct = classes.covariances[:1] if covariance == "tied" else classes.covariances
            for one in distinct:
                _, size = np.linalg.slogdet(one)
                trace = np.trace(np.linalg.solve(one, self.scale))
                total -= 0.5 * self.spread * float(size + trace)
        if self.common and covariance != "tied":
            own = np.linalg.slogdet(classes.covariances)[1]
            total -= 0.5 * self.common * float((own - _log_size(classes.covariances)).sum())
        return total


@dataclass(frozen=True, eq=False)
class Rules:
    """Structure of a mixture: what is estimated, and how it is held back."""

    layout: Layout
    """How components make up classes."""

    covariance: Covariance = "full"
    """Free, one for all Gaussians, without correlations, or equal in all channels."""

    least_variance: float = 1e-6
    """Added to every variance."""

    prior: Prior = field(default_factory=Prior)
    """What is known beforehand."""

    seen: Flags = field(default_factory=lambda: np.ones((1, 1), bool))
    """Combinations of channels, shape ``(p, c)``."""

    log_uniform: float = 0.0
    """Log-density of the uniform component, a channel."""

    known_means: bool = False
    """Whether the means are known, and stay as they are."""

    rivals: Floats = field(default_factory=lambda: np.empty((0, 0, 0)))
    """Means that other models have in place of known ones, shape ``(r, g, c)``."""

    __repr__ = brief


def common(covariances: Floats) -> Floats:
    """Return the harmonic mean of covariances, ``(c, c)``."""
    return np.asarray(np.linalg.inv(np.linalg.inv(covariances).mean(axis=0)))


def _log_size(covariances: Floats) -> float:
    return float(np.linalg.slogdet(common(covariances))[1])


def width(channels: int) -> int:
    """Return how many moments a component has: count, sums, and products of two channels."""
    return 1 + channels + channels * (channels + 1) // 2


def unpack(sums: Floats, channels: int) -> tuple[Floats, Floats, Floats]:
    """Return counts ``(..., )``, sums ``(..., c)`` and sums of products ``(..., c, c)``."""
    rows, columns = np.tril_indices(channels)
    products = np.empty((*sums.shape[:-1], channels, channels))
    products[..., rows, columns] = products[..., columns, rows] = sums[..., 1 + channels :]
    return sums[..., 0], sums[..., 1 : 1 + channels], products


def maximise(sums: Floats, old: Classes, rules: Rules) -> Classes:
    """Return the parameters that make the expected complete data most likely.

    With means tied by partial volume and free covariances the step is conditional: means given
    the old covariances, then covariances given the new means (ECM), so that the likelihood
    still never falls.

    Parameters
    ----------
    sums : array, shape (p, j, m)
        Moments of each pattern and component, missing channels 0; see `unpack`.
    old : Classes
        Parameters of the E-step.
    rules : Rules
        What is estimated.

    References
    ----------
    Meng and Rubin, Biometrika 80, 267 (1993); for missing channels, Ghahramani and Jordan, NIPS
    6, 120 (1993).
    """
    layout, prior = rules.layout, rules.prior
    count, first, second = _completed(sums, old, rules)
    mass = layout.gather(count) + prior.weight
    weights = layout.spread(mass / mass.sum())
    inner = len(count) - int(layout.outliers)
    count, first, second = count[:inner], first[:inner], second[:inner]
    means = old.means if rules.known_means else _means(count, first, old, layout)
    covariances = _covariances(count, _scatter(count, first, second, layout, means), old, rules)
    alive = layout.mixing[:inner].T @ count > 0  # a class without voxels stays where it was
    means = np.where(alive[:, None], means, old.means)
    covariances = np.where(alive[:, None, None], covariances, old.covariances)
    return Classes(weights, means, covariances)


def _completed(sums: Floats, old: Classes, rules: Rules) -> tuple[Floats, Floats, Floats]:
    """Return the moments of each component with missing channels at their expectation."""
    channels = old.channels
    totals = np.zeros((sums.shape[1], width(channels)))
    count, first, second = unpack(totals, channels)
    first, second = first.copy(), second.copy()
    for seen, of_pattern in zip(rules.seen, sums, strict=True):
        n, one, two = unpack(of_pattern, channels)
        if not seen.all():
            one, two = _filled(n, one, two, old, rules.layout, seen)
        count, first, second = count + n, first + one, second + two
    return count, first, second


def _filled(
    count: Floats, first: Floats, second: Floats, old: Classes, layout: Layout, seen: Flags
) -> tuple[Floats, Floats]:
    """Return first and second moments of all channels, from those of the seen ones."""
    have, lack = np.flatnonzero(seen), np.flatnonzero(~seen)
    first, second = first.copy(), second.copy()
    means = layout.mixing @ old.means
    covariances = np.einsum("jg,gcd->jcd", layout.mixing, old.covariances)
    for j in range(len(count) - int(layout.outliers)):
        mean, whole = means[j], covariances[j]
        regress = np.linalg.solve(whole[np.ix_(have, have)], whole[np.ix_(have, lack)]).T
        lift = np.zeros_like(whole)
        lift[have, have] = 1
        lift[np.ix_(lack, have)] = regress
        shift = np.where(seen, mean, 0)
        off = first[j] - count[j] * shift
        square = second[j] - np.outer(first[j], shift) - np.outer(shift, first[j])
        square = lift @ (square + count[j] * np.outer(shift, shift)) @ lift.T
        square[np.ix_(lack, lack)] += count[j] * (
            whole[np.ix_(lack, lack)] - regress @ whole[np.ix_(have, lack)]
        )
        off = lift @ off
        first[j] = off + count[j] * mean
        cross = np.outer(off, mean)
        second[j] = square + cross + cross.T + count[j] * np.outer(mean, mean)
    return first, second


def _means(count: Floats, first: Floats, old: Classes, layout: Layout) -> Floats:
    """Return the means by generalised least squares."""
    if not layout.mixed:
        return np.asarray(first / np.maximum(count, 1e-300)[:, None])
    mixing = layout.mixing[: len(count)]
    channels, gaussians = old.channels, layout.gaussians
    precisions = np.linalg.inv(np.einsum("jg,gcd->jcd", mixing, old.covariances))
    left = np.einsum("j,jg,jh,jcd->gchd", count, mixing, mixing, precisions)
    right = np.einsum("jg,jcd,jd->gc", mixing, precisions, first)
    size = gaussians * channels
    left = left.reshape(size, size)
    left[np.diag_indices(size)] += 1e-12 * np.trace(left) / size
    try:
        return np.asarray(np.linalg.solve(left, right.ravel()).reshape(gaussians, channels))
    except np.linalg.LinAlgError as error:
        raise DataError("no voxel belongs to a class any more: its mean is not known") from error


def _scatter(
    count: Floats, first: Floats, second: Floats, layout: Layout, means: Floats
) -> Floats:
    """Return the sums of squared deviations from the components' means, ``(j, c, c)``."""
    centre = layout.mixing[: len(count)] @ means
    cross = np.einsum("jc,jd->jcd", first, centre)
    square = count[:, None, None] * np.einsum("jc,jd->jcd", centre, centre)
    return np.asarray(second - cross - cross.transpose(0, 2, 1) + square)


def _covariances(count: Floats, scatter: Floats, old: Classes, rules: Rules) -> Floats:
    """Return the covariance of each Gaussian."""
    layout, prior = rules.layout, rules.prior
    gaussians, channels = layout.gaussians, old.channels
    own = prior.spread * prior.scale if prior.spread else np.zeros((channels, channels))
    floor = rules.least_variance * np.eye(channels)
    if rules.covariance == "tied":
        one = (scatter.sum(axis=0) + own) / (count.sum() + prior.spread) + floor
        return np.broadcast_to(one, (gaussians, channels, channels)).copy()
    mass, total = count[:gaussians].copy(), scatter[:gaussians].copy()
    for j in range(gaussians, len(count)):
        _share(layout.mixing[j], count[j], scatter[j], old.covariances, mass, total)
    if prior.common:
        own = own + prior.common * common(old.covariances)
    voxels = mass + prior.spread + prior.common
    estimates = (total + own) / np.maximum(voxels, 1e-300)[:, None, None]
    if rules.covariance == "diag":
        estimates *= np.eye(channels)
    elif rules.covariance == "spherical":
        estimates = np.einsum("gcc->g", estimates)[:, None, None] / channels * np.eye(channels)
    return np.asarray(estimates + floor)


def _share(
    mixing: Floats, count: float, scatter: Floats, old: Floats, mass: Floats, total: Floats
) -> None:
    """Divide a mixed component's scatter among its Gaussians, whose parts add in the voxel."""
    parts = np.flatnonzero(mixing)
    inverse = np.linalg.inv(np.einsum("g,gcd->cd", mixing, old))
    for g in parts:
        gain = old[g] @ inverse
        mass[g] += count
        total[g] += mixing[g] * gain @ scatter @ gain.T
        total[g] += count * (old[g] - mixing[g] * gain @ old[g])
