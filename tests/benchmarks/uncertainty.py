"""Standard errors of regions against the spread from scan to scan: OSEM with a filter, and MAP.

    python -m tests.benchmarks.uncertainty [scans] [draws]

A brain on a few rings of an ECAT HR+. The truth is what the means of ten regions differ by over
so many scans; from the first scan alone come the bootstrap's errors and, for MAP, the curvature's.
The spread of n scans is itself uncertain by 1 over the root of 2 n: 10 % for 50.
"""
# ruff: noqa: T201 - a benchmark prints

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from emrecon.em import last, until
from emrecon.tomo.draw import Draw
from emrecon.tomo.penalised import Penalised
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.prepare import prepare
from emrecon.tomo.problem import Problem
from emrecon.tomo.scan import Scan
from emrecon.tomo.settings import Settings
from emrecon.tomo.uncertainty import at_maximum, drawn_again, filtered
from emrecon.volume import Array
from phantoms import brain
from phantoms.acquisition import Acquisition

SETTINGS = Settings(
    iterations=4, subsets=6, voxel_mm=(4.5, 4.5, 4.85), size=(44, 48, 31), post_fwhm_mm=(6.0,)
)


def main() -> None:
    """Print the table of both."""
    scans, draws = (int(word) for word in (sys.argv[1:] + ["50", "50"][len(sys.argv) - 1 :]))
    like = Acquisition(views=48, bins=144, span=9, max_ring_difference=4, counts=2e6, noise=False)
    mean = like.scan(brain()).scan
    map_settings = replace(SETTINGS, iterations=20, post_fwhm_mm=())
    compare("OSEM with a filter", mean, SETTINGS, None, (scans, draws))
    compare("MAP", mean, map_settings, Penalised(Penalty("rdp", 7e-5)), (scans, draws))


def problems(
    mean: Scan, settings: Settings, penalised: Penalised | None, scans: int
) -> Iterator[Problem]:
    """Yield the problem of one scan after another."""
    for number in range(scans):
        rng = np.random.default_rng([9, number])
        drawn = rng.poisson(mean.prompts).astype(np.float32)
        yield replace(prepare(mean.with_(prompts=drawn), settings), penalised=penalised)


def image_of(problem: Problem) -> Array:
    """Return the image before the filter."""
    return last(until(problem.iterates(), *problem.enough())).params


def regions_of(problem: Problem) -> list[Array]:
    """Return the weights of ten regions: balls of 26 and 13 mm."""
    x, y, z = np.meshgrid(*(problem.grid.centres_mm(axis) for axis in range(3)), indexing="ij")
    centres = [(0, 60, 20), (0, -60, 20), (40, 0, 20), (-40, 0, 20), (0, 0, 40)]
    found = []
    for radius in (13.0, 6.5):
        for a, b, c in centres:
            inside = (x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2 <= radius**2
            found.append((inside / inside.sum()).astype(np.float32))
    return found


def compare(
    name: str,
    mean: Scan,
    settings: Settings,
    penalised: Penalised | None,
    counts: tuple[int, int],
) -> None:
    """Print the errors of one method beside the spread."""
    scans, draws = counts
    regions, values, first = [], [], None
    for problem in problems(mean, settings, penalised, scans):
        regions = regions or regions_of(problem)
        image = filtered(problem, image_of(problem))
        first = first or problem
        values.append([float(np.sum(w * image, dtype=float)) for w in regions])
    spread = np.std(values, axis=0, ddof=1)
    began, means = time.process_time(), []
    for number in range(draws):
        again = drawn_again(first, Draw(1, number))
        image = filtered(again, image_of(again))
        means.append([float(np.sum(w * image, dtype=float)) for w in regions])
    columns = {"bootstrap": np.std(means, axis=0, ddof=1)}
    seconds = {"bootstrap": time.process_time() - began}
    if penalised is not None:
        began, maximum = time.process_time(), at_maximum(first, image_of(first))
        columns["curvature"] = np.sqrt([maximum.variance(filtered(first, w)) for w in regions])
        seconds["curvature"] = time.process_time() - began
    print(f"{name}: {scans} scans, {draws} draws")
    print("region   mean    spread %  " + "  ".join(f"{n} / spread" for n in columns))
    for n, (level, wanted) in enumerate(zip(np.mean(values, axis=0), spread, strict=True)):
        ratios = "  ".join(f"{found[n] / wanted:15.2f}" for found in columns.values())
        print(f"{n + 1:4d} {level:9.4f} {100 * wanted / level:8.2f}  {ratios}")
    for title, found in columns.items():
        off = found / spread - 1
        print(f"{title}: rms of the ratios less 1 {100 * np.sqrt(np.mean(off**2)):.1f} %, "
              f"mean {100 * off.mean():+.1f} %, {seconds[title]:.1f} CPU s")  # fmt: skip


if __name__ == "__main__":
    main()
