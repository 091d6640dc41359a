"""Scatter of an image, alone: at its own scale or at that of the prompts, or refused in a line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emrecon import io, jobs
from emrecon.cli import main
from emrecon.errors import EmreconError, SettingsError
from emrecon.io import nifti
from emrecon.io.scan import read_scan
from emrecon.jobs.scatter import ScatterJob
from emrecon.jobs.simulate import SimulationJob
from emrecon.tomo.inputs import Corrections
from emrecon.volume import Volume
from phantoms.acquisition import Acquisition


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scatter") / "scan"
    scanned = Acquisition(scanner="tiny", counts=2e5, spread=0.0, scatter_fraction=0.1)
    jobs.run(SimulationJob("cylinder", out, scanned))
    return out


@pytest.fixture
def job(folder: Path, tmp_path: Path) -> ScatterJob:
    how = Corrections(mu=(folder / "mu.nii.gz",))
    return ScatterJob(folder / "truth.nii.gz", tmp_path / "s.hs", folder, corrections=how)


@pytest.mark.slow
def test_scatter_of_the_truth_is_in_counts_of_the_scan(job: ScatterJob) -> None:
    result, written = jobs.run(job)
    assert [path.name for path in written] == ["s.hs", "s.s", "s.json", "s.png"]
    assert all(path.exists() for path in written)
    scan, _ = read_scan(job.scan)
    stored, _ = read_scan(written[0])
    assert stored.prompts.shape == scan.prompts.shape
    about = json.loads(written[2].read_text())["Facts"]
    net = float(scan.prompts.sum(dtype=float) - scan.randoms.sum(dtype=float))
    total = float(stored.prompts.sum(dtype=float))
    assert about["scatter_over_net_prompts"] == pytest.approx(total / net)
    assert 0.02 < total / net < 0.3
    # Trues are 0.7 / 0.8 of the net prompts; what is beyond is the scatter that was worked out.
    assert about["image_over_net_prompts"] == pytest.approx(0.875 + total / net, abs=0.02)
    assert "% of the net prompts" in result.summary().lines[0]
    # Twice the activity scatters twice as much; in another unit the prompts tell how much it is.
    image = io.read_image(job.image)
    for unit, factor in (("counts/mm", 2.0), ("Bq/mL", 500.0)):
        other = job.out.with_name("image.nii.gz")
        nifti.write(Volume(image.voxels * np.float32(factor), image.affine, unit), other)
        known = unit == "counts/mm"
        again = replace(job, image=other, out=None, fit=not known).begin().iterate()
        wanted = factor * total if known else total * net / (0.875 * net + total)
        wanted *= 1 if known else again.estimate.fit.scale
        assert again.estimate.total == pytest.approx(wanted, rel=0.03)


def test_what_cannot_be_is_refused(job: ScatterJob, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"name it \(--like\)"):
        replace(job, like=None).begin()
    with pytest.raises(SettingsError, match=r"Interfile \(\.hs\)"):
        replace(job, out=tmp_path / "s.nii.gz").begin()
    idle = replace(job.corrections, scatter_rounds=2)
    with pytest.raises(SettingsError, match="scatter_rounds says nothing"):
        replace(job, corrections=idle).begin()
    with pytest.raises(SettingsError, match=r"span is for .*list-mode"):
        replace(job, corrections=replace(job.corrections, span=3)).begin()
    with pytest.raises(SettingsError, match="give --mu"):
        replace(job, corrections=Corrections()).begin().iterate()
    with pytest.raises(SettingsError, match=r"is in label, not counts/mm.*--fit"):
        replace(job, image=folder / "labels.nii.gz").begin().iterate()
    with pytest.raises(EmreconError, match="there is no"):
        replace(job, image=tmp_path / "nothing.nii.gz").begin()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_command_and_the_job_file_do_the_same(job: ScatterJob, tmp_path: Path) -> None:
    mu, like, image = (str(each) for each in (job.corrections.mu[0], job.like, job.image))
    listed = tmp_path / "jobs.toml"
    listed.write_text(
        f'out = "batch"\n[[scan]]\nkind = "scatter"\ninput = "{image}"\noutput = "two.hs"\n'
        f'like = "{like}"\nmu = "{mu}"\n'
    )
    one = ["scatter", image, "--mu", mu, "--like", like, "-o", str(tmp_path / "one.hs"), "--quiet"]
    for words in (one, ["batch", str(listed)]):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 0
    assert (tmp_path / "one.s").read_bytes() == (tmp_path / "batch" / "two.s").read_bytes()
