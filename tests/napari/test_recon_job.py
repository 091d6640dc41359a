"""The panel's run is the command line's: the same bits, said in Python and as a command."""

from __future__ import annotations

import shlex
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from emrecon import metrics
from emrecon.cli import app
from emrecon.errors import SettingsError
from emrecon.io import read_image
from emrecon.jobs import reconstruct
from emrecon.tomo.inputs import CameraFacts, Corrections
from emrecon.tomo.settings import Settings
from emrecon.watchers import Row
from napari_plugin.recon_job import ReconJob, likelihood_gap
from napari_plugin.recon_outcome import Choice, as_command, as_python
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
    assert session.join(60)
    return session


def test_the_same_run_gives_the_same_bits_as_the_command_line(scan_folder, tmp_path, monkeypatch):
    session = ran(ReconJob(lambda: Choice(scan_folder, HOW)))
    assert session.phase == "done", session.error
    made = session.result.save(tmp_path / "panel.nii.gz")
    assert {file.suffix for file in made.written} == {".gz", ".json", ".csv", ".png"}
    monkeypatch.chdir(tmp_path)
    _, *words = shlex.split(session.result.command())
    app(words, result_action="return_value")
    one, other = (nib.load(tmp_path / name) for name in ("panel.nii.gz", "recon.nii.gz"))
    np.testing.assert_array_equal(np.asarray(one.dataobj), np.asarray(other.dataobj))
    np.testing.assert_array_equal(one.affine, other.affine)
    last = session.history.frames()[-1]
    np.testing.assert_array_equal(last, np.asarray(one.dataobj).transpose())


def test_what_is_copied_as_python_makes_the_same_bits(scan_folder, tmp_path, monkeypatch, wait):
    monkeypatch.chdir(tmp_path)
    whole = ran(ReconJob(lambda: Choice(scan_folder, HOW)))
    exec(compile(whole.result.python(), "copied", "exec"), {})  # noqa: S102 - what is tested
    np.testing.assert_array_equal(
        read_image(Path("recon.nii.gz")).voxels, whole.history.frames()[-1].transpose()
    )
    part = ran(ReconJob(lambda: Choice(scan_folder, HOW)), steps=6, wait=wait)
    assert part.result.reached.number == 6
    exec(compile(part.result.python(), "copied", "exec"), {})  # noqa: S102
    found = read_image(Path("recon.nii.gz")).voxels
    np.testing.assert_array_equal(found, part.history.frames()[-1].transpose())
    assert not np.array_equal(found, whole.history.frames()[-1].transpose())


def test_a_run_stopped_after_whole_passes_has_a_command_and_else_none(scan_folder, wait):
    whole = ran(ReconJob(lambda: Choice(scan_folder, HOW)), steps=8, wait=wait)
    assert "--iterations 2" in whole.result.command()
    part = ran(ReconJob(lambda: Choice(scan_folder, HOW)), steps=6, wait=wait)
    with pytest.raises(SettingsError, match="within a pass over 4 subsets"):
        part.result.command()


@pytest.mark.parametrize(
    "choice",
    [
        Choice(Path("a folder/scan")),
        Choice(
            Path("prompts.hs"),
            Settings(size=(9, 9, 5), centre_mm=(-10.0, 0.5, -3e-05), ring_wide=True),
            Corrections(mu=Path("m u.nii.gz"), mu_unit="1/cm", span=7),
        ),
        Choice(
            Path("x.dcm"),
            Settings(collimator="Siemens Symbia LEHR", decayed_h=-1.5),
            camera=CameraFacts(scatter_from="tew", radius_mm=(200.0, 210.5), axis_mm=(1, -2, 3)),
        ),
    ],
)  # fmt: skip
def test_commands_and_python_say_the_choice_exactly(choice, monkeypatch):
    _, *words = shlex.split(as_command(choice))
    _, bound, *_ = app.parse_args(words, exit_on_error=False, print_error=False)
    said = bound.arguments
    assert Path(said["scan"]) == choice.scan
    assert said.get("settings", Settings()) == choice.settings
    assert said.get("parts", Corrections()) == choice.parts
    assert said.get("camera", CameraFacts()) == choice.camera
    heard = {}

    def instead(path, output, settings=None, parts=None, *, camera=None):
        heard["choice"] = Choice(
            path, settings or Settings(), parts or Corrections(), camera or CameraFacts()
        )

    monkeypatch.setattr("emrecon.jobs.reconstruct", instead)
    exec(compile(as_python(choice), "copied", "exec"), {})  # noqa: S102
    assert heard["choice"] == choice


def test_the_error_against_the_truth_is_that_of_the_metrics(scan_folder):
    truth = read_image(scan_folder / "truth.nii.gz")
    how = Settings(iterations=2, subsets=4, post_fwhm_mm=(8.0,))
    job = ReconJob(lambda: Choice(scan_folder, how), lambda: truth)
    session = ran(job)
    assert session.phase == "done", session.error
    image = session.result.begun.problem.grid
    plain = type(truth)(session.result.reached.params, image.affine, "counts/mm")
    assert job.nrmse[-1] == pytest.approx(metrics.nrmse(*metrics.match(plain, truth)), rel=1e-4)
    assert job.scored == [row.sub_iteration for row in job.log.rows] == list(range(9))
    assert session.total == 8
    assert job.subsets == 4


def test_likelihoods_are_compared_over_whole_passes():
    # two subsets with likelihoods of their own size: only sums of both can be compared
    rows = [Row(n // 2, n, -100.0 / (n + 1) - 1000 * (n % 2), 0.1, 0.0) for n in range(9)]
    numbers, gaps = likelihood_gap(rows, 2)
    assert numbers == list(range(1, 8))  # the best, the last, has no place on a log axis
    sums = [-100.0 / n - 100.0 / (n + 1) for n in range(1, 9)]
    np.testing.assert_allclose(gaps, [sums[-1] - value for value in sums[:-1]], rtol=1e-9)
    assert likelihood_gap(rows[:1], 2) == ([], [])


def test_a_mistake_in_the_choice_is_told(scan_folder, tmp_path):
    session = ran(ReconJob(lambda: Choice(tmp_path / "nowhere")))
    assert session.phase == "failed"
    assert "nowhere" in session.error
    session = ran(ReconJob(lambda: Choice(scan_folder, Settings(threads=10**6))))
    assert "threads" in session.error


def test_resuming_still_works_through_the_halves_of_the_job(scan_folder, tmp_path):
    how = Settings(iterations=2, subsets=4, checkpoint_every=4)
    made = reconstruct(scan_folder, tmp_path / "a.nii.gz", how)
    assert not (tmp_path / "a.checkpoint.npz").exists()
    assert made.history.rows[-1].sub_iteration == 8
