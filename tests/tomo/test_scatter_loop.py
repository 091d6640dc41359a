"""Scatter found from counts: what was put in, at its absolute scale and beside the body."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from emrecon.errors import SettingsError
from emrecon.tomo import scatter_loop
from emrecon.tomo.corrections import attenuation
from emrecon.tomo.corrections.scatter_activity import blurred, continued
from emrecon.tomo.corrections.scatter_fit import AIR, tail_fit
from emrecon.tomo.corrections.scatter_model import ScatterModel
from emrecon.tomo.corrections.scatter_simulation import integrals, pair_scatter
from emrecon.tomo.geometry.presets import ECAT_931, TINY
from emrecon.tomo.geometry.tof import Timing
from emrecon.tomo.prepare import prepare
from emrecon.tomo.problem import Problem
from emrecon.tomo.scan import Scan
from emrecon.tomo.scatter_loop import estimate_scatter, window_of
from emrecon.tomo.sensitivity import Sensitivities
from emrecon.tomo.settings import Settings
from emrecon.volume import Array, Grid, Volume
from phantoms.lines import line_integrals
from phantoms.phantom import WATER_PER_MM, Phantom
from phantoms.shapes import Material, cylinder
from phantoms.simulate import attenuation_factors

SCANNER = replace(TINY, radius_mm=140.0, crystals=96, max_bins=61, ring_spacing_mm=16.0)
BINS = SCANNER.bins(span=3)
BODY = Phantom(
    "body",
    (
        cylinder((0, 5, 0), (60, 45), 200).filled(Material(1.0, WATER_PER_MM), label=1),
        cylinder((25, 0, 0), (12, 12), 200).filled(Material(3.0, 0.0), label=2),
    ),
    {1: "water", 2: "hot"},
)
GRID = Grid.centred((44, 44, 28), (4.0, 4.0, 8.0))
EFFICIENCY = np.random.default_rng(3).uniform(0.5, 1.5, BINS.shape).astype(np.float32)
EFFICIENCY[:, 20] = 0


@pytest.fixture(scope="module")
def parts():
    """Return trues and scatter in counts, without noise."""
    mu = BODY.mu(GRID)
    trues = line_integrals(BODY.bodies, BINS, BODY.activities) * attenuation_factors(BODY, BINS)
    model = ScatterModel.of(mu, BINS, SCANNER.energy, points=800)
    pairs = model.of_pairs(BODY.activity(GRID))
    assert 0 < pairs.error < 0.02
    return mu, trues * EFFICIENCY * 20, model.in_bins(pairs.values, EFFICIENCY) * 20


def scan(mu, trues, scatter, randoms=None):
    prompts = trues + scatter + (0 if randoms is None else randoms)
    return Scan(BINS, prompts, EFFICIENCY, None, randoms, None, mu)


@pytest.mark.slow
def test_the_scatter_that_was_put_in_is_found(parts):
    mu, trues, scatter = parts
    randoms = np.full(BINS.shape, 5, np.float32) * EFFICIENCY
    found = estimate_scatter(scan(mu, trues, scatter, randoms), SCANNER.energy)
    rounds = found.facts["predicted_scatter_fraction"]
    assert 0.1 < rounds[-1] < 0.4
    assert len(rounds) <= 3
    assert abs(rounds[-1] / rounds[-2] - 1) < 0.02
    assert found.scatter.sum() == pytest.approx(scatter.sum(), rel=0.04)
    assert found.fit.scale == pytest.approx(1, abs=0.04)  # the coarse image is smoother
    strong = scatter > 0.1 * scatter.max()
    assert np.abs(found.scatter / np.maximum(scatter, 1e-9) - 1)[strong].max() < 0.08
    assert not found.scatter[:, 20].any()


@pytest.mark.slow
def test_images_on_the_way_have_the_scatter_of_their_own_views(
    parts: tuple[Volume, Array, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    """48 views as 9 sums of five or six, in three subsets whose sensitivities are kept."""
    mu, trues, scatter = parts
    monkeypatch.setattr(scatter_loop, "LEAST_VIEWS", 9)
    monkeypatch.setattr(scatter_loop, "UPDATES", 4)
    monkeypatch.setattr(scatter_loop, "FIRST_UPDATES", 2)
    problems: list[Problem] = []
    backgrounds: list[Array | None] = []

    def prepared(some: Scan, settings: Settings, *, kept: Sensitivities) -> Problem:
        backgrounds.append(some.scatter)
        problems.append(prepare(some, settings, kept=kept))
        return problems[-1]

    monkeypatch.setattr(scatter_loop, "prepare", prepared)
    found = estimate_scatter(scan(mu, trues, scatter), SCANNER.energy, 2, fit=False)
    assert [problem.updates for problem in problems] == [3, 6]
    assert len({id(problem.likelihoods[1].sensitivity) for problem in problems}) == 1
    first, second = backgrounds
    assert first is None
    assert second is not None
    live = second > 0.05 * second.max()  # the first is of few points
    ratio = second[live] / np.add.reduceat(found.scatter, np.arange(9) * 48 // 9, axis=0)[live]
    # Images of 3 and 6 updates differ, and efficiencies of other views do.
    assert ratio == pytest.approx(np.full(ratio.size, ratio.mean()), rel=0.3)


@pytest.mark.parametrize("timing", [None, Timing.of_ps(300, 800, 3)])
def test_images_on_the_way_have_all_counts_that_take_part(
    parts: tuple[Volume, Array, Array], timing: Timing | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To choose among the views left four fifths of the counts of an unmashed scan out."""
    monkeypatch.setattr(scatter_loop, "LEAST_VIEWS", 9)
    mu, trues, scatter = parts
    efficiency = EFFICIENCY.copy()
    efficiency[7:10, 30] = 0  # of views in two sums
    bins = BINS.timed(timing)
    prompts = np.broadcast_to(trues + scatter, bins.data_shape).copy()
    prompts[..., 7:10, 30, :] = 1e6
    whole = Scan(bins, prompts, efficiency, None, scatter, None, mu)
    small = scatter_loop._coarse(whole)
    assert small.bins.shape == (9, *bins.shape[1:])
    totals = scatter_loop._counts(small), scatter_loop._counts(whole)
    assert totals[0] == pytest.approx(totals[1], rel=1e-5)
    assert float(small.normalisation.sum()) == pytest.approx(float(efficiency.sum()), rel=1e-5)
    # The model of a sum is that of its views but for their angles.
    every, sums = (
        some.normalisation
        * attenuation.factors(mu, some.bins.untimed)
        * line_integrals(BODY.bodies, some.bins.untimed, BODY.activities)
        for some in (whole, small)
    )
    by_plane = every.sum(axis=(0, 1), dtype=float)
    assert sums.sum(axis=(0, 1), dtype=float) == pytest.approx(by_plane, rel=0.02)
    alone = scatter_loop._coarse(whole.with_(normalisation=None))
    assert np.unique(alone.normalisation).tolist() == [5, 6]


@pytest.mark.slow
def test_more_scatter_than_predicted_is_seen_beside_the_body(parts):
    mu, trues, scatter = parts
    absolute = estimate_scatter(scan(mu, trues, 1.2 * scatter), SCANNER.energy, 2, fit=False)
    assert absolute.scatter.sum() < 1.1 * scatter.sum()
    fitted = float(np.sum(absolute.scatter * absolute.fit.scales))
    assert fitted == pytest.approx(1.2 * scatter.sum(), rel=0.05)


def test_without_tails_the_scale_is_absolute_and_few_counts_hardly_change_it(parts):
    mu, trues, scatter = parts
    survival = attenuation.factors(mu, BINS)
    prompts = trues + 1.5 * scatter
    nowhere = tail_fit(BINS, prompts, None, scatter, np.full_like(survival, 0.5), None)
    assert nowhere.bins == 0
    assert np.all(nowhere.scales == 1)
    few = tail_fit(BINS, prompts * 1e-5, None, scatter * np.float32(1e-5), survival, None)
    assert few.scale == pytest.approx(1, abs=0.1)
    many = tail_fit(BINS, prompts, None, scatter, survival, None)
    assert many.scales == pytest.approx(np.full(BINS.planes, 1.5), abs=0.08)


@pytest.mark.parametrize("times", [2, 6])
def test_a_tail_of_another_shape_or_wrong_randoms_hardly_move_a_good_prediction(
    parts: tuple[Volume, Array, Array], times: int
) -> None:
    """A brain predicted within 0.3 % was 1.7 % off after the fit, a thorax 5 %."""
    mu, _, scatter = parts
    scatter = scatter * np.float32(100)
    survival = attenuation.factors(mu, BINS)
    tail = survival > AIR
    randoms = np.where(tail, times * scatter[tail].mean(), 0).astype(np.float32)
    shape = scatter * np.where(tail, np.float32(1 + 0.05), np.float32(1))
    for prompts in (shape + randoms, scatter + randoms * np.float32(1.01)):
        found = tail_fit(BINS, prompts, randoms, scatter, survival, None)
        fitted = float(np.sum(scatter * found.scales)) / float(scatter.sum())
        seen = float(found.counted.sum() / found.expected.sum())
        assert 1.01 < seen < 1.2
        assert 1 < fitted < 1 + 0.6 * (seen - 1)
        assert fitted < 1.03


@pytest.mark.parametrize("wrong", [0.6, 0.8, 1.25, 1.7])
def test_a_wrong_prediction_is_corrected(parts: tuple[Volume, Array, Array], wrong: float) -> None:
    """As where activity lies beyond the rings, or a map is in the wrong place."""
    mu, _, scatter = parts
    survival = attenuation.factors(mu, BINS)
    randoms = np.full_like(scatter, scatter.mean() / 4)
    found = tail_fit(BINS, scatter + randoms, randoms, scatter * np.float32(wrong), survival, None)
    assert np.sum(scatter * wrong * found.scales) == pytest.approx(scatter.sum(), rel=0.04)
    # In some of the planes alone no more than a tenth is taken to be another.
    half = np.where(np.arange(BINS.planes) < BINS.planes // 2, np.float32(1.4), np.float32(1))
    part = tail_fit(BINS, scatter * half, None, scatter, survival, None)
    assert 1 <= part.scales.min() < part.scales.max() < 1.4


@pytest.mark.parametrize(("times", "words"), [(30, "activity outside"), (0.1, "more randoms")])
def test_counts_beside_the_map_that_are_no_scatter_are_told(
    parts: tuple[Volume, Array, Array], times: float, words: str
) -> None:
    """Half of a body outside its map had 400 times the scatter there, and nothing was said."""
    mu, _, scatter = parts
    survival = attenuation.factors(mu, BINS)
    for true, doubt in ((times, words), (1.0, "")):
        prompts = scatter * np.float32(100 * true)
        found = tail_fit(BINS, prompts, None, scatter * np.float32(100), survival, None)
        assert doubt in found.doubt
        assert bool(found.doubt) is bool(doubt)
    assert not tail_fit(BINS, prompts, None, scatter, np.full_like(survival, 0.5), None).doubt


def test_multiple_scatter_is_more_in_larger_bodies_and_along_their_width() -> None:
    """By Monte Carlo a fifth more along the NEMA body: one share for all lines lacks that."""

    def found(half_mm: tuple[float, float]) -> tuple[float, float, float]:
        body = cylinder((0, 0, 0), half_mm, 200).filled(Material(1.0, WATER_PER_MM), label=1)
        disc = Phantom("disc", (body,), {1: "water"})
        model = ScatterModel.of(disc.mu(GRID), BINS, SCANNER.energy, points=60)
        activity = disc.activity(GRID)
        places = model.points, model.ring.detectors, model.ring.pairs
        rays = integrals(activity, *places[:2]), model.mu_rays
        single = pair_scatter(rays, *places, model.window).sum(axis=1)
        alone, both = (
            model.in_bins(values).sum(axis=(1, 2), dtype=float)
            for values in (single, model.of_pairs(activity).values)
        )
        more = both / alone - 1
        along_y, along_x = 0, BINS.shape[0] // 2
        return model.of_pairs(activity).again, float(more[along_y]), float(more[along_x])

    small, *views = found((40, 40))
    assert views[0] == pytest.approx(views[1], rel=0.03)
    large, short, long = found((80, 40))
    assert 0.03 < small < 0.8 * large < 0.2
    assert long > 1.15 * short


def test_activity_that_rays_would_meet_by_chance_is_blurred() -> None:
    """Else a line source scatters far more or less from one pair of detectors to the next."""
    grid = Grid.centred((88, 88, 14), (2.0, 2.0, 16.0))
    body = cylinder((0, 0, 0), (80, 80), 240).filled(Material(0.0, WATER_PER_MM), label=1)
    mu = Phantom("body", (body,), {1: "water"}).mu(grid)
    voxels = np.zeros(grid.shape, np.float32)
    voxels[43, 60, :] = 100
    line = Volume(voxels, grid.affine)
    fine, usual = (ScatterModel.of(mu, BINS, SCANNER.energy, points=n) for n in (12000, 1200))

    truth = fine.of_pairs(blurred(line, 4.0)).values

    def apart(values: Array) -> float:
        return float(np.sqrt(np.mean((values - truth) ** 2)) / truth.mean())

    found = usual.of_pairs(line)
    assert apart(found.values) < 0.12  # of which the truth's own resolution is half
    assert found.values.mean() == pytest.approx(truth.mean(), rel=0.02)
    rays = integrals(line, usual.points, usual.ring.detectors), usual.mu_rays
    places = usual.points, usual.ring.detectors, usual.ring.pairs
    assert apart(pair_scatter(rays, *places, usual.window).sum(axis=1)) > 1


@pytest.mark.slow
@pytest.mark.parametrize("water", [0.0, 1.0])
def test_images_of_a_line_have_smaller_voxels(
    water: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where activity is that thin, as the first image tells; a warm body's stay as they are."""
    disc = cylinder((0, 0, 0), (110, 110), 240).filled(Material(water, WATER_PER_MM), label=1)
    line = cylinder((0, -30, 0), (3, 3), 240).adding(50 * (1 - water), 0.0, label=2)
    body = Phantom("body", (disc, line), {1: "water", 2: "line"})
    made, sizes = scatter_loop._image, []

    def watched(scan: Scan, settings: Settings, updates: int, kept: Sensitivities) -> Volume:
        image = made(scan, settings, updates, kept)
        sizes.append(image.grid().spacing_mm)
        return image

    monkeypatch.setattr(scatter_loop, "_image", watched)
    trues = line_integrals(body.bodies, BINS, body.activities) * attenuation_factors(body, BINS)
    mu = body.mu(Grid.centred((116, 116, 14), (2.0, 2.0, 16.0)))
    estimate_scatter(Scan(BINS, trues, None, None, None, None, mu), SCANNER.energy, 2)
    assert len(sizes) == 2
    assert (sizes[1][0] < sizes[0][0]) is (water == 0)
    assert (sizes[1][2] > 2 * sizes[1][0]) is (water == 0)


def test_trues_beside_the_end_of_a_body_are_no_scatter() -> None:
    """Planes next to a body see some of it: such counts once made the scatter larger."""
    bins = SCANNER.bins(span=3)
    inside = np.zeros(bins.shape, np.bool_)
    inside[:, 20:41, : bins.segments[0].planes // 2] = True
    scatter = np.full(bins.shape, 10, np.float32)
    spilt = np.where(np.roll(inside, 1, axis=2) & ~inside, np.float32(200), np.float32(0))
    assert spilt.any()
    survival = np.where(inside, np.float32(0.3), np.float32(1))
    found = tail_fit(bins, scatter + spilt, None, scatter, survival, None)
    assert found.scale == pytest.approx(1, abs=1e-6)
    assert found.counted.sum() > 0.5 * scatter.sum()


def test_what_lies_beyond_the_rings_goes_on_where_there_is_matter():
    activity = Volume(np.ones((4, 4, 3), np.float32), Grid.centred((4, 4, 3), (10, 10, 10)).affine)
    mu = np.full((4, 4, 12), 0.0096, np.float32)
    mu[..., 9:] = 0
    along = Volume(mu, Grid.centred((4, 4, 12), (10, 10, 10)).affine)
    wide = continued(activity, along, 30.0)
    assert wide.voxels[2, 2].tolist() == [1, 1, 1, 1, 1, 1, 1, 1, 0]
    assert wide.affine[2, 3] == pytest.approx(-40)
    # As the mean of the outermost planes, each of which alone is noisy.
    noisy = Volume(activity.voxels * np.float32([1.5, 0.5, 2]), activity.affine)
    wide = continued(noisy, along, 30.0)
    assert wide.voxels[2, 2] == pytest.approx([1, 1, 1, 1.5, 0.5, 2, 1.25, 1.25, 0])
    single = Volume(activity.voxels[..., :1], Grid.centred((4, 4, 1), (10, 10, 40)).affine)
    assert continued(single, along, 30.0).voxels[2, 2].tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    ("radius_mm", "warning"), [(100.0, ""), (140.0, "beyond the field of view")]
)
def test_a_body_beyond_the_field_of_view_is_warned_of(
    caplog: pytest.LogCaptureFixture, radius_mm: float, warning: str
) -> None:
    bins = SCANNER.bins(span=3)
    grid = Grid.centred((61, 61, 5), (5.0, 5.0, 10.0))
    aside = np.hypot(*np.meshgrid(grid.centres_mm(0), grid.centres_mm(1)))
    mu = np.repeat(np.float32(0.0096) * (aside < radius_mm)[..., None], 5, axis=2)
    assert 100 < bins.fov_mm < 140
    ScatterModel.of(Volume(mu.astype(np.float32), grid.affine), bins, SCANNER.energy, 60)
    assert warning in caplog.text
    assert bool(warning) == bool(caplog.text)


def test_matter_far_beyond_the_rings_scatters() -> None:
    """From 5 cm on it was left out, which was 8 % of the scatter of a thorax in the HR+."""
    body = cylinder((0, 0, 0), (40, 40), 800).filled(Material(1.0, WATER_PER_MM), label=1)
    long = Phantom("long", (body,), {1: "water"}).mu(Grid.centred((24, 24, 100), (4.0, 4.0, 8.0)))
    model = ScatterModel.of(long, BINS, SCANNER.energy, points=200)
    ends = np.abs(model.points.places_mm[:, 2]).max() - np.abs(BINS.plane_z_mm).max()
    assert 110 < ends <= 150


def test_activity_far_beyond_the_rings_scatters() -> None:
    """From 5 cm on it was left out, which was a tenth of the scatter of 70 cm in the HR+."""
    rod = cylinder((0, 0, 0), (40, 40), 900).filled(Material(1.0, WATER_PER_MM), label=1)
    long = Phantom("rod", (rod,), {1: "water"})
    bins = replace(SCANNER, radius_mm=400.0).bins(span=3)
    beyond = float(np.abs(bins.plane_z_mm).max())
    reach = 2 * int(np.ceil((beyond + 150) / 8)) + 1
    planes = 2 * int(beyond // 8) + 1
    mu = long.mu(Grid.centred((24, 24, 110), (4.0, 4.0, 8.0)))
    model = ScatterModel.of(mu, bins, SCANNER.energy, points=200)
    seen, whole = (
        model.of_pairs(long.activity(Grid.centred((24, 24, n), (4.0, 4.0, 8.0))))
        for n in (planes, reach)
    )
    assert seen.single.sum() == pytest.approx(whole.single.sum(), rel=0.01)
    assert seen.values.sum() == pytest.approx(whole.values.sum(), rel=0.01)


def test_what_is_missing_is_said(parts):
    mu, trues, scatter = parts
    data = scan(mu, trues, scatter)
    with pytest.raises(SettingsError, match="give --mu"):
        estimate_scatter(data.with_(mu=None), SCANNER.energy)
    unknown = Scan(ECAT_931.bins(max_ring_difference=0, views=2), np.ones((2, 192, 8), np.float32))
    with pytest.raises(SettingsError, match=r"energy window of ECAT 931.*--window-kev"):
        window_of(unknown.bins, unknown.exam)
    with pytest.raises(SettingsError, match="energy resolution of ECAT 931"):
        window_of(unknown.bins, unknown.exam, (250, 850))
    assert window_of(unknown.bins, unknown.exam, (250, 850), 0.3).resolution == 0.3
