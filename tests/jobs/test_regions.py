"""The table of regions: means, standard errors, resolution; from every face and kind of data."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emrecon import io, jobs
from emrecon.errors import DataError, EmreconError
from emrecon.jobs.as_code import as_command
from emrecon.jobs.base import Execution, nobody
from emrecon.jobs.recon import ReconstructionJob
from emrecon.jobs.simulate import SimulationJob
from emrecon.stop import after
from emrecon.tomo.kernel_settings import KernelSettings
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.region_settings import RegionSettings
from emrecon.tomo.settings import Settings
from emrecon.volume import Volume
from phantoms.acquisition import Acquisition
from tests.jobs.scans import LIKE, simulated

FEW = Settings(subsets=4, iterations=3, post_fwhm_mm=(6.0,))


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    folder = tmp_path_factory.mktemp("regions") / "scan"
    jobs.run(SimulationJob("flip-finder", folder, Acquisition(scanner="tiny", span=3, counts=1e5)))
    return folder


def read(path):
    with path.open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_the_table_is_one_of_the_files_and_says_where_its_errors_come_from(scan, tmp_path, caplog):
    chosen = RegionSettings(scan / "labels.nii.gz", draws=4)
    job = ReconstructionJob(scan, tmp_path / "image.nii.gz", FEW, regions=chosen)
    _, files = jobs.run(job)
    assert tmp_path / "image.regions.tsv" in files == job.outputs()
    rows = read(tmp_path / "image.regions.tsv")
    marks = io.read_image(scan / "labels.nii.gz").voxels
    assert [row["label"] for row in rows] == [str(n) for n in np.unique(marks)[1:].astype(int)]
    assert list(rows[0]) == [
        "label", "name", "mean", "sd", "standard_error", "fwhm_mm", "volume_ml", "unit",
    ]  # fmt: skip
    names = json.loads((scan / "labels.json").read_text())["LabelMap"]
    assert rows[0]["name"] == names[rows[0]["label"]]
    for row in rows:
        assert row["unit"] == "counts/mm"
        assert float(row["standard_error"]) > 0
        assert 5.0 < float(row["fwhm_mm"]) < 25  # about the filter and more: voxels are of 4 mm
    about = json.loads((tmp_path / "image.json").read_text())
    assert about["Regions"]["uncertainty"] == "bootstrap"
    assert about["Regions"]["draws"] == 4
    assert {"regions", "region names"} <= set(about["Inputs"])
    assert "--regions" in as_command(job)
    assert "--draws 4" in as_command(job)
    assert "earlier run" not in caplog.text
    jobs.run(replace(job, regions=RegionSettings()))
    assert "image.regions.tsv is of an earlier run" in caplog.text


@pytest.mark.slow
def test_the_same_seed_gives_the_same_errors_and_none_gives_none(scan):
    def errors(**choice):
        chosen = RegionSettings(scan / "labels.nii.gz", draws=2, **choice)
        result = ReconstructionJob(scan, None, FEW, regions=chosen).begin().iterate()
        return [row.standard_error for row in result.images[0].regions.rows]

    assert errors() == errors(uncertainty="bootstrap")
    assert errors() != errors(draw_seed=2)
    assert np.isnan(errors(uncertainty="none")).all()


@pytest.mark.slow
def test_a_converged_prior_has_its_errors_by_curvature(scan, caplog):
    chosen = RegionSettings(scan / "labels.nii.gz")
    penalty = Penalty("rdp", until_converged=True)
    job = ReconstructionJob(scan, None, Settings(subsets=4), penalty=penalty, regions=chosen)
    table = job.begin().iterate().images[0].regions
    assert table.facts["uncertainty"] == "curvature"
    for row in table.rows:
        assert 0 < row.fwhm_mm < 30
        assert 0.002 < row.standard_error / row.mean < 2
    assert "maximum" not in caplog.text


@pytest.mark.slow
def test_a_run_that_is_far_from_the_maximum_says_so(scan, caplog):
    chosen = RegionSettings(scan / "labels.nii.gz", "curvature")
    bsrem = Penalty("rdp", algorithm="bsrem")  # which does not know where it is
    settings = Settings(subsets=4, iterations=5)
    ReconstructionJob(scan, None, settings, penalty=bsrem, regions=chosen).begin().iterate()
    assert "standard errors are those of the maximum" in caplog.text


def test_a_stopped_run_has_means_alone(scan):
    chosen = RegionSettings(scan / "labels.nii.gz", draws=2)
    result = ReconstructionJob(scan, None, FEW, regions=chosen).begin().iterate(nobody, after(3))
    rows = result.images[0].regions.rows
    assert all(row.mean > 0 and np.isnan(row.standard_error) for row in rows)


@pytest.mark.slow
def test_kernels_have_resolution_and_errors_too(scan):
    chosen = RegionSettings(scan / "labels.nii.gz", draws=6)
    kernel = KernelSettings((scan / "mu.nii.gz",))
    settings = replace(FEW, post_fwhm_mm=())
    tables = [
        ReconstructionJob(scan, None, settings, kernel=one, regions=chosen).begin().iterate()
        .images[0].regions.rows
        for one in (KernelSettings(), kernel)
    ]  # fmt: skip
    plain, guided = (np.array([[r.standard_error, r.fwhm_mm] for r in rows]) for rows in tables)
    assert np.median(guided[:, 0] / plain[:, 0]) < 1
    assert np.median(guided[:, 1] / plain[:, 1]) > 1


def test_labels_that_hold_nothing_are_refused(scan, tmp_path):
    volume = io.read_image(scan / "labels.nii.gz")
    io.write_image(Volume(0 * volume.voxels, volume.affine), tmp_path / "none.nii.gz")
    chosen = RegionSettings(tmp_path / "none.nii.gz")
    with pytest.raises(DataError, match="0 everywhere"):
        ReconstructionJob(scan, None, FEW, regions=chosen).begin().iterate()


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"draws": 5}, "draws says nothing without regions"),
        ({"regions": Path("x.nii")}, r"there is no x\.nii"),
        ({"regions": "labels", "uncertainty": "curvature"}, "prior's maximum"),
    ],
)
def test_what_makes_no_sense_is_refused(scan, choice, words):
    if choice.get("regions") == "labels":
        choice = choice | {"regions": scan / "labels.nii.gz"}
    with pytest.raises(EmreconError, match=words):
        ReconstructionJob(scan, None, FEW, regions=RegionSettings(**choice)).begin()


@pytest.mark.slow
@pytest.mark.parametrize("data", LIKE)
def test_data_of_every_kind_are_drawn_again(tmp_path, data):
    simulated(tmp_path / "scan", data)
    settings = Settings(subsets=2, iterations=2)
    plain = ReconstructionJob(tmp_path / "scan", None, settings).begin().iterate()
    inside = plain.volume.voxels > 0.3 * plain.volume.voxels.max()
    whole = Volume(inside.astype(np.float32), plain.volume.affine)
    io.write_image(whole, tmp_path / "labels.nii.gz")
    chosen = RegionSettings(tmp_path / "labels.nii.gz", draws=6)
    result = ReconstructionJob(tmp_path / "scan", None, settings, regions=chosen)
    run = result.begin().iterate()
    assert np.array_equal(run.volume.voxels, plain.volume.voxels)
    (row,) = run.images[0].regions.rows
    # No region is known much better than all counts are, nor one of a mL as ill as this.
    known = 1 / np.sqrt(run.images[0].facts["prompts"])
    assert known / 2 < row.standard_error / row.mean < 30 * known
    assert row.fwhm_mm > 0


@pytest.mark.slow
def test_data_on_workers_are_drawn_again(scan):
    chosen = RegionSettings(scan / "labels.nii.gz", draws=6)
    job = ReconstructionJob(scan, None, replace(FEW, threads=1), regions=chosen)
    execution = Execution(workers="2", chunks=2)
    one, two = (job.begin(execution=e).iterate().images[0].regions for e in (None, execution))
    for a, b in zip(one.rows, two.rows, strict=True):
        assert b.standard_error == pytest.approx(a.standard_error, rel=1e-3)
    again = job.begin(execution=Execution(workers="1", chunks=2)).iterate().images[0].regions
    assert again.rows == two.rows  # whatever the workers; and once more in one process
