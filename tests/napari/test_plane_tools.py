"""Tools of the orthogonal views: places in mm, windows in numbers, rulers, projections, cine."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari", reason="napari is not installed")
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from qtpy.QtCore import QPoint, QPointF, Qt

from napari_plugin.projections import VIEWS, Projections
from tests.napari.test_planes import MARK_MM, dock, marked, pytestmark, viewer  # noqa: F401


def test_a_place_is_typed_and_the_maximum_found(qtbot, dock, viewer):  # noqa: F811
    tools = dock.tools
    tools.place.setText("34, -21 13")
    qtbot.keyClick(tools.place, Qt.Key.Key_Return)
    np.testing.assert_allclose(viewer.dims.point, [13, -21, 34], atol=1e-3)
    tools.place.setText("1 2")
    qtbot.keyClick(tools.place, Qt.Key.Key_Return)
    assert "Place: '1 2' is not" in tools.place.toolTip()
    np.testing.assert_allclose(viewer.dims.point, [13, -21, 34], atol=1e-3)  # as it was
    dock.go_to(dock.planes["axial"], -20, 20)
    qtbot.mouseClick(tools.maximum, Qt.MouseButton.LeftButton)
    np.testing.assert_allclose(viewer.dims.point, list(MARK_MM.values()), atol=1e-3)


def test_the_window_is_typed_and_followed(dock, viewer):  # noqa: F811
    layer, tools = viewer.layers["first"], dock.tools
    tools.high.setValue(0.25)
    assert tuple(layer.contrast_limits) == (0, 0.25)
    tools.low.setValue(0.5)  # above the upper end: no window, and none is set
    assert tuple(layer.contrast_limits) == (0, 0.25)
    layer.contrast_limits = (0.1, 1.5e-1)
    dock.redraw()
    assert (tools.low.text(), tools.high.text()) == ("0.1", "0.15")
    tools.reset.click()
    assert tuple(layer.contrast_limits) != (0.1, 0.15)


def test_a_ruler_says_millimetres_and_moves_no_crosshair(qtbot, dock, viewer):  # noqa: F811
    axial, before = dock.planes["axial"], viewer.dims.point
    dock.tools.ruler.click()
    view = dock.canvas

    def there(across, upright):
        point = axial.mapViewToScene(QPointF(across, upright))
        return view.mapFromScene(point)

    start, end = there(-10, -20), there(20, 20)
    qtbot.mousePress(view.viewport(), Qt.MouseButton.LeftButton, pos=start)
    qtbot.mouseMove(view.viewport(), pos=start + QPoint(8, 8))
    axial.rule((-10, -20), (20, 20))
    assert axial.length.toPlainText() == "50.0 mm"
    qtbot.mouseRelease(view.viewport(), Qt.MouseButton.LeftButton, pos=end)
    assert viewer.dims.point == before
    dock.tools.ruler.click()
    assert axial.length.toPlainText() == ""


def test_a_plane_is_seen_alone_and_reset_brings_all_back(dock):  # noqa: F811
    coronal = dock.planes["coronal"]
    coronal.doubled.emit()
    assert [one.scene() is not None for one in dock.planes.values()] == [False, True, False]
    coronal.doubled.emit()
    assert all(one.scene() is not None for one in dock.planes.values())
    coronal.doubled.emit()
    dock.tools.reset.click()
    assert all(one.scene() is not None for one in dock.planes.values())


def test_projections_hold_the_greatest_values_and_turn_the_right_way():
    volume = np.zeros((20, 30, 40), np.float32)
    volume[5, 20, 30], volume[12, 10, 5] = 3, 2
    made = Projections(volume, (2.0, 2.0, 2.0))
    middle = made.across // 2
    front = made.view(0)
    assert front.shape[0] == 20
    assert front[5, middle + round(30 - 19.5)] == 3
    assert front[12, middle + round(5 - 19.5)] == 2
    for number in range(VIEWS):
        view = made.view(number)
        assert view.max() == 3
        assert view[12].max() == 2
        np.testing.assert_array_equal(view[:, ::-1], made.view(number + VIEWS // 2))
    quarter = made.view(VIEWS // 4)  # seen from a side: A runs across
    where = int(np.argmax(quarter[5])) - middle
    assert abs(where - (20 - 14.5)) <= 1


def test_projections_of_a_large_image_keep_a_single_hot_voxel():
    volume = np.zeros((7, 200, 310), np.float32)
    volume[3, 77, 211] = 1
    made = Projections(volume, (3.0, -1.0, 1.0))
    assert all(made.view(number).max() == 1 for number in (0, 3, 11))
    assert made.across * made.pixel_mm >= np.hypot(200, 310)


def test_the_projection_turns_beside_the_planes(qtbot, dock, viewer):  # noqa: F811
    dock.tools.projection.click()
    table = dock.turntable
    assert table.on
    assert table.plane.scene() is not None
    first = table.number
    qtbot.waitUntil(lambda: table.number != first, timeout=180_000)
    assert table.plane.image.image.max() == 1
    viewer.layers["first"].data = marked()[0] * 4
    qtbot.waitUntil(lambda: table.plane.image.image.max() == 4, timeout=180_000)
    dock.tools.projection.click()
    assert not table.on
    assert table.plane.scene() is None


def test_cine_goes_through_the_frames(qtbot, dock, viewer):  # noqa: F811
    assert not dock.tools.cine.isVisible()
    data, info = marked()
    first = {"scale": 30.0, "translate": 0.0, "units": "s", "axis_labels": "t"}
    lead = {name: (first[name], *value) for name, value in info.items()}
    viewer.add_image(np.stack([data * n for n in range(3)]), name="frames", **lead)
    qtbot.waitUntil(dock.tools.cine.isVisible, timeout=180_000)
    dock.tools.rate.setValue(25)
    seen = set()
    viewer.dims.events.current_step.connect(lambda _: seen.add(viewer.dims.current_step[0]))
    dock.tools.cine.click()
    qtbot.waitUntil(lambda: seen == {0, 1, 2}, timeout=180_000)
    dock.tools.cine.click()
