"""SPECT reconstructions of what was counted exactly: place, flatness, likelihood, activity."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from emrecon.em import last, until
from emrecon.errors import DataError, SettingsError
from emrecon.stop import after
from emrecon.testing import check_likelihood
from emrecon.tomo.corrections import scatter
from emrecon.tomo.exam import ExamInfo
from emrecon.tomo.fingerprint import fingerprint
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.geometry.collimator import Response, collimator_named, isotope_named
from emrecon.tomo.materials import BONE_HU, attenuation_per_mm, mu_map
from emrecon.tomo.operators.camera import CameraProjector
from emrecon.tomo.prepare import prepare, recon
from emrecon.tomo.scan import Scan
from emrecon.tomo.settings import Settings
from emrecon.volume import Grid, Volume
from phantoms.cylinder import uniform_cylinder
from phantoms.flip_finder import flip_finder
from phantoms.lines import line_integrals
from phantoms.phantom import Phantom
from phantoms.shapes import Material, cylinder, ellipsoid, sphere
from tests.tomo import spect_dense
from tests.tomo.test_recon import check_centroids
from tests.tomo.test_spect_projector import orbit

pytestmark = pytest.mark.slow

SPECTRUM = ((120.45, 126.45), (154.55, 160.55), (126.45, 154.55))
"""Lower and upper scatter window and photopeak window of Tc-99m, keV."""


@pytest.mark.parametrize("heads", [1, 2, 3])
@pytest.mark.parametrize("sense", [1, -1], ids=["CC", "CW"])
@pytest.mark.parametrize("start_deg", [0, 90, 217])
def test_flip_finder_is_at_its_place_for_every_orbit(heads, sense, start_deg):
    """Exact line integrals of a perfect collimator: centroids right to half a voxel."""
    phantom = flip_finder()
    views, size = 48, 4.4
    turn = sense * 2 * np.pi / views * np.arange(views // heads)
    theta = np.concatenate(
        [np.deg2rad(start_deg) + head * 2 * np.pi / heads + turn for head in range(heads)]
    )
    u, z = (np.arange(50) - 24.5) * size, (np.arange(32) - 15.5) * size
    camera = Camera(theta, 140 + 30 * np.sin(theta) ** 2, u, z)
    # A line with normal phi has the camera's u as its s where phi is a right angle ahead.
    lines = Bins.parallel(theta + np.pi / 2, u, slices=32, slice_mm=size)
    counts = line_integrals(phantom.bodies, lines, phantom.activities)
    image = recon(Scan(camera, np.maximum(counts, 0)), Settings(iterations=5, subsets=8))
    grid = camera.grid()
    check_centroids(image, phantom.activity(grid), phantom.label_map(grid))


def ring_means(volume, planes, edges=tuple(range(0, 90, 10))):
    """Mean of the voxels of `planes` whose middles lie between every two radii (mm)."""
    x, y = (volume.grid().centres_mm(axis) for axis in range(2))
    radius = np.hypot(x[:, None], y[None, :])
    rings = [(radius >= low) & (radius < high) for low, high in pairwise(edges)]
    return np.array([volume.voxels[ring][:, planes].mean(dtype=float) for ring in rings])


@pytest.mark.parametrize("name", ["", "Siemens Symbia LEHR"])
def test_cylinder_of_water_is_flat_with_correction_and_cupped_without(name):
    """Exact attenuated projections: rings of 10 mm, from the axis to 20 mm inside the wall.

    Within 1 % away from the wall, by which resolution recovery over- and undershoots (Gibbs).
    """
    mu, size = attenuation_per_mm("water", 140.5), 4.8
    phantom = uniform_cylinder(100.0, 8 * size, 1.0, mu)
    response = collimator_named(name).response(140.5) if name else None
    camera = orbit(60, 52, 8, size, radius=150.0, first=0.0)
    one = spect_dense.cylinder(camera, 100.0, 8 * size, mu, response)
    counts = np.repeat(one[None], 60, axis=0) * 100
    scan = Scan(camera, counts, mu=phantom.mu(camera.grid()), response=response)
    settings = Settings(iterations=6, subsets=6)
    flat = ring_means(recon(scan, settings), slice(3, 5)) / 100
    np.testing.assert_allclose(flat, 1.0, atol=0.02)
    np.testing.assert_allclose(flat[:6], 1.0, atol=0.01)
    cup = ring_means(recon(scan.with_(mu=None), settings), slice(3, 5))
    assert cup[0] < 0.7 * cup[-1]
    assert np.all(np.diff(cup) > 0)


def noisy_scan(seed=0):
    """A small body, its scatter, and a collimator; counts drawn from the projector's own mean."""
    rng = np.random.default_rng(seed)
    camera = orbit(24, 40, 12, 6.0, radius=170.0, ellipse=40.0)
    grid = camera.grid()
    warm = Material(1.0, 0.015)
    outer = cylinder((0, 0, 0), (90, 70), 60)
    phantom = Phantom(
        "body",
        (
            outer.filled(warm, label=1),
            sphere((40, 10, 0), 20).filled(Material(5.0, 0.015), inside=warm, label=1),
        ),
        {1: "body"},
    )
    response, mu = Response(0.05, 1.5, 3.8), phantom.mu(grid)
    mean = CameraProjector(grid, camera, response, mu).forward(phantom.activity(grid).voxels)
    background = np.full(camera.shape, 0.1 * mean.mean(), np.float32)
    counts = rng.poisson(mean + background).astype(np.float32)
    return Scan(camera, counts, scatter=background, mu=mu, response=response)


def test_views_of_a_camera_are_a_likelihood():
    problem = prepare(noisy_scan(), Settings(subsets=2))
    image = last(until(problem.iterates(), after(2))).params
    for likelihood in problem.likelihoods:
        check_likelihood(likelihood, image, np.random.default_rng(0))


def windows(trues, scattered, rng):
    """Counts in the three windows of `SPECTRUM`, under a straight spectrum of scatter.

    `scattered` is the mean at the peak's middle per keV; it falls by 1 % a keV.
    """
    middle = sum(SPECTRUM[2]) / 2
    means = [
        scattered * (high - low) * (1 - 0.01 * ((high + low) / 2 - middle))
        for low, high in SPECTRUM
    ]
    means[2] += trues
    return [rng.poisson(mean).astype(np.float32) for mean in means]


def test_triple_window_gives_the_scatter_put_in():
    """Bias of the line of windows (narrow ones) and spread, against the Poisson error."""
    rng = np.random.default_rng(5)
    camera = orbit(30, 40, 20, 5.0)
    u, z = np.meshgrid(camera.u_mm, camera.z_mm, indexing="ij")
    shape = 3.0 * np.exp(-(u**2) / 2 / 60**2 - z**2 / 2 / 40**2)
    scattered = np.repeat(shape[None], 30, axis=0)
    below, above, peak = (120.0, 126.0), (155.0, 161.0), (126.0, 155.0)
    straight = [1 - 0.02 * (sum(w) / 2 - 140.5) for w in (below, above)]
    lower, upper = (rng.poisson(scattered * 6 * s).astype(np.float32) for s in straight)
    truth = scattered * 29
    found = scatter.triple_window(lower, upper, (below, above, peak))
    variance = (29 / 2 / 6) ** 2 * scattered * 6 * sum(straight)
    assert abs(found.sum() - truth.sum()) < 3 * np.sqrt(variance.sum())
    assert np.mean((found - truth) ** 2 / variance) == pytest.approx(1, abs=0.05)
    smooth = scatter.smoothed(found, camera, 20.0)
    assert smooth.sum(dtype=float) == pytest.approx(found.sum(dtype=float), rel=1e-5)
    # 20 mm are 1.7 bins of sigma: noise falls to 1 / (2 sigma sqrt(pi)), a sixth, of itself.
    error = np.sqrt(np.mean((smooth - truth)[:, 8:-8, 4:-4] ** 2))
    assert error < 0.25 * np.sqrt(variance[:, 8:-8, 4:-4].mean())


def test_dual_window_is_a_share():
    lower = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    np.testing.assert_allclose(scatter.dual_window(lower, 0.4), 0.4 * lower, rtol=1e-6)


def test_scatter_windows_that_cannot_be_are_refused():
    counts = np.ones((2, 3, 4), np.float32)
    with pytest.raises(SettingsError, match="below and above"):
        scatter.triple_window(counts, counts, ((160, 170), (92, 125), (126, 154)))
    with pytest.raises(DataError, match="no counts"):
        scatter.dual_window(-counts)
    with pytest.raises(ValueError, match="shapes"):
        scatter.triple_window(counts, counts[:1], SPECTRUM)


def torso() -> tuple[Phantom, Phantom]:
    """A trunk with lungs, spine, a hot liver and a lesion in it; and its CT, in HU plus 1000."""
    mu = {"water": attenuation_per_mm("water", 140.511), "lung": 0.004}
    mu["bone"] = 0.5 * (mu["water"] + attenuation_per_mm("bone", 140.511))
    # Half water, half bone, at 120 kVp; lung is a mixture of air and water.
    hu = {
        "water": 1000.0,
        "lung": 1000 * mu["lung"] / mu["water"],
        "bone": 1000 + BONE_HU[120] / 2,
    }
    trunk = cylinder((0, 0, 0), (155, 105), 168)
    parts = (
        (cylinder((60, 10, 36), (45, 65), 96), 0.4, "lung", "water"),
        (cylinder((-60, 10, 36), (45, 65), 96), 0.4, "lung", "water"),
        (cylinder((0, -75, 0), (18, 18), 168), 0.5, "bone", "water"),
        (ellipsoid((50, 5, -48), (75, 60, 32)), 8.0, "water", "water"),
        (sphere((70, 15, -48), 14), 24.0, "water", "water"),
    )
    phantoms = []
    for values in (mu, hu):
        bodies = [trunk.filled(Material(1.0, values["water"]), label=1)]
        for body, activity, tissue, around in parts:
            inside = Material(8.0 if body is parts[-1][0] else 1.0, values[around])
            bodies.append(body.filled(Material(activity, values[tissue]), inside=inside, label=1))
        phantoms.append(Phantom("torso", tuple(bodies), {1: "torso"}))
    return phantoms[0], phantoms[1]


def test_activity_of_a_patient_like_phantom_within_three_percent():
    """Everything on: CT in HU, collimator, three windows, Poisson counts, calibration, decay."""
    rng = np.random.default_rng(7)
    phantom, ct = torso()
    isotope, collimator = isotope_named("99mTc"), collimator_named("GE Infinia LEHR")
    size, views, view_s, cps = 7.0, 30, 20.0, 60.0
    camera = orbit(views, 56, 30, size, radius=230.0, ellipse=50.0, first=0.1)
    projections = spect_dense.exact(phantom, camera, collimator.response(140.511), 5.0)
    # kBq/mL is MBq/L: counts of a bin are sensitivity, time and area times MBq/mm3 along a line.
    decayed_h, scan_s = 3.0, 1200.0
    left = 2 ** (-decayed_h * 3600 / isotope.half_life_s)
    mean_left = left * (1 - 2 ** (-scan_s / isotope.half_life_s)) * isotope.half_life_s
    mean_left /= np.log(2) * scan_s
    unit = 5.0  # kBq/mL at the reference time for an activity of 1
    trues = projections * (unit * 1e-6 * mean_left * cps * view_s * size**2)
    scattered = 0.35 / 28.1 * scatter.smoothed(trues, camera, 90.0)
    lower, upper, peak = windows(trues, scattered, rng)
    estimate = scatter.triple_window(lower, upper, SPECTRUM)
    background = scatter.smoothed(estimate, camera, 30.0)
    fine = Grid.centred((170, 120, 90), (2.0, 2.0, 2.0))
    hounsfield = Volume(ct.mu(fine, 2).voxels - 1000, fine.affine, "HU")
    scan = Scan(
        camera,
        peak,
        scatter=background,
        mu=mu_map(hounsfield, isotope.energy_kev, 120),
        duration_s=scan_s,
        exam=ExamInfo(view_s=view_s, nuclide="Tc-99m"),
    )
    settings = Settings(
        iterations=6,
        subsets=6,
        collimator="GE Infinia LEHR",
        cps_per_mbq=cps,
        decayed_h=decayed_h,
    )
    image = recon(scan, settings)
    assert image.unit == "Bq/mL"
    truth = phantom.activity(camera.grid()).voxels * unit * 1000  # Bq/mL
    total = image.voxels.sum(dtype=float) / truth.sum(dtype=float)
    assert total == pytest.approx(1, abs=0.03)
    uncorrected = recon(scan.with_(mu=None, scatter=None), settings)
    assert abs(uncorrected.voxels.sum(dtype=float) / truth.sum(dtype=float) - 1) > 0.3


def test_subsets_and_response_by_name_reconstruct_alike(monkeypatch):
    scan = noisy_scan()
    by_name = scan.with_(response=None, exam=ExamInfo(nuclide="Tc-99m"))
    name = Settings(iterations=1, subsets=4, collimator="siemens symbia lehr")
    response = collimator_named(name.collimator).response(140.511)
    given = Settings(
        iterations=1,
        subsets=4,
        response_mm=(response.slope, response.intercept_mm, response.intrinsic_mm),
    )
    first, second = recon(by_name, name), recon(scan, given)
    np.testing.assert_array_equal(first.voxels, second.voxels)
    assert fingerprint(by_name, name) == fingerprint(by_name, name)
    with monkeypatch.context() as patch:
        patch.setattr("emrecon.tomo.fingerprint.version", lambda package: "0.0.1")
        other = fingerprint(by_name, name)
    assert other != fingerprint(by_name, name)
    assert fingerprint(scan, Settings()) != fingerprint(scan.with_(response=None), Settings())


def test_settings_for_the_other_kind_of_scan_are_refused():
    scan = noisy_scan()
    with pytest.raises(SettingsError, match="ring scanners"):
        prepare(scan, Settings(ring_wide=True))
    with pytest.raises(SettingsError, match="name the isotope"):
        prepare(scan, Settings(collimator="GE Infinia LEHR"))
    with pytest.raises(SettingsError, match="how long a view"):
        prepare(scan, Settings(cps_per_mbq=60.0))
    bins = Bins.parallel(np.zeros(2), np.arange(3.0))
    flat = Scan(bins, np.ones(bins.shape, np.float32))
    with pytest.raises(SettingsError, match="gamma cameras"):
        prepare(flat, Settings(collimator="GE Infinia LEHR"))
    with pytest.raises(DataError, match="mu-map"):
        scan.with_(mu=None, attenuation=np.ones(scan.bins.shape, np.float32))
    with pytest.raises(DataError, match="psf_fwhm_mm"):
        flat.with_(response=Response(0.1, 1.0))


def test_every_factor_is_told_and_makes_the_unit():
    scan = noisy_scan().with_(duration_s=600.0, exam=ExamInfo(nuclide="Tc-99m"))
    settings = Settings(subsets=1, cps_per_mbq=70.0, view_s=15.0, decayed_h=2.0)
    problem = prepare(scan, settings)
    assert problem.facts["attenuation_modelled"]
    assert problem.facts["collimator_response"]["fwhm_slope"] == 0.05
    assert problem.facts["decay_factor_to_reference"] == pytest.approx(2 ** (2 / 6.0067))
    image, factor = problem.start, problem.facts["bq_per_ml_per_count_per_mm"]
    plain = prepare(scan, Settings(subsets=1)).volume(image)
    known = problem.volume(image)
    assert (plain.unit, known.unit) == ("counts/mm", "Bq/mL")
    np.testing.assert_allclose(known.voxels, plain.voxels * factor, rtol=1e-6)
