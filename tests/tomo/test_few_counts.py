"""Few counts: images stay finite, and counts that an image lost are told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emrecon import jobs
from emrecon.em import last, until
from emrecon.errors import DataError, SettingsError
from emrecon.jobs.recon import reconstruct
from emrecon.jobs.recon_result import ReconResult
from emrecon.jobs.simulate import SimulationJob
from emrecon.tomo.algorithms.mlem import Mlem
from emrecon.tomo.emission import Emission
from emrecon.tomo.geometry.events import Events
from emrecon.tomo.kernels import poisson
from emrecon.tomo.listmode_emission import _compare
from emrecon.tomo.listmode_settings import ListmodeSettings
from emrecon.tomo.penalised import Penalised
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.prepare import prepare, recon
from emrecon.tomo.settings import Settings
from phantoms.acquisition import Acquisition
from phantoms.cylinder import uniform_cylinder
from phantoms.simulate import simulate
from phantoms.spect_acquisition import CameraAcquisition
from tests.tomo.makers import dense
from tests.tomo.test_recon import SMALL

DENORMAL = np.float32(1e-42)
TINY = Acquisition(
    scanner="tiny", bins=21, counts=300.0, randoms_fraction=0.0, scatter_fraction=0.0, seed=4
)
TIMED = replace(TINY, tof_fwhm_ps=200.0, tof_width_ps=100.0, tof_bins=9)
CAMERA = CameraAcquisition(planes=12, bin_mm=9.0, plane_mm=9.0)


def scan(counts: float, seed: int = 0):
    """Draw a scan of a cylinder with few counts and nothing else."""
    rng = np.random.default_rng(seed)
    return simulate(uniform_cylinder(40.0, 30.0), SMALL.bins(span=3), counts=counts, rng=rng).scan


def test_the_ratio_of_a_bin_whose_mean_underflows_is_bounded() -> None:
    counts = np.array([[[3.0, 0.0, 2.0]]], np.float32)
    projection = np.array([[[DENORMAL, DENORMAL, 4.0]]], np.float32)
    none = np.empty((0, 0), np.float32), np.empty((0, 0, 0), np.float32)
    gained = poisson.compare(counts, *none, np.arange(1), projection)
    assert projection.ravel() == pytest.approx([poisson.MOST, 0, 0.5])
    assert np.isfinite(gained).all()


def test_the_ratio_of_an_event_whose_mean_underflows_is_bounded() -> None:
    events = Events(np.zeros((2, 3), np.float32), np.zeros((3, 2), np.uint16))
    ratio, gained = _compare(np.array([DENORMAL, 0, 4], np.float32), events, np.float32(1))
    assert ratio == pytest.approx([poisson.MOST, 0, 0.25])
    assert np.isfinite(gained)


def test_an_update_of_vanishing_voxels_or_sensitivity_is_finite() -> None:
    system = dense(0)
    counts = np.full((system.range[0], *system.range[1:]), 5, np.float32)
    image = np.full(system.domain, DENORMAL, np.float32)
    image.flat[::2] = 0
    for factor in (1.0, 1e-37):
        likelihood = Emission(system, counts, np.full(counts.shape, factor, np.float32))
        model = Mlem(likelihood)
        updated = model.maximise(image, model.expect(image)[0])
        assert np.isfinite(updated).all()
        assert not updated.flat[::2].any()


@pytest.mark.slow
@pytest.mark.parametrize("counts", [120, 600, 3000])
@pytest.mark.parametrize("subsets", [12, 24])
def test_osem_keeps_any_number_of_counts(counts: int, subsets: int) -> None:
    for seed in range(3):
        few, settings = scan(counts, seed), Settings(iterations=5, subsets=subsets)
        image = recon(few, settings)
        assert prepare(few, settings).balance(image.voxels) == pytest.approx(1, abs=0.2)


def test_what_an_image_lost_is_told(caplog: pytest.LogCaptureFixture) -> None:
    problem = prepare(scan(250), Settings(subsets=12))
    assert problem.balance(problem.start) == pytest.approx(1, rel=1e-5)
    assert not caplog.messages
    assert problem.balance(problem.start * np.float32(0.6)) == pytest.approx(0.6, rel=1e-5)
    assert "make up 60 % of the" in caplog.text
    assert "fewer than 12 subsets" in caplog.text
    for scale in (0.4, 1.6, np.nan):
        with pytest.raises(DataError, match=f"make up {100 * scale:.3g} % of the"):
            problem.balance(problem.start * np.float32(scale))


def test_few_counts_in_memory_are_one_subset(caplog: pytest.LogCaptureFixture) -> None:
    """Subsets of so few counts would lose two thirds of them."""
    whole = recon(scan(250), Settings(iterations=48, subsets=1))
    recon(scan(2e5), Settings(subsets=12))
    assert not caplog.messages
    parted = recon(scan(250), Settings(iterations=2, subsets=24))
    assert "all are one subset, in 48 iterations" in caplog.text
    assert parted.voxels == pytest.approx(whole.voxels, abs=1e-3 * float(whole.voxels.max()))


@pytest.mark.parametrize(("algorithm", "counts"), [("svrg", 5), ("bsrem", 250)])
def test_a_prior_takes_few_counts_as_one_subset(
    algorithm: str, counts: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Subsets would leave nothing to take its strength from, or an image without bounds."""
    penalty = Penalty(prior="quadratic", algorithm=algorithm)
    problem = prepare(scan(counts, 3), penalty.fitted(Settings(subsets=12, iterations=1)))
    few = replace(problem.whole_if_few(13), penalised=Penalised(penalty))
    assert few.settings.subsets == len(few.models) == 1
    assert few.settings.iterations == 13
    assert "12 subsets make" in caplog.text
    image = last(until(few.iterates(), *few.enough())).params
    assert few.balance(image) == pytest.approx(1, abs=0.15)
    assert few.penalised
    assert 0 < few.penalised.facts["beta"] < np.inf


def test_counts_that_are_enough_stay_in_subsets(caplog: pytest.LogCaptureFixture) -> None:
    problem = prepare(scan(2e5), Settings(subsets=12))
    assert problem.balanced() is problem
    assert not caplog.messages


CYLINDER = SimulationJob("cylinder", acquisition=TINY)
LISTED = replace(CYLINDER, acquisition=TIMED, petsird=True)
TURNED = replace(TINY, scanner=Acquisition.scanner, views=24, bins=24)
KINDS = {
    "pet": (CYLINDER, ""),
    "tof": (replace(CYLINDER, acquisition=TIMED), ""),
    "events": (LISTED, ""),
    "frames": (LISTED, "2:30"),
    "spect": (replace(CYLINDER, acquisition=TURNED, dicom=True, camera=CAMERA), ""),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data_tells_its_balance(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One subset keeps the counts; 12 of 300 prompts would lose many, and are made one."""
    made, frames = KINDS[kind]
    jobs.run(replace(made, out=tmp_path / "scan"))
    out, listmode = tmp_path / "image.nii.gz", ListmodeSettings(frames=frames)
    whole = reconstruct(tmp_path / "scan", out, Settings(subsets=1), listmode=listmode)
    assert balances(whole) == pytest.approx([1] * len(whole.images), abs=0.02)
    assert "expected_over_prompts" in out.with_name("image.json").read_text()
    assert "try fewer than" not in caplog.text
    assert "all are one subset" not in caplog.text
    chosen = Settings(subsets=12, iterations=1)
    parted = reconstruct(tmp_path / "scan", settings=chosen, listmode=listmode)
    assert balances(parted) == pytest.approx([1] * len(parted.images), abs=0.02)
    assert [image.settings.iterations for image in parted.images] == [12] * len(parted.images)
    assert "all are one subset, in 12 iterations" in caplog.text


def balances(result: ReconResult) -> list[float]:
    """Return the share of the prompts that each image of a result explains."""
    return [image.facts["expected_over_prompts"] for image in result.images]


def test_an_image_that_tells_nothing_is_not_written(tmp_path: Path) -> None:
    jobs.run(replace(CYLINDER, out=tmp_path / "scan"))
    result = reconstruct(tmp_path / "scan", settings=Settings(subsets=1, iterations=1))
    image = result.images[0]
    for value, says in ((0.0, "0 everywhere"), (np.nan, "not finite"), (np.inf, "not finite")):
        voxels = np.zeros_like(image.volume.voxels)
        voxels[3, 4, 5] = value
        wrong = replace(image, volume=replace(image.volume, voxels=voxels))
        with pytest.raises(DataError, match=says):
            replace(result, images=(image, wrong)).write(tmp_path / "image.nii.gz")
    assert [path.name for path in tmp_path.iterdir()] == ["scan"]


def test_the_sidecar_tells_of_fewer_subsets(tmp_path: Path) -> None:
    jobs.run(replace(CYLINDER, out=tmp_path / "scan"))
    made = reconstruct(
        tmp_path / "scan", tmp_path / "a.nii.gz", Settings(subsets=18), penalty=Penalty("rdp")
    )
    # the prior takes some: 0.74 at the maximum, by L-BFGS-B, too
    assert 0.7 < balances(made)[0] < 1.05
    told = json.loads((tmp_path / "a.json").read_text())
    assert told["Settings"]["subsets"] == 1


def test_a_run_that_ends_before_its_prior_counts_is_refused(tmp_path: Path) -> None:
    jobs.run(replace(CYLINDER, out=tmp_path / "scan"))
    for algorithm, settings in (("lbfgs", Settings()), ("svrg", Settings(iterations=1))):
        with pytest.raises(SettingsError, match="first 12 updates are without the prior"):
            reconstruct(
                tmp_path / "scan", settings=settings, penalty=Penalty("rdp", algorithm=algorithm)
            )
