"""One update of EM taken apart: what is measured, expected, compared, projected back and made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emrecon.tomo.algorithms.mlem import LARGEST
from emrecon.tomo.emission import Emission
from emrecon.tomo.likelihood import Through

if TYPE_CHECKING:
    from emrecon.em import Iterate
    from emrecon.tomo.problem import Problem
    from emrecon.volume import Array


@dataclass(frozen=True, eq=False)
class Counts:
    """The counts of the views of a subset, ``[view, bin, plane]``; time of flight is summed."""

    measured: Array
    """Prompts."""

    expected: Array
    """Mean counts by the image, with attenuation and background."""

    @property
    def ratio(self) -> Array:
        """Measured over expected, 0 where nothing is expected."""
        out = np.zeros_like(self.measured, np.float32)
        return np.divide(self.measured, self.expected, out=out, where=self.expected > 0)


@dataclass(frozen=True, eq=False)
class Inside:
    """One update: ``next = image * correction``."""

    number: int
    """Updates made before it."""

    subset: tuple[int, int]
    """Its place among the subsets, from 1, and how many there are."""

    log_likelihood: float
    """Of the image, on the data of this subset."""

    counts: Counts | None
    """In bins; None for single events, which have none."""

    image: Array
    """Before the update, ``[R, A, S]``; in kernel EM its coefficients."""

    correction: Array
    """The ratio projected back, over the sensitivity; 1 where nothing is seen."""

    @property
    def next(self) -> Array:
        """The image after the update."""
        return self.image * self.correction


def look_inside(problem: Problem, iterate: Iterate[Array]) -> Inside:
    """Return the update that follows an iterate."""
    turn = iterate.number % len(problem.likelihoods)
    likelihood = problem.likelihoods[turn]
    back, reached = likelihood.ratio(iterate.params)
    seen = likelihood.sensitivity
    correction = np.ones_like(iterate.params)
    emitted = iterate.params * back
    np.divide(back, seen, out=correction, where=seen > emitted / LARGEST)
    return Inside(
        iterate.number, (turn + 1, len(problem.likelihoods)), reached,
        _counts(likelihood, iterate.params), iterate.params, correction,
    )  # fmt: skip


def _counts(likelihood: Any, image: Array) -> Counts | None:  # noqa: ANN401 - of any kind
    """Return what lies in bins, where the likelihood has any."""
    if isinstance(likelihood, Through):
        return _counts(likelihood.likelihood, likelihood.operator.forward(image))
    if not isinstance(likelihood, Emission):
        return None
    measured, expected = likelihood.measured, likelihood.mean(image)
    if measured.ndim == 4:
        measured, expected = measured.sum(axis=0), expected.sum(axis=0)
    return Counts(measured, expected)
