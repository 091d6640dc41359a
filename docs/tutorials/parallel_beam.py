"""Slices from parallel beams: any angles, any spacing of the rays.

Run: python docs/tutorials/parallel_beam.py
For X-rays, which are counted behind the object and not emitted in it, see transmission.py.
"""

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


if __name__ == "__main__":
    image = recon(simulated(), Settings(iterations=8, subsets=8))
    preview(image, Path("parallel_beam.png"), title="Parallel beams, OSEM")
    print(image.voxels.shape, "voxels; see parallel_beam.png")
