"""Scatter of the NEMA body: Monte Carlo against single scatter and against the whole estimate.

``python -m tests.benchmarks.scatter mMR 4e7`` follows so many decays, and tells scatter fractions,
single scatter over that worked out, and the estimate of `emrecon.tomo.scatter_loop` from counts
(with 30 % randoms) over the scatter that there is; it draws the picture of docs/scatter.md.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from emrecon.jobs.recon_scatter import draw_scatter
from emrecon.tomo.corrections.bin_shares import places_of
from emrecon.tomo.corrections.scatter_simulation import integrals, pair_scatter
from emrecon.tomo.geometry.detectors import sum_over_pairs
from emrecon.tomo.geometry.energy import REST_KEV
from emrecon.tomo.geometry.presets import by_name, usual_span
from emrecon.tomo.scan import Scan
from emrecon.tomo.scatter_loop import ScatterModel, estimate_scatter, window_of
from emrecon.volume import Grid
from phantoms.monte_carlo import coincidences, facing, pairs_a_decay
from phantoms.nema import nema

VOXEL_MM = 2.0
RANDOMS = 0.3
GROUP = 12
"""Bins taken together along s."""


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def main(name: str, decays: float) -> None:
    scanner, phantom = by_name(name), nema()
    low, high = phantom.bounds_mm
    shape = tuple(int(n) for n in np.ceil((high - low) / VOXEL_MM) + 1)
    grid = Grid(shape, (VOXEL_MM,) * 3, tuple(low - VOXEL_MM / 2))
    activity, mu = phantom.activity(grid), phantom.mu(grid)
    start = time.process_time()
    found = coincidences(activity, mu, scanner, int(decays), seed=3)
    seconds = time.process_time() - start
    say(f"{found.decays:.3g} decays, {found.decays / seconds:.3g} a CPU second")
    span, most = usual_span(scanner)
    bins = scanner.bins(span=span, max_ring_difference=most)
    order = found.scatters
    trues, single, more = (
        _histogram(bins, found.pairs[chosen]) for chosen in (order == 0, order == 1, order > 1)
    )
    every = float(trues.sum() + single.sum() + more.sum())
    fraction, ratio = 1 - trues.sum() / every, more.sum() / single.sum()
    say(f"scatter fraction {fraction:.4f}, multiple over single {ratio:.3f}")

    efficiency = sum_over_pairs(bins, np.ones((scanner.rings, scanner.crystals)))
    efficiency *= facing(bins).astype(np.float32)
    scale = found.decays * pairs_a_decay(bins, float(activity.voxels.sum()) * VOXEL_MM**3)
    scale *= float(scanner.energy.accepts(REST_KEV)) ** 2
    worked_out = scale * _single(activity, mu, bins, efficiency)
    say(f"single: Monte Carlo over simulation {single.sum() / worked_out:.4f}")
    _estimate(bins, trues, single + more, efficiency, mu)


def _single(activity, mu, bins, efficiency):
    """Return the single scatter of all bins."""
    model = ScatterModel.of(mu, bins, bins.scanner.energy)
    detectors, pairs = model.ring.detectors, model.ring.pairs
    rays = integrals(activity, model.points, detectors), model.mu_rays
    values = pair_scatter(rays, model.points, detectors, pairs, model.window).sum(axis=1)
    return float(model.in_bins(values, efficiency).sum(dtype=float))


def _estimate(bins, trues, scatter, efficiency, mu):
    """Tell how well scatter is estimated from the counts."""
    counts = float(trues.sum(dtype=float) + scatter.sum(dtype=float))
    share = counts * RANDOMS / (1 - RANDOMS) / efficiency.sum(dtype=float)
    randoms = efficiency * np.float32(share)
    drawn = np.random.default_rng(1).poisson(randoms).astype(np.float32)
    scan = Scan(bins, trues + scatter + drawn, efficiency, None, randoms, None, mu)
    start = time.process_time()
    estimate = estimate_scatter(scan, window_of(scan))
    say(f"estimate: {time.process_time() - start:.1f} CPU s, {estimate.facts}")
    say(f"estimate over scatter {estimate.scatter.sum(dtype=float) / scatter.sum():.4f}; by bins")
    true, mine = (_by_bins(data) for data in (scatter, estimate.scatter))
    for part, each in zip(true / true.sum(), mine / np.maximum(true, 1), strict=True):
        say(f"  {part:.3f} of it: {each:.3f}")
    draw_scatter([estimate], [Path("nema.scatter.png")])


def _histogram(bins, pairs):
    place = places_of(bins, pairs)
    counts = np.bincount(place[place >= 0], minlength=int(np.prod(bins.shape)))
    return counts.reshape(bins.shape).astype(np.float32)


def _by_bins(data):
    sums = data.sum(axis=(0, 2), dtype=float)
    return sums[: len(sums) // GROUP * GROUP].reshape(-1, GROUP).sum(axis=1)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "mMR", float((sys.argv[2:] or ["4e7"])[0]))
