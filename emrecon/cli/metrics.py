"""``emrecon metrics``.

For example::

    emrecon metrics image.nii.gz --truth nema --nema
    emrecon metrics image.nii.gz --truth truth.nii.gz --labels l.nii.gz --json
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from emrecon.cli.common import Overwrite, Voice, VoiceFlags, print_table


def metrics(  # noqa: PLR0913 - each is a flag
    image: Path,
    *,
    truth: Path,
    labels: Path | None = None,
    nema: bool = False,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None,
    overwrite: Overwrite = False,
    voice: VoiceFlags | None = None,
) -> None:
    """Hold an image against the truth.

    Root mean square error and structural similarity over the whole image and, with labels, the
    mean and recovery of each region. With --nema also contrast recovery and background
    variability after NEMA NU 2, section 7, for the image-quality phantom of emrecon.

    Parameters
    ----------
    image
        Reconstructed image (NIfTI or Interfile).
    truth
        True image, in the same unit; a simulated scan's folder gives truth and labels.
    labels
        Label volume of the regions.
    nema
        The phantom is "nema": report its spheres.
    out
        Also write the figures as JSON.
    voice
        How much is said.
    """
    from emrecon.jobs.measure import MeasurementJob

    job = MeasurementJob(image, truth, labels, nema, out)
    if not overwrite:
        job.keep_others()
    figures = job.begin().iterate()
    voice, files = voice or Voice(), figures.write()
    if not (voice.json or voice.quiet):
        for name, rows in figures.tables.items():
            cells = ([_words(cell) for cell in row.values()] for row in rows)
            print_table(name, cells, list(rows[0]))
    voice.tell((), files, {"kind": "metrics", "tables": figures.tables})


def _words(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(_words(item) for item in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
