"""What workers cannot share is refused in a line; time of flight summed is shared."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from emrecon import Settings, spread
from emrecon.cli import main
from emrecon.errors import GeometryError, SettingsError
from emrecon.io.interfile import read_projections, write_projections
from emrecon.io.scan import read_scan
from emrecon.jobs import reconstruct
from emrecon.tomo.exam import ExamInfo
from emrecon.tomo.geometry.presets import PRESETS
from emrecon.tomo.geometry.tof import Timing
from emrecon.tomo.inputs import Corrections
from tests.io.test_petsird import NEWEST
from tests.spread.conftest import Here

QUICK = Settings(iterations=2, subsets=4)


@pytest.fixture(scope="module")
def timed(tmp_path_factory):
    """Counts in 3 time-of-flight bins, each other than the next."""
    bins = PRESETS["tiny"].bins(span=3, views=24).timed(Timing(33.3, 60.0, 3))
    counts = np.random.default_rng(1).poisson(1.0, bins.data_shape).astype(np.float32)
    path = tmp_path_factory.mktemp("timed") / "p.hs"
    write_projections(path, bins, counts, ExamInfo(patient_position="FFS"))
    return path


def by(count):
    return partial(spread.ready, workers=Here(count), chunks=3)


def test_time_of_flight_is_refused_unless_it_is_summed(timed, tmp_path):
    out = tmp_path / "a.nii.gz"
    with pytest.raises(SettingsError, match=r"do not share time-of-flight data: say --sum-tof"):
        reconstruct(timed, out, QUICK, get_ready=by(2))
    assert not list(tmp_path.iterdir())
    summed = Corrections(sum_tof=True)
    alone = reconstruct(timed, tmp_path / "b.nii.gz", QUICK, summed).volume.voxels
    shared = reconstruct(timed, out, QUICK, summed, get_ready=by(2)).volume.voxels
    assert np.abs(shared - alone).max() < 1e-5 * alone.max()


def test_some_views_of_time_of_flight_are_read_but_not_taken_afterwards(timed):
    views = np.array([7, 2, 23])
    whole = read_projections(timed)
    some = read_projections(timed, only=lambda count: views)
    assert some.data.tobytes() == whole.data[:, views].tobytes()
    scan, _ = read_scan(timed)
    with pytest.raises(GeometryError, match="time-of-flight"):
        scan.of_views(views)


def test_mirrored_views_of_siddon_are_refused_before_anything_is_read(scan, tmp_path):
    workers = Here(2)
    settings = Settings(iterations=1, subsets=4, projector="siddon")
    ready = partial(spread.ready, workers=workers)
    with pytest.raises(SettingsError, match=r"siddon projector: say --projector joseph"):
        reconstruct(scan, tmp_path / "a.nii.gz", settings, get_ready=ready)
    assert not workers.at
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("events", [["--list-mode"], ["--frames", "0:1"]])
@pytest.mark.parametrize("flags", [["--workers", "2"], ["--chunks", "2"]])
def test_events_and_frames_are_refused(scan, tmp_path, capsys, events, flags):
    with pytest.raises(SystemExit) as left:
        main(["recon", str(scan), "-o", str(tmp_path / "a.nii.gz"), *events, *flags])
    assert left.value.code == 2
    assert "leave out --workers" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_single_events_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="single events, which have no sinograms"):
        reconstruct(NEWEST, tmp_path / "a.nii.gz", QUICK, get_ready=by(2))
    assert not list(tmp_path.iterdir())
