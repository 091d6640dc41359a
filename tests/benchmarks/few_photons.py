"""X-rays of 100 photons a ray: MLTR with a prior against the logarithm and back-projection.

Run as ``python -m tests.benchmarks.few_photons [tooth.h5]``: 20 CPU seconds. The cylinder is of
water at 511 keV, its rays exact chords, not the projector's; the tooth's X-rays are measured ones,
thinned, and its reference is the filtered back-projection of all of them. Errors include edge and
air, so that no prior wins by blurring.
"""
# ruff: noqa: T201 - a benchmark prints

from __future__ import annotations

import runpy
import sys
from itertools import islice, repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from emrecon.em import em, last
from emrecon.tomo.algorithms.mltr import Mltr
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.operators.joseph import JosephProjector
from emrecon.tomo.priors.pairs import PairPrior, Pairs
from emrecon.tomo.priors.quadratic import Quadratic
from emrecon.tomo.transmission import Transmission
from emrecon.volume import Array

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorials" / "transmission.py"
PHOTONS = 100
WATER_PER_MM = 0.0096
MLTR, WINDOWS = "MLTR, quadratic prior", ("hann", "ramp")


class Found(NamedTuple):
    """What is wrong with an image, over the true mean."""

    error: float
    """Root mean square over the field."""

    bias: float
    """Of the mean inside."""

    parts: tuple[float, float, float]
    """Of the mean in three parts of it: from the middle outwards, or from thin to dense."""


def cylinder(seed: int) -> dict[str, Found]:
    """Return what is wrong with each image of a cylinder of 170 mm."""
    size, width, radius = 65, 3.0, 85.0
    x = (np.arange(size) - size // 2) * width
    bins = Bins.parallel(np.arange(90) * np.pi / 90, x, slice_mm=width)
    truth, distance = WATER_PER_MM * disc(size, width, radius), np.hypot(x[:, None], x)
    chords = 2 * np.sqrt(np.maximum(radius**2 - x**2, 0))
    mean = np.broadcast_to(PHOTONS * np.exp(-WATER_PER_MM * chords)[:, None], bins.shape)
    counts = np.random.default_rng(seed).poisson(mean).astype(np.float32)
    parts = np.digitize(distance, (25, 50, 76)) + 1
    return compared(bins, counts, (3e4, 80), truth, distance < 95, np.where(parts < 4, parts, 0))


def tooth(path: Path, seed: int = 0) -> dict[str, Found]:
    """Return what is wrong with each image of a tooth."""
    tutorial = runpy.run_path(str(TUTORIAL))
    frames = tutorial["summed"](tutorial["measured"](path))
    shades = ((frames.counts - frames.dark) / (frames.white - frames.dark))[:, :, 0]
    half, columns = int(frames.axis), np.arange(shades.shape[1])
    turned = frames.axis + np.arange(-half, half + 1)  # the axis in the middle, for both
    shades = np.stack([np.interp(turned, columns, view) for view in shades])
    counts = np.random.default_rng(seed).poisson(PHOTONS * np.maximum(shades, 0))
    bins = Bins.parallel(frames.angles_rad, np.arange(-half, half + 1.0))
    many = filtered(bins, shades, "ramp")
    distance = np.hypot(*(np.indices(many.shape) - half))
    inside = ndimage.binary_erosion((many > 0.3 * many.max()) & (distance < half), iterations=3)
    dense = ndimage.gaussian_filter(many, 3)
    parts = np.digitize(dense, np.quantile(dense[inside], (1 / 3, 2 / 3))) + 1
    few = counts.astype(np.float32)[:, :, None]
    return compared(bins, few, (4e3, 100), many, distance < half, np.where(inside, parts, 0))


def compared(
    bins: Bins,
    counts: Array,
    how: tuple[float, int],
    truth: NDArray[np.float64],
    field: NDArray[np.bool_],
    parts: NDArray[np.intp],
) -> dict[str, Found]:
    """Return what is wrong with the images of counts.

    `how` are MLTR's strength and steps, `parts` 1 to 3 inside and 0 elsewhere.
    """
    inside = parts > 0
    strength, steps = how
    grid = bins.grid()
    likelihood = Transmission(JosephProjector(grid, bins), counts, np.float32(PHOTONS))
    prior = PairPrior(strength, Quadratic(), Pairs.around(grid.spacing_mm))
    run = em(repeat(Mltr(likelihood, prior)), np.zeros(grid.shape, np.float32))
    images = {MLTR: last(islice(run, steps)).params[:, :, 0]}
    through = np.maximum(counts[:, :, 0], 0.5) / PHOTONS
    images |= {f"logarithm and FBP, {w}": filtered(bins, through, w) for w in WINDOWS}
    level = truth[inside].mean()

    def found(image: Array) -> Found:
        off = (image - truth)[field].astype(float)
        error = float(np.sqrt(np.mean(off**2))) / level
        one, two, three = (
            float(image[parts == n].mean() / truth[parts == n].mean()) - 1 for n in (1, 2, 3)
        )
        return Found(error, float(image[inside].mean() / level) - 1, (one, two, three))

    return {name: found(image) for name, image in images.items()}


def filtered(bins: Bins, through: NDArray[np.float64], window: str) -> NDArray[np.float64]:
    """Return scikit-image's filtered back-projection of shares that come through, per mm."""
    from skimage.transform import iradon

    integrals = -np.log(through).T / bins.grid().spacing_mm[0]
    image = iradon(integrals, np.rad2deg(bins.phi_rad), filter_name=window)
    return np.asarray(image[::-1].T)


def disc(size: int, width: float, radius: float) -> NDArray[np.float64]:
    """Return which share of each pixel lies in a disc."""
    x = (np.arange(5 * size) - 5 * size // 2) * width / 5
    inside = np.hypot(x[:, None], x) < radius
    return np.asarray(inside.reshape(size, 5, size, 5).mean(axis=(1, 3)))


def main() -> None:
    """Print the table: means over the draws, and the standard error of the bias."""
    objects = {"cylinder": [cylinder(seed) for seed in range(5)]}
    if len(sys.argv) > 1:
        objects["tooth"] = [tooth(Path(sys.argv[1]))]
    print("percent of the true mean")
    for name, draws in objects.items():
        for method in draws[0]:
            rows = 100 * np.array([(draw[method].error, draw[method].bias) for draw in draws])
            parts = 100 * np.mean([draw[method].parts for draw in draws], axis=0)
            error, bias = rows.mean(axis=0)
            spread = (
                f" +- {rows[:, 1].std(ddof=1) / len(rows) ** 0.5:.1f}" if len(rows) > 1 else ""
            )
            print(f"{name}: {method:24s} error {error:5.1f}, mean inside {bias:+.1f}{spread}, "
                  f"its parts {', '.join(f'{part:+.1f}' for part in parts)}")  # fmt: skip


if __name__ == "__main__":
    main()
