"""``emrecon phantom``.

For example::

    emrecon phantom nema -o nema --voxel-mm 2
    emrecon phantom brain --voxel-mm 1 1 3
"""

from __future__ import annotations

from pathlib import Path

from emrecon.cli.common import Out, Overwrite, VoiceFlags, do


def phantom(
    name: str,
    *,
    out: Out = Path("phantom"),
    voxel_mm: tuple[float, ...] = (2.0,),
    overwrite: Overwrite = False,
    voice: VoiceFlags | None = None,
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
    voice
        How much is said.
    """
    from emrecon.jobs.simulate import PhantomJob

    do(PhantomJob(name, out, voxel_mm), voice=voice, overwrite=overwrite)
