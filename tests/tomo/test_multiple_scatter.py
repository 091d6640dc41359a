"""Multiple scatter against Monte Carlo, and what it is made of."""

from __future__ import annotations

from dataclasses import replace

import numba
import numpy as np
import pytest

from emrecon.tomo.corrections.bin_places import turned_places
from emrecon.tomo.corrections.multiple_scatter import CHAINS, MultipleScatter
from emrecon.tomo.corrections.scatter_activity import coarser
from emrecon.tomo.corrections.scatter_simulation import ScatterPoints
from emrecon.tomo.geometry.energy import (
    REST_KEV,
    EnergyWindow,
    relative_attenuation,
)
from emrecon.tomo.geometry.presets import TINY
from emrecon.tomo.kernels import multiple_scatter as kernel
from emrecon.volume import Grid, Volume
from phantoms.monte_carlo import coincidences, facing, pairs_a_decay
from phantoms.phantom import WATER_PER_MM, Phantom
from phantoms.shapes import Material, cylinder

WINDOW = EnergyWindow(400, 650, 0.15)
SCANNER = replace(
    TINY, radius_mm=140.0, crystals=96, max_bins=95, ring_spacing_mm=16.0, energy=WINDOW
)
BINS = SCANNER.bins()
BODY = Phantom(
    "body",
    (
        cylinder((0, 0, -50), (80, 50), 120).filled(Material(0.0, WATER_PER_MM), label=1),
        cylinder((30, 10, -50), (25, 25), 120).filled(Material(1.0, WATER_PER_MM), label=2),
    ),
    {1: "water", 2: "hot"},
)
GRID = Grid((88, 58, 68), (2.0, 2.0, 2.0), (-87.0, -57.0, -117.0))


@pytest.fixture(scope="module")
def model() -> MultipleScatter:
    mu = BODY.mu(GRID)
    return MultipleScatter.of(mu, ScatterPoints.of(mu, 1200), BINS, WINDOW, 60.0)


@pytest.mark.slow
def test_multiple_scatter_is_that_of_monte_carlo_on_all_lines(model: MultipleScatter) -> None:
    """In all, by distance from the body's middle, by view, and in planes beside its end."""
    activity = BODY.activity(GRID)
    seen = coincidences(activity, BODY.mu(GRID), SCANNER, 10_000_000, seed=4)
    seen = seen.of(seen.scatters > 1)
    place, _ = turned_places(BINS, seen.pairs)
    counted = np.bincount(place[place >= 0], minlength=int(np.prod(BINS.shape)))
    counted = counted.reshape(BINS.shape).astype(float)
    scale = seen.decays * pairs_a_decay(BINS, float(activity.voxels.sum(dtype=float)) * 8)
    scale *= float(WINDOW.accepts(REST_KEV)) ** 2
    expected = scale * facing(BINS) * model.ring.in_bins(model.of_pairs(activity), BINS)

    def alike(chosen: object, tolerance: float) -> None:
        mine, true = (float(data[chosen].sum()) for data in (expected, counted))  # type: ignore[index]
        assert true > 500
        assert mine == pytest.approx(true, abs=tolerance * true + 3 * np.sqrt(true))

    alike(..., 0.02)
    for strip in np.array_split(np.arange(BINS.shape[1])[27:-27], 6):
        alike(np.s_[:, strip], 0.05)
    for views in np.array_split(np.arange(BINS.shape[0]), 4):
        alike(views, 0.04)
    alike(np.s_[..., BINS.plane_z_mm > 15], 0.05)  # the body ends at 10 mm


def test_the_same_bits_for_any_number_of_threads() -> None:
    mu, activity = BODY.mu(GRID), BODY.activity(GRID)
    points, results = ScatterPoints.of(mu, 100), []
    for threads in (1, 2):
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
        one = MultipleScatter.of(mu, points, BINS, WINDOW, 60.0)
        results.append(one.of_pairs(activity))
    assert results[0].mean() > 0
    assert np.array_equal(*results)


def test_no_activity_has_no_scatter(model: MultipleScatter) -> None:
    none = Volume(np.zeros(GRID.shape, np.float32), GRID.affine)
    assert not model.of_pairs(none).any()


def test_photons_are_deflected_as_deep_as_matter_lets_them_come() -> None:
    """Depths have an exponential law, cut where the matter ends."""
    per_mm, length = 0.01, 100.0
    matter = np.full((3, 3, 20), per_mm, np.float32), np.full(3, -5.0), np.full(3, 5.0)
    chances = (np.arange(200) + 0.5) / 200
    starts, ways = np.zeros((200, 3)), np.tile([0.0, 0.0, 1.0], (200, 1))
    starts[:, 2] = -7.5  # the face of the first voxel
    places, shares, depths = kernel.interactions(starts, ways, chances, matter, 2.5)
    whole = 1 - np.exp(-per_mm * length)
    assert shares == pytest.approx(np.full(200, whole), rel=1e-6)
    assert depths == pytest.approx(-np.log(1 - chances * whole), rel=1e-6)
    assert places[:, 2] == pytest.approx(-7.5 + depths / per_mm, abs=1e-3)
    _, none, _ = kernel.interactions(starts, -ways, chances, matter, 2.5)
    assert not none.any()


def test_a_chain_is_worth_what_klein_and_nishina_say(model: MultipleScatter) -> None:
    """One straight photon, one that turns twice and three times, in nothing and in matter."""
    turns, depths = np.array([0.10, 0.05, 0.08]), np.array([0.5, 0.4, 0.3])
    straight = 0.7  # integral of mu on the way of the straight photon

    def density(before: float, turn: float) -> float:
        """Return the differential cross-section over the total one at 511 keV."""
        energy = 1 / (1 + before)
        ratio = 1 / (1 + energy * turn)
        sine2 = 1 - (1 - turn) ** 2
        return float(
            0.5 * ratio**2 * (ratio + 1 / ratio - sine2)
            / (2 * np.pi * (40 / 9 - 3 * np.log(3)) / 2)
        )  # fmt: skip

    def passes(before: float, depth: float) -> float:
        return float(np.exp(-(relative_attenuation(REST_KEV / (1 + before)) - 1) * depth))

    def counts(before: float) -> float:
        return float(WINDOW.accepts(REST_KEV / (1 + before)) / WINDOW.accepts(REST_KEV))

    way = np.array([0, 0, -(1 - turns[0])], np.float32).reshape(3, 1, 1)  # to the straight one
    one = np.ones((1, 1), np.float32)
    first = way, 2 * one, 3 * one, np.float32(straight) * one
    chain = np.array([[0, 0, 1, 5, 7, depths[0], depths[1], turns[1]]], np.float32)
    ends = [
        np.array([[turn], [0.5 * np.exp(-depths[2])], [depths[2]]], np.float32)[None]
        for turn in (turns[1], turns[2])
    ]
    twice, thrice = kernel.one_straight(first, chain, *ends, model.table, model.most)[:, 0, 0]
    common = 2 * 3 * np.exp(-straight) * density(0, turns[0]) * passes(turns[0], depths[0])
    end = 0.5 * np.exp(-depths[2])
    two, three = turns[:2].sum(), turns.sum()
    wanted = 5 * common * end * density(turns[0], turns[1]) * passes(two, depths[2]) * counts(two)
    assert twice == pytest.approx(wanted, rel=5e-3)  # of the table's steps
    wanted = 7 * common * end * density(turns[0], turns[1]) * passes(two, depths[1])
    wanted *= density(two, turns[2]) * passes(three, depths[2]) * counts(three)
    assert thrice == pytest.approx(wanted, rel=5e-3)


def test_every_kind_of_chain_is_followed_often_enough(model: MultipleScatter) -> None:
    chains, second, third = model.chains
    assert len(chains) == len(second) == len(third) > CHAINS / 2
    assert np.mean(chains[:, 3] > 0) > 0.95
    assert np.mean(chains[:, 4] > 0) > 0.95


def test_larger_voxels_hold_as_much_at_the_same_places() -> None:
    rng = np.random.default_rng(0)
    grid = Grid((7, 5, 4), (2.0, 3.0, 4.0), (-5.0, 1.0, 2.0))
    fine = Volume(rng.random(grid.shape).astype(np.float32), grid.affine)
    large = coarser(fine, 6.0)
    assert large.voxels.shape == (3, 3, 2)
    assert large.grid().spacing_mm == (6.0, 6.0, 8.0)

    def moments(volume: Volume) -> list[float]:
        where = volume.grid()
        total = volume.voxels.astype(float) * np.prod(where.spacing_mm)
        sums = [np.moveaxis(total, n, 0).sum(axis=(1, 2)) @ where.centres_mm(n) for n in range(3)]
        return [float(total.sum()), *map(float, sums)]

    whole = moments(large)
    assert whole[0] == pytest.approx(moments(fine)[0], rel=1e-5)
    even = Volume(np.ones((6, 4, 4), np.float32), grid.affine)
    assert moments(coarser(even, 4.0)) == pytest.approx(moments(even), rel=1e-6)
