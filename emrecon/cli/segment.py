"""``emrecon segment``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from emrecon.cli.common import Out, bars, done
from emrecon.tissue.inputs import TissueInputs
from emrecon.tissue.settings import Settings

TissueFlags = Annotated[Settings, Parameter(name="*", group="Segmentation")]
InputFlags = Annotated[TissueInputs, Parameter(name="*", group="Inputs")]


def segment(
    images: Annotated[list[Path], Parameter(consume_multiple=True)],
    /,
    *,
    out: Out = Path("segmentation"),
    settings: TissueFlags | None = None,
    inputs: InputFlags | None = None,
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
    inputs
        Mask, priors and other files.
    """
    from emrecon.cli import quick_imports as lean
    from emrecon.jobs_tissue import segment_files

    lean.load_kernels()
    made = segment_files(images, out, settings, inputs, meters=bars)
    result = made.result
    rows = zip(result.names, result.volumes_ml, result.intervals_ml, strict=True)
    for name, volume, (low, high) in rows:
        print(f"{name}: {volume:.1f} mL (95 % {low:.1f} to {high:.1f})")
    if not result.converged:
        print("stopped at the most iterations allowed, before the free energy was flat")
    done(*made.written)
