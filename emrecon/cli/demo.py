"""``emrecon demo``.

For example::

    emrecon demo
    emrecon demo -o somewhere
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from emrecon.cli.common import Out, Overwrite, Voice, VoiceFlags, do
from emrecon.tomo.settings import Settings
from phantoms.acquisition import Acquisition

SMALL = Acquisition(scanner="ECAT HR+", views=144, bins=128, counts=3e7)
"""The middle of a clinical scanner's bins, every second view: seconds to reconstruct."""

TISSUE_OF_LABEL = {3: 1, 4: 2, 5: 3, 6: 2, 7: 2}
"""Fluid, grey or white matter, of each label of the phantom's brain."""

QUICK = Settings(iterations=4, subsets=12, post_fwhm_mm=(4.0,))


def demo(
    *, out: Out = Path("demo"), overwrite: Overwrite = False, voice: VoiceFlags | None = None
) -> None:
    """Simulate a small scan and reconstruct it; segment a T1-weighted image of the same brain.

    A brain phantom is counted by an ECAT HR+ (corrections, randoms, scatter and noise included)
    and reconstructed by OSEM. Its T1-weighted image becomes fluid, grey and white matter. Look at
    recon.png and tissue/t1_dseg.png first.

    Parameters
    ----------
    out
        Folder to write.
    voice
        How much is said.
    """
    from emrecon.files import make_folder

    there = out.exists()
    make_folder(out)
    try:
        _write(out, voice, overwrite=overwrite)
    finally:
        if not there:
            with suppress(OSError):  # there are files in it
                out.rmdir()


def _write(out: Path, voice: Voice | None, *, overwrite: bool) -> None:
    """Write scan, images and tissues to a folder."""
    from emrecon.jobs.bundle import keep_others
    from emrecon.jobs.recon import ReconstructionJob
    from emrecon.jobs.segment import SegmentationJob
    from emrecon.jobs.simulate import SimulationJob
    from emrecon.tissue.inputs import TissueInputs

    scan, image, t1, brain = (
        out / name for name in ("scan", "recon.nii.gz", "t1.nii.gz", "brain.nii.gz")
    )
    if not overwrite:
        keep_others((t1, brain), str(out), ours=(scan / "scan.toml").is_file)
    do(SimulationJob("brain", scan, SMALL), voice=voice, overwrite=overwrite)
    do(ReconstructionJob(scan, image, QUICK), voice=voice, overwrite=overwrite)
    volumes = simulate_t1(t1, brain)
    job = SegmentationJob((t1,), out / "tissue", files=TissueInputs(mask=brain))
    do(job, voice=voice, overwrite=overwrite)
    if voice is None or not (voice.quiet or voice.json):
        print(f"true volumes: {volumes}; look at {image.with_name('recon.png')}")


def simulate_t1(image: Path, mask: Path) -> str:
    """Write a T1-weighted image of the phantom's brain and where it is; return true volumes."""
    import numpy as np

    from emrecon.io import write_image
    from emrecon.volume import Grid, Volume
    from phantoms.brain import brain
    from phantoms.mri import TISSUES, Scan, acquire, from_phantom

    truth = from_phantom(brain(), TISSUE_OF_LABEL, Grid.centred((57, 63, 60), (3.0, 3.0, 3.0)))
    measured, _ = acquire(truth, Scan(), np.random.default_rng(1))
    write_image(measured, image)
    write_image(Volume(truth.mask.astype(np.float32), truth.affine), mask)
    volumes = zip(TISSUES, truth.volumes_ml, strict=True)
    return ", ".join(f"{tissue} {volume:.0f} mL" for tissue, volume in volumes)
