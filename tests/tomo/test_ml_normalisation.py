"""Efficiencies from the scan of a known source: exact without noise, flat images with it."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from emrecon import Corrections, Settings, recon
from emrecon.cli import main
from emrecon.errors import DataError, EmreconError, SettingsError
from emrecon.io import write_image
from emrecon.io.interfile import read_projections
from emrecon.jobs import run
from emrecon.jobs.known_source import Source
from emrecon.jobs.normalise import NormalisationJob
from emrecon.jobs.scan_files import write_scan
from emrecon.metrics.cylinder import inside_of
from emrecon.tomo.corrections.ml_normalisation import SourceScan
from emrecon.tomo.corrections.normalisation import known_gaps, live_pairs
from emrecon.tomo.geometry.detectors import crystal_pairs, planes_of_rings, sum_over_pairs
from emrecon.tomo.geometry.fans import Fans
from emrecon.tomo.geometry.presets import MMR, TINY
from emrecon.tomo.scan import Scan
from emrecon.volume import Volume
from phantoms.lines import line_integrals
from phantoms.shapes import cylinder

BINS = TINY.bins(span=3)
RADIUS_MM, MU = 40.0, 0.0096


def truth(seed: int = 5, spread: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Return efficiencies of crystals, with gaps and a dead one, and a geometric profile."""
    rng = np.random.default_rng(seed)
    crystals = rng.lognormal(0, spread, (TINY.rings, TINY.crystals))
    crystals[:, ::6] = 0
    crystals[2, 13] = 0
    at = np.abs(np.arange(23) - 11)
    return crystals, 1 + 0.02 * at - 0.001 * at**2


def lines_of(bins=BINS, at=(0.0, 0.0)) -> np.ndarray:
    """Return line integrals of a water cylinder times their attenuation."""
    body = cylinder((*at, 0.0), (RADIUS_MM, RADIUS_MM), 400.0)
    lengths = np.maximum(line_integrals((body,), bins, (1.0,)), 0)
    return lengths * np.exp(-np.float32(MU) * lengths)


def efficiency_of(bins=BINS) -> np.ndarray:
    crystals, profile = truth()
    return sum_over_pairs(bins, crystals) * profile.astype(np.float32)[:, None]


@pytest.mark.parametrize("views", [24, 8])
def test_fan_sums_are_those_over_all_pairs(views: int) -> None:
    bins = TINY.bins(span=3, views=views)
    rng = np.random.default_rng(0)
    values, data = rng.random((6, 48)), rng.random(bins.shape).astype(np.float32)
    wanted = np.zeros_like(values)
    ends, planes = crystal_pairs(bins), planes_of_rings(bins)
    ring1, ring2 = np.nonzero(planes >= 0)
    for place in np.ndindex(ends[0].shape):
        one, two = (int(end[place]) for end in ends)
        products = values[ring1, one] * values[ring2, two]
        products *= data[place[0], place[1], planes[ring1, ring2]]
        np.add.at(wanted[:, one], ring1, products)
        np.add.at(wanted[:, two], ring2, products)
    np.testing.assert_allclose(Fans(bins).of(values, data), wanted, rtol=1e-9)


@pytest.mark.parametrize("background", ["none", "flat"])
def test_without_noise_the_efficiencies_are_found(background: str) -> None:
    source, efficiency = lines_of(), efficiency_of()
    trues = 50 * source * efficiency
    behind = np.full(BINS.shape, 20.0, np.float32) if background == "flat" else None
    scan = SourceScan(BINS, trues if behind is None else trues + behind, source, behind)
    steps = list(islice(scan.iterates(), 161))
    growth = np.diff([step.log_likelihood for step in steps])
    assert growth.min() > -1e-8 * abs(steps[-1].log_likelihood)
    found = scan.efficiency(steps[-1].params)
    dead = ~scan.live(steps[-1].params)
    np.testing.assert_array_equal(dead, truth()[0] == 0)
    assert not found[efficiency == 0].any()
    seen = (source > 0) & (efficiency > 0)
    ratio = found[seen] / efficiency[seen]
    assert ratio.std() / ratio.mean() < 2e-3
    assert found.sum() == pytest.approx(float(sum_over_pairs(BINS, ~dead).sum()), rel=1e-5)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a cylinder's scan with Poisson counts and randoms, and its estimated efficiencies."""
    folder = tmp_path_factory.mktemp("norm")
    rng = np.random.default_rng(1)
    trues = lines_of(at=(2.0, -3.0)) * efficiency_of()
    trues *= np.float32(3e7 / trues.sum())
    randoms = np.full(BINS.shape, 0.2 * trues.mean(), np.float32)
    prompts = rng.poisson(trues + randoms).astype(np.float32)
    (folder / "scan").mkdir()
    scan, *_ = write_scan(folder / "scan", Scan(BINS, prompts, randoms=randoms))
    source = Source(radius_mm=RADIUS_MM, at_mm=(2.0, -3.0), mu_per_mm=MU)
    _, files = run(NormalisationJob(scan, folder / "norm.hs", source))
    return scan, files[0]


def image_of(efficiency: np.ndarray) -> Volume:
    """Return a uniform cylinder that was counted without noise, with estimated efficiencies."""
    counts = 5 * line_integrals((cylinder((0.0, 0.0, 0.0), (30.0, 30.0), 400.0),), BINS, (1.0,))
    scan = Scan(BINS, counts * efficiency_of(), efficiency)
    return recon(scan, Settings(iterations=20, subsets=1))


def departure(image: Volume, wanted: Volume) -> float:
    """Return how an image varies, inside of the cylinder, beside one with true efficiencies."""
    ratio = image.voxels[7:-7, 7:-7] / wanted.voxels[7:-7, 7:-7]
    return float(ratio.std() / ratio.mean())


def test_an_image_is_as_with_true_efficiencies(noisy: tuple[Path, Path]) -> None:
    wanted = image_of(efficiency_of())
    assert departure(image_of(read_projections(noisy[1]).data), wanted) < 0.01
    assert departure(image_of(live_pairs(BINS, truth()[0] > 0)), wanted) > 0.1


@pytest.mark.slow
def test_a_cylinder_in_the_mmr_is_flat() -> None:
    """Unlike crystals, gaps and a weak block; a quarter of the rings, 2.5e7 counts."""
    rng = np.random.default_rng(2)
    short = replace(MMR, rings=16)
    crystals = rng.lognormal(0, 0.15, (16, MMR.crystals)) * known_gaps(short)
    crystals[8:, 90:99] *= 0.5
    bins = short.bins(span=11, max_ring_difference=5, count=148)
    efficiency = sum_over_pairs(bins, crystals)
    wide, thin = (
        line_integrals((cylinder((0.0, 0.0, 0.0), (r, r), 400.0),), bins, (1.0,))
        for r in (120.0, 100.0)
    )
    trues = np.maximum(wide, 0) * efficiency
    prompts = rng.poisson(trues * (2.5e7 / trues.sum(dtype=float))).astype(np.float32)
    source = SourceScan(bins, prompts, np.maximum(wide, 0))
    found = source.efficiency(list(islice(source.iterates(), 41))[-1].params)
    settings = Settings(iterations=2, subsets=9, voxel_mm=(6.0, 6.0, 6.0))
    image = recon(Scan(bins, thin * efficiency, found), settings)
    inside = inside_of(image, 0.8)
    assert max(inside.spread, inside.plane_spread) < 0.015


def test_what_is_told_of_it(noisy: tuple[Path, Path]) -> None:
    told = json.loads(noisy[1].with_suffix(".json").read_text())
    assert told["Facts"]["crystal_spread"] == pytest.approx(0.2, abs=0.03)
    assert (np.diff(told["LogLikelihood"]) > -1e-6 * abs(told["LogLikelihood"][-1])).all()
    assert {"prompts", "randoms"} <= set(told["Inputs"])


def test_an_image_of_the_source_will_do(noisy: tuple[Path, Path], tmp_path: Path) -> None:
    x = np.arange(-60.0, 60.1, 1.0)
    disc = (np.hypot(x[:, None] - 2, x + 3) <= RADIUS_MM).astype(np.float32)
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    affine[:3, 3] = -60, -60, -60
    activity = Volume(np.repeat(disc[:, :, None], 61, axis=2), affine)
    write_image(activity, tmp_path / "activity.nii.gz")
    mu = Volume(activity.voxels * np.float32(MU), affine, "1/mm")
    write_image(mu, tmp_path / "mu.nii.gz")
    source = Source(activity=tmp_path / "activity.nii.gz")
    chosen = Corrections(mu=(tmp_path / "mu.nii.gz",))
    run(NormalisationJob(noisy[0], tmp_path / "n.hs", source, chosen))
    one, other = (read_projections(path).data for path in (noisy[1], tmp_path / "n.hs"))
    middle = (slice(None), slice(5, 18))
    np.testing.assert_allclose(one[middle], other[middle], rtol=0.05)


@pytest.mark.parametrize(
    ("source", "chosen", "words"),
    [
        (Source(), Corrections(), "what was scanned"),
        (Source(activity=Path("x.nii")), Corrections(), "there is no x.nii"),
        (Source(radius_mm=40.0, activity=Path("x.nii")), Corrections(), "what was scanned"),
        (Source(radius_mm=40.0), Corrections(norm=Path("n.n.hdr")), "there is no n.n.hdr"),
        (Source(radius_mm=40.0, at_mm=(500.0, 0.0)), Corrections(), "too few"),
        (Source(radius_mm=40.0), Corrections(scatter=Path("simulate")), "not simulated here"),
        (Source(radius_mm=40.0, mu_per_mm=MU), Corrections(mu=Path(__file__)), "give mu_per_mm"),
        (Source(radius_mm=40.0), Corrections(dead_time_us=1.0), "dead_time_us says nothing"),
        (Source(radius_mm=40.0), Corrections(span=3), "span is for .*list-mode"),
    ],
)
def test_what_cannot_be_estimated(
    noisy: tuple[Path, Path], source: Source, chosen: Corrections, words: str
) -> None:
    with pytest.raises(EmreconError, match=words):
        NormalisationJob(noisy[0], None, source, chosen).begin()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Source(radius_mm=8.0), r"\d+ % of the prompts less background .* miss the source: are"),
        (Source(radius_mm=12.0, at_mm=(-35.0, 0.0)), "miss the source: are its radius"),
    ],
)
def test_a_source_that_counts_miss_is_refused(
    noisy: tuple[Path, Path], source: Source, words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        NormalisationJob(noisy[0], None, source).begin()


@pytest.mark.parametrize(
    "source", [Source(radius_mm=50.0), Source(radius_mm=25.0, at_mm=(14.0, 0.0))]
)
def test_a_source_of_which_much_is_not_counted_is_refused(tmp_path: Path, source: Source) -> None:
    """Of a diameter for a radius the outer bins were dead, without a word."""
    body = cylinder((0.0, 0.0, 0.0), (25.0, 25.0), 400.0)
    trues = np.maximum(line_integrals((body,), BINS, (1.0,)), 0) * efficiency_of()
    scan, *_ = write_scan(tmp_path, Scan(BINS, trues * np.float32(3e7 / trues.sum())))
    with pytest.raises(DataError, match=r"hardly a count is [\d.]+ mm from the axis, where much"):
        NormalisationJob(scan, None, source).begin().iterate()
    NormalisationJob(scan, None, Source(radius_mm=25.0)).begin().iterate()


def test_a_radius_near_the_true_one_is_taken(noisy: tuple[Path, Path]) -> None:
    near = Source(radius_mm=RADIUS_MM - 2, at_mm=(2.0, -3.0), mu_per_mm=MU, iterations=10)
    NormalisationJob(noisy[0], None, near).begin().iterate()


def test_attenuation_of_a_manifest_is_no_other_than_that_of_a_flag(tmp_path: Path) -> None:
    ones = np.ones(BINS.shape, np.float32)
    manifest, *_ = write_scan(tmp_path, Scan(BINS, ones, attenuation=ones))
    with pytest.raises(SettingsError, match="give mu_per_mm"):
        NormalisationJob(manifest, None, Source(radius_mm=40.0, mu_per_mm=MU)).begin()


def test_refusals_of_counts_and_names(noisy: tuple[Path, Path], tmp_path: Path) -> None:
    counts = np.full(BINS.shape, 100.0, np.float32)
    with pytest.raises(DataError, match="prompts is negative"):
        SourceScan(BINS, -counts, counts)
    with pytest.raises(DataError, match="no more than the background"):
        SourceScan(BINS, counts, counts, 2 * counts).start()
    with pytest.raises(SettingsError, match=r"mu_per_mm is 0.096, and water .*: is it in 1/cm"):
        Source(radius_mm=40.0, mu_per_mm=0.096)
    with pytest.raises(SettingsError, match=r"at_mm is x and y"):
        Source(at_mm=(1.0,))
    known = Corrections(normalisation=noisy[1])
    with pytest.raises(SettingsError, match="efficiencies are what is estimated"):
        NormalisationJob(noisy[0], None, Source(radius_mm=40.0), known).begin()
    with pytest.raises(SettingsError, match="suv says nothing about efficiencies"):
        NormalisationJob(noisy[0], None, Source(radius_mm=40.0), Corrections(suv=True)).begin()
    with pytest.raises(SystemExit):
        main(["normalise", str(noisy[0]), "--radius-mm", "40", "-o", str(tmp_path / "n.nii")])
    job = NormalisationJob(noisy[0], tmp_path / "n.hs", Source(radius_mm=40.0, iterations=1))
    assert job.estimate().memory_mb > 200
    result, _ = run(replace(job, out=tmp_path / "m.hs"))
    assert result.reached.number == 2
