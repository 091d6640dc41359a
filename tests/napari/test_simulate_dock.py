"""The dock that simulates a scan, on a viewer without a canvas."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari", reason="napari is not installed")
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton

from napari_plugin import simulate_dock
from napari_plugin.recon_dock import ReconDock
from napari_plugin.simulate_dock import SimulateDock
from tests.napari.conftest import TINY

pytestmark = pytest.mark.qt


@pytest.fixture
def told(monkeypatch):
    """What the person was told."""
    said = []
    monkeypatch.setattr(simulate_dock, "show_error", said.append)
    return said


def press(qtbot, dock, name):
    qtbot.mouseClick(dock.findChild(QPushButton, name), Qt.MouseButton.LeftButton)


def test_counts_and_truth_come_and_are_what_the_reconstruction_takes(qtbot, told, scan_folder):
    viewer = ViewerModel()
    dock, recon = SimulateDock(viewer), ReconDock(viewer)
    for widget in (dock, recon):
        qtbot.addWidget(widget)
    dock.phantom.setCurrentText("cylinder")
    dock.acquisition.fill(TINY)
    press(qtbot, dock, "simulate")
    assert not dock.simulate_button.isEnabled()
    qtbot.waitUntil(lambda: len(viewer.layers) == 4, timeout=60_000)
    counts, truth, mu, labels = viewer.layers
    assert counts.data.sum() == pytest.approx(TINY.counts, rel=0.02)
    assert (counts.visible, truth.visible, mu.visible, labels.visible) == (True, *[False] * 3)
    assert truth.axis_labels == ("S", "A", "R")
    assert [layer.name for layer in viewer.layers] == [
        "cylinder prompts", "cylinder truth", "cylinder mu", "cylinder labels"
    ]  # fmt: skip
    assert recon.scan.box.currentText() == counts.name  # chosen by itself
    assert recon.scan.path() == dock.session.result
    assert dock.simulate_button.isEnabled()
    press(qtbot, dock, "simulate")  # the same again is not counted again, and seen again
    qtbot.waitUntil(lambda: len(viewer.layers) == 8, timeout=60_000)
    np.testing.assert_array_equal(viewer.layers[4].data, counts.data)
    assert told == []
    assert recon.session.close()


def test_mistakes_are_told(qtbot, told, scan_folder):
    dock = SimulateDock(ViewerModel())
    qtbot.addWidget(dock)
    dock.acquisition.fields["counts"].widget.setText("many")
    press(qtbot, dock, "simulate")
    assert told == ["Counts: 'many' is not a number"]
    dock.acquisition.fill(TINY)
    dock.acquisition.fields["scanner"].widget.setText("Siemens Nonesuch")
    press(qtbot, dock, "both")
    qtbot.waitUntil(lambda: len(told) == 2, timeout=60_000)
    assert "no scanner called 'Siemens Nonesuch'" in told[-1]
    assert dock.simulate_button.isEnabled()
