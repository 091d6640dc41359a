"""``emrecon simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from emrecon.cli.common import Out, done, stage
from emrecon.errors import SettingsError
from phantoms.acquisition import Acquisition, phantom_named
from phantoms.spect_acquisition import CameraAcquisition

AcquisitionFlags = Annotated[Acquisition, Parameter(name="*", group="Acquisition", negative=None)]

CameraAcquisitionFlags = Annotated[
    CameraAcquisition, Parameter(name="*", group="Gamma camera (with --dicom)", negative=None)
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
) -> None:
    """Simulate a scan of a phantom, with its truth beside it.

    Writes a folder: prompts, normalisation, attenuation, randoms and scatter as Interfile, truth,
    attenuation map and labels as NIfTI, and scan.toml that says which is which. With --dicom it is
    a SPECT scan: the projections of all energy windows in one DICOM NM TOMO file. With --petsird
    it is a PET scan event by event, without scatter: the list-mode data in one PETSIRD file.

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
    """
    from emrecon.jobs_scan import (
        write_camera_simulation,
        write_event_simulation,
        write_simulation,
    )

    acquisition = acquisition or Acquisition()
    if dicom and petsird:
        raise SettingsError("a scan is written as DICOM or as PETSIRD: give one of them")
    if petsird:
        with stage(f"counting {phantom}"):
            counted = acquisition.events(phantom_named(phantom))
        print(f"{len(counted.prompts[0])} prompts, {len(counted.delayeds[0])} delayeds")
        done(*write_event_simulation(out, counted, seconds))
        return
    if dicom:
        with stage(f"counting {phantom}"):
            seen = (camera or CameraAcquisition()).scan(phantom_named(phantom), acquisition)
        files = write_camera_simulation(out, seen)
        total = float(seen.counts[0].sum(dtype="float64"))
        print(f"{total:.0f} counts in {' x '.join(map(str, seen.camera.shape))} bins")
        done(*files)
        return
    if camera is not None:
        raise SettingsError("the settings of a gamma camera need --dicom")
    with stage(f"counting {phantom}"):
        made = acquisition.scan(phantom_named(phantom))
    with stage("writing"):
        written = write_simulation(out, made)
    prompts = float(made.scan.prompts.sum(dtype="float64"))
    print(f"{prompts:.0f} prompts in {' x '.join(map(str, made.scan.prompts.shape))} bins")
    done(*written)
