"""The NEMA body by time of flight, event by event: scatter corrected, not, and left out.

``python -m tests.benchmarks.scatter_image_events "Vision 600" 1.2e7`` follows decays until so many
coincidences are counted by all crystal pairs, adds 30 % randoms, and prints what
`tests.benchmarks.scatter_images` does. Every event keeps its own pair and time-of-flight bin; the
sensitivity is summed in bins of span 5 and fewer views. The same trues and randoms are in all.
``--kept FILE.npz`` keeps what was counted for next time.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emrecon.tomo.corrections.attenuation import event_factors
from emrecon.tomo.corrections.bin_places import turned_places
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.detectors import crystal_centres, scanner_of, sum_over_pairs
from emrecon.tomo.geometry.energy import REST_KEV
from emrecon.tomo.geometry.events import CHUNK, Events
from emrecon.tomo.geometry.presets import by_name
from emrecon.tomo.listmode_scan import ListmodeScan
from emrecon.tomo.prepare import prepare
from emrecon.tomo.scatter_events import estimate_event_scatter, with_event_scatter
from emrecon.tomo.settings import Settings
from emrecon.tomo.subset_likelihoods import sensitivity_of
from emrecon.volume import Array, Volume
from phantoms.monte_carlo import facing, followed, pairs_a_decay
from phantoms.nema import nema
from phantoms.simulate_photons import tof_of
from tests.benchmarks.scatter import RANDOMS, of_phantom, say
from tests.benchmarks.scatter_images import CONTRAST, SIDE_MM, auto_beta, figures, images

SPAN, LEAST_VIEWS = 5, 48
SUBSETS, PASSES, PENALISED = 8, (2, 4), 5

Counted = tuple[NDArray[np.uint32], NDArray[np.uint8], NDArray[np.int16], float]


def main(name: str, counts: float, kept: Path | None) -> None:
    scanner, body = by_name(name), of_phantom(nema(contrast=CONTRAST))
    half = scanner.crystals // 2
    views = next(n for n in range(LEAST_VIEWS, half + 1) if half % n == 0)
    bins = scanner.bins(span=SPAN, views=views).timed(scanner.timing)
    if kept is not None and kept.exists():
        with np.load(kept) as file:
            pairs, orders, tof = (file[key] for key in ("pairs", "orders", "tof"))
            tried = float(file["tried"])
    else:
        pairs, orders, tof, tried = coincidences(bins, body, counts)
        if kept is not None:
            np.savez(kept, pairs=pairs, orders=orders, tof=tof, tried=tried)
    say(f"{len(pairs):.4g} coincidences, scatter fraction {np.mean(orders > 0):.4f}")
    one = tried * pairs_a_decay(bins, float(body[0].voxels.sum(dtype=float)) * 8)
    one *= float(scanner.energy.accepts(REST_KEV)) ** 2 * 5.0  # of the background
    scan, scattered = with_randoms(bins, (pairs, orders, tof, tried), body[1])
    free = of(scan, ~scattered)
    estimate = estimate_event_scatter(scan, scanner.energy)
    say(f"estimated over counted {estimate.total / scattered.sum():.4f}")
    settings = Settings(
        subsets=SUBSETS, voxel_mm=(SIDE_MM, SIDE_MM, 2 * bins.grid().spacing_mm[2])
    )
    seen, beta = sensitivity_of(scan, settings), 0.0
    for words, each in (
        ("no scatter in the data", free),
        ("scatter estimated", with_event_scatter(scan, estimate.scatter, estimate.total)),
        ("scatter not corrected", scan),
    ):
        problem = prepare(each, settings, sensitivity=seen)
        beta = beta or auto_beta(problem)
        for name_, image in images(problem, PASSES, beta, PENALISED):
            say(f"{words}, {name_}: {figures(problem.volume(image), one)}")


def coincidences(bins: Bins, body: tuple[Volume, Volume], counts: float) -> Counted:
    """Return pairs, how often they were scattered, their time of flight, and decays followed."""
    rng, parts, have, tried = np.random.default_rng(7), [], 0, 0.0
    for seen in followed(*body, scanner_of(bins), 7):
        place, _ = turned_places(bins, seen.pairs)
        tof = tof_of(seen, bins.timing, rng)
        live = (place >= 0) & (tof >= 0)
        orders = np.minimum(seen.scatters, 2).astype(np.uint8)
        parts.append((seen.pairs[live], orders[live], tof[live].astype(np.int16)))
        have, tried = have + int(live.sum()), tried + seen.decays
        if have >= counts:
            break
    pairs, orders, tofs = (np.concatenate(each) for each in zip(*parts, strict=True))
    return pairs, orders, tofs, tried


def with_randoms(bins: Bins, counted: Counted, mu: Volume) -> tuple[ListmodeScan, Array]:
    """Return a scan of what was counted and randoms, and which of its events were scattered."""
    pairs, orders, tof, _ = counted
    scanner, rng = scanner_of(bins), np.random.default_rng(1)
    chance = len(pairs) * RANDOMS / (1 - RANDOMS)
    late = random_pairs(bins, int(rng.poisson(chance)), rng)
    order = rng.permutation(len(pairs) + len(late))
    pairs = np.concatenate([pairs, late])[order]
    times = rng.integers(0, bins.timing.bins, len(late)).astype(np.int16)
    scattered = np.concatenate([orders > 0, np.zeros(len(late), bool)])[order]
    events = Events(
        crystal_centres(scanner), pairs, np.concatenate([tof, times])[order], bins.timing
    )
    gathered = sum_over_pairs(bins, np.ones((scanner.rings, scanner.crystals)))
    background = chance / float(gathered.sum(dtype=float)) / bins.timing.bins
    survival = np.concatenate(list(event_factors(mu, bins.untimed, events.subset(0, 1, CHUNK))))
    events = events.with_(
        factors=survival * faced(events),
        background=np.full(len(events), background, np.float32),
        background_total=chance,
    )
    efficiency = gathered * facing(bins).astype(np.float32)
    return ListmodeScan(events, bins.untimed, efficiency, mu), scattered


def random_pairs(bins: Bins, number: int, rng: np.random.Generator) -> NDArray[np.uint32]:
    """Return pairs of crystals, all alike likely."""
    scanner, parts, have = scanner_of(bins), [], 0
    while have < number:
        some = rng.integers(0, scanner.rings * scanner.crystals, (1 << 20, 2)).astype(np.uint32)
        parts.append(some[turned_places(bins, some)[0] >= 0])
        have += len(parts[-1])
    return np.concatenate(parts)[:number]


def faced(events: Events) -> Array:
    """Return how well the crystals of each event see each other, see `facing`."""
    parts = []
    for chunk in events.subset(0, 1, CHUNK):
        way = np.square(np.diff(chunk.points_mm[chunk.pairs], axis=1)[:, 0])
        across = way[:, 0] + way[:, 1]
        parts.append(np.square(across / (across + way[:, 2])))
    return np.concatenate(parts)


def of(scan: ListmodeScan, chosen: NDArray[np.bool_]) -> ListmodeScan:
    """Return the scan of some of the events."""
    events = scan.events
    parts = {
        name: getattr(events, name)[chosen] for name in ("pairs", "tof", "factors", "background")
    }
    return replace(scan, events=events.with_(**parts))


if __name__ == "__main__":
    given = [word for word in sys.argv[1:] if not word.startswith("--")]
    kept_in = Path(given.pop()) if "--kept" in sys.argv else None
    main(*(given[:1] or ["Vision 600"]), float((given[1:2] or ["1.2e7"])[0]), kept_in)
