"""Segmentation, orthogonal views and simulation in a real napari window."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

napari = pytest.importorskip("napari", reason="napari is not installed")
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from qtpy.QtCore import Qt  # noqa: E402
from qtpy.QtWidgets import QApplication, QDockWidget, QPushButton  # noqa: E402

from emrecon import io  # noqa: E402
from emrecon.io import nifti  # noqa: E402
from emrecon.tissue.settings import Settings  # noqa: E402
from emrecon.tomo.settings import Settings as Recon  # noqa: E402
from emrecon.volume import Volume  # noqa: E402
from tests.napari.conftest import TINY  # noqa: E402
from tests.napari.test_canvas import nothing_is_cut_off, settle, viewer  # noqa: E402, F401 - a fixture
from tests.napari.tissue_case import case  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.qt,
    pytest.mark.skipif(
        sys.platform.startswith("linux") and not os.environ.get("DISPLAY"),
        reason="no X server to open a window on: install xvfb (see README's second command)",
    ),
]


@pytest.fixture
def files(tmp_path):
    """An image and its true labels."""
    image, truth = case()
    io.write_image(image, tmp_path / "t1.nii.gz")
    marks = Volume(truth.voxels.astype(np.uint8), truth.affine)
    nifti.write(marks, tmp_path / "true_dseg.nii.gz", labels=True)
    return tmp_path


def opened(viewer, name, **how):  # noqa: F811
    _, dock = viewer.window.add_plugin_dock_widget("emrecon", name, **how)
    QApplication.processEvents()
    return dock


def press(qtbot, dock, name):
    button = dock.findChild(QPushButton, name)
    assert button.isVisible()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_segment_a_file_and_save_and_open_the_labels(qtbot, viewer, files, tmp_path):  # noqa: F811
    viewer.open(str(files / "t1.nii.gz"), plugin="emrecon")
    (truth,) = viewer.open(str(files / "true_dseg.nii.gz"), plugin="emrecon")
    truth.visible = False
    dock = opened(viewer, "EM segmentation")
    dock.truth.box.setCurrentText(truth.name)
    dock.settings.fill(Settings(starts=1, mixed=1, iterations=3))
    press(qtbot, dock, "step")
    qtbot.waitUntil(lambda: dock.session.phase == "paused", timeout=180_000)
    qtbot.waitUntil(lambda: "Tissue labels" in viewer.layers, timeout=180_000)
    nothing_is_cut_off(viewer, dock)
    press(qtbot, dock, "pause")
    qtbot.waitUntil(lambda: len(dock.layers.maps) == 3, timeout=180_000)
    dock.save_to(tmp_path / "out")
    (again,) = viewer.open(str(tmp_path / "out" / "t1_dseg.nii.gz"), plugin="emrecon")
    labels = viewer.layers["Tissue labels"]
    np.testing.assert_array_equal(np.asarray(again.data), labels.data)
    np.testing.assert_allclose(again.translate, labels.translate, atol=1e-3)
    np.testing.assert_allclose(again.get_color(3), labels.get_color(3), atol=1e-3)


def test_a_click_on_a_plane_moves_the_viewer(qtbot, viewer, files):  # noqa: F811
    (image,) = viewer.open(str(files / "t1.nii.gz"), plugin="emrecon")
    (marks,) = viewer.open(str(files / "true_dseg.nii.gz"), plugin="emrecon")
    viewer.layers.selection.active = image
    planes = opened(viewer, "Orthogonal views")
    planes.over_box.setCurrentText(marks.name)
    planes.over_box.activated.emit(planes.over_box.currentIndex())
    qtbot.waitUntil(lambda: planes.planes["axial"].overlay.image is not None, timeout=180_000)
    nothing_is_cut_off(viewer, planes)
    axial = planes.planes["axial"]
    there = planes.canvas.mapFromScene(axial.mapViewToScene(axial.viewRect().center()))
    viewer.dims.set_point(1, -30.0)
    qtbot.mouseClick(planes.canvas.viewport(), Qt.MouseButton.LeftButton, pos=there)
    middle = axial.viewRect().center()
    np.testing.assert_allclose(viewer.dims.point[1:], [middle.y(), middle.x()], atol=1.5)


def test_three_clicks_to_a_live_reconstruction(qtbot, viewer):  # noqa: F811
    """Plugins, Simulate a scan, and the button."""
    dock = opened(viewer, "Simulate a scan")
    nothing_is_cut_off(viewer, dock)
    dock.acquisition.fill(TINY)  # a smaller one than a person has
    press(qtbot, dock, "both")
    qtbot.waitUntil(lambda: "EM reconstruction" in viewer.layers, timeout=180_000)
    recon = opened(viewer, "EM reconstruction")  # the one that runs
    assert "prompts" in recon.scan.box.currentText()
    qtbot.waitUntil(lambda: recon.live.frames >= 2 or not recon.session.live, timeout=180_000)
    assert len(recon.job.score.nrmse) > 1  # the truth came with the scan
    recon.stop()
    assert recon.session.join(60)


def test_closing_the_window_ends_a_halted_segmentation(qtbot, viewer, files):  # noqa: F811
    viewer.open(str(files / "t1.nii.gz"), plugin="emrecon")
    dock = opened(viewer, "EM segmentation")
    opened(viewer, "Orthogonal views", tabify=True)
    dock.settings.fill(Settings(starts=1, mixed=1, iterations=3))
    dock.step()
    qtbot.waitUntil(lambda: dock.session.phase == "paused", timeout=180_000)
    session = dock.session
    viewer.close()
    settle()
    assert session.join(60)
    assert session.phase == "stopped"


def test_closing_a_dock_ends_its_run_and_frees_it(qtbot, viewer, scan_folder):  # noqa: F811
    dock = opened(viewer, "EM reconstruction")  # which this test holds on to, as any script may
    dock.scan.box.setEditText(str(scan_folder))
    dock.settings.fill(Recon(iterations=3, subsets=4))
    dock.step()
    qtbot.waitUntil(lambda: dock.session.phase == "paused", timeout=180_000)
    dock.teaching.open()
    teaching, session, gone = dock.teaching, dock.session, []
    _holder(teaching.view).destroyOnClose()  # as its cross does
    assert not teaching.on
    assert dock.run_bar.mode.currentText() == "Quick"  # the next run is not slow
    dock.destroyed.connect(lambda: gone.append(True))
    _holder(dock).destroyOnClose()
    assert session.join(60)
    assert session.phase == "stopped"
    qtbot.waitUntil(lambda: gone == [True], timeout=180_000)


def test_all_docks_fit_a_small_screen_as_tabs(qtbot, viewer):  # noqa: F811
    names = (
        *("Attenuation map", "Simulate a scan", "Measure regions", "Orthogonal views"),
        *("EM segmentation", "EM reconstruction"),
    )
    docks = [viewer.window.add_plugin_dock_widget("emrecon", name)[1] for name in names]
    window = viewer.window._qt_window
    qtbot.waitUntil(
        lambda: len(window.tabifiedDockWidgets(_holder(docks[0]))) == 5, timeout=180_000
    )
    qtbot.waitUntil(lambda: not docks[-1].visibleRegion().isEmpty(), timeout=180_000)
    assert (window.width(), window.height()) == (1280, 800)
    assert all(dock.minimumSizeHint().height() < 300 for dock in docks)
    assert all(dock.width() < window.centralWidget().width() for dock in docks)


def _holder(dock):
    while not isinstance(dock, QDockWidget):
        dock = dock.parentWidget()
    return dock
