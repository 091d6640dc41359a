"""Simulated scans: totals, model, statistics, seeds; efficiencies of crystal pairs."""

from __future__ import annotations

import numpy as np
import pytest

from emrecon.errors import DataError, GeometryError, SettingsError
from emrecon.tomo.corrections.normalisation import ring_pairs
from emrecon.tomo.geometry.bins import Bins, Scanner
from emrecon.tomo.geometry.detectors import crystal_pairs
from emrecon.volume import Grid
from phantoms import flip_finder, uniform_cylinder
from phantoms.acquisition import Acquisition
from phantoms.detection import Efficiencies
from phantoms.lines import line_integrals
from phantoms.simulate import Simulation, attenuation_factors, rounded, scatter_shape, simulate

SCANNER = Scanner("small", 8, 96, 12.0, 150.0, 5.0, 5.0, 61, block_crystals=(8, 4))
PHANTOM = flip_finder().fitted(120, 48)


@pytest.fixture(scope="module")
def bins() -> Bins:
    return SCANNER.bins(span=3, max_ring_difference=4)


def run(bins: Bins, seed: int = 5, **settings: object) -> Simulation:
    given = {"counts": 2e6, "randoms_fraction": 0.3, "scatter_fraction": 0.2, **settings}
    return simulate(PHANTOM, bins, rng=np.random.default_rng(seed), **given)  # type: ignore[arg-type]


def test_totals_and_shares_are_those_asked_for(bins: Bins) -> None:
    got = run(bins, normalisation=Efficiencies(0.2, 3))
    got.scan.check()
    total = float(got.mean.sum(dtype=np.float64))
    assert total == pytest.approx(2e6, rel=1e-6)
    assert got.scan.randoms.sum(dtype=np.float64) == pytest.approx(0.3 * total, rel=1e-6)
    assert got.scan.scatter.sum(dtype=np.float64) == pytest.approx(0.2 * total, rel=1e-6)
    # Poisson: one standard deviation of the total is its root.
    assert abs(got.scan.prompts.sum(dtype=np.float64) - total) < 5 * np.sqrt(total)


def test_the_mean_is_the_model_of_the_conventions(bins: Bins) -> None:
    got = run(bins, normalisation=Efficiencies(0.2, 3))
    scan = got.scan
    lines = line_integrals(PHANTOM.bodies, bins, PHANTOM.activities)
    scale = got.facts["counts_per_mm_per_unit"]
    model = scan.normalisation * scan.attenuation * lines * scale + scan.randoms + scan.scatter
    np.testing.assert_allclose(got.mean, model, rtol=1e-5)
    np.testing.assert_allclose(scan.attenuation, attenuation_factors(PHANTOM, bins))
    assert 0 < scan.attenuation.min() < scan.attenuation.max() <= 1
    assert not got.mean[scan.normalisation == 0].any()


def test_the_truth_is_what_a_perfect_reconstruction_equals(bins: Bins) -> None:
    """Its fine line integrals, summed over the plane, give the trues that were counted."""
    flat = Bins.parallel(np.linspace(0, np.pi, 8, endpoint=False), np.arange(-60, 60) * 2.0, 9, 6)
    plain = {"randoms_fraction": 0.0, "scatter_fraction": 0.0, "attenuate": False}
    got = run(flat, noise=False, grid=Grid.centred((120, 120, 9), (2, 2, 6)), **plain)
    assert got.truth.unit == "counts/mm"
    # Each slice of each view holds its activity once: sum over s of (line integral) ds = area.
    slices = got.scan.prompts.sum(axis=1) * 2
    areas = got.truth.voxels.sum(axis=(0, 1)) * 4
    # Bins look at a slice's middle, voxels at the mean over its 6 mm.
    np.testing.assert_allclose(slices.sum(), 8 * areas.sum(), rtol=0.03)
    np.testing.assert_allclose(slices[:, 4], areas[4], rtol=0.05)
    assert got.scan.attenuation is None
    assert got.scan.randoms is None
    assert got.scan.scatter is None


def test_draws_have_poisson_statistics(bins: Bins) -> None:
    got = run(bins, counts=5e5, normalisation=Efficiencies())
    mean = got.mean[got.mean > 0]
    prompts = got.scan.prompts[got.mean > 0]
    pearson = np.sum((prompts - mean) ** 2 / mean, dtype=np.float64)
    # Var of (y - m)^2 / m is 2 + 1 / m.
    spread = np.sqrt(np.sum(2 + 1 / mean, dtype=np.float64))
    assert abs(pearson - mean.size) < 5 * spread
    assert (prompts == np.round(prompts)).all()


def test_without_noise_prompts_are_the_mean(bins: Bins) -> None:
    got = run(bins, noise=False)
    np.testing.assert_array_equal(got.scan.prompts, got.mean)
    assert got.scan.prompts is not got.mean


def test_whole_counts_follow_a_mean_over_any_views() -> None:
    """Within 1 of the mean over every run of views, and no common error where views are alike."""
    rng = np.random.default_rng(2)
    mean = np.repeat(rng.uniform(0, 90, (1, 40, 30)), 25, axis=0).astype(np.float32)
    mean[:, :5] = 0
    got = rounded(mean, rng)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, np.rint(got))
    assert not got[:, :5].any()
    for start, stop in ((0, 25), (3, 4), (7, 20)):
        error = (got - mean)[start:stop].sum(axis=0, dtype=np.float64)
        assert np.abs(error).max() < 1 + 1e-3
        assert abs(error.mean()) < 4 * 0.5 / np.sqrt(error.size)


def test_seeds_decide(bins: Bins) -> None:
    one, same, other = (run(bins, seed, normalisation=Efficiencies()) for seed in (5, 5, 6))
    for name in ("prompts", "normalisation"):
        first = getattr(one.scan, name)
        assert first.tobytes() == getattr(same.scan, name).tobytes()
        assert first.tobytes() != getattr(other.scan, name).tobytes()


def test_volumes_share_the_grid_and_names(bins: Bins) -> None:
    grid = Grid.centred((30, 31, 32), (6.0, 6.0, 3.0))
    got = run(bins, grid=grid)
    for volume in (got.truth, got.mu, got.labels):
        assert volume.grid() == grid
    assert got.facts["labels"] == PHANTOM.labels
    assert run(bins).truth.grid() == bins.grid()
    activity = PHANTOM.activity(grid).voxels
    np.testing.assert_allclose(
        got.truth.voxels, activity * got.facts["counts_per_mm_per_unit"], rtol=1e-6
    )


def test_the_map_goes_on_until_the_body_ends() -> None:
    """What attenuates beyond the image does so in a reconstruction, too."""
    phantom = uniform_cylinder(30.0, 40.0).moved((6, 0, 0))
    for shape, more in (((10, 10, 4), (5, 2)), ((40, 40, 4), (0, 0))):
        grid = Grid.centred(shape, (5.0, 6.0, 3.0))
        mu, inner = phantom.mu_of_all(grid), phantom.mu(grid)
        assert mu.voxels.shape == (shape[0] + more[0], shape[1] + more[1], 4)
        for axis in (0, 1):
            assert not mu.voxels.take([0, -1], axis).any()
        low = np.rint(np.linalg.inv(mu.affine) @ [*grid.origin_mm, 1])[:2].astype(int)
        same = mu.voxels[low[0] : low[0] + shape[0], low[1] : low[1] + shape[1]]
        assert np.array_equal(same, inner.voxels)


def test_scatter_is_smooth_and_wider_than_trues(bins: Bins) -> None:
    trues = line_integrals(PHANTOM.bodies, bins, PHANTOM.activities)
    before = trues.copy()
    scatter = scatter_shape(trues, bins)
    np.testing.assert_array_equal(trues, before)
    assert np.abs(np.diff(scatter, axis=1)).max() < 0.2 * np.abs(np.diff(trues, axis=1)).max()
    assert scatter[trues == 0].max() > 0
    # Segments are blurred on their own: an empty one stays empty.
    trues[:, :, bins.offsets[1] :] = 0
    assert not scatter_shape(trues, bins)[:, :, bins.offsets[1] :].any()


def test_a_dead_block_silences_its_crystals_and_no_others() -> None:
    bins = SCANNER.bins(span=1, max_ring_difference=1)
    factors = Efficiencies(spread=0, dead_blocks=1).draw(bins, np.random.default_rng(0))
    assert set(np.unique(factors)) == {0, 1}
    # A block is 8 crystals around by 4 of the 8 rings, so half of the direct planes of every
    # line that ends in it are silent, and in no other line any.
    silent = (factors[:, :, :8] == 0).sum(axis=2)
    ends = crystal_pairs(bins)
    hit = [(ends[0] // 8 == block) | (ends[1] // 8 == block) for block in range(12)]
    assert any(np.array_equal(silent, 4 * lines[:, :, 0]) for lines in hit)


def test_efficiencies_spread_as_asked() -> None:
    bins = SCANNER.bins(span=1)
    factors = Efficiencies(spread=0.1).draw(bins, np.random.default_rng(1))
    # A product of two crystals; 768 of them know the spread to some 3 %.
    assert np.log(factors).std() == pytest.approx(0.1 * np.sqrt(2), rel=0.15)
    assert factors.mean() == pytest.approx(1, abs=0.02)


def test_planes_count_as_many_ring_pairs_as_they_gather(bins: Bins) -> None:
    factors = Efficiencies(spread=0).draw(bins, np.random.default_rng(1))
    np.testing.assert_array_equal(factors, np.broadcast_to(ring_pairs(bins), bins.shape))


def test_arc_corrected_bins_lie_between_raw_ones() -> None:
    raw, arc = SCANNER.bins(span=3), SCANNER.bins(span=3, count=50, arc_corrected=True)
    fine = Efficiencies(spread=0.2).draw(raw, np.random.default_rng(1))
    got = Efficiencies(spread=0.2).draw(arc, np.random.default_rng(1))
    for view, at, plane in ((3, 20, 5), (17, 0, 9), (40, 49, 22)):
        expected = np.interp(arc.s_mm[at], raw.s_mm, fine[view, :, plane])
        assert got[view, at, plane] == pytest.approx(expected, rel=1e-5)


def test_bins_without_a_scanner_have_one_detector_a_bin() -> None:
    flat = Bins.parallel(np.linspace(0, np.pi, 5), np.arange(-32, 32) * 2.0, 3)
    factors = Efficiencies(0.1, 2).draw(flat, np.random.default_rng(2))
    np.testing.assert_array_equal(factors, np.repeat(factors[:1], 5, axis=0))
    assert (factors[0, :, 0] == 0).sum() == 4
    assert np.unique(factors).size == 60 * 3 + 1


def test_arrays_of_efficiencies_are_taken_as_they_are(bins: Bins) -> None:
    factors = np.full(bins.shape, 0.5, np.float32)
    got = run(bins, normalisation=factors)
    assert got.scan.normalisation is factors
    assert (factors == 0.5).all()
    with pytest.raises(GeometryError, match="the bins"):
        run(bins, normalisation=factors[1:])


@pytest.mark.parametrize(
    "settings",
    [{"counts": 0}, {"randoms_fraction": 0.8, "scatter_fraction": 0.2}, {"scatter_fraction": -1}],
)
def test_senseless_settings_are_refused(bins: Bins, settings: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="unlike"):
        run(bins, **settings)


def test_what_no_bin_sees_is_refused(bins: Bins) -> None:
    far = uniform_cylinder().moved((0, 0, 9000))
    with pytest.raises(DataError, match="no bin sees"):
        simulate(far, bins, counts=1e3, rng=np.random.default_rng(0))
    with pytest.raises(DataError, match="no bin sees"):
        run(bins, normalisation=np.zeros(bins.shape, np.float32))
    with pytest.raises(GeometryError, match="before subsets"):
        run(bins.subset(0, 4), normalisation=Efficiencies())
    with pytest.raises(SettingsError, match="cannot be dead"):
        run(bins, normalisation=Efficiencies(0.1, 1000))
    with pytest.raises(SettingsError, match="not negative"):
        Efficiencies(-0.1)


def test_more_lines_than_memory_holds_are_refused(monkeypatch) -> None:
    monkeypatch.setattr("emrecon.memory.free_mb", lambda: 1000.0)
    for count in (Acquisition(span=1).scan, Acquisition().events):
        with pytest.raises(SettingsError, match=r"GB of memory, and 1.0 GB are free: choose"):
            count(PHANTOM)
