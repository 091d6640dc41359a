"""Single scatter against every bin of STIR's, and against itself on other threads."""

from __future__ import annotations

import gzip
import os
from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
import pytest
from scipy.integrate import trapezoid
from threadpoolctl import threadpool_limits

from emrecon.errors import GeometryError
from emrecon.tomo.corrections.scatter_sampling import CoarseRing
from emrecon.tomo.corrections.scatter_simulation import (
    Detectors,
    ScatterPoints,
    angles,
    integrals,
    pair_scatter,
)
from emrecon.tomo.geometry.energy import (
    REST_KEV,
    EnergyWindow,
    angular_density,
    relative_attenuation,
    scattered_kev,
)
from emrecon.tomo.geometry.presets import TINY, by_name
from emrecon.volume import Array, Grid, Volume

FOLDER = Path(os.environ.get("EMRECON_TEST_DATA", "/nowhere")) / "stir_scatter"
WINDOW = EnergyWindow(425, 650, 0.16, absorption=0.0)
RINGS, CRYSTALS, RADIUS = 4, 32, 305.0
SCANNER = replace(TINY, radius_mm=140.0, crystals=96, max_bins=41)


def scatter_of(activity, mu, points, detectors, pairs):
    rays = integrals(activity, points, detectors), integrals(mu, points, detectors)
    return pair_scatter(rays, points, detectors, pairs, WINDOW).sum(axis=1)


def image(name: str, zyx_mm: tuple[float, float, float]) -> Volume:
    """Return an image of STIR's in its own axes, the index order turned to x, y, z."""
    with gzip.open(FOLDER / f"{name}.npy.gz") as file:
        voxels = np.ascontiguousarray(np.load(file).T.astype(np.float32))
    spacing = zyx_mm[::-1]
    first = [-(n // 2) * d for n, d in zip(voxels.shape, spacing, strict=True)]
    first[2] = -(voxels.shape[2] - 1) / 2 * spacing[2]
    return Volume(voxels, Grid(voxels.shape, spacing, tuple(first)).affine)


def behind(volume: Volume, points: ScatterPoints, detectors: Detectors) -> np.ndarray:
    """Return what STIR's rays add: they start where the line enters the voxel of the point."""
    grid = volume.grid()
    size = np.array(grid.spacing_mm)
    at = (points.places_mm - grid.origin_mm) / size
    index = np.floor(at + 0.5).astype(int)
    inside = np.all((index >= 0) & (index < grid.shape), axis=1)
    i, j, k = np.where(inside[:, None], index, 0).T
    value = np.where(inside, volume.voxels[i, j, k], 0)
    way = detectors.places_mm[:, None] - points.places_mm
    way /= np.linalg.norm(way, axis=2)[..., None]
    offset = (at - index) * size  # from the middle of the voxel
    with np.errstate(divide="ignore"):
        reach = (size / 2 + np.where(way > 0, offset, -offset)) / np.abs(way)
    return (value * reach.min(axis=2)).astype(np.float32)


@pytest.fixture(scope="module")
def case():
    if not FOLDER.exists():
        pytest.skip("no stir_scatter data: set EMRECON_TEST_DATA")
    spacing, points_mm = (8.0, 6.0, 6.0), (16.0, 18.0, 18.0)
    activity, mu = image("sss_coarse_act", spacing), image("sss_coarse_mu", spacing)
    coarse = image("sss_coarse_mu_sp", points_mm)
    grid = coarse.grid()
    held = np.argwhere(coarse.voxels >= 0.01)
    weights = coarse.voxels[tuple(held.T)] * 0.1 * np.prod(points_mm)
    points = ScatterPoints(grid.origin_mm + held * grid.spacing_mm, weights.astype(float), 132)
    psi, ring = 2 * np.pi * np.arange(CRYSTALS) / CRYSTALS, np.arange(RINGS)
    places = np.empty((RINGS, CRYSTALS, 3))
    places[..., 0], places[..., 1] = RADIUS * np.sin(psi), -RADIUS * np.cos(psi)
    places[..., 2] = (ring - 1.5)[:, None] * 16.0
    per_mm = Volume(mu.voxels * np.float32(0.1), mu.affine)
    return activity, per_mm, points, Detectors.around(places.reshape(-1, 3))


def stir() -> tuple[np.ndarray, np.ndarray]:
    """Return the detectors and STIR's value of every bin."""
    half = CRYSTALS // 2
    view, t = np.arange(16)[:, None], np.arange(-8, 9)[None, :]
    c1, c2 = (view + (t // 2)) % CRYSTALS, (view - (t + 1) // 2 + half) % CRYSTALS
    rows = []
    for s in range(-3, 4):
        for a in range(RINGS - abs(s)):
            r1 = a + max(0, -s)
            rows.append((s, np.stack([r1 * CRYSTALS + c1, (r1 + s) * CRYSTALS + c2], -1)))
    with gzip.open(FOLDER / "sss_coarse_scatter.npy.gz") as file:
        values = np.load(file).ravel()
    pairs, at, start = [], [], 0
    for s in range(-3, 4):  # stored by segment, view, axial position, tangential position
        planes = np.stack([pair for seg, pair in rows if seg == s], axis=1)
        pairs.append(planes.reshape(-1, 2))
        at.append(values[start : start + planes[..., 0].size])
        start += planes[..., 0].size
    assert start == values.size
    return np.concatenate(pairs).astype(np.int32), np.concatenate(at)


def test_every_bin_is_that_of_stir(case):
    activity, mu, points, detectors = case
    pairs, wanted = stir()
    # STIR has 3 / (8 pi) where the ratio of cross-sections has 1, mu in 1/cm outside exp(), and
    # the activity's integral in voxels of 6 mm.
    scale = 3 / (8 * np.pi) * 10 / 6
    exact = integrals(activity, points, detectors), integrals(mu, points, detectors)
    extra = [behind(volume, points, detectors) for volume in (activity, mu)]
    rays = exact[0] + extra[0], exact[1] + extra[1]
    mine = scale * pair_scatter(rays, points, detectors, pairs, WINDOW).sum(axis=1)
    assert np.abs(mine - wanted).max() < 0.02 * wanted.max()
    assert mine.sum() == pytest.approx(wanted.sum(), rel=0.005)
    # Rays that start at the point itself, as here, scatter 0.6 % less between these coarse voxels.
    plain = scale * pair_scatter(exact, points, detectors, pairs, WINDOW).sum(axis=1)
    assert plain.sum() == pytest.approx(1.0064 * wanted.sum(), rel=0.001)


def body() -> tuple[Volume, Volume]:
    """Return a lopsided body of water with an even lopsided activity, 100 mm wide."""
    grid = Grid.centred((28, 28, 12), (4.0, 4.0, 4.0))
    x, y, z = np.meshgrid(*(grid.centres_mm(axis) for axis in range(3)), indexing="ij")
    inside = (x / 50) ** 2 + ((y - 4) / 35) ** 2 < 1
    activity = inside * (1 + 2 * ((x - 20) ** 2 + y**2 < 200) + 0.02 * z)
    return tuple(  # type: ignore[return-value]
        Volume(voxels.astype(np.float32), grid.affine) for voxels in (activity, 0.0096 * inside)
    )


def crossed(volume: Volume, one: Array, other: Array) -> float:
    """Return the integral along a line, cut at every plane between boxes."""
    grid = volume.grid()
    size = np.array(grid.spacing_mm)
    start, way = (one - grid.origin_mm) / size + 0.5, (other - one) / size
    with np.errstate(divide="ignore", invalid="ignore"):
        cuts = [(np.arange(n + 1) - a) / w for n, a, w in zip(grid.shape, start, way, strict=True)]
    shares = np.unique(np.clip([0, 1, *np.nan_to_num(np.concatenate(cuts))], 0, 1))
    index = np.floor(start + (shares[1:] + shares[:-1])[:, None] / 2 * way).astype(int)
    inside = np.all((index >= 0) & (index < grid.shape), axis=1)
    values = volume.voxels[tuple(index[inside].T)].astype(float)
    return float(values @ np.diff(shares)[inside] * np.linalg.norm(other - one))


def test_ways_through_boxes_are_exact_in_all_directions() -> None:
    """From within and from outside, along axes, through edges; alone and in stretches."""
    rng = np.random.default_rng(2)
    grid = Grid.centred((7, 9, 5), (4.0, 3.0, 6.0))
    volume = Volume(rng.random(grid.shape, np.float32), grid.affine)
    points = np.concatenate([rng.uniform(-12, 12, (12, 3)), [[1, 1, 1], [0, -1.5, 3], [40, 2, 1]]])
    ends = rng.normal(size=(20, 3))
    places = [100 * ends / np.linalg.norm(ends, axis=1)[:, None], 90 * np.eye(3), -90 * np.eye(3)]
    aimed = [[90.0, 1, 1], [1, -90, 1], [1, 1, 90], [-90, 2, 1]]
    detectors = Detectors.around(np.concatenate([*places, aimed]) + 1e-9)
    scattering = ScatterPoints(points, np.ones(len(points)), 0)
    wanted = np.array([[crossed(volume, p, d) for p in points] for d in detectors.places_mm])
    assert np.count_nonzero(wanted) > 0.9 * wanted.size
    assert not wanted.all()
    single = integrals(volume, scattering, detectors)
    assert np.abs(single - wanted).max() < 1e-5 * wanted.max()
    stretches = integrals(volume, scattering, detectors, (30.0, 7.0, 20))
    assert stretches.sum(axis=2) == pytest.approx(single, abs=1e-5 * wanted.max())
    d, p = 0, 3
    way = points[p] - detectors.places_mm[d]
    way /= np.linalg.norm(way)
    for n in range(5, 14):
        both = (detectors.places_mm[d] + (30 + 7 * m) * way for m in (n, n + 1))
        if 30 + 7 * (n + 1) < np.linalg.norm(points[p] - detectors.places_mm[d]):
            assert stretches[d, p, n] == pytest.approx(crossed(volume, *both), abs=1e-4)


def test_deflected_photons_are_attenuated_by_a_polynomial_of_the_angle() -> None:
    for low_kev in (100, 350, 450):
        least, table, powers = angles(EnergyWindow(low_kev, 650, 0.15), 512, 6)
        less = 1 - np.linspace(least, 1, 513)
        wanted = relative_attenuation(scattered_kev(1 - less)) - 1
        assert np.polyval([*powers[::-1], 0], less) == pytest.approx(wanted, abs=5e-5)
        assert table.size == 514


def test_bins_hold_what_their_own_detectors_would_count():
    activity, mu = body()
    scanner = SCANNER
    bins = scanner.bins(span=3)
    points = ScatterPoints.of(mu, 200)
    ring = CoarseRing.of(bins, bin_mm=12.0, ring_mm=12.0)
    estimated = ring.in_bins(scatter_of(activity, mu, points, ring.detectors, ring.pairs), bins)
    # All lines of some views, at their own ends.
    views = np.array([0, 7, 16])
    beta = np.arcsin(bins.s_mm / bins.radius_mm)
    phi = bins.phi_rad[views][:, None]
    z, tilt = bins.plane_z_mm, bins.plane_tilt_mm
    places = np.concatenate([
        np.stack(np.broadcast_arrays(
            bins.radius_mm * np.sin(psi)[..., None], -bins.radius_mm * np.cos(psi)[..., None], end
        ), axis=-1).reshape(-1, 3)
        for psi, end in ((phi + beta, z - tilt / 2), (phi + np.pi - beta, z + tilt / 2))
    ])  # fmt: skip
    half = len(places) // 2
    pairs = np.stack([np.arange(half), half + np.arange(half)], axis=1).astype(np.int32)
    direct = scatter_of(activity, mu, points, Detectors.around(places), pairs)
    away = estimated[views].ravel() - direct
    assert np.abs(away).max() < 0.01 * direct.max()
    assert estimated[views].sum() == pytest.approx(direct.sum(), rel=2e-3)


def test_points_hold_all_that_scatters():
    _, mu = body()
    points = ScatterPoints.of(mu, 300)
    assert 150 < len(points.places_mm) < 600
    assert 0.35 < points.first / len(points.places_mm) < 0.65
    assert points.weights_mm2.sum() == pytest.approx(mu.voxels.sum() * 64, rel=1e-5)
    middle = points.weights_mm2 @ points.places_mm / points.weights_mm2.sum()
    assert middle == pytest.approx([0, 4, 0], abs=0.7)  # blocks at the rim are left out
    with pytest.raises(GeometryError, match="nothing scatters"):
        ScatterPoints.of(Volume(np.zeros((4, 4, 4), np.float32), mu.affine), 300)


def test_the_same_bits_for_any_number_of_threads():
    activity, mu = body()
    bins = SCANNER.bins(span=3)
    points, ring = ScatterPoints.of(mu, 60), CoarseRing.of(bins, 30.0, 30.0)
    results = []
    for threads in (1, 2):
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
        values = scatter_of(activity, mu, points, ring.detectors, ring.pairs)
        results.append(ring.in_bins(values, bins))
    assert np.array_equal(*results)


def test_planes_between_rings_have_the_same_bits_for_any_number_of_threads():
    """A matrix product of this size has other last bits on two threads than on one."""
    bins = by_name("ECAT HR+").bins(span=9, max_ring_difference=22, views=4)
    ring = CoarseRing.of(bins, 40.0, 20.0)
    values = np.random.default_rng(1).random(len(ring.pairs)).astype(np.float32)
    results = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            results.append(ring.in_bins(values, bins))
    assert np.array_equal(*results)


def test_compton():
    cosine = np.linspace(-1, 1, 20001)
    density = angular_density(cosine)
    assert 2 * np.pi * trapezoid(density, cosine) == pytest.approx(1, abs=1e-6)
    # Photons that turn back keep a third; Klein-Nishina totals of NIST XCOM (incoherent, carbon).
    assert scattered_kev([1, 0, -1]) / REST_KEV == pytest.approx([1, 1 / 2, 1 / 3])
    assert relative_attenuation(300) == pytest.approx(1.236, rel=0.005)
    accepted = EnergyWindow(430, 610, 0.15, 0.0).accepts([100, 430, 511, 610, 900])
    assert accepted == pytest.approx([0, 0.5, 0.99, 0.5, 0], abs=0.01)


def test_crystals_take_more_photons_whole_the_less_energy_these_have() -> None:
    """By Monte Carlo of blocks of 32 x 32 x 20 mm of LSO 1.122 times as many at 450 keV."""
    lutetium, all_alike = (
        EnergyWindow(430, 610, 0.15, *power).accepts([450, REST_KEV]) for power in ((), (0.0,))
    )
    more = lutetium / all_alike
    assert more[0] / more[1] == pytest.approx(1.122, abs=0.005)
    kev = np.linspace(1, REST_KEV, 500)
    for low in (200, 350, 430):
        assert EnergyWindow(low, 610, 0.15).accepts(kev).max() <= 1
