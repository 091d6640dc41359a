"""Scatter by time of flight and of events: its definition, its bins, and Monte Carlo."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from emrecon.tomo import scatter_events
from emrecon.tomo.corrections.attenuation import event_factors
from emrecon.tomo.corrections.bin_places import turned_places
from emrecon.tomo.corrections.scatter_model import ScatterModel
from emrecon.tomo.corrections.scatter_simulation import (
    Detectors,
    ScatterPoints,
    integrals,
    pair_scatter,
    timed_pair_scatter,
)
from emrecon.tomo.geometry.detectors import crystal_centres, sum_over_pairs
from emrecon.tomo.geometry.events import Events
from emrecon.tomo.geometry.presets import TINY
from emrecon.tomo.geometry.tof import Timing
from emrecon.tomo.listmode_scan import ListmodeScan
from emrecon.tomo.scan import Scan
from emrecon.tomo.scatter_events import estimate_event_scatter, with_event_scatter
from emrecon.tomo.scatter_loop import estimate_scatter
from emrecon.tomo.settings import Settings
from emrecon.volume import Array, Grid, Volume
from phantoms.phantom import WATER_PER_MM, Phantom
from phantoms.shapes import Material, cylinder
from phantoms.simulate_photons import PhotonScan, simulate_photon_events, simulate_photons

SCANNER = replace(TINY, radius_mm=140.0, crystals=96, max_bins=61, ring_spacing_mm=16.0)
TIMING = Timing.of_ps(300, 200, 13)
BODY = Phantom(
    "body",
    (
        cylinder((0, 5, 0), (60, 45), 80).filled(Material(1.0, WATER_PER_MM), label=1),
        cylinder((25, 0, 0), (12, 12), 80).filled(Material(3.0, 0.0), label=2),
    ),
    {1: "water", 2: "hot"},
)
GRID = Grid.centred((34, 28, 22), (4.0, 4.0, 4.0))


@pytest.fixture(scope="module")
def volumes():
    return BODY.activity(GRID), BODY.mu(GRID)


def test_a_pair_is_seen_where_its_times_tell():
    """One point of activity, one of scatter: the places by the two ways to the detectors."""
    grid = Grid.centred((41, 41, 3), (2.0, 2.0, 2.0))
    voxels = np.zeros(grid.shape, np.float32)
    voxels[30, 20, 1] = 1.0  # at 20 mm along x
    activity, mu = Volume(voxels, grid.affine), Volume(0 * voxels, grid.affine)
    detectors = Detectors.around(np.array([[140.0, 0, 0], [-70.0, 121.0, 0], [0, -140.0, 0]]))
    points = ScatterPoints(np.zeros((1, 3)), np.ones(1), 1)
    pairs = np.array([[0, 1], [1, 0], [1, 2]], np.int32)
    rays = [integrals(volume, points, detectors) for volume in (activity, mu)]
    fine = Timing(8.0, 4.0, 101)
    timed = timed_pair_scatter(activity, rays[1], points, detectors, pairs, (SCANNER.energy, fine))
    flat = pair_scatter(tuple(rays), points, detectors, pairs, SCANNER.energy).sum(axis=1)
    # Of one point, the nearest of the angles in the table is up to 0.1 % off.
    assert timed.sum(axis=0) == pytest.approx(flat, rel=2e-3)
    assert flat[2] == 0  # no activity on its ways
    # From 120 mm before detector 0; the other photon goes 20 mm to the point and on to detector 1.
    wanted = (120.0 - 20.0 - np.hypot(70, 121)) / 2
    for column, sign in ((0, 1), (1, -1)):
        mean = np.average(fine.centres_mm, weights=timed[:, column])
        assert mean == pytest.approx(sign * wanted, abs=2.5)  # half a stretch, and a voxel
    spread = np.sqrt(np.average((fine.centres_mm - wanted) ** 2, weights=timed[:, 0]))
    assert spread == pytest.approx(fine.sigma_mm, rel=0.25)


def test_all_bins_together_are_scatter_without_time_of_flight(volumes):
    activity, mu = volumes
    bins = SCANNER.bins(span=3)
    flat = ScatterModel.of(mu, bins, SCANNER.energy, points=150)
    timed = ScatterModel.of(mu, bins.timed(TIMING), SCANNER.energy, points=150)
    (one, _, *figures), (other, _, *same) = flat.of_pairs(activity), timed.of_pairs(activity)
    assert figures == pytest.approx(same)
    assert other.shape == (TIMING.bins, len(one))
    assert np.abs(other.sum(axis=0) - one).max() < 2e-3 * one.max()
    assert timed.in_bins(other).sum(axis=0) == pytest.approx(
        flat.in_bins(one), abs=0.01 * float(one.max())
    )


def test_each_event_has_what_its_bin_has(volumes):
    activity, mu = volumes
    bins = SCANNER.bins().timed(TIMING)
    model = ScatterModel.of(mu, bins, SCANNER.energy, points=100)
    values = model.of_pairs(activity).values
    points, rng = crystal_centres(SCANNER), np.random.default_rng(0)
    pairs = rng.integers(0, len(points), (4000, 2)).astype(np.uint32)
    place, turned = turned_places(bins, pairs)
    pairs, place, turned = (each[place >= 0] for each in (pairs, place, turned))
    tof = rng.integers(0, TIMING.bins, len(pairs))
    wanted = model.in_bins(values).reshape(TIMING.bins, -1)
    wanted = wanted[np.where(turned, TIMING.bins - 1 - tof, tof), place]
    found = model.ring.at_pairs(values, points[pairs], tof)
    # Every other offset lies half a step of angle beside its view.
    assert np.sqrt(np.mean((found - wanted) ** 2)) < 5e-3 * wanted.max()
    assert found.sum() == pytest.approx(wanted.sum(), rel=2e-3)


@pytest.mark.slow
def test_the_scatter_of_monte_carlo_is_found_by_time_of_flight(volumes):
    bins = SCANNER.bins(span=3).timed(TIMING)
    made = simulate_photons(PhotonScan(BODY, bins, 6e4, np.random.default_rng(2)))
    scan = Scan(bins, made.scan.prompts, made.scan.normalisation, None, None, None, made.mu)
    found = estimate_scatter(scan, SCANNER.energy, 2, fit=False).scatter
    true = made.orders["single"] + made.orders["multiple"]
    assert found.sum() == pytest.approx(true.sum(), rel=0.06)
    # By time of flight, all lines together: chance is below 2 %.
    by_time = [each.sum(axis=(1, 2, 3), dtype=float) for each in (found, true)]
    strong = by_time[1] > 0.3 * by_time[1].max()
    ratio = by_time[0][strong] / by_time[1][strong]
    assert np.abs(ratio / ratio.mean() - 1).max() < 0.08


@pytest.mark.slow
def test_the_scatter_of_events_is_found(volumes):
    _, mu = volumes
    bins = SCANNER.bins().timed(TIMING)
    made = simulate_photon_events(PhotonScan(BODY, bins, 6e4, np.random.default_rng(3)))
    pairs, tof = made.prompts
    events = Events(crystal_centres(SCANNER), pairs, tof, TIMING)
    survival = np.concatenate(list(event_factors(mu, bins, [events])))
    efficiency = sum_over_pairs(bins, np.ones((SCANNER.rings, SCANNER.crystals)))
    scan = ListmodeScan(events.with_(factors=survival), bins.untimed, efficiency, mu)
    estimate = estimate_event_scatter(scan, SCANNER.energy, 2)
    share = estimate.total / len(pairs)
    assert share == pytest.approx(made.facts["scatter_fraction"], rel=0.08)
    told = with_event_scatter(scan, estimate.scatter, estimate.total).events
    assert told.background_total == pytest.approx(estimate.total)
    assert told.background.min() >= 0
    beside = survival > 0.99
    assert told.background[beside].mean() < told.background[~beside].mean()


@pytest.mark.slow
def test_images_of_single_events_of_a_line_have_smaller_voxels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As those of counts in bins: voxels of a twentieth of a body are wider than a line."""
    disc = cylinder((0, 0, 0), (110, 110), 80).filled(Material(0.0, WATER_PER_MM), label=1)
    line = cylinder((0, -30, 0), (3, 3), 80).adding(50, 0.0, label=2)
    bins = SCANNER.bins()
    body = Phantom("body", (disc, line), {1: "water", 2: "line"})
    made = simulate_photon_events(PhotonScan(body, bins, 2e4, np.random.default_rng(4)))
    events = Events(crystal_centres(SCANNER), made.prompts[0])
    survival = np.concatenate(list(event_factors(made.mu, bins, [events])))
    efficiency = sum_over_pairs(bins, np.ones((SCANNER.rings, SCANNER.crystals)))
    scan = ListmodeScan(events.with_(factors=survival), bins, efficiency, made.mu)
    image, sizes = scatter_events._image, []

    def watched(some: ListmodeScan, settings: Settings, sensitivity: Array) -> Volume:
        sizes.append(settings.voxel_mm)
        return image(some, settings, sensitivity)

    monkeypatch.setattr(scatter_events, "_image", watched)
    estimate = estimate_event_scatter(scan, SCANNER.energy, 2)
    assert len(sizes) == 2
    assert sizes[1][0] < sizes[0][0]
    assert sizes[1][2] > 2 * sizes[1][0]
    share = estimate.total / len(events)
    assert share == pytest.approx(made.facts["scatter_fraction"], rel=0.08)
