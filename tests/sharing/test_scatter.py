"""Scatter simulated for workers: every bin and event has that of one process, to the same bits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from emrecon import Settings, jobs
from emrecon.errors import SettingsError
from emrecon.io.scan import open_events, read_scan
from emrecon.jobs.base import no_meters
from emrecon.jobs.recon import reconstruct
from emrecon.jobs.recon_scatter import Refill, simulated, with_scatter
from emrecon.jobs.simulate import SimulationJob
from emrecon.tomo.inputs import Corrections
from phantoms.acquisition import Acquisition
from tests.sharing.conftest import Here, shared

QUICK = Settings(iterations=1, subsets=4)


@pytest.fixture(scope="module")
def bins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a scan whose views are read one by one, with efficiencies of 0 and others."""
    like = Acquisition(
        scanner="tiny", counts=2e5, spread=0.1, scatter_fraction=0.1, dead_blocks=1,
        randoms_fraction=0.1,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("bins") / "scan"
    jobs.run(SimulationJob("cylinder", folder, like))
    return folder


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("petsird")
    like = Acquisition(scanner="tiny", counts=2e4, spread=0.1, tof_fwhm_ps=200.0)
    folder = tmp_path_factory.mktemp("events") / "scan"
    jobs.run(SimulationJob("cylinder", folder, like, petsird=True))
    return folder


def how(folder: Path, **more: bool) -> Corrections:
    mu = () if list(folder.glob("*.petsird")) else (folder / "mu.nii.gz",)
    return Corrections(mu=mu, scatter=Path("simulate"), scatter_rounds=1, **more)


@pytest.mark.parametrize("absolute", [False, True])
def test_some_views_have_the_bits_of_all(bins: Path, *, absolute: bool) -> None:
    asked = how(bins, scatter_absolute=absolute)
    whole = read_scan(bins, asked)[0]
    estimate = simulated(whole, asked, 0, no_meters)
    assert estimate is not None
    assert estimate.scatter.any()
    views = np.array([3, 1, 20])
    some = Refill.of(estimate)(read_scan(bins, asked, only=lambda _: views)[0])
    assert np.array_equal(some.scatter, estimate.scatter[views])
    assert some.facts["scatter_simulation"] == estimate.facts


def test_events_have_the_bits_of_one_process(events: Path) -> None:
    asked = how(events)
    with open_events(events, asked) as (scan, _):
        full, estimate = with_scatter(scan, asked, 0, no_meters)
        again = Refill.of(estimate)(scan)
        assert full.events.background.any()
        assert np.array_equal(again.events.background, full.events.background)
        assert again.events.background_total == full.events.background_total
        assert again.facts == full.facts


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bins", "events"])
def test_the_image_is_that_of_one_process(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = request.getfixturevalue(kind)
    asked = how(folder)
    alone = reconstruct(folder, None, QUICK, asked)
    outs = [tmp_path / f"{n}.nii.gz" for n in (1, 2)]
    both = [
        shared(folder, out, QUICK, asked, workers=Here(n), chunks=3)
        for n, out in enumerate(outs, 1)
    ]
    assert both[0].volume.voxels.tobytes() == both[1].volume.voxels.tobytes()
    image = alone.volume.voxels
    assert np.abs(both[0].volume.voxels - image).max() < 1e-5 * image.max()
    facts = [json.loads(out.with_name(f"{out.name[0]}.json").read_text())["Facts"] for out in outs]
    expected = alone.images[0].facts
    for each in facts:
        assert each["scatter"] == pytest.approx(expected["scatter"], rel=1e-6)
        assert each["background"] == pytest.approx(expected["background"], rel=1e-6)
        assert each["scatter_simulation"]["sampling_error"] > 0
    assert all((tmp_path / f"{n}.scatter.png").stat().st_size > 1000 for n in (1, 2))


def test_what_cannot_be_is_refused_before_there_is_a_worker(bins: Path, tmp_path: Path) -> None:
    workers = Here(1)
    asked = Corrections(scatter=Path("simulate"))
    with pytest.raises(SettingsError, match="give --mu"):
        shared(bins, tmp_path / "a.nii.gz", QUICK, asked, workers=workers)
    assert not workers.at
    assert not list(tmp_path.iterdir())
