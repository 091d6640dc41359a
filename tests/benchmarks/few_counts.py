"""Contrast of small spheres at few counts: a prior against OSEM and a filter, at equal noise.

Run as ``python -m tests.benchmarks.few_counts [draws]``: 20 CPU seconds a draw. The NEMA body with
two million counts, a tenth of the usual, as in the gallery's page on a prior and a filter. Noise
is the spread of the voxels in the background's circles. OSEM is filtered to the prior's noise,
draw by draw; of its passes those count that are best for a sphere on average.
"""
# ruff: noqa: T201 - a benchmark prints

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emrecon.em import last, until
from emrecon.metrics import background_rois, contrast_recovery
from emrecon.stop import after
from emrecon.tomo.operators.blur import Blur
from emrecon.tomo.penalised import Penalised
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.prepare import prepare
from emrecon.tomo.problem import Problem
from emrecon.tomo.settings import Settings
from emrecon.volume import Array, Volume
from phantoms.acquisition import Acquisition
from phantoms.nema import DIAMETERS_MM, nema, spheres

SETTINGS = Settings(voxel_mm=(4.5, 4.5, 4.85), size=(84, 84, 31), subsets=6)
SMALL = DIAMETERS_MM[3:]
OSEM, PRIOR = (4, 6, 10), 12
"""Passes."""

WIDTHS_MM = np.arange(0.5, 18.5, 1.0)
PLANES_MM = (-20, -10, 0, 10, 20)


class Body:
    """Where noise and contrast are measured."""

    def __init__(self, problem: Problem, labels: Volume) -> None:
        self.problem = problem
        water = Volume((labels.voxels == 1).astype(np.float32), labels.affine)
        self.circles = background_rois(water, slice_mm=0.0)
        centres = (tuple(map(float, body.centre_mm)) for body in spheres())
        self.places = list(zip(centres, DIAMETERS_MM, strict=True))
        x, y, z = (problem.grid.centres_mm(axis) for axis in range(3))
        near = [np.hypot(x[:, None] - a, y - b) < DIAMETERS_MM[0] / 2 for a, b, _ in self.circles]
        self.background = np.any(near, axis=0)
        self.planes = [int(np.argmin(np.abs(z - at))) for at in PLANES_MM]

    def measured(self, image: Array) -> list[float]:
        """Return the noise, and the contrast of each small sphere, in percent."""
        found = contrast_recovery(
            self.problem.volume(image), self.places, self.circles, contrast=4.0
        )
        behind = image[self.background][:, self.planes]
        noise = 100 * float(behind.std() / behind.mean())
        return [noise, *(row.recovery_percent for row in found[3:])]


def draw(seed: int) -> tuple[list[float], list[list[float]]]:
    """Return noise and contrasts with the prior, and OSEM's contrasts at that noise by passes."""
    like = Acquisition(views=48, bins=288, span=9, max_ring_difference=4, counts=2e6, seed=seed)
    made = like.scan(nema())
    problem = prepare(made.scan, SETTINGS)
    body, subsets = Body(problem, made.labels), len(problem.likelihoods)
    chosen = replace(problem, penalised=Penalised(Penalty(prior="rdp")))
    noise, *contrasts = body.measured(
        last(until(chosen.iterates(), after(PRIOR * subsets))).params
    )
    others = []
    for run in until(problem.iterates(), after(OSEM[-1] * subsets)):
        if run.number in {passes * subsets for passes in OSEM}:
            many = [Blur(problem.grid, (width,) * 3).forward(run.params) for width in WIDTHS_MM]
            curve = np.array([body.measured(one) for one in many])[::-1]
            others.append([float(np.interp(noise, curve[:, 0], column)) for column in curve.T[1:]])
    return [noise, *contrasts], others


def table(prior: NDArray[np.float64], osem: NDArray[np.float64]) -> list[str]:
    """Return the rows: of each sphere both contrasts, and the gain's mean, spread and least."""
    rows = [f"noise {prior[:, 0].mean():.1f} %, {len(prior)} draws", "sphere  prior  OSEM  gain %"]
    for n, size in enumerate(SMALL):
        best = int(osem[:, :, n].mean(axis=0).argmax())
        with_prior, without = prior[:, n + 1], osem[:, best, n]
        gain = 100 * (with_prior / without - 1)
        rows.append(
            f"{size:.0f} mm {with_prior.mean():7.1f} {without.mean():6.1f} ({OSEM[best]} passes)  "
            f"of the means {100 * (with_prior.mean() / without.mean() - 1):+.1f}, of draws "
            f"{gain.mean():+.1f} +- {gain.std(ddof=1):.1f}, least {gain.min():+.1f}"
        )
    return rows


def main() -> None:
    """Print the table."""
    draws = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    found = []
    for seed in range(1, draws + 1):
        found.append(draw(seed))
        print(seed, np.round(found[-1][0], 1), np.round(found[-1][1], 1).tolist(), flush=True)
    prior, osem = (np.array(one) for one in zip(*found, strict=True))
    print("\n".join(table(prior, osem)))


if __name__ == "__main__":
    main()
