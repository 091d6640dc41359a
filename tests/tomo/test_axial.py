"""The axial projector kernels, against the plain line-by-line ones and against mathematics."""

import math

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emrecon.tomo.kernels import axial
from tests.benchmarks import scalar

ORDER = (
    "x0", "y0", "vx", "vy", "vz", "cosines", "sines", "s_mm", "half_chord_mm", "fov_mm",
    "tilt", "first", "step", "planes", "offset",
)  # fmt: skip


class Case:
    """A geometry, and both ways through it by the kernels of a module."""

    def __init__(self, shape, **geometry):
        self.shape = shape
        self.geometry = geometry
        planes = geometry["planes"]
        geometry["offset"] = np.cumsum(planes) - planes
        self.data_shape = (geometry["cosines"].size, geometry["s_mm"].size, planes.sum())

    def args(self):
        return [self.geometry[name] for name in ORDER]

    def forward(self, image, module=axial):
        out = np.full(self.data_shape, np.nan, np.float32)
        module.forward(image, *self.args(), out)
        return out

    def adjoint(self, data, module=axial):
        image = np.full(self.shape, np.nan, np.float32)
        module.adjoint(data, *self.args(), image)
        return image


def anything(seed):
    """Any geometry: unequal voxels, off centre, lines and planes that miss the image."""
    rng = np.random.default_rng(seed)
    tall = rng.choice([1, 5])  # rows of a vector or two, and of many
    shape = nx, ny, nz = rng.integers([1, 1, 1], [40, 40, 30 * tall])
    vx, vy, vz = rng.uniform(1, 4, 3)
    size = max(nx * vx, ny * vy)
    radius = 1.2 * size
    phi = rng.uniform(-np.pi, np.pi, rng.integers(1, 9))
    phi[0] = rng.integers(8) * np.pi / 4  # along the axes and the diagonals too
    s_mm = np.sort(rng.uniform(-0.7 * size, 0.7 * size, rng.integers(1, 30)))
    segments = rng.integers(1, 7)
    return Case(
        tuple(map(int, shape)),
        x0=-nx * vx / 2 + rng.uniform(-5, 5),
        y0=-ny * vy / 2 + rng.uniform(-5, 5),
        vx=vx,
        vy=vy,
        vz=vz,
        cosines=np.cos(phi),
        sines=np.sin(phi),
        s_mm=s_mm,
        half_chord_mm=np.sqrt(radius**2 - s_mm**2),
        fov_mm=rng.uniform(0.1, 0.8) * size,
        tilt=rng.uniform(-1, 1, segments) * rng.choice([0, 4, nz / tall, 3 * nz / tall**2]),
        first=rng.uniform(-6, 6, segments),
        step=rng.integers(1, rng.integers(2, 5), segments),
        planes=rng.integers(1, 25 * tall, segments),
    )


def ring(n=48, nz=31, tilts=(0, 10, -10), views=12, bins=40, width=160.0, radius=150.0, fov=70.0):
    """Describe a ring scanner with image and lines centred, in planes one voxel apart."""
    phi = np.arange(views) * np.pi / views
    s_mm = (np.arange(bins) - (bins - 1) / 2) * width / bins
    v = width / n
    planes = nz - np.abs(np.array(tilts))
    return Case(
        (n, n, nz),
        x0=-(n - 1) / 2 * v,
        y0=-(n - 1) / 2 * v,
        vx=v,
        vy=v,
        vz=2.0,
        cosines=np.cos(phi),
        sines=np.sin(phi),
        s_mm=s_mm,
        half_chord_mm=np.sqrt(radius**2 - s_mm**2),
        fov_mm=fov,
        tilt=np.array(tilts, float),
        first=(nz - planes) / 2,
        step=np.ones(len(tilts), int),
        planes=planes,
    )


def noise(shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


@pytest.fixture
def threads():
    before = numba.get_num_threads()
    yield [n for n in (1, 2, 4) if n <= numba.config.NUMBA_NUM_THREADS]
    numba.set_num_threads(before)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_adjoint_is_the_transpose(seed):
    case = anything(seed)
    image, data = noise(case.shape, 1), noise(case.data_shape, 2)
    left = np.vdot(case.forward(image).astype(float), data.astype(float))
    right = np.vdot(image.astype(float), case.adjoint(data).astype(float))
    assert left == pytest.approx(right, rel=1e-5, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_it_equals_the_plain_kernels(seed):
    case = anything(seed)
    image, data = noise(case.shape, 1), noise(case.data_shape, 2)
    # Rows are summed twice in float32. Lines that climb far more than an image's height within
    # it, as no scanner's do, sum many planes a step: 1.4e-5 is the most in 1,500 geometries.
    steep = np.abs(case.geometry["tilt"]).max() > 1.5 * case.shape[2]
    share = 1e-4 if steep else 1e-5
    for ours, plain in (
        (case.forward(image), case.forward(image, scalar)),
        (case.adjoint(data), case.adjoint(data, scalar)),
    ):
        np.testing.assert_allclose(ours, plain, rtol=0, atol=share * plain.max() + 1e-12)


def test_a_gaussian_blob_has_its_analytic_integrals():
    # Tilts of 0, 27 and -45 degrees, so that a missing obliquity factor would be 11 and 41 % off.
    case = ring(n=96, nz=160, tilts=(0, 75, -150), width=96.0, fov=48.0)
    g, sigma, centre = case.geometry, 5.0, np.array([6.0, -9.0, 159.0])
    axes = [
        g["x0"] + np.arange(96) * g["vx"],
        g["y0"] + np.arange(96) * g["vy"],
        2 * np.arange(160),
    ]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    squared = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2
    out = case.forward(np.exp(-squared / (2 * sigma**2)).astype(np.float32))
    for tilt, first, planes, offset in zip(
        g["tilt"], g["first"], g["planes"], g["offset"], strict=True
    ):
        c, s = g["cosines"][:, None, None], g["sines"][:, None, None]
        u, half = g["s_mm"][:, None], g["half_chord_mm"][:, None]
        mid = 2 * (first + np.arange(planes))
        along = np.broadcast_arrays(-s * half, c * half, tilt * g["vz"] / 2)
        unit = np.stack(along, -1) / np.linalg.norm(np.stack(along, -1), axis=-1, keepdims=True)
        offset_mm = np.stack(np.broadcast_arrays(c * u, s * u, mid), -1) - centre
        nearest = np.sum(offset_mm**2, -1) - np.sum(offset_mm * unit, -1) ** 2
        exact = math.sqrt(2 * np.pi) * sigma * np.exp(-nearest / (2 * sigma**2))
        ours = out[..., offset : offset + planes]
        np.testing.assert_allclose(ours, exact, atol=0.03 * exact.max())
        assert ours.sum(dtype=float) == pytest.approx(exact.sum(), rel=5e-3)


@pytest.mark.parametrize("step", [1, 2])
def test_the_bits_do_not_depend_on_the_threads(step, threads):
    case = ring()
    case.geometry["step"] = np.full(3, step)
    image, data = noise(case.shape), noise(case.data_shape)
    results = []
    for n in threads:
        numba.set_num_threads(n)
        results.append((case.forward(image), case.adjoint(data)))
    for forward, adjoint in results[1:]:
        assert np.array_equal(forward, results[0][0])
        assert np.array_equal(adjoint, results[0][1])


@pytest.mark.parametrize("corner", [(0, 0, 0), (-1, -1, -1), (0, 9, 3), (11, 0, -1)])
def test_a_border_voxel_blends_to_zero(corner):
    # A line past the outermost centre sees the voxel with the hat that any voxel has.
    case = ring(n=12, nz=9, tilts=(0,), views=4, bins=481, width=24.0, fov=40.0)
    case.geometry["s_mm"] = np.linspace(-20, 20, 481)
    image = np.zeros(case.shape, np.float32)
    image[corner] = 1
    out = case.forward(image)
    g, (i, j, k) = case.geometry, np.argwhere(image)[0]
    x, y = g["x0"] + i * g["vx"], g["y0"] + j * g["vy"]
    for view, at in ((0, x), (2, y)):
        hat = np.maximum(0, 1 - np.abs(g["s_mm"] - at) / 2.0) * 2.0
        np.testing.assert_allclose(out[view, :, k], hat, atol=1e-5)
    assert np.count_nonzero(out) == np.count_nonzero(out[..., k])


def test_a_plane_between_the_last_voxel_and_outside_sees_half():
    case = ring(n=12, nz=9, tilts=(0,))
    case.geometry["first"] = np.array([-0.5])
    case.geometry["planes"] = np.array([10])
    case.data_shape = (*case.data_shape[:2], 10)
    out = case.forward(np.ones(case.shape, np.float32))
    np.testing.assert_allclose(out[..., [0, -1]], out[..., [4, 5]] / 2, rtol=1e-5)


def test_nothing_outside_the_field_of_view_takes_part():
    case = ring(fov=40.0)
    outside = np.abs(case.geometry["s_mm"]) >= 40.0
    assert outside.any()
    assert not case.forward(np.ones(case.shape, np.float32))[:, outside].any()
    x = case.geometry["x0"] + np.arange(48) * case.geometry["vx"]
    seen = case.adjoint(np.ones(case.data_shape, np.float32)).any(axis=2)
    beyond = np.hypot(x[:, None], x[None, :]) > 40.0 + case.geometry["vx"]
    assert seen.any()
    assert not seen[beyond].any()


def test_parallel_beams_take_an_infinite_radius():
    case = ring(n=33, nz=5, tilts=(0,), fov=200.0)
    case.geometry["half_chord_mm"] = np.full(40, np.inf)
    out = case.forward(np.ones(case.shape, np.float32))
    inner = np.abs(case.geometry["s_mm"]) < 70
    np.testing.assert_allclose(out[0, inner], 160.0, rtol=1e-5)


def test_bins_that_meet_no_detector_are_empty():
    case = ring()
    case.geometry["half_chord_mm"][[0, -1]] = 0, np.nan
    out = case.forward(np.ones(case.shape, np.float32))
    assert not out[:, [0, -1]].any()
    assert np.isfinite(case.adjoint(np.ones(case.data_shape, np.float32))).all()
