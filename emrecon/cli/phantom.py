"""``emrecon phantom``."""

from __future__ import annotations

from pathlib import Path

from emrecon.cli.common import Out, done, stage
from phantoms.acquisition import phantom_named


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
    from emrecon.jobs_scan import write_phantom
    from emrecon.tomo.settings import per_axis

    with stage(f"voxelising {name}"):
        written = write_phantom(out, phantom_named(name), per_axis(voxel_mm))
    done(*written)
