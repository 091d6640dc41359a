"""A prior through the job: every kind of data, resuming, the sidecar, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emrecon import forms, io, jobs
from emrecon.errors import DataError, EmreconError, GeometryError, SettingsError
from emrecon.jobs.as_code import as_command
from emrecon.jobs.base import Execution, nobody
from emrecon.jobs.recon import ReconstructionJob
from emrecon.jobs.simulate import SimulationJob
from emrecon.stop import after
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.settings import Settings
from emrecon.volume import Volume
from phantoms.acquisition import Acquisition
from tests.jobs.scans import LIKE, roughness, simulated

RDP = Penalty(prior="rdp")
FEW = Settings(subsets=4, iterations=6)


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    folder = tmp_path_factory.mktemp("penalty") / "scan"
    made = Acquisition(scanner="tiny", span=3, counts=1e5)
    jobs.run(SimulationJob("flip-finder", folder, made))
    return folder


def test_a_stronger_prior_makes_a_smoother_image_and_all_say_so(scan, tmp_path):
    out = tmp_path / "image.nii.gz"
    rough = []
    for beta in (1e-6, "auto", 3.0):
        job = ReconstructionJob(scan, out, FEW, penalty=replace(RDP, beta=beta))
        result, _ = jobs.run(job)
        rough.append(roughness(result.volume.voxels))
    assert rough[0] > rough[1] > rough[2]
    assert rough[0] > 1.2 * rough[2]
    about = json.loads((tmp_path / "image.json").read_text())
    assert about["ReconMethodName"] == "rdp by svrg"
    assert about["Settings"]["beta"] == about["Facts"]["prior"]["beta"] == 3.0
    assert about["Facts"]["residual_percent"] > 0
    last = about["Convergence"][-1]
    assert last["penalty"] > 0
    assert "penalty,residual_percent" in (tmp_path / "image.csv").read_text().splitlines()[0]
    assert "--prior rdp --beta 3" in as_command(job)


def test_a_prior_counts_with_the_subsets_that_there_are(scan):
    """STIR's subsets are fewer than those that are wanted: so are the updates."""
    stir = Settings(iterations=4, subsets=4, projector="siddon", voxel_mm=(4.0, 4.0, 2.0))
    with pytest.raises(SettingsError, match="updates are without the prior"):
        ReconstructionJob(scan, None, stir, penalty=RDP).begin().iterate()


def test_a_tolerance_is_of_the_objective_with_the_prior(scan):
    """It was flat enough without it, so that the prior never counted."""
    settings = replace(FEW, iterations=20, tolerance=0.5)
    run = ReconstructionJob(scan, None, settings, penalty=RDP).begin().iterate()
    assert run.images[0].reached.number == 12 + 4
    assert run._about()["ReconMethodParameterValues"] == [4, 4]  # of 20 iterations


def test_the_objective_of_de_pierro_never_falls_once_the_prior_counts(scan):
    chosen = replace(RDP, algorithm="de-pierro", uniform=True)
    result = ReconstructionJob(scan, None, replace(FEW, iterations=25), penalty=chosen)
    rows = result.begin().iterate().history.rows
    values = [row.objective for row in rows[12:]]
    assert len(values) == 14
    assert (np.diff(values) > -1e-6 * abs(values[0])).all()


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["svrg", "lbfgs"])
def test_a_stopped_run_goes_on_to_the_same_bits(scan, tmp_path, algorithm):
    chosen = replace(RDP, algorithm=algorithm)
    settings = Settings(subsets=4, iterations=8 if algorithm == "svrg" else 30)
    settings = replace(settings, checkpoint_every=5)
    whole = ReconstructionJob(scan, None, settings, penalty=chosen).begin().iterate()
    job = ReconstructionJob(scan, tmp_path / "image.nii.gz", settings, penalty=chosen)
    job.begin().iterate(nobody, after(27 if algorithm == "svrg" else 28))
    again = job.begin(execution=Execution(resume=True)).iterate()
    assert again.images[0].facts["resumed_at_update"] == (24 if algorithm == "svrg" else 25)
    assert np.array_equal(again.volume.voxels, whole.volume.voxels)
    assert len(again.history.rows) == len(whole.history.rows)


@pytest.mark.slow
def test_a_run_ends_once_it_has_converged_or_says_that_it_has_not(scan, monkeypatch, caplog):
    chosen = replace(RDP, until_converged=True)
    job = ReconstructionJob(scan, None, FEW, penalty=chosen)
    result = job.begin().iterate()
    assert not result.stopped
    assert result.images[0].facts["residual_percent"] <= 0.1
    assert len(result.history.rows) > 6 * 4
    monkeypatch.setattr("emrecon.tomo.problem.MOST_PASSES", 4)
    job.begin().iterate()
    assert "not converged" in caplog.text


def test_an_anatomy_guides_in_world_space(scan, tmp_path, caplog):
    """Edges of the attenuation map are kept better with it than without."""
    mu = scan / "mu.nii.gz"
    plain = ReconstructionJob(scan, None, FEW, penalty=RDP).begin().iterate()
    for prior in ("rdp", "pls"):
        chosen = Penalty(prior=prior, anatomy=(mu,))
        guided = ReconstructionJob(scan, None, FEW, penalty=chosen).begin().iterate()
        assert not np.array_equal(guided.volume.voxels, plain.volume.voxels)
    assert "the anatomy is 0 in" not in caplog.text
    volume = io.read_image(mu)
    affine = volume.affine.copy()
    affine[0, 3] += 45
    io.write_image(Volume(volume.voxels, affine), tmp_path / "beside.nii.gz")
    beside = Penalty(prior="rdp", anatomy=(tmp_path / "beside.nii.gz",))
    ReconstructionJob(scan, None, FEW, penalty=beside).begin().iterate()
    assert "the anatomy is 0 in" in caplog.text
    affine[0, 3] += 955
    io.write_image(Volume(volume.voxels, affine), tmp_path / "aside.nii.gz")
    aside = Penalty(prior="rdp", anatomy=(tmp_path / "aside.nii.gz",))
    with pytest.raises(GeometryError, match=r"aside.nii.gz lies wholly beside"):
        ReconstructionJob(scan, None, FEW, penalty=aside).begin().iterate()
    io.write_image(Volume(-volume.voxels, volume.affine), tmp_path / "below.nii.gz")
    below = replace(RDP, kappa=tmp_path / "below.nii.gz")
    with pytest.raises(DataError, match="kappa is 0 or more"):
        ReconstructionJob(scan, None, FEW, penalty=below).begin().iterate()


@pytest.mark.slow
@pytest.mark.parametrize("data", LIKE)
def test_data_of_every_kind_take_a_prior(tmp_path, data):
    """De Pierro never falls, and the image is smoother than that of as many updates of MLEM."""
    simulated(tmp_path / "scan", data)
    settings = Settings(subsets=1, iterations=18)
    chosen = Penalty(prior="rdp", algorithm="de-pierro")
    plain = ReconstructionJob(tmp_path / "scan", None, settings).begin().iterate()
    result = ReconstructionJob(tmp_path / "scan", None, settings, penalty=chosen).begin().iterate()
    values = [row.objective for row in result.history.rows[12:]]
    assert len(values) >= 6
    assert (np.diff(values) > -1e-6 * abs(values[0])).all()
    assert values[-1] > values[0]
    assert result.images[0].facts["prior"]["beta"] > 0
    assert roughness(result.volume.voxels) < 0.95 * roughness(plain.volume.voxels)


@pytest.mark.slow
def test_two_workers_give_the_image_of_one(scan):
    results = [
        ReconstructionJob(scan, None, FEW, penalty=RDP).begin(execution=execution).iterate()
        for execution in (None, Execution(workers="2", chunks=2))
    ]
    one, two = (result.volume.voxels for result in results)
    assert np.abs(one - two).max() < 1e-3 * one.max()


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"beta": 1.0}, "beta says nothing without prior"),
        ({"until_converged": True}, "until_converged says nothing without prior"),
        ({"prior": "quadratic", "gamma": 1.0}, "gamma says nothing without prior rdp"),
        ({"prior": "rdp", "similar": 3}, "similar says nothing without anatomy"),
        ({"prior": "rdpp"}, "prior is one of quadratic, rdp"),
        ({"prior": "rdp", "beta": -1.0}, "beta is above 0"),
        ({"prior": "pls"}, "one anatomy"),
        ({"prior": "tv", "anatomy": (Path("x.nii"),)}, "follows no anatomy"),
        ({"prior": "rdp", "uniform": True, "kappa": Path("x.nii")}, "kappa, or uniform"),
        ({"prior": "rdp", "kappa": Path("x.nii")}, r"there is no x\.nii"),
    ],
)
def test_what_makes_no_sense_is_refused(scan, choice, words):
    with pytest.raises(EmreconError, match=words):
        ReconstructionJob(scan, None, FEW, penalty=Penalty(**choice)).begin()


def test_a_job_file_takes_numbers_and_auto():
    chosen = forms.filled(Penalty, {"prior": "rdp", "beta": 0.01, "epsilon": "auto"})
    assert chosen == Penalty(prior="rdp", beta=0.01)
    assert forms.filled(Penalty, {"prior": "rdp", "kappa": "auto"}) == RDP
    with pytest.raises(SettingsError, match="beta"):
        forms.filled(Penalty, {"beta": "much"})
