"""What one worker holds and does; nothing here knows of Dask."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emrecon.compiled import set_threads
from emrecon.errors import SettingsError
from emrecon.files import keep_inputs
from emrecon.io.scan import read_scan
from emrecon.jobs import Order, background_totals, facts_of
from emrecon.spread.order import Choice, Node, own_nodes, summed
from emrecon.tomo import camera_setup
from emrecon.tomo.corrections.calibration import Calibration
from emrecon.tomo.emission import Emission, renewed
from emrecon.tomo.geometry.image_grid import grid_of
from emrecon.tomo.operators.blur import Blur
from emrecon.tomo.recon import bare_models, count_totals, fingerprint
from emrecon.tomo.scan import Scan
from emrecon.tomo.settings import Settings
from emrecon.tomo.subsets import interleaved
from emrecon.volume import Array, Grid
from emrecon.watchers import relative_change


class State(NamedTuple):
    """An image on a worker."""

    image: Array
    change: float
    """How far it is from the one before."""


class Partial(NamedTuple):
    """A sum over chunks."""

    image: Array
    """Back-projection."""

    likelihoods: tuple[float, ...]
    """Log-likelihood of each chunk, in order."""


@dataclass(frozen=True)
class About:
    """What the caller is told of a share; no arrays."""

    settings: Settings
    """As used: subsets that fit, centre about a camera's axis."""

    turns: tuple[int, ...]
    """Subsets in the order of their turns."""

    chunks: int
    """Of all shares together."""

    nodes: tuple[Node, ...]
    """What this share sums by itself."""

    grid: Grid
    """Where the image lies."""

    fov_mm: float
    """Radius of the field of view."""

    totals: tuple[tuple[float, float], ...]
    """Prompts and background of each chunk."""

    backgrounds: tuple[dict[str, float], ...]
    """Randoms and scatter of each chunk as they were read."""

    keys: tuple[str, ...]
    """Name of each chunk's data and settings; empty where not wanted."""

    inputs: dict[str, Path]
    """Files that were read."""

    facts: dict[str, Any]
    """What they say."""

    origin_mm: tuple[float, float, float] | None
    """Where a camera's own origin lies in the patient."""

    model_facts: dict[str, Any]
    """What is modelled of a camera."""

    calibration: Calibration | None
    """What makes Bq/mL, where it is known."""

    warnings: tuple[str, ...]
    """What was to be said on the way."""


@dataclass(frozen=True, eq=False)
class Share:
    """The chunks of one worker: for each the models of all subsets, without resolution."""

    models: dict[int, dict[int, Emission]]
    """By chunk and subset."""

    threads: int
    """Processor threads to use."""

    about: About
    """What the caller is told."""


Parts = Partial | tuple[Partial, ...]
"""One for each node of a share; alone if there is one."""


def load(order: Order, choice: Choice, threads: int) -> Share:
    """Read the views of one worker's chunks and build their models."""
    set_threads(threads)
    with _overheard() as warnings:
        asked: list[int] = []
        scan, inputs = _read(order, choice, asked)
        if scan.prompts.ndim != len(scan.bins.shape):
            raise SettingsError(
                "workers do not share time-of-flight data: say --sum-tof, or leave out --workers"
            )
        views = asked[0] if asked else scan.bins.shape[0]
        keep_inputs(order.made, inputs)
        settings = camera_setup.about_axis(order.settings, scan)
        settings = replace(settings, subsets=choice.counts(views)[0])
        scan, calibration = (
            camera_setup.completed(scan, settings),
            camera_setup.calibration(scan, settings),
        )
        grid, fov_mm = grid_of(scan.bins, settings), scan.bins.fov_mm
        if not asked:  # it was read whole
            scan = scan.of_views(choice(views))
        scan.check()
        every, sizes = choice.counts(views)[1], choice.sizes(views)
        backgrounds = tuple(background_totals(chunk) for chunk in _cut(scan, sizes))
        scan = scan.folded()
        keys = tuple(fingerprint(c, settings) for c in _cut(scan, sizes) if order.keyed)
        bare = replace(settings, psf_fwhm_mm=())
        models = {
            number: dict(
                bare_models(chunk, bare, (grid, fov_mm), interleaved(settings.subsets, size))
            )
            for number, size, chunk in zip(
                choice.range(views), sizes, _cut(scan, sizes), strict=True
            )
        }
    about = About(
        settings=settings,
        turns=tuple(next(iter(models.values()))),
        chunks=every,
        nodes=own_nodes(choice.range(views), every),
        grid=grid,
        fov_mm=fov_mm,
        totals=tuple(count_totals(models[number][0]) for number in models),
        backgrounds=backgrounds,
        keys=keys,
        inputs=inputs,
        facts=facts_of(scan, order.parts),
        origin_mm=scan.origin_mm,
        model_facts=camera_setup.facts(scan, calibration),
        calibration=calibration,
        warnings=tuple(dict.fromkeys(warnings)),
    )
    return Share(models, threads, about)


def back_projected(share: Share, state: State, subset: int) -> Parts:
    """Return, for each node of a share, the back-projection of measured over expected counts."""

    def partial(model: Emission) -> Partial:
        ratio, likelihood = model.expect(state.image)
        return Partial(model.system.adjoint(ratio), (likelihood,))

    return _over(share, subset, partial)


def sensitivity(share: Share, subset: int) -> Parts:
    """Return, for each node of a share, how well its views see each voxel."""
    return _over(share, subset, lambda model: Partial(model.sensitivity_now(), (0.0,)))


def added(one: Partial, other: Partial) -> Partial:
    """Return the sum of two parts."""
    return Partial(one.image + other.image, one.likelihoods + other.likelihoods)


@dataclass(frozen=True, eq=False)
class Home:
    """What is done with whole images, on any worker."""

    blur: Blur | None
    """The resolution model."""

    threads: int
    """Processor threads to use."""

    def seen(self, state: State) -> State:
        """Return the image as the projectors see it."""
        return State(self.blurred(state.image), state.change)

    def sensitivity(self, total: Partial) -> Array:
        """Return the sensitivity, resolution included."""
        return self.blurred(total.image)

    def updated(self, state: State, total: Partial, sensitivity: Array) -> State:
        """Return the next image."""
        image = renewed(state.image, state.image * self.blurred(total.image), sensitivity)
        return State(image, relative_change(image, state.image))

    def blurred(self, image: Array) -> Array:
        """Return an image with the resolution model, its own adjoint, applied."""
        if self.blur is None:
            return image
        set_threads(self.threads)
        return self.blur.forward(image)


def _read(order: Order, choice: Choice, asked: list[int]) -> tuple[Scan, dict[str, Path]]:
    """Return the scan, and note the number of views if only those chosen were read."""

    def only(views: int) -> NDArray[np.intp]:
        asked.append(views)
        return choice(views)

    return read_scan(order.path, order.parts, order.camera, order.settings.isotope, only=only)


def _cut(scan: Scan, sizes: tuple[int, ...]) -> Iterator[Scan]:
    """Yield the chunks of a scan, of so many views each, without copying."""
    first = 0
    for size in sizes:
        yield scan.of_views(slice(first, first + size))
        first += size


def _over(share: Share, subset: int, partial: Callable[[Emission], Partial]) -> Parts:
    """Return the sum over the chunks of each node."""
    set_threads(share.threads)

    def leaf(node: Node) -> Partial | None:
        first, last = node
        return partial(share.models[first][subset]) if last == first + 1 else None

    parts = tuple(
        summed(n, leaf, lambda _, one, other: added(one, other)) for n in share.about.nodes
    )
    return parts[0] if len(parts) == 1 else parts


@contextmanager
def _overheard() -> Iterator[list[str]]:
    """Collect warnings instead of having every worker say them."""
    said: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    logger, ear = logging.getLogger("emrecon"), Ear(logging.WARNING)
    logger.addHandler(ear)
    propagate, logger.propagate = logger.propagate, False
    try:
        yield said
    finally:
        logger.propagate = propagate
        logger.removeHandler(ear)
