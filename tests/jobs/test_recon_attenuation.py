"""Attenuation that a reconstruction estimates: used, told and written, or refused in a line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from emrecon import jobs
from emrecon.errors import EmreconError, SettingsError
from emrecon.io.manifest import write_manifest
from emrecon.jobs.base import Execution
from emrecon.jobs.recon import ReconstructionJob
from emrecon.jobs.simulate import SimulationJob
from emrecon.tomo.inputs import Corrections
from emrecon.tomo.settings import Settings
from phantoms.acquisition import Acquisition

HOW = Settings(iterations=4, subsets=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan with time of flight, and a map of it that is known in the middle alone."""
    out = tmp_path_factory.mktemp("mlaa") / "scan"
    like = Acquisition(scanner="tiny", span=3, counts=4e5, spread=0.0, tof_fwhm_ps=80)
    jobs.run(SimulationJob("cylinder", out, like))
    whole, image = (nib.load(out / name) for name in ("mu.nii.gz", "truth.nii.gz"))
    part = np.zeros(image.shape, np.float32)
    x, y = (size // 2 for size in image.shape[:2])
    part[x - 4 : x + 4, y - 4 : y + 4] = np.median(whole.get_fdata(), axis=(0, 1))
    nib.save(nib.Nifti1Image(part, image.affine), out / "part.nii.gz")
    return out


@pytest.fixture
def job(folder: Path, tmp_path: Path) -> ReconstructionJob:
    how = Corrections(mu=(folder / "part.nii.gz",), mu_unit="1/mm", mlaa=True, mlaa_passes=2)
    return ReconstructionJob(folder, tmp_path / "image.nii.gz", HOW, how)


def test_it_is_used_told_and_written(job: ReconstructionJob, folder: Path) -> None:
    """Beside randoms and scatter that are given, it makes the image of the true factors."""
    _, written = jobs.run(job)
    names = [path.name for path in written]
    assert names == ["image.nii.gz", "image.mu.nii.gz", "image.json", "image.csv", "image.png"]
    about = json.loads(written[2].read_text())
    assert "MLAA" in about["AttenuationCorrection"]
    facts = about["Facts"]["attenuation_estimate"]
    assert facts["passes"] == 10
    assert len(facts["log_scales"]) == 4
    assert facts["known_ml"] > 0
    made = nib.load(written[1]).get_fdata()
    part = nib.load(folder / "part.nii.gz").get_fdata()
    assert np.count_nonzero(made > 0.005) > 2 * np.count_nonzero(part)
    found = nib.load(written[0]).get_fdata()
    right, wrong = (
        replace(job, scan=scan, corrections=how).begin().iterate().volume.voxels
        for scan, how in ((folder, Corrections()), (folder / "prompts.hs", given(folder)))
    )
    middle = part > 0
    assert found[middle].mean() == pytest.approx(right[middle].mean(), rel=0.05)
    assert wrong[middle].mean() < 0.6 * right[middle].mean()


def given(folder: Path) -> Corrections:
    """Return the corrections of the scan, less that of attenuation."""
    return Corrections(randoms=folder / "randoms.hs", scatter=folder / "scatter.hs")


def test_a_run_without_it_says_so(job: ReconstructionJob, folder: Path) -> None:
    prompts = folder / "prompts.hs"
    made, _ = jobs.run(replace(job, scan=prompts, corrections=Corrections()))
    assert made.summary().lines[-1].endswith("not corrected for attenuation")
    holding = Corrections(normalisation=folder / "attenuation.hs")
    made, _ = jobs.run(replace(job, scan=prompts, corrections=holding))
    assert "unless the normalisation holds it" in made.summary().lines[-1]
    made, _ = jobs.run(replace(job, corrections=Corrections()))
    assert "attenuation" not in made.summary().lines[-1]


def test_what_cannot_be_is_refused(job: ReconstructionJob, folder: Path) -> None:
    how = job.corrections
    for changed, why in (
        (replace(how, mu=(), mu_unit=""), "scale of attenuation open: give mlaa a map"),
        (replace(how, sum_tof=True), "without time of flight"),
        (replace(how, mu=(), mu_unit="", attenuation=folder / "attenuation.hs"), "not both"),
        (replace(how, simulate_scatter=True), "--mlaa or --simulate-scatter, not both"),
        (replace(how, mlaa=False), "mlaa_passes says nothing without mlaa"),
    ):
        with pytest.raises(SettingsError, match=why):
            replace(job, corrections=changed).begin().iterate()
    with pytest.raises(SettingsError, match="does not run on --workers"):
        job.begin(execution=Execution(workers="2"))
    with pytest.raises(SettingsError, match="mlaa_passes is 1 or more"):
        Corrections(mlaa=True, mlaa_passes=0)
    assert not job.out.exists()


def test_it_is_no_part_of_a_scan(job: ReconstructionJob, tmp_path: Path) -> None:
    write_manifest(tmp_path / "scan.toml", "prompts.hs", mlaa="true")
    with pytest.raises(EmreconError, match="unknown key 'mlaa'"):
        replace(job, scan=tmp_path).begin()
