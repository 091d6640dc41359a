"""``emrecon demo``."""

from __future__ import annotations

from pathlib import Path

from emrecon.cli.common import Out, bars, done, stage
from emrecon.tomo.settings import Settings
from phantoms.acquisition import Acquisition, phantom_named

SMALL = Acquisition(scanner="ECAT HR+", views=144, bins=128, counts=3e7)
"""The middle of a clinical scanner's bins, every second view: seconds to reconstruct."""

QUICK = Settings(iterations=4, subsets=12, post_fwhm_mm=(4.0,))


def demo(*, out: Out = Path("demo")) -> None:
    """Simulate a small scan, reconstruct it and segment the image.

    A brain phantom is counted by an ECAT HR+ (corrections, randoms, scatter and noise included),
    reconstructed by OSEM, and the image segmented by its activity. Look at recon.png first.

    Parameters
    ----------
    out
        Folder to write.
    """
    from emrecon.files import make_folder
    from emrecon.jobs import reconstruct
    from emrecon.jobs_scan import write_simulation
    from emrecon.jobs_tissue import segment_files
    from emrecon.tissue.inputs import TissueInputs
    from emrecon.tissue.settings import Settings as TissueSettings

    scan = out / "scan"
    make_folder(out)
    with stage("counting the brain phantom"):
        made = SMALL.scan(phantom_named("brain"))
        written = write_simulation(scan, made)
    image = reconstruct(scan, out / "recon.nii.gz", QUICK, meters=bars)
    by_activity = TissueSettings(classes=3, contrast="other", bias_mm=0)
    head = TissueInputs(mask=scan / "labels.nii.gz")
    tissue = segment_files([image.written[0]], out / "tissue", by_activity, head, meters=bars)
    done(*written, *image.written, *tissue.written)
