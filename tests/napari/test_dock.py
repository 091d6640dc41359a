"""The dock on a viewer without a canvas: real buttons, real runs."""

from __future__ import annotations

import shlex
import shutil
import time
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

pytest.importorskip("napari", reason="napari is not installed")
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QPalette
from qtpy.QtWidgets import QApplication, QLabel, QPushButton

from emrecon.errors import SettingsError
from emrecon.io import read_image
from emrecon.tissue.settings import Settings as TissueSettings
from emrecon.tomo.inputs import CameraFacts, Corrections
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.settings import Settings
from napari_plugin import recon_dock, run_panel, samples
from napari_plugin.file_chooser import FileChooser
from napari_plugin.form import Form, caption
from napari_plugin.live import Live
from napari_plugin.plot import plot_widget
from napari_plugin.preferences import Preferences
from napari_plugin.reader import read
from napari_plugin.recon_dock import ReconDock
from napari_plugin.session import Session
from napari_plugin.theme import DARK, LIGHT
from tests.napari.test_session import counting

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


@pytest.mark.slow
def test_a_scan_among_the_layers_is_chosen_and_run_to_its_end(qtbot, dock, viewer, told):
    press(qtbot, dock, "run")
    qtbot.waitUntil(at(dock, "done"), timeout=180_000)
    qtbot.waitUntil(lambda: dock.number == 12, timeout=180_000)
    assert dock.session.number == 12
    assert [layer.name for layer in viewer.layers] == ["tiny prompts", "EM reconstruction"]
    assert viewer.dims.ndim == 3  # labels painted now have three axes, as a mask has
    live = viewer.layers["EM reconstruction"]
    np.testing.assert_array_equal(
        np.asarray(live.data).transpose(), dock.session.result.images[0].reached.params
    )
    assert not viewer.layers["tiny prompts"].visible
    assert live.axis_labels == ("S", "A", "R")
    assert len(dock.curves.data("likelihood")[0]) == 10  # sums over passes of four
    assert len(dock.curves.data("gap")[0]) == 9
    assert len(dock.curves.data("nrmse")[0]) == 13  # the truth beside the scan was found
    dock.curves.tabs.setCurrentIndex(3)
    assert "NRMSE to truth: best" in " ".join(label.text() for label in dock.findChildren(QLabel))
    press(qtbot, dock, "run")
    qtbot.waitUntil(lambda: at(dock, "done")() and len(dock.runs.runs) == 2, timeout=180_000)
    qtbot.waitUntil(lambda: dock.number == 12, timeout=180_000)
    assert viewer.layers["EM reconstruction"] is live  # a new layer would hold up the run
    assert len(viewer.layers) == 2
    assert [run.name for run in dock.runs.runs] == ["1: OSEM 3 x 4", "2: OSEM 3 x 4"]
    assert told == []


def test_a_prior_is_chosen_where_it_is_seen_and_its_strength_slid_or_typed(dock):
    form = dock.penalty
    prior, beta = form.fields["prior"].widget, form.fields["beta"].widget
    assert {"rdp", "tv"} <= {prior.itemText(place) for place in range(prior.count())}
    assert not any(section.isAncestorOf(prior) for section in form.sections.values())
    assert form.value().beta == "auto"
    beta.tick.setChecked(False)
    for change, wanted in (
        (lambda: beta.slider.setValue(beta.slider.maximum()), 1000.0),
        (lambda: beta.spin.setText("0.003, 0.01"), (0.003, 0.01)),
    ):
        change()
        assert form.value().beta == wanted
    assert beta.slider.value() == round(20 * np.log10(0.003))
    beta.spin.setText("much")
    assert not form.check()
    form.fill(Penalty(prior="rdp", beta=(1.0, 2.0)))
    assert form.value() == Penalty(prior="rdp", beta=(1.0, 2.0))


def test_likelihood_and_prior_have_a_curve_each(qtbot, dock):
    assert not dock.curves.tabs.isTabVisible(4)
    dock.settings.fill(Settings(iterations=4, subsets=4))
    dock.penalty.fill(Penalty(prior="quadratic"))
    press(qtbot, dock, "run")
    qtbot.waitUntil(lambda: at(dock, "done")() and dock.number is not None, timeout=180_000)
    assert dock.curves.tabs.isTabVisible(4)
    rows = dock.job.rows[-dock.job.subsets :]
    for name, values in (
        ("likelihood", [row.log_likelihood for row in rows]),
        ("prior", [row.penalty for row in rows]),
    ):
        assert dock.curves.data(name)[1][-1] == pytest.approx(sum(values))
    assert sum(row.penalty for row in rows) > 0
    dock.penalty.fill(Penalty())


def test_counters_that_stand_are_not_drawn_again(qtbot):
    session, looks = Session(0), []
    session.phase, session.number = "running", 1
    live = Live(lambda _: None, lambda: False, lambda: 5.0)
    live.looked.connect(lambda: looks.append(session.number))
    live.start(session)
    qtbot.waitUntil(lambda: looks == [1], timeout=180_000)
    qtbot.wait(1000)
    assert looks == [1]
    session.number = 2
    qtbot.waitUntil(lambda: looks == [1, 2], timeout=180_000)
    live.stop()


def test_every_step_of_a_halted_run_is_drawn_however_dear_pictures_are(qtbot, wait):
    """Steps may be over between two looks, and time of the processor hardly passes in a pause."""
    drawn = []

    def draw(picture):
        drawn.append(picture.number)
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            pass

    live, session = Live(draw, lambda: False, lambda: 5.0), Session(10_000)
    live.start(session)
    live.stop()  # it looks when told
    live.share = 1e-6
    session.start(counting(100), paused=True)
    for number in range(4):
        wait(lambda number=number: session.phase == "paused" and session.number == number)
        live.look()
        QApplication.processEvents()
        session.control.step()
    assert drawn == [0, 1, 2, 3]
    assert session.close()


def test_a_warning_takes_its_lines_and_no_more_of_the_screen(dock):
    dock.warned.resize(200, 10)
    heights = []
    for words in ("6 subsets", "6 subsets " * 20):
        dock.warned.setText(words)
        dock.warned.show()
        heights.append(dock.warned.height())
    assert heights[1] > 3 * heights[0]
    assert not dock.warned.parentWidget().layout().hasHeightForWidth()  # else all would scroll


def test_runs_are_kept_gone_on_with_and_compared(qtbot, dock, viewer, told):
    press(qtbot, dock, "run")
    qtbot.waitUntil(lambda: dock.number == 12, timeout=180_000)
    first = viewer.layers["EM reconstruction"].data
    dock.runs.iterations.setValue(2)
    press(qtbot, dock, "continue")
    qtbot.waitUntil(lambda: at(dock, "done", 20)() and dock.number == 20, timeout=180_000)
    dock.settings.fill(Settings(iterations=5, subsets=4, post_fwhm_mm=(5.0,)))
    press(qtbot, dock, "run")
    qtbot.waitUntil(lambda: at(dock, "done", 20)() and len(dock.runs.runs) == 3, timeout=180_000)
    qtbot.waitUntil(lambda: dock.number == 20, timeout=180_000)
    one, two, three = dock.runs.runs
    assert (two.name, len(dock.curves._lines)) == ("2: OSEM 5 x 4", 3)
    np.testing.assert_array_equal(two.job.rows[12].log_likelihood, one.job.rows[12].log_likelihood)
    dock.runs.list.itemClicked.emit(dock.runs.list.item(0))
    assert dock.shown is one
    np.testing.assert_array_equal(viewer.layers["EM reconstruction"].data, first)
    assert "iteration 3" in viewer.canvas.overlays.text.text
    dock.runs.tick([two, three])
    assert len(dock.curves._lines) == 3  # those, and the one that is shown
    press(qtbot, dock, "compare")
    wanted = three.session.history.picture(-1)[1] - two.session.history.picture(-1)[1]
    np.testing.assert_array_equal(viewer.layers[-1].data, wanted)
    assert viewer.canvas.overlays.text.text == ""  # the difference is no iteration
    viewer.layers[-1].visible = False
    assert "iteration 3" in viewer.canvas.overlays.text.text
    viewer.layers[-1].visible = True
    viewer.layers.pop(-1)
    assert "iteration 3" in viewer.canvas.overlays.text.text  # seen again
    assert {*dock.curves._lines} == {one.line, two.line, three.line}  # not made anew
    assert dock.runs.readout.text() == "2 and 3 differ by post_fwhm_mm: [] and [5.0]"


def test_a_layer_that_was_changed_or_made_is_what_counts(qtbot, dock, viewer, scan_folder):
    (mu,) = (viewer.add_image(d, **i) for d, i, _ in read(scan_folder / "mu.nii.gz"))
    field = dock.corrections.fields["mu"].widget
    field.box.setCurrentText(mu.name)

    def command():
        press(qtbot, dock, "command")
        words = shlex.split(QApplication.clipboard().text())
        return Path(words[words.index("--mu") + 1])

    assert command() == scan_folder / "mu.nii.gz"  # as it was read
    mu.data[...] = 0
    changed = command()
    assert changed != scan_folder / "mu.nii.gz"
    assert not read_image(changed).voxels.any()
    mu.data = read(scan_folder / "mu.nii.gz")[0][0]
    mu.translate = np.add(mu.translate, (0, 0, 20))  # to the patient's right
    moved = command()
    there, here = read_image(moved), read_image(scan_folder / "mu.nii.gz")
    np.testing.assert_array_equal(there.voxels, here.voxels)
    np.testing.assert_allclose(there.affine[:3, 3] - here.affine[:3, 3], (20, 0, 0), atol=1e-4)
    assert command() == moved  # the same layer is the same file
    made = viewer.add_image(np.ones((4, 5, 6), np.float32), name="by hand", scale=(2, 3, 4))
    field.box.setCurrentText(made.name)
    np.testing.assert_allclose(read_image(command()).spacing_mm, (4, 3, 2))
    prompts = viewer.layers["tiny prompts"]
    prompts.data = prompts.data * 2
    dock.scan.box.setCurrentText(prompts.name)
    with pytest.raises(SettingsError, match="counts of tiny prompts were changed"):
        dock._as_command()


def test_a_failure_leaves_all_as_it_was(qtbot, dock, viewer, told):
    press(qtbot, dock, "run")
    qtbot.waitUntil(lambda: dock.number == 12, timeout=180_000)
    image = viewer.layers["EM reconstruction"].data
    dock.scan.box.setEditText("nowhere.hs")
    press(qtbot, dock, "run")
    qtbot.waitUntil(lambda: "nowhere.hs" in " ".join(told), timeout=180_000)
    assert viewer.layers["EM reconstruction"].data is image
    assert len(dock.runs.runs) == 1
    press(qtbot, dock, "command")  # of the run that is seen
    assert "nowhere" not in QApplication.clipboard().text()


def test_what_a_run_warned_of_is_said_in_the_panel_and_stays_with_it(qtbot, dock):
    dock.settings.fill(Settings(iterations=1, subsets=7))  # 24 views
    press(qtbot, dock, "run")
    qtbot.waitUntil(at(dock, "done"), timeout=180_000)
    qtbot.waitUntil(lambda: dock.warned.isVisibleTo(dock), timeout=180_000)
    assert "6 subsets" in dock.warned.text() or "8 subsets" in dock.warned.text()
    (run,) = dock.runs.runs
    assert run.session.warnings == dock.warned.text().split("\n")
    assert run.name.endswith(f" x {run.job.subsets}")
    assert f"{run.job.subsets} subsets are used" in dock.warned.text()


def test_counters_come_though_no_picture_is_wanted(qtbot, dock, monkeypatch):
    dock.settings.fill(Settings(iterations=100_000, subsets=4))
    monkeypatch.setattr(dock, "_rate", lambda: 1e-3)
    dock.live._hz = dock._rate
    press(qtbot, dock, "run")
    qtbot.waitUntil(lambda: dock.live.frames == 1, timeout=180_000)
    seen = set()
    dock.live.looked.connect(lambda: seen.add(dock.run_bar.status.text()))
    qtbot.waitUntil(lambda: len(seen) >= 4, timeout=180_000)
    assert dock.live.frames == 1
    dock.stop()
    assert dock.session.join(60)


def test_pause_step_resume_stop_and_reset(qtbot, dock, viewer):
    dock.settings.fill(Settings(iterations=10_000, subsets=4))
    press(qtbot, dock, "step")  # nothing runs: a run that halts at its start
    qtbot.waitUntil(at(dock, "paused", 0), timeout=180_000)
    qtbot.waitUntil(
        lambda: dock.run_bar.buttons["pause"].text().startswith("Resume"), timeout=180_000
    )
    for number in (1, 2):
        press(qtbot, dock, "step")
        qtbot.waitUntil(at(dock, "paused", number), timeout=180_000)
    press(qtbot, dock, "pause")  # resumes
    qtbot.waitUntil(lambda: dock.session.number > 20, timeout=180_000)
    press(qtbot, dock, "pause")
    qtbot.waitUntil(at(dock, "paused"), timeout=180_000)
    halted = dock.session.number
    qtbot.wait(300)
    assert dock.session.number == halted
    qtbot.waitUntil(lambda: dock.number == halted, timeout=180_000)
    press(qtbot, dock, "stop")
    qtbot.waitUntil(at(dock, "stopped"), timeout=180_000)
    assert dock.session.result.stopped
    press(qtbot, dock, "reset")
    assert dock.session.phase == "idle"
    assert [layer.name for layer in viewer.layers] == ["tiny prompts"]
    assert dock.curves.data("gap") == ([], [])
    assert dock.runs.runs == []


def test_a_click_on_a_curve_goes_to_that_iteration(qtbot, dock, viewer, tmp_path):
    press(qtbot, dock, "run")
    qtbot.waitUntil(at(dock, "done"), timeout=180_000)
    qtbot.waitUntil(lambda: dock.number == 12, timeout=180_000)
    dock.curves.tabs.setCurrentIndex(1)
    dock.curves.pick(1.3)  # iterations of four updates: update 5
    assert dock.number == 5
    assert viewer.canvas.overlays.text.text == "iteration 1 + 1/4"
    np.testing.assert_array_equal(dock.layers.live.data, dock.session.history.frames()[5])
    dock.save_to(tmp_path / "seen.nii.gz")
    np.testing.assert_array_equal(
        read_image(tmp_path / "seen.nii.gz").voxels.transpose(), dock.layers.live.data
    )
    press(qtbot, dock, "python")
    assert "after(5)" in QApplication.clipboard().text()
    dock.slider.setValue(0)
    assert viewer.canvas.overlays.text.text == "start image"
    dock.layers.live.visible = False  # the words are of what is seen
    assert viewer.canvas.overlays.text.text == ""


def test_what_is_copied_and_saved_is_the_run(qtbot, dock, scan_folder, tmp_path, told):
    press(qtbot, dock, "command")
    words = shlex.split(QApplication.clipboard().text())
    assert words[:3] == ["emrecon", "recon", str(scan_folder)]
    assert words[words.index("--iterations") + 1] == "3"
    press(qtbot, dock, "save")
    assert told[-1].startswith("there is no reconstruction yet")
    press(qtbot, dock, "run")
    qtbot.waitUntil(at(dock, "done"), timeout=180_000)
    dock.save_to(tmp_path / "x.nii.gz")
    assert (tmp_path / "x.json").exists()
    dock.save_to(tmp_path / "x.png")
    assert "no format ends so" in told[-1]
    press(qtbot, dock, "python")
    assert "reconstruct(" in QApplication.clipboard().text()


def test_mistakes_are_told_and_leave_the_dock_ready(qtbot, dock, told):
    tolerance = dock.settings.fields["tolerance"]
    tolerance.widget.setText("little")
    assert tolerance._wrong.text() == "'little' is not a number"  # said under it, at once
    assert "border" in tolerance.widget.styleSheet()
    press(qtbot, dock, "run")
    assert told == ["Tolerance: 'little' is not a number"]
    tolerance.widget.setText("")
    assert not tolerance._wrong.isVisibleTo(dock)
    assert tolerance.widget.styleSheet() == ""
    dock.settings.fields["iterations"].widget.setValue(0)
    press(qtbot, dock, "run")
    assert "iterations must be 1 or more" in told[-1]
    assert "Iterations must be 1 or more" in dock.settings.fields["iterations"]._wrong.text()
    dock.settings.fill(Settings(iterations=1))
    dock.scan.box.setEditText("/nowhere/scan.hs")
    press(qtbot, dock, "run")
    qtbot.waitUntil(at(dock, "failed"), timeout=180_000)
    qtbot.waitUntil(lambda: "nowhere" in told[-1], timeout=180_000)
    assert "nowhere" in dock.warned.text()  # all of it, and for longer than a notification
    dock.scan.box.setEditText("")
    press(qtbot, dock, "run")
    assert told[-1].startswith("choose a scan")


def test_a_run_that_went_on_unseen_is_seen_at_its_end(qtbot, dock):
    press(qtbot, dock, "step")
    qtbot.waitUntil(lambda: at(dock, "paused")() and dock.number == 0, timeout=180_000)
    dock.live._timer.stop()  # nobody looks before the end
    press(qtbot, dock, "pause")
    assert dock.session.join(60)
    dock.live._timer.start()
    qtbot.waitUntil(lambda: at(dock, "done")() and dock.number == 12, timeout=180_000)


def test_captions_are_read_on_dark_and_on_light(qtbot):
    plot = plot_widget(legend=True)
    qtbot.addWidget(plot)
    item = plot.getPlotItem()
    for background, colours in ((QColor("#23242b"), DARK), (QColor("#ebe7e6"), LIGHT)):
        palette = plot.palette()
        palette.setColor(QPalette.ColorRole.Window, background)
        plot.setPalette(palette)
        assert item.getAxis("left").textPen().color().name() == colours.axes
        assert item.legend.labelTextColor().name() == colours.axes
        for colour in astuple(colours):
            lights = sorted(map(luminance, (QColor(colour), background)))
            assert (lights[1] + 0.05) / (lights[0] + 0.05) > 4.5, colour  # as WCAG 2 asks


def luminance(colour):
    """Return the relative luminance of a colour by WCAG 2."""
    parts = np.array(colour.getRgbF()[:3])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def test_the_history_says_its_memory_and_keeps_to_it(qtbot, dock, monkeypatch):
    monkeypatch.setattr(run_panel, "preferences", lambda: Preferences(history_mb=1))
    press(qtbot, dock, "run")
    qtbot.waitUntil(at(dock, "done"), timeout=180_000)
    qtbot.waitUntil(lambda: "kept, 1 in" in dock.kept.text(), timeout=180_000)
    assert dock.session.history.bytes <= 1_000_000
    assert len(dock.session.history.numbers) < 13


def test_all_runs_together_keep_to_the_memory(qtbot, dock, monkeypatch):
    monkeypatch.setattr(run_panel, "preferences", lambda: Preferences(history_mb=2))
    for number in range(1, 12):
        dock.settings.fill(Settings(iterations=1, subsets=4))
        press(qtbot, dock, "run")
        qtbot.waitUntil(
            lambda: dock.number == 4 and dock.shown.number == number,  # noqa: B023
            timeout=180_000,
        )
    assert [run.number for run in dock.runs.runs] == list(range(4, 12))
    assert all(run.job.image is None for run in dock.runs.runs[:-1])  # nor the scan's data
    held = [run.session.history.bytes for run in dock.runs.runs]
    one = dock.layers.live.data.nbytes
    assert sum(held) <= 2_000_000 + len(held) * one


def test_a_window_set_by_a_person_stays(qtbot, dock, viewer):
    dock.settings.fill(Settings(iterations=50, subsets=4))
    press(qtbot, dock, "step")
    qtbot.waitUntil(lambda: dock.layers.live is not None, timeout=180_000)
    dock.layers.live.contrast_limits = (0.0, 123.0)
    press(qtbot, dock, "pause")
    qtbot.waitUntil(at(dock, "done"), timeout=180_000)
    qtbot.waitUntil(lambda: dock.number == 200, timeout=180_000)
    assert tuple(dock.layers.live.contrast_limits) == (0.0, 123.0)


def test_the_view_is_radiological_and_a_button_turns_it(qtbot, dock, viewer):
    press(qtbot, dock, "run")
    qtbot.waitUntil(at(dock, "done"), timeout=180_000)
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
    assert not viewer.canvas.overlays.scale_bar.visible


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
    reach = form.fields["reach_mm"].widget
    reach.tick.setChecked(False)
    reach.spin.lineEdit().setText("2,5")
    assert form.value() == Later(reach_mm=2.5)
    chooser = form.findChild(FileChooser)
    chooser.box.setCurrentIndex(1)
    assert form.value() == Later("b", 2.5, Path("/some/file.nii"))
    assert caption("psf_fwhm_mm") == "PSF FWHM (mm)"
    assert caption("dead_time_us") == "Dead time (\N{MICRO SIGN}s)"
    assert caption("cps_per_mbq") == "cps per MBq"


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
    qtbot.waitUntil(at(dock, "done"), timeout=180_000)
    assert len(dock.job.score.nrmse) == 5
    folder = samples.scan_folder("cylinder")
    made = (folder / "prompts.hs").stat().st_mtime_ns
    assert samples.scan_folder("cylinder") == folder
    assert (folder / "prompts.hs").stat().st_mtime_ns == made
    kinds = [kind for _, _, kind in samples.scan_layers(folder, "x")]
    assert kinds == ["image", "image", "image", "labels"]
    assert dock.session.close()


def test_a_file_of_the_manifest_is_left_out_by_a_word(qtbot, dock, scan_folder, tmp_path):
    field = dock.corrections.fields["randoms"]
    assert field.widget.box.lineEdit().placeholderText() == "as the scan says"
    assert "none leaves out" in field.widget.toolTip()
    for name in ("randoms", "mu"):
        box = dock.corrections.fields[name].widget.box
        assert box.findText("none") > 0
        box.setEditText("none")
    assert dock.corrections.check()
    dock.scan.box.setEditText(str(scan_folder))
    job, _ = dock._chosen()
    assert job.corrections == Corrections(randoms=Path("none"), mu=(Path("none"),))
    assert "randoms" not in job.inputs()
    shutil.copytree(scan_folder, tmp_path / "bare")
    manifest = tmp_path / "bare" / "scan.toml"
    lines = manifest.read_text().splitlines()
    kept = [line for line in lines if not line.startswith("randoms")]
    assert len(kept) == len(lines) - 1
    manifest.write_text("\n".join(kept))
    once = replace(job, settings=Settings(iterations=1, subsets=4))
    bare = replace(once, scan=manifest, corrections=Corrections())
    one, other = (each.begin().iterate().volume.voxels for each in (once, bare))
    np.testing.assert_array_equal(one, other)
    press(qtbot, dock, "command")
    words = shlex.split(QApplication.clipboard().text())
    assert [words[words.index(flag) + 1] for flag in ("--randoms", "--mu")] == ["none", "none"]
    box = dock.penalty.fields["kappa"].widget.box
    box.setEditText("none")  # no scan names one
    assert not dock.penalty.fields["kappa"].check()
    box.setEditText("auto")
    assert dock.penalty.fields["kappa"].check()
