"""The panel in a real napari window, which needs an X server (pytest-xvfb starts one)."""

from __future__ import annotations

import contextlib
import gc
import os
import sys

import numpy as np
import pytest

napari = pytest.importorskip("napari", reason="napari is not installed")
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from napari.settings import get_plugin_settings  # noqa: E402
from npe2 import PluginManager  # noqa: E402
from qtpy.QtCore import QEvent, QPoint, Qt  # noqa: E402
from qtpy.QtWidgets import QApplication, QPushButton  # noqa: E402

from emrecon.io import read_image  # noqa: E402
from emrecon.tomo.settings import Settings  # noqa: E402
from napari_plugin import samples, views  # noqa: E402
from napari_plugin.preferences import Preferences, preferences  # noqa: E402
from tests.napari.conftest import TINY  # noqa: E402
from tests.napari.test_nifti import AFFINES, PEAK, affine_of, bright, peak_mm, saved, turned  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.qt,
    pytest.mark.skipif(
        sys.platform.startswith("linux") and not os.environ.get("DISPLAY"),
        reason="no X server to open a window on: install xvfb (see README's second command)",
    ),
]


@pytest.fixture
def viewer(qtbot, monkeypatch):
    """A napari window; nothing may be left of it."""
    PluginManager.instance().discover()
    monkeypatch.setattr(samples, "SCANS", {"brain": TINY})
    viewer = napari.Viewer(show=True)
    window = viewer.window._qt_window
    window.resize(1280, 800)
    qtbot.waitExposed(window)
    yield viewer
    with contextlib.suppress(RuntimeError):  # closed by the test
        viewer.close()
    settle()


def settle():
    """Let Qt delete what is to be deleted."""
    for _ in range(3):
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        QApplication.processEvents()
    gc.collect()


def opened_dock(viewer):
    _, dock = viewer.window.add_plugin_dock_widget("emrecon", "EM reconstruction")
    dock.settings.fill(Settings(iterations=3, subsets=4))
    QApplication.processEvents()  # shown with the next turn of the loop
    return dock


def press(qtbot, dock, name):
    button = dock.findChild(QPushButton, name)
    assert button.isVisible()
    assert button.isEnabled(), name
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def ended(dock):
    return lambda: dock.session.phase == "done" and dock.number is not None


def test_from_a_sample_to_a_saved_image(qtbot, viewer, tmp_path):
    viewer.open_sample("emrecon", "brain_scan")
    names = [layer.name for layer in viewer.layers]
    assert len(names) == 4
    assert "prompts" in names[0]
    dock = opened_dock(viewer)
    assert dock.scan.box.currentText() == names[0]
    dock.settings.fill(Settings(iterations=2000, subsets=4))
    dock.run_bar.mode.setCurrentText("Watch")  # pictures come sooner
    press(qtbot, dock, "run")
    qtbot.waitUntil(lambda: dock.live.frames >= 3, timeout=180_000)  # the image is seen to change
    press(qtbot, dock, "pause")
    qtbot.waitUntil(lambda: dock.session.phase == "paused", timeout=180_000)
    number = dock.session.number
    press(qtbot, dock, "step")
    qtbot.waitUntil(
        lambda: dock.session.phase == "paused" and dock.session.number == number + 1,
        timeout=180_000,
    )
    press(qtbot, dock, "pause")
    qtbot.waitUntil(lambda: dock.session.number > number + 4, timeout=180_000)
    press(qtbot, dock, "stop")
    qtbot.waitUntil(lambda: dock.session.phase == "stopped", timeout=180_000)
    qtbot.waitUntil(lambda: dock.number == dock.session.number, timeout=180_000)
    qtbot.waitUntil(lambda: not dock.live._timer.isActive(), timeout=180_000)  # all is drawn
    dock.save_to(tmp_path / "sample.nii.gz")
    dock.curves.pick(0.0)
    assert dock.number == 0
    viewer.layers.clear()
    viewer.open(str(tmp_path / "sample.nii.gz"), plugin="emrecon")
    (layer,) = viewer.layers
    np.testing.assert_array_equal(
        np.asarray(layer.data).transpose(), dock.session.result.images[0].reached.params
    )
    grid = dock.job.image.problem.grid
    np.testing.assert_allclose(layer.data_to_world((0, 0, 0)), grid.origin_mm[::-1], atol=1e-3)


def test_the_picture_on_the_screen_is_the_image(qtbot, viewer):
    dock = opened_dock(viewer)
    press(qtbot, dock, "run")
    qtbot.waitUntil(ended(dock), timeout=180_000)
    seen = viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(float)
    middle = seen[seen.shape[0] // 2, seen.shape[1] // 2]
    assert middle.mean() < 200  # activity is dark on white
    assert seen.max() > 240
    canvas = viewer.window._qt_viewer.canvas.native
    assert canvas.width() > dock.width()  # at 1280 x 800
    nothing_is_cut_off(viewer, dock)


def nothing_is_cut_off(viewer, dock):
    """Hold that every button can be read, and reached by scrolling at most."""
    assert viewer.window._qt_viewer.canvas.native.width() > dock.width()
    assert dock.minimumSizeHint().height() < 300
    window = viewer.window._qt_window
    seen = [button for button in dock.findChildren(QPushButton) if button.isVisibleTo(dock)]
    for button in seen:
        corner = button.mapTo(dock, QPoint(button.width(), button.height()))
        assert corner.x() <= dock.width() + 1, button.text()
        words = max(button.text().split("\n"), key=len)
        assert button.width() >= button.fontMetrics().horizontalAdvance(words), words
    run = [one for one in seen if one.objectName() in {"run", "stop", "simulate", "both"}]
    for button in run:  # always there, whatever is scrolled
        assert button.mapTo(window, QPoint(0, button.height())).y() <= window.height()


@pytest.mark.parametrize("state", ["running", "paused"])
def test_closing_the_window_ends_the_run(qtbot, viewer, state):
    dock = opened_dock(viewer)
    dock.settings.fill(Settings(iterations=100_000, subsets=4))
    press(qtbot, dock, "run" if state == "running" else "step")
    qtbot.waitUntil(lambda: dock.session.phase == state, timeout=180_000)
    session = dock.session
    viewer.close()
    settle()
    assert session.join(60)
    assert session.phase == "stopped"


def test_the_cursor_says_where_the_scanner_has_it(viewer, tmp_path):
    for name in [*AFFINES, "oblique"]:
        affine = affine_of(turned(12, -8, 15)) if name == "oblique" else AFFINES[name]
        path = saved(tmp_path / f"{name}.nii.gz", affine, bright(frames=3 * (name == "4D")))
        (layer,) = viewer.open(path, plugin="emrecon")
        near = 2.5 if name == "oblique" else 1e-3  # a voxel of the copy that is shown
        np.testing.assert_allclose(peak_mm(layer), (affine @ [*PEAK, 1])[:3], atol=near)
        assert viewer.dims.axis_labels[-3:] == ("S", "A", "R")
    assert views.sense_of(viewer) == "radiological"
    viewer.layers.clear()
    path = tmp_path / "LPS.nii.gz"
    viewer.open(path, plugin="emrecon")
    viewer.layers.save(str(tmp_path / "out.nii.gz"), plugin="emrecon")
    one, other = read_image(path), read_image(tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(one.voxels, other.voxels)
    np.testing.assert_array_equal(one.affine, other.affine)


def test_right_is_left_in_the_picture_and_3d_is_not_mirrored(viewer, tmp_path):
    data = np.zeros((20, 20, 20), np.float32)
    data[16:, 8:12, 8:12] = 1  # far to the patient's right
    affine = np.diag([2.0, 2, 2, 1])
    viewer.open(saved(tmp_path / "x.nii", affine, data, cal_max=1.0), plugin="emrecon")
    viewer.dims.set_point(0, 20.0)
    viewer.canvas.overlays.axes.visible = False
    viewer.canvas.overlays.text.visible = False
    viewer.layers[0].colormap = "gray"
    for sense, half in (("radiological", 0), ("neurological", 1)):
        views.show(viewer, sense)
        viewer.canvas.overlays.axes.visible = False
        viewer.canvas.overlays.text.visible = False
        viewer.canvas.overlays.scale_bar.visible = False
        seen = viewer.screenshot(canvas_only=True, flash=False)[..., 0] > 128
        halves = np.array_split(seen, 2, axis=1)
        assert halves[half].sum() > 20 * halves[1 - half].sum() + 20, sense
        assert str(viewer.scene.camera.handedness) == "left", sense  # (S, A, R) is odd
        # the basis of view, screen-up and screen-right, as numbers: no reflection in 3D
        viewer.dims.ndisplay = 3
        assert str(viewer.scene.camera.handedness) == "left"
        viewer.dims.ndisplay = 2


def test_samples_open_and_preferences_are_those_of_the_manifest(viewer, monkeypatch):
    for key in ("shepp_logan", "flip_finder"):
        viewer.open_sample("emrecon", key)
    assert len(viewer.layers) == 6
    assert views.sense_of(viewer) == "radiological"  # no dock was opened
    manifest = PluginManager.instance().get_manifest("emrecon")
    keys = {sample.key for sample in manifest.contributions.sample_data}
    assert {"brain_scan", "nema_scan", "brain", "nema", "derenzo", "cylinder"} <= keys
    assert preferences() == Preferences()
    monkeypatch.setattr(get_plugin_settings("emrecon").display, "history_mb", 64)
    assert preferences().history_bytes == 64_000_000
