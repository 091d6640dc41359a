"""The panel's segmentation without Qt: the command line's bits, halts, stops, orientation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("napari", reason="napari is not installed")

from emrecon import io
from emrecon.io import read_image
from emrecon.jobs import run as run_job
from emrecon.jobs.segment import SegmentationJob
from emrecon.jobs.segment_result import SegmentResult
from emrecon.tissue import stage_models
from emrecon.tissue.settings import Settings
from emrecon.volume import Volume
from napari_plugin import tissue_seen
from napari_plugin.session import Session
from napari_plugin.tissue_job import TissueJob
from napari_plugin.tissue_layers import shown
from napari_plugin.tissue_seen import dice
from tests.napari.tissue_case import MEANS, case

SETTINGS = Settings(starts=1, mixed=1, iterations=3)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The image and its labels as files."""
    folder = tmp_path_factory.mktemp("tissue")
    image, truth = case()
    io.write_image(image, folder / "t1.nii.gz")
    io.write_image(truth, folder / "truth.nii.gz")
    return folder


@pytest.fixture
def coarse(monkeypatch):
    """Have coarse stages on a small image too."""
    monkeypatch.setattr(stage_models, "FEW", 1000)


def run(job, *, paused=False):
    session = Session(0)
    session.start(job, paused=paused)
    return session


@pytest.mark.slow
def test_it_writes_the_bits_of_the_command_line(files, tmp_path, coarse):
    image = files / "t1.nii.gz"
    made, written = run_job(SegmentationJob((image,), tmp_path / "cli", SETTINGS))
    truth = files / "truth.nii.gz"
    job = TissueJob(SegmentationJob((image,), None, SETTINGS), truth=lambda: read_image(truth))
    session = run(job)
    assert session.join(120)
    assert session.phase == "done", session.error
    saved = session.result.write(tmp_path / "panel")
    assert [path.name for path in saved] == [path.name for path in written]
    for one, other in zip(written, saved, strict=True):
        if one.name.endswith(".nii.gz"):
            same = read_image(one), read_image(other)
            np.testing.assert_array_equal(same[0].voxels, same[1].voxels, one.name)
            np.testing.assert_array_equal(same[0].affine, same[1].affine)
        elif one.suffix in {".tsv", ".png"}:
            assert one.read_bytes() == other.read_bytes(), one.name
    assert session.number == session.total
    rows = job.seen.rows
    assert [row.name for row in rows] == ["CSF", "GM", "WM"]
    np.testing.assert_allclose([row.mean[0] for row in rows], MEANS, rtol=0.05)
    np.testing.assert_allclose([row.sd[0] for row in rows], 6, atol=3)
    np.testing.assert_allclose([row.ml for row in rows], made.segmentation.volumes_ml)
    assert sum(row.weight for row in rows) == pytest.approx(1)
    assert min(row.dice for row in rows) > 0.9
    whole = job.seen.counts.sum()
    assert job.seen.parts.sum() == pytest.approx(whole, rel=0.03)  # the classes explain them all


def test_what_is_seen_of_coarse_stages_lies_where_the_image_does(files, coarse):
    _, truth = case()
    seen = []
    job = TissueJob(SegmentationJob((files / "t1.nii.gz",), None, SETTINGS))
    session = Session(0)
    real = session.look

    def look(number, show):
        show()
        seen.append(job.seen)
        real(number, show)

    session.look = look
    session.start(job)
    assert session.join(120)
    stages = list(dict.fromkeys(one.stage for one in seen))
    assert len(stages) >= 2  # coarse and full
    for stage in stages:
        last = [one for one in seen if one.stage == stage][-1]
        assert last.labels.shape == truth.voxels.shape
        assert not last.labels[truth.voxels == 0].any()
        assert np.mean(last.labels == truth.voxels) > 0.8, stage
        size = (truth.voxels > 0).sum() * 8 / 1000
        assert sum(row.ml for row in last.rows) == pytest.approx(size, rel=0.15)


def test_pause_step_and_stop(files, wait, coarse):
    settings = Settings(starts=1, mixed=1, iterations=500, tolerance=0)
    job = TissueJob(SegmentationJob((files / "t1.nii.gz",), None, settings))
    session = run(job, paused=True)
    wait(lambda: session.phase == "paused" or not session.live)
    assert session.number == 0, session.error
    session.control.step()
    wait(lambda: session.phase == "paused" and session.number == 1)
    session.control.stop()
    assert session.join(60)
    assert session.phase == "stopped"
    assert isinstance(session.result, SegmentResult)
    assert job.stopped
    stages = session.result.segmentation.stages
    assert [len(stage.trace) for stage in stages[1:]] == [1] * (len(stages) - 1)
    assert not session.result.segmentation.converged
    assert np.mean(job.seen.labels == case()[1].voxels) > 0.9  # all of the image, none the less


def test_a_painted_layer_is_written_along_the_axes_of_the_image(files, tmp_path, monkeypatch):
    """A layer's axes run towards R, A and S; the file's first one towards L."""
    from napari.layers import Labels

    from napari_plugin.layer_files import taken

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    _, truth = case()
    array, place = shown(truth, 0)
    layer = Labels(
        (array > 1).astype(np.uint8), scale=place["scale"], translate=place["translate"]
    )
    path = taken(layer).file(files / "t1.nii.gz")
    made, image = read_image(path), read_image(files / "t1.nii.gz")
    np.testing.assert_array_equal(made.voxels, truth.voxels > 1)
    np.testing.assert_allclose(made.affine, image.affine, atol=1e-4)


def test_dice_is_that_of_the_definition():
    labels = np.array([1, 1, 2, 2, 0], np.uint8)
    truth = np.array([1, 2, 2, 2, 1])
    assert dice(labels, truth, 3)[:2] == [0.5, pytest.approx(0.8)]
    assert np.isnan(dice(labels, truth, 3)[2])
    assert dice(labels, None, 2) == [None, None]


def test_bins_of_whole_numbers_show_no_comb(rng):
    """Counts of whole numbers drawn from a smooth density are smooth."""
    values = np.rint(rng.normal(100, 20, 200_000)).astype(np.float32)
    edges = tissue_seen._bins(values, 40.0, 160.0)
    counts, _ = np.histogram(values, edges)
    assert len(counts) == 121
    assert np.abs(np.diff(counts)).max() < 0.1 * counts.max()
    smooth = rng.normal(100, 20, 5000)
    assert len(tissue_seen._bins(smooth, 40.0, 160.0)) == tissue_seen.BINS + 1


def test_every_look_is_at_the_model_that_is_fitted(files):
    """The model without a field is looked at as such, not as the one it is compared with."""
    modes = []

    def look(stage):
        basis = stage.image.basis
        wanted = 0 if basis is None else len(basis.modes)
        return [lambda iterate: modes.append((wanted, iterate.params.bias.shape[1]))]

    SegmentationJob((files / "t1.nii.gz",), None, SETTINGS).begin().iterate(look)
    assert all(wanted == found for wanted, found in modes)
    assert len(set(modes)) == 2


def test_each_pass_kept_has_labels_of_its_own(tmp_path, rng):
    image, truth = case()
    noise = rng.normal(0, 20, truth.voxels.shape).astype(np.float32) * (truth.voxels > 0)
    io.write_image(Volume(image.voxels + noise, image.affine), tmp_path / "t1.nii.gz")
    session = Session(100_000_000)
    session.start(TissueJob(SegmentationJob((tmp_path / "t1.nii.gz",), None, SETTINGS)))
    assert session.join(60)
    assert session.phase == "done", session.error
    frames = np.asarray(session.history.frames())
    changed = [int((one != other).sum()) for one, other in itertools.pairwise(frames)]
    assert sum(count > 0 for count in changed[:8]) > 6, changed  # before it settles
