"""The models of a reconstruction whose views lie on several workers."""

from __future__ import annotations

import logging
import math
from collections import deque
from dataclasses import dataclass, field
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from emrecon.errors import SettingsError
from emrecon.jobs import Begun, Meters, Order
from emrecon.spread.cluster import Workers
from emrecon.spread.order import Choice, Node, summed
from emrecon.spread.share import (
    About,
    Home,
    Share,
    State,
    added,
    back_projected,
    load,
    sensitivity,
)
from emrecon.tomo.operators.blur import Blur
from emrecon.tomo.recon import Problem, start_image, within
from emrecon.tomo.sensitivity import Sensitivities, key_of
from emrecon.tomo.settings import per_axis
from emrecon.volume import Array

if TYPE_CHECKING:
    from distributed import Future

log = logging.getLogger(__name__)


class Remote:
    """An image on a worker; `numpy.asarray` fetches it.

    Parameters
    ----------
    workers : Workers
        Where it is.
    state : Future
        Its `State`.
    shape : tuple of int
        Its shape.
    """

    def __init__(self, workers: Workers, state: Future[Any], shape: tuple[int, ...]) -> None:
        self._workers, self.state, self.shape = workers, state, shape

    def __array__(self, dtype: Any = None, *, copy: bool | None = None) -> Array:  # noqa: ANN401 - numpy's
        found = self._workers.submit(0, attrgetter("image"), self.state)
        return np.asarray(self._workers.result(found), dtype)

    def change(self) -> float:
        """Return how far it is from the image before."""
        return float(
            self._workers.result(self._workers.submit(0, attrgetter("change"), self.state))
        )


@dataclass(frozen=True, eq=False)
class Spread:
    """All that the models of the subsets share."""

    workers: Workers
    """Who does it."""

    shares: list[Future[Share]]
    """What each of them holds."""

    about: tuple[About, ...]
    """What is known of it."""

    home: Home
    """What is done with whole images."""

    recent: deque[Remote] = field(default_factory=lambda: deque(maxlen=2))
    """Images from which a lost one can be made anew."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the image."""
        return self.about[0].grid.shape

    def total(self, at: int, task: Any, *args: Any) -> Future[Any]:  # noqa: ANN401 - what shares take
        """Return the sum over all chunks of what `task` makes of the shares.

        The parts travel along a tree, and the last sum is made on worker `at`.
        """
        parts: dict[Node, tuple[int, Any]] = {}
        for worker, (share, nodes) in enumerate(zip(self.shares, self._nodes(), strict=True)):
            part = self.workers.submit(worker, task, share, *args)
            for number, node in enumerate(nodes):
                one = (
                    part
                    if len(nodes) == 1
                    else (self.workers.submit(worker, itemgetter(number), part))
                )
                parts[node] = (worker, one)
        root = (0, self.about[0].chunks)

        def add(node: Node, one: Any, other: Any) -> Any:  # noqa: ANN401 - futures, placed
            worker = at if node == root else one[0]
            return worker, self.workers.submit(worker, added, one[1], other[1])

        return summed(root, parts.get, add)[1]

    def _nodes(self) -> list[tuple[Node, ...]]:
        return [about.nodes for about in self.about]


@dataclass(frozen=True, eq=False)
class SpreadEmission:
    """`emrecon.tomo.emission.Emission` of one subset, with its views on several workers."""

    spread: Spread
    """Workers and what they hold."""

    subset: int
    """Number of the subset."""

    sensitivity: Future[Any]
    """How well each voxel is seen, on the worker that updates with this subset."""

    def expect(self, params: Remote) -> tuple[Future[Any], float]:
        """Return the back-projection of measured over expected counts, and the log-likelihood."""
        workers, home = self.spread.workers, self.spread.home
        state = params.state
        if home.blur is not None:
            state = workers.submit(self.subset, home.seen, state)
        total = self.spread.total(self.subset, back_projected, state, self.subset)
        found = workers.submit(self.subset, attrgetter("likelihoods"), total)
        likelihood = math.fsum(workers.result(found))
        self.spread.recent.append(params)
        return total, likelihood

    def maximise(self, params: Remote, expected: Future[Any]) -> Remote:
        """Return the next image, made on a worker."""
        spread = self.spread
        state = spread.workers.submit(
            self.subset, spread.home.updated, params.state, expected, self.sensitivity
        )
        return Remote(spread.workers, state, spread.shape)


def ready(order: Order, meters: Meters, *, workers: Workers, chunks: int = 0) -> Begun:
    """Have workers read a scan, each its part, and build the models there.

    Parameters
    ----------
    order : Order
        What to reconstruct.
    meters : callable
        Makes the progress bar.
    workers : Workers
        Who does it.
    chunks : int, optional
        In how many chunks the views are split, at least one a worker; 0 for a few. Images of
        different numbers of chunks differ by rounding.

    Raises
    ------
    SettingsError
        If the settings or the scan need what is not shared: the siddon projector, time of flight.
    """
    if order.settings.projector != "joseph":
        raise SettingsError(
            f"workers do not share the mirrored views of the {order.settings.projector} "
            "projector: say --projector joseph, or leave out --workers"
        )
    count = len(workers)
    choices = [Choice(order.settings.subsets, chunks, n, count) for n in range(count)]
    shares = [
        workers.submit(n, load, order, choice, workers.threads) for n, choice in enumerate(choices)
    ]
    told = [workers.submit(n, attrgetter("about"), share) for n, share in enumerate(shares)]
    about: tuple[About, ...] = tuple(workers.result(future) for future in told)
    for message in dict.fromkeys(words for one in about for words in one.warnings):
        log.warning("%s", message)
    first = about[0]
    fwhm = per_axis(first.settings.psf_fwhm_mm)
    home = Home(Blur(first.grid, fwhm) if any(fwhm) else None, workers.threads)
    problem = _problem(Spread(workers, shares, about, home), meters)
    backgrounds = [chunk for one in about for chunk in one.backgrounds]
    totals = {name: math.fsum(chunk[name] for chunk in backgrounds) for name in backgrounds[0]}
    key = key_of(*(name for one in about for name in one.keys)) if order.keyed else ""
    facts = first.facts | totals | problem.facts
    return Begun(problem, first.origin_mm, first.inputs, facts, order.settings, key)


def _problem(spread: Spread, meters: Meters) -> Problem:
    """Make sensitivities and the start image on the workers."""
    workers, first = spread.workers, spread.about[0]
    subsets, models = first.settings.subsets, []
    whole: Any = None
    with meters("sensitivity", subsets) as meter:
        for done, number in enumerate(first.turns, 1):
            total = spread.total(number, sensitivity, number)
            seen = workers.submit(number, spread.home.sensitivity, total)
            whole = seen if whole is None else workers.submit(number, np.add, whole, seen)
            workers.result(workers.submit(number, np.shape, whole))
            models.append(SpreadEmission(spread, number, seen))
            if meter:
                meter.update(done, subsets)
    pairs = [pair for one in spread.about for pair in one.totals]
    counted = (math.fsum(p for p, _ in pairs), math.fsum(b for _, b in pairs))
    begun = workers.submit(0, _start, within(first.grid, first.fov_mm), counted, whole)
    state = workers.submit(0, itemgetter(0), begun)
    facts = workers.result(workers.submit(0, itemgetter(1), begun))
    facts |= first.model_facts | {"workers": len(workers), "chunks": first.chunks}

    def place(image: Array) -> Remote:
        there = workers.place(0, State(image, math.nan))
        return Remote(workers, there, spread.shape)

    return Problem(
        tuple(models),
        Remote(workers, state, spread.shape),
        first.grid,
        first.settings,
        facts,
        Sensitivities(),
        first.calibration,
        place,
        lambda image, before: image.change(),
    )


def _start(*args: Any) -> tuple[State, dict[str, Any]]:  # noqa: ANN401 - those of start_image
    image, facts = start_image(*args)
    return State(image, math.nan), facts
