"""``emrecon normalise``.

For example::

    emrecon normalise cylinder.hs --radius-mm 100 --mu-per-mm 0.0096 --randoms randoms.hs
    emrecon normalise rods.l.hdr --activity rods.nii.gz -o norm.hs --span 11
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from emrecon.cli.common import Out, Overwrite, VoiceFlags, do, section
from emrecon.jobs.known_source import Source
from emrecon.jobs.refused import BY_NORMALISE, STATED
from emrecon.tomo.inputs import Corrections

SourceFlags = Annotated[Source, section("Source")]
REFUSED = STATED | BY_NORMALISE | {"simulate_scatter"}
SourceCorrectionFlags = Annotated[Corrections, section("Corrections", REFUSED, negative=None)]


def normalise(
    scan: Path,
    *,
    out: Out = Path("norm.hs"),
    source: SourceFlags | None = None,
    corrections: SourceCorrectionFlags | None = None,
    overwrite: Overwrite = False,
    voice: VoiceFlags | None = None,
) -> None:
    """Estimate detection efficiencies from the scan of a uniform cylinder or another known source.

    Crystal efficiencies and a geometric profile of most likelihood; reconstruct other scans of the
    same bins with --normalisation and the file that is written.

    Parameters
    ----------
    scan
        Interfile projection data (.hs), a PETLINK list-mode header, or a folder with scan.toml.
    out
        Efficiencies to write (.hs).
    source
        The source that was scanned.
    corrections
        Files with randoms, scatter and attenuation of the scan.
    voice
        How much is said.
    """
    from emrecon.jobs.normalise import NormalisationJob

    job = NormalisationJob(scan, out, source or Source(), corrections or Corrections())
    do(job, voice=voice, overwrite=overwrite)
