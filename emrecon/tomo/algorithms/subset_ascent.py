"""Penalised reconstruction by ordered subsets: relaxed, and with reduced variance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import numpy as np

from emrecon.em import Iterate
from emrecon.tomo.algorithms.objective import Objective
from emrecon.volume import Array


class _Place(NamedTuple):
    """Where in a run an update is."""

    number: int
    """Of the iterate."""

    turn: int
    """Of the update within its pass."""

    subset: int
    """Which likelihood it uses."""


@dataclass(frozen=True)
class Svrg:
    r"""Stochastic ascent of reduced variance, preconditioned by a bound on the curvature.

    At the beginning, and before every `period` passes, the gradients of all subsets are computed
    and kept. An update takes the gradient of one subset, less what was kept of it, times their
    number, plus the sum of what is kept: that has the mean of the whole gradient and a variance
    that vanishes at the maximum (Johnson and Zhang [1]_). The step is over a bound of data and
    prior [2]_, made anew with the kept gradients; a share of the last one is added to it (Polyak
    [3]_), which carries small hot regions, where the bound is far above the curvature. The last
    pass of long steps ends at the mean of the images of its second half, in which their variance
    averages out [4]_.

    References
    ----------
    .. [1] R. Johnson, T. Zhang, "Accelerating stochastic gradient descent using predictive
       variance reduction", Adv. Neural Inf. Process. Syst. 26 (2013).
    .. [2] M. J. Ehrhardt, Z. Kereta, G. Schramm, "Fast PET reconstruction with variance reduction
       and prior-aware preconditioning", Front. Nucl. Med. 5, 1641215 (2025).
    .. [3] B. T. Polyak, "Some methods of speeding up the convergence of iteration methods", USSR
       Comput. Math. Math. Phys. 4, 1 (1964).
    .. [4] B. T. Polyak, A. B. Juditsky, "Acceleration of stochastic approximation by averaging",
       SIAM J. Control Optim. 30, 838 (1992).
    """

    seed: int = 1
    """Of the order of subsets, which is drawn for each pass."""

    period: int = 1
    """Passes between two at which all gradients are computed, which is a pass more."""

    step: float = 0.8
    """Length of a step at first, of that which the bound allows."""

    long: int = 3
    """Passes of a run after which steps are half as long: what is left is then variance."""

    momentum: float = 0.8
    """Share of the last step that is added to one; none after a mean or all gradients."""

    def iterates(
        self, objective: Objective, image: Array, number: int = 0
    ) -> Iterator[Iterate[Array]]:
        """Yield `image` as iterate `number`, and every update after it, one a subset."""
        subsets = len(objective.subsets)
        kept: list[Array] = []
        late, averaged = np.zeros_like(image), 0
        residual = float("nan")
        for place in _places(number, subsets, self.seed):
            if not kept or (place.turn == 0 and place.number // subsets % self.period == 0):
                kept = objective.slopes(image)
                total = np.sum(kept, axis=0, dtype=np.float32)
                length = self.step / (1 if place.number // subsets < self.long else 2)
                scale = np.float32(length) / objective.limit(image)
                residual = objective.residual(image, total - objective.prior.gradient(image))
                before = image
            subset = objective.subsets[place.subset]
            ratio, likelihood = subset.ratio(image)
            penalty = objective.prior.value(image) / subsets
            yield Iterate(place.number, image, likelihood, penalty, residual)
            residual = float("nan")
            change = ratio - subset.sensitivity - kept[place.subset]
            uphill = np.float32(subsets) * change + total - objective.prior.gradient(image)
            step = scale * uphill + np.float32(self.momentum) * (image - before)
            before, image = image, objective.stepped(image, step)
            if place.number // subsets == self.long - 1 and 2 * place.turn + 1 > subsets:
                late, averaged = late + image, averaged + 1
            if averaged and place.turn == subsets - 1:
                mean = late / np.float32(averaged)
                before = image = objective.stepped(image, mean - image)
                averaged = 0


@dataclass(frozen=True)
class Bsrem:
    r"""Ordered subsets with shrinking steps, and the prior's curvature in their scale.

    An update takes the gradient of one subset times their number, less that of the prior; the
    step of pass n is :math:`1 / (1 + n / \tau)` of what the curvature allows. After Ahn and
    Fessler, IEEE Trans. Med. Imaging 22, 613 (2003), with the prior in the scale.
    """

    seed: int = 1
    """Of the order of subsets, which is drawn for each pass."""

    passes: float = 5.0
    r"""The :math:`\tau` after which a step is half as long."""

    period: int = 1
    """Passes after which the scale is made anew."""

    def iterates(
        self, objective: Objective, image: Array, number: int = 0
    ) -> Iterator[Iterate[Array]]:
        """Yield `image` as iterate `number`, and every update after it, one a subset."""
        subsets = len(objective.subsets)
        scale: Array | None = None
        for place in _places(number, subsets, self.seed):
            if scale is None or place.turn == 0:
                step = 1 / (1 + place.number // subsets / self.passes)
                scale = np.float32(step) / objective.limit(image)
            subset = objective.subsets[place.subset]
            ratio, likelihood = subset.ratio(image)
            yield Iterate(place.number, image, likelihood, objective.prior.value(image) / subsets)
            slope = np.float32(subsets) * (ratio - subset.sensitivity)
            image = objective.stepped(image, scale * (slope - objective.prior.gradient(image)))


def _places(number: int, subsets: int, seed: int) -> Iterator[_Place]:
    """Yield the places of iterate `number` and all after it; a pass has its own random order."""
    for each in count(number // subsets):
        order = np.random.default_rng([seed, each]).permutation(subsets)
        first = number % subsets if each == number // subsets else 0
        for turn in range(first, subsets):
            yield _Place(each * subsets + turn, turn, int(order[turn]))
