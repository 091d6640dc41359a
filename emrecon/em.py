"""The one EM loop, shared by reconstruction and segmentation.

A model knows its two half-steps; this module knows how to repeat them, when to
stop, and who looks on.  Everything else in the package builds a model or reads
the iterates it gives.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from emrecon.brief import brief

P = TypeVar("P")
"""What is estimated: an activity image, or the parameters of a mixture."""

E = TypeVar("E")
"""What the E-step expects: mean counts per bin, or tissue memberships."""

P_co = TypeVar("P_co", covariant=True)


class Model(Protocol[P, E]):
    """A statistical model that expectation-maximisation can fit.

    Examples
    --------
    A reading of 1.5 mV whose sign was lost is of the mean theta or -theta, with noise of 1 mV. The
    E-step expects the sign, the M-step the voltage.

    >>> from math import cosh, log, tanh
    >>> class LostSign:
    ...     def expect(self, theta):
    ...         return tanh(1.5 * theta), log(cosh(1.5 * theta)) - theta**2 / 2
    ...
    ...     def maximise(self, theta, sign):
    ...         return 1.5 * sign
    >>> sign, log_likelihood = LostSign().expect(0.35)
    >>> round(LostSign().maximise(0.35, sign), 3)
    0.722
    """

    def expect(self, params: P) -> tuple[E, float]:
        """Return the expected complete data, and the log-likelihood of `params`."""
        ...

    def maximise(self, params: P, expected: E) -> P:
        """Return the parameters under which `expected` is most likely."""
        ...


@dataclass(frozen=True, slots=True)
class Iterate(Generic[P_co]):
    """One estimate on the way, with the log-likelihood it reached.

    Examples
    --------
    >>> Iterate(3, params=1.5, log_likelihood=-2.0).number
    3
    """

    number: int
    params: P_co
    log_likelihood: float

    penalty: float = 0.0
    """What a prior takes off the log-likelihood."""

    residual: float = float("nan")
    """Distance from the maximum in percent, where the algorithm knows it."""

    __repr__ = brief

    @property
    def objective(self) -> float:
        """What is maximised: the log-likelihood less the penalty."""
        return self.log_likelihood - self.penalty


def em(models: Iterable[Model[P, E]], params: P, *, start: int = 0) -> Iterator[Iterate[P]]:
    """Yield `params`, then each estimate that follows, one model a step.

    Repeat one model for plain EM; cycle through the models of the subsets for
    ordered subsets (OSEM).  An iterate is never changed after it was yielded.

    Parameters
    ----------
    models : iterable of Model
        The model of each step, in order.  Usually endless.
    params : P
        The estimate to start from.
    start : int, optional
        The number of the first iterate, when a stopped run is taken up again.

    Yields
    ------
    Iterate
        Estimate number ``start``, ``start + 1``, ...

    Examples
    --------
    The number whose square is 2, by a model whose likelihood is minus the squared distance.

    >>> from itertools import islice, repeat
    >>> class Root:
    ...     def expect(self, x):
    ...         return 2 / x, -((x - 2 / x) ** 2)
    ...
    ...     def maximise(self, x, other):
    ...         return (x + other) / 2
    >>> [round(one.params, 4) for one in islice(em(repeat(Root()), 1.0), 4)]
    [1.0, 1.5, 1.4167, 1.4142]
    """
    for number, model in enumerate(models, start):
        expected, log_likelihood = model.expect(params)
        yield Iterate(number, params, log_likelihood)
        params = model.maximise(params, expected)


def until(
    iterates: Iterable[Iterate[P]], *reached: Callable[[Iterate[P]], bool]
) -> Iterator[Iterate[P]]:
    """Yield iterates up to and with the first that any rule says is enough.

    Examples
    --------
    >>> run = [Iterate(number, None, -1.0 / (number + 1)) for number in range(9)]
    >>> [one.number for one in until(run, lambda one: one.log_likelihood > -0.3)]
    [0, 1, 2, 3]
    """
    for iterate in iterates:
        yield iterate
        enough = [rule(iterate) for rule in reached]  # every rule sees every iterate
        if any(enough):
            return


def watch(
    iterates: Iterable[Iterate[P]], *observers: Callable[[Iterate[P]], object]
) -> Iterator[Iterate[P]]:
    """Yield the same iterates, showing each to every observer first.

    Examples
    --------
    >>> run = [Iterate(number, None, -1.0) for number in range(3)]
    >>> _ = last(watch(run, lambda one: print(one.number)))
    0
    1
    2
    """
    for iterate in iterates:
        for observer in observers:
            observer(iterate)
        yield iterate


def last(iterates: Iterable[Iterate[P]]) -> Iterate[P]:
    """Run to the end and return the last iterate, keeping none of those before it.

    Raises
    ------
    ValueError
        If there is no iterate.

    Examples
    --------
    >>> last(Iterate(number, None, -1.0) for number in range(3)).number
    2
    """
    kept = deque(iterates, maxlen=1)
    if not kept:
        raise ValueError("no iterate: the models were empty")
    return kept[0]
