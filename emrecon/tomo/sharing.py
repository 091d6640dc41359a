"""One reconstruction shared among workers: a likelihood that sums those of chunks of the data.

The chunks, see `emrecon.tomo.chunks`, do not depend on the workers, and sums over them are made
along a fixed binary tree: the image has the same bits for any number of workers. Images come and
go as arrays; neither the algorithm is known here, nor what the workers run on.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import add, attrgetter, itemgetter
from typing import Any, Protocol

import numpy as np

from emrecon.tomo.chunks import (
    About,
    Load,
    Node,
    back_projections,
    curvatures,
    expectations,
    loaded,
    redrawn,
    sensitivities,
    tree_sum,
)
from emrecon.tomo.draw import Draw
from emrecon.tomo.operators.blur import Blur
from emrecon.tomo.operators.projector import resolution
from emrecon.tomo.problem import Problem, start_image, within
from emrecon.tomo.sensitivity import InMemory, Keep, Sensitivities
from emrecon.tomo.settings import Settings
from emrecon.tomo.subset_likelihoods import Progress, silent
from emrecon.volume import Array

log = logging.getLogger(__name__)


class Workers(Protocol):
    """Who does the work, by number; a future stands for what a task returns."""

    @property
    def threads(self) -> int:
        """Processor threads of each worker; 0 is all there are."""
        ...

    def __len__(self) -> int: ...

    def submit(self, worker: int, task: Callable[..., Any], *args: Any) -> Any:  # noqa: ANN401 - a future
        """Have a task done, with the results of futures in their place."""
        ...

    def place(self, value: Any) -> Any:  # noqa: ANN401 - a future of any value
        """Send a value, for tasks of all workers."""
        ...

    def result(self, future: Any) -> Any:  # noqa: ANN401 - of any task
        """Return what a task returned, or raise what it raised."""
        ...


def share(
    workers: Workers,
    load: Load,
    settings: Settings,
    chunks: int = 0,
    progress: Progress = silent,
) -> Problem:
    """Have workers read a scan, each its part, and build the likelihoods there.

    Parameters
    ----------
    workers : Workers
        Who does it.
    load : callable
        Opens the scan on a worker.
    settings : Settings
        How to reconstruct; `centre_mm` in the patient's coordinates where a camera has them.
    chunks : int, optional
        In how many chunks the data are split, at least one a worker; 0 for a few. Images of
        different numbers of chunks differ by rounding.
    progress : callable, optional
        Is shown how many sensitivities are done, and of how many.

    Raises
    ------
    EmreconError
        As `emrecon.tomo.prepare.prepare` does, and if there are more workers than chunks.
    """
    count = len(workers)
    shares = [
        workers.submit(n, loaded, load, settings, chunks, (n, count), workers.threads)
        for n in range(count)
    ]
    about: list[About] = [
        workers.result(workers.submit(n, attrgetter("about"), one)) for n, one in enumerate(shares)
    ]
    for message in dict.fromkeys(words for one in about for words in one.warnings):
        log.warning("%s", message)
    first = about[0]
    nodes = tuple(one.nodes for one in about)
    pool = Pool(workers, tuple(shares), nodes, resolution(first.bare.grid, settings))
    likelihoods = tuple(_likelihoods(pool, first))
    total = np.zeros(first.bare.grid.shape, np.float32)
    for done, likelihood in enumerate(likelihoods, 1):
        total += likelihood.sensitivity
        progress(done, len(likelihoods))
    prompts, background = zip(*(pair for one in about for pair in one.totals), strict=True)
    inside = within(first.bare.grid, first.seen_mm)
    start, facts = start_image(inside, (math.fsum(prompts), math.fsum(background)), total)
    facts = _facts(about) | facts | {"workers": count, "chunks": nodes[-1][-1][1]}
    return replace(first.bare, likelihoods=likelihoods, start=start, facts=facts)


def _likelihoods(pool: Pool, about: About) -> Iterator[Shared]:
    """Yield the likelihood of every subset in the order of their turns."""
    kept, alike = Sensitivities(), InMemory()
    for number in about.turns:
        own = kept.of(number, len(about.turns), about.bare.grid.shape)
        yield Shared(pool, number, alike if about.alike else own)


def _facts(about: Sequence[About]) -> dict[str, Any]:
    """Return what the scan's files say, with the totals of its backgrounds."""
    chunks = [chunk for one in about for chunk in one.backgrounds]
    return about[0].bare.facts | {
        name: math.fsum(chunk[name] for chunk in chunks) for name in chunks[0]
    }


@dataclass(frozen=True, eq=False)
class Pool:
    """Workers with what they hold."""

    workers: Workers
    """Who does it."""

    shares: tuple[Any, ...]
    """Futures of the `Share` of each."""

    nodes: tuple[tuple[Node, ...], ...]
    """What each sums by itself."""

    blur: Blur | None
    """Resolution model in the image, which is applied here, not on the workers."""

    def each(self, task: Callable[..., Any], *args: Any) -> list[Any]:  # noqa: ANN401 - the task's
        """Have a task done on every share; return the futures."""
        return [self.workers.submit(n, task, one, *args) for n, one in enumerate(self.shares)]

    def place(self, image: Array) -> Any:  # noqa: ANN401 - a future
        """Send an image to the workers as their projectors see it."""
        return self.workers.place(image if self.blur is None else self.blur.forward(image))

    def redrawn(self, draw: Draw) -> Pool:
        """Have the counts of all chunks drawn again where they lie."""
        return replace(self, shares=tuple(self.each(redrawn, draw.key)))

    def total(self, sums: list[Any]) -> Array:
        """Return the sum over all chunks of what each worker summed, one image a node."""
        held: dict[Node, tuple[int, Any]] = {}
        for worker, (images, nodes) in enumerate(zip(sums, self.nodes, strict=True)):
            for number, node in enumerate(nodes):
                image = self.workers.submit(worker, itemgetter(number), images)
                held[node] = worker, image

        def added(one: tuple[int, Any], other: tuple[int, Any]) -> tuple[int, Any]:
            return one[0], self.workers.submit(one[0], add, one[1], other[1])

        _, image = tree_sum((0, self.nodes[-1][-1][1]), held.get, added)
        total: Array = self.workers.result(image)
        return total if self.blur is None else self.blur.adjoint(total)


@dataclass(frozen=True, eq=False)
class Shared:
    """The likelihood of one subset whose data lie on several workers."""

    pool: Pool
    """Workers and what they hold."""

    subset: int
    """Number of the subset."""

    keep: Keep
    """Where the sensitivity is kept once it was computed."""

    @property
    def sensitivity(self) -> Array:
        """How well each voxel is seen, ``A^T f``."""
        return self.keep(lambda: self.pool.total(self.pool.each(sensitivities, self.subset)))

    def expect(self, image: Array) -> tuple[list[Any], float]:
        """Return what stays on the workers to be projected back, and the log-likelihood."""
        workers = self.pool.workers
        expected = self.pool.each(expectations, self.subset, self.pool.place(image))
        terms = [workers.submit(n, itemgetter(1), one) for n, one in enumerate(expected)]
        return expected, math.fsum(gained for one in terms for gained in workers.result(one))

    def back(self, expected: list[Any]) -> Array:
        """Return the sum of the back-projections of all chunks."""
        pairs = zip(self.pool.shares, expected, strict=True)
        submit = self.pool.workers.submit
        return self.pool.total(
            [submit(n, back_projections, *pair, self.subset) for n, pair in enumerate(pairs)]
        )

    def ratio(self, image: Array) -> tuple[Array, float]:
        """Return ``A^T [f y / ybar]`` and the log-likelihood of the image."""
        expected, likelihood = self.expect(image)
        return self.back(expected), likelihood

    def curvature(self, image: Array, along: Array) -> Array:
        """Return minus the Hessian of the log-likelihood at `image`, times `along`."""
        images = self.pool.place(image), self.pool.place(along)
        return self.pool.total(self.pool.each(curvatures, self.subset, *images))

    def redrawn(self, draw: Draw) -> Shared:
        """Return the likelihood of counts drawn from these."""
        pool = draw.once(self.pool, lambda: self.pool.redrawn(draw))
        return replace(self, pool=pool, keep=lambda _: self.sensitivity)
