"""Penalised EM that never falls, for any likelihood and any prior."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np

from emrecon.em import Iterate
from emrecon.tomo.algorithms.objective import Objective
from emrecon.volume import Array


@dataclass(frozen=True)
class DePierro:
    r"""De Pierro's step [1]_: EM against a separable parabola above the prior.

    Each voxel takes the root of :math:`c x^2 + (s + g - c x_0) x = e`, with the counts `e` that it
    emitted, its sensitivity `s`, and slope `g` and majorant `c` of the prior at its value
    :math:`x_0`; but no less than half of that value, below which the majorant does not hold.

    References
    ----------
    .. [1] A. R. De Pierro, "A modified expectation maximization algorithm for penalized likelihood
       estimation in emission tomography", IEEE Trans. Med. Imaging 14, 132 (1995).
    """

    period: int = 1
    """Any iterate is all that the next one needs."""

    def iterates(
        self, objective: Objective, image: Array, number: int = 0
    ) -> Iterator[Iterate[Array]]:
        """Yield `image` as iterate `number`, and every update after it, one a pass."""
        whole, prior = objective.whole, objective.prior
        for at in count(number):
            expected, likelihood = whole.expect(image)
            ratio, pull = whole.back(expected), prior.gradient(image)
            residual = objective.residual(image, ratio - objective.sensitivity - pull)
            yield Iterate(at, image, likelihood, prior.value(image), residual)
            image = _maximum(objective, image, image * ratio, pull)


def _maximum(objective: Objective, image: Array, emitted: Array, pull: Array) -> Array:
    """Return the maximum of the surrogate, voxel by voxel."""
    curved = objective.prior.majorant(image).astype(np.float64)
    linear = objective.sensitivity + pull - curved * image
    root = np.sqrt(linear * linear + 4 * curved * emitted)
    with np.errstate(divide="ignore", invalid="ignore"):  # of what nothing sees or curves
        falling = 2 * emitted / (linear + root)
        rising = (root - linear) / (2 * curved)
    best = np.maximum(np.where(linear > 0, falling, rising), image / 2)
    moves = objective.field & np.isfinite(best)
    return np.where(moves, best, image).astype(np.float32)
