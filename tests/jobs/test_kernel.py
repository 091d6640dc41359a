"""Kernel EM through the job: every kind of data, resuming, the sidecar, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from emrecon import io, jobs
from emrecon.errors import DataError, EmreconError, GeometryError
from emrecon.jobs.as_code import as_command
from emrecon.jobs.base import Execution, nobody
from emrecon.jobs.recon import ReconstructionJob
from emrecon.jobs.simulate import SimulationJob
from emrecon.stop import after
from emrecon.tomo.kernel_settings import KernelSettings
from emrecon.tomo.settings import Settings
from emrecon.volume import Volume
from phantoms.acquisition import Acquisition
from tests.jobs.scans import LIKE, roughness, simulated

FEW = Settings(subsets=4, iterations=3)


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernel") / "scan"
    made = Acquisition(scanner="tiny", span=3, counts=1e5)
    jobs.run(SimulationJob("flip-finder", folder, made))
    return folder


@pytest.mark.parametrize("choice", [{}, {"kernel_pet_width": 2.0, "kernel_fwhm_mm": 12.0}])
def test_the_image_is_smooth_where_the_other_is_and_all_say_so(scan, tmp_path, choice):
    out = tmp_path / "image.nii.gz"
    plain = ReconstructionJob(scan, None, FEW).begin().iterate()
    job = ReconstructionJob(scan, out, FEW, kernel=KernelSettings((scan / "mu.nii.gz",), **choice))
    result, _ = jobs.run(job)
    assert roughness(result.volume.voxels) < 0.7 * roughness(plain.volume.voxels)
    assert result.images[0].facts["expected_over_prompts"] == pytest.approx(1, abs=0.05)
    about = json.loads((tmp_path / "image.json").read_text())
    assert about["ReconMethodName"] == "kernel OSEM"
    assert about["Settings"]["kernel"] == [str(scan / "mu.nii.gz")]
    assert {"kernel", "prompts"} <= set(about["Inputs"])
    assert "--kernel" in as_command(job)
    assert job.begin().images.names == ("kernel OSEM",)


def test_a_stopped_run_goes_on_to_the_same_bits(scan, tmp_path):
    chosen = KernelSettings((scan / "mu.nii.gz",))
    settings = Settings(subsets=4, iterations=3, checkpoint_every=5)
    whole = ReconstructionJob(scan, None, settings, kernel=chosen).begin().iterate()
    job = ReconstructionJob(scan, tmp_path / "image.nii.gz", settings, kernel=chosen)
    job.begin().iterate(nobody, after(7))
    again = job.begin(execution=Execution(resume=True)).iterate()
    assert again.images[0].facts["resumed_at_update"] == 5
    assert np.array_equal(again.volume.voxels, whole.volume.voxels)


@pytest.mark.slow
@pytest.mark.parametrize("data", LIKE)
def test_data_of_every_kind_take_a_kernel(tmp_path, data):
    """MLEM through it never falls, and the image is smoother than without."""
    simulated(tmp_path / "scan", data)
    settings = Settings(subsets=1, iterations=8)
    plain = ReconstructionJob(tmp_path / "scan", None, settings).begin().iterate()
    other = tmp_path / "other.nii.gz"  # it lies where the image does, a camera's origin included
    flat = (plain.volume.voxels > 0.3 * plain.volume.voxels.max()).astype(np.float32)
    io.write_image(Volume(1 + flat, plain.volume.affine), other)
    chosen = KernelSettings((other,), kernel_window=3)
    result = ReconstructionJob(tmp_path / "scan", None, settings, kernel=chosen).begin().iterate()
    values = [row.objective for row in result.history.rows]
    assert (np.diff(values) > -1e-6 * abs(values[0])).all()
    assert roughness(result.volume.voxels) < 0.9 * roughness(plain.volume.voxels)


@pytest.mark.slow
def test_two_workers_give_the_image_of_one(scan):
    chosen = KernelSettings((scan / "mu.nii.gz",))
    results = [
        ReconstructionJob(scan, None, FEW, kernel=chosen).begin(execution=execution).iterate()
        for execution in (None, Execution(workers="2", chunks=2))
    ]
    one, two = (result.volume.voxels for result in results)
    assert np.abs(one - two).max() < 1e-3 * one.max()


def test_images_beside_the_grid_or_without_content_are_refused(scan, tmp_path):
    volume = io.read_image(scan / "mu.nii.gz")
    affine = volume.affine.copy()
    affine[0, 3] += 1000
    io.write_image(Volume(volume.voxels, affine), tmp_path / "aside.nii.gz")
    io.write_image(Volume(0 * volume.voxels, volume.affine), tmp_path / "empty.nii.gz")
    for name, error, words in (
        ("aside", GeometryError, r"aside.nii.gz lies wholly beside"),
        ("empty", DataError, r"empty.nii.gz: 0 everywhere"),
    ):
        chosen = KernelSettings((tmp_path / f"{name}.nii.gz",))
        with pytest.raises(error, match=words):
            ReconstructionJob(scan, None, FEW, kernel=chosen).begin().iterate()


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"kernel_width": 2.0}, "kernel_width says nothing without kernel"),
        ({"kernel": (Path("x.nii"),)}, r"there is no x\.nii"),
    ],
)
def test_what_makes_no_sense_is_refused(scan, choice, words):
    with pytest.raises(EmreconError, match=words):
        ReconstructionJob(scan, None, FEW, kernel=KernelSettings(**choice)).begin()


def test_a_kernel_and_a_prior_exclude_each_other(scan):
    from emrecon.tomo.penalty import Penalty

    chosen = KernelSettings((scan / "mu.nii.gz",))
    with pytest.raises(EmreconError, match="give prior or kernel, not both"):
        ReconstructionJob(scan, None, FEW, penalty=Penalty("rdp"), kernel=chosen).begin()


def test_the_estimate_has_room_for_the_matrix(scan):
    with_kernel = ReconstructionJob(scan, None, FEW, kernel=KernelSettings((scan / "mu.nii.gz",)))
    plain = ReconstructionJob(scan, None, FEW)
    entries = 50 * np.count_nonzero(io.read_image(scan / "mu.nii.gz").voxels)
    more = with_kernel.estimate().memory_mb - plain.estimate().memory_mb
    assert more > 32 * entries / 2**20
