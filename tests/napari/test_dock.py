"""The dock on a viewer without a canvas: real buttons, real runs."""

from __future__ import annotations

import shlex
import weakref
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

pytest.importorskip("napari", reason="napari is not installed")
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QLabel, QPushButton

from emrecon.errors import SettingsError
from emrecon.tissue.settings import Settings as TissueSettings
from emrecon.tomo.inputs import CameraFacts, Corrections
from emrecon.tomo.settings import Settings
from napari_plugin import recon_dock, run_panel, samples
from napari_plugin.form import FileChooser, Form, caption
from napari_plugin.preferences import Preferences
from napari_plugin.reader import read
from napari_plugin.recon_dock import ReconDock

pytestmark = pytest.mark.qt


@pytest.fixture
def told(monkeypatch):
    """What the person was told."""
    said = []
    monkeypatch.setattr(run_panel, "show_error", said.append)
    monkeypatch.setattr(run_panel, "show_info", said.append)
    monkeypatch.setattr(recon_dock, "show_info", said.append)
    return said


@pytest.fixture
def viewer(scan_folder):
    viewer = ViewerModel()
    for data, info, kind in read(scan_folder):
        getattr(viewer, f"add_{kind}")(data, **info)
    return viewer


@pytest.fixture
def dock(qtbot, viewer, told, monkeypatch):
    monkeypatch.setattr(run_panel, "preferences", Preferences)
    dock = ReconDock(viewer)
    qtbot.addWidget(dock)
    dock.settings.fill(Settings(iterations=3, subsets=4))
    yield dock
    assert dock.session.close()
    dock.live.stop()


def press(qtbot, dock, name):
    button = dock.findChild(QPushButton, name)
    assert button.isEnabled(), name
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def at(dock, phase, number=None):
    return lambda: dock.session.phase == phase and number in {None, dock.session.number}


def test_a_scan_among_the_layers_is_chosen_and_run_to_its_end(qtbot, dock, viewer, told):
    press(qtbot, dock, "run")
    qtbot.waitUntil(at(dock, "done"), timeout=60_000)
    qtbot.waitUntil(lambda: dock.layers.history is not None, timeout=60_000)
    assert dock.session.number == 12
    names = [layer.name for layer in viewer.layers]
    assert names == ["tiny prompts", "EM reconstruction", "EM reconstruction history"]
    live = viewer.layers["EM reconstruction"]
    np.testing.assert_array_equal(
        np.asarray(live.data).transpose(), dock.session.result.images[0].reached.params
    )
    assert not viewer.layers["tiny prompts"].visible
    assert live.axis_labels == ("S", "A", "R")
    assert len(dock.curves.data("gap")[0]) >= 8
    assert len(dock.curves.data("nrmse")[0]) == 13  # the truth beside the scan was found
    dock.curves.tabs.setCurrentIndex(2)
    assert "best NRMSE" in " ".join(label.text() for label in dock.findChildren(QLabel))
    press(qtbot, dock, "run")
    qtbot.waitUntil(lambda: at(dock, "done")() and dock.layers.number() == 12, timeout=60_000)
    assert viewer.layers["EM reconstruction"] is live  # a new layer would hold up the run
    assert len(viewer.layers) == 3
    assert told == []


def test_pause_step_resume_stop_and_reset(qtbot, dock, viewer):
    dock.settings.fill(Settings(iterations=10_000, subsets=4))
    press(qtbot, dock, "step")  # nothing runs: a run that halts at its start
    qtbot.waitUntil(at(dock, "paused", 0), timeout=60_000)
    qtbot.waitUntil(
        lambda: dock.run_bar.buttons["pause"].text().startswith("Resume"), timeout=60_000
    )
    for number in (1, 2):
        press(qtbot, dock, "step")
        qtbot.waitUntil(at(dock, "paused", number), timeout=60_000)
    press(qtbot, dock, "pause")  # resumes
    qtbot.waitUntil(lambda: dock.session.number > 20, timeout=60_000)
    press(qtbot, dock, "pause")
    qtbot.waitUntil(at(dock, "paused"), timeout=60_000)
    halted = dock.session.number
    qtbot.wait(300)
    assert dock.session.number == halted
    qtbot.waitUntil(lambda: dock.layers.number() == halted, timeout=60_000)
    press(qtbot, dock, "stop")
    qtbot.waitUntil(at(dock, "stopped"), timeout=60_000)
    assert dock.session.result.stopped
    press(qtbot, dock, "reset")
    assert dock.session.phase == "idle"
    assert [layer.name for layer in viewer.layers] == ["tiny prompts"]
    assert dock.curves.data("gap") == ([], [])


def test_a_click_on_a_curve_goes_to_that_iteration(qtbot, dock, viewer):
    press(qtbot, dock, "run")
    qtbot.waitUntil(at(dock, "done"), timeout=60_000)
    qtbot.waitUntil(lambda: dock.layers.number() == 12, timeout=60_000)
    dock.curves.tabs.setCurrentIndex(1)
    dock.curves.pick(1.3)  # iterations of four updates: update 5
    assert dock.layers.number() == 5
    assert viewer.canvas.overlays.text.text == "iteration 1 + 1/4"
    np.testing.assert_array_equal(
        dock.layers.history.data[viewer.dims.current_step[0]],
        dock.session.history.frames()[5],
    )
    viewer.dims.set_current_step(0, 0)
    assert viewer.canvas.overlays.text.text.startswith("iteration 0")


def test_what_is_copied_and_saved_is_the_run(qtbot, dock, scan_folder, tmp_path, told):
    press(qtbot, dock, "command")
    words = shlex.split(QApplication.clipboard().text())
    assert words[:3] == ["emrecon", "recon", str(scan_folder)]
    assert words[words.index("--iterations") + 1] == "3"
    press(qtbot, dock, "save")
    assert told[-1].startswith("there is no reconstruction yet")
    press(qtbot, dock, "run")
    qtbot.waitUntil(at(dock, "done"), timeout=60_000)
    dock.save_to(tmp_path / "x.nii.gz")
    assert (tmp_path / "x.json").exists()
    dock.save_to(tmp_path / "x.png")
    assert "no format ends so" in told[-1]
    press(qtbot, dock, "python")
    assert "reconstruct(" in QApplication.clipboard().text()


def test_mistakes_are_told_and_leave_the_dock_ready(qtbot, dock, told):
    dock.settings.fields["iterations"].widget.setText("four")
    press(qtbot, dock, "run")
    assert told == ["Iterations: 'four' is not a whole number"]
    dock.settings.fields["iterations"].widget.setText("0")
    press(qtbot, dock, "run")
    assert "iterations must be 1 or more" in told[-1]
    dock.settings.fill(Settings(iterations=1))
    dock.scan.box.setEditText("/nowhere/scan.hs")
    press(qtbot, dock, "run")
    qtbot.waitUntil(at(dock, "failed"), timeout=60_000)
    qtbot.waitUntil(lambda: "nowhere" in told[-1], timeout=60_000)
    dock.scan.box.setEditText("")
    press(qtbot, dock, "run")
    assert told[-1].startswith("choose a scan")


def test_the_history_says_its_memory_and_keeps_to_it(qtbot, dock, monkeypatch):
    monkeypatch.setattr(run_panel, "preferences", lambda: Preferences(history_mb=1))
    press(qtbot, dock, "run")
    qtbot.waitUntil(at(dock, "done"), timeout=60_000)
    qtbot.waitUntil(lambda: "of 1 MB" in dock.kept.text(), timeout=60_000)
    assert dock.session.history.bytes <= 1_000_000
    assert len(dock.session.history.numbers) < 13


def test_a_new_run_holds_nothing_of_the_last_one_s_history(qtbot, dock, viewer, told):
    press(qtbot, dock, "run")
    qtbot.waitUntil(lambda: dock.layers.number() == 12, timeout=60_000)
    layer = dock.layers.history  # napari keeps such a layer until cycles are collected
    kept = weakref.ref(layer.data)
    dock.scan.box.setEditText("nowhere.hs")
    press(qtbot, dock, "run")
    assert kept() is None
    assert layer not in viewer.layers
    assert viewer.layers.selection.active is dock.layers.live
    qtbot.waitUntil(at(dock, "failed"), timeout=60_000)
    qtbot.waitUntil(lambda: dock.layers.live is None, timeout=60_000)  # it never had an image
    assert [layer.name for layer in viewer.layers] == ["tiny prompts"]
    assert "nowhere.hs" in told[-1]


def test_a_window_set_by_a_person_stays(qtbot, dock, viewer):
    dock.settings.fill(Settings(iterations=50, subsets=4))
    press(qtbot, dock, "step")
    qtbot.waitUntil(lambda: dock.layers.live is not None, timeout=60_000)
    dock.layers.live.contrast_limits = (0.0, 123.0)
    press(qtbot, dock, "pause")
    qtbot.waitUntil(at(dock, "done"), timeout=60_000)
    qtbot.waitUntil(lambda: dock.layers.number() == 200, timeout=60_000)
    assert tuple(dock.layers.live.contrast_limits) == (0.0, 123.0)


def test_the_view_is_radiological_and_a_button_turns_it(qtbot, dock, viewer):
    press(qtbot, dock, "run")
    qtbot.waitUntil(at(dock, "done"), timeout=60_000)
    assert tuple(map(str, viewer.scene.camera.orientation2d)) == ("up", "left")
    assert edges(viewer) == "R A L P"
    viewer.dims.order = (0, 2, 1, 3)
    assert edges(viewer) == "R S L I"
    press(qtbot, dock, "sense")
    assert tuple(map(str, viewer.scene.camera.orientation2d)) == ("up", "right")
    assert edges(viewer) == "L S R I"
    viewer.dims.order = (0, 3, 1, 2)
    assert edges(viewer) == "P S A I"
    viewer.dims.ndisplay = 3
    assert edges(viewer) == ""
    viewer.dims.ndisplay = 2
    viewer.dims.order = (0, 1, 2, 3)
    viewer.layers["tiny prompts"].visible = True  # below the image
    assert edges(viewer) == "L A R P"
    for layer in viewer.layers[1:]:
        layer.visible = False
    assert edges(viewer) == ""  # counts lie nowhere in the patient


def edges(viewer):
    """Return the letters on the left, top, right and bottom of the canvas."""
    overlays = [viewer.canvas.overlays[f"emrecon_{s}"] for s in ("left", "top", "right", "bottom")]
    assert all(one.visible is bool(one.text) for one in overlays)
    return " ".join(one.text for one in overlays).strip()


def test_windows_by_name(qtbot, dock, viewer, rng):
    layer = viewer.add_image(rng.normal(size=(5, 6, 7)))
    viewer.layers.selection.active = layer
    box = dock.view_box.window_box
    box.activated.emit(box.findText("PET, SUV 0 to 6"))
    assert tuple(layer.contrast_limits) == (0.0, 6.0)
    assert layer.colormap.name == "gray_r"


@pytest.mark.parametrize(
    "value",
    [
        Settings(iterations=7, tolerance=1e-6, psf_fwhm_mm=(4.5, 5.25, 6.0), ring_wide=True),
        Corrections(mu=Path("mu.nii.gz"), mu_unit="1/cm"),
        CameraFacts(window="2", radius_mm=(1 / 3, 200.0), frame_order=("view", "window")),
        TissueSettings(classes=4, covariance="full", neighbours=26, outliers=True),
    ],
)
def test_forms_give_back_what_they_are_filled_with(qtbot, value):
    form = Form(type(value)())
    qtbot.addWidget(form)
    assert form.value() == type(value)()
    form.fill(value)
    assert form.value() == value
    for item in fields(value):
        assert len(form.fields[item.name].widget.toolTip()) > 12, item.name  # its docstring


def test_every_field_of_the_settings_has_a_line_that_is_made_by_itself(qtbot):
    @dataclass(frozen=True)
    class Later:
        """Settings of some later day."""

        kind: Literal["a", "b"] = "b"
        """Which."""

        reach_mm: float | None = None
        """Cats: how far they see."""

        data: Path | None = None
        """A file."""

    form = Form(Later(), lambda: [("a layer", "/some/file.nii")])
    qtbot.addWidget(form)
    assert form.value() == Later()
    form.fields["reach_mm"].widget.setText("2,5")
    with pytest.raises(SettingsError, match=r"Reach \(mm\): '2,5' is not a number"):
        form.value()
    form.fields["reach_mm"].widget.setText("2.5")
    chooser = form.findChild(FileChooser)
    chooser.box.setCurrentIndex(1)
    assert form.value() == Later("b", 2.5, Path("/some/file.nii"))
    assert caption("psf_fwhm_mm") == "PSF FWHM (mm)"


def test_an_example_is_offered_in_an_empty_viewer_and_simulated_once(qtbot, told, monkeypatch):
    from tests.napari.conftest import TINY

    monkeypatch.setattr(samples, "SCANS", {"cylinder": TINY})
    dock = ReconDock(ViewerModel())
    qtbot.addWidget(dock)
    assert dock.scan.box.currentText() == "Example: PET of cylinder"
    dock.settings.fill(Settings(iterations=1, subsets=4))
    press(qtbot, dock, "command")
    assert told == ["run the example once: its files are simulated then"]
    press(qtbot, dock, "run")
    qtbot.waitUntil(at(dock, "done"), timeout=60_000)
    assert len(dock.job.score.nrmse) == 5
    folder = samples.scan_folder("cylinder")
    made = (folder / "prompts.hs").stat().st_mtime_ns
    assert samples.scan_folder("cylinder") == folder
    assert (folder / "prompts.hs").stat().st_mtime_ns == made
    kinds = [kind for _, _, kind in samples.scan_layers(folder, "x")]
    assert kinds == ["image", "image", "image", "labels"]
    assert dock.session.close()
