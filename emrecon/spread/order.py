"""Which chunk holds which views, and the order in which sums over chunks are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import SettingsError
from emrecon.tomo.subsets import fitting_subsets

T = TypeVar("T")

Node = tuple[int, int]
"""Chunks from the first up to, but without, the second: a sum over them."""

MOST = 8
"""Chunks, where no number is given: enough for a few workers, and each worth a call."""

UNEVEN = 1.1
"""Work of the largest chunk over the mean that is put up with."""


def fitting_chunks(wanted: int, blocks: int) -> int:
    """Return how many chunks are made of so many blocks of views, whatever the workers.

    Parameters
    ----------
    wanted : int
        Chunks; 0 for the most, up to `MOST`, that are nearly of one size.
    blocks : int
        Views that every subset has at least.

    Raises
    ------
    SettingsError
        If more are wanted than there are blocks.
    """
    if wanted > blocks:
        raise SettingsError(
            f"{wanted} chunks of views wanted, but a subset has {blocks} views: give at most "
            "that, or fewer subsets"
        )
    fair = (
        n for n in range(MOST, 0, -1) if n <= blocks and -(-blocks // n) * n <= UNEVEN * blocks
    )
    return wanted or next(fair)


@dataclass(frozen=True)
class Choice:
    """The views of some of the chunks, one chunk after the other.

    A block is as many views in a row as there are subsets. Chunk c holds every block whose number
    is c modulo the number of chunks, so that all chunks work on every subset, and the views of a
    subset within a chunk are spread evenly once more.
    """

    subsets: int
    """Subsets that are wanted."""

    chunks: int
    """Chunks that are wanted, or 0."""

    worker: int = 0
    """Whose chunks."""

    workers: int = 1
    """How many share them."""

    def counts(self, views: int) -> tuple[int, int]:
        """Return how many subsets and chunks there are.

        Raises
        ------
        SettingsError
            If there are fewer chunks than workers.
        """
        subsets = fitting_subsets(self.subsets, views)
        chunks = fitting_chunks(self.chunks, max(1, views // subsets))
        if chunks < self.workers:
            raise SettingsError(
                f"{self.workers} workers wanted, but the views are split in {chunks} chunks: give "
                f"at most {chunks} workers, or more --chunks (which changes rounding)"
            )
        return subsets, chunks

    def range(self, views: int) -> range:
        """Return the numbers of the chunks: as many in a row for each worker."""
        chunks = self.counts(views)[1]
        return range(
            self.worker * chunks // self.workers, (self.worker + 1) * chunks // self.workers
        )

    def of_chunk(self, views: int, chunk: int) -> NDArray[np.intp]:
        """Return the views of a chunk, in order."""
        subsets, chunks = self.counts(views)
        return np.flatnonzero(np.arange(views) // subsets % chunks == chunk)

    def sizes(self, views: int) -> tuple[int, ...]:
        """Return the number of views in each of this worker's chunks."""
        return tuple(len(self.of_chunk(views, chunk)) for chunk in self.range(views))

    def __call__(self, views: int) -> NDArray[np.intp]:
        """Return the views of this worker's chunks, of so many in all."""
        return np.concatenate([self.of_chunk(views, chunk) for chunk in self.range(views)])


def summed(node: Node, leaf: Callable[[Node], T | None], add: Callable[[Node, T, T], T]) -> T:
    """Return the sum over the chunks of a node, as a binary tree that depends on nothing else.

    Parameters
    ----------
    node : Node
        Which chunks.
    leaf : callable
        Gives a node's value, or None where it is to be summed from its two halves.
    add : callable
        Adds the two halves of a node.
    """
    known = leaf(node)
    if known is not None:
        return known
    first, last = node
    middle = (first + last) // 2
    return add(node, summed((first, middle), leaf, add), summed((middle, last), leaf, add))


def own_nodes(chunks: range, every: int) -> tuple[Node, ...]:
    """Return the largest nodes of the tree over `every` chunk that lie within `chunks`."""

    def within(first: int, last: int) -> tuple[Node, ...]:
        if last <= chunks.start or first >= chunks.stop:
            return ()
        if chunks.start <= first and last <= chunks.stop:
            return ((first, last),)
        middle = (first + last) // 2
        return within(first, middle) + within(middle, last)

    return within(0, every)
