"""``emrecon convert``.

For example::

    emrecon convert head.l.hdr -o sinograms --span 11
    emrecon convert image.hv -o image.nii.gz
    emrecon convert head.nii.gz -o series
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from emrecon.cli.common import CameraFlags, Out, Overwrite, VoiceFlags, do, section
from emrecon.tomo.inputs import Binning, CameraFacts

BinningFlags = Annotated[Binning, section("List-mode")]


def convert(
    source: Path,
    *,
    out: Out,
    binning: BinningFlags | None = None,
    camera: CameraFlags | None = None,
    overwrite: Overwrite = False,
    voice: VoiceFlags | None = None,
) -> None:
    """Turn list-mode into sinograms, SPECT into Interfile, or an image into another format.

    Parameters
    ----------
    source
        A PETLINK list-mode header, a DICOM NM TOMO file, or an image (NIfTI or Interfile).
    out
        For list-mode a folder: prompts, randoms and normalisation as Interfile, with scan.toml;
        for SPECT likewise prompts, of one energy window.
        For an image a file: .nii.gz, .nii or .hv; from NIfTI to NIfTI, numbers keep their type
        and the header is kept. Without an ending, a folder of DICOM PT files, with what the
        sidecar beside the image says.
    binning
        How list-mode is summed.
    camera
        What to take from SPECT files, and what stands in for what they do not say.
    voice
        How much is said.
    """
    from emrecon.jobs.convert import ConversionJob

    do(
        ConversionJob(source, out, binning or Binning(), camera or CameraFacts()),
        voice=voice,
        overwrite=overwrite,
    )
