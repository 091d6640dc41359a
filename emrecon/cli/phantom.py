"""``emrecon phantom``."""

from __future__ import annotations

from pathlib import Path

from emrecon.cli.common import Out, do


def phantom(
    name: str, *, out: Out = Path("phantom"), voxel_mm: tuple[float, ...] = (2.0, 2.0, 2.0)
) -> None:
    """Write a phantom's activity, attenuation and labels as NIfTI, with pictures.

    Parameters
    ----------
    name
        cylinder, shepp-logan, nema, derenzo, flip-finder or brain.
    out
        Folder to write.
    voxel_mm
        Voxel size in mm along x, y, z, or one number for all.
    """
    from emrecon.jobs.simulate import PhantomJob

    do(PhantomJob(name, out, voxel_mm))
