"""The panel's run is the command line's: the same bits, said in Python and as a command."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from emrecon import metrics
from emrecon.cli import app
from emrecon.errors import SettingsError
from emrecon.io import read_image
from emrecon.jobs.recon import ReconstructionJob, reconstruct
from emrecon.tomo.region_settings import RegionSettings
from emrecon.tomo.settings import Settings
from napari_plugin.recon_job import ReconJob, gaps, pass_sums
from napari_plugin.recon_outcome import at, result_as_command, result_as_python
from napari_plugin.session import Session

HOW = Settings(iterations=3, subsets=4, post_fwhm_mm=(6.0,), psf_fwhm_mm=(4.5, 4.5, 5.0))


def ran(job, steps=None, wait=None):
    """Run a job to its end, or so many updates and stop."""
    session = Session(10**8)
    session.start(job, paused=steps is not None)
    if steps is not None:
        wait(lambda: session.phase in {"paused", "failed"})
        for number in range(1, steps + 1):
            session.control.step()
            wait(lambda number=number: session.phase == "paused" and session.number == number)
        session.control.stop()
    assert session.join(300)
    return session


def test_the_same_run_gives_the_same_bits_as_the_command_line(scan_folder, tmp_path, monkeypatch):
    session = ran(ReconJob(ReconstructionJob(scan_folder, settings=HOW)))
    assert session.phase == "done", session.error
    files = session.result.write(tmp_path / "panel.nii.gz")
    assert {file.suffix for file in files} == {".gz", ".json", ".csv", ".png"}
    monkeypatch.chdir(tmp_path)
    _, *words = shlex.split(result_as_command(session.result))
    app(words, result_action="return_value")
    one, other = (nib.load(tmp_path / name) for name in ("panel.nii.gz", "recon.nii.gz"))
    np.testing.assert_array_equal(np.asarray(one.dataobj), np.asarray(other.dataobj))
    np.testing.assert_array_equal(one.affine, other.affine)
    last = session.history.frames()[-1]
    np.testing.assert_array_equal(last, np.asarray(one.dataobj).transpose())


def test_what_is_copied_as_python_makes_the_same_bits(scan_folder, tmp_path, monkeypatch, wait):
    monkeypatch.chdir(tmp_path)
    whole = ran(ReconJob(ReconstructionJob(scan_folder, settings=HOW)))
    exec(compile(result_as_python(whole.result), "copied", "exec"), {})  # noqa: S102 - what is tested
    np.testing.assert_array_equal(
        read_image(Path("recon.nii.gz")).voxels, whole.history.frames()[-1].transpose()
    )
    part = ran(ReconJob(ReconstructionJob(scan_folder, settings=HOW)), steps=6, wait=wait)
    assert part.result.images[0].reached.number == 6
    exec(compile(result_as_python(part.result), "copied", "exec"), {})  # noqa: S102
    found = read_image(Path("recon.nii.gz")).voxels
    np.testing.assert_array_equal(found, part.history.frames()[-1].transpose())
    assert not np.array_equal(found, whole.history.frames()[-1].transpose())


def test_regions_of_an_earlier_image_are_measured_on_it(scan_folder, tmp_path):
    regions = RegionSettings(regions=scan_folder / "labels.nii.gz", uncertainty="none")
    session = ran(ReconJob(ReconstructionJob(scan_folder, settings=HOW, regions=regions)))
    labels = read_image(scan_folder / "labels.nii.gz")
    for place in (4, len(session.history.numbers) - 1):
        number, picture = session.history.picture(place)
        seen = at(session.result, number, picture)
        rows = metrics.regions(seen.images[0].volume, None, labels, {})
        assert [row.mean for row in seen.images[0].regions.rows] == [row.mean for row in rows]
        _, *files = seen.write(tmp_path / f"{number}.nii.gz")
        table = next(file for file in files if file.name.endswith("regions.tsv"))
        assert f"{rows[0].mean:.6g}" in table.read_text()


def test_a_run_stopped_after_whole_passes_has_a_command_and_else_none(scan_folder, wait):
    whole = ran(ReconJob(ReconstructionJob(scan_folder, settings=HOW)), steps=8, wait=wait)
    assert "--iterations 2" in result_as_command(whole.result)
    part = ran(ReconJob(ReconstructionJob(scan_folder, settings=HOW)), steps=6, wait=wait)
    with pytest.raises(SettingsError, match="within a pass over 4 subsets"):
        result_as_command(part.result)


def test_the_error_against_the_truth_is_that_of_the_metrics(scan_folder):
    truth = read_image(scan_folder / "truth.nii.gz")
    how = Settings(iterations=2, subsets=4, post_fwhm_mm=(8.0,))
    job = ReconJob(ReconstructionJob(scan_folder, settings=how), truth=lambda: truth)
    session = ran(job)
    assert session.phase == "done", session.error
    image = job.image.problem.grid
    plain = type(truth)(session.result.images[0].reached.params, image.affine, "counts/mm")
    assert job.score.nrmse[-1] == pytest.approx(
        metrics.nrmse(*metrics.match(plain, truth)), rel=1e-4
    )
    assert job.score.updates == [row.sub_iteration for row in job.rows] == list(range(9))
    assert session.total == 8
    assert job.subsets == 4


def test_likelihoods_are_compared_over_whole_passes():
    # two subsets with likelihoods of their own size: only sums of both can be compared
    values = [-100.0 / (n + 1) - 1000 * (n % 2) for n in range(9)]
    passes = pass_sums(values, 2)
    sums = [-100.0 / n - 100.0 / (n + 1) - 1000 for n in range(1, 9)]
    np.testing.assert_allclose(passes, sums, rtol=1e-9)
    np.testing.assert_allclose(gaps(passes)[:-1], [sums[-1] - value for value in sums[:-1]])
    assert np.isnan(gaps(passes)[-1])  # the best has no place on a log axis
    assert pass_sums(values[:1], 2) == []


def test_a_run_gone_on_with_is_the_longer_run(scan_folder):
    short = ReconJob(ReconstructionJob(scan_folder, settings=replace(HOW, iterations=1)))
    first = ran(short)
    further = ran(short.further(2, first.result, first.history))
    whole = ran(ReconJob(ReconstructionJob(scan_folder, settings=HOW)))
    np.testing.assert_array_equal(further.history.picture(-1)[1], whole.history.picture(-1)[1])
    assert result_as_command(further.result) == result_as_command(whole.result)
    rows = [one.result.history.rows for one in (further, whole)]
    assert [row.log_likelihood for row in rows[0]] == [row.log_likelihood for row in rows[1]]
    assert further.history.numbers == whole.history.numbers


def test_an_iterate_on_the_way_is_what_a_shorter_run_gives(scan_folder, tmp_path, monkeypatch):
    session = ran(ReconJob(ReconstructionJob(scan_folder, settings=HOW)))
    seen = at(session.result, *session.history.picture(session.history.nearest(4)))
    seen.write(tmp_path / "seen.nii.gz")
    monkeypatch.chdir(tmp_path)
    words = shlex.split(result_as_command(seen))
    assert words[words.index("--iterations") + 1] == "1"
    app(words[1:], result_action="return_value")
    made = read_image(tmp_path / "recon.nii.gz").voxels
    np.testing.assert_array_equal(read_image(tmp_path / "seen.nii.gz").voxels, made)
    told = json.loads((tmp_path / "seen.json").read_text())
    assert told["Settings"]["iterations"] == 1
    assert len((tmp_path / "seen.csv").read_text().splitlines()) == 6  # head and updates 0 to 4
    part = at(session.result, *session.history.picture(5))
    with pytest.raises(SettingsError, match="update 5, within a pass over 4"):
        result_as_command(part)
    assert "after(5)" in result_as_python(part)
    with pytest.raises(SettingsError, match="start image"):
        result_as_python(at(session.result, *session.history.picture(0)))


def test_a_mistake_in_the_choice_is_told(scan_folder, tmp_path):
    session = ran(ReconJob(ReconstructionJob(tmp_path / "nowhere")))
    assert session.phase == "failed"
    assert "nowhere" in session.error
    session = ran(ReconJob(ReconstructionJob(scan_folder, settings=Settings(threads=10**6))))
    assert "threads" in session.error


def test_a_whole_run_leaves_no_checkpoint(scan_folder, tmp_path):
    settings = Settings(iterations=2, subsets=4, checkpoint_every=4)
    result = reconstruct(scan_folder, tmp_path / "a.nii.gz", settings)
    assert not (tmp_path / "a.checkpoint.npz").exists()
    assert result.history.rows[-1].sub_iteration == 8
