"""One update of EM taken apart: it is the update that the run makes."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("napari", reason="napari is not installed")
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from emrecon.errors import SettingsError
from emrecon.jobs.recon import ReconstructionJob
from emrecon.tomo.settings import Settings
from napari_plugin.inside_view import IN_COUNTS, InsideView
from napari_plugin.recon_job import ReconJob
from tests.napari.test_dock import at, dock, press, told, viewer  # noqa: F401 - fixtures
from tests.napari.test_recon_job import ran

HOW = Settings(iterations=2, subsets=4)


def test_the_pictures_are_those_of_the_update_that_was_made(scan_folder):
    job = ReconJob(ReconstructionJob(scan_folder, settings=HOW))
    session = ran(job)
    frames, problem = session.history.frames(), job.image.problem
    for number in (0, 5):
        inside = job.look_at(number, frames[number])
        assert inside.subset == (number % 4 + 1, 4)
        np.testing.assert_allclose(inside.next.transpose(), frames[number + 1], rtol=2e-6)
        assert inside.log_likelihood == pytest.approx(job.rows[number].log_likelihood, rel=1e-9)
        likelihood = problem.likelihoods[number % 4]
        np.testing.assert_array_equal(inside.counts.measured, likelihood.measured)
        ratio = inside.counts.ratio * likelihood._of_views(likelihood.factors)
        back = likelihood.back(np.ascontiguousarray(ratio))
        seen = likelihood.sensitivity > 0
        np.testing.assert_allclose(
            back[seen] / likelihood.sensitivity[seen],
            inside.correction[seen],
            rtol=1e-4,
            atol=1e-5,
        )
    last = job.look_at(8, frames[8])
    assert last.number == 8
    job.release()
    with pytest.raises(SettingsError, match="run it again"):
        job.look_at(5, frames[5])


def test_of_filtered_images_only_the_last_is_taken_apart(scan_folder):
    job = ReconJob(ReconstructionJob(scan_folder, settings=replace(HOW, post_fwhm_mm=(5.0,))))
    session = ran(job)
    assert job.look_at(8, session.history.picture(-1)[1]).number == 8
    with pytest.raises(SettingsError, match="step through"):
        job.look_at(5, session.history.picture(5)[1])


def test_of_pictures_that_come_quickly_the_last_is_taken_apart(qtbot, dock):  # noqa: F811
    teaching, gate, put = dock.teaching, threading.Event(), []
    teaching.view = SimpleNamespace(put=put.append)
    job = SimpleNamespace(
        inside=None, before=0, look_at=lambda number, _: gate.wait(60) and number
    )
    run = SimpleNamespace(job=job, session=SimpleNamespace(phase="paused"))
    for number in (1, 2, 3):
        teaching.look(run, number, None)
    gate.set()
    qtbot.waitUntil(lambda: put == [3], timeout=180_000)
    gate.clear()
    teaching.look(run, 4, None)
    job.inside = SimpleNamespace(number=5)  # the run itself did it, and was quicker
    teaching.look(run, 5, None)
    gate.set()
    qtbot.waitUntil(lambda: not teaching._timer.isActive(), timeout=180_000)
    assert put == [3, job.inside]
    teaching.view = None


def test_one_click_runs_in_slow_motion_and_the_view_steps_with_it(qtbot, dock):  # noqa: F811
    dock.settings.fill(Settings(iterations=50, subsets=4))
    press(qtbot, dock, "inside")
    view = dock.teaching.view
    qtbot.addWidget(view)
    assert dock.session.pace_s == 1.0
    qtbot.waitUntil(lambda: view.inside is not None, timeout=180_000)
    press(qtbot, dock, "pause")
    qtbot.waitUntil(at(dock, "paused"), timeout=180_000)
    halted = dock.session.number
    for number in (halted + 1, halted + 2):
        press(qtbot, dock, "step")
        qtbot.waitUntil(at(dock, "paused", number), timeout=180_000)
        qtbot.waitUntil(lambda number=number: view.inside.number == number, timeout=180_000)
    assert f"update {halted + 3}: subset" in view.readout.text()
    shown = view.pictures()
    assert set(shown) == {*IN_COUNTS, "correction", "next"}
    np.testing.assert_array_equal(view.items["next"].image, shown["next"])
    views, _, planes = view.inside.counts.measured.shape
    assert view.place.maximum() == planes - 1
    view.way.setCurrentIndex(1)
    assert view.place.maximum() == views - 1
    dock.slider.setValue(0)  # an earlier image, taken apart beside the halted run
    qtbot.waitUntil(lambda: view.inside.number == 0, timeout=180_000)
    dock.stop()
    assert dock.session.join(60)


def test_every_view_has_the_same_colours(qtbot):
    first, again = InsideView(), InsideView()
    for view in (first, again):
        qtbot.addWidget(view)
        table = view.items["next"].getColorMap().getLookupTable(nPts=256)
        assert table[0].min() > 240  # dark on white
        assert table[-1].max() < 20
