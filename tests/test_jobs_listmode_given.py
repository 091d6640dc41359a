"""Corrections in bins, looked up for single events: as in the sinograms of the same scan."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from emrecon.io import interfile
from emrecon.io.petlink import sinograms as petlink
from emrecon.io.petlink.events import reading
from emrecon.tomo.corrections.bin_shares import BinCorrections, places_of
from emrecon.tomo.corrections.normalisation import live_pairs
from emrecon.tomo.geometry.bins import Scanner
from emrecon.tomo.geometry.detectors import crystal_pairs, planes_of_rings
from emrecon.tomo.operators.joseph import JosephProjector
from emrecon.volume import Array
from tests.io.test_petlink import TINY, random_words, written
from tests.test_jobs_listmode import image, run

pytestmark = pytest.mark.slow

FINE = Scanner("fine", 5, 160, 5.0, 66.0, 4.0, 2.2, 79)
COUNTS = 150_000.0
GRID = ("--span", 1, "--voxel-mm", 4, 4, 2.5)
HOW = (*GRID, "--iterations", 3, "--subsets", 4, "--post-fwhm-mm", 6)


@pytest.mark.parametrize(("span", "views"), [(1, None), (3, 12), (5, 8)])
def test_each_pair_is_in_the_bin_that_gathers_it(span: int, views: int | None) -> None:
    bins = TINY.bins(span=span, views=views, max_ring_difference=4, count=23)
    end1, end2 = crystal_pairs(bins)
    planes = planes_of_rings(bins)
    seen = np.zeros(bins.shape)
    for r1, r2 in zip(*np.nonzero(planes >= 0), strict=True):
        pairs = np.stack([r1 * 48 + end1, r2 * 48 + end2], -1)
        views_, bin_ = np.indices(end1.shape)[:2]
        wanted = (views_ * 23 + bin_) * bins.planes + planes[r1, r2]
        for given in (pairs, pairs[..., ::-1]):  # either end first
            place = places_of(bins, given.reshape(-1, 2).astype(np.uint16))
            np.testing.assert_array_equal(place, wanted.ravel())
        np.add.at(seen.reshape(-1), place, 1)
    np.testing.assert_array_equal(seen, live_pairs(bins))
    aside = np.array(
        [[0, 24 + 12], [5, 5], [0, 48 * 5 + 24]], np.uint16
    )  # beyond the fan or rings
    np.testing.assert_array_equal(places_of(bins, aside), -1)


@pytest.mark.parametrize("span", [1, 3])
def test_events_have_the_share_of_their_bin(tmp_path: Path, span: int) -> None:
    path = written(tmp_path, random_words(1, 5000))
    bins = petlink.read_header(path).bins(span)
    rng = np.random.default_rng(2)
    parts = {
        name: rng.uniform(0.5, 1.0, bins.shape).astype(np.float32)
        for name in ("normalisation", "attenuation", "randoms", "scatter")
    }
    gathered = live_pairs(bins)
    with reading(path, span, in_bins=BinCorrections(**parts)) as scan:
        place = places_of(bins, np.array(scan.events.pairs))
        factor = (parts["normalisation"] * parts["attenuation"] / gathered).ravel()[place]
        np.testing.assert_allclose(scan.events.factors, factor, rtol=1e-5)
        behind = ((parts["randoms"] + parts["scatter"]) / gathered).ravel()[place]
        np.testing.assert_allclose(scan.events.background, behind, rtol=1e-5)
        total = float((parts["randoms"] + parts["scatter"]).sum(dtype=float))
        assert scan.events.background_total == pytest.approx(total, rel=1e-5)
        efficiency = parts["normalisation"] * parts["attenuation"]
        np.testing.assert_allclose(scan.efficiency, efficiency, rtol=1e-5)
    with reading(path, span, in_bins=BinCorrections(scatter=parts["scatter"])) as scan:
        own = scan.events.background_total - float(parts["scatter"].sum(dtype=float))
        assert own == pytest.approx(scan.facts["delayeds"])  # estimated as without it
    with reading(
        path, span, in_bins=BinCorrections(scatter=parts["scatter"], all_background=True)
    ) as scan:
        assert scan.events.background_total == pytest.approx(
            float(parts["scatter"].sum()), rel=1e-4
        )


def files(folder: Path, seed: int, *, whole: bool = True) -> dict[str, Path]:
    """A scan with as much scatter as randoms, and the corrections of its bins as Interfile.

    Without `whole` every other bin is dead: those whose lines are half a view off in a sinogram.
    """
    bins, rng = FINE.bins(span=1), np.random.default_rng(seed)
    grid = bins.grid((4.0, 4.0, 2.5))
    x, y = (grid.centres_mm(axis) for axis in range(2))
    aside = np.hypot(x[:, None] - 8, y)[:, :, None]
    image = np.where(aside < 20, 1.0, 0.0) * np.ones(grid.shape[2])
    wave = 1 + 0.3 * np.cos(np.arange(bins.shape[1]) / 9)[:, None] * np.ones(bins.planes)
    parts = {
        "normalisation": np.array(np.broadcast_to(wave, bins.shape), np.float32),
        "attenuation": np.exp(-0.02 * np.maximum(0, 30 - np.abs(bins.s_mm)))[:, None]
        * np.ones(bins.shape, np.float32),
    }
    middle = bins.shape[1] - 1 - bins.shape[1] // 2
    if not whole:
        parts["normalisation"][:, 1 - middle % 2 :: 2] = 0
    dead = parts["normalisation"] == 0
    trues = (
        parts["normalisation"]
        * parts["attenuation"]
        * JosephProjector(grid, bins).forward(image.astype(np.float32))
    )
    trues *= COUNTS / trues.sum()
    hill = np.exp(-((bins.s_mm / 40) ** 2))[:, None] * np.ones(bins.shape)
    parts["scatter"] = 0.4 * COUNTS * hill / hill.sum()
    flat = np.ones(bins.shape)
    parts["randoms"] = 0.4 * COUNTS * flat / flat.sum()
    parts["scatter"][dead] = parts["randoms"][dead] = 0
    parts["correction"] = 1 / (parts["normalisation"] * parts["attenuation"] + dead)
    parts["correction"][dead] = 0
    parts["additive"] = (parts["randoms"] + parts["scatter"]) * parts["correction"]
    mean = trues + parts["scatter"] + parts["randoms"]
    events = petlink.sample_events(bins, mean, parts["randoms"], 5.0, rng)
    petlink.write_events(folder / "scan.l.hdr", bins, events)
    made = {"scan": folder / "scan.l.hdr"}
    for name, data in parts.items():
        made[name] = folder / f"{name}.hs"
        interfile.write_projections(made[name], bins, np.asarray(data, np.float32))
    return made


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return files(tmp_path_factory.mktemp("given"), 1)


def made(case: dict[str, Path], out: Path, *names: str, events: bool) -> Array:
    """Reconstruct with some of the corrections, by events or as a sinogram."""
    flags = [token for name in names for token in (f"--{name}", case[name])]
    how = (*flags, *HOW, *(["--list-mode"] if events else []))
    assert run("recon", case["scan"], "-o", out, *how) == 0
    return image(out)


FACTORS = "normalisation", "attenuation"


@pytest.mark.parametrize(
    "names", [(*FACTORS, "scatter"), (*FACTORS, "randoms", "scatter"), ("correction", "additive")]
)
def test_the_command_makes_the_image_of_the_sinogram(
    case: dict[str, Path], tmp_path: Path, names: tuple[str, ...]
) -> None:
    """Within the half view that lines of a sinogram are off; far less than without scatter."""
    events = made(case, tmp_path / "events.nii.gz", *names, events=True)
    binned = made(case, tmp_path / "binned.nii.gz", *names, events=False)
    less = made(case, tmp_path / "less.nii.gz", *FACTORS, events=True)
    scale = np.linalg.norm(binned)
    off, without = (np.linalg.norm(x - binned) / scale for x in (events, less))
    assert events.sum() == pytest.approx(binned.sum(), rel=2e-3)
    assert off < 0.04
    assert without > 3 * off
    told = json.loads((tmp_path / "events.json").read_text())["Facts"]
    assert told["background"] == pytest.approx(0.8 * COUNTS, rel=0.01)
    assert set(json.loads((tmp_path / "events.json").read_text())["Inputs"]) >= set(names)


@pytest.mark.parametrize("names", [(*FACTORS, "randoms", "scatter"), ("correction", "additive")])
def test_the_same_image_where_binning_loses_nothing(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    case = files(tmp_path, 2, whole=False)
    flags = [token for name in names for token in (f"--{name}", case[name])]
    images = []
    for by in ((), ("--list-mode",)):
        how = (*flags, *GRID, *by, "--subsets", 1, "--iterations", 8)
        assert run("recon", case["scan"], "-o", tmp_path / "a.nii.gz", *how) == 0
        images.append(image(tmp_path / "a.nii.gz"))
    binned, events = images
    assert np.linalg.norm(events - binned) < 1e-3 * np.linalg.norm(binned)
    assert np.abs(events - binned).max() < 2e-3 * binned.max()


def test_corrections_of_other_bins_are_refused(
    case: dict[str, Path], tmp_path: Path, capsys
) -> None:
    out = tmp_path / "x.nii.gz"
    for flags, reason in (
        (("--span", 3, "--scatter", case["scatter"]), "does not fit the prompts"),
        (("--span", 1, "--additive", case["additive"]), "in STIR's sense"),
        (("--span", 1, "--randoms", case["randoms"], "--additive", case["additive"]), "not both"),
    ):
        assert run("recon", case["scan"], "-o", out, "--list-mode", *flags) > 0
        said = capsys.readouterr().err
        assert reason in said
        assert "Traceback" not in said
        assert not list(tmp_path.iterdir())
