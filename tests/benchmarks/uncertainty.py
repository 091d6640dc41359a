"""Standard errors of regions against the spread from scan to scan: OSEM with a filter, and MAP.

    python -m tests.benchmarks.uncertainty [osem|map] [--scans N] [--draws N] [--judged N]

A brain on a few rings of an ECAT HR+. The truth is what the means of ten regions differ by over
so many scans, which is itself uncertain by 1 over the root of 2 N: 10 % for 50. Some of those
scans are judged one by one: the bootstrap's errors from so many draws and, for MAP, the
curvature's.
An error from one scan goes with what that scan happens to show in a region; the mean over the
scans that are judged tells whether errors are right.
"""
# ruff: noqa: T201 - a benchmark prints

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

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
    """Print the table of both, or of one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("methods", nargs="*", default=["osem", "map"])
    parser.add_argument("--scans", type=int, default=50)
    parser.add_argument("--draws", type=int, default=50)
    parser.add_argument("--judged", type=int, default=1)
    asked = parser.parse_args()
    like = Acquisition(views=48, bins=144, span=9, max_ring_difference=4, counts=2e6, noise=False)
    mean = like.scan(brain()).scan
    settings = {"osem": SETTINGS, "map": replace(SETTINGS, post_fwhm_mm=())}
    priors = {"osem": None, "map": Penalised(Penalty("rdp", 7e-5, until_converged=True))}
    for method in asked.methods:
        every = problems(mean, settings[method], priors[method], asked.scans)
        compare(method, every, asked.draws, asked.judged)


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


def means_of(image: Array, regions: list[Array]) -> list[float]:
    """Return the means of regions."""
    return [float(np.sum(weights * image, dtype=float)) for weights in regions]


def bootstrap(problem: Problem, regions: list[Array], draws: int) -> NDArray[np.float64]:
    """Return the errors of regions from one scan whose counts are drawn again."""
    again = (drawn_again(problem, Draw(1, number)) for number in range(draws))
    means = [means_of(filtered(one, image_of(one)), regions) for one in again]
    return np.std(means, axis=0, ddof=1)


def curvature(problem: Problem, image: Array, regions: list[Array]) -> NDArray[np.float64]:
    """Return the errors of regions from the maximum of one scan."""
    maximum = at_maximum(problem, image)
    return np.sqrt([maximum.variance(filtered(problem, weights)) for weights in regions])


def compare(method: str, every: Iterator[Problem], draws: int, judged: int) -> None:
    """Print the errors of one method beside the spread."""
    values: list[list[float]] = []
    errors: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    seconds: dict[str, float] = defaultdict(float)
    for problem in every:
        regions, image = regions_of(problem), image_of(problem)
        values.append(means_of(filtered(problem, image), regions))
        if len(values) > judged:
            continue
        began = time.process_time()
        errors["bootstrap"].append(bootstrap(problem, regions, draws))
        seconds["bootstrap"] += time.process_time() - began
        if problem.penalised is not None:
            began = time.process_time()
            errors["curvature"].append(curvature(problem, image, regions))
            seconds["curvature"] += time.process_time() - began
    level, spread = np.mean(values, axis=0), np.std(values, axis=0, ddof=1)
    ratios = {name: np.array(rows) / spread for name, rows in errors.items()}
    print(f"{method}: {len(values)} scans, {judged} of them judged, {draws} draws")
    print("region   mean    spread %  " + "  ".join(f"{n} / spread (least, most)" for n in ratios))
    for n, (mean, wanted) in enumerate(zip(level, spread, strict=True)):
        cells = (f"{of[:, n].mean():6.2f} ({of[:, n].min():.2f}, {of[:, n].max():.2f})" for of in
                 ratios.values())  # fmt: skip
        print(f"{n + 1:4d} {mean:9.4f} {100 * wanted / mean:8.2f}  " + "  ".join(cells))
    for name, of in ratios.items():
        off = of.mean(axis=0) - 1
        print(
            f"{name}: ratios less 1, rms of scans {100 * np.sqrt(np.mean((of - 1) ** 2)):.1f}"
            f" %, of the mean of scans {100 * np.sqrt(np.mean(off**2)):.1f} % (most "
            f"{100 * np.abs(off).max():.1f} %); {seconds[name] / judged:.1f} CPU s a scan"
        )


if __name__ == "__main__":
    main()
