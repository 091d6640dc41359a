"""Scatter that a reconstruction simulates: used, told and drawn, or refused in a line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from emrecon import jobs
from emrecon.errors import EmreconError, SettingsError
from emrecon.io.manifest import write_manifest
from emrecon.jobs.base import Execution
from emrecon.jobs.recon import ReconstructionJob
from emrecon.jobs.recon_scatter import scatter_charts
from emrecon.jobs.simulate import SimulationJob
from emrecon.tomo.inputs import Corrections
from emrecon.tomo.listmode_settings import ListmodeSettings
from emrecon.tomo.scatter_loop import ScatterEstimate
from emrecon.tomo.settings import Settings
from phantoms.acquisition import Acquisition

HOW = Settings(iterations=1, subsets=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scatter") / "scan"
    scanned = Acquisition(scanner="tiny", counts=2e5, spread=0.0, scatter_fraction=0.1)
    jobs.run(SimulationJob("cylinder", out, scanned))
    return out


@pytest.fixture
def job(folder: Path, tmp_path: Path) -> ReconstructionJob:
    how = Corrections(mu=(folder / "mu.nii.gz",), scatter=Path("simulate"), scatter_rounds=2)
    return ReconstructionJob(folder, tmp_path / "image.nii.gz", HOW, how)


@pytest.mark.slow
def test_it_is_used_told_and_drawn(job: ReconstructionJob) -> None:
    assert job.corrections.simulate_scatter
    assert job.corrections.scatter is None
    result, written = jobs.run(job)
    assert [path.name for path in written] == [
        "image.nii.gz", "image.scatter.png", "image.json", "image.csv", "image.png"
    ]  # fmt: skip
    assert all(path.exists() for path in written)
    facts = json.loads(written[2].read_text())["Facts"]
    about = facts["scatter_simulation"]
    assert about["energy_window_kev"] == [430, 610]
    assert 0.01 < about["scatter_over_net_prompts"] < 0.5
    scatter = about["scatter_over_net_prompts"] * (facts["prompts"] - facts["randoms"])
    assert facts["scatter"] == pytest.approx(scatter, rel=1e-3)
    assert facts["background"] == pytest.approx(facts["randoms"] + facts["scatter"], rel=1e-3)
    picture = np.asarray(Image.open(written[1]))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10
    assert nib.load(written[0]).get_fdata().sum() > 0
    assert result.images[0].scatter is not None


@pytest.mark.parametrize("randoms", [False, True])
def test_a_name_has_one_colour_in_all_charts(*, randoms: bool) -> None:
    """Beside the body the predicted scatter once had the colour of the randoms."""
    names = ["prompts", *(["randoms"] if randoms else []), "predicted", "fitted"]
    profiles = {name: (np.ones(3), np.ones(4)) for name in names}
    fit = SimpleNamespace(bins=1, counted=np.ones(5), expected=np.ones(5), scales=np.ones(5))
    shown = scatter_charts([ScatterEstimate(np.ones(1), {}, profiles, 1.0, fit=fit)])
    assert len(shown) == 3
    colours: dict[str, set[int]] = {name: set() for name in names}
    for line in (line for chart in shown for line in chart.lines):
        colours[next(name for name in names if name in line.name)].add(line.colour)
    assert all(len(each) == 1 for each in colours.values())
    assert len(set.union(*colours.values())) == len(names)


def test_what_cannot_be_is_refused(job: ReconstructionJob, folder: Path) -> None:
    no_map = replace(job, corrections=Corrections(scatter=Path("simulate")))
    with pytest.raises(SettingsError, match="give --mu"):
        no_map.begin().iterate()
    with pytest.raises(SettingsError, match="give --mu"):  # before there are any workers
        no_map.begin(execution=Execution(workers="2")).iterate()
    both = replace(job.corrections, scatter=folder / "scatter.hs")
    with pytest.raises(SettingsError, match=r"--simulate-scatter or --scatter, not both"):
        replace(job, corrections=both).begin().iterate()
    alone = Corrections(mu=job.corrections.mu, scatter_absolute=True)
    with pytest.raises(SettingsError, match="scatter_absolute says nothing without"):
        replace(job, corrections=alone).begin()
    with pytest.raises(SettingsError, match="window_kev a lower and an upper"):
        Corrections(window_kev=(430.0,))
    assert not job.out.exists()


def test_it_is_no_part_of_a_scan(job: ReconstructionJob, tmp_path: Path) -> None:
    write_manifest(tmp_path / "scan.toml", "prompts.hs", simulate_scatter="true")
    with pytest.raises(EmreconError, match="unknown key 'simulate_scatter'"):
        replace(job, scan=tmp_path).begin()


@pytest.mark.slow
def test_single_events_have_their_own_scatter(tmp_path: Path) -> None:
    pytest.importorskip("petsird")
    scanned = Acquisition(
        scanner="tiny", counts=3e4, spread=0.0, scatter="monte-carlo", tof_fwhm_ps=200.0
    )
    jobs.run(SimulationJob("cylinder", tmp_path / "scan", scanned, petsird=True))
    how = Corrections(scatter=Path("simulate"), scatter_rounds=1)
    frames = ListmodeSettings(frames="0:20,20:40")
    job = ReconstructionJob(tmp_path / "scan", tmp_path / "i.nii.gz", HOW, how, listmode=frames)
    _, written = jobs.run(job)
    assert [path.name for path in written][1] == "i.scatter.png"
    assert all(path.exists() for path in written)
    facts = json.loads(written[2].read_text())["Facts"]["frames"]
    for each, share in zip(facts, (1 / 3, 2 / 3), strict=True):
        # A tenth to a sixth is scattered; the window and its blur are those of the file.
        assert 0.08 * share < each["scatter"] / (0.8 * 3e4) < 0.2 * share
        assert each["scatter_simulation"]["energy_window_kev"] == [430, 610]
        assert each["background"] > 0.2 * each["prompts"]
    with pytest.raises(SettingsError, match="scatter_absolute is for"):
        replace(job, corrections=replace(how, scatter_absolute=True)).begin()
