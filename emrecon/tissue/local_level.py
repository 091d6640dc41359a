"""How bright grey matter is in each place, and an image in which it is as bright everywhere.

Cortex is not equally rich in myelin, and a bias field is never found to the last; white matter
differs less. So where grey matter's level drifts, so does its border with white matter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from emrecon.em import em, last, until
from emrecon.stop import after
from emrecon.tissue.classes import Classes, log_joint, tables
from emrecon.tissue.field import Image
from emrecon.tissue.local_mixture import BEFOREHAND, LocalMixture

Floats = NDArray[np.float64]

PASSES = 25
"""Passes in which the levels are found."""

COMMON = 2.0
"""Voxels of the common level that each place starts with, in the flat ones that places have in the
mean. With 1 real brains gain half as much again, but where a field is left or the image is blurred
white and mixed voxels are taken for brighter grey matter."""

FARTHEST = 0.4
"""Part of the step to a neighbouring class by which a level is moved at most, so that the order of
intensities stays."""


@dataclass(frozen=True, eq=False)
class Levels:
    """Parameters of the levels' model."""

    shift: Floats
    """What the class is brighter in each place than in all, shape ``(p,)``."""

    log_shares: Floats
    """Log of each group's share of each place, shape ``(p, g)``."""


@dataclass(frozen=True, eq=False)
class LocalLevels:
    """A local mixture of one channel, whose classes stay while one's level drifts."""

    mixture: LocalMixture
    """Counts of intensities in each place."""

    classes: Classes
    """Of all places."""

    owner: int
    """The class that drifts."""

    def begin(self) -> Levels:
        """Return where to start: without drift, with equal shares everywhere."""
        places, groups = self.mixture.place.max() + 1, int(self.mixture.layout.groups.max()) + 1
        return Levels(np.zeros(places), np.full((places, groups), -np.log(groups)))

    def expect(self, params: Levels) -> tuple[tuple[Floats, Floats, Floats], float]:
        """Return counts of each group, counts and sums of the drifting class, and how likely.

        The log-likelihood is penalised by the priors, and never falls.
        """
        mixture, layout = self.mixture, self.mixture.layout
        even = replace(self.classes, weights=layout.shares)  # of its group
        density = log_joint(mixture.values, tables(even, layout, np.ones(1, bool)))
        joint = np.take(density.T, mixture.which, axis=1)
        joint += np.take(params.log_shares.T[layout.groups], mixture.place, axis=1)
        away = mixture.values[mixture.which, 0] - self.classes.means[self.owner, 0]
        shift = params.shift[mixture.place]
        joint[self.owner] += shift * (away - shift / 2) / self._variance
        most = joint.max(axis=0)
        member = np.exp(joint - most)
        norm = member.sum(axis=0)
        total = float(mixture.counts @ (most + np.log(norm)))
        total += BEFOREHAND * float(params.log_shares.sum())
        total -= 0.5 * self._beforehand * float(params.shift @ params.shift) / self._variance
        member *= mixture.counts / norm
        groups = np.zeros(params.log_shares.shape)
        for group, one in zip(layout.groups, member, strict=True):
            groups[:, group] += self._summed(one)
        own = member[self.owner]
        return (groups, self._summed(own), self._summed(own * away)), total

    def maximise(self, params: Levels, expected: tuple[Floats, Floats, Floats]) -> Levels:
        """Return the levels and shares that those counts make most likely."""
        groups, count, total = expected
        mass = groups + BEFOREHAND
        shares = np.log(mass / mass.sum(axis=1, keepdims=True))
        return Levels(total / (count + self._beforehand), shares)

    def _summed(self, member: Floats) -> Floats:
        """Return the sum of each place."""
        return np.asarray(np.bincount(self.mixture.place, member), np.float64)

    @property
    def _variance(self) -> float:
        return float(self.classes.covariances[self.owner, 0, 0])

    @property
    def _beforehand(self) -> float:
        return COMMON * float(self.mixture.counts.sum()) / (int(self.mixture.place.max()) + 1)


def local_level(mixture: LocalMixture, classes: Classes, owner: int) -> Floats:
    """Return what a class is brighter in each place than in all, shape ``(p,)``.

    Its voxels' mean is 0, as the class's own mean is that of all of them.
    """
    model = LocalLevels(mixture, classes, owner)
    levels = last(until(em(repeat(model), model.begin()), after(PASSES))).params
    count = model.expect(levels)[0][1]
    return np.asarray(levels.shift - count @ levels.shift / max(count.sum(), 1e-9))


def levelled(
    image: Image, classes: Classes, owner: int, drift: Floats, steps: tuple[int, int, int]
) -> Image:
    """Return the image as it were if a class of it were as bright everywhere.

    Intensities between a class and the next move with it in proportion, others not at all. From
    the middle of a place to the next the drift changes evenly.

    Parameters
    ----------
    image : Image
        Of one channel, without field of its own.
    classes : Classes
        In order of brightness; their means stay.
    owner : int
        The class that drifts.
    drift : array, shape (i, j, k)
        What it is brighter in each place.
    steps : tuple of int
        Voxels of a place along each axis of the image's box.
    """
    from scipy.ndimage import map_coordinates  # noqa: PLC0415 - slow to load

    at = [
        ((a + 0.5) / s - 0.5).astype(np.float32)
        for a, s in zip(image.lattice.index, steps, strict=True)
    ]
    means = classes.means[:, 0]
    low, mean, high = (float(one) for one in means[owner - 1 : owner + 2])
    most = FARTHEST * min(mean - low, high - mean)
    moved = np.clip(map_coordinates(drift, at, np.float32, order=1, mode="nearest"), -most, most)
    values = image.corrected(np.zeros((1, 0)))[0]
    level = mean + moved
    upper = (high - values) / (high - level)
    lower = (values - low) / (level - low)
    part = np.clip(np.minimum(upper, lower), 0, None)  # 1 at the class itself, 0 at its neighbours
    lowered = (-image.scale[0] * moved * part).astype(np.float32)[None]
    return replace(image, values=image.values + lowered, lowered=lowered)
