"""Monte Carlo against single scatter simulated, and against the whole estimate.

``python -m tests.benchmarks.scatter mMR nema 4e7`` follows so many decays and tells scatter
fractions, single and multiple scatter over those of the model (in all, and cell by cell where
there is more than a tenth of the most), and the estimate of `emrecon.tomo.scatter_loop` from
counts (with 30 % randoms) over the scatter that there is. Scanners are presets; subjects are nema
(the image-quality body), nu2 (the scatter phantom of NEMA NU 2), nu2-table (the same on a table),
brain, and thorax, a folder of CTAC_g1.hv and FDG_g1.hv named by EMRECON_TEST_DATA. Scanners with
timing have time of flight and the direct planes, but all planes and no timing with nu2.
Cells are 6 groups of views, strips of about 24 mm, 6 stretches of the planes of segment 0, and as
many of the most tilted; with time of flight larger ones. Those of all planes are views and strips
alone.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emrecon import io
from emrecon.jobs.recon_scatter import draw_scatter
from emrecon.tomo.corrections.bin_places import turned_places
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.detectors import scanner_of, sum_over_pairs
from emrecon.tomo.geometry.energy import REST_KEV
from emrecon.tomo.geometry.presets import by_name, usual_span
from emrecon.tomo.scan import Scan
from emrecon.tomo.scatter_loop import ScatterModel, estimate_scatter, window_of
from emrecon.volume import Array, Grid, Volume
from phantoms.brain import brain
from phantoms.monte_carlo import facing, followed, pairs_a_decay
from phantoms.nema import nema
from phantoms.phantom import Phantom
from phantoms.shapes import Material, box, cylinder
from phantoms.simulate_photons import tof_of

VOXEL_MM = 2.0
RANDOMS = 0.3
FAR = 0.03
POLYETHYLENE_PER_MM = 0.0095
"""0.0989 cm2/g of CH2 at 511 keV (NISTIR 5632, interpolated) x 0.96 g/cm3."""

TABLE_MM, WATER_PER_MM = (400.0, 10.0, 700.0), 0.0096


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def of_phantom(phantom: Phantom) -> tuple[Volume, Volume]:
    low, high = phantom.bounds_mm
    i, j, k = (int(n) for n in np.ceil((high - low) / VOXEL_MM) + 3)
    x, y, z = (float(value) for value in low - VOXEL_MM)
    grid = Grid((i, j, k), (VOXEL_MM,) * 3, (x, y, z))
    return phantom.activity(grid), phantom.mu(grid)


def scatter_phantom(*, table: bool = False) -> tuple[Volume, Volume]:
    """Return the cylinder of 203 mm by 700 mm with its line source 45 mm off the axis.

    The line is on the side of the table, as NEMA NU 2 has it.
    """
    plastic = cylinder((0, 0, 0), (101.5, 101.5), 700).filled(
        Material(0.0, POLYETHYLENE_PER_MM), label=1
    )
    line = cylinder((0, -45, 0), (1.6, 1.6), 700).filled(Material(100.0, 0.0), label=2)
    below = box((0, -101.5 - TABLE_MM[1] / 2, 0), TABLE_MM)
    bed = [below.filled(Material(0.0, WATER_PER_MM), label=3)] if table else []
    labels = {1: "plastic", 2: "line", 3: "table"}
    return of_phantom(Phantom("nu2", (plastic, line, *bed), labels))


def thorax() -> tuple[Volume, Volume]:
    """Return the image and map of 15 thick planes, mirrored at both ends so that no end is cut."""
    folder = Path(os.environ["EMRECON_TEST_DATA"]) / "thorax_fdg_ct"
    activity, mu = (io.read_image(folder / f"{name}_g1.hv").ras() for name in ("FDG", "CTAC"))
    per_mm = mu.voxels * np.float32(0.1 if mu.voxels.max() > 0.05 else 1.0)
    planes = activity.voxels.shape[2]
    wide = [
        np.pad(each, ((0, 0), (0, 0), (planes, planes)), mode="symmetric")
        for each in (np.maximum(activity.voxels, 0), per_mm)
    ]
    middle = activity.affine.copy()
    middle[:3, 3] = -middle[:3, :3] @ (np.array(wide[0].shape) - 1) / 2
    return Volume(wide[0], middle), Volume(wide[1], middle)


SUBJECTS: dict[str, Callable[[], tuple[Volume, Volume]]] = {
    "nema": lambda: of_phantom(nema()),
    "nu2": scatter_phantom,
    "nu2-table": lambda: scatter_phantom(table=True),
    "brain": lambda: of_phantom(brain(20.0, 5.0)),
    "thorax": thorax,
}


def layout(name: str, *, timed: bool = True) -> Bins:
    """Return the bins of a scanner: fewer views, and with time of flight the direct planes."""
    scanner = by_name(name)
    span, most = usual_span(scanner)
    half = scanner.crystals // 2
    views = next(n for n in range(21 if scanner.timing else 60, half + 1) if half % n == 0)
    if scanner.timing and timed:
        return scanner.bins(span=span, max_ring_difference=span // 2, views=views).timed(
            scanner.timing
        )
    return scanner.bins(span=span, max_ring_difference=most, views=views)


def main(name: str, subject: str, decays: float) -> None:
    line_source = subject.startswith("nu2")
    bins, body = layout(name, timed=not line_source), SUBJECTS[subject]()
    say(f"{name}, {subject}: bins {bins.data_shape}")
    orders, tried = by_orders(bins, body, decays)
    if line_source:
        say(f"scatter fraction by the rules of NEMA NU 2: {nu2_fraction(bins, orders.sum(0)):.4f}")
    scanner = by_name(name)
    efficiency = sum_over_pairs(bins, np.ones((scanner.rings, scanner.crystals)))
    efficiency *= facing(bins).astype(np.float32)
    tell_single(bins, body, orders, tried, efficiency)
    scan = counted(bins, orders.sum(axis=0), efficiency, body[1])
    start = time.process_time()
    estimate = estimate_scatter(scan, window_of(scan.bins, scan.exam))
    say(f"estimate: {time.process_time() - start:.1f} CPU s, {estimate.facts}")
    true = orders[1] + orders[2]
    say(f"all scatter: estimated over counted {estimate.total / true.sum(dtype=float):.4f}")
    compare("all", bins, estimate.scatter, true)
    draw_scatter([estimate], Path(f"{subject}.scatter.png"))


def by_orders(
    bins: Bins, body: tuple[Volume, Volume], decays: float
) -> tuple[NDArray[np.float32], float]:
    """Return the counts by how often they were scattered, and the decays that were followed."""
    rng, start, tried = np.random.default_rng(3), time.process_time(), 0.0
    orders = np.zeros((3, *bins.data_shape), np.float32)
    lines = int(np.prod(bins.shape))
    for seen in followed(*body, scanner_of(bins), 3):
        place, turned = turned_places(bins, seen.pairs)
        some = seen.turned(turned)
        tof = tof_of(some, bins.timing, rng)
        live = (place >= 0) & (tof >= 0)
        at = (np.minimum(some.scatters, 2) * (orders[0].size // lines) + tof) * lines + place
        np.add.at(orders.reshape(-1), at[live], np.float32(1))
        tried += seen.decays
        if tried >= decays:
            break
    say(f"{tried:.3g} decays, {tried / (time.process_time() - start):.3g} a CPU second")
    trues, single, multiple = (float(order.sum(dtype=float)) for order in orders)
    every = trues + single + multiple
    say(
        f"{every:.3g} counts, scatter fraction {1 - trues / every:.4f}, multiple over single "
        f"{multiple / single:.3f}"
    )
    return orders, tried


def nu2_fraction(bins: Bins, counts: Array) -> float:
    """Return the scatter fraction of a line source as NEMA NU 2 has it measured.

    Projections within 12 cm of the axis are moved until their peaks lie above each other. What is
    20 mm or more from the peak is scatter, and below it is the mean of the values at 20 mm.
    """
    near = np.abs(bins.s_mm) <= 120
    places, width = bins.s_mm[near], np.gradient(bins.s_mm)[near]
    from_peak = np.arange(-240, 241.0)
    summed = np.zeros(from_peak.size)
    for view in counts.reshape(-1, *bins.shape).sum(axis=(0, 3), dtype=float)[:, near]:
        some = view / width
        summed += np.interp(from_peak, places - places[some.argmax()], some, 0, 0)
    strip = np.abs(from_peak) < 20
    below = summed[np.abs(from_peak) == 20].mean() * np.count_nonzero(strip)
    return float((summed[~strip].sum() + below) / summed.sum())


def tell_single(
    bins: Bins, body: tuple[Volume, Volume], orders: Array, tried: float, efficiency: Array
) -> None:
    """Tell the single scatter that is simulated beside that which was counted."""
    activity, mu = body
    energy = scanner_of(bins).energy
    volume = float(np.prod(np.abs(np.diag(activity.affine)[:3])))
    scale = tried * pairs_a_decay(bins, float(activity.voxels.sum(dtype=float)) * volume)
    scale *= float(energy.accepts(REST_KEV)) ** 2
    model = ScatterModel.of(mu, bins, energy)
    start = time.process_time()
    pairs = model.of_pairs(activity)
    simulated = np.float32(scale) * model.in_bins(pairs.single, efficiency)
    say(f"simulated in {time.process_time() - start:.1f} CPU s, {len(model.ring.pairs)} pairs")
    trues, single = (float(order.sum(dtype=float)) for order in orders[:2])
    total = float(simulated.sum(dtype=float))
    say(
        f"single scatter over trues and it: simulated {total / (total + trues):.4f}, counted "
        f"{single / (single + trues):.4f}; ratio {total / single:.4f}"
    )
    compare("single", bins, simulated, orders[1])
    multiple = np.float32(scale) * model.in_bins(pairs.values, efficiency)
    multiple -= simulated
    say(f"multiple scatter: model over counted {multiple.sum() / orders[2].sum():.4f}")
    compare("multiple", bins, multiple, orders[2])


def counted(
    bins: Bins, counts: Array, efficiency: Array, mu: Volume, *, noise_free: bool = False
) -> Scan:
    """Return a scan of counts with randoms, or their mean."""
    share = float(counts.sum(dtype=float)) * RANDOMS / (1 - RANDOMS)
    randoms = efficiency * np.float32(share / efficiency.sum(dtype=float))
    tofs = bins.timing.bins if bins.timing else 1
    mean = np.broadcast_to(randoms / np.float32(tofs), bins.data_shape)
    rng = np.random.default_rng(1)
    drawn = mean if noise_free else rng.poisson(mean).astype(np.float32)
    return Scan(bins, counts + drawn, efficiency, None, randoms, None, mu)


def cells(bins: Bins, data: Array) -> Array:
    """Return sums over cells ``[tof, view, strip, stretch]``."""
    timed = data.reshape(-1, *bins.shape)
    direct = slice(0, bins.segments[0].planes)
    tilted = slice(int(bins.offsets[-1]), bins.planes)
    parts = [timed[..., one] for one in ([direct] if tilted.start == 0 else [direct, tilted])]
    strips, groups = (round(24 / bins.bin_mm), 6) if bins.timing is None else (48, 2)
    out = []
    for part in parts:
        summed = part.astype(np.float64)
        for axis, count in ((1, groups), (2, part.shape[2] // strips), (3, groups)):
            edges = np.linspace(0, summed.shape[axis], count + 1).astype(int)[:-1]
            summed = np.add.reduceat(summed, edges, axis=axis)
        out.append(summed.ravel())
    return np.concatenate(out)


def lines(bins: Bins, data: Array) -> Array:
    """Return sums of all planes over 6 groups of views and strips of about 24 mm."""
    summed = data.reshape(-1, *bins.shape).sum(axis=(0, 3), dtype=float)
    groups = np.linspace(0, len(summed), 7).astype(int)[:-1]
    strips = np.arange(0, summed.shape[1], max(1, round(24 / bins.bin_mm)))
    return np.add.reduceat(np.add.reduceat(summed, groups, axis=0), strips, axis=1).ravel()


def compare(name: str, bins: Bins, model: Array, counted_: Array) -> None:
    """Tell how far cells are apart, beyond chance, and those of all planes together.

    The squares of Poisson counts tell what is beyond chance to two standard errors: of few counts
    a wide range, which begins at 0 where chance alone makes as much.
    """
    parts = {"cells": cells(bins, model), "of all planes": lines(bins, model)}
    true = cells(bins, counted_), lines(bins, counted_)
    for (words, mine), other in zip(parts.items(), true, strict=True):
        strong = mine > 0.1 * mine.max()
        ratio, chance = other[strong] / mine[strong], 1 / mine[strong]
        beyond = float(np.mean((ratio - 1) ** 2 - chance))
        unsure = 2 * float(np.sqrt(np.sum(2 * chance**2 + chance**3))) / chance.size
        low, middle, high = np.sqrt(np.maximum(beyond + np.array([-unsure, 0, unsure]), 0))
        spread = max(float(np.mean((ratio - ratio.mean()) ** 2 - chance)), 0.0)
        far = np.abs(ratio - 1) - 2 * np.sqrt(chance) > FAR
        say(
            f"{name}, {strong.sum()} {words} above a tenth: counted over model "
            f"{ratio.mean():.4f}, off by chance {np.sqrt(chance.mean()):.4f}, beyond it "
            f"{middle:.4f} ({low:.4f} to {high:.4f} by the counts), of which shape "
            f"{np.sqrt(spread):.4f}; surely more than {FAR} off: {np.mean(far):.3f}"
        )
    for axis, words in ((2, "strips"), (0, "time of flight")):
        if axis or bins.timing:
            both = [profile(bins, each, axis) for each in (model, counted_)]
            share = both[0] / np.maximum(both[1], 1)
            kept = both[1] > 0.1 * both[1].max()
            say(f"  {words}: " + " ".join(f"{value:.3f}" for value in share[kept]))


def profile(bins: Bins, data: Array, axis: int) -> Array:
    """Return sums by strip or time-of-flight bin."""
    timed = data.reshape(-1, *bins.shape)
    sums = timed.sum(axis=tuple(n for n in range(4) if n != axis), dtype=float)
    if axis == 0:
        return sums
    strips = max(1, round(24 / bins.bin_mm))
    return np.add.reduceat(sums, np.arange(0, len(sums), strips))


if __name__ == "__main__":
    given = [*sys.argv[1:], *("mMR", "nema", "4e7")[len(sys.argv) - 1 :]]
    main(given[0], given[1], float(given[2]))
