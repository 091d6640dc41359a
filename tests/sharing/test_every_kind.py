"""Every kind of data is shared: the likelihood is that of one process, whatever the workers."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

from emrecon import Settings, prepare
from emrecon.cli import main
from emrecon.errors import DataError, SettingsError
from emrecon.io.interfile import read_projections, write_projections
from emrecon.io.petlink import events as petlink
from emrecon.io.petsird import events as petsird
from emrecon.io.petsird.write import Coincidences, write
from emrecon.io.scan import read_scan
from emrecon.jobs.recon import reconstruct
from emrecon.testing import check_likelihood
from emrecon.tomo.draw import Draw
from emrecon.tomo.exam import ExamInfo
from emrecon.tomo.geometry.presets import PRESETS
from emrecon.tomo.geometry.tof import Timing
from emrecon.tomo.inputs import Corrections
from emrecon.tomo.listmode_settings import ListmodeSettings
from emrecon.tomo.sharing import share
from emrecon.tomo.uncertainty import drawn_again
from phantoms.cylinder import uniform_cylinder
from phantoms.simulate_events import simulate_events
from tests.sharing.conftest import Here, shared
from tests.test_jobs_listmode import FINE, truth, written  # noqa: F401 - a fixture

QUICK = Settings(iterations=2, subsets=4)


def agree(load, settings) -> None:
    """Hold likelihoods, bootstrap, start and last image of 1, 2, 3 workers against a process."""
    with load(None) as scan:
        alone = prepare(scan, settings)
        wanted = [iterate for iterate, _ in zip(alone.iterates(), range(9), strict=False)]
        curved = alone.likelihoods[0].curvature(alone.start, wanted[-1].params)
        again = drawn_again(alone, Draw(3, 1)).likelihoods
        drawn = [likelihood.ratio(alone.start)[0] for likelihood in again]
    bits = set()
    for count in (1, 2, 3):
        problem = share(Here(count), load, settings, 3)
        assert len(problem.likelihoods) == len(alone.likelihoods)
        close(problem.start, alone.start)
        for here, there in zip(problem.likelihoods, alone.likelihoods, strict=True):
            close(here.sensitivity, there.sensitivity)
        for iterate, other in zip(problem.iterates(), wanted, strict=False):
            close(iterate.params, other.params)
            assert iterate.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-6)
        close(problem.likelihoods[0].curvature(alone.start, wanted[-1].params), curved)
        for here, there in zip(drawn_again(problem, Draw(3, 1)).likelihoods, drawn, strict=True):
            close(here.ratio(alone.start)[0], there)
        bits.add(iterate.params.tobytes())
    assert len(bits) == 1
    check_likelihood(problem.likelihoods[0], wanted[-1].params, np.random.default_rng(0))


def close(one, other) -> None:
    assert np.abs(one - other).max() < 2e-5 * np.abs(other).max()


@pytest.fixture(scope="module")
def timed(tmp_path_factory):
    """Counts in 3 time-of-flight bins, each other than the next, with corrections."""
    bins = PRESETS["tiny"].bins(span=3, views=24).timed(Timing(33.3, 60.0, 3))
    rng = np.random.default_rng(1)
    folder, exam = tmp_path_factory.mktemp("timed"), ExamInfo(patient_position="FFS")
    data = {
        "prompts": rng.poisson(1.0, bins.data_shape),
        "normalisation": rng.uniform(0.5, 1.0, bins.shape),
        "randoms": rng.uniform(0.05, 0.2, bins.data_shape),
        "scatter": rng.uniform(0.1, 0.3, bins.shape),
    }
    for name, values in data.items():
        layout = bins if values.ndim == 4 else bins.untimed
        write_projections(folder / f"{name}.hs", layout, values.astype(np.float32), exam)
    named = "".join(f'{name} = "{name}.hs"\n' for name in data)
    (folder / "scan.toml").write_text(named)
    return folder


def in_bins(path, parts=None):
    @contextmanager
    def load(only=None):
        yield read_scan(path, parts, only=only)[0]

    return load


@pytest.mark.parametrize("psf", [(), (5.0,)])
def test_time_of_flight(timed, psf):
    agree(in_bins(timed), Settings(iterations=2, subsets=4, psf_fwhm_mm=psf))


def test_time_of_flight_summed(timed):
    agree(in_bins(timed, Corrections(sum_tof=True)), QUICK)


@pytest.mark.slow
def test_mirrored_views_of_siddon(scan):
    agree(in_bins(scan), Settings(iterations=1, subsets=2, projector="siddon"))


def test_events_of_petsird(tmp_path):
    bins = PRESETS["tiny"].bins(count=21).timed(Timing.of_ps(200, 100, 9))
    rng = np.random.default_rng(3)
    cylinder = uniform_cylinder(25.0, 60.0)
    made = simulate_events(cylinder, bins, counts=30_000, rng=rng, randoms_fraction=0.1)
    prompts, delayeds = Coincidences(*made.prompts), Coincidences(*made.delayeds)
    write(tmp_path / "p", made.bins, prompts, delayeds, 10.0, made.efficiencies)
    load = lambda only: petsird.reading(tmp_path / "p", mu=made.mu)  # noqa: E731
    agree(load, Settings(subsets=3, psf_fwhm_mm=(5.0,)))


@pytest.mark.slow
def test_events_of_petlink(tmp_path, truth):  # noqa: F811 - the fixture
    path = written(tmp_path / "a.l.hdr", truth, 1)
    settings = Settings(iterations=1, subsets=3, voxel_mm=(8.0, 8.0, 5.0))
    agree(lambda only: petlink.reading(path, 1), settings)

    @contextmanager
    def without_events(only):
        with petlink.reading(path, 1) as scan:
            yield scan.with_(events=scan.events.part(0, 0))

    with pytest.raises(DataError, match="no events"):
        share(Here(2), without_events, settings)


def test_some_views_of_time_of_flight_are_read_or_taken_afterwards(timed):
    views = np.array([7, 2, 23])
    whole = read_projections(timed / "prompts.hs")
    some = read_projections(timed / "prompts.hs", only=lambda count: views)
    assert some.data.tobytes() == whole.data[:, views].tobytes()
    scan, _ = read_scan(timed)
    taken, read = scan.of_views(views), read_scan(timed, only=lambda count: views)[0]
    for name in ("prompts", "normalisation", "randoms", "scatter"):
        assert getattr(taken, name).tobytes() == getattr(read, name).tobytes()


def test_more_workers_than_chunks_are_refused(scan):
    with pytest.raises(
        SettingsError, match="4 workers wanted, but the data are split in 3 chunks"
    ):
        share(Here(4), in_bins(scan), QUICK, 3)


@pytest.mark.parametrize("flags", [["--workers", "2"], ["--resume"], ["--cache", "kept"]])
def test_frames_are_not_shared(scan, tmp_path, capsys, flags, truth):  # noqa: F811 - the fixture
    path = written(tmp_path / "a.l.hdr", truth, 1)
    before = set(tmp_path.iterdir())
    with pytest.raises(SystemExit) as left:
        main(["recon", str(path), "-o", str(tmp_path / "a.nii.gz"), "--frames", "0:1", *flags])
    assert left.value.code == 2
    assert "leave them out" in capsys.readouterr().err
    assert set(tmp_path.iterdir()) == before


def test_events_of_a_file_are_shared(tmp_path, truth):  # noqa: F811 - the fixture
    path = written(tmp_path / "a.l.hdr", truth, 1)
    settings = Settings(iterations=1, subsets=3, voxel_mm=(8.0, 8.0, 5.0))
    events = ListmodeSettings(list_mode=True)
    alone = reconstruct(path, None, settings, listmode=events)
    both = [shared(path, None, settings, workers=Here(n), listmode=events) for n in (1, 2)]
    assert both[0].volume.voxels.tobytes() == both[1].volume.voxels.tobytes()
    image = alone.volume.voxels
    assert np.abs(both[0].volume.voxels - image).max() < 1e-5 * image.max()
