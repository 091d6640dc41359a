"""The dock that simulates a scan, on a viewer without a canvas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("napari", reason="napari is not installed")
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton

from emrecon.io import read_image
from emrecon.io.frames import read_frames
from napari_plugin import job_dock, samples, simulate_dock, transmission_dock
from napari_plugin.recon_dock import ReconDock
from napari_plugin.simulate_dock import SimulateDock
from napari_plugin.transmission_dock import TransmissionDock
from phantoms.acquisition import Acquisition, phantom_named
from tests.jobs.test_transmission_job import MU, frames, inside_of  # noqa: F401 - a fixture
from tests.napari.conftest import TINY

pytestmark = pytest.mark.qt


@pytest.fixture
def told(monkeypatch):
    """What the person was told."""
    said = []
    for module in (simulate_dock, job_dock):
        monkeypatch.setattr(module, "show_error", said.append)
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
    qtbot.waitUntil(lambda: len(viewer.layers) == 4, timeout=180_000)
    counts, truth, mu, labels = viewer.layers
    assert counts.data.sum() == pytest.approx(TINY.counts, rel=0.02)
    assert (counts.visible, truth.visible, mu.visible, labels.visible) == (True, *[False] * 3)
    assert truth.axis_labels == ("S", "A", "R")
    assert [layer.name for layer in viewer.layers] == [
        "cylinder prompts", "cylinder truth", "cylinder mu", "cylinder labels"
    ]  # fmt: skip
    assert recon.scan.box.currentText() == counts.name  # chosen by itself
    assert str(recon.scan.path()) == f"layer:{counts.name}"
    assert dock.simulate_button.isEnabled()
    said = dock.readout.text()
    assert "shrunk to" in said
    press(qtbot, dock, "simulate")  # the same again is not counted again, and seen again
    qtbot.waitUntil(lambda: len(viewer.layers) == 8, timeout=180_000)
    assert dock.readout.text() == said
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
    dock.acquisition.fields["scanner"].widget.setEditText("Siemens Nonesuch")
    press(qtbot, dock, "both")
    qtbot.waitUntil(lambda: len(told) == 2, timeout=180_000)
    assert "no scanner called 'Siemens Nonesuch'" in told[-1]
    assert dock.simulate_button.isEnabled()


def test_the_settings_are_those_of_the_phantom_and_hold_it(qtbot, told):
    dock = SimulateDock(ViewerModel())
    qtbot.addWidget(dock)
    for name in ("nema", "derenzo", "brain"):
        dock.phantom.setCurrentText(name)
        how = dock.acquisition.value()
        assert how == samples.quick(name)
        assert how.holds(phantom_named(name)), name
    dock.preset.setCurrentText("PET, Siemens mMR")
    assert dock.acquisition.value() == Acquisition(scanner="Siemens mMR")
    assert not dock.tabs.isTabEnabled(1)
    dock.preset.setCurrentText("SPECT, quick")
    assert dock.tabs.isTabEnabled(1)


def test_every_scan_by_name_is_a_job_and_its_frames_are_frames(qtbot, told, monkeypatch):
    dock = SimulateDock(ViewerModel())
    qtbot.addWidget(dock)
    jobs = {}
    monkeypatch.setattr(samples, "simulated", lambda job, session: jobs.setdefault(name, job))
    for name, preset in simulate_dock.PRESETS.items():
        dock.preset.setCurrentText(name)
        dock.start()
        assert dock.session.join(60)
        assert (jobs[name].dicom, jobs[name].petsird) == (preset.dicom, preset.petsird)
        if preset.frames:
            end = max(frame.window_s[1] for frame in read_frames(preset.frames))
            assert end == jobs[name].seconds
    assert told == []


def test_stop_ends_a_simulation_at_once(qtbot, told):
    dock = SimulateDock(ViewerModel())
    qtbot.addWidget(dock)
    dock.preset.setCurrentText("PET, Siemens mMR")  # which takes minutes
    press(qtbot, dock, "simulate")
    qtbot.waitUntil(lambda: dock.session.note.startswith("simulating"), timeout=180_000)
    press(qtbot, dock, "stop")
    assert dock.session.phase == "stopped"
    assert dock.session.join(60)  # of minutes
    qtbot.waitUntil(dock.simulate_button.isEnabled, timeout=180_000)
    assert told == []


def test_rays_become_a_map_that_can_be_chosen_as_mu(qtbot, told, monkeypatch, frames):  # noqa: F811
    monkeypatch.setattr(transmission_dock, "show_error", told.append)
    viewer = ViewerModel()
    dock, recon = TransmissionDock(viewer), ReconDock(viewer)
    for widget in (dock, recon):
        qtbot.addWidget(widget)
    press(qtbot, dock, "run")
    assert "choose a transmission scan" in told.pop()
    dock.scan.box.setEditText(str(frames))
    press(qtbot, dock, "run")  # the size of a pixel is missing
    qtbot.waitUntil(lambda: len(told) == 1, timeout=180_000)
    assert "pixel" in told.pop()
    dock.rays.fields["pixel_mm"].widget.setText("1")
    press(qtbot, dock, "run")
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=180_000)
    (layer,) = viewer.layers
    assert (layer.name, layer.metadata["emrecon"]["unit"]) == ("attenuation map", "1/mm")
    made = read_image(Path(layer.metadata["emrecon"]["path"]))
    np.testing.assert_array_equal(layer.data, made.voxels.transpose())
    assert inside_of(made).mean(dtype=float) == pytest.approx(MU, rel=0.02)
    box = recon.corrections.fields["mu"].widget.box
    assert "attenuation map" in {box.itemText(place) for place in range(box.count())}
