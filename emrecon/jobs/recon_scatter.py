"""Scatter that a reconstruction works out for itself: into the scan, sidecar and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emrecon.io.pictures.profiles import Chart, Line, charts
from emrecon.jobs.base import Meters
from emrecon.tomo.corrections.scatter_sampling import CoarseScatter
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.inputs import Corrections
from emrecon.tomo.listmode_scan import ListmodeScan
from emrecon.tomo.scan import Scan
from emrecon.tomo.scatter_loop import Floats, ScatterEstimate, estimate_scatter, window_of
from emrecon.tomo.subset_likelihoods import silent

PROMPTS, RANDOMS, PREDICTED, FITTED = range(4)
"""Colours of the lines, in the picture and the panel."""


def with_scatter(
    scan: Scan | ListmodeScan, corrections: Corrections, threads: int, meters: Meters
) -> tuple[Scan | ListmodeScan, ScatterEstimate | None]:
    """Return a scan with its simulated scatter, and how that came about, if it is asked for."""
    estimate = simulated(scan, corrections, threads, meters)
    if estimate is None:
        return scan, None
    if isinstance(scan, ListmodeScan):
        from emrecon.tomo.scatter_events import with_event_scatter  # noqa: PLC0415 - of few scans

        full = with_event_scatter(scan, estimate.scatter, estimate.total)
        return full.with_(facts=_told(full, estimate)), estimate
    return scan.with_(
        scatter=estimate.scatter, attenuation=estimate.attenuation, mu=None,
        facts=_told(scan, estimate),
    ), estimate  # fmt: skip


@dataclass(frozen=True, eq=False)
class Refill:
    """Puts scatter that was simulated of a whole scan into what a worker reads of it."""

    coarse: CoarseScatter
    """What it is filled in from."""

    total: float
    """Scatter of all bins, or pairs, together."""

    facts: dict[str, Any]
    """Figures for the sidecar."""

    @classmethod
    def of(cls, estimate: ScatterEstimate) -> Refill:
        """Return what to send of an estimate: a few values instead of one a bin."""
        assert estimate.coarse is not None  # noqa: S101 - made of counts
        return cls(estimate.coarse, estimate.total, estimate.facts)

    def __call__(self, scan: Scan | ListmodeScan) -> Scan | ListmodeScan:
        """Return some views of the scan, or all its events, with their scatter."""
        if isinstance(scan, ListmodeScan):
            from emrecon.tomo.scatter_events import (  # noqa: PLC0415 - of few scans
                event_scatter,
                with_event_scatter,
            )

            full = with_event_scatter(scan, event_scatter(scan, self.coarse), self.total)
            return full.with_(facts=_told(full, self))
        assert isinstance(scan.bins, Bins)  # noqa: S101 - for the type alone
        scatter = self.coarse.in_bins(scan.bins, scan.normalisation)
        return scan.with_(scatter=scatter, facts=_told(scan, self))


def _told(scan: Scan | ListmodeScan, scatter: ScatterEstimate | Refill) -> dict[str, Any]:
    """Return what is known of a scan with its scatter."""
    return scan.facts | {"scatter_simulation": scatter.facts}


def simulated(
    scan: Scan | ListmodeScan, corrections: Corrections, threads: int, meters: Meters
) -> ScatterEstimate | None:
    """Return the scatter of a whole scan, if it is to be simulated.

    Raises
    ------
    SettingsError
        If there is no attenuation map, or the energies that count are not known.
    """
    if not corrections.simulate_scatter:
        return None
    window = window_of(scan.bins, scan.exam, corrections.window_kev, corrections.energy_resolution)
    rounds = corrections.scatter_rounds
    with meters("scatter", rounds) as meter:
        progress = meter.update if meter else silent
        if isinstance(scan, ListmodeScan):
            from emrecon.tomo.scatter_events import (  # noqa: PLC0415 - of few scans
                estimate_event_scatter,
            )

            return estimate_event_scatter(scan, window, rounds, threads=threads, progress=progress)
        scan.check()
        return estimate_scatter(
            scan, window, rounds, fit=not corrections.scatter_absolute, threads=threads,
            progress=progress,
        )  # fmt: skip


def draw_scatter(estimates: Sequence[ScatterEstimate | None], path: Path) -> None:
    """Draw what the scatter of all images was made of, if there is any."""
    if some := scatter_charts(estimates):
        charts(some, path, title="Scatter")


def scatter_charts(estimates: Sequence[ScatterEstimate | None]) -> list[Chart]:
    """Return what the scatter of all images was made of; nothing where there is none."""
    held = [estimate for estimate in estimates if estimate is not None]
    return [*_direct(held), *_tails(held)] if held else []


def _direct(held: list[ScatterEstimate]) -> list[Chart]:
    """Return the charts of the direct planes, through their bins and by plane."""
    parts = [{name: both[axis] for name, both in _summed(held).items()} for axis in (1, 0)]
    names = ("by bin, direct planes and all views", "by direct plane")
    if held[0].fit is None:
        names = ("all events by distance from the axis", "all events along the axis")
    return [
        Chart(name, _stacked(profiles), logarithmic=axis == 0)
        for axis, (name, profiles) in enumerate(zip(names, parts, strict=True))
    ]


def _summed(held: list[ScatterEstimate]) -> dict[str, tuple[Floats, Floats]]:
    """Return the profiles of all images together."""
    return {
        name: (
            np.sum([one.profiles[name][0] for one in held], axis=0),
            np.sum([one.profiles[name][1] for one in held], axis=0),
        )
        for name in held[0].profiles
    }


def _stacked(profiles: dict[str, Floats]) -> list[Line]:
    """Return lines of what adds up to the prompts: scatter on top of the randoms."""
    randoms = profiles.get("randoms", np.zeros_like(profiles["prompts"]))
    lines = [Line("prompts", profiles["prompts"], PROMPTS)]
    if "randoms" in profiles:
        lines.append(Line("randoms", randoms, RANDOMS))
    lines.append(Line("+ predicted scatter", randoms + profiles["predicted"], PREDICTED))
    if "fitted" in profiles:
        fitted = randoms + profiles["fitted"]
        lines.append(Line("+ scatter fitted to the tails", fitted, FITTED))
    return lines


def _tails(held: list[ScatterEstimate]) -> list[Chart]:
    """Return the chart of what is counted beside the body, by direct plane, if anything is."""
    fits = [one.fit for one in held if one.fit is not None and one.fit.bins]
    if not fits:
        return []
    direct = slice(0, len(held[0].profiles["prompts"][0]))
    counted, expected, fitted = (
        np.sum([value[direct] for value in values], axis=0)
        for values in (
            [fit.counted for fit in fits],
            [fit.expected for fit in fits],
            [fit.expected * fit.scales for fit in fits],
        )
    )
    lines = [
        Line("prompts less randoms", counted, PROMPTS),
        Line("predicted scatter", expected, PREDICTED),
        Line("fitted scatter", fitted, FITTED),
    ]
    return [Chart("beside the body, by direct plane", lines)]
