"""``emrecon demo``.

For example::

    emrecon demo
    emrecon demo -o somewhere
"""

from __future__ import annotations

from pathlib import Path

from emrecon.cli.common import Out, Overwrite, VoiceFlags, do
from emrecon.tomo.settings import Settings
from phantoms.acquisition import Acquisition

SMALL = Acquisition(scanner="ECAT HR+", views=144, bins=128, counts=3e7)
"""The middle of a clinical scanner's bins, every second view: seconds to reconstruct."""

QUICK = Settings(iterations=4, subsets=12, post_fwhm_mm=(4.0,))


def demo(
    *, out: Out = Path("demo"), overwrite: Overwrite = False, voice: VoiceFlags | None = None
) -> None:
    """Simulate a small scan, reconstruct it and segment the image.

    A brain phantom is counted by an ECAT HR+ (corrections, randoms, scatter and noise included),
    reconstructed by OSEM, and the image segmented by its activity. Look at recon.png first.

    Parameters
    ----------
    out
        Folder to write.
    voice
        How much is said.
    """
    from emrecon.files import make_folder
    from emrecon.jobs.recon import ReconstructionJob
    from emrecon.jobs.segment import SegmentationJob
    from emrecon.jobs.simulate import SimulationJob
    from emrecon.tissue.inputs import TissueInputs
    from emrecon.tissue.settings import Settings as TissueSettings

    make_folder(out)
    scan, image = out / "scan", out / "recon.nii.gz"
    by_activity = TissueSettings(classes=3, contrast="other", bias_mm=0)
    head = TissueInputs(mask=scan / "labels.nii.gz")
    do(SimulationJob("brain", scan, SMALL), voice=voice, overwrite=overwrite)
    do(ReconstructionJob(scan, image, QUICK), voice=voice, overwrite=overwrite)
    do(
        SegmentationJob((image,), out / "tissue", by_activity, head),
        voice=voice,
        overwrite=overwrite,
    )
