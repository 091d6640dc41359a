"""The orthogonal views: what is drawn lies in mm, turns with the view, and follows the layers."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari", reason="napari is not installed")
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from napari.components import ViewerModel
from qtpy.QtCore import QPointF
from qtpy.QtWidgets import QPushButton

from napari_plugin import slices, views
from napari_plugin.layers import placement
from napari_plugin.planes_dock import PlanesDock

pytestmark = pytest.mark.qt

MARK_MM = {"S": 13.0, "A": -21.0, "R": 34.0}
AFFINE = np.diag([2.0, 3.0, 4.0, 1.0])
AFFINE[:3, 3] = -30, -60, -47


def marked(shape=(40, 30, 25)):
    """Return an image (S, A, R) with one bright voxel at MARK_MM, and its place."""
    voxels = np.zeros(shape, np.float32)
    there = np.linalg.inv(AFFINE) @ [MARK_MM["R"], MARK_MM["A"], MARK_MM["S"], 1]
    voxels[tuple(np.rint(there[:3]).astype(int))] = 1
    return voxels.transpose(), placement(AFFINE, shape)


@pytest.fixture
def viewer():
    viewer = ViewerModel()
    data, info = marked()
    viewer.add_image(data, name="first", contrast_limits=(0, 1), **info)
    return viewer


@pytest.fixture
def dock(qtbot, viewer):
    dock = PlanesDock(viewer)
    qtbot.addWidget(dock)
    dock.resize(360, 700)
    dock.show()
    qtbot.waitUntil(lambda: dock.planes["axial"].image.image is not None, timeout=180_000)
    return dock


def brightest_mm(plane):
    """Return where the brightest pixel of a plane's image is, across and up, in mm."""
    row, column = np.unravel_index(np.argmax(plane.image.image), plane.image.image.shape)
    place = plane.image.mapToParent(QPointF(column + 0.5, row + 0.5))
    return place.x(), place.y()


@pytest.mark.parametrize(("size", "columns"), [((320, 1200), 1), ((1300, 500), 3)])
def test_planes_are_set_out_by_the_room_that_they_have(qtbot, dock, size, columns):
    dock.resize(*size)  # one step: what the canvas had before does not count
    qtbot.waitUntil(lambda: dock._columns == columns, timeout=180_000)


def test_a_landmark_lies_at_its_millimetres_in_all_planes(qtbot, dock, viewer):
    axial = dock.planes["axial"]
    dock.go_to(dock.planes["sagittal"], MARK_MM["A"], MARK_MM["S"])
    dock.go_to(axial, MARK_MM["R"], MARK_MM["A"])
    np.testing.assert_allclose(viewer.dims.point, [13, -21, 34], atol=1e-3)
    dock.redraw()
    names = ("S", "A", "R")
    for plane in dock.planes.values():
        want = MARK_MM[names[plane.across]], MARK_MM[names[plane.upright]]
        assert plane.image.image.max() == 1
        np.testing.assert_allclose(brightest_mm(plane), want, atol=1e-3)
        np.testing.assert_allclose([line.value() for line in plane.cross], want, atol=1e-3)
    assert dock.readout.text().startswith("R +34.0  A -21.0  S +13.0 mm;  1")
    viewer.dims.set_point(0, 25.0)  # the viewer's slider moves the planes
    qtbot.waitUntil(lambda: axial.image.image.max() == 0, timeout=180_000)
    assert dock.planes["coronal"].image.image.max() == 1


def test_right_is_left_and_the_button_turns_it(qtbot, dock, viewer):
    axial, sagittal = dock.planes["axial"], dock.planes["sagittal"]

    def screen(plane, across):
        return plane.mapViewToScene(QPointF(across, 0.0)).x()

    assert views.sense_of(viewer) == "radiological"
    assert axial.words() == {"left": "R", "right": "L", "top": "A", "bottom": "P"}
    assert sagittal.words() == {"left": "A", "right": "P", "top": "S", "bottom": "I"}
    assert screen(axial, 30) < screen(axial, -30)
    assert (
        dock.planes["coronal"].mapViewToScene(QPointF(0, 30.0)).y()
        < dock.planes["coronal"].mapViewToScene(QPointF(0, -30.0)).y()
    )  # head up
    dock.findChild(QPushButton, "sense").click()
    assert axial.words()["left"] == "L"
    assert screen(axial, 30) > screen(axial, -30)


def test_the_active_image_is_followed_and_its_data_and_window(qtbot, dock, viewer):
    data, info = marked()
    second = viewer.add_image(data * 5, name="second", contrast_limits=(0, 5), **info)
    assert dock.layer is second  # a new layer is the active one
    assert dock.shown.text() == "second"
    viewer.layers.selection.active = viewer.layers["first"]
    assert dock.layer is viewer.layers["first"]
    labels = viewer.add_labels((data > 0).astype(np.uint8), name="marks", **info)
    assert dock.layer is viewer.layers["first"]  # labels do not take its place
    dock.over_box.setCurrentIndex(dock.over_box.findText("marks"))
    dock.over_box.activated.emit(dock.over_box.currentIndex())
    assert dock.over is labels
    dock.go_to(dock.planes["sagittal"], MARK_MM["A"], MARK_MM["S"])
    dock.go_to(dock.planes["axial"], MARK_MM["R"], MARK_MM["A"])
    dock.redraw()
    over = dock.planes["axial"].overlay
    assert (over.image[..., 3] > 0).sum() == 1
    dock.opacity.setValue(25)
    assert over.opacity() == pytest.approx(0.25)
    viewer.layers["first"].data = np.full_like(data, 0.5)
    qtbot.waitUntil(lambda: dock.planes["axial"].image.image.min() == 0.5, timeout=180_000)
    viewer.layers.remove("marks")
    assert dock.over is None
    viewer.layers.clear()
    assert dock.layer is None
    dock.redraw()
    assert dock.readout.text() == "Select an image layer"


def test_dragging_sets_the_window_and_the_wheel_goes_through_planes(dock, viewer):
    layer = viewer.layers["first"]
    axial = dock.planes["axial"]
    axial.windowed.emit(150.0, 0.0)
    low, high = layer.contrast_limits
    assert high - low == pytest.approx(np.e)
    assert (high + low) / 2 == pytest.approx(0.5)
    axial.windowed.emit(0.0, 30.0)
    assert sum(layer.contrast_limits) / 2 == pytest.approx(0.5 + np.e / 10)
    dock.redraw()
    assert tuple(axial.image.levels) == pytest.approx(tuple(layer.contrast_limits))
    before = viewer.dims.point[0]
    axial.scrolled.emit(1)
    assert viewer.dims.point[0] == pytest.approx(before + 4)
    axial.scrolled.emit(100)  # too far: stays within the image
    assert before < viewer.dims.point[0] <= slices.extent(layer)[1][0]


def test_frames_other_grids_and_what_has_no_place(qtbot, dock, viewer):
    data, info = marked()
    frames = np.stack([data * n for n in range(3)])
    lead = {
        "scale": (1.0, *info["scale"]),
        "translate": (0.0, *info["translate"]),
        "axis_labels": ("t", "S", "A", "R"),
        "units": ("s", "mm", "mm", "mm"),
    }
    viewer.add_image(frames, name="4D", contrast_limits=(0, 2), **lead)
    dock.go_to(dock.planes["sagittal"], MARK_MM["A"], MARK_MM["S"])
    dock.go_to(dock.planes["axial"], MARK_MM["R"], MARK_MM["A"])
    for frame in (2, 1):
        viewer.dims.set_point(0, frame)
        dock.redraw()
        assert dock.planes["axial"].image.image.max() == frame
    viewer.layers["4D"].data[...] = np.nan
    dock.redraw()
    assert np.isfinite(dock.planes["axial"].image.image).all()
    tilted = viewer.add_image(data, name="tilted", rotate=10)
    scan = viewer.add_image(data, name="counts", metadata={"emrecon": {"scan": "x"}})
    assert not slices.spatial(tilted)
    assert not slices.spatial(scan)
    assert dock.layer is viewer.layers["4D"]
    small = viewer.add_image(np.ones((2, 2, 2), np.float32), name="small")
    assert dock.layer is small
    assert dock.planes["axial"].words()["left"] == ""  # its axes are not known to be S, A, R
    dock.redraw()
    assert not dock.planes["axial"].image.isVisible()  # the crosshair is beyond it


def test_it_lets_go_of_a_viewer_that_outlives_it(qtbot, viewer):
    dock = PlanesDock(viewer)
    told = len(viewer.layers.events.inserted.callbacks)
    dock.deleteLater()
    qtbot.waitUntil(lambda: len(viewer.layers.events.inserted.callbacks) < told, timeout=180_000)
    viewer.dims.set_point(0, 5.0)
    viewer.layers["first"].contrast_limits = (0, 2)
    viewer.layers.clear()


def test_an_image_laid_over_hides_nothing_where_it_is_empty(qtbot, dock, viewer):
    data, info = marked()
    over = viewer.add_image(data, name="over", contrast_limits=(0, 1), colormap="hot", **info)
    viewer.layers.selection.active = viewer.layers["first"]
    dock.over_box.setCurrentIndex(dock.over_box.findText("over"))
    dock.over_box.activated.emit(dock.over_box.currentIndex())
    dock.redraw()
    item = dock.planes["axial"].overlay
    assert dock.over is over
    assert item.lut[0, 3] == 0
    assert (np.diff(item.lut[:, 3].astype(int)) >= 0).all()  # the higher, the less clear
    assert item.lut[-1, 3] == 255
    assert dock.planes["axial"].image.lut[0, 3] == 255
