"""List-mode in the panel: frame after frame, the bits of the command, a layer of all of them."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

pytest.importorskip("petsird", reason="petsird is not installed")
pytest.importorskip("napari", reason="napari is not installed")
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from napari.components import ViewerModel

from emrecon import jobs
from emrecon.cli import app
from emrecon.errors import FormatError, SettingsError
from emrecon.jobs.recon import ReconstructionJob
from emrecon.jobs.simulate import SimulationJob
from emrecon.stop import Stopped
from emrecon.tomo.listmode_settings import ListmodeSettings
from emrecon.tomo.settings import Settings
from napari_plugin import run_panel
from napari_plugin.preferences import Preferences
from napari_plugin.reader import get_reader
from napari_plugin.recon_dock import ReconDock
from napari_plugin.recon_job import ReconJob
from napari_plugin.recon_outcome import result_as_command, result_as_python
from phantoms.acquisition import Acquisition
from tests.napari.test_dock import at, press
from tests.napari.test_recon_job import ran

HOW = Settings(iterations=2, subsets=3, voxel_mm=(4.0, 4.0, 4.0), size=(19, 19, 6))
TWO = ListmodeSettings(frames="2:4,6:4")


@pytest.fixture(scope="module")
def events(tmp_path_factory) -> Path:
    """Ten seconds of a small cylinder."""
    folder = tmp_path_factory.mktemp("events") / "scan"
    timed = {"tof_fwhm_ps": 200.0, "tof_width_ps": 100.0, "tof_bins": 9}
    acquisition = Acquisition(scanner="tiny", bins=21, counts=3e4, seed=6, **timed)
    jobs.run(SimulationJob("cylinder", folder, acquisition, petsird=True, seconds=10.0))
    return folder / "scan.petsird"


def voxels(path: str | Path):
    return np.asarray(nib.load(path).dataobj)


@pytest.mark.parametrize("how", [TWO, ListmodeSettings()], ids=["frames", "whole"])
def test_the_same_bits_as_the_command_and_as_python(events, tmp_path, monkeypatch, how):
    session = ran(ReconJob(ReconstructionJob(events, settings=HOW, listmode=how)))
    assert session.phase == "done", session.error
    files = session.result.write(tmp_path / "panel.nii.gz")
    assert {file.suffix for file in files} == {".gz", ".json", ".csv", ".png"}
    panel = voxels(tmp_path / "panel.nii.gz")
    assert panel.shape == (19, 19, 6, *([2] if how.several else []))
    last = session.history.frames()
    np.testing.assert_array_equal(last if how.several else last[-1], panel.T)
    monkeypatch.chdir(tmp_path)
    _, *words = shlex.split(result_as_command(session.result))
    app(words, result_action="return_value")
    np.testing.assert_array_equal(voxels("recon.nii.gz"), panel)
    (tmp_path / "recon.nii.gz").unlink()
    exec(compile(result_as_python(session.result), "copied", "exec"), {})  # noqa: S102 - what is tested
    np.testing.assert_array_equal(voxels("recon.nii.gz"), panel)


def test_frames_go_on_to_the_bits_of_a_longer_run(events):
    short = ReconJob(ReconstructionJob(events, settings=replace(HOW, iterations=1), listmode=TWO))
    first = ran(short)
    further = ran(short.further(HOW.iterations - 1, first.result, first.history))
    whole = ran(ReconJob(ReconstructionJob(events, settings=HOW, listmode=TWO)))
    assert further.phase == "done", further.error
    frames = [np.asarray(one.history.frames()) for one in (first, further, whole)]
    np.testing.assert_array_equal(frames[1], frames[2])
    assert not np.array_equal(frames[0], frames[1])
    assert result_as_command(further.result) == result_as_command(whole.result)
    rows = [[len(one.history.rows) for one in run.result.images] for run in (further, whole)]
    assert rows[0] == rows[1]


def test_of_a_run_that_was_stopped_whole_frames_are_kept(events, tmp_path, wait):
    job = ReconJob(ReconstructionJob(events, settings=HOW, listmode=TWO))
    session = ran(job, steps=9, wait=wait)  # 7 iterates of the first frame, 2 of the second
    assert job.words(9) == "frame 2 (6 to 10 s), iteration 0 + 2/3"
    session.result.write(tmp_path / "some.nii.gz")
    assert voxels(tmp_path / "some.nii.gz").shape[3] == 1
    told = json.loads((tmp_path / "some.json").read_text())
    assert told["FrameTimesStart"] == [2.0]
    with pytest.raises(SettingsError, match="was stopped"):
        result_as_command(session.result)
    early = ran(
        ReconJob(ReconstructionJob(events, settings=HOW, listmode=TWO)), steps=3, wait=wait
    )
    assert (early.phase, early.result) == ("stopped", None)


@pytest.mark.qt
def test_the_dock_shows_frames_along_their_times(qtbot, events, monkeypatch):
    monkeypatch.setattr(run_panel, "preferences", Preferences)
    viewer = ViewerModel()
    dock = ReconDock(viewer)
    qtbot.addWidget(dock)
    dock.settings.fill(HOW)
    dock.listmode.fill(TWO)
    dock.scan.box.setEditText(str(events))
    press(qtbot, dock, "step")
    qtbot.waitUntil(at(dock, "paused", 0), timeout=180_000)
    qtbot.waitUntil(lambda: dock.layers.live is not None, timeout=180_000)
    assert dock.run_bar.status.text().startswith("paused: frame 1 (2 to 6 s), start image")
    for number in range(1, 5):
        press(qtbot, dock, "step")
        qtbot.waitUntil(at(dock, "paused", number), timeout=180_000)
    qtbot.waitUntil(lambda: dock.number == 4, timeout=180_000)
    newest = dock.layers.live.data  # the window is its own, not that of the start
    assert dock.layers.live.contrast_limits[1] > 0.85 * newest.max()
    press(qtbot, dock, "pause")
    qtbot.waitUntil(at(dock, "done"), timeout=180_000)
    name = "EM reconstruction frames"
    qtbot.waitUntil(lambda: name in viewer.layers, timeout=180_000)
    assert [layer.name for layer in viewer.layers] == ["EM reconstruction", name]
    layer = viewer.layers[name]
    assert (layer.scale[0], layer.translate[0]) == (4.0, 2.0)
    made = [one.volume.voxels for one in dock.session.result.images]
    np.testing.assert_array_equal(np.asarray(layer.data), [image.T for image in made])
    viewer.dims.set_current_step(0, 0)
    assert viewer.canvas.overlays.text.text == "frame 1 (2 to 6 s)\niteration 2"
    assert dock.session.close()


def test_events_that_are_dropped_on_the_viewer_say_where_to_go(events):
    reads = get_reader(str(events))
    with pytest.raises(FormatError, match="Plugins > EM reconstruction"):
        reads(str(events))


def test_frames_are_kept_when_the_next_one_s_preparation_is_stopped(events, monkeypatch):
    run = ReconstructionJob(events, settings=HOW, listmode=TWO).begin()
    images = run.images.ready()

    def stopped_after_one(_):
        yield next(images)
        raise Stopped  # as a meter does

    monkeypatch.setattr(type(run.images), "ready", stopped_after_one)
    result = run.iterate()
    assert result.stopped
    assert [image.whole for image in result.images] == [True]
