"""Jobs on scans and phantoms: write them to folders, convert them from one format to another."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emrecon import io
from emrecon.files import check_writable, keep_inputs, make_folder
from emrecon.io import sidecar
from emrecon.io.manifest import MANIFEST, write_manifest
from emrecon.io.pictures.preview import preview
from emrecon.io.scan import read_scan
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.inputs import CameraFacts
from emrecon.tomo.scan import Scan
from emrecon.volume import Grid, Volume

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from phantoms.phantom import Phantom
    from phantoms.simulate import Simulation
    from phantoms.simulate_events import EventSimulation
    from phantoms.spect_acquisition import CameraSimulation


def write_scan(folder: Path, scan: Scan) -> tuple[Path, ...]:
    """Write a scan to a folder as Interfile, one file a part; return the manifest first."""
    from emrecon.io import interfile  # noqa: PLC0415 - not every job needs it
    from emrecon.io.interfile import spect as interfile_spect  # noqa: PLC0415 - not every job needs it

    make_folder(folder)
    named = ("prompts", "normalisation", "attenuation", "randoms", "scatter")
    parts = {name: getattr(scan, name) for name in named if getattr(scan, name) is not None}
    exam = replace(scan.exam, duration_s=scan.duration_s or scan.exam.duration_s)
    for name, data in parts.items():
        file = folder / f"{name}.hs"
        if isinstance(scan.bins, Camera):
            interfile_spect.write_projections(file, scan.bins, data, exam)
        else:
            interfile.write_projections(file, scan.bins, data, exam)
    write_manifest(folder / MANIFEST, **{name: f"{name}.hs" for name in parts})
    return (folder / MANIFEST, *(folder / f"{name}.hs" for name in parts))


def write_simulation(folder: Path, made: Simulation) -> tuple[Path, ...]:
    """Write a simulated scan with its truth, as NIfTI, and a picture of it."""
    files = write_scan(folder, made.scan)
    preview(made.truth, folder / "truth.png", title="truth")
    volumes = _volumes(folder, truth=made.truth, mu=made.mu, labels=made.labels)
    names = sidecar.write_label_names(folder / "labels.nii.gz", made.facts["labels"])
    return (*files, *volumes, names, folder / "truth.png")


def write_event_simulation(
    folder: Path, made: EventSimulation, seconds: float
) -> tuple[Path, ...]:
    """Write a simulated list-mode scan as PETSIRD with its truth, as NIfTI, and a picture."""
    from emrecon.io.petsird.write import Coincidences, write  # noqa: PLC0415 - not every job

    make_folder(folder)
    scan = folder / "scan.petsird"
    prompts, delayeds = Coincidences(*made.prompts), Coincidences(*made.delayeds)
    write(scan, made.bins, prompts, delayeds, seconds, made.efficiencies)
    parts = {"mu": "mu.nii.gz", "mu_unit": "1/mm"} if made.facts["attenuated"] else {}
    write_manifest(folder / MANIFEST, scan.name, **parts)
    preview(made.truth, folder / "truth.png", title="truth")
    volumes = _volumes(folder, truth=made.truth, mu=made.mu, labels=made.labels)
    names = sidecar.write_label_names(folder / "labels.nii.gz", made.facts["labels"])
    return (folder / MANIFEST, scan, *volumes, names, folder / "truth.png")


def write_camera_simulation(folder: Path, made: CameraSimulation) -> tuple[Path, ...]:
    """Write a simulated SPECT scan as DICOM NM TOMO with its truth, as NIfTI, and a picture."""
    from emrecon.io.dicom.write import Study, write_projections  # noqa: PLC0415 - brings pydicom
    from emrecon.io.spect import Window  # noqa: PLC0415

    how = made.acquisition
    r, a, s = how.patient_mm
    order = ("window", "rotation", "detector", "view")
    study = Study(
        tuple(Window(name, ((low, high),)) for name, low, high in made.windows_kev),
        how.source().name,
        how.heads,
        how.view_s,
        how.position,
        (r, a, s),
        ("window", "rotation", "view", "detector") if how.detector_fastest else order,
        collimator=how.collimator,
        description=made.facts["phantom"],
    )
    make_folder(folder)
    projections = write_projections(folder / "projections.dcm", made.camera, made.counts, study)
    mu = {} if made.mu is None else {"mu": made.mu}
    volumes = _volumes(folder, truth=made.truth, labels=made.labels, **mu)
    parts = {"mu": "mu.nii.gz", "mu_unit": "1/mm"} if mu else {}
    write_manifest(folder / MANIFEST, projections.name, **parts)
    preview(made.truth, folder / "truth.png", title="truth")
    names = sidecar.write_label_names(folder / "labels.nii.gz", made.facts["labels"])
    return (folder / MANIFEST, projections, *volumes, names, folder / "truth.png")


def write_phantom(
    folder: Path, phantom: Phantom, voxel_mm: tuple[float, float, float]
) -> tuple[Path, ...]:
    """Write a phantom's activity, attenuation and labels as NIfTI, and a picture of it."""
    low, high = phantom.bounds_mm
    reach = np.maximum(-low, high)
    i, j, k = (int(np.ceil(2 * r / v)) + 2 for r, v in zip(reach, voxel_mm, strict=True))
    grid = Grid.centred((i, j, k), voxel_mm)
    make_folder(folder)
    activity = phantom.activity(grid)
    preview(activity, folder / "activity.png", title=phantom.name)
    labels = phantom.label_map(grid)
    volumes = _volumes(folder, activity=activity, mu=phantom.mu(grid), labels=labels)
    names = sidecar.write_label_names(folder / "labels.nii.gz", phantom.labels)
    return (*volumes, names, folder / "activity.png")


def convert_listmode(
    path: Path,
    folder: Path,
    span: int,
    max_ring_difference: int | None = None,
    window_s: tuple[float, float] = (0.0, float("inf")),
) -> tuple[tuple[Path, ...], dict[str, Any]]:
    """Turn list-mode into a folder of sinograms; return the files and what was counted."""
    from emrecon.io.petlink import sinograms as petlink  # noqa: PLC0415 - not every job needs it

    scan = petlink.read_scan(path, span, max_ring_difference, window_s=window_s)
    return write_scan(folder, scan), scan.facts


def convert_spect(path: Path, folder: Path, camera: CameraFacts | None = None) -> tuple[Path, ...]:
    """Turn a SPECT file into a folder of Interfile, one energy window of it."""
    scan, _ = read_scan(path, camera=camera)
    if scan.origin_mm:
        log.warning("Interfile cannot say that the axis is at %s mm (RAS)", scan.origin_mm)
    return write_scan(folder, scan)


def convert_image(path: Path, output: Path) -> Path:
    """Write an image in the format that the ending of `output` names."""
    io.image_format(output)
    check_writable(output)
    keep_inputs([output], {"image": path})
    io.write_image(io.read_image(path), output)
    return output


def is_listmode(path: Path) -> bool:
    """Return whether a file is list-mode."""
    return io.kind(path) == "events"


def is_spect(path: Path) -> bool:
    """Return whether a file holds projections, or is DICOM of another kind."""
    return io.kind(path) in {"projections", "other"}


def _volumes(folder: Path, **volumes: Volume) -> tuple[Path, ...]:
    """Write volumes as NIfTI under their names, labels as whole numbers."""
    from emrecon.io import nifti  # noqa: PLC0415 - brings nibabel

    for name, volume in volumes.items():
        nifti.write(volume, folder / f"{name}.nii.gz", labels=name == "labels")
    return tuple(folder / f"{name}.nii.gz" for name in volumes)
