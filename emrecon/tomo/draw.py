"""Counts drawn again from counts: the bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from emrecon.volume import Array

T = TypeVar("T")


class Draw:
    """One replicate of a scan: each event is taken a number of times that is Poisson of mean 1.

    So the counts of a bin are Poisson of those that were measured. Sums over the events have, from
    replicate to replicate, the variance that they have from scan to scan [1]_. What does not
    depend on counts (factors, background, sensitivity) stays.

    Parameters
    ----------
    *key : int
        Seed and number of the replicate; what is drawn follows from these alone.

    References
    ----------
    .. [1] D. R. Haynor, S. D. Woods, "Resampling estimates of precision in emission tomography",
       IEEE Trans. Med. Imaging 8, 337 (1989).
    """

    def __init__(self, *key: int) -> None:
        self.key = key
        self._held: dict[int, tuple[Any, Any]] = {}

    def counts(self, counts: Array) -> Array:
        """Return counts drawn from counts, the same ones for all subsets that share an array."""
        return self.once(counts, lambda: self._drawn(counts, np.random.default_rng(
            [*self.key, len(self._held)]
        )))  # fmt: skip

    def times(self, count: int, *place: int) -> NDArray[np.float32]:
        """Return how many times each of `count` events at a place of the scan is taken."""
        drawn = np.random.default_rng([*self.key, *place]).poisson(1.0, count)
        return drawn.astype(np.float32)

    def once(self, what: Any, make: Callable[[], T]) -> T:  # noqa: ANN401 - anything shared
        """Return what is made of something once, however many subsets share it."""
        if id(what) not in self._held:
            self._held[id(what)] = what, make()
        drawn: T = self._held[id(what)][1]
        return drawn

    @staticmethod
    def _drawn(counts: Array, rng: np.random.Generator) -> Array:
        drawn = np.empty(counts.shape, np.float32)
        for number, view in enumerate(counts):  # some at a time: they are drawn as long integers
            drawn[number] = rng.poisson(view)
        return drawn
