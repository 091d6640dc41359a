"""Regions as a table: numbers that numpy gives of the same voxels, where shapes are drawn."""

from __future__ import annotations

import csv
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("napari", reason="napari is not installed")
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from napari.components import ViewerModel

from emrecon.errors import GeometryError
from napari_plugin import measure, measure_dock
from napari_plugin.history import History
from napari_plugin.layers import KEY
from napari_plugin.measure_dock import MeasureDock

pytestmark = pytest.mark.qt

PLACE = {
    "scale": (2.0, 3.0, 4.0), "translate": (-10.0, 5.0, 7.0), "units": ("mm",) * 3,
    "axis_labels": ("S", "A", "R"),
}  # fmt: skip


@pytest.fixture
def viewer(rng):
    viewer = ViewerModel()
    values = rng.normal(5, 1, (6, 20, 24)).astype(np.float32)
    about = {KEY: {"unit": "Bq/mL"}}
    viewer.add_image(values, name="image", metadata=about, **PLACE)
    viewer.add_image(np.full_like(values, 4), name="truth", visible=False, **PLACE)
    return viewer


@pytest.fixture
def dock(qtbot, viewer, monkeypatch):
    monkeypatch.setattr(measure_dock, "show_info", lambda text: None)
    dock = MeasureDock(viewer)
    qtbot.addWidget(dock)
    return dock


def drawn(viewer, corners, kind):
    """Draw a shape whose corners are indices of the image."""
    at = np.array(corners) * PLACE["scale"] + PLACE["translate"]
    return viewer.add_shapes([at], shape_type=kind, ndim=3, name=kind)


def test_labels_are_measured_live_and_saved(qtbot, dock, viewer, tmp_path):
    marks = np.zeros((6, 20, 24), np.uint8)
    marks[2, 3:8, 4:9] = 1
    marks[4:, 10:, :] = 3
    labels = viewer.add_labels(marks, features={"index": [0, 1], "name": ["", "lesion"]}, **PLACE)
    dock.truth_box.setCurrentIndex(dock.truth_box.findText("truth"))
    dock.measure()
    image = viewer.layers["image"].data
    assert [row.region for row in dock.rows] == ["lesion", "label 3"]
    for row, number in zip(dock.rows, (1, 3), strict=True):
        inside = image[marks == number].astype(np.float64)
        assert row.mean == pytest.approx(inside.mean(), rel=1e-6)
        assert row.sd == pytest.approx(inside.std(), rel=1e-6)
        assert row.maximum == inside.max()
        assert row.ml == pytest.approx(inside.size * 24 / 1000)
        assert row.bias_percent == pytest.approx(100 * (inside.mean() / 4 - 1), rel=1e-5)
        assert row.noise_percent == pytest.approx(100 * inside.std() / inside.mean(), rel=1e-6)
    dock.save_to(tmp_path / "t.csv")
    with (tmp_path / "t.csv").open() as file:
        read = list(csv.DictReader(file))
    assert float(read[0]["mean (Bq/mL)"]) == dock.rows[0].mean
    labels.paint((0, 10, 12), 2)  # a new region, with no button pressed
    qtbot.waitUntil(lambda: len(dock.rows) == 3, timeout=180_000)
    assert dock.table.item(1, 0).text() == "label 2"
    assert dock.table.horizontalHeaderItem(1).text() == "Mean\nBq/mL"


def test_new_areas_have_the_axes_of_the_image(dock, viewer):
    dock.area_button.click()
    shapes, image = viewer.layers["regions"], viewer.layers["image"]
    assert (shapes.units, shapes.axis_labels) == (image.units, image.axis_labels)
    np.testing.assert_allclose(shapes.data_to_world((1, 2, 3)), image.data_to_world((1, 2, 3)))
    assert dock.region_box.currentText() == "regions"


def test_labels_of_other_voxels_count_by_the_nearest(viewer):
    coarse = viewer.add_labels(
        np.eye(3, 10, dtype=np.uint8)[:, :, None].repeat(12, 2),
        scale=(4.0, 6.0, 8.0), translate=(-9.0, 6.5, 9.0),
    )  # fmt: skip
    (mask,) = measure.regions(coarse, viewer.layers["image"]).values()
    wanted = np.eye(3, 10).repeat(2, 0).repeat(2, 1)[:, :, None].repeat(24, 2) > 0
    np.testing.assert_array_equal(mask, wanted)


@pytest.mark.slow  # napari compiles its triangles
def test_an_area_counts_in_its_plane_and_nowhere_else(viewer):
    image = viewer.layers["image"]
    box = drawn(viewer, [(3, 1.5, 2.5), (3, 1.5, 8.5), (3, 6.5, 8.5), (3, 6.5, 2.5)], "rectangle")
    (mask,) = measure.regions(box, image).values()
    wanted = np.zeros_like(mask)
    wanted[3, 2:7, 3:9] = True
    np.testing.assert_array_equal(mask, wanted)
    ends = [(1, 4, 5), (1, 4, 19), (1, 16, 19), (1, 16, 5)]
    (mask,) = measure.regions(drawn(viewer, ends, "ellipse"), image).values()
    a, r = np.mgrid[:20, :24]
    inside = ((a - 10) / 6) ** 2 + ((r - 12) / 7) ** 2 <= 1
    assert np.count_nonzero(mask[1] != inside) <= 6  # on its edge
    assert not mask[[0, 2, 3, 4, 5]].any()
    tilted = drawn(viewer, [(0, 1, 2), (3, 1, 8), (5, 6, 5)], "polygon")
    with pytest.raises(GeometryError, match="across the planes"):
        measure.regions(tilted, image)


@pytest.mark.slow
def test_a_profile_has_the_values_along_a_line(dock, viewer):
    image = viewer.layers["image"]
    ramp = np.broadcast_to(np.arange(24.0), (6, 20, 24))
    line = drawn(viewer, [(2, 4, 3), (2, 4, 13)], "line")
    places, found = measure.profile(line, image, ramp)
    np.testing.assert_allclose(found, 3 + places / 4, atol=1e-5)
    assert places[-1] == pytest.approx(40, abs=1.0)
    assert measure.profile(drawn(viewer, [(0, 0, 0)] * 4, "rectangle"), image, ramp) is None
    dock.region_box.setCurrentIndex(dock.region_box.findText("line"))
    dock.truth_box.setCurrentIndex(dock.truth_box.findText("truth"))
    dock.measure()
    truth, seen = dock.plot.getPlotItem().listDataItems()
    np.testing.assert_allclose(truth.getData()[1], 4)
    np.testing.assert_allclose(seen.getData()[1][::4], image.data[2, 4, 3:13], rtol=1e-5)
    assert list(dock.columns) == ["mm", "truth (Bq/mL)", "image (Bq/mL)"]


def test_contrast_noise_and_time_curves_are_those_of_the_definition(rng):
    signal, ground = (np.zeros((4, 5, 6), bool) for _ in range(2))
    signal[1], ground[3] = True, True
    pictures = [rng.random((4, 5, 6)) + 1 for _ in range(3)]
    contrast, noise = measure.contrast_and_noise(pictures, signal, ground)
    for at, picture in enumerate(pictures):
        assert contrast[at] == pytest.approx(100 * (picture[1].mean() / picture[3].mean() - 1))
        assert noise[at] == pytest.approx(100 * picture[3].std() / picture[3].mean())
    means = measure.curves(pictures, {"a": signal, "none": np.zeros_like(signal)})
    assert list(means) == ["a"]
    np.testing.assert_allclose(means["a"], [picture[1].mean() for picture in pictures])


def test_frames_give_a_curve_in_seconds(qtbot, dock, viewer, rng, tmp_path):
    frames = rng.random((4, 6, 20, 24)).astype(np.float32)
    first = {"scale": 30.0, "translate": 15.0, "units": "s", "axis_labels": "t"}
    lead = {key: (value, *PLACE[key]) for key, value in first.items()}
    layer = viewer.add_image(frames, name="frames", **lead)
    marks = np.zeros((6, 20, 24), np.uint8)
    marks[2:4] = 1
    viewer.add_labels(marks, name="marks", **PLACE)
    dock.image_box.setCurrentIndex(dock.image_box.findData(layer))
    dock.region_box.setCurrentIndex(dock.region_box.findText("marks"))
    dock.tabs.setCurrentIndex(2)
    dock.measure()
    (curve,) = dock.plot.getPlotItem().listDataItems()
    np.testing.assert_allclose(curve.getData()[0], [30, 60, 90, 120])  # middles of the frames
    np.testing.assert_allclose(curve.getData()[1], frames[:, 2:4].mean(axis=(1, 2, 3)), rtol=1e-5)
    viewer.dims.set_current_step(0, 2)
    dock.measure()
    assert dock.rows[0].mean == pytest.approx(frames[2, 2:4].mean(), rel=1e-5)
    assert dock.readout.text() == "frame 3 of 4: 75 to 105 s"
    uneven = [(0, 10), (10, 20), (30, 60), (90, 300)]
    layer.metadata = {KEY: {"unit": "kBq/mL", "frames_s": uneven}}
    dock.measure()
    assert dock.readout.text() == "frame 3 of 4: 30 to 90 s"
    dock.save_curves_to(tmp_path / "c.csv")
    with (tmp_path / "c.csv").open() as file:
        read = list(csv.DictReader(file))
    times = [(float(one["start (s)"]), float(one["duration (s)"])) for one in read]
    assert times == uneven
    means = [float(one["label 1 (kBq/mL)"]) for one in read]
    np.testing.assert_allclose(means, frames[:, 2:4].mean(axis=(1, 2, 3)), rtol=1e-5)


def test_contrast_against_noise_is_that_of_the_run_s_images(
    dock, viewer, rng, monkeypatch, tmp_path
):
    history = History(10**8)
    pictures = {n: rng.random((6, 20, 24)).astype(np.float32) + 1 for n in (0, 4, 8)}
    for number, picture in pictures.items():
        history.keep(number, picture)
    run = SimpleNamespace(session=SimpleNamespace(history=history))
    monkeypatch.setattr(dock, "_run", lambda image: run)
    marks = np.zeros((6, 20, 24), np.uint8)
    marks[1], marks[4] = 1, 2
    viewer.add_labels(marks, name="marks", **PLACE)
    dock.tabs.setCurrentIndex(1)
    dock.measure()
    (curve,) = dock.plot.getPlotItem().listDataItems()
    noise = [100 * one[4].std() / one[4].mean() for one in pictures.values()]
    contrast = [100 * (one[1].mean() / one[4].mean() - 1) for one in pictures.values()]
    np.testing.assert_allclose(curve.getData(), [noise, contrast], rtol=1e-4, atol=1e-3)
    dock.save_curves_to(tmp_path / "c.csv")
    assert (tmp_path / "c.csv").read_text().startswith("update,noise (%),contrast (%)\n0,")
    dock.table.setSelectionMode(dock.table.SelectionMode.MultiSelection)
    for row in (1, 0):  # the other way round
        dock.table.selectRow(row)
    assert dock.readout.text().startswith("label 2 over label 1")
    assert dock.columns["contrast (%)"][1] == pytest.approx(
        100 * (pictures[4][4].mean() / pictures[4][1].mean() - 1), abs=1e-3
    )
