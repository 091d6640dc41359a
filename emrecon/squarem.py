"""Acceleration of any EM model by squared extrapolation (SQUAREM), never downhill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from emrecon.em import Model
from emrecon.errors import EmreconError

P = TypeVar("P")
E = TypeVar("E")
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Squarem(Generic[P, E]):
    """A model whose every step is two EM steps, an extrapolation along them, and one more.

    The extrapolation is taken only if it is at least as likely as the first of the two steps,
    and otherwise shortened until it is the plain second step: the likelihood never falls.

    References
    ----------
    Varadhan and Roland, Scand. J. Statist. 35, 335 (2008), scheme S3.

    Examples
    --------
    >>> from itertools import repeat
    >>> import numpy as np
    >>> from emrecon import after, em, last, until
    >>> class Halves:  # a step halves the distance from 1
    ...     def expect(self, params):
    ...         return params, -float(np.sum((params - 1) ** 2))
    ...     def maximise(self, params, expected):
    ...         return (expected + 1) / 2
    >>> fast = Squarem(Halves(), lambda params: params, lambda vector, like: vector)
    >>> last(until(em(repeat(fast), np.array([9.0])), after(2))).params.round(6)
    array([1.])
    """

    model: Model[P, E]
    """What is accelerated."""

    flatten: Callable[[P], Floats]
    """Turns parameters into a vector of free numbers."""

    restore: Callable[[Floats, P], P]
    """Turns a vector, and parameters to take the rest from, back into parameters; may move the
    vector to the nearest one allowed, or raise an `EmreconError` if there is none."""

    shortest: int = 4
    """Times that the extrapolation is shortened before it is given up."""

    def expect(self, params: P) -> tuple[E, float]:
        """Return the expected complete data, and the log-likelihood of `params`."""
        return self.model.expect(params)

    def maximise(self, params: P, expected: E) -> P:
        """Return parameters at least as likely as two EM steps or, at worst, those."""
        first = self.model.maximise(params, expected)
        expected_first, least = self.model.expect(first)
        second = self.model.maximise(first, expected_first)
        start, middle = self.flatten(params), self.flatten(first)
        step = middle - start
        bend = self.flatten(second) - middle - step
        bent = float(np.linalg.norm(bend))
        if not bent > 0:
            return second
        length = max(float(np.linalg.norm(step)) / bent, 1.0)
        for _ in range(self.shortest):
            if length <= 1.0:
                break
            better = self._try(start + 2 * length * step + length**2 * bend, second, least)
            if better is not None:
                return better
            length = (length + 1) / 2 if length > 1.5 else 1.0
        return second

    def _try(self, vector: Floats, like: P, least: float) -> P | None:
        """Return one EM step from `vector`, or nothing if it is not likely enough."""
        if not np.isfinite(vector).all():
            return None
        try:
            params = self.restore(vector, like)
            expected, likelihood = self.model.expect(params)
        except EmreconError:
            return None
        if not likelihood >= least:
            return None
        return self.model.maximise(params, expected)
