"""Several strengths of a prior in one run: one 4D image, a table, and all faces."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from emrecon import forms, io, jobs
from emrecon.cli import main
from emrecon.errors import EmreconError, SettingsError
from emrecon.io.pictures import canvas
from emrecon.jobs.as_code import as_command, as_python
from emrecon.jobs.base import Execution
from emrecon.jobs.recon import ReconstructionJob
from emrecon.jobs.simulate import SimulationJob
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.region_settings import RegionSettings
from emrecon.tomo.settings import Settings
from phantoms.acquisition import Acquisition

BETAS = (0.0001, 0.001, 0.01)
HINT = forms.types_of(Penalty)["beta"]


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep") / "scan"
    jobs.run(SimulationJob("flip-finder", folder, Acquisition(scanner="tiny", span=3, counts=1e5)))
    return folder


def read(path):
    with path.open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_one_run_makes_an_image_each_and_a_table(scan, tmp_path, monkeypatch):
    drawn, out = [], tmp_path / "image.nii.gz"
    monkeypatch.setattr(canvas, "write", lambda page, path: (drawn.append(page), path.touch()))
    job = ReconstructionJob(
        scan, out, Settings(subsets=4, iterations=8), penalty=Penalty("rdp", BETAS),
        regions=RegionSettings(scan / "labels.nii.gz", "none"),
    )  # fmt: skip
    result, files = jobs.run(job)
    assert files == job.outputs()
    assert drawn[0].title == "rdp by svrg 8 x 4, beta 0.001, one of 3"
    assert not [note for note in drawn[0].notes if "mean" in note]  # of one strength alone
    image = io.read_image(out)
    assert image.voxels.shape == result.volume.voxels.shape == (3, *image.voxels.shape[1:])
    rows = read(tmp_path / "image.sweep.tsv")
    assert [float(row["beta"]) for row in rows] == list(BETAS)
    noise = [float(row["noise_percent_1"]) for row in rows]
    assert noise[0] > noise[1] > noise[2] > 0
    assert all(float(row["contrast_percent_1"]) == 0 for row in rows)
    for row in rows:
        values = [float(row[name]) for name in ("objective", "log_likelihood", "penalty")]
        assert values[0] == pytest.approx(values[1] - values[2], abs=1)
    likelihoods = [float(row["log_likelihood"]) for row in rows]
    assert likelihoods[0] > likelihoods[2]
    regions = read(tmp_path / "image.regions.tsv")
    assert len(regions) == 3 * len({row["label"] for row in regions})
    about = json.loads((tmp_path / "image.json").read_text())
    assert about["Settings"]["beta"] == list(BETAS)
    assert [one["prior"]["beta"] for one in about["Facts"]["betas"]] == list(BETAS)
    assert {row["beta"] for row in about["Convergence"]} == set(BETAS)
    assert (tmp_path / "image.csv").read_text().startswith("beta,iteration")
    assert "--beta 0.0001,0.001,0.01" in as_command(job)
    assert "beta=(0.0001, 0.001, 0.01)" in as_python(job)


@pytest.mark.slow
def test_each_begins_from_the_last_and_ends_where_it_would_alone(scan):
    """Once converged, within what either is from the maximum; and in fewer passes."""
    settings = Settings(subsets=4)
    swept = Penalty("rdp", (3e-4, 6e-4), until_converged=True)
    both = ReconstructionJob(scan, None, settings, penalty=swept).begin().iterate()
    alone = Penalty("rdp", 6e-4, until_converged=True)
    one = ReconstructionJob(scan, None, settings, penalty=alone).begin().iterate()
    image, wanted = both.volume.voxels[1], one.volume.voxels
    assert np.sqrt(np.mean((image - wanted) ** 2)) < 0.15 * wanted.mean()  # residuals are steps
    swept_to, alone_to = (
        sum(row.objective for row in end.history.rows[-5:-1])  # a pass; its end begins the next
        for end in (both.images[1], *one.images)
    )
    assert swept_to == pytest.approx(alone_to, rel=1e-4)
    assert both.images[1].reached.number - 12 <= one.images[0].reached.number
    assert both.images[1].history.rows[0].sub_iteration == 12


def test_the_command_line_and_job_files_take_a_list(scan, tmp_path):
    assert forms.from_text("0.003,0.01, 0.03", HINT, "beta") == (0.003, 0.01, 0.03)
    assert forms.from_text("0.01", HINT, "beta") == 0.01
    assert forms.from_text("auto", HINT, "beta") == "auto"
    assert forms.filled(Penalty, {"beta": [0.1, 1]}).betas == (0.1, 1.0)
    with pytest.raises(SettingsError, match=r"'0\.1,much' is not"):
        forms.from_text("0.1,much", HINT, "beta")
    out = tmp_path / "image.nii.gz"
    with pytest.raises(SystemExit) as ended:
        main(["recon", str(scan), "-o", str(out), "--prior", "rdp", "--beta", "0.1,1",
              "--iterations", "4", "--subsets", "4", "--quiet"])  # fmt: skip
    assert not ended.value.code
    assert len(read(tmp_path / "image.sweep.tsv")) == 2
    assert "noise_percent_1" not in read(tmp_path / "image.sweep.tsv")[0]


@pytest.mark.parametrize(
    ("out", "execution", "words"),
    [
        ("image.hv", None, "name it .nii.gz"),
        ("series", None, "betas are not written as DICOM"),
        ("image.nii.gz", Execution(resume=True), "have no checkpoints"),
    ],
)
def test_what_a_sweep_cannot_do_is_refused(scan, tmp_path, out, execution, words):
    job = ReconstructionJob(scan, tmp_path / out, penalty=Penalty("rdp", (0.1, 1.0)))
    with pytest.raises(EmreconError, match=words):
        job.begin(execution=execution)
    with pytest.raises(SettingsError, match="above 0"):
        Penalty("rdp", (0.1, -1.0))
    with pytest.raises(SettingsError, match="one beta"):
        assert Penalty("rdp", (0.1, 1.0)).strength
