"""The NEMA body from Monte Carlo counts: scatter corrected, not corrected, and left out.

``python -m tests.benchmarks.scatter_images mMR 2e8`` follows so many decays, adds 30 % randoms,
and prints background, contrast of the spheres and residual error of the lung by NEMA NU 2 after
more and more updates of OSEM: the lung is cold, and converges slowly, whatever scatter does. The
same trues and randoms are in all four, of which one is given the scatter that was counted,
smoothed. ``--kept FILE.npz`` keeps what was counted for next time.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from emrecon.em import until
from emrecon.metrics.nema import background_rois, contrast_recovery, lung_residual
from emrecon.stop import after
from emrecon.tomo.corrections.attenuation import factors
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.detectors import sum_over_pairs
from emrecon.tomo.geometry.energy import REST_KEV
from emrecon.tomo.geometry.presets import by_name
from emrecon.tomo.prepare import prepare
from emrecon.tomo.scatter_loop import estimate_scatter, window_of
from emrecon.tomo.settings import Settings
from emrecon.volume import Array, Volume
from phantoms.monte_carlo import facing, pairs_a_decay
from phantoms.nema import DIAMETERS_MM, RING_MM, nema
from tests.benchmarks.scatter import by_orders, counted, layout, of_phantom, say

UPDATES = (60, 240)
SUBSETS = 12
CONTRAST = 4.0


def main(name: str, decays: float, kept: Path | None) -> None:
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
    scan = counted(bins, orders.sum(axis=0), efficiency, mu)
    one = tried * pairs_a_decay(bins, float(activity.voxels.sum(dtype=float)) * 8)
    one *= float(scanner.energy.accepts(REST_KEV)) ** 2 * 5.0  # of the background
    scatter = orders[1] + orders[2]
    estimate = estimate_scatter(scan, window_of(scan))
    say(f"estimated over counted {estimate.total / scatter.sum(dtype=float):.4f}")
    survival = factors(mu, bins)
    free = scan.with_(prompts=scan.prompts - scatter)
    for words, each in (
        ("no scatter in the data", free),
        ("scatter estimated", scan.with_(scatter=estimate.scatter)),
        ("scatter not corrected", scan),
        ("scatter of Monte Carlo, smoothed", scan.with_(scatter=smoothed(bins, scatter))),
    ):
        tell(words, each.with_(mu=None, attenuation=survival), one)


def smoothed(bins: Bins, scatter: Array) -> Array:
    """Return counts blurred by 20 mm along bins and planes, and over 3 views."""
    out = np.empty_like(scatter)
    for first, segment in zip(bins.offsets, bins.segments, strict=True):
        some = slice(int(first), int(first) + segment.planes)
        widths = (3.0, 20.0 / bins.bin_mm, 20.0 / segment.step_mm)
        gaussian_filter(scatter[..., some], widths, output=out[..., some], mode="nearest")
    return out


def tell(words, scan, one):
    """Reconstruct, and print figures on the way."""
    settings = Settings(subsets=SUBSETS, iterations=max(UPDATES), voxel_mm=(4.0, 4.0, 4.0625))
    problem = prepare(scan, settings)
    subsets = len(problem.models)
    wanted = {-(-number // subsets) * subsets for number in UPDATES}
    for iterate in until(problem.iterates(), after(max(wanted))):
        if iterate.number in wanted:
            found = figures(problem.volume(iterate.params), one)
            say(f"{words}, {iterate.number} updates: {found}")


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
    kept_in = Path(given.pop()) if "--kept" in sys.argv else None
    main(*(given[:1] or ["mMR"]), float((given[1:2] or ["2e8"])[0]), kept_in)
