"""The same scan by command, job file, Python and panel gives the same bits."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from emrecon import forms, io, jobs
from emrecon.batch import read_jobs
from emrecon.batch.perform import perform
from emrecon.cli import main
from emrecon.jobs.as_code import as_command, as_python
from emrecon.jobs.recon import ReconstructionJob
from emrecon.jobs.segment import SegmentationJob
from emrecon.jobs.simulate import SimulationJob
from emrecon.tissue.settings import Settings as TissueSettings
from emrecon.tomo.kernel_settings import KernelSettings
from emrecon.tomo.listmode_settings import ListmodeSettings
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.settings import Settings
from phantoms.acquisition import Acquisition
from phantoms.spect_acquisition import CameraAcquisition
from tests.napari.tissue_case import case

TIMED = Acquisition(
    scanner="tiny", bins=21, counts=3e4, tof_fwhm_ps=200.0, tof_width_ps=100.0, tof_bins=9, seed=6
)
PET = replace(TIMED, tof_fwhm_ps=0.0, tof_width_ps=0.0, tof_bins=0)
CAMERA = CameraAcquisition(planes=12, bin_mm=9.0, plane_mm=9.0)
HOW = Settings(iterations=2, subsets=3, psf_fwhm_mm=(4.0,), post_fwhm_mm=(5.0,))
SMALL = replace(HOW, voxel_mm=(4.0, 4.0, 4.0), size=(19, 19, 6), psf_fwhm_mm=())

Make = Callable[[Path], jobs.Job]


def scanned(folder: Path, **about: object) -> Path:
    """Simulate a scan of a cylinder."""
    jobs.run(SimulationJob("cylinder", folder / "scan", **about))
    return folder / "scan"


def pet(folder: Path) -> jobs.Job:
    return ReconstructionJob(scanned(folder, acquisition=PET), settings=HOW)


def prior(folder: Path) -> jobs.Job:
    scan = scanned(folder, acquisition=PET)
    guided = Penalty("rdp", anatomy=(scan / "mu.nii.gz",))
    return ReconstructionJob(scan, settings=replace(SMALL, iterations=6), penalty=guided)


def kernel(folder: Path) -> jobs.Job:
    scan = scanned(folder, acquisition=PET)
    hybrid = KernelSettings((scan / "mu.nii.gz",), kernel_pet_width=1.0)
    return ReconstructionJob(scan, settings=SMALL, kernel=hybrid)


def tof(folder: Path) -> jobs.Job:
    return ReconstructionJob(scanned(folder, acquisition=TIMED), settings=HOW)


def events(folder: Path) -> jobs.Job:
    scan = scanned(folder, acquisition=TIMED, petsird=True, seconds=10.0)
    return ReconstructionJob(scan, settings=SMALL)


def frames(folder: Path) -> jobs.Job:
    return replace(events(folder), listmode=ListmodeSettings(frames="2:4,6:4"))


def spect(folder: Path) -> jobs.Job:
    like = Acquisition(views=24, bins=24, counts=3e4, seed=6)
    scan = scanned(folder, acquisition=like, dicom=True, camera=CAMERA)
    collimated = replace(HOW, collimator="Siemens Symbia LEHR", psf_fwhm_mm=())
    return ReconstructionJob(scan, settings=collimated)


def tissue(folder: Path) -> jobs.Job:
    io.write_image(case()[0], folder / "t1.nii.gz")
    settings = TissueSettings(starts=1, mixed=1, iterations=3, beta="auto")
    return SegmentationJob((folder / "t1.nii.gz",), settings=settings)


def by_command(job: jobs.Job, folder: Path) -> None:
    _, *words = shlex.split(as_command(job))
    with pytest.raises(SystemExit) as left:
        main(words)
    assert not left.value.code


def by_python(job: jobs.Job, folder: Path) -> None:
    exec(compile(as_python(job), "copied", "exec"), {})  # noqa: S102 - what is tested


def by_job_file(job: jobs.Job, folder: Path) -> None:
    first, *rest = fields(job)
    source = getattr(job, first.name)
    source = source[0] if isinstance(source, tuple) else source
    settings = forms.as_toml(*(v for i in rest if is_dataclass(v := getattr(job, i.name))))
    entry = f'kind = "{job.KIND}"\ninput = "{source}"\noutput = "{job.out}"\n'
    (folder / "jobs.toml").write_text(f"[[scan]]\n{entry}{settings}")
    (one,), _ = read_jobs(folder / "jobs.toml")
    perform(one, jobs.no_meters, resume=False)


def by_panel(job: jobs.Job, folder: Path) -> None:
    pytest.importorskip("napari", reason="napari is not installed")
    from napari_plugin.recon_job import ReconJob
    from napari_plugin.session import Session
    from napari_plugin.tissue_job import TissueJob

    plain = replace(job, out=None)
    session = Session(10**8)
    session.start(TissueJob(plain) if job.KIND == "segment" else ReconJob(plain))
    assert session.join(300)
    assert session.phase == "done", session.error
    session.result.write(job.out)


FACES = {"panel": by_panel, "python": by_python, "command": by_command, "job file": by_job_file}


@pytest.mark.slow
@pytest.mark.parametrize("make", [pet, prior, kernel, tof, events, frames, spect, tissue])
def test_every_face_makes_the_same_bits(make: Make, tmp_path: Path) -> None:
    if make in {events, frames}:
        pytest.importorskip("petsird", reason="petsird is not installed")
    job = make(tmp_path)
    ending = "" if job.KIND == "segment" else ".nii.gz"
    images = {}
    for face, do in FACES.items():
        folder = tmp_path / face
        folder.mkdir()
        out = folder / f"result{ending}"
        do(replace(job, out=out), folder)
        images[face] = {
            path.name: nib.load(path)
            for path in sorted((out if out.is_dir() else folder).glob("*.nii.gz"))
        }
    wanted = images.pop("panel")
    assert wanted
    for face, made in images.items():
        assert made.keys() == wanted.keys(), face
        for name, image in wanted.items():
            np.testing.assert_array_equal(made[name].dataobj, image.dataobj, f"{face} {name}")
            np.testing.assert_array_equal(made[name].affine, image.affine)
