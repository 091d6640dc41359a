"""The NEMA body from Monte Carlo counts: scatter corrected, not corrected, and left out.

``python -m tests.benchmarks.scatter_images mMR 6e7`` follows so many decays, adds 30 % randoms,
and prints background, contrast of the spheres and residual error of the lung by NEMA NU 2 after 2,
4 and 10 passes of OSEM and after penalised passes (rdp). The lung is cold: OSEM takes it to 0 as
slowly whatever scatter does, and the more so the larger the background; penalised reconstruction
does not, as its steps do not shrink with the value. Its prior is as strong for all: with kappa
that is the same resolution, where beta `auto` of each would be larger the more background there
is. The same trues and randoms are in all four, of which one is given the scatter that was counted,
smoothed. ``--kept FILE.npz`` keeps what was
counted for next time. ``--noise-free`` takes the mean of the trues and of the randoms, and the
scatter that was counted smoothed, so that few counts tell what the estimate itself does to an
image, at its predicted scale, as smoothing raises the tails, and with a tenth of the usual prior.
``--penalised`` leaves OSEM out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from emrecon.em import em, last, until
from emrecon.metrics.nema import background_rois, contrast_recovery, lung_residual
from emrecon.stop import after
from emrecon.tomo.corrections.attenuation import factors
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.detectors import sum_over_pairs
from emrecon.tomo.geometry.energy import REST_KEV
from emrecon.tomo.geometry.presets import by_name
from emrecon.tomo.penalised import Penalised
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.prepare import prepare
from emrecon.tomo.problem import Problem
from emrecon.tomo.scatter_loop import estimate_scatter, window_of
from emrecon.tomo.settings import Settings
from emrecon.volume import Array, Volume
from phantoms.lines import line_integrals
from phantoms.monte_carlo import facing, pairs_a_decay
from phantoms.nema import DIAMETERS_MM, RING_MM, nema
from tests.benchmarks.scatter import by_orders, counted, layout, of_phantom, say

OSEM_PASSES = (2, 4, 10)
PASSES = 16
MOST_SUBSETS = 21
WEAK = 0.1
CONTRAST = 4.0
SIDE_MM = 4.0


def main(
    name: str, decays: float, kept: Path | None, *, noise_free: bool, penalised: bool
) -> None:
    bins, phantom, scanner = layout(name), nema(contrast=CONTRAST), by_name(name)
    activity, mu = of_phantom(phantom)
    if kept is not None and kept.exists():
        with np.load(kept) as file:
            orders, tried = file["orders"], float(file["tried"])
    else:
        orders, tried = by_orders(bins, (activity, mu), decays)
        if kept is not None:
            np.savez_compressed(kept, orders=orders.astype(np.uint16), tried=tried)
    orders = orders.astype(np.float32)
    efficiency = sum_over_pairs(bins, np.ones((scanner.rings, scanner.crystals)))
    efficiency *= facing(bins).astype(np.float32)
    survival = factors(mu, bins)
    one = tried * pairs_a_decay(bins, float(activity.voxels.sum(dtype=float)) * 8)
    one *= float(scanner.energy.accepts(REST_KEV)) ** 2 * 5.0  # of the background
    trues, scatter = orders[0], orders[1] + orders[2]
    if noise_free:
        scatter = smoothed(bins, scatter, efficiency)
        trues = line_integrals(phantom.bodies, bins, phantom.activities)
        trues *= survival * efficiency * np.float32(one / 5.0)
    scan = counted(bins, trues + scatter, efficiency, mu, noise_free=noise_free)
    estimate = estimate_scatter(scan, window_of(scan.bins, scan.exam), fit=not noise_free)
    say(f"estimated over counted {estimate.total / scatter.sum(dtype=float):.4f}")
    subsets = max(n for n in range(1, MOST_SUBSETS + 1) if bins.shape[0] % n == 0)
    axial = 2 * bins.grid().spacing_mm[2]
    settings = Settings(subsets=subsets, voxel_mm=(SIDE_MM, SIDE_MM, axial))
    free, beta = scan.with_(prompts=scan.prompts - scatter), 0.0
    for words, each in (
        ("no scatter in the data", free),
        ("scatter estimated", scan.with_(scatter=estimate.scatter)),
        ("scatter not corrected", scan),
        (
            "scatter of Monte Carlo, smoothed",
            scan.with_(scatter=smoothed(bins, scatter, efficiency)),
        ),
    ):
        problem = prepare(each.with_(mu=None, attenuation=survival), settings)
        beta = beta or (WEAK if noise_free else 1.0) * auto_beta(problem)
        for name_, image in images(problem, () if penalised else OSEM_PASSES, beta):
            say(f"{words}, {name_}: {figures(problem.volume(image), one)}")


def smoothed(bins: Bins, scatter: Array, efficiency: Array) -> Array:
    """Return counts blurred by 20 mm along bins and planes, and over 3 views.

    Efficiencies, which vary from plane to plane by the number of ring pairs, are left as they are.
    """
    out = np.empty_like(scatter)
    for first, segment in zip(bins.offsets, bins.segments, strict=True):
        some = slice(int(first), int(first) + segment.planes)
        widths = (3.0, 20.0 / bins.bin_mm, 20.0 / segment.step_mm)
        seen = [
            gaussian_filter(data[..., some], widths, mode="nearest")
            for data in (scatter, efficiency)
        ]
        out[..., some] = efficiency[..., some] * seen[0] / np.maximum(seen[1], 1e-6)
    return out


def auto_beta(problem: Problem) -> float:
    """Return the strength of the prior that beta auto is for these data."""
    auto = Penalised(Penalty(prior="rdp"))
    auto.objective(problem.likelihoods, problem.first(), problem.start > 0, problem.grid)
    return float(auto.facts["beta"])


def images(
    problem: Problem, passes: tuple[int, ...], beta: float, penalised: int = PASSES
) -> Iterator[tuple[str, Array]]:
    """Yield names and images: OSEM on the way, and after so many penalised passes."""
    subsets = len(problem.likelihoods)
    run = em(cycle(problem.models), problem.start)
    for iterate in islice(run, max(passes, default=0) * subsets + 1):
        if iterate.number in {each * subsets for each in passes}:
            yield f"OSEM {iterate.number // subsets} x {subsets}", iterate.params
    chosen = replace(problem, penalised=Penalised(Penalty(prior="rdp", beta=beta)))
    run = chosen.iterates(problem.first(), problem.warm)
    reached = last(until(run, after(penalised * subsets)))
    yield f"rdp of beta {beta:.3g}, {penalised} passes", reached.params


def figures(image: Volume, one: float) -> str:
    """Return background over truth, contrast of spheres, and the lung's residual error."""
    allowed = nema().label_map(image.grid())
    centres = background_rois(
        Volume((allowed.voxels == 1).astype(np.float32), allowed.affine), 0.0
    )
    angles = np.deg2rad(180.0 + 60 * np.arange(len(DIAMETERS_MM)))
    places = [(RING_MM * np.cos(at), RING_MM * np.sin(at), 0.0) for at in angles]
    rows = contrast_recovery(
        image, list(zip(places, DIAMETERS_MM, strict=True)), centres, CONTRAST
    )
    lung = lung_residual(image, (0.0, 0.0, 0.0), centres)
    spheres = " ".join(f"{row.recovery_percent:.1f}" for row in rows)
    return (
        f"background {rows[0].background / one:.3f}, contrast {spheres} %, lung "
        f"{np.mean(lung):.1f} %, noise {rows[0].variability_percent:.1f} %"
    )


if __name__ == "__main__":
    given = [word for word in sys.argv[1:] if not word.startswith("--")]
    flags = {"noise_free": "--noise-free" in sys.argv, "penalised": "--penalised" in sys.argv}
    kept_in = Path(given.pop()) if "--kept" in sys.argv else None
    main(*(given[:1] or ["mMR"]), float((given[1:2] or ["6e7"])[0]), kept_in, **flags)
