"""``emrecon simulate``.

For example::

    emrecon simulate nema -o nema --counts 5e7
    emrecon simulate cylinder --scanner tiny --tof-fwhm-ps 300
    emrecon simulate brain --dicom --isotope Tc-99m -o spect
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from emrecon.cli.common import Out, Overwrite, VoiceFlags, do, section
from phantoms.acquisition import Acquisition
from phantoms.spect_acquisition import CameraAcquisition

AcquisitionFlags = Annotated[Acquisition, section("Acquisition", negative=None)]

CameraAcquisitionFlags = Annotated[
    CameraAcquisition, section("Gamma camera (with --dicom)", negative=None)
]


def simulate(  # noqa: PLR0913 - each is a flag
    phantom: str,
    *,
    out: Out = Path("scan"),
    acquisition: AcquisitionFlags | None = None,
    dicom: bool = False,
    petsird: bool = False,
    seconds: float = 60.0,
    camera: CameraAcquisitionFlags | None = None,
    overwrite: Overwrite = False,
    voice: VoiceFlags | None = None,
) -> None:
    """Simulate a scan of a phantom, with its truth beside it.

    Writes a folder: prompts, normalisation, attenuation, randoms and scatter as Interfile, truth,
    attenuation map and labels as NIfTI, and scan.toml that says which is which. With --dicom it is
    a SPECT scan: the projections of all energy windows in one DICOM NM TOMO file. With --petsird
    it is a PET scan event by event: the list-mode data in one PETSIRD file. With --scatter
    monte-carlo trues, single and multiple scatter lie beside the prompts, and none is corrected.

    Parameters
    ----------
    phantom
        cylinder, shepp-logan, nema, derenzo, flip-finder or brain.
    out
        Folder to write.
    acquisition
        What scans it, and how. A gamma camera takes views, bins, counts, scatter, noise and seed.
    dicom
        Let a gamma camera scan it, and write DICOM.
    petsird
        Write list-mode data; needs the package petsird.
    seconds
        Duration of list-mode data.
    camera
        The gamma camera, and how it goes around the patient.
    voice
        How much is said.
    """
    from emrecon.jobs.simulate import SimulationJob

    scanner, gamma = acquisition or Acquisition(), camera or CameraAcquisition()
    job = SimulationJob(phantom, out, scanner, gamma, dicom, petsird, seconds)
    do(job, voice=voice, overwrite=overwrite)
