"""Slices from parallel beams: any angles, any spacing of the rays.

Run: python docs/tutorials/parallel_beam.py
Run on X-ray data (HDF5 after the Data Exchange layout, with h5py installed):
     python docs/tutorials/parallel_beam.py tooth.h5
"""

import sys
from pathlib import Path

import numpy as np

from emrecon import Scan, Settings, recon
from emrecon.io.pictures.preview import preview
from emrecon.tomo.geometry.bins import Bins
from phantoms.shepp_logan import shepp_logan
from phantoms.simulate import simulate


def simulated() -> Scan:
    """Return three slices of the Shepp-Logan phantom, 61 unevenly spaced angles, noise-free."""
    angles = np.sort(np.random.default_rng(1).uniform(0, np.pi, 61))
    bins = Bins.parallel(angles, np.arange(-60, 61) * 2.0, slices=3, slice_mm=3.0)
    phantom = shepp_logan().fitted(110.0)
    rng = np.random.default_rng(0)
    return simulate(phantom, bins, counts=1e6, rng=rng, noise=False, attenuate=False).scan


def measured(path: Path) -> Scan:
    """Return X-ray projections as line integrals: minus the logarithm of the transmission."""
    import h5py

    with h5py.File(path) as file:
        counts = np.asarray(file["exchange/data"], np.float32)  # angle, row, column
        dark = np.mean(file["exchange/data_dark"], axis=0)
        white = np.mean(file["exchange/data_white"], axis=0)
        angles = np.deg2rad(np.asarray(file["exchange/theta"], float))
    integrals = -np.log(np.clip((counts - dark) / (white - dark), 1e-3, 1.0))
    integrals = np.ascontiguousarray(integrals.transpose(0, 2, 1))
    columns = np.arange(integrals.shape[1])
    axis = centre_of_rotation(integrals[0].mean(axis=1), integrals[-1].mean(axis=1))
    bins = Bins.parallel(angles, columns - axis, slices=integrals.shape[2])
    return Scan(bins, integrals.astype(np.float32))


def centre_of_rotation(first: np.ndarray, opposite: np.ndarray) -> float:
    """Return the column on which views half a turn apart mirror each other."""
    middles = np.arange(0.4, 0.6, 0.5 / first.size) * first.size
    columns = np.arange(first.size)
    errors = [
        np.mean((first - np.interp(2 * middle - columns, columns, opposite)) ** 2)
        for middle in middles
    ]
    return float(middles[int(np.argmin(errors))])


if __name__ == "__main__":
    scan = measured(Path(sys.argv[1])) if len(sys.argv) > 1 else simulated()
    image = recon(scan, Settings(iterations=8, subsets=8))
    preview(image, Path("parallel_beam.png"), title="Parallel beams, OSEM")
    print(image.voxels.shape, "voxels; see parallel_beam.png")
