"""The reference: limited-memory BFGS among images of 0 or more, preconditioned."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emrecon.em import Iterate
from emrecon.tomo.algorithms.objective import Objective
from emrecon.volume import Array

ENOUGH = 1e-4
"""Share of the rise that the gradient promises for a step, which it has to bring."""

ROUNDED = 1e-9
"""Share of the objective below which a change is rounding."""

HALVINGS = 12
"""Times that a step is halved before the image is as good as can be told."""


class _Point(NamedTuple):
    """An image and what is known there."""

    iterate: Iterate[Array]
    uphill: Array
    """Gradient of the objective."""

    @property
    def image(self) -> Array:
        return self.iterate.params


class _Change(NamedTuple):
    """What a step did."""

    step: Array
    bend: Array
    """How much the gradient fell."""


Changes = deque[_Change]


@dataclass(frozen=True)
class Lbfgs:
    """Projected L-BFGS, with the inverse of a bound on the curvature as its first guess.

    The reference that faster algorithms are held to: a pass over all counts an update, and one
    more where a step has to be halved. Voxels that the gradient holds at 0 take no part in a step
    [1]_. That guess is the change of variables of [2]_.

    References
    ----------
    .. [1] D. P. Bertsekas, "Projected Newton methods for optimization problems with simple
       constraints", SIAM J. Control Optim. 20, 221 (1982).
    .. [2] Y.-J. Tsai et al., "Fast quasi-Newton algorithms for penalized reconstruction in
       emission tomography and further improvements via preconditioning", IEEE Trans. Med. Imaging
       37, 1000 (2018).
    """

    period: int = 25
    """Updates after which bound and memory are made anew."""

    memory: int = 12
    """Changes that are kept."""

    def iterates(
        self, objective: Objective, image: Array, number: int = 0
    ) -> Iterator[Iterate[Array]]:
        """Yield `image` as iterate `number`, and every update after it, one a pass or two."""
        here = _point(objective, image)
        changes: Changes = deque(maxlen=self.memory)
        inverse = np.empty_like(image)
        best = False
        for at in count(number):
            if at == number or at % self.period == 0:
                changes.clear()
                inverse = np.reciprocal(objective.curvature(here.image))
                best = False
            yield replace(here.iterate, number=at)
            if best:
                continue
            free = objective.field & ((here.image > 0) | (here.uphill > 0))
            step = _direction(here.uphill * free, changes, inverse, free)
            there = _climbed(objective, here, step)
            if there is None:  # the memory may be what misleads
                best = not changes
                changes.clear()
                continue
            changes.append(_Change(there.image - here.image, here.uphill - there.uphill))
            here = there


def _point(objective: Objective, image: Array) -> _Point:
    """Return what is known at an image; a pass over all counts."""
    ratio, likelihood = objective.whole.ratio(image)
    uphill = ratio - objective.sensitivity - objective.prior.gradient(image)
    penalty, residual = objective.prior.value(image), objective.residual(image, uphill)
    return _Point(Iterate(0, image, likelihood, penalty, residual), uphill)


def _direction(uphill: Array, changes: Changes, inverse: Array, free: NDArray[np.bool_]) -> Array:
    """Return the gradient times the inverse Hessian that the changes tell, among free voxels."""
    shares: list[tuple[_Change, float, float]] = []
    for change in reversed(changes):
        step, bend = (one * free for one in change)
        curved = _dot(step, bend)
        if curved <= 0:  # of the free voxels alone it may be
            continue
        share = _dot(step, uphill) / curved
        uphill = np.subtract(uphill, np.float32(share) * bend)
        shares.append((_Change(step, bend), curved, share))
    size = 1.0
    if shares:
        (_, bend), curved, _ = shares[0]
        size = curved / _dot(bend, inverse * bend)
    direction: Array = np.float32(size) * inverse * uphill
    for (step, bend), curved, share in reversed(shares):
        direction += np.float32(share - _dot(bend, direction) / curved) * step
    return direction


def _climbed(objective: Objective, here: _Point, step: Array) -> _Point | None:
    """Return the first point along halved steps that is higher; None if there is none."""
    value = here.iterate.objective
    for halving in range(HALVINGS):
        image = objective.stepped(here.image, np.float32(0.5**halving) * step)
        move = image - here.image
        promised = _dot(here.uphill, move)
        there = _point(objective, image)
        rise = there.iterate.objective - value
        level = abs(rise) <= ROUNDED * abs(value) and -_dot(there.uphill, move) <= promised
        if promised > 0 and (rise >= ENOUGH * promised or level):
            return there
    return None


def _dot(one: Array, other: Array) -> float:
    """Return the sum of products, the same whatever the number of threads."""
    return float(np.sum(one * other, dtype=np.float64))
