"""The segmentation dock on a viewer without a canvas: real buttons, real runs."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("napari", reason="napari is not installed")
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QPushButton

from emrecon import io
from emrecon.tissue.settings import Settings
from napari_plugin import file_chooser, run_panel
from napari_plugin.labels import named
from napari_plugin.preferences import Preferences
from napari_plugin.reader import read
from napari_plugin.tissue_dock import TissueDock
from napari_plugin.tissue_layers import shown
from tests.napari.tissue_case import case

pytestmark = [pytest.mark.qt, pytest.mark.slow]

QUICK = Settings(starts=1, mixed=1, iterations=3)


@pytest.fixture
def told(monkeypatch):
    """What the person was told."""
    said = []
    monkeypatch.setattr(run_panel, "show_error", said.append)
    monkeypatch.setattr(run_panel, "show_info", said.append)
    return said


@pytest.fixture
def viewer(tmp_path):
    image, truth = case()
    io.write_image(image, tmp_path / "t1.nii.gz")
    viewer = ViewerModel()
    for data, info, kind in read(tmp_path / "t1.nii.gz"):
        getattr(viewer, f"add_{kind}")(data, **info)
    array, info = shown(truth, 0)
    info["name"] = "true tissue"
    # numbered otherwise than the classes: they are matched by name
    look = named({7: "WM", 8: "GM", 9: "CSF"}, [7, 8, 9])
    marks = np.array([0, 9, 8, 7])[array.astype(int)]
    viewer.add_labels(marks, **info, **look)
    return viewer


@pytest.fixture
def dock(qtbot, viewer, told, monkeypatch):
    monkeypatch.setattr(run_panel, "preferences", Preferences)
    dock = TissueDock(viewer)
    qtbot.addWidget(dock)
    dock.settings.fill(QUICK)
    yield dock
    assert dock.session.close()
    dock.live.stop()


def press(qtbot, dock, name):
    button = dock.findChild(QPushButton, name)
    assert button.isEnabled(), name
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def done(dock):
    return lambda: dock.session.phase == "done" and len(dock.layers.maps) == 3


def test_the_image_among_the_layers_is_segmented_and_scored(qtbot, dock, viewer, told, tmp_path):
    dock.truth.box.setCurrentText("true tissue")
    press(qtbot, dock, "run")
    qtbot.waitUntil(done(dock), timeout=180_000)
    result = dock.session.result.segmentation
    labels = viewer.layers["Tissue labels"]
    _, truth = case()
    array, place = shown(truth, 0)
    assert np.mean(np.asarray(labels.data) == array) > 0.95
    np.testing.assert_allclose(labels.scale, place["scale"])
    np.testing.assert_allclose(labels.translate, place["translate"])
    assert list(labels.features["name"]) == ["", "CSF", "GM", "WM"]
    share = viewer.layers["Tissue probability of WM"]
    assert not share.visible
    wanted = shown(result.volume(result.probabilities[:, 2]), 1)[0]
    np.testing.assert_allclose(np.asarray(share.data), wanted, atol=1 / 4096)
    texts = dock.table.texts()
    assert [row[0] for row in texts] == ["CSF", "GM", "WM"]
    assert [float(row[4]) for row in texts] == pytest.approx(result.volumes_ml, abs=0.06)
    assert min(float(row[5]) for row in texts) > 0.9
    dock.save_to(tmp_path / "out")
    (about,) = (tmp_path / "out").glob("*_dseg.json")
    assert json.loads(about.read_text())["Volumes"]["WM"]["FractionVolumeML"] == pytest.approx(
        float(result.volumes_ml[2])
    )
    assert told == [f"wrote {len(list((tmp_path / 'out').iterdir()))} files to {tmp_path / 'out'}"]


def test_the_histogram_is_explained_by_the_classes_live(qtbot, dock):
    press(qtbot, dock, "step")
    qtbot.waitUntil(lambda: len(dock.plot.classes) == 3, timeout=180_000)
    before = dock.plot.classes[0].getData()[1].copy()
    press(qtbot, dock, "step")
    qtbot.waitUntil(
        lambda: not np.array_equal(dock.plot.classes[0].getData()[1], before), timeout=180_000
    )
    press(qtbot, dock, "stop")
    qtbot.waitUntil(lambda: dock.session.phase == "stopped", timeout=180_000)
    qtbot.waitUntil(lambda: len(dock.layers.maps) == 3, timeout=180_000)
    edges, counts = dock.plot.counts.getData()
    middle, total = dock.plot.total.getData()
    np.testing.assert_allclose(middle, (edges[1:] + edges[:-1]) / 2)
    parts = sum(curve.getData()[1] for curve in dock.plot.classes)
    np.testing.assert_allclose(parts, total)
    assert np.abs(total - counts).sum() < 0.35 * counts.sum()  # noise of the counts, no more
    dock.plot.log_box.click()
    np.testing.assert_allclose(
        dock.plot.total.getData()[1], np.log10(np.maximum(total, 0.5)), atol=1e-6
    )


def test_reset_forgets_and_mistakes_are_told(qtbot, dock, viewer, told):
    press(qtbot, dock, "save")
    assert told[-1].startswith("there is no segmentation yet")
    press(qtbot, dock, "run")
    qtbot.waitUntil(done(dock), timeout=180_000)
    press(qtbot, dock, "reset")
    assert [layer.name for layer in viewer.layers] == ["t1", "true tissue"]
    assert dock.table.rowCount() == 0
    dock.settings.fields["classes"].widget.fill(1)
    press(qtbot, dock, "run")
    assert told[-1] == "classes must be 2 to 50, not 1"
    dock.settings.fill(QUICK)
    dock.inputs.fields["priors"].widget.box.setEditText("'open quote")
    press(qtbot, dock, "run")
    assert "Priors" in told[-1]
    dock.inputs.fields["priors"].widget.box.setEditText("'/nowhere/a b.nii' c.nii")
    assert [str(path) for path in dock.inputs.value().priors] == ["/nowhere/a b.nii", "c.nii"]
    press(qtbot, dock, "run")
    qtbot.waitUntil(lambda: dock.session.phase == "failed", timeout=180_000)
    qtbot.waitUntil(lambda: "a b.nii" in told[-1], timeout=180_000)
    dock.channels.list.item(0).setCheckState(Qt.CheckState.Unchecked)
    press(qtbot, dock, "run")
    assert told[-1].startswith("tick an image")


def test_a_file_with_a_blank_that_is_browsed_for_is_one_file(qtbot, dock, monkeypatch):
    monkeypatch.setattr(file_chooser.QFileDialog, "getOpenFileName", lambda *_: ("/x/a b.nii", ""))
    dock.inputs.fields["priors"].widget._browse()
    dock.inputs.fields["mask"].widget._browse()
    assert dock.inputs.value().priors == (Path("/x/a b.nii"),)
    assert dock.inputs.value().mask == Path("/x/a b.nii")


def test_beta_is_a_number_with_a_slider_or_left_to_the_program(qtbot, dock):
    beta = dock.settings.fields["beta"].widget
    assert beta.value() == 1.0
    for fill, wanted in (
        (lambda: beta.tick.setChecked(True), "auto"),
        (lambda: beta.tick.setChecked(False), 1.0),
        (lambda: beta.slider.setValue(beta.slider.maximum()), 1000.0),
        (lambda: beta.spin.setValue(0.0625), 0.0625),
    ):
        fill()
        assert dock.settings.value().beta == wanted
        assert {beta.spin.isHidden(), beta.slider.isHidden()} == {wanted == "auto"}
    assert beta.slider.value() == round(20 * np.log10(0.0625))
    beta.tick.setChecked(True)
    press(qtbot, dock, "run")
    qtbot.waitUntil(done(dock), timeout=180_000)
    assert dock.job.job.settings.beta == "auto"
    press(qtbot, dock, "command")
    assert "--beta auto" in QApplication.clipboard().text()


def test_painted_labels_are_a_mask_and_images_without_file_are_channels(qtbot, dock, viewer):
    image = viewer.layers["t1"]
    viewer.add_image(
        np.asarray(image.data) * 1.5, name="second", scale=image.scale, translate=image.translate
    )
    image.data[...] = np.asarray(image.data) * 2  # what counts is the layer, not its file
    viewer.layers["true tissue"].data[:13] = 0
    dock.inputs.fields["mask"].widget.box.setCurrentText("true tissue")
    second = dock.channels.list.item(1)
    assert second.text() == "second"
    second.setCheckState(Qt.CheckState.Checked)
    dock.settings.fill(Settings(starts=1, mixed=1, iterations=2, bias_mm=0))
    press(qtbot, dock, "run")
    qtbot.waitUntil(done(dock), timeout=180_000)
    assert not viewer.layers["Tissue labels"].data[:13].any()
    result = dock.session.result.segmentation
    assert result.classes.means.shape[1] == 2
    np.testing.assert_allclose(
        result.classes.means[:, 1], 0.75 * result.classes.means[:, 0], rtol=0.02
    )
    files = [path.name for path in dock.job.job.named().values()]
    assert files == ["t1.nii", "second.nii", "true_tissue.nii"]
    assert not [word for word in dock.session.warnings if "mask" in word and "interpol" in word]


def test_the_passes_can_be_gone_through(qtbot, dock, viewer, told):
    press(qtbot, dock, "run")
    qtbot.waitUntil(done(dock), timeout=180_000)
    numbers = dock.session.history.numbers
    assert numbers == list(range(len(numbers)))
    assert dock.number == numbers[-1] == dock.session.number
    last = viewer.layers["Tissue labels"].data
    np.testing.assert_array_equal(dock.session.history.picture(-1)[1], last)
    dock.slider.setValue(0)
    assert viewer.canvas.overlays.text.text == "pass 0"
    first = dock.session.history.picture(0)[1]
    assert viewer.layers["Tissue labels"].data is first
    assert dock.kept.text() == f"{len(numbers)} images kept; 0 MB"
    press(qtbot, dock, "command")
    assert "a pass on the way" in told[-1]
    assert viewer.layers.extent.units is not None  # else napari complains of a mixture


def test_what_is_copied_makes_the_same_files(qtbot, dock, viewer, tmp_path, monkeypatch):
    from emrecon.cli import app

    press(qtbot, dock, "run")
    qtbot.waitUntil(done(dock), timeout=180_000)
    dock.save_to(tmp_path / "panel")
    monkeypatch.chdir(tmp_path)
    press(qtbot, dock, "python")
    exec(QApplication.clipboard().text(), {})  # noqa: S102 - that is what it is for
    (tmp_path / "segmentation").rename(tmp_path / "python")
    press(qtbot, dock, "command")
    name, *words = shlex.split(QApplication.clipboard().text())
    assert name == "emrecon"
    app(words, exit_on_error=False, result_action="return_value")
    for path in sorted((tmp_path / "panel").glob("*.nii.gz")):
        wanted = io.read_image(path).voxels
        for again in ("python", "segmentation"):
            made = io.read_image(tmp_path / again / path.name).voxels
            np.testing.assert_array_equal(made, wanted, f"{again} {path.name}")
    press(qtbot, dock, "reset")
    dock.inputs.fields["mask"].widget.box.setCurrentText("true tissue")
    press(qtbot, dock, "command")
    words = shlex.split(QApplication.clipboard().text())
    mask = io.read_image(Path(words[words.index("--mask") + 1]))  # written for the command
    painted = viewer.layers["true tissue"].data
    assert mask.voxels.sum() == pytest.approx(painted.sum())


def test_the_responsibilities_of_a_clicked_voxel_step_with_the_run(qtbot, dock, viewer):
    press(qtbot, dock, "step")
    qtbot.waitUntil(lambda: len(dock.plot.classes) == 3, timeout=180_000)
    marks = viewer.layers["true tissue"]
    inside = np.argwhere(np.asarray(marks.data) > 0)
    s, a, r = marks.data_to_world(inside[len(inside) // 2])
    dock.look_at((r, a, s))
    assert [bar.isVisibleTo(dock) for bar in dock.voxel.bars] == [True] * 3
    assert dock.job.seen.before is None  # there was no M-step yet
    first = dock.job.seen
    press(qtbot, dock, "step")
    qtbot.waitUntil(lambda: dock.plot.before[0].getData()[0] is not None, timeout=180_000)
    now = dock.job.seen
    middles, widths = zip(*[(at[1:] + at[:-1], np.diff(at)) for at in (first.edges, now.edges)],
                          strict=True)  # fmt: skip
    for k in range(3):  # bins follow the bias field a little
        was = np.interp(middles[1], middles[0], first.parts[:, k] / widths[0]) * widths[1]
        off = [np.abs(parts[:, k] - was).max() for parts in (now.before, now.parts)]
        assert off[0] < 0.3 * off[1]
    np.testing.assert_array_equal(dock.plot.before[0].getData()[1], now.before[:, 0])
    press(qtbot, dock, "pause")
    qtbot.waitUntil(done(dock), timeout=180_000)
    result = dock.session.result.segmentation
    for number in (0, len(result.probabilities) // 3):
        voxel = [axis[number] for axis in result.index]
        r, a, s, _ = result.affine @ [*voxel, 1]
        dock.look_at((r, a, s))
        wanted = result.probabilities[number]
        shown = [float(bar.format().split()[-1]) for bar in dock.voxel.bars]
        np.testing.assert_allclose(shown, wanted, atol=6e-4)
    dock.look_at((1e4, 0, 0))
    assert dock.voxel.readout.text().endswith("outside the mask")
