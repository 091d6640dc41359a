"""The projector against closed forms, at any voxel size and for any thread count."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numba
import numpy as np
import pytest

from emrecon.em import until
from emrecon.errors import GeometryError
from emrecon.stop import after
from emrecon.tomo.geometry.bins import Bins, Scanner
from emrecon.tomo.operators.joseph import JosephProjector
from emrecon.tomo.operators.resampling import resampling
from emrecon.tomo.prepare import prepare
from emrecon.tomo.settings import Settings
from emrecon.volume import Grid
from phantoms import uniform_cylinder
from phantoms.simulate import simulate
from tests.tomo.makers import SMALL, ring

Profile = tuple[np.ndarray, np.ndarray]

SIGMA = np.array([9.0, 7.0, 5.0])
CENTRE = np.array([8.0, -6.0, 1.5])


def gaussian(grid: Grid) -> np.ndarray:
    """A smooth blob, asymmetric in every axis."""
    axes = [np.exp(-0.5 * ((grid.centres_mm(a) - CENTRE[a]) / SIGMA[a]) ** 2) for a in range(3)]
    return np.einsum("i,j,k->ijk", *axes).astype(np.float32)


def exact(bins: Bins) -> np.ndarray:
    """Its line integrals: along a line the exponent is a quadratic q0 + q1 t + q2 t^2."""
    phi, s = bins.phi_rad[:, None, None], bins.s_mm[None, :, None]
    slope = bins.plane_tilt_mm / (2 * bins.half_chord_mm[None, :, None])
    zero = 0 * (phi + s + slope)
    start = np.stack([s * np.cos(phi) + zero, s * np.sin(phi) + zero, bins.plane_z_mm + zero])
    along = np.stack([-np.sin(phi) + zero, np.cos(phi) + zero, slope + zero])
    length = np.linalg.norm(along, axis=0)
    d = (start - CENTRE[:, None, None, None]) / SIGMA[:, None, None, None]
    u = along / length / SIGMA[:, None, None, None]
    q2, q1, q0 = (u * u).sum(0), (u * d).sum(0), (d * d).sum(0)
    return np.sqrt(2 * np.pi / q2) * np.exp(-0.5 * (q0 - q1**2 / q2))


BINS = SMALL.bins(span=3, count=21)


def error(voxel: tuple[float, float, float], bins: Bins = BINS) -> float:
    """Largest error against the closed form, as a share of the largest integral."""
    shape = (*(round(150 / v) for v in voxel[:2]), round(80 / voxel[2]) | 1)
    grid = Grid.centred(shape, voxel)
    found, wanted = JosephProjector(grid, bins).forward(gaussian(grid)), exact(bins)
    return float(np.abs(found - wanted).max() / wanted.max())


def bound(voxel: tuple[float, float, float]) -> float:
    """Error of linear interpolation, h^2 f'' / 8, at the top of the blob, across and along."""
    return (max(voxel[:2]) ** 2 / SIGMA[1] ** 2 + voxel[2] ** 2 / SIGMA[2] ** 2) / 8 + 0.002


def test_line_integrals_converge_to_the_closed_form() -> None:
    half_ring = SMALL.ring_spacing_mm / 2
    sizes = [(v, v, v * half_ring / 6) for v in (6.0, 3.0, 1.5, 0.75)]
    errors = [error(size) for size in sizes]
    assert all(found < bound(size) for found, size in zip(errors, sizes, strict=True))
    assert all(fine < coarse / 1.8 for coarse, fine in pairwise(errors))
    assert errors[-1] < 0.003


@pytest.mark.parametrize("axial", [1.0, 1.7, 3.3, 4.1])
def test_any_axial_voxel_size(axial: float) -> None:
    # resampling averages over a voxel of either size: h^2 f'' / 24 each on top
    extra = (axial**2 + SMALL.ring_spacing_mm**2 / 4) / SIGMA[2] ** 2 / 8
    assert error((2.0, 2.5, axial)) < bound((2.0, 2.5, axial)) + extra
    ratio = SMALL.ring_spacing_mm / 2 / axial
    grid = Grid.centred((9, 9, 9), (2.0, 2.0, axial))
    assert JosephProjector(grid, BINS).resampled == (abs(ratio - round(ratio)) > 1e-6 or ratio < 1)


def test_a_segment_alone_matches_its_part_of_all() -> None:
    grid = BINS.grid((3.0, 3.0, SMALL.ring_spacing_mm / 2))
    whole = JosephProjector(grid, BINS).forward(gaussian(grid))
    for segment, at in zip(BINS.segments, BINS.offsets, strict=True):
        alone = Bins(BINS.phi_rad, BINS.s_mm, (segment,), BINS.radius_mm)
        part = JosephProjector(grid, alone, BINS.fov_mm).forward(gaussian(grid))
        np.testing.assert_allclose(
            part, whole[..., at : at + segment.planes], rtol=1e-5, atol=1e-5
        )


def test_parallel_beam_slices() -> None:
    bins = Bins.parallel(np.linspace(0, 2 * np.pi, 13), np.linspace(-60, 60, 61), 7, 2.0)
    assert error((2.0, 2.0, 2.0), bins) < bound((2.0, 2.0, 0.0))
    assert error((1.0, 1.0, 2.0), bins) < bound((1.0, 1.0, 0.0))


def test_parallel_beam_with_one_slice() -> None:
    bins = Bins.parallel(np.linspace(0, np.pi, 5), np.linspace(-20, 20, 41))
    grid = bins.grid()
    assert grid.shape[2] == 1
    disc = np.hypot(*np.meshgrid(grid.centres_mm(0), grid.centres_mm(1))) < 12
    projected = JosephProjector(grid, bins).forward(disc[..., None].astype(np.float32))
    assert projected[0, 20, 0] == pytest.approx(24, abs=1.0)
    assert projected[:, 20, 0].std() < 0.6


def test_same_bits_for_any_number_of_threads() -> None:
    op = ring(5)
    rng = np.random.default_rng(0)
    image, data = rng.random(op.domain, np.float32), rng.random(op.range, np.float32)
    most = numba.config.NUMBA_NUM_THREADS
    results = []
    for threads in {1, min(2, most), most}:
        numba.set_num_threads(threads)
        results.append((op.forward(image), op.adjoint(data)))
    numba.set_num_threads(most)
    for forward, back in results[1:]:
        np.testing.assert_array_equal(forward, results[0][0])
        np.testing.assert_array_equal(back, results[0][1])


def test_lines_as_wide_as_a_ring_take_a_quarter_a_half_and_a_quarter() -> None:
    bins = SMALL.bins(span=1)
    grid = bins.grid((4.0, 4.0, SMALL.ring_spacing_mm / 2))
    image = np.random.default_rng(0).random(grid.shape, np.float32)
    around = np.pad(image, ((0, 0), (0, 0), (1, 1)))
    mean = around[..., :-2] / 4 + around[..., 1:-1] / 2 + around[..., 2:] / 4
    direct = slice(0, SMALL.rings)
    wide = JosephProjector(grid, bins, ring_wide=True).forward(image)[..., direct]
    thin = JosephProjector(grid, bins).forward(mean)[..., direct]
    np.testing.assert_allclose(wide, thin, rtol=1e-4, atol=1e-3)
    with pytest.raises(GeometryError, match="ring scanner"):
        JosephProjector(grid, Bins.parallel(np.zeros(1), np.zeros(1)), ring_wide=True)


def test_resampling_keeps_straight_lines_and_sums() -> None:
    old = np.arange(-20, 20.1, 2.0)
    for new in (0.7, 2.0, 3.7):
        at = np.arange(-12, 12, new)
        matrix = resampling(old, 2.0, at, new)
        np.testing.assert_allclose(matrix @ (3 * old + 5), 3 * at + 5, atol=2e-4)
    wide = np.arange(-30, 30.1, 0.9)
    column = np.random.default_rng(0).random(old.size).astype(np.float32)
    column[[0, -1]] = 0  # what goes on beyond the ends
    kept = (resampling(old, 2.0, wide, 0.9) @ column).sum() * 0.9
    assert kept == pytest.approx(column.sum() * 2.0, rel=1e-4)


def test_a_resampled_column_goes_on_for_a_voxel_of_either_size() -> None:
    old, new = np.array([-2.0, 0.0, 2.0]), np.arange(-8.0, 8.1, 0.5)
    rows = resampling(old, 2.0, new, 0.5).sum(axis=1)
    np.testing.assert_allclose(rows, np.where(np.abs(new) == 4.5, 0.5, np.abs(new) < 4.5))
    falls = resampling(old, 2.0, new, 0.5, goes_on=False).sum(axis=1)
    assert falls[np.abs(new) > 2.0].max() < 1
    assert resampling(np.zeros(1), 3.0, np.zeros(1), 3.0) == pytest.approx(1.0)


LONG = Scanner("long", 12, 48, 5.0, 80.0, 3.0, 5.0, 31)
ODD_MM = (1.7, 2.0, 2.6, 3.3, 4.0, 5.2)


@pytest.fixture(scope="module", params=[(1, False), (3, False), (3, True)], ids=str)
def long_cylinder(request: pytest.FixtureRequest) -> Callable[[float], Profile]:
    """Profiles of a cylinder longer than the field of view, by axial voxel size in mm."""
    span, ring_wide = request.param
    made = simulate(
        uniform_cylinder(30.0, 400.0, mu_per_mm=0.0), LONG.bins(span=span), counts=1e7,
        rng=np.random.default_rng(0), noise=False,
    )  # fmt: skip

    def profile(axial: float) -> Profile:
        settings = Settings(subsets=4, voxel_mm=(4.0, 4.0, axial), ring_wide=ring_wide)
        problem = prepare(made.scan, settings)
        *_, last = until(problem.iterates(), after(40))
        x, y, z = (problem.grid.centres_mm(axis) for axis in range(3))
        return z, last.params[np.hypot(x[:, None], y) < 20].mean(axis=0)

    return profile


@pytest.mark.slow
def test_an_odd_voxel_size_leaves_the_ends_of_a_long_object_alone(
    long_cylinder: Callable[[float], Profile],
) -> None:
    z_mm, default = long_cylinder(LONG.ring_spacing_mm / 2)
    for axial in ODD_MM:
        at, profile = long_cylinder(axial)
        np.testing.assert_allclose(profile, np.interp(at, z_mm, default), rtol=0.02)
