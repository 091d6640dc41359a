"""A mixture whose classes are as bright everywhere, and whose shares are those of each place.

Where a histogram of the whole brain has one hump for two tissues, or one of mixed voxels, its
best split may be neither; but one place is mostly white matter and another has none, so the
humps that grow and shrink from place to place are the tissues'.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emrecon.tissue.classes import Classes, log_joint, tables
from emrecon.tissue.layout import Layout
from emrecon.tissue.moments import Prior, Rules, maximise, width

Floats = NDArray[np.float64]

BEFOREHAND = 7.0
"""Voxels of each class that each place starts with."""


@dataclass(frozen=True, eq=False)
class Local:
    """Parameters of a local mixture."""

    classes: Classes
    """Of the whole."""

    log_shares: Floats
    """Log of each group's share of each place, shape ``(p, g)``; a class is a group, and so are
    the voxels that two of them share."""


@dataclass(frozen=True, eq=False)
class LocalMixture:
    """Counts of intensities in each of several places, as classes of one Gaussian each.

    Mixed voxels of two classes may be groups of their own.
    """

    values: Floats
    """Intensities, shape ``(u, c)``."""

    which: NDArray[np.intp]
    """Number of the intensity of each count, shape ``(n,)``."""

    place: NDArray[np.intp]
    """Number of the place of each count, shape ``(n,)``."""

    counts: Floats
    """How often each intensity is in each place, shape ``(n,)``."""

    prior: Prior
    """What is known of the classes beforehand."""

    layout: Layout
    """How components make up the groups."""

    def begin(self, classes: Classes) -> Local:
        """Return where to start: with equal shares everywhere."""
        count = int(self.layout.groups.max()) + 1
        even = self.layout.spread(np.full(count, 1 / count))
        shares = np.full((self.place.max() + 1, count), -np.log(count))
        return Local(replace(classes, weights=even), shares)

    def expect(self, params: Local) -> tuple[tuple[Floats, Floats], float]:
        """Return moments of each class and its counts in each place, and the log-likelihood.

        It is penalised by the priors, and never falls.
        """
        classes, shares = params.classes, params.log_shares
        layout = self.layout
        even = replace(classes, weights=layout.shares)  # of its group
        density = log_joint(self.values, tables(even, layout, [True] * classes.channels))
        joint = np.take(density.T, self.which, axis=1)
        joint += np.take(shares.T[layout.groups], self.place, axis=1)
        most = joint.max(axis=0)
        member = np.exp(joint - most)
        norm = member.sum(axis=0)
        total = float(self.counts @ (most + np.log(norm)))
        total += self.prior.log(params.classes, layout, "full")
        total += BEFOREHAND * float(shares.sum())
        member *= self.counts / norm
        each, channels = self._summed(member, self.which, len(self.values)), classes.channels
        low, high = np.tril_indices(channels)
        sums = np.empty((1, len(layout.shares), width(channels)))
        sums[0, :, 0] = each.sum(axis=0)
        sums[0, :, 1 : 1 + channels] = each.T @ self.values
        sums[0, :, 1 + channels :] = each.T @ (self.values[:, low] * self.values[:, high])
        whole = np.zeros((shares.shape[1], len(self.counts)))
        for group, one in zip(layout.groups, member, strict=True):
            whole[group] += one
        return (sums, self._summed(whole, self.place, len(shares))), total

    def maximise(self, params: Local, expected: tuple[Floats, Floats]) -> Local:
        """Return the classes and shares that those counts make most likely."""
        sums, counts = expected
        rules = Rules(self.layout, "full", prior=self.prior)
        mass = counts + BEFOREHAND
        shares = np.log(mass / mass.sum(axis=1, keepdims=True))
        return Local(maximise(sums, params.classes, rules), shares)

    @staticmethod
    def _summed(member: Floats, number: NDArray[np.intp], count: int) -> Floats:
        """Return the sums of each class's members of each number, shape ``(count, k)``."""
        return np.stack([np.bincount(number, one, count) for one in member], axis=1)
