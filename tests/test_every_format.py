"""The flip finder through every file format: each body comes back at its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emrecon.io import read_image
from emrecon.io.petlink.sinograms import sample_events, write_events
from emrecon.jobs import run
from emrecon.jobs.convert import ConversionJob
from emrecon.jobs.recon import reconstruct
from emrecon.jobs.simulate import write_simulation
from emrecon.tomo.inputs import Binning, Corrections
from emrecon.tomo.settings import Settings
from phantoms.flip_finder import flip_finder
from phantoms.simulate import Simulation, simulate
from tests.tomo.test_recon import BODY, check_centroids

pytestmark = pytest.mark.slow

SETTINGS = Settings(iterations=5, subsets=8)


@pytest.fixture(scope="module")
def made() -> Simulation:
    """Span 1, as list-mode has it, noise-free, seen through one ring-pair a plane."""
    bins = BODY.bins(span=1)
    return simulate(
        flip_finder(), bins, counts=6e6, rng=np.random.default_rng(0), randoms_fraction=0.1,
        scatter_fraction=0.1, noise=False, attenuate=False,
    )  # fmt: skip


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".hv"])
def test_through_interfile_projections(made: Simulation, tmp_path: Path, suffix: str) -> None:
    write_simulation(tmp_path / "scan", made)
    reconstruct(tmp_path / "scan", tmp_path / f"image{suffix}", SETTINGS)
    check_centroids(read_image(tmp_path / f"image{suffix}").ras(), made.truth, made.labels)
    run(ConversionJob(tmp_path / f"image{suffix}", tmp_path / "again.hv"))
    check_centroids(read_image(tmp_path / "again.hv").ras(), made.truth, made.labels)


@pytest.mark.parametrize("span", [1, 3])
def test_through_listmode(made: Simulation, tmp_path: Path, span: int) -> None:
    scan = made.scan
    events = sample_events(scan.bins, made.mean, scan.randoms, 20.0, np.random.default_rng(1))
    header = tmp_path / "scan.l.hdr"
    write_events(header, scan.bins, events)
    reconstruct(header, tmp_path / "image.nii", SETTINGS, Corrections(span=span))
    # 6 million events: about a tenth of a voxel of noise in a body's centroid
    check_centroids(read_image(tmp_path / "image.nii"), made.truth, made.labels, within=0.6)
    run(ConversionJob(header, tmp_path / "folder", Binning(span)))
    reconstruct(tmp_path / "folder", tmp_path / "same.nii", SETTINGS)
    assert (tmp_path / "same.nii").read_bytes() == (tmp_path / "image.nii").read_bytes()
