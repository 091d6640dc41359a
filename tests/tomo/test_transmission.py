"""Counts of rays: derivatives, an ascent that never falls, and images of few photons."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice, pairwise, repeat

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from emrecon.em import em
from emrecon.errors import DataError, GeometryError
from emrecon.tomo.algorithms.mltr import Mltr
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.kernels import beer_lambert
from emrecon.tomo.operators.algebra import Dense
from emrecon.tomo.operators.joseph import JosephProjector
from emrecon.tomo.priors.log_cosh import LogCosh
from emrecon.tomo.priors.pairs import PairPrior, Pairs
from emrecon.tomo.priors.quadratic import Quadratic
from emrecon.tomo.priors.relative_difference import RelativeDifference
from emrecon.tomo.transmission import Transmission
from tests.benchmarks import few_photons
from tests.tomo.makers import ring

POTENTIALS = [None, Quadratic(), RelativeDifference(2.0, 1e-3), LogCosh(50.0)]


def parallel(seed: int) -> JosephProjector:
    bins = Bins.parallel(np.arange(24) * np.pi / 24, np.arange(-12.0, 13.0) * 2.0, slice_mm=2.0)
    return JosephProjector(bins.grid(), bins)


def rays(system, rng, *, photons: float = 300.0, scatter: bool = True, dead: bool = True):
    """Return rays through an image of up to three lengths of attenuation, and the image."""
    image = rng.uniform(0, 1, system.domain).astype(np.float32)
    image *= np.float32(3 / system.forward(image).max())
    image[rng.random(image.shape) < 0.2] = 0
    blank = rng.uniform(0.5, 1.5, system.range).astype(np.float32) * np.float32(photons)
    if dead:
        blank[rng.random(blank.shape) < 0.1] = 0
    share = 0.3 * photons * (rng.random(system.range) < 0.7) if scatter else np.zeros(system.range)
    background = share.astype(np.float32)
    counts = rng.poisson(blank * np.exp(-system.forward(image)) + background).astype(np.float32)
    return Transmission(system, counts, blank, background), image


@pytest.mark.parametrize("make", [parallel, ring], ids=lambda make: make.__name__)
def test_derivatives_are_those_of_differences(make) -> None:
    rng = np.random.default_rng(3)
    likelihood, image = rays(make(1), rng)
    image += np.float32(0.1) * image.mean()
    along = image * rng.uniform(-1, 1, image.shape).astype(np.float32)
    step = np.float32(0.01) * along
    expected, value = likelihood.expect(image)
    slope = likelihood.gradient(expected)
    up, down = likelihood.expect(image + step)[1], likelihood.expect(image - step)[1]
    size = np.sum(np.abs(slope * step), dtype=np.float64)
    assert up - down == pytest.approx(2 * np.vdot(slope, step), abs=1e-3 * size)
    ratio, again = likelihood.ratio(image)
    assert again == value
    assert ratio.min() >= 0
    off = 1e-5 * np.abs(ratio).max()
    assert_allclose(ratio - likelihood.sensitivity, slope, atol=off)
    steeper = likelihood.ratio(image - step)[0] - likelihood.ratio(image + step)[0]
    curved = 2 * likelihood.curvature(image, step)
    assert np.linalg.norm(steeper - curved) < 1e-2 * np.linalg.norm(curved)


amounts = st.one_of(st.just(0.0), st.floats(2**-10, 1e5, width=32))


@settings(max_examples=300, deadline=None)
@given(amounts, st.floats(2**-10, 1e5, width=32), amounts, st.floats(0, 12, width=32))
def test_no_ray_is_above_its_parabola(count, blank, background, length) -> None:
    """Erdogan and Fessler's theorem, at line integrals near and far."""
    others = np.r_[0, np.geomspace(1e-4, 30, 60), length * np.linspace(0.9, 1.1, 5)]
    one = [np.full((1, 1), value, np.float32) for value in (count, blank, background)]
    at, bend = np.full((1, 1), length, np.float32), np.empty((1, 1), np.float32)
    value = float(beer_lambert.compare(*one, at, bend)[0])
    slope, curvature = float(at[0, 0]), float(bend[0, 0])
    mean = blank * np.exp(-others) + background
    log_mean = np.log(mean) if background else np.log(blank) - others
    truth = count * log_mean - mean
    parabola = value + slope * (others - length) - curvature / 2 * (others - length) ** 2
    scale = np.abs(truth) + np.abs(value) + (np.abs(slope) + curvature * 40) * (others + length)
    assert np.all(parabola <= truth + 1e-6 * scale + 1e-6)
    assert curvature >= 0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.5, 30.0, 1e4]), st.sampled_from(POTENTIALS))
def test_the_objective_never_falls(seed, photons, potential) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.random((30, 8), np.float32) * (rng.random((30, 8)) < 0.6)
    dense = Dense(matrix.astype(np.float32))
    likelihood, _ = rays(dense, rng, photons=photons, scatter=bool(seed % 2))
    wild = rng.poisson(photons, dense.range) * (rng.random(dense.range) < 0.7)
    if seed % 3 == 0:
        likelihood = replace(likelihood, counts=wild.astype(np.float32))
    rises(likelihood, potential, rng, strength=photons)


@pytest.mark.parametrize("potential", POTENTIALS, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("make", [parallel, ring], ids=lambda make: make.__name__)
def test_the_objective_never_falls_on_scanners(make, potential) -> None:
    rng = np.random.default_rng(7)
    rises(rays(make(1), rng)[0], potential, rng, strength=1e5)


def rises(likelihood, potential, rng, strength: float) -> None:
    """Hold every step of a run, from zeros and from far out, to the one before."""
    shape = likelihood.system.domain
    prior = potential and PairPrior(strength, potential, Pairs.around((2.0, 2.0, 2.0)))
    model = Mltr(likelihood, _Row(prior) if prior and len(shape) == 1 else prior)
    far = rng.uniform(0, 5 / likelihood.lengths_mm.max(), shape).astype(np.float32)
    size = float(np.sum(likelihood.counts + likelihood.blank + likelihood.background))
    for start in (np.zeros(shape, np.float32), far, np.float32(30) * far):
        run = list(islice(em(repeat(model), start), 15))
        assert all(one.params.dtype == np.float32 for one in run)
        assert all(one.params.min() >= 0 and np.isfinite(one.params).all() for one in run)
        for before, after in pairwise(one.log_likelihood for one in run):
            assert after >= before - 1e-7 * (size + abs(before))
        assert run[-1].log_likelihood >= run[0].log_likelihood  # zeros may be the best there is


class _Row:
    """A prior of images of three axes, on a row of voxels."""

    def __init__(self, prior: PairPrior) -> None:
        self.prior = prior

    def value(self, image):
        return self.prior.value(image[:, None, None])

    def gradient(self, image):
        return self.prior.gradient(image[:, None, None])[:, 0, 0]

    def majorant(self, image):
        return self.prior.majorant(image[:, None, None])[:, 0, 0]


def test_without_noise_the_truth_comes_out() -> None:
    """Also with scatter and dead rays; of every voxel that some live ray crosses."""
    rng = np.random.default_rng(0)
    matrix = rng.random((40, 8), np.float32) * (rng.random((40, 8)) < 0.2)
    dense = Dense(matrix.astype(np.float32))
    likelihood, truth = rays(dense, rng, photons=1e4)
    exact = likelihood.blank * np.exp(-dense.forward(truth)) + likelihood.background
    model = Mltr(replace(likelihood, counts=exact))
    *_, last = islice(em(repeat(model), np.zeros_like(truth)), 1000)
    assert_allclose(last.params, truth, atol=2e-3 * truth.max())


def test_rays_of_zero_blank_say_nothing() -> None:
    likelihood, image = rays(parallel(0), np.random.default_rng(1))
    dead = likelihood.blank == 0
    other = replace(likelihood, counts=np.where(dead, np.float32(77), likelihood.counts))
    for one, two in zip(likelihood.expect(image)[0], other.expect(image)[0], strict=True):
        assert np.array_equal(one, two)
    assert np.array_equal(likelihood.sensitivity, other.sensitivity)
    assert not likelihood.expect(image)[0].slope[dead].any()


def test_threads_change_no_bit() -> None:
    likelihood, _ = rays(ring(1), np.random.default_rng(1))
    prior = PairPrior(1e4, Quadratic(), Pairs.around((1.0, 1.0, 1.0)))
    used, runs = numba.get_num_threads(), []
    try:
        for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
            numba.set_num_threads(threads)
            start = np.zeros(likelihood.system.domain, np.float32)
            *_, last = islice(em(repeat(Mltr(likelihood, prior)), start), 5)
            runs.append((last.params.tobytes(), last.log_likelihood))
    finally:
        numba.set_num_threads(used)
    assert runs[0] == runs[1]


def test_fields_give_what_their_difference_and_offset_do() -> None:
    rng, system = np.random.default_rng(5), parallel(0)
    dark = rng.uniform(10, 20, system.range[1:]).astype(np.float32)
    white = dark + rng.uniform(100, 200, dark.shape).astype(np.float32)
    dark[3], white[4] = 500, 0  # two columns of dead elements
    counts = rng.poisson(np.broadcast_to(white, system.range) * 0.5).astype(np.float32)
    likelihood = Transmission.from_fields(system, counts, dark, white)
    assert not likelihood.blank[:, 3:5].any()
    assert_allclose(likelihood.blank[2, 5:], (white - dark)[5:])
    assert_allclose(likelihood.background[2], dark)


def test_what_are_no_counts_is_refused_with_the_way_to_them() -> None:
    system = parallel(0)
    image = np.full(system.domain, 0.01, np.float32)
    integrals = system.forward(image)
    dark, white = (np.full(system.range[1:], value, np.float32) for value in (10, 1000))
    with pytest.raises(DataError, match=r"not -log\(counts/white\).*dark and white"):
        Transmission.from_fields(system, integrals, dark, white)
    with pytest.raises(DataError, match=r"counts go down to -0.1: .*not -log"):
        Transmission(system, integrals - np.float32(0.1) - integrals.min(), white)
    with pytest.raises(DataError, match="finite"):
        Transmission(system, integrals * np.float32(np.nan), white)
    with pytest.raises(DataError, match="nothing was sent"):
        Transmission.from_fields(system, np.ones(system.range), white, dark)
    with pytest.raises(GeometryError, match=r"blank of shape \(24,\) do not fit .*\(24, 25, 1\)"):
        Transmission(system, integrals, np.ones(24))


@pytest.mark.slow
@pytest.mark.parametrize("what", ["cylinder 0", "cylinder 1", "tooth"])
def test_of_few_photons_it_makes_a_better_image_than_the_logarithm(what, shared_data) -> None:
    """At 100 photons a ray: a cylinder of water, and a tooth against the image of many photons."""
    pytest.importorskip("skimage")
    if what == "tooth":
        pytest.importorskip("h5py")
        found = few_photons.tooth(shared_data / "xray_tooth" / "tooth.h5")
    else:
        found = few_photons.cylinder(int(what[-1]))
    ours = found.pop(few_photons.MLTR)
    assert len(found) == 2
    assert all(ours.error < 0.7 * other.error for other in found.values())
    assert abs(ours.bias) < 0.01
