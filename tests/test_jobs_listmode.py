"""List-mode by events, as sinograms, and in frames: from files to files."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from emrecon.cli import main
from emrecon.io.petlink import sinograms as petlink
from emrecon.jobs import Execution
from emrecon.jobs import run as run_job
from emrecon.jobs.recon import ReconstructionJob
from emrecon.stop import after
from emrecon.tomo.corrections.normalisation import live_pairs
from emrecon.tomo.geometry.bins import Scanner
from emrecon.tomo.listmode_settings import ListmodeSettings
from emrecon.tomo.operators.joseph import JosephProjector
from emrecon.tomo.settings import Settings
from emrecon.volume import Grid, Volume

FINE = Scanner("fine", 5, 160, 5.0, 66.0, 4.0, 2.2, 79)
"""Views a degree apart: sinograms put every other line on a view that is half of that off."""
HALF_LIFE_S = 8.0
FRAMES = (0.0, 3.0), (3.0, 5.0)
COUNTS = 400_000.0


def run(*tokens: object) -> int:
    """Run the command line, and return its exit code."""
    with pytest.raises(SystemExit) as left:
        main([str(token) for token in tokens])
    return int(left.value.code or 0)


@pytest.fixture(scope="module")
def truth() -> Volume:
    """Two rods of unlike activity in a weak background, off centre in all directions."""
    bins = FINE.bins(span=1)
    grid = bins.grid((4.0, 4.0, FINE.ring_spacing_mm / 2))
    x, y, z = (grid.centres_mm(axis) for axis in range(3))
    x, y = x[:, None, None], y[:, None]
    image = 0.2 * (np.hypot(x, y) < 0.6 * bins.fov_mm) + 0.0 * z
    image = image + 2.0 * ((np.hypot(x - 16, y + 8) < 9) & (z > 0))
    image = image + 1.0 * (np.hypot(x + 14, y - 12) < 9)
    return Volume(image.astype(np.float32), grid.affine, "counts/mm")


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory, truth: Volume) -> Path:
    return written(tmp_path_factory.mktemp("listmode") / "scan.l.hdr", truth, 1)


def written(path: Path, truth: Volume, seed: int) -> Path:
    """Write a decaying source, with randoms that do not decay, as a list-mode file."""
    bins, rng = FINE.bins(span=1), np.random.default_rng(seed)
    pairs = live_pairs(bins)
    trues = pairs * JosephProjector(truth.grid(), bins).forward(truth.voxels)
    trues *= COUNTS / trues.sum()
    randoms = 0.2 * COUNTS * pairs / pairs.sum()
    stretches = []
    rate, whole = math.log(2) / HALF_LIFE_S, sum(d for _, d in FRAMES)
    for start, duration in FRAMES:
        share = (
            math.exp(-rate * start) * -math.expm1(-rate * duration) / -math.expm1(-rate * whole)
        )
        behind = randoms * duration / whole
        stretches += petlink.sample_events(bins, share * trues + behind, behind, duration, rng)
    petlink.write_events(path, bins, stretches)
    with path.open("a") as header:
        header.write(f"isotope gamma halflife (sec):={HALF_LIFE_S}\n")
    return path


HOW = ("--iterations", 4, "--subsets", 4, "--post-fwhm-mm", 6, "--voxel-mm", 4, 4, 2.5)


def image(path: Path):
    return np.asarray(nib.load(path).dataobj, np.float64)


@pytest.mark.slow
def test_by_events_agrees_with_sinograms_within_noise(
    scan: Path, truth: Volume, tmp_path: Path
) -> None:
    again = written(tmp_path / "again.l.hdr", truth, 2)
    images = []
    for path, flags in ((scan, ()), (scan, ("--list-mode",)), (again, ())):
        out = tmp_path / ("events.nii.gz" if flags else f"{path.name}.nii.gz")
        assert run("recon", path, "-o", out, "--span", 1, *HOW, *flags) == 0
        images.append(image(out))
    binned, events, other = images
    noise = np.linalg.norm(other - binned)
    assert np.linalg.norm(events - binned) < 0.5 * noise
    assert events.sum() == pytest.approx(binned.sum(), rel=0.01)
    mirrored = np.linalg.norm(events[::-1] - binned) / np.linalg.norm(binned)
    assert mirrored > 0.5
    told = json.loads((tmp_path / "events.json").read_text())
    assert told["Facts"]["by"] == "events"
    assert told["Facts"]["background"] == told["Facts"]["delayeds"] > 0
    assert told["Inputs"]["prompts"]["File"] == scan.name
    assert not list(tmp_path.glob(".part*"))


@pytest.mark.parametrize("by", ["--list-mode", "--ring-wide"])
def test_frames_are_rates_brought_to_the_start(scan: Path, tmp_path: Path, by: str) -> None:
    frames = ",".join(f"{start}:{duration}" for start, duration in FRAMES)
    out = tmp_path / "frames.nii.gz"
    how = ("-o", out, "--frames", frames, "--decay-corrected", by, *HOW)
    assert run("recon", scan, *how) == 0
    found = image(out)
    assert found.shape[3] == 2
    early, late = found[..., 0].sum(), found[..., 1].sum()
    assert late == pytest.approx(early, rel=0.03)
    told = json.loads((tmp_path / "frames.json").read_text())
    assert told["FrameTimesStart"] == [0.0, 3.0]
    assert told["FrameDuration"] == [3.0, 5.0]
    assert told["ImageDecayCorrected"] is True
    factors = told["DecayCorrectionFactor"]
    assert factors[1] / factors[0] > 1.3  # half of the decay that the frames' middles are apart
    assert told["Units"] == "counts/mm/s"
    prompts = [facts["prompts"] for facts in told["Facts"]["frames"]]
    assert sum(prompts) == pytest.approx(1.2 * COUNTS, rel=0.01)


def test_what_list_mode_refuses(scan: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "x.nii.gz"
    other = scan.with_name("other.l.hdr")
    other.write_bytes(scan.read_bytes())
    cases = [
        (("--frames", "0:1,9:1"), "the file ends at 7.999 s"),
        (("--frames", "7:2"), "holds 1 s of the frame"),
        (("--frames", "0:5,2:3"), "before 5 s"),
        (("--frames", "0:2", "-o", tmp_path / "x.hv"), "written as NIfTI"),
        (("--frames", "0:2", "--resume"), "have no checkpoints"),
        (("--list-mode", "--ring-wide"), "ring_wide is for .*sinograms"),
        (("--list-mode", "--decay-corrected"), "say --frames"),
        (("--frames", "0:2", "--checkpoint-every", 3), "no checkpoints"),
        (("--list-mode", "--cache", tmp_path), "leave out --cache"),
        (("--list-mode", "--axis-column", 3), "axis_column is for projections of a gamma camera"),
        (("--list-mode", "--normalisation", other), "is no projection data"),
        (("--list-mode", "--scatter", other, "--frames", "0:2"), "counts of one scan"),
    ]
    for flags, reason in cases:
        where = () if "-o" in flags else ("-o", out)
        assert run("recon", scan, *where, *flags) > 0
        said = capsys.readouterr().err
        assert re.search(reason, said)
        assert "Traceback" not in said
        assert not list(tmp_path.iterdir())


def test_counts_of_one_scan_in_a_manifest_are_of_no_frame(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "scan.toml"
    manifest.write_text(f'prompts = "{scan.as_posix()}"\nrandoms = "r.hs"\n')
    (tmp_path / "r.hs").write_bytes(b"!INTERFILE")
    assert run("recon", manifest, "-o", tmp_path / "x.nii", "--frames", "0:1") > 0
    assert "--randoms holds counts of one scan" in capsys.readouterr().err


@pytest.mark.slow
def test_a_stopped_run_of_events_goes_on_to_the_same_bits(scan: Path, tmp_path: Path) -> None:
    whole, again = tmp_path / "whole.nii.gz", tmp_path / "again.nii.gz"
    job = ReconstructionJob(
        scan, again, Settings(iterations=2, subsets=3, checkpoint_every=2),
        listmode=ListmodeSettings(list_mode=True),
    )  # fmt: skip
    run_job(replace(job, out=whole))
    job.begin().iterate(lambda image: (), after(4))  # ends without writing
    assert job.checkpoint.exists()
    result, _ = run_job(job, execution=Execution(resume=True))
    assert result.summary().resumed_at == 4
    np.testing.assert_array_equal(image(again), image(whole))
    assert not job.checkpoint.exists()


def test_events_of_an_image_are_refused(tmp_path: Path, capsys) -> None:
    grid = Grid.centred((3, 3, 3), (1.0, 1.0, 1.0))
    nib.save(nib.Nifti1Image(np.ones((3, 3, 3), np.float32), grid.affine), tmp_path / "a.nii")
    assert run("recon", tmp_path / "a.nii", "--list-mode", "-o", tmp_path / "x.nii.gz") > 0
    assert "is no list-mode (image)" in capsys.readouterr().err
