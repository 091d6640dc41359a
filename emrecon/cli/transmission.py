"""``emrecon transmission``.

For example::

    emrecon transmission tooth.h5 --pixel-mm 0.01 -o mu.nii.gz
    emrecon transmission rods.hs --blank blank.hs --prior rdp -o mu.nii.gz
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from emrecon.cli.common import Out, Overwrite, VoiceFlags, do, section
from emrecon.jobs.refused import BY_TRANSMISSION
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.transmission_settings import RayFiles, TransmissionSettings

RayFlags = Annotated[RayFiles, section("Rays")]
PriorFlags = Annotated[Penalty, section("Prior", BY_TRANSMISSION)]
MapFlags = Annotated[TransmissionSettings, section("Reconstruction")]


def transmission(  # noqa: PLR0913 - each is a flag, or a group of them
    scan: Path,
    *,
    out: Out = Path("mu.nii.gz"),
    rays: RayFlags | None = None,
    settings: MapFlags | None = None,
    penalty: PriorFlags | None = None,
    overwrite: Overwrite = False,
    voice: VoiceFlags | None = None,
) -> None:
    """Reconstruct an attenuation map in 1/mm from the counts of X-rays or of a rod source.

    Counts are taken as they were measured, Poisson about blank exp(-mu) + background; no logarithm
    is taken of them. Writes the map, and beside it a picture (.png) and a sidecar (.json).

    Parameters
    ----------
    scan
        X-ray frames in HDF5 after the Data Exchange layout (exchange/data, data_dark, data_white,
        theta), or Interfile projections (.hs) of a ring scanner with --blank.
    out
        Attenuation map to write: .nii.gz or .nii.
    rays
        What was measured beside the counts.
    settings
        The image, and how long it is iterated.
    penalty
        A prior.
    voice
        How much is said.
    """
    from emrecon.jobs.transmission import TransmissionJob

    job = TransmissionJob(
        scan, out, rays or RayFiles(), settings or TransmissionSettings(), penalty or Penalty()
    )
    do(job, voice=voice, overwrite=overwrite)
