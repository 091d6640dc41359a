"""Parameters of a Gaussian mixture, and the tables that an E-step reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emrecon.brief import brief
from emrecon.errors import DataError
from emrecon.tissue.layout import Layout

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Classes:
    """Weights of the components, means and covariances of the Gaussians.

    One channel may be given in short: means and variances of shape ``(g,)``.
    """

    weights: Floats
    """Of each component, shape ``(j,)``, summing to 1."""

    means: Floats
    """Of each Gaussian, shape ``(g, c)``."""

    covariances: Floats
    """Of each Gaussian, shape ``(g, c, c)``."""

    __repr__ = brief

    def __post_init__(self) -> None:
        means = np.asarray(self.means, np.float64)
        covariances = np.asarray(self.covariances, np.float64)
        if means.ndim == 1:
            object.__setattr__(self, "means", means[:, None])
            object.__setattr__(self, "covariances", covariances.reshape(-1, 1, 1))

    @property
    def variances(self) -> Floats:
        """Of each Gaussian and channel, shape ``(g, c)``."""
        return np.diagonal(self.covariances, axis1=1, axis2=2).copy()

    @property
    def channels(self) -> int:
        """Number of channels."""
        return int(self.means.shape[1])


def without_nuclei(classes: Classes, layout: Layout) -> Classes:
    """Return the parameters of the components that may be anywhere."""
    weights = layout.without_nuclei().spread(layout.gather(classes.weights))
    own = slice(layout.gaussians - layout.nuclei)
    return Classes(weights, classes.means[own], classes.covariances[own])


@dataclass(frozen=True, eq=False)
class Tables:
    """Each component's density for voxels that have some of the channels."""

    means: Floats
    """Shape ``(j, c)``; 0 in a missing channel."""

    factors: Floats
    """Lower triangles that whiten a deviation, shape ``(j, c, c)``; 0 in a missing channel."""

    constants: Floats
    """Log of weight over normalisation, shape ``(j,)``."""


def tables(classes: Classes, layout: Layout, seen: ArrayLike, log_uniform: float = 0.0) -> Tables:
    """Return the densities of all components on the channels that are `seen`, shape ``(c,)``.

    Raises
    ------
    DataError
        If a covariance is not positive definite.
    """
    have = np.flatnonzero(np.asarray(seen, bool))
    count, channels = len(layout.mixing), classes.channels
    means = np.zeros((count, channels))
    factors = np.zeros((count, channels, channels))
    with np.errstate(divide="ignore"):
        constants = np.log(classes.weights)
    means[:, have] = (layout.mixing @ classes.means)[:, have]
    covariances = np.einsum("jg,gcd->jcd", layout.mixing, classes.covariances)
    inner = count - int(layout.outliers)
    block = covariances[:inner, have[:, None], have]
    try:
        lower = np.linalg.cholesky(block)
    except np.linalg.LinAlgError as error:
        worst = int(np.linalg.eigvalsh(block).min(axis=1).argmin())
        text = f"the covariance of component {worst} is not positive definite"
        raise DataError(text) from error
    factors[:inner, have[:, None], have] = np.tril(np.linalg.inv(lower))
    logs = np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
    constants[:inner] -= logs + 0.5 * len(have) * np.log(2 * np.pi)
    if layout.outliers:
        constants[-1] += log_uniform * len(have)
    return Tables(means, factors, constants)


def log_joint(values: Floats, table: Tables) -> Floats:
    """Return log of weight times density, shape ``(n, j)``, of voxels of shape ``(n, c)``."""
    out = np.empty((len(values), len(table.constants)))
    for j, constant in enumerate(table.constants):
        white = (values - table.means[j]) @ table.factors[j].T
        out[:, j] = constant - 0.5 * np.einsum("nc,nc->n", white, white)
    return out


def patterns(values: NDArray[np.floating]) -> tuple[Flags, NDArray[np.intp]]:
    """Return the combinations of channels that occur, ``(p, c)``, and each voxel's, ``(n,)``.

    Raises
    ------
    DataError
        If a voxel has no channel at all.
    """
    seen = ~np.isnan(values)
    if seen.all():
        return np.ones((1, values.shape[1]), bool), np.zeros(len(values), np.intp)
    if not seen.any(axis=1).all():
        raise DataError("a voxel without any channel cannot take part: leave it out")
    unique, which = np.unique(seen, axis=0, return_inverse=True)
    return unique, np.asarray(which.ravel(), np.intp)
