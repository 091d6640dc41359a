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

P = TypeVar("P")
"""What is estimated: an activity image, or the parameters of a mixture."""

E = TypeVar("E")
"""What the E-step expects: mean counts per bin, or tissue memberships."""

P_co = TypeVar("P_co", covariant=True)


class Model(Protocol[P, E]):
    """A statistical model that expectation-maximisation can fit."""

    def expect(self, params: P) -> tuple[E, float]:
        """Return the expected complete data, and the log-likelihood of `params`."""
        ...

    def maximise(self, params: P, expected: E) -> P:
        """Return the parameters under which `expected` is most likely."""
        ...


@dataclass(frozen=True, slots=True)
class Iterate(Generic[P_co]):
    """One estimate on the way, with the log-likelihood it reached."""

    number: int
    params: P_co
    log_likelihood: float


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
    """
    for number, model in enumerate(models, start):
        expected, log_likelihood = model.expect(params)
        yield Iterate(number, params, log_likelihood)
        params = model.maximise(params, expected)


def until(
    iterates: Iterable[Iterate[P]], *reached: Callable[[Iterate[P]], bool]
) -> Iterator[Iterate[P]]:
    """Yield iterates up to and with the first that any rule says is enough."""
    for iterate in iterates:
        yield iterate
        enough = [rule(iterate) for rule in reached]  # every rule sees every iterate
        if any(enough):
            return


def watch(
    iterates: Iterable[Iterate[P]], *observers: Callable[[Iterate[P]], object]
) -> Iterator[Iterate[P]]:
    """Yield the same iterates, showing each to every observer first."""
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
    """
    kept = deque(iterates, maxlen=1)
    if not kept:
        raise ValueError("no iterate: the models were empty")
    return kept[0]
