"""``emrecon segment``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from emrecon.cli.common import Out, do
from emrecon.tissue.inputs import TissueInputs
from emrecon.tissue.settings import Settings

TissueFlags = Annotated[Settings, Parameter(name="*", group="Segmentation", negative=None)]
InputFlags = Annotated[TissueInputs, Parameter(name="*", group="Inputs")]


def segment(
    images: Annotated[list[Path], Parameter(consume_multiple=True)],
    /,
    *,
    out: Out = Path("segmentation"),
    overwrite: bool = False,
    settings: TissueFlags | None = None,
    files: InputFlags | None = None,
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
    overwrite
        Write over the results of another image of the same name.
    settings
        How to segment.
    files
        Mask, priors and other files.
    """
    from emrecon.cli import quick_imports
    from emrecon.jobs.segment import SegmentationJob

    job = SegmentationJob(tuple(images), out, settings or Settings(), files or TissueInputs())
    if not overwrite:
        job.keep_others()
    quick_imports.load_kernels()
    do(job)
