"""X-rays: an attenuation map from counts, dark and white fields, without a logarithm.

Run: python docs/tutorials/transmission.py
Run on measured frames (HDF5 after the Data Exchange layout, with h5py installed):
     python docs/tutorials/transmission.py tooth.h5
"""

import sys
from itertools import cycle, pairwise, repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np

from emrecon import Mltr, Settings, Transmission, Volume, after, em, last, projector, until
from emrecon.io.pictures.preview import preview
from emrecon.tomo.geometry.bins import Bins
from phantoms.shepp_logan import shepp_logan
from phantoms.simulate import attenuation_factors

SUBSETS, SUMMED = 12, 4


class Frames(NamedTuple):
    """What a detector measures; columns before rows, as the projector has them."""

    counts: np.ndarray
    dark: np.ndarray
    white: np.ndarray
    angles_rad: np.ndarray
    axis: float
    """Column on which the axis of rotation lies."""


def simulated() -> Frames:
    """Return frames of the Shepp-Logan phantom: 75 photons a column, an offset, dead columns."""
    angles, s_mm = np.arange(90) * np.pi / 90, np.arange(320) - 150.0
    through = attenuation_factors(shepp_logan().fitted(140.0), Bins.parallel(angles, s_mm))
    dark = np.full((320, 1), 20.0)
    white = dark + np.random.default_rng(1).uniform(50, 100, (320, 1))
    white[60:64] = 0
    counts = np.random.default_rng(0).poisson(np.maximum(white - dark, 0) * through + dark)
    return Frames(counts, dark, white, angles, 150.0)


def measured(path: Path) -> Frames:
    """Return measured frames, with the axis on which those half a turn apart mirror each other."""
    import h5py

    with h5py.File(path) as file:
        names = ("data", "data_dark", "data_white")  # frame, row, column
        counts, dark, white = (np.asarray(file[f"exchange/{name}"], float) for name in names)
        angles = np.deg2rad(np.asarray(file["exchange/theta"], float))
    dark, white = dark.mean(axis=0), white.mean(axis=0)
    shades = ((counts - dark) / (white - dark)).mean(axis=1)
    axis = centre_of_rotation(shades[0], shades[-1])
    return Frames(*(np.swapaxes(a, -1, -2) for a in (counts, dark, white)), angles, axis)


def centre_of_rotation(first: np.ndarray, opposite: np.ndarray) -> float:
    """Return the column on which views half a turn apart mirror each other."""
    middles = np.arange(0.4, 0.6, 0.5 / first.size) * first.size
    columns = np.arange(first.size)
    errors = [
        np.mean((first - np.interp(2 * middle - columns, columns, opposite)) ** 2)
        for middle in middles
    ]
    return float(middles[int(np.argmin(errors))])


def summed(frames: Frames) -> Frames:
    """Return frames of which neighbouring columns are one: counts add up, logarithms would not."""
    sums = (
        a.reshape(*a.shape[:-2], -1, SUMMED, a.shape[-1]).sum(axis=-2)
        for a in (frames.counts, frames.dark, frames.white)
    )
    return Frames(*sums, frames.angles_rad, (frames.axis - (SUMMED - 1) / 2) / SUMMED)


def attenuation(frames: Frames) -> tuple[Volume, str]:
    """Return the attenuation per column, and whether the likelihood rose in every last step."""
    _, columns, rows = frames.counts.shape
    bins = Bins.parallel(frames.angles_rad, np.arange(columns) - frames.axis, slices=rows)
    grid = bins.grid()

    def model(views: np.ndarray) -> Mltr:
        lines = projector(bins.of_views(views), grid, Settings())
        return Mltr(
            Transmission.from_fields(lines, frames.counts[views], frames.dark, frames.white)
        )

    every = np.arange(len(frames.angles_rad))
    subsets = [model(every[start::SUBSETS]) for start in range(SUBSETS)]
    start = np.zeros(grid.shape, np.float32)
    quick = last(until(em(cycle(subsets), start), after(3 * SUBSETS)))  # three looks at all
    run = list(until(em(repeat(model(every)), quick.params), after(10)))
    values = [iterate.log_likelihood for iterate in run]
    risen = all(b >= a - 1e-9 * abs(a) for a, b in pairwise(values))
    return Volume(run[-1].params, grid.affine, "1/column"), "rises" if risen else "FALLS"


if __name__ == "__main__":
    frames = summed(measured(Path(sys.argv[1])) if len(sys.argv) > 1 else simulated())
    mu, course = attenuation(frames)
    preview(mu, Path("transmission.png"), title="X-rays, MLTR")
    print(f"{mu.voxels.shape} voxels; the likelihood {course}; see transmission.png")
