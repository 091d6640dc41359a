"""Rules that say when enough iterations have run."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from emrecon.em import Iterate

Rule = Callable[[Iterate[object]], bool]


class Flag(Protocol):
    """Something that can be set from elsewhere, such as a ``threading.Event``."""

    def is_set(self) -> bool:
        """Return whether it was set."""
        ...


class Stopped(Exception):  # noqa: N818 - no error: it was asked for
    """Raised by a meter to end a run that prepares its next image; earlier ones are kept."""


def after(count: int) -> Rule:
    """Stop at iterate `count`, that is, after `count` updates.

    Examples
    --------
    >>> from emrecon import Iterate, until
    >>> run = (Iterate(number, None, 0.0) for number in range(100))
    >>> [one.number for one in until(run, after(3))]
    [0, 1, 2, 3]
    """
    return lambda iterate: iterate.number >= count


def seconds(limit: float) -> Rule:
    """Stop at the first iterate that comes `limit` seconds or more from now."""
    end = time.monotonic() + limit
    return lambda iterate: time.monotonic() >= end


def converged(percent: float) -> Rule:
    """Stop at the first iterate that is known to be so near to the maximum."""
    return lambda iterate: iterate.residual <= percent


def pressed(flag: Flag) -> Rule:
    """Stop once `flag` is set: the Cancel of a panel, the Ctrl-C of a terminal."""
    return lambda iterate: flag.is_set()


class Flat:
    """Stop once the objective, the log-likelihood without a prior, grows by a share below `tol`.

    Parameters
    ----------
    tol : float
        Share of the objective's size.
    period : int, optional
        Compare with the iterate this many updates ago: the number of subsets, as only
        objectives of the same subset can be compared.
    earlier : sequence of float, optional
        Objectives of the iterates before the first that comes, when a stopped run goes on.
    size : float, optional
        What `tol` is a share of in place of the objective's own size: the number of voxels for
        likelihoods of densities, which may be near 0.
    since : int, optional
        Number of the first iterate that counts: those before have another objective.

    Examples
    --------
    >>> from emrecon import Iterate, until
    >>> run = (Iterate(number, None, -100.0 - 0.5**number) for number in range(100))
    >>> [one.number for one in until(run, Flat(1e-3))][-1]
    4
    """

    def __init__(
        self,
        tol: float,
        period: int = 1,
        earlier: Sequence[float] = (),
        size: float | None = None,
        since: int = 0,
    ) -> None:
        self._tol, self._size, self._since = tol, size, since
        self._last: deque[float] = deque(earlier, maxlen=period)

    def __call__(self, iterate: Iterate[object]) -> bool:
        if iterate.number < self._since:
            return False
        full = len(self._last) == self._last.maxlen
        last = self._last[0] if full else float("-inf")
        self._last.append(iterate.objective)
        size = abs(iterate.objective) if self._size is None else self._size
        return iterate.objective - last < self._tol * size


class Enough:
    """Several rules as one, which remembers whether they ended the run.

    Parameters
    ----------
    rules : sequence of Rule
        Each is shown every iterate.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self.reached = False
        """Whether any of them said so at the last iterate."""

    def __call__(self, iterate: Iterate[object]) -> bool:
        answers = [rule(iterate) for rule in self._rules]  # every rule sees every iterate
        self.reached = any(answers)
        return self.reached
