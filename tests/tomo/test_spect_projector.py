"""The camera's projector against a dense reference, exact projections and its own promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings

import numba
import numpy as np
import pytest
from scipy.optimize import OptimizeWarning, curve_fit

from emrecon.errors import GeometryError
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.geometry.collimator import Response, collimator_named
from emrecon.tomo.operators.camera import CameraProjector, fitted, gaussians
from emrecon.volume import Grid, Volume
from phantoms.phantom import Phantom
from phantoms.shapes import Material, cylinder, ellipsoid, sphere
from tests.tomo import spect_dense
from tests.tomo.makers import camera as any_camera


def orbit(views, bins, planes, size, *, radius=250.0, first=0.3, ellipse=0.0) -> Camera:
    theta = first + np.arange(views) * 2 * np.pi / views
    radii = radius - ellipse * np.abs(np.cos(theta))
    u, z = ((np.arange(n) - (n - 1) / 2) * size for n in (bins, planes))
    return Camera(theta, radii, u, z)


def body() -> Phantom:
    """A warm ellipse with a hot ball and a cold rod of bone, ending where planes of 4.8 mm do."""
    warm = Material(1.0, 0.015)
    outer = ellipsoid((5, -8, 3), (90, 60, 200)).clipped((0, 0, 1), 28.8).clipped((0, 0, -1), 28.8)
    return Phantom(
        "body",
        (
            outer.filled(warm, label=1),
            sphere((45, 0, 2), 18).filled(Material(6.0, 0.015), inside=warm, label=1),
            cylinder((-35, 10, 3), (12, 9), 40).filled(Material(0.0, 0.028), inside=warm, label=1),
        ),
        {1: "body"},
    )


@pytest.mark.parametrize("response", [Response(0.06, 1.5, 9.0), Response(0.0, 0.0, 9.5)])
def test_same_as_every_weight_written_out(response):
    """The raster, attenuation and blur of the kernel; cutting the Gaussian costs under 3e-5."""
    rng = np.random.default_rng(3)
    at = orbit(5, 14, 9, 4.2, radius=60.0, ellipse=38.0)
    grid = at.grid(centre_mm=(1.3, -2.1, 0.0))
    mu = rng.uniform(0, 0.03, (*grid.shape[:2], at.planes)).astype(np.float32)
    projector = CameraProjector(grid, at, response, Volume(mu, grid.affine, "1/mm"))
    # Without photons from outside the grid the projector's wider map holds nothing more.
    wanted = spect_dense.matrix(grid, at, response, mu, projector._raster.depth_mm)
    assert np.any(projector._spread.reach_u < 0)  # some depths lie behind the detector
    image = rng.random(grid.shape, np.float32)
    found = projector.forward(image).ravel()
    np.testing.assert_allclose(found, wanted @ image.ravel(), rtol=3e-5, atol=3e-5 * found.max())
    data = rng.random(at.shape, np.float32)
    back = projector.adjoint(data).ravel()
    np.testing.assert_allclose(back, wanted.T @ data.ravel(), rtol=3e-5, atol=3e-5 * back.max())


def test_without_response_only_rounding_is_left():
    rng = np.random.default_rng(4)
    at = orbit(4, 11, 5, 4.0, radius=80.0)
    grid = at.grid()
    mu = rng.uniform(0, 0.03, grid.shape).astype(np.float32)
    projector = CameraProjector(grid, at, None, Volume(mu, grid.affine, "1/mm"))
    sharp = Response(0.0, 0.0, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        wanted = spect_dense.matrix(grid, at, sharp, mu, projector._raster.depth_mm, identity=True)
    image = rng.random(grid.shape, np.float32)
    found = projector.forward(image).ravel()
    np.testing.assert_allclose(found, wanted @ image.ravel(), rtol=3e-6)


@pytest.mark.parametrize(("voxel", "within"), [(4.8, 0.02), (2.4, 0.012)])
def test_near_to_exact_projections(voxel, within):
    """Analytic bodies, true Gaussians, paths of 2 mm: voxels and raster cost so much (RMS)."""
    at = orbit(4, 60, 24, 4.8, radius=160.0, ellipse=30.0)
    response = collimator_named("Siemens Symbia LEHR").response(140.5)
    phantom = body()
    wanted = spect_dense.exact(phantom, at, response, 2.0)
    grid = at.grid((voxel, voxel, 4.8))
    projector = CameraProjector(grid, at, response, phantom.mu(grid))
    found = projector.forward(phantom.activity(grid).voxels)
    assert np.sqrt(np.mean((found - wanted) ** 2)) < within * wanted.max()
    assert found.sum() == pytest.approx(wanted.sum(), rel=0.01)


@pytest.mark.parametrize("theta_deg", [0.0, 35.0, 90.0, 217.0])
def test_resolution_against_distance_follows_the_formula(theta_deg):
    """A point off axis: FWHM of a fitted Gaussian within 3 % from 50 to 350 mm."""
    size, point = 1.0, np.array([80.0, -30.0])
    u = (np.arange(251) - 125) * size
    z = (np.arange(41) - 20) * 2 * size
    theta = np.deg2rad(theta_deg)
    along = point @ [np.cos(theta), np.sin(theta)]
    distances = np.array([50.0, 120.0, 200.0, 350.0])
    at = Camera(np.full(4, theta), distances + along, u, z)
    collimator = collimator_named("GE Infinia LEHR")
    response = collimator.response(140.511)
    grid = at.grid()
    image = np.zeros(grid.shape, np.float32)
    voxel = np.rint((np.array([*point, 0.0]) - grid.origin_mm) / grid.spacing_mm).astype(int)
    image[tuple(voxel)] = 1
    views = CameraProjector(grid, at, response).forward(image)
    length = 35.0 - 2 / (2.36 * 1.135)  # cm2/g times g/cm3 of lead at 140 keV, 1/mm
    for view, distance in zip(views, distances, strict=True):
        wanted = np.hypot(1.5 * (length + distance) / length, 3.8)
        for profile, places in ((view.sum(axis=1), u), (view.sum(axis=0), z)):
            assert fitted_fwhm(places, profile) == pytest.approx(wanted, rel=0.03)


def fitted_fwhm(places, profile):
    def bell(x, height, middle, sigma):
        return height * np.exp(-0.5 * ((x - middle) / sigma) ** 2)

    begin = (profile.max(), places[profile.argmax()], 5.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)  # a perfect fit leaves no covariance
        return abs(curve_fit(bell, places, profile.astype(float), begin)[0][2]) * 2.3548


@pytest.mark.parametrize("voxel", [(4.0, 4.0, 4.0), (2.3, 3.1, 2.0), (7.5, 6.0, 9.0)])
def test_voxels_of_any_size_keep_the_total(voxel):
    """Every view holds the object's whole activity: sum times bin area is the volume's."""
    at = orbit(7, 64, 40, 4.0)
    phantom = Phantom(
        "ball", (ellipsoid((10, 20, 5), (50, 40, 35)).filled(Material(1.0), label=1),), {1: "ball"}
    )
    grid = at.grid(voxel)
    image = phantom.activity(grid).voxels
    views = CameraProjector(grid, at, Response(0.04, 1.5, 3.8)).forward(image)
    total = image.sum(dtype=float) * np.prod(voxel)
    np.testing.assert_allclose(views.sum(axis=(1, 2)) * 16.0, total, rtol=4e-3)


def test_same_bits_whatever_the_number_of_threads():
    rng = np.random.default_rng(0)
    at = orbit(9, 40, 20, 5.0, ellipse=40.0)
    grid = at.grid((4.0, 4.5, 5.0))
    mu = Volume(rng.uniform(0, 0.02, grid.shape).astype(np.float32), grid.affine)
    projector = CameraProjector(grid, at, Response(0.05, 2.0, 4.0), mu)
    image, data = rng.random(grid.shape, np.float32), rng.random(at.shape, np.float32)
    most, results = numba.get_num_threads(), []
    try:
        for threads in (1, 2):
            numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
            results.append((projector.forward(image), projector.adjoint(data)))
    finally:
        numba.set_num_threads(most)
    for one, two in zip(*results, strict=True):
        assert one.tobytes() == two.tobytes()


def test_what_the_adjoint_takes_together_does_not_matter(monkeypatch):
    projector = any_camera(11)
    data = np.random.default_rng(1).random(projector.range, np.float32)
    once = projector.adjoint(data)
    monkeypatch.setattr("emrecon.tomo.kernels.rotate.MOST_BYTES", 1)
    assert projector.adjoint(data).tobytes() == once.tobytes()


def test_a_small_image_is_attenuated_by_all_that_lies_around_it():
    at = orbit(6, 48, 8, 5.0)
    response, whole = Response(0.05, 1.5, 3.8), at.grid()
    mu = body().mu(whole)
    image = np.zeros(whole.shape, np.float32)
    image[30:36, 20:27] = 2.0
    low = np.array(whole.origin_mm) + np.array([28, 18, 0]) * 5.0
    part = Grid((12, 12, 8), (5.0, 5.0, 5.0), tuple(float(v) for v in low))
    found = CameraProjector(part, at, response, mu).forward(image[28:40, 18:30])
    wanted = CameraProjector(whole, at, response, mu).forward(image)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5 * wanted.max())


def test_planes_beyond_the_cameras_blur_into_it():
    at = orbit(2, 20, 6, 5.0)
    response = Response(0.05, 1.5, 3.8)
    longer = at.grid(shape=(20, 20, 10))
    image = np.zeros(longer.shape, np.float32)
    image[8:12, 8:12, 1] = 1.0  # the plane just outside
    seen = CameraProjector(longer, at, response).forward(image)
    assert seen[:, :, 0].sum() > 2 * seen[:, :, 1].sum() > 0


def test_attenuation_follows_the_exponential():
    """A thin source behind slabs of water, also where mu is so steep that the series is halved."""
    at = Camera(np.zeros(1), np.full(1, 200.0), np.arange(-60.0, 61, 4), np.arange(3) * 4.0)
    grid = at.grid()
    image = np.zeros(grid.shape, np.float32)
    x = grid.centres_mm(0)
    image[np.argmin(np.abs(x + 20))] = 1.0
    for strength in (0.015, 0.5):
        mu = np.zeros(grid.shape, np.float32)
        mu[(x > 0) & (x < 22)] = strength
        length = 4.0 * np.count_nonzero((x > 0) & (x < 22))
        clear = CameraProjector(grid, at).forward(image)
        behind = CameraProjector(grid, at, None, Volume(mu, grid.affine)).forward(image)
        middle = slice(8, -8)
        np.testing.assert_allclose(
            behind[0, middle], clear[0, middle] * np.exp(-strength * length), rtol=0.02
        )


def test_gaussians_have_the_variance_asked_for():
    sigma = np.array([[0.0, 0.05, 0.3, 0.45], [0.8, 1.0, 2.5, 6.0]])
    taps, reach = gaussians(sigma)
    at = np.arange(taps.shape[-1])
    np.testing.assert_allclose(taps[..., 0] + 2 * taps[..., 1:].sum(-1), 1, atol=1e-6)
    np.testing.assert_allclose(2 * (taps * at**2).sum(-1), sigma**2, rtol=1e-5, atol=1e-7)
    assert reach[0, 0] == 0
    assert np.all(taps[at > reach[..., None]] == 0)


def test_a_map_beside_the_image_is_refused():
    at = orbit(2, 20, 10, 5.0)
    grid = at.grid()
    far = grid.affine.copy()
    far[:3, 3] += 500
    ones = np.full(grid.shape, 0.01, np.float32)
    with pytest.raises(GeometryError, match="wholly beside"):
        fitted(Volume(ones, far), grid, at)


def test_other_shapes_are_refused():
    projector = any_camera(0)
    with pytest.raises(GeometryError, match="image of shape"):
        projector.forward(np.ones((2, 2, 2), np.float32))
    with pytest.raises(GeometryError, match="data of shape"):
        projector.adjoint(np.ones((2, 2, 2), np.float32))


def test_cameras_that_cannot_be_are_refused():
    theta, u, z = np.zeros(3), np.arange(-3.0, 4), np.arange(4.0)
    with pytest.raises(GeometryError, match="each view needs one"):
        Camera(theta, np.full(2, 100.0), u, z)
    for radius in (0, 1e-30, 1e30):
        with pytest.raises(GeometryError, match=re.escape(f"a radius of {radius:g} mm")):
            Camera(theta, np.array([100.0, radius, 100]), u, z)
    for places in ((u * 1e-30, z), (u, z * 1e30)):
        with pytest.raises(GeometryError, match=r"a bin of 1e.30 mm"):
            Camera(theta, np.full(3, 100.0), *places)
    with pytest.raises(GeometryError, match="both of its sides"):
        _ = Camera(theta, np.full(3, 100.0), u - 3.5 + 1e-9, z).fov_mm
    with pytest.raises(GeometryError, match="even steps"):
        Camera(theta, np.full(3, 100.0), u**3, z)
    with pytest.raises(GeometryError, match="both of its sides"):
        _ = Camera(theta, np.full(3, 100.0), u + 50, z).fov_mm


def test_difference_tells_where_cameras_differ():
    one = orbit(4, 10, 5, 4.0)
    assert not one.difference(orbit(4, 10, 5, 4.0))
    assert "apart" in one.difference(orbit(4, 10, 5, 4.1))
    assert "degrees" in one.difference(orbit(4, 10, 5, 4.0, first=0.4))
    assert "radii" in one.difference(orbit(4, 10, 5, 4.0, radius=249.0))
    assert "wanted" in one.difference(orbit(4, 10, 6, 4.0))
    assert one.subset(1, 2).theta_rad.tolist() == one.theta_rad[1::2].tolist()


BITS = """
import sys
import numpy as np
from tests.tomo.makers import camera

op, rng = camera(3), np.random.default_rng(0)
image, data = rng.random(op.domain, np.float32), rng.random(op.range, np.float32)
sys.stdout.buffer.write(op.forward(image).tobytes() + op.adjoint(data).tobytes())
"""


@pytest.mark.slow
def test_kernels_compiled_here_give_the_bits_of_those_compiled_before(tmp_path):
    own = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    run = [sys.executable, "-c", BITS]
    here, before = (subprocess.run(run, env=own, capture_output=True, check=True) for _ in "ab")
    assert len(here.stdout) > 1000
    assert here.stdout == before.stdout
