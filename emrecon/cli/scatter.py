"""``emrecon scatter``.

For example::

    emrecon scatter image.nii.gz --mu mu.nii.gz --like scan -o scatter.hs
    emrecon scatter kbq.nii.gz --mu mu.nii.gz --like prompts.hs --normalisation n.hs --fit
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from emrecon.cli.common import Out, Overwrite, VoiceFlags, do, section
from emrecon.jobs.refused import BY_SCATTER
from emrecon.tomo.inputs import Corrections

ScatterFlags = Annotated[Corrections, section("Corrections", BY_SCATTER, negative=None)]


def scatter(  # noqa: PLR0913 - each is a flag
    image: Path,
    *,
    like: Path,
    out: Out = Path("scatter.hs"),
    fit: bool = False,
    corrections: ScatterFlags | None = None,
    overwrite: Overwrite = False,
    voice: VoiceFlags | None = None,
) -> None:
    """Work out the scatter of a PET scan from an image of its activity and an attenuation map.

    The mean scatter of every bin is written, to be given to `emrecon recon` or another program,
    with a picture and figures. Its scale is that of the image, in counts/mm of the same scan.

    Parameters
    ----------
    image
        Image of the activity, such as one of `emrecon recon`.
    like
        The scan: a folder with scan.toml, or prompts; efficiencies and randoms belong to it.
    out
        Scatter to write (.hs).
    fit
        Scale it to the prompts: all of them, and those beside the body. Of images in any unit.
    corrections
        Attenuation map (--mu, --ct), efficiencies, randoms, energies.
    voice
        How much is said.
    """
    from emrecon.jobs.scatter import ScatterJob

    job = ScatterJob(image, out, like, fit, corrections or Corrections())
    do(job, voice=voice, overwrite=overwrite)
