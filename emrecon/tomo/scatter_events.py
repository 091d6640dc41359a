"""Scatter of single events: simulated with an image of some of them, and told for each."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from emrecon.em import last, until
from emrecon.errors import DataError, SettingsError
from emrecon.stop import after
from emrecon.tomo.corrections.attenuation import event_factors
from emrecon.tomo.corrections.scatter_model import ScatterModel
from emrecon.tomo.corrections.scatter_sampling import CoarseScatter
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.energy import EnergyWindow
from emrecon.tomo.geometry.events import CHUNK, Events
from emrecon.tomo.geometry.pairs import Pairs
from emrecon.tomo.inputs import NO_MAP
from emrecon.tomo.listmode_scan import ListmodeScan
from emrecon.tomo.prepare import prepare
from emrecon.tomo.scatter_loop import ENOUGH, Floats, ScatterEstimate, facts_of, voxels_of
from emrecon.tomo.settings import Settings
from emrecon.tomo.subset_likelihoods import Progress, sensitivity_of, silent
from emrecon.volume import Array, Volume

log = logging.getLogger(__name__)

UPDATES, EVENTS = 12, 300_000
"""Updates of the images on the way, and events of each at least, where there are more."""

SAMPLED = 4
"""Chunks of pairs that the total of scatter is summed over, of as many as there are."""

STRIPS = 64
"""Most strips of the profiles, across and along the axis."""


def estimate_event_scatter(
    scan: ListmodeScan, window: EnergyWindow, rounds: int = 3, *,
    threads: int = 0, progress: Progress = silent,
) -> ScatterEstimate:  # fmt: skip
    """Estimate the scatter of each event's pair, and time-of-flight bin.

    As `emrecon.tomo.scatter_loop.estimate_scatter`, but for the last step: the scale is that
    which the model predicts, and is not fitted to events beside the body.

    Parameters
    ----------
    scan : ListmodeScan
        Events with an attenuation map.
    window : EnergyWindow
        Energies that count.
    rounds : int, optional
        Most images; fewer where the scatter changes by less than 1 %.
    threads : int, optional
        Processor threads; 0 is all.
    progress : callable, optional
        Is shown how many rounds are done.

    Raises
    ------
    SettingsError
        If the scan has no mu-map.
    DataError
        If randoms alone explain the events.
    """
    if scan.mu is None:
        raise SettingsError(NO_MAP)
    events = scan.events
    counts = len(events) - events.background_total * events.share
    if not counts > 0:
        raise DataError("there are no more events than randoms: no scatter can be estimated")
    model = ScatterModel.of(scan.mu, scan.bins, window, timing=events.timing)
    efficiency = _efficiencies(scan)
    settings = _settings(scan, model, threads)
    sensitivity = sensitivity_of(scan, settings)
    current, history = scan, [0.0]
    for turn in range(1, rounds + 1):
        pairs = model.of_pairs(_image(current, settings, sensitivity))
        if pairs.thin and turn == 1 < rounds:
            settings = _settings(scan, model, threads, thin=True)
            sensitivity = sensitivity_of(scan, settings)
        summed = _by_place(scan, model, pairs.values)
        total = float(summed.sum())
        history.append(total / (total + (1 - history[-1]) * counts))
        scale = history[-1] * counts / total
        coarse = CoarseScatter(model.ring, pairs.values, scale)
        scatter = coarse.of_events(events, efficiency)
        current = _with_background(scan, scatter, total * scale)
        log.info("scatter round %d: %.2f %% of trues and scatter", turn, 100 * history[-1])
        progress(turn, rounds)
        if abs(history[-1] - history[-2]) < ENOUGH * history[-1]:
            break
    facts = facts_of(model, pairs, history) | {
        "scatter_over_net_prompts": history[-1], "fitted": False,
    }  # fmt: skip
    profiles = {"prompts": _sides(_events_by_place(scan)), "predicted": _sides(summed * scale)}
    return ScatterEstimate(scatter, facts, profiles, total=total * scale, coarse=coarse)


def with_event_scatter(scan: ListmodeScan, scatter: Array, total: float) -> ListmodeScan:
    """Return events whose background holds their scatter, and that of all pairs together, too."""
    more = _with_background(scan, scatter, total)
    return more.with_(facts=scan.facts | {"scatter": total})


def event_scatter(scan: ListmodeScan, coarse: CoarseScatter) -> Array:
    """Return the scatter of each event as it was estimated, wherever events are read again."""
    return coarse.of_events(scan.events, _efficiencies(scan))


def _with_background(scan: ListmodeScan, scatter: Array, total: float) -> ListmodeScan:
    """Return events with more background, counts of the scan's own time."""
    events = scan.events
    more = scatter / np.float32(events.share)
    return scan.with_(
        events=events.with_(
            background=more if events.background is None else events.background + more,
            background_total=events.background_total + total / events.share,
        )
    )


def _efficiencies(scan: ListmodeScan) -> Array:
    """Return the efficiency of each event's pair: its factor without the attenuation."""
    assert scan.mu is not None  # noqa: S101 - for the type alone
    out = np.ones(len(scan.events), np.float32)
    at = 0
    for survival in event_factors(scan.mu, scan.bins, scan.events.subset(0, 1, CHUNK)):
        some = slice(at, at + len(survival))
        if scan.events.factors is not None:
            np.divide(scan.events.factors[some], survival, out=out[some], where=survival > 0)
        at += len(survival)
    return out


def _settings(
    scan: ListmodeScan, model: ScatterModel, threads: int, *, thin: bool = False
) -> Settings:
    """Return how the images on the way are made."""
    subsets = min(max(1, len(scan.events) // EVENTS), len(scan.events))
    voxel_mm = voxels_of(scan.bins.grid(), model, thin=thin)
    return Settings(iterations=UPDATES, subsets=subsets, voxel_mm=voxel_mm, threads=threads)


def _image(scan: ListmodeScan, settings: Settings, sensitivity: Array) -> Volume:
    """Return the coarse image of some of the events."""
    problem = prepare(scan, settings, sensitivity=sensitivity)
    return problem.volume(last(until(problem.iterates(), after(UPDATES))).params)


def _ends(events: Events) -> Array:
    """Return where the lines of events begin and end, shape ``(events, 2, 3)``."""
    return np.asarray(events.points_mm[events.pairs], np.float32)


def _by_place(scan: ListmodeScan, model: ScatterModel, values: Array) -> Floats:
    """Return the scatter of all pairs by distance from the axis and place along it."""
    flat = values.reshape(-1, values.shape[-1]).sum(axis=0)
    if isinstance(scan.bins, Bins):
        data = model.ring.in_bins(flat, scan.bins.untimed, scan.efficiency).sum(
            axis=0, dtype=float
        )
        s, z = np.broadcast_arrays(scan.bins.s_mm[:, None], scan.bins.plane_z_mm)
        return _histogram(scan, s.ravel(), z.ravel(), data.ravel())
    sums = []
    for chunk, share in _some_pairs(scan.bins, np.random.default_rng(0)):
        mean = model.ring.at_pairs(flat, _ends(chunk), None)
        mean = mean if chunk.factors is None else mean * chunk.factors
        sums.append(_histogram(scan, *_places(_ends(chunk)), mean / share))
    return np.asarray(np.sum(sums, axis=0), float)


def _some_pairs(pairs: Pairs, rng: np.random.Generator) -> Iterator[tuple[Events, float]]:
    """Yield pairs chosen at random, and the share of all that they are."""
    share = min(1.0, SAMPLED / pairs.chunks)
    for chunk in pairs.every():
        chosen = np.flatnonzero(rng.random(len(chunk)) < share)
        factors = None if chunk.factors is None else chunk.factors[chosen]
        yield replace(chunk, pairs=chunk.pairs[chosen], factors=factors), share


def _events_by_place(scan: ListmodeScan) -> Floats:
    """Return the number of events by distance from the axis and place along it."""
    parts = scan.events.subset(0, 1, CHUNK)
    sums = [_histogram(scan, *_places(_ends(chunk)), None) for chunk in parts]
    return np.asarray(np.sum(sums, axis=0), float)


def _places(ends: Array) -> tuple[Floats, Floats]:
    """Return signed distances of lines from the axis, and where their middles lie along it."""
    one, two = ends[:, 0].astype(float), ends[:, 1].astype(float)
    way = two[:, :2] - one[:, :2]
    aside = (one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]) / np.maximum(np.hypot(*way.T), 1e-9)
    flipped = (way[:, 1] < 0) | ((way[:, 1] == 0) & (way[:, 0] > 0))
    return np.where(flipped, -aside, aside), (one[:, 2] + two[:, 2]) / 2


def _histogram(scan: ListmodeScan, s: Floats, z: Floats, weights: Floats | Array | None) -> Floats:
    """Return sums of weights by distance from the axis and place along it."""
    edges = _edges(scan)
    inside = [np.clip(x, each[0], each[-1]) for x, each in zip((s, z), edges, strict=True)]
    sums, _, _ = np.histogram2d(inside[0], inside[1], edges, weights=weights)
    return np.asarray(sums, float)


def _edges(scan: ListmodeScan) -> tuple[Floats, Floats]:
    """Return the edges of strips two bins wide or more, across and along the axis."""
    grid = scan.bins.grid()
    across, along = (grid.shape[axis] * grid.spacing_mm[axis] / 2 for axis in (0, 2))
    middle = grid.origin_mm[2] - grid.spacing_mm[2] / 2 + along
    wide, long = (int(np.clip(grid.shape[axis] // 2, 1, STRIPS)) for axis in (0, 2))
    return np.linspace(-across, across, wide + 1), middle + np.linspace(-along, along, long + 1)


def _sides(both: Floats) -> tuple[Floats, Floats]:
    """Return the sums along the axis, and by distance from it."""
    return both.sum(axis=0), both.sum(axis=1)
