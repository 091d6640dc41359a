"""Time of flight from line integrals to images: places, sums, likelihood, speed of convergence."""

from __future__ import annotations

from itertools import pairwise

import numba
import numpy as np
import pytest
from scipy.integrate import quad

from emrecon.em import last, until
from emrecon.errors import GeometryError
from emrecon.metrics import centroid_mm
from emrecon.stop import after
from emrecon.tomo.geometry.bins import Bins, Scanner
from emrecon.tomo.geometry.tof import Timing
from emrecon.tomo.kernels import axial, axial_tof
from emrecon.tomo.operators.joseph import JosephProjector
from emrecon.tomo.prepare import prepare, recon
from emrecon.tomo.scan import Scan, together
from emrecon.tomo.settings import Settings
from phantoms.lines import line_integrals
from phantoms.phantom import Phantom
from phantoms.shapes import cylinder, sphere
from phantoms.simulate import simulate

SMALL = Scanner("small", 6, 48, 5.0, 60.0, 3.0, 5.0, 23)
TIMING = Timing(fwhm_mm=20.0, width_mm=9.0, bins=19)
NARROW = Timing(fwhm_mm=20.0, width_mm=11.0, bins=6)  # sees 33 mm to either side


POINTS = ((30.0, -12.0, 2.0), (-8.0, 33.0, -6.0), (-24.0, -20.0, 5.0))


def test_line_integrals_are_those_of_the_gaussian_integrated_numerically() -> None:
    bins = SMALL.bins(span=3).timed(TIMING)
    centre, radius = np.array([12.0, -9.0, 3.0]), 14.0
    found = line_integrals([sphere(centre, radius)], bins, [2.0])
    assert found.shape == bins.data_shape
    checked = 0
    for view, at, plane in ((0, 12, 4), (7, 10, 5), (15, 14, 14), (20, 11, 23)):
        phi, s = bins.phi_rad[view], bins.s_mm[at]
        climb = bins.plane_tilt_mm[plane] / (2 * bins.half_chord_mm[at])
        way = np.array([-np.sin(phi), np.cos(phi), climb]) / np.hypot(1, climb)
        middle = np.array([s * np.cos(phi), s * np.sin(phi), bins.plane_z_mm[plane]])
        nearest = (centre - middle) @ way  # distance along the line, positive towards end 2
        away = np.sum((centre - middle) ** 2) - nearest**2
        if away >= radius**2:
            continue
        half = np.sqrt(radius**2 - away)
        for tof in range(TIMING.bins):
            wanted, _ = quad(
                lambda place, tof=tof: 2.0 * TIMING.weights(place)[tof],
                nearest - half, nearest + half, epsabs=1e-6,
            )  # fmt: skip
            assert found[tof, view, at, plane] == pytest.approx(wanted, abs=1e-4)
            checked += wanted > 0.1
    assert checked > 8


def test_line_integrals_of_all_bins_add_to_those_without() -> None:
    bodies = [sphere(point, 8.0) for point in POINTS]
    bins = SMALL.bins(span=3)
    whole = line_integrals(bodies, bins, [1.0, 2.0, 3.0])
    timed = line_integrals(bodies, bins.timed(TIMING), [1.0, 2.0, 3.0])
    np.testing.assert_allclose(timed.sum(axis=0), whole, atol=1e-5 * whole.max())
    one = line_integrals(bodies, bins.timed(NARROW.whole), [1.0, 2.0, 3.0])[0]
    parts = line_integrals(bodies, bins.timed(NARROW), [1.0, 2.0, 3.0])
    np.testing.assert_allclose(parts.sum(axis=0), one, atol=1e-5 * whole.max())
    assert one.sum() < 0.99 * whole.sum()


@pytest.mark.parametrize("timing", [TIMING, NARROW])
def test_projections_add_to_those_without(timing: Timing) -> None:
    bins = SMALL.bins(span=3)
    grid = bins.grid((3.1, 3.1, 2.5))
    image = np.random.default_rng(0).random(grid.shape, np.float32)
    timed = JosephProjector(grid, bins.timed(timing)).forward(image)
    if timing.covers(60.0):
        whole = JosephProjector(grid, bins).forward(image)
    else:
        whole = JosephProjector(grid, bins.timed(timing.whole)).forward(image)[0]
        together_ = JosephProjector(grid, bins.timed(timing), summed=True).forward(image)
        np.testing.assert_allclose(whole, together_, atol=2e-3 * whole.max())
        whole = together_
    np.testing.assert_allclose(timed.sum(axis=0), whole, atol=1e-4 * whole.max())


@pytest.mark.parametrize("seed", range(4))
def test_segments_lie_anywhere_in_a_line(seed: int) -> None:
    """In any order, with gaps, of any tilt and plane spacing: bins add up, gaps stay empty."""
    rng = np.random.default_rng(seed)
    planes = rng.integers(1, 41, 6)
    order, gaps = rng.permutation(6), rng.integers(0, 3, 6)
    offset = np.zeros(6, np.int64)
    offset[order] = np.cumsum(planes[order] + gaps) - planes[order]
    s_mm = np.array([-41.0, 0.5, 30.0])
    geometry = {
        "x0": -38.0, "y0": -27.0, "vx": 4.0, "vy": 3.0, "vz": 2.0,
        "cosines": np.cos([0.0, 0.8, 1.6, 2.6]), "sines": np.sin([0.0, 0.8, 1.6, 2.6]),
        "s_mm": s_mm, "half_chord_mm": np.sqrt(90.0**2 - s_mm**2), "fov_mm": 60.0,
        "tilt": rng.choice([0, 4, -4, 9], 6), "first": rng.uniform(-5, 5, 6),
        "step": rng.integers(1, 4, 6), "planes": planes, "offset": offset,
    }  # fmt: skip
    image = rng.random((20, 19, int(rng.integers(1, 60))), np.float32)
    whole = np.full((4, 3, int(np.sum(planes + gaps))), np.nan, np.float32)
    timed = np.full((19, *whole.shape), np.nan, np.float32)
    axial.forward(image, **geometry, out=whole)
    flight = axial_tof.flight_of(*TIMING.phases(0.1), TIMING.bins)
    axial_tof.forward(image, **geometry, flight=flight, out=timed)
    np.testing.assert_allclose(timed.sum(axis=0), whole, atol=1e-4 * whole.max())
    data, back = rng.random(timed.shape, np.float32), np.empty_like(image)
    axial_tof.adjoint(data, **geometry, flight=flight, image=back)
    assert np.vdot(image, back) == pytest.approx(np.vdot(timed, data), rel=1e-5)


def test_projections_of_a_ball_are_its_line_integrals() -> None:
    """On small voxels, within what voxels make of a sharp edge; not so with the bins reversed."""
    bins = SMALL.bins(span=3).timed(TIMING)
    phantom = Phantom("ball", (sphere((29.0, -17.0, 0.5), 9.0).adding(1.0, 0.0),), {0: ""})
    grid = bins.grid((0.8, 0.8, 1.25))
    found = JosephProjector(grid, bins).forward(phantom.activity(grid, samples=4).voxels)
    wanted = line_integrals(phantom.bodies, bins, phantom.activities)
    assert np.abs(found - wanted).mean() < 0.05 * wanted.mean()
    profile, exact = found.sum(axis=(1, 2, 3)), wanted.sum(axis=(1, 2, 3))
    np.testing.assert_allclose(profile, exact, atol=0.005 * exact.max())
    assert np.abs(found[::-1] - wanted).mean() > wanted.mean()


def points_scan() -> Scan:
    """Three small balls off the centre."""
    hot = [sphere(point, 4.0).adding(10.0, 0.0, 1) for point in POINTS]
    phantom = Phantom("points", tuple(hot), {1: "point"})
    bins = SMALL.bins(span=3).timed(Timing(10.0, 6.0, 25))
    rng = np.random.default_rng(0)
    return simulate(phantom, bins, counts=1e6, rng=rng, noise=False).scan


def worst_shift_mm(scan: Scan) -> float:
    image = recon(scan, Settings(iterations=3, subsets=4))
    x, y, z = np.meshgrid(*(image.grid().centres_mm(axis) for axis in range(3)), indexing="ij")
    shifts = []
    for point in POINTS:
        near = (x - point[0]) ** 2 + (y - point[1]) ** 2 + (z - point[2]) ** 2 < 15.0**2
        found = centroid_mm(image.voxels, image.affine, near)
        shifts.append(np.linalg.norm(np.subtract(found, point)))
    return float(max(shifts))


def test_points_off_the_centre_come_back_at_their_places() -> None:
    scan = points_scan()
    assert worst_shift_mm(scan) < 1.0
    flipped = scan.with_(prompts=np.ascontiguousarray(scan.prompts[::-1]))
    assert worst_shift_mm(flipped) > 2.0


def cylinder_scan(
    timing: Timing | None, *, noise: bool = False, timed_scatter: bool = True
) -> Scan:
    """A large cylinder with an insert of twice its activity, attenuation and backgrounds."""
    body = cylinder((0, 0, 0), (45.0, 45.0), 30.0).adding(1.0, 0.0096, 1)
    insert = cylinder((20.0, -12.0, 0), (9.0, 9.0), 30.0).adding(1.0, 0.0, 2)
    made = simulate(
        Phantom("2:1", (body, insert), {1: "body", 2: "insert"}),
        SMALL.bins(span=3).timed(timing),
        counts=3e5,
        rng=np.random.default_rng(1),
        randoms_fraction=0.2,
        scatter_fraction=0.1,
        noise=noise,
    )
    if timed_scatter or timing is None or made.scan.scatter is None:
        return made.scan
    return made.scan.with_(scatter=made.scan.scatter.sum(axis=0))


def test_shapes_of_the_parts() -> None:
    scan = cylinder_scan(TIMING)
    flat, timed = scan.bins.shape, scan.bins.data_shape
    assert timed == (19, *flat)
    assert scan.randoms is not None
    assert scan.scatter is not None
    assert scan.attenuation is not None
    assert (scan.randoms.shape, scan.scatter.shape, scan.attenuation.shape) == (flat, timed, flat)
    with pytest.raises(GeometryError, match="prompts has shape"):
        scan.with_(prompts=scan.prompts[0])
    with pytest.raises(GeometryError, match="attenuation has shape"):
        scan.with_(attenuation=np.ones(timed, np.float32))
    both = together(scan.randoms.copy(), scan.scatter.copy())
    np.testing.assert_allclose(both, scan.scatter + scan.randoms / 19, rtol=1e-5)


@pytest.mark.parametrize("psf", [(), (5.0,)])
@pytest.mark.parametrize("timing", [TIMING, NARROW])
def test_likelihood_never_falls_and_totals_are_kept(
    timing: Timing, psf: tuple[float, ...]
) -> None:
    scan = cylinder_scan(timing, noise=True, timed_scatter=timing is TIMING)
    problem = prepare(scan, Settings(iterations=6, subsets=1, psf_fwhm_mm=psf))
    model = problem.models[0]
    gone = []
    for iterate in until(problem.iterates(), after(6)):
        gone.append(iterate.log_likelihood)
        _, here = model.expect(iterate.params)
    assert all(after >= before - 1e-6 * abs(before) for before, after in pairwise(gone[1:]))
    assert here > gone[1]
    # Shepp and Vardi: without background the expected total equals that measured.
    bare = scan.with_(prompts=scan.prompts, randoms=None, scatter=None)
    problem = prepare(bare, Settings(iterations=2, subsets=1, psf_fwhm_mm=psf))
    image = last(until(problem.iterates(), after(2))).params
    (likelihood,) = problem.likelihoods
    seen = float(np.vdot(likelihood.sensitivity.astype(float), image))
    counted = likelihood.system.forward(np.ones_like(image)) > 0
    assert seen == pytest.approx(float(scan.prompts[counted].sum(dtype=float)), rel=1e-3)


def test_the_sensitivity_is_the_sum_over_the_bins() -> None:
    for timing in (TIMING, NARROW):
        problem = prepare(cylinder_scan(timing), Settings(iterations=1, subsets=2))
        for likelihood in problem.likelihoods:
            chosen = likelihood.factors[likelihood.views]
            wanted = likelihood.system.adjoint(np.repeat(chosen[None], timing.bins, axis=0))
            np.testing.assert_allclose(likelihood.sensitivity, wanted, atol=1e-4 * wanted.max())


def test_time_of_flight_converges_in_fewer_iterations() -> None:
    """Contrast of a 2:1 insert: updates until it is within 10 % of what 40 give."""
    updates = {}
    for name, timing in (("with", Timing(12.0, 9.0, 19)), ("without", None)):
        scan = cylinder_scan(timing)
        problem = prepare(scan, Settings(iterations=40, subsets=1))
        x, y = problem.grid.centres_mm(0)[:, None], problem.grid.centres_mm(1)[None, :]
        hot = np.hypot(x - 20, y + 12) < 6
        warm = (np.hypot(x - 20, y + 12) > 16) & (np.hypot(x, y) < 36)
        ratios = []
        for iterate in until(problem.iterates(), after(40)):
            middle = iterate.params[:, :, 3:-3]
            ratios.append(float(middle[hot].mean() / middle[warm].mean()))
        gained = (np.array(ratios) - 1) / (ratios[-1] - 1)
        assert ratios[-1] == pytest.approx(2.0, abs=0.15)
        updates[name] = int(np.argmax(gained > 0.9))
    assert updates["with"] * 2 <= updates["without"], updates


def test_subsets_and_cold_starts_come_to_the_same_image() -> None:
    scan = cylinder_scan(TIMING)
    one = recon(scan, Settings(iterations=18, subsets=1))
    many = recon(scan, Settings(iterations=3, subsets=6))
    inside = one.voxels > 0.3 * one.voxels.max()
    np.testing.assert_allclose(many.voxels[inside].mean(), one.voxels[inside].mean(), rtol=5e-3)


def test_same_bits_for_any_number_of_threads() -> None:
    scan = cylinder_scan(TIMING, noise=True)
    most = min(2, int(numba.config.NUMBA_NUM_THREADS))
    images = [
        recon(scan, Settings(iterations=1, subsets=4, psf_fwhm_mm=(5.0,), threads=n))
        for n in (1, most)
    ]
    assert np.array_equal(images[0].voxels, images[1].voxels)


def test_folded_scan_is_the_same_model() -> None:
    scan = cylinder_scan(TIMING)
    before = recon(scan, Settings(iterations=1, subsets=4))
    after_ = recon(scan.folded(), Settings(iterations=1, subsets=4))
    np.testing.assert_allclose(after_.voxels, before.voxels, rtol=1e-4, atol=1e-6)


def test_parallel_beams_have_no_time_of_flight() -> None:
    with pytest.raises(GeometryError, match="finite radius"):
        Bins.parallel(np.arange(3.0), np.arange(5.0)).timed(TIMING)
