"""Photon pairs followed one by one against line integrals and single scatter worked out."""

from __future__ import annotations

from dataclasses import replace

import numba
import numpy as np
import pytest

from emrecon.errors import DataError, GeometryError
from emrecon.tomo.corrections.scatter_sampling import CoarseRing
from emrecon.tomo.corrections.scatter_simulation import ScatterPoints, integrals, pair_scatter
from emrecon.tomo.geometry.energy import REST_KEV
from emrecon.tomo.geometry.presets import ECAT_931, TINY
from emrecon.volume import Grid, Volume
from phantoms.lines import line_integrals
from phantoms.monte_carlo import coincidences, facing, pairs_a_decay
from phantoms.phantom import WATER_PER_MM, Phantom
from phantoms.shapes import Material, cylinder
from phantoms.simulate import attenuation_factors

SCANNER = replace(TINY, radius_mm=140.0, crystals=96, max_bins=95, ring_spacing_mm=16.0)
BODY = Phantom(
    "body",
    (cylinder((0, 5, 0), (55, 45), 80).filled(Material(1.0, WATER_PER_MM), label=1),),
    {1: "water"},
)
GRID = Grid.centred((62, 62, 42), (2.0, 2.0, 2.0))


@pytest.fixture(scope="module")
def counted():
    return coincidences(BODY.activity(GRID), BODY.mu(GRID), SCANNER, 1_500_000, seed=2)


@pytest.mark.slow
def test_absolute_counts_are_those_of_line_integrals_and_single_scatter(counted):
    bins = SCANNER.bins()
    activity, mu = BODY.activity(GRID), BODY.mu(GRID)
    one = counted.decays * pairs_a_decay(bins, float(activity.voxels.sum()) * 8)
    one *= float(SCANNER.energy.accepts(REST_KEV)) ** 2
    trues = line_integrals(BODY.bodies, bins, BODY.activities) * attenuation_factors(BODY, bins)
    points, ring = ScatterPoints.of(mu, 300), CoarseRing.of(bins, 15.0, 20.0)
    detectors = ring.detectors
    rays = integrals(activity, points, detectors), integrals(mu, points, detectors)
    single = ring.in_bins(
        pair_scatter(rays, points, detectors, ring.pairs, SCANNER.energy).sum(axis=1), bins
    )
    for order, expected, tolerance in ((0, trues, 0.0), (1, single, 0.01)):
        wanted = one * float(np.sum(expected * facing(bins), dtype=float))
        found = np.count_nonzero(counted.scatters == order)
        # Three standard deviations, and for scatter what a photon misses of the field of view.
        assert found == pytest.approx(wanted, abs=3 * np.sqrt(wanted) + tolerance * wanted), order


def test_arrival_times_tell_where_unscattered_pairs_came_from(counted):
    some = counted.of(counted.scatters == 0)
    ring, crystal = np.divmod(some.pairs.astype(int), SCANNER.crystals)
    psi = 2 * np.pi * crystal / SCANNER.crystals
    radius = SCANNER.effective_radius_mm
    ends = np.stack(
        [radius * np.sin(psi), -radius * np.cos(psi), (ring - 2.5) * SCANNER.ring_spacing_mm], -1
    )
    way = ends[:, 1] - ends[:, 0]
    way /= np.linalg.norm(way, axis=1)[:, None]
    places = ends.mean(axis=1) + some.places_mm[:, None] * way
    # All within the body but for half a crystal, and about its middle.
    assert np.mean(((places[:, 0] / 65) ** 2 + ((places[:, 1] - 5) / 55) ** 2) < 1) > 0.999
    assert places.mean(axis=0) == pytest.approx([0, 5, 0], abs=1.0)


def test_the_same_coincidences_for_any_number_of_threads():
    activity, mu = BODY.activity(GRID), BODY.mu(GRID)
    results = []
    for threads in (1, 2):
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
        results.append(coincidences(activity, mu, SCANNER, 70_000, seed=5))
    one, two = results
    assert len(one.pairs) > 100
    assert np.array_equal(one.pairs, two.pairs)
    assert np.array_equal(one.places_mm, two.places_mm)
    other = coincidences(activity, mu, SCANNER, 70_000, seed=6)
    assert len(other.pairs) != len(one.pairs)


def test_what_cannot_be_followed_is_refused():
    empty = Volume(np.zeros(GRID.shape, np.float32), GRID.affine)
    with pytest.raises(DataError, match="no activity"):
        coincidences(empty, BODY.mu(GRID), SCANNER, 100)
    with pytest.raises(GeometryError, match="energy window"):
        coincidences(BODY.activity(GRID), BODY.mu(GRID), ECAT_931, 100)
