"""``emrecon calibrate``.

For example::

    emrecon calibrate cylinder.nii.gz --activity-mbq 60 --volume-ml 6283
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from emrecon.cli.common import Out, Overwrite, VoiceFlags, do, section
from emrecon.jobs.cylinder import Cylinder

CylinderFlags = Annotated[Cylinder, section("Cylinder")]


def calibrate(
    image: Path,
    *,
    out: Out = Path("calibration.json"),
    cylinder: CylinderFlags | None = None,
    overwrite: Overwrite = False,
    voice: VoiceFlags | None = None,
) -> None:
    """Find what makes Bq/mL of a PET scanner's images, from a cylinder of known activity.

    The image is one of `emrecon recon`, in counts/mm, with every correction; the sidecar beside it
    tells isotope, time and scanner. Reconstruct with --calibration and the file that is written.

    Parameters
    ----------
    image
        Image of a uniform cylinder along the scanner's axis.
    out
        File to write (.json).
    cylinder
        What is known about the cylinder.
    voice
        How much is said.
    """
    from emrecon.jobs.calibrate import CalibrationJob

    do(CalibrationJob(image, out, cylinder or Cylinder()), voice=voice, overwrite=overwrite)
