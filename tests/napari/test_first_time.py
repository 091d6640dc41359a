"""The way of somebody who reads nothing, click by click in a real window."""

from __future__ import annotations

import shlex

import numpy as np
import pytest

pytest.importorskip("napari", reason="napari is not installed")
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from emrecon.cli import app
from emrecon.io import read_image
from emrecon.tomo.settings import Settings
from tests.napari.test_canvas import press, pytestmark, viewer  # noqa: F401 - a fixture, marks
from tests.napari.test_canvas_docks import opened


def test_from_start_to_the_same_bits(qtbot, viewer, tmp_path, monkeypatch):  # noqa: F811
    viewer.open_sample("emrecon", "brain_scan")
    dock = opened(viewer, "EM reconstruction")
    watch_pause_and_look_inside(qtbot, dock)
    go_to_the_best(dock)
    read_a_region(qtbot, viewer, dock)
    image = dock.layers.live
    dock.save_to(tmp_path / "seen.nii.gz")
    dock.command_button.click()
    words = shlex.split(QApplication.clipboard().text())
    monkeypatch.chdir(tmp_path)
    app(words[1:], result_action="return_value")
    made, seen = (read_image(tmp_path / name) for name in ("recon.nii.gz", "seen.nii.gz"))
    np.testing.assert_array_equal(made.voxels, seen.voxels)
    np.testing.assert_array_equal(seen.voxels.transpose(), image.data)
    window = viewer.window._qt_window
    assert (window.width(), window.height()) == (1280, 800)  # all of it fits


def watch_pause_and_look_inside(qtbot, dock):
    dock.settings.fill(Settings(iterations=6, subsets=4))
    dock.run_bar.mode.setCurrentText("Watch")
    press(qtbot, dock, "run")
    qtbot.waitUntil(lambda: dock.live.frames >= 1, timeout=180_000)
    if dock.session.live:
        press(qtbot, dock, "pause")
    qtbot.waitUntil(lambda: dock.session.phase in {"paused", "done"}, timeout=180_000)
    press(qtbot, dock, "inside")  # one update taken apart
    qtbot.waitUntil(lambda: dock.teaching.view.inside is not None, timeout=180_000)
    dock.run_bar.mode.setCurrentText("Quick")
    if dock.session.live:
        press(qtbot, dock, "pause")
    qtbot.waitUntil(lambda: dock.session.phase == "done" and dock.number == 24, timeout=180_000)


def go_to_the_best(dock):
    dock.curves.tabs.setCurrentIndex(3)  # the error against the truth, its best starred
    line = dock.curves._lines[-1]
    best = 4 * round(line.marks["nrmse"] / 4)  # a whole iteration, which a command can say
    dock.curves.pick(best / 4)
    assert dock.number == best


def read_a_region(qtbot, viewer, dock):  # noqa: F811
    image = dock.layers.live
    viewer.layers.selection.active = image
    qtbot.mouseClick(dock.view_box.mask_button, Qt.MouseButton.LeftButton)
    mask = viewer.layers["mask"]
    middle = tuple(n // 2 for n in mask.data.shape)
    mask.brush_size = 6
    mask.paint(middle, 1)
    measure = opened(viewer, "Measure regions")
    assert measure.image_box.currentText() == image.name  # what is seen
    assert measure.region_box.currentText() == mask.name
    qtbot.waitUntil(lambda: len(measure.rows) == 1, timeout=180_000)
    inside = np.asarray(image.data)[np.asarray(mask.data) == 1]
    assert inside.size > 10
    assert float(measure.table.item(0, 1).text()) == pytest.approx(inside.mean(), rel=1e-3)
    assert measure.rows[0].noise_percent == pytest.approx(100 * inside.std() / inside.mean(), 1e-4)
