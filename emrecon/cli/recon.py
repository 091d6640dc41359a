"""``emrecon recon``.

For example::

    emrecon recon scan.hs -o image.nii.gz --iterations 4 --post-fwhm-mm 4
    emrecon recon head.l.hdr -o head.nii.gz --list-mode --frames 0:60,60:120
    emrecon recon scan -o pet.nii.gz --prior rdp --anatomy t1.nii.gz --segment-anatomy
    emrecon recon tomo.dcm -o spect.nii.gz --ct ct --scatter-from tew
    emrecon recon scan.hs -o image.nii.gz --config how.toml --dry-run
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from emrecon.cli.common import (
    AnatomyFlags,
    CameraFlags,
    CorrectionFlags,
    KernelFlags,
    ListmodeFlags,
    Out,
    Overwrite,
    PenaltyFlags,
    RegionFlags,
    SettingsFlags,
    VoiceFlags,
    do,
    plan,
    section,
)
from emrecon.jobs.base import Execution

ExecutionFlags = Annotated[Execution, section("Execution")]


def recon(  # noqa: PLR0913 - each is a group of flags
    scan: Path,
    *,
    out: Out = Path("recon.nii.gz"),
    settings: SettingsFlags | None = None,
    corrections: CorrectionFlags | None = None,
    camera: CameraFlags | None = None,
    listmode: ListmodeFlags | None = None,
    penalty: PenaltyFlags | None = None,
    kernel: KernelFlags | None = None,
    anatomical: AnatomyFlags | None = None,
    regions: RegionFlags | None = None,
    execution: ExecutionFlags | None = None,
    overwrite: Overwrite = False,
    config: Path | None = None,
    dry_run: bool = False,
    voice: VoiceFlags | None = None,
) -> None:
    """Reconstruct a scan by MLEM, OSEM, with a prior or a kernel.

    Writes the image, and beside it a picture (.png), a sidecar with every setting and checksum
    (.json) and the convergence log (.csv); with regions their table (.regions.tsv), with mlaa the
    attenuation map (.mu.nii.gz).

    Parameters
    ----------
    scan
        A simulated scan's folder, Interfile projection data (.hs, PET or SPECT), a PETLINK
        list-mode header, a PETSIRD file, or a DICOM NM TOMO file.
    out
        Image to write: .nii.gz, .nii or .hv; without an ending, a folder of DICOM PT files.
    settings
        How to reconstruct.
    corrections
        Files with corrections.
    camera
        What to take from SPECT files, and what stands in for what they do not say.
    listmode
        Event by event, in frames or in gates.
    penalty
        A prior, and the algorithm that takes it.
    kernel
        Images of which kernel EM takes what looks alike.
    anatomical
        What is made of an anatomy or a kernel's images.
    regions
        Labels of regions to measure, and where their standard errors come from.
    execution
        Checkpoint, cache, workers.
    config
        TOML file with settings by the names of these flags, flat or in a table [recon]; paths in
        it are relative to it. What is typed here goes before it.
    dry_run
        Say what would be read, written and needed, and do nothing.
    voice
        How much is said.
    """
    from emrecon.jobs.recon import ReconstructionJob
    from emrecon.tomo.anatomy_settings import AnatomySettings
    from emrecon.tomo.inputs import CameraFacts, Corrections
    from emrecon.tomo.kernel_settings import KernelSettings
    from emrecon.tomo.listmode_settings import ListmodeSettings
    from emrecon.tomo.penalty import Penalty
    from emrecon.tomo.region_settings import RegionSettings
    from emrecon.tomo.settings import Settings

    job = ReconstructionJob(
        scan, out, settings or Settings(), corrections or Corrections(), camera or CameraFacts(),
        listmode or ListmodeSettings(), penalty or Penalty(), kernel or KernelSettings(),
        anatomical or AnatomySettings(), regions or RegionSettings(),
    )  # fmt: skip
    if dry_run:
        plan(job, execution, voice, overwrite=overwrite)
    else:
        do(job, execution, voice, overwrite=overwrite)
