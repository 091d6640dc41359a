"""A name for all that decides the iterates of a reconstruction from counts in bins."""

from __future__ import annotations

from importlib.metadata import version

from emrecon.tomo import camera_setup
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.scan import Scan
from emrecon.tomo.sensitivity import key_of
from emrecon.tomo.settings import Settings


def fingerprint(scan: Scan, settings: Settings) -> str:
    """Return a name for counts, corrections, geometry, settings and the version of emrecon.

    Iterations, tolerance, threads and checkpoints do not decide: they say only when to stop.
    """
    counted = (scan.prompts, scan.normalisation, scan.attenuation, scan.randoms, scan.scatter)
    mu = (scan.mu.voxels, scan.mu.affine) if scan.mu else ()
    grid = (settings.voxel_mm, settings.size, settings.centre_mm)
    projector = (settings.projector, settings.rays, settings.ring_wide)
    decides = (settings.subsets, grid, settings.psf_fwhm_mm, projector)
    bins = scan.bins
    if isinstance(bins, Camera):
        response = camera_setup.completed(scan, settings).response
        layout: tuple[object, ...] = (
            bins.theta_rad, bins.radius_mm, bins.u_mm, bins.z_mm, response
        )  # fmt: skip
    else:
        layout = (bins.phi_rad, bins.s_mm, bins.segments, bins.radius_mm, bins.timing)
    return key_of(version("emrecon"), *counted, *mu, *layout, *decides)
