"""The time-of-flight kernel against Gaussians integrated numerically."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from emrecon.errors import GeometryError
from emrecon.tomo.geometry.tof import MM_PER_PS, Timing


@pytest.mark.parametrize(
    ("fwhm", "width", "bins"), [(32.0, 21.4, 33), (57.7, 5.0, 40), (30, 90, 3)]
)
def test_weights_are_the_integrated_gaussian(fwhm, width, bins):
    timing = Timing(fwhm, width, bins)
    sigma = fwhm / 2.354820045

    def gauss(d):
        return np.exp(-(d**2) / (2 * sigma**2)) if abs(d) <= 3 * sigma else 0.0

    whole = quad(gauss, -3 * sigma, 3 * sigma, epsabs=1e-13)[0]
    for place in (0.0, 17.3, -88.0, timing.edges_mm[-1]):
        weights = timing.weights(place)
        for edge, weight in zip(timing.edges_mm, weights, strict=False):
            low = np.clip(edge - place, -3 * sigma, 3 * sigma)
            high = np.clip(edge + width - place, -3 * sigma, 3 * sigma)
            wanted = quad(gauss, low, high, epsabs=1e-13)[0] / whole
            assert weight == pytest.approx(wanted, abs=1e-10)


def test_positive_is_towards_end_2_and_bins_add_to_one():
    timing = Timing.of_ps(214, 143, 33)
    places = np.linspace(-300, 300, 101)
    weights = timing.weights(places)
    assert weights.sum(axis=1) == pytest.approx(1, abs=1e-12)
    assert weights @ timing.centres_mm == pytest.approx(places, abs=1.0)
    assert timing.covers(300)
    assert not timing.covers(330)


def test_a_picosecond_is_half_the_way_of_light():
    assert pytest.approx(299792458 * 1e3 / 1e12 / 2) == MM_PER_PS
    timing = Timing.of_ps(400, 200, 5)
    assert timing.fwhm_ps == pytest.approx(400)
    assert timing.width_ps == pytest.approx(200)


def test_table_interpolates_and_keeps_the_sum():
    timing = Timing.of_ps(214, 143, 33)
    table, step = timing.table(0.5)
    away = np.random.default_rng(0).uniform(0, timing.reach_mm + step, 500)
    found = np.interp(away, np.arange(table.size) * step, table)
    assert found == pytest.approx(timing.weight(away), abs=1e-4)
    places = np.random.default_rng(1).uniform(-300, 300, 200)
    far = np.abs(places[:, None] - timing.centres_mm)
    sums = np.interp(far, np.arange(table.size) * step, table, right=0).sum(axis=1)
    assert sums == pytest.approx(1, abs=1e-6)


def test_mashed_bins_hold_the_sum():
    timing = Timing(40.0, 7.0, 30)
    place = np.array([3.0, -95.0])
    parts = timing.weights(place).reshape(2, 6, 5).sum(axis=2)
    assert timing.mashed(5).weights(place) == pytest.approx(parts, abs=1e-12)
    assert timing.whole.weights(place)[:, 0] == pytest.approx(parts.sum(axis=1), abs=1e-12)


@pytest.mark.parametrize(
    "wrong", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (np.nan, 1, 1), (1, np.inf, 3)]
)
def test_senseless_timing_is_refused(wrong):
    with pytest.raises(GeometryError, match="time of flight"):
        Timing(*wrong)


def test_mashing_must_divide():
    with pytest.raises(GeometryError, match="mash"):
        Timing(1, 1, 7).mashed(2)
