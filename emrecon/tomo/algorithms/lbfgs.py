"""The reference: limited-memory BFGS with bounds, in preconditioned variables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emrecon.em import Iterate
from emrecon.tomo.algorithms.objective import Objective
from emrecon.volume import Array

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Lbfgs:
    """L-BFGS-B in variables scaled by the root of the curvature.

    The reference that faster algorithms are held to: a pass over all counts an update, and one
    more where the line search asks for it. After Tsai et al., "Fast quasi-Newton algorithms for
    penalized reconstruction in emission tomography and further improvements via preconditioning",
    IEEE Trans. Med. Imaging 37, 1000 (2018), with the minimiser of scipy.
    """

    period: int = 25
    """Updates after which scales and memory are made anew; they are yielded together then."""

    memory: int = 12
    """Pairs of steps and changes of gradient that are kept."""

    def iterates(
        self, objective: Objective, image: Array, number: int = 0
    ) -> Iterator[Iterate[Array]]:
        """Yield `image` as iterate `number`, and every update after it, one a pass or two."""
        begun = False
        while True:
            updates = self.period - number % self.period
            image, course = self._climbed(objective, image, updates)
            if not begun:
                yield replace(course[0], number=number)
                begun = True
            for iterate in course[1:] or course:  # not a digit further: it stays
                number += 1
                yield replace(iterate, number=number)

    def _climbed(
        self, objective: Objective, image: Array, updates: int
    ) -> tuple[Array, list[Iterate[Array]]]:
        """Return the image after so many updates, and all iterates from `image` on."""
        from scipy.optimize import minimize  # noqa: PLC0415 - heavy, seldom needed

        field = objective.field
        size = 1 / np.sqrt(objective.curvature(image)[field].astype(np.float64))
        seen: list[Iterate[Array]] = []
        course: list[Iterate[Array]] = []

        def image_of(scaled: Floats) -> Array:
            moved = image.copy()
            moved[field] = np.maximum(scaled * size, 0)
            return moved

        def cost(scaled: Floats) -> tuple[float, Floats]:
            tried = image_of(scaled)
            ratio, likelihood = objective.whole.ratio(tried)
            slope = ratio - objective.sensitivity - objective.prior.gradient(tried)
            penalty, residual = objective.prior.value(tried), objective.residual(tried, slope)
            seen[:] = [Iterate(0, tried, likelihood, penalty, residual)]
            if not course:
                course.extend(seen)
            return penalty - likelihood, -slope[field].astype(np.float64) * size

        minimize(
            cost, image[field].astype(np.float64) / size, jac=True, method="L-BFGS-B",
            bounds=[(0, None)] * int(field.sum()),
            callback=lambda scaled: course.extend(seen),
            options={"maxiter": updates, "maxcor": self.memory, "ftol": 0, "gtol": 0},
        )  # fmt: skip
        return course[-1].params, course
