"""Counts drawn again from counts: the bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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

    What is drawn follows from the key and from where in the scan a view or a block of events is:
    it is the same for any share of the scan, whoever draws it.

    Parameters
    ----------
    *key : int
        Seed and number of the replicate.
    views : array, optional
        Numbers in the scan of the views that are held, in their order; all of them by default.

    References
    ----------
    .. [1] D. R. Haynor, S. D. Woods, "Resampling estimates of precision in emission tomography",
       IEEE Trans. Med. Imaging 8, 337 (1989).
    """

    def __init__(self, *key: int, views: NDArray[np.intp] | None = None) -> None:
        self.key, self.views = key, views
        self._held: dict[int, tuple[Any, Any]] = {}

    def counts(self, counts: Array, axis: int) -> Array:
        """Return counts drawn from counts, the same ones for all subsets that share an array.

        Parameters
        ----------
        counts : array
            What was measured.
        axis : int
            Which axis the views are.
        """
        return self.once(counts, lambda: self._drawn(counts, axis))

    def times(self, subset: int, turns: Iterable[int], block: int) -> NDArray[np.float32]:
        """Return how many times each event is taken, of blocks of a subset by their turns."""
        drawn = [self._rng(subset, turn).poisson(1.0, block) for turn in turns]
        return np.concatenate(drawn).astype(np.float32)

    def once(self, what: Any, make: Callable[[], T]) -> T:  # noqa: ANN401 - anything shared
        """Return what is made of something once, however many subsets share it."""
        if id(what) not in self._held:
            self._held[id(what)] = what, make()
        drawn: T = self._held[id(what)][1]
        return drawn

    def _drawn(self, counts: Array, axis: int) -> Array:
        """Draw counts a view at a time: they are drawn as long integers."""
        drawn, scan = np.empty(counts.shape, np.float32), len(self._held)
        numbers = range(counts.shape[axis]) if self.views is None else self.views
        pairs = zip(np.moveaxis(counts, axis, 0), np.moveaxis(drawn, axis, 0), strict=True)
        for number, (view, into) in zip(numbers, pairs, strict=True):
            into[...] = self._rng(scan, int(number)).poisson(view)
        return drawn

    def _rng(self, *place: int) -> np.random.Generator:
        """Return the random numbers of a place in the scan."""
        return np.random.default_rng([*self.key, *place])
