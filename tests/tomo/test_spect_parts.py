"""Collimators, isotopes, mu from CT and calibration, against figures from outside."""

from __future__ import annotations

import math

import numpy as np
import pytest

from emrecon.errors import DataError, GeometryError, SettingsError
from emrecon.tomo.corrections.calibration import Calibration
from emrecon.tomo.geometry.collimator import (
    COLLIMATORS,
    ISOTOPES,
    Response,
    collimator_named,
    isotope_named,
)
from emrecon.tomo.materials import attenuation_per_mm, mu_map, mu_of_hu
from emrecon.tomo.operators.resampling import resampled
from emrecon.volume import Grid, Volume


@pytest.mark.parametrize(
    ("material", "kev", "per_cm"),
    # NISTIR 5632 and XCOM: at nodes of the table, and between them.
    [
        ("water", 150, 0.1505),
        ("water", 140.5, 0.1535),
        ("water", 511, 0.0960),
        ("bone", 140.5, 0.292),
        ("lead", 140.5, 26.9),
        ("lead", 364.5, 3.09),
        ("tungsten", 200, 15.14),
    ],
)
def test_attenuation_is_that_of_the_tables(material, kev, per_cm):
    assert attenuation_per_mm(material, kev) == pytest.approx(per_cm / 10, rel=0.01)


def test_attenuation_beyond_the_tables_is_refused():
    with pytest.raises(SettingsError, match="keV"):
        attenuation_per_mm("water", 30)
    with pytest.raises(SettingsError, match="lead"):
        attenuation_per_mm("gold", 140)


def test_hounsfield_units_become_mu():
    """Air, water and the slopes that scanners use at 140 keV, of which bone's differ by 10 %."""
    mu = mu_of_hu([-1000, -500, 0, 1000], 140.0, 120)
    assert mu[0] == pytest.approx(0, abs=1e-8)
    assert mu[1] == pytest.approx(mu[2] / 2, rel=1e-5)
    assert mu[2] == pytest.approx(0.01538, rel=0.005)
    assert mu[3] - mu[2] == pytest.approx(1.04e-4 * 1000 / 10, rel=0.12)  # 1.04e-4 1/cm a HU
    assert np.all(np.diff(mu_of_hu(np.arange(-1100, 3000), 208.0, 80)) >= 0)
    # The harder the tube's beam, the less bone stands out from water on the CT.
    assert mu_of_hu(1000, 140.0, 140) > mu_of_hu(1000, 140.0, 80)


def test_what_is_no_ct_is_refused():
    affine = np.eye(4)
    with pytest.raises(DataError, match="rescale"):
        mu_map(Volume(np.full((2, 2, 2), 1000, np.float32), affine), 140.5, 120)
    with pytest.raises(SettingsError, match="kVp"):
        mu_map(Volume(np.full((2, 2, 2), -1000, np.float32), affine), 140.5, 511)


def blob(centre, affine, shape):
    """A smooth ball at a place in RAS mm, on voxels anywhere."""
    at = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1) @ affine[:3, :3].T
    away = np.linalg.norm(at + affine[:3, 3] - centre, axis=-1)
    return Volume(np.exp(-(away**2) / 2 / 9.0**2).astype(np.float32), affine, "1/mm")


@pytest.mark.parametrize("oblique_deg", [0.0, 20.0])
def test_resampling_obeys_both_affines(oblique_deg):
    """An LPS-ordered map of other voxels, straight and oblique, keeps total and centroid."""
    centre, turn = np.array([14.0, -22.0, 9.0]), np.deg2rad(oblique_deg)
    axes = np.array([[-1.5, 0, 0], [0, -1.5, 0], [0, 0, 2.0]])
    wheel = np.array(
        [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
    )
    affine = np.eye(4)
    affine[:3, :3] = wheel @ axes
    shape = np.array([80, 80, 50])
    affine[:3, 3] = centre - affine[:3, :3] @ (shape - 1) / 2 + [5, -4, 3]
    volume = blob(centre, affine, shape)
    grid = Grid((20, 24, 16), (5.0, 4.5, 6.0), (-40.0, -70.0, -36.0))
    found = resampled(volume, grid)
    assert np.array_equal(found.affine, grid.affine)
    sums = [v.voxels.sum(dtype=float) * np.prod(v.spacing_mm) for v in (found, volume)]
    assert sums[0] == pytest.approx(sums[1], rel=2e-3)
    weights = found.voxels / found.voxels.sum()
    places = [weights.sum(axis=tuple(b for b in range(3) if b != a)) for a in range(3)]
    middle = [p @ grid.centres_mm(a) for a, p in enumerate(places)]
    np.testing.assert_allclose(middle, centre, atol=0.05)


def test_voxels_that_fit_are_taken_over_as_they_are():
    rng = np.random.default_rng(0)
    grid = Grid((6, 5, 4), (3.0, 4.0, 5.0), (-7.0, 2.0, 1.0))
    volume = Volume(rng.random(grid.shape, np.float32), grid.affine)
    assert np.array_equal(resampled(volume, grid).voxels, volume.voxels)
    moved = Grid((7, 5, 4), grid.spacing_mm, (-10.0, 6.0, 1.0))
    found = resampled(volume, moved).voxels
    np.testing.assert_array_equal(found[1:, :4], volume.voxels[:, 1:])
    assert not found[0].any()
    assert not found[:, 4].any()
    with pytest.raises(GeometryError, match="beside"):
        resampled(volume, Grid((2, 2, 2), (1.0, 1.0, 1.0), (500.0, 0.0, 0.0)))


def test_resolution_is_that_of_the_formula():
    """Symbia LEHR at 140 keV, by hand: L - 2 / 2.69 = 23.31 mm; at 100 mm 5.87 and 3.8 mm."""
    response = collimator_named("siemens-symbia lehr").response(140.5)
    assert response.fwhm_mm(100.0) == pytest.approx(np.hypot(5.87, 3.8), rel=2e-3)
    assert response.sigma_mm(100.0) == pytest.approx(response.fwhm_mm(100.0) / 2.3548, rel=1e-4)
    assert response.fwhm_mm(-5.0) == response.fwhm_mm(0.0)
    # Data sheet: 7.5 mm at 10 cm (system, LEHR).
    assert response.fwhm_mm(100.0) == pytest.approx(7.5, rel=0.08)


def test_every_collimator_works_with_some_isotope_and_gets_worse_with_distance():
    assert len(COLLIMATORS) >= 5
    for collimator in COLLIMATORS.values():
        width = collimator.response(140.5).fwhm_mm([0.0, 100.0, 300.0])
        assert np.all(np.diff(width) > 0)
        assert 6 < width[1] < 16
    with pytest.raises(SettingsError, match="does not stop"):
        collimator_named("Siemens Symbia LEHR").response(600.0)
    with pytest.raises(SettingsError, match="known are Siemens"):
        collimator_named("pinhole")
    with pytest.raises(SettingsError, match="slope"):
        Response(-0.1, 1.0)


def test_isotopes_by_any_name():
    assert set(ISOTOPES) >= {"Tc-99m", "I-123", "I-131", "In-111", "Lu-177"}
    for name in ("Tc-99m", "tc99m", "99mTc", "^99m^Technetium", "99m_Technetium"):
        assert isotope_named(name) is ISOTOPES["Tc-99m"]
    assert isotope_named("Lutetium-177").half_life_s == pytest.approx(6.65 * 86400, rel=1e-3)
    assert isotope_named("131I").energy_kev == pytest.approx(364.5, abs=0.1)
    assert isotope_named("111-Indium").peaks_kev == pytest.approx((171.3, 245.4), abs=0.1)
    low, high = isotope_named("I-123").windows_kev()[0]
    assert (low, high) == pytest.approx((143.1, 174.9), abs=0.1)
    with pytest.raises(SettingsError, match="Tc-99m"):
        isotope_named("F-18")


def test_calibration_against_counting_by_hand():
    """1 MBq in 1 mL counts 60 cps: an image of what these views hold gives 1 MBq/mL again."""
    known = Calibration(60.0, 20.0, 16.0)
    # In 1000 mm3 of x counts/mm a view holds x * 1000 / 16 counts, which shall be 60 * 20.
    x = 60 * 20 * 16 / 1000
    assert known.factor * x == pytest.approx(1e6)
    image = known.applied(Volume(np.full((2, 2, 2), x, np.float32), np.eye(4), "counts/mm"))
    assert image.unit == "Bq/mL"
    assert image.voxels[0, 0, 0] == pytest.approx(1e6, rel=1e-6)
    with pytest.raises(DataError, match="counts/mm"):
        known.applied(image)


def test_decay_is_corrected_to_the_reference_time():
    half_life = 6.0067 * 3600
    known = Calibration(60.0, 20.0, 16.0, half_life, 2 * half_life, half_life / 2)
    assert known.decay_before == pytest.approx(4)
    times = (np.arange(10000) + 0.5) / 20000
    assert known.decay_during == pytest.approx(1 / np.mean(2.0**-times), rel=1e-6)
    assert known.factor == pytest.approx(
        Calibration(60.0, 20.0, 16.0).factor * known.decay_before * known.decay_during
    )
    assert known.facts()["decay_factor_to_reference"] == known.decay_before
    assert Calibration(1.0, 1.0, 1.0).facts()["half_life_s"] is None
    for wrong in ((0.0, 20.0, 16.0), (60.0, 20.0, 16.0, math.nan)):
        with pytest.raises(SettingsError, match="above zero"):
            Calibration(*wrong)
