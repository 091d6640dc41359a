"""``emrecon segment``.

For example::

    emrecon segment t1.nii.gz --mask brain.nii.gz -o tissue
    emrecon segment t1.nii.gz t2.nii.gz -o tissue --bias-mm 0
    emrecon segment t1.nii.gz --config how.toml --dry-run
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from emrecon.cli.common import Out, Overwrite, VoiceFlags, do, plan, section
from emrecon.tissue.inputs import TissueInputs
from emrecon.tissue.settings import Settings

TissueFlags = Annotated[Settings, section("Segmentation", negative=None)]
InputFlags = Annotated[TissueInputs, section("Inputs")]


def segment(  # noqa: PLR0913 - each is a flag, or a group of them
    images: Annotated[list[Path], Parameter(consume_multiple=True)],
    /,
    *,
    out: Out = Path("segmentation"),
    overwrite: Overwrite = False,
    settings: TissueFlags | None = None,
    files: InputFlags | None = None,
    config: Path | None = None,
    dry_run: bool = False,
    voice: VoiceFlags | None = None,
) -> None:
    """Segment an image into tissue classes by EM.

    Writes labels with names, tissue fractions and probabilities, bias field and corrected image,
    pictures, and a sidecar with volumes and how sure they are.

    Parameters
    ----------
    images
        One image, or several channels of one grid, such as T1 and T2.
    out
        Folder to write.
    settings
        How to segment.
    files
        Mask, priors and other files.
    config
        TOML file with settings by the names of these flags, flat or in a table [segment]; paths
        in it are relative to it. What is typed here goes before it.
    dry_run
        Say what would be read, written and needed, and do nothing.
    voice
        How much is said.
    """
    from emrecon.cli import quick_imports
    from emrecon.jobs.segment import SegmentationJob

    job = SegmentationJob(tuple(images), out, settings or Settings(), files or TissueInputs())
    if dry_run:
        plan(job, voice=voice, overwrite=overwrite)
        return
    quick_imports.load_kernels()
    do(job, voice=voice, overwrite=overwrite)
