"""The chunks of a scan that one of several workers holds, and what it does with them.

The data are split in a number of chunks that does not depend on the workers. A chunk holds some of
the views, or of the events, of every subset, and stays on the worker that loaded it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from operator import add
from typing import Any, TypeVar

import numpy as np

from emrecon.compiled import set_threads
from emrecon.errors import SettingsError
from emrecon.heard import heard
from emrecon.tomo import camera_setup
from emrecon.tomo.corrections.map_shift import say_elsewhere, views_around
from emrecon.tomo.draw import Draw
from emrecon.tomo.geometry.image_grid import grid_of
from emrecon.tomo.likelihood import Redrawable
from emrecon.tomo.listmode_scan import ListmodeScan
from emrecon.tomo.operators.projector import seen_mm
from emrecon.tomo.problem import Problem
from emrecon.tomo.scan import Scan
from emrecon.tomo.sensitivity import unkept
from emrecon.tomo.settings import Settings
from emrecon.tomo.subset_likelihoods import (
    bin_likelihoods,
    check_events,
    count_totals,
    event_likelihoods,
    event_totals,
    sensitivity_of,
)
from emrecon.tomo.subsets import (
    MOST_CHUNKS,
    Turn,
    Views,
    chunk_of,
    fitting_chunks,
    interleaved,
    turns,
)
from emrecon.volume import Array

NOTHING = np.empty(0, np.float32)

T = TypeVar("T")

Node = tuple[int, int]
"""Chunks from the first up to, but without, the second: a sum over them."""

Only = Callable[[int], Views]
"""Chooses the views to read, of so many."""

Load = Callable[[Only | None], AbstractContextManager[Scan | ListmodeScan]]
"""Opens a scan on a worker; it may be pickled. A reader that can read some views alone asks which;
any other reads all."""


@dataclass(frozen=True)
class About:
    """What is known of a share; no data."""

    bare: Problem
    """The problem, but for likelihoods and start image."""

    turns: tuple[int, ...]
    """Subsets in the order of their turns."""

    nodes: tuple[Node, ...]
    """What this share sums by itself."""

    seen_mm: float
    """Distance from the axis within which the image is seen."""

    alike: bool
    """Whether all subsets have the same sensitivity, as those of events do."""

    totals: tuple[tuple[float, float], ...]
    """Prompts and background of each chunk."""

    backgrounds: tuple[dict[str, float], ...]
    """Randoms and scatter of each chunk as they were read."""

    views: tuple[Views | None, ...]
    """Numbers of the views of each chunk; None of events."""

    warnings: tuple[str, ...] = ()
    """What was to be said on the way."""


Chunks = dict[int, dict[int, Redrawable[Any]]]
"""Likelihoods by chunk and subset, without the resolution model."""


@dataclass(frozen=True, eq=False)
class Share:
    """The chunks of one worker."""

    chunks: Chunks
    """Their likelihoods."""

    threads: int
    """Processor threads to use."""

    about: About
    """What the caller needs to know."""


def loaded(
    load: Load, settings: Settings, chunks: int, worker: tuple[int, int], threads: int
) -> Share:
    """Open a scan and build the likelihoods of one worker's chunks.

    Parameters
    ----------
    load, settings, chunks
        See `share`.
    worker : tuple of int
        Number of the worker, and of all.
    threads : int
        Processor threads to use.
    """
    set_threads(threads)
    chosen = _Choice(settings.subsets, chunks, worker)
    # the caller says each warning once
    with heard(every_thread=True, silent=True) as warnings, ExitStack() as opened:
        by_number = settings.projector == "joseph"  # else subsets depend on where views lie
        scan = opened.enter_context(load(chosen if by_number else None))
        if isinstance(scan, ListmodeScan):
            held, about = _of_events(scan, settings, chosen)
        else:
            held, about = _of_bins(scan, settings, chosen)
            if scan.mu is not None and not worker[0]:
                _say_elsewhere(scan, load, settings, chosen)
        share = Share(held, threads, replace(about, warnings=tuple(warnings)))
        weakref.finalize(share, opened.pop_all().close)  # events stay open while they are used
    return share


@dataclass
class _Choice:
    """Chooses the chunks of one worker, and their views."""

    subsets: int
    wanted: int
    worker: tuple[int, int]
    views: int = 0
    """Views of the scan, once a reader asked which to read."""

    def __call__(self, views: int) -> Views:
        self.views = views
        chunks, _ = self.of(interleaved(self.subsets, views))
        return np.concatenate([views for views, _ in chunks.values()])

    def of(self, order: list[Turn]) -> tuple[dict[int, tuple[Views, list[Turn]]], int]:
        """Return views and subsets of each of the worker's chunks, and the number of all."""
        count = fitting_chunks(self.wanted, min(len(views) for _, views in order))
        return {number: chunk_of(order, number, count) for number in self.numbers(count)}, count

    def numbers(self, count: int) -> range:
        """Return the worker's chunks of so many: as many in a row for each worker."""
        number, workers = self.worker
        if count < workers:
            raise SettingsError(
                f"{workers} workers wanted, but the data are split in {count} chunks: give at "
                f"most {count} workers, or more --chunks (which changes rounding)"
            )
        return range(number * count // workers, (number + 1) * count // workers)


def _of_bins(scan: Scan, settings: Settings, chosen: _Choice) -> tuple[Chunks, About]:
    """Build the likelihoods of the chosen views of counts in bins."""
    scan.check()
    settings = camera_setup.about_axis(settings, scan)
    calibration = camera_setup.calibration(scan, settings)
    scan = camera_setup.completed(scan, settings)
    grid, fov_mm, read = grid_of(scan.bins, settings), scan.bins.fov_mm, chosen.views
    order = interleaved(settings.subsets, read) if read else turns(scan.bins, grid, settings)
    settings = replace(settings, subsets=len(order))
    chunks, count = chosen.of(order)
    held: Chunks = {}
    totals, backgrounds, begin = [], [], 0
    for number, (views, turn) in chunks.items():
        chunk = scan.of_views(slice(begin, begin + len(views)) if read else views)
        begin += len(views)
        backgrounds.append(chunk.background_totals())
        unresolved = replace(settings, psf_fwhm_mm=())
        each = bin_likelihoods(chunk.folded(), unresolved, grid, fov_mm, turn)
        kept = [replace(likelihood, keep=unkept) for likelihood in each]
        totals.append(count_totals(kept[0]))
        held[number] = {n: one for (n, _), one in zip(turn, kept, strict=True)}
    facts = scan.facts | {"duration_s": scan.duration_s} | camera_setup.facts(scan, calibration)
    return held, About(
        Problem(
            (),
            NOTHING,
            grid,
            settings,
            facts,
            calibration,
            scan.origin_mm,
            scan.exam.lasting(scan.duration_s),
        ),
        turns=tuple(number for number, _ in order),
        nodes=own_nodes(chosen.numbers(count), count),
        seen_mm=seen_mm(scan.bins, grid, settings),
        alike=False,
        totals=tuple(totals),
        backgrounds=tuple(backgrounds),
        views=tuple(views for views, _ in chunks.values()),
    )


def _say_elsewhere(scan: Scan, load: Load, settings: Settings, chosen: _Choice) -> None:
    """Warn where the counts do not fit the map, by views all around, not those of a chunk.

    Of a few views any activity explains the counts, with any map.
    """
    with load(views_around) if chosen.views else nullcontext(scan) as whole:
        assert isinstance(whole, Scan)  # noqa: S101 - for the type alone
        assert whole.mu is not None  # noqa: S101 - as above
        say_elsewhere(camera_setup.completed(whole, settings), whole.mu)


def _of_events(scan: ListmodeScan, settings: Settings, chosen: _Choice) -> tuple[Chunks, About]:
    """Build the likelihoods of the chosen chunks of events."""
    check_events(scan, settings)
    grid, count = grid_of(scan.bins, settings), chosen.wanted or MOST_CHUNKS
    own, unresolved = chosen.numbers(count), replace(settings, psf_fwhm_mm=())
    held: Chunks = {}
    for number in own:
        chunk = number, count
        seen = sensitivity_of(scan, unresolved, chunk=chunk)
        held[number] = dict(event_likelihoods(scan, unresolved, grid, seen, chunk))
    facts = scan.facts | {"duration_s": scan.events.duration_s}
    return held, About(
        Problem((), NOTHING, grid, settings, facts, exam=scan.exam.lasting(scan.duration_s)),
        turns=tuple(held[own[0]]),
        nodes=own_nodes(own, count),
        seen_mm=scan.bins.fov_mm,
        alike=True,
        totals=(event_totals(scan) if own[0] == 0 else (0.0, 0.0),),  # counted by one worker
        backgrounds=({},),
        views=(None,) * len(own),
    )


Expected = tuple[dict[int, Any], list[float]]
"""What each chunk is to project back, and its log-likelihood."""


def expectations(share: Share, subset: int, image: Array) -> Expected:
    """Compare every chunk with what an image makes expect."""
    set_threads(share.threads)
    both = {n: chunk[subset].expect(image) for n, chunk in share.chunks.items()}
    return {n: expected for n, (expected, _) in both.items()}, [one for _, one in both.values()]


def back_projections(share: Share, expected: Expected, subset: int) -> list[Array]:
    """Return the sums over each node of what `expectations` is to project back."""
    return _sums(share, lambda n: share.chunks[n][subset].back(expected[0][n]))


def sensitivities(share: Share, subset: int) -> list[Array]:
    """Return the sums over each node of how well every voxel is seen."""
    return _sums(share, lambda n: share.chunks[n][subset].sensitivity)


def curvatures(share: Share, subset: int, image: Array, along: Array) -> list[Array]:
    """Return the sums over each node of the curvature."""
    return _sums(share, lambda n: share.chunks[n][subset].curvature(image, along))


def redrawn(share: Share, key: tuple[int, ...]) -> Share:
    """Return the share with the counts of every chunk drawn again, as one process draws them."""
    chunks: Chunks = {}
    for (number, held), views in zip(share.chunks.items(), share.about.views, strict=True):
        draw = Draw(*key, views=views)
        chunks[number] = {subset: one.redrawn(draw) for subset, one in held.items()}
    return replace(share, chunks=chunks)


def _sums(share: Share, image: Callable[[int], Array]) -> list[Array]:
    """Return the sums of the chunks' images over each node of a share."""
    set_threads(share.threads)

    def leaf(node: Node) -> Array | None:
        return image(node[0]) if node[1] == node[0] + 1 else None

    return [tree_sum(node, leaf, add) for node in share.about.nodes]


def tree_sum(node: Node, known: Callable[[Node], T | None], add: Callable[[T, T], T]) -> T:
    """Return the sum over the chunks of a node: of its two halves, where it is not known."""
    value = known(node)
    if value is not None:
        return value
    first, last = node
    middle = (first + last) // 2
    return add(tree_sum((first, middle), known, add), tree_sum((middle, last), known, add))


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
