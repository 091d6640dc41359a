"""Scans by Monte Carlo, and the blur of detectors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from emrecon.errors import DataError, SettingsError
from emrecon.gaussian import FWHM_PER_SIGMA
from emrecon.jobs.simulate import SimulationJob
from emrecon.tomo.geometry.presets import TINY
from phantoms.acquisition import Acquisition
from phantoms.detection import Efficiencies, blurred
from phantoms.lines import line_integrals
from phantoms.phantom import WATER_PER_MM, Phantom
from phantoms.shapes import Material, cylinder, sphere
from phantoms.simulate import simulate
from phantoms.simulate_photons import PhotonScan, simulate_photon_events, simulate_photons

BODY = Phantom(
    "body",
    (cylinder((0, 8, 0), (25, 20), 60).filled(Material(1.0, WATER_PER_MM), label=1),),
    {1: "water"},
)
SCANNER = replace(TINY, crystals=96, max_bins=61)


def photons(seed=4, **more):
    bins = SCANNER.bins(span=3, max_ring_difference=4)
    settings = {"counts": 4e4, "randoms_fraction": 0.2, "efficiencies": Efficiencies(0.2, 1)}
    return PhotonScan(BODY, bins, rng=np.random.default_rng(seed), **(settings | more))


@pytest.fixture(scope="module")
def made():
    return simulate_photons(photons())


def test_trues_are_those_of_the_model_and_scatter_is_known(made):
    scan = made.scan
    total = float(scan.prompts.sum(dtype=float))
    assert total == pytest.approx(4e4, abs=5 * np.sqrt(4e4))
    assert scan.scatter is None
    trues, single, multiple = (made.orders[name] for name in ("trues", "single", "multiple"))
    assert 0.02 < single.sum() / trues.sum() < 0.2
    assert 0 < multiple.sum() < 0.2 * single.sum()
    assert total - trues.sum() - single.sum() - multiple.sum() == pytest.approx(8e3, abs=450)
    lines = line_integrals(BODY.bodies, scan.bins, BODY.activities) * scan.attenuation
    wanted = scan.normalisation * lines * made.facts["counts_per_mm_per_unit"]
    # All together, and plane by plane: by chance as Poisson tells.
    found, mean = (each.sum(axis=(0, 1), dtype=float) for each in (trues, wanted))
    assert found.sum() == pytest.approx(mean.sum(), abs=4 * np.sqrt(mean.sum()))
    assert np.mean((found - mean) ** 2 / mean) < 2
    assert not scan.prompts[scan.normalisation == 0].any()


def test_the_same_seed_counts_the_same():
    one, again, other = (simulate_photons(photons(seed, counts=3e3)) for seed in (4, 4, 5))
    assert np.array_equal(one.scan.prompts, again.scan.prompts)
    assert not np.array_equal(one.scan.prompts, other.scan.prompts)


def test_time_of_flight_tells_where_pairs_came_from():
    like = replace(Acquisition(), tof_fwhm_ps=100.0)
    bins = SCANNER.bins(span=3, max_ring_difference=4)
    scan = photons(efficiencies=None, randoms_fraction=0.0)
    scan = replace(scan, bins=bins.timed(like._timing(bins, SCANNER)))
    made = simulate_photons(scan)
    lines = line_integrals(BODY.bodies, scan.bins, BODY.activities) * made.scan.attenuation
    wanted = (lines * made.scan.normalisation).sum(axis=-1, dtype=float)
    found = made.orders["trues"].sum(axis=-1, dtype=float)
    places = scan.bins.timing.centres_mm
    for views in (slice(0, 3), slice(22, 27)):  # the body off the middle of the lines, and in it
        means = [
            np.average(places, weights=each[:, views].sum(axis=(1, 2))) for each in (wanted, found)
        ]
        # Chance, of a body 40 mm across: 0.3 mm.
        assert means[1] == pytest.approx(means[0], abs=1.2), views
    summed = wanted.sum(axis=(1, 2)) * made.facts["counts_per_mm_per_unit"]
    assert np.mean((found.sum(axis=(1, 2)) - summed) ** 2 / np.maximum(summed, 5)) < 2.5


def test_events_are_of_single_pairs_with_the_efficiency_of_their_crystals():
    bins = SCANNER.bins()
    scan = replace(photons(), bins=bins, counts=3e4)
    made = simulate_photon_events(scan)
    pairs, _ = made.prompts
    assert len(pairs) == pytest.approx(3e4, abs=5 * np.sqrt(3e4))
    assert len(made.delayeds[0]) == pytest.approx(6e3, abs=5 * np.sqrt(6e3))
    assert made.facts["scatter_fraction"] > 0.02
    counted = np.bincount(pairs.ravel(), minlength=made.efficiencies.size)
    assert not counted[made.efficiencies.ravel() == 0].any()
    assert np.corrcoef(counted, made.efficiencies.ravel())[0, 1] > 0.5


def spread_mm(data, bins):
    """Return the standard deviation along the bins of all counts near the axis."""
    profile = data.sum(axis=(0, 2), dtype=float)
    mean = np.average(bins.s_mm, weights=profile)
    return np.sqrt(np.average((bins.s_mm - mean) ** 2, weights=profile))


def test_detectors_blur_a_point_as_wide_as_is_said_both_ways():
    ball = sphere((0, 0, 0), 3.0).filled(Material(1.0, 0.0), label=1)
    point = Phantom("point", (ball,), {1: "ball"})
    scanner = replace(TINY, crystals=240, max_bins=121)
    bins = scanner.bins(span=3, max_ring_difference=2)
    fwhm = 6.0
    rng = np.random.default_rng(0)
    means = [
        simulate(point, bins, counts=1e5, rng=rng, noise=False, attenuate=False, resolution_mm=r)
        for r in (0.0, fwhm)
    ]
    widths = [spread_mm(each.mean, bins) for each in means]
    wanted = fwhm / FWHM_PER_SIGMA
    assert np.sqrt(widths[1] ** 2 - widths[0] ** 2) == pytest.approx(wanted, rel=0.02)
    assert means[1].truth.voxels == pytest.approx(means[0].truth.voxels, rel=0.01)
    followed = [
        simulate_photons(PhotonScan(point, bins, 3e4, np.random.default_rng(1), resolution_mm=r))
        for r in (0.0, fwhm)
    ]
    widths = [spread_mm(each.orders["trues"], bins) for each in followed]
    assert np.sqrt(widths[1] ** 2 - widths[0] ** 2) == pytest.approx(wanted, rel=0.05)


def test_the_blur_over_views_goes_on_from_the_other_side():
    bins = SCANNER.bins(span=3, max_ring_difference=4)
    lines = line_integrals(BODY.bodies, bins, BODY.activities)
    turned = np.roll(np.arange(48), -20)
    beyond = lines.copy()
    blurred(beyond, bins, 8.0)
    # Views that begin elsewhere see the same: half a turn on, a line is seen from its other end.
    later = replace(bins, phi_rad=bins.phi_rad[20] + bins.phi_rad - bins.phi_rad[0])
    moved = line_integrals(BODY.bodies, later, BODY.activities)
    blurred(moved, later, 8.0)
    np.testing.assert_allclose(moved[:28], beyond[turned][:28], atol=2e-3 * lines.max())
    assert np.abs(beyond - lines).max() > 0.05 * lines.max()


def test_what_cannot_be_is_refused():
    for idle in ({"scatter_fraction": 0.1}, {"noise": False}, {"arc_corrected": True}):
        with pytest.raises(SettingsError, match="leave scatter_fraction"):
            Acquisition(scatter="monte-carlo", **idle)
    with pytest.raises(SettingsError, match="smooth or monte-carlo"):
        Acquisition(scatter="geant")
    with pytest.raises(SettingsError, match="not for a gamma camera"):
        SimulationJob("brain", acquisition=Acquisition(resolution_mm=4.0), dicom=True)
    for kind, idle in (
        ("dicom", {"scanner": "tiny"}), ("dicom", {"randoms_fraction": 0.1}),
        ("dicom", {"dead_blocks": 2}), ("petsird", {"scatter_fraction": 0.1}),
    ):  # fmt: skip
        (name,) = idle
        with pytest.raises(SettingsError, match=f"{name} says nothing with {kind}"):
            SimulationJob("brain", acquisition=Acquisition(**idle), **{kind: True})
    with pytest.raises(SettingsError, match="seconds are of list-mode data"):
        SimulationJob("brain", seconds=7.0)
    with pytest.raises(SettingsError, match="energy window of Siemens mCT is not known"):
        Acquisition(scanner="mCT", scatter="monte-carlo", views=12).scan(BODY)
    with pytest.raises(SettingsError, match="blurred by scatter monte-carlo alone"):
        Acquisition(scanner="tiny", resolution_mm=4.0).events(BODY)
    nothing = Phantom("far", (sphere((0, 0, 5e3), 3).filled(Material(1.0), label=1),), {1: "far"})
    with pytest.raises(DataError, match="no detector pair sees"):
        simulate_photons(replace(photons(), phantom=nothing))
