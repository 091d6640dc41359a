"""Kernel EM: the operator, its likelihood, and STIR's images."""

from __future__ import annotations

import gzip
from dataclasses import replace
from itertools import cycle, islice, pairwise, repeat
from pathlib import Path

import numpy as np
import pytest

from emrecon.em import em
from emrecon.errors import GeometryError, SettingsError
from emrecon.gaussian import FWHM_PER_SIGMA
from emrecon.testing import check_likelihood, check_operator
from emrecon.tomo.algorithms.mlem import Mlem
from emrecon.tomo.emission import Emission
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.kernel_settings import KernelSettings
from emrecon.tomo.likelihood import Through
from emrecon.tomo.operators.algebra import Chain, Scale, Stack
from emrecon.tomo.operators.joseph import JosephProjector
from emrecon.tomo.operators.kernel import kernel_of
from emrecon.tomo.prepare import prepare
from emrecon.tomo.scan import Scan
from emrecon.tomo.settings import Settings
from tests.stir_case import VOXEL_MM, Case, stir_subsets

SHAPE, SPACING = (9, 8, 7), (2.0, 2.5, 3.0)


def images(count=2, shape=SHAPE):
    features = np.random.default_rng(0).random((count, *shape), np.float32)
    features[:, :2] = 0
    return features


def dense(kernel):
    ones = np.eye(int(np.prod(kernel.shape)), dtype=np.float32)
    return np.stack([kernel.forward(one.reshape(kernel.shape)).ravel() for one in ones], axis=1)


@pytest.mark.parametrize(
    "choice", [{}, {"kernel_neighbours": 9, "kernel_fwhm_mm": 5.0}, {"kernel_pet_width": 0.5}]
)
def test_it_is_an_operator_whose_rows_sum_to_one(choice):
    of = KernelSettings(**choice)
    pet = np.random.default_rng(3).random(SHAPE, np.float32)
    kernel = kernel_of(images(), SPACING, of, pet)
    check_operator(kernel, np.random.default_rng(1))
    matrix = dense(kernel)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-6)
    sizes = np.count_nonzero(matrix, axis=1)[SHAPE[1] * SHAPE[2] * 2 :]
    assert sizes.min() == np.median(sizes) == of.kernel_neighbours
    outside = np.ravel_multi_index((1, 3, 3), SHAPE)
    assert np.flatnonzero(matrix[outside]).tolist() == [outside]


def test_weights_are_those_of_the_formula():
    """A row by hand: Gaussians of differences, in standard deviations, and of distance."""
    of = KernelSettings((), 400, 3, 0.7, 6.0)
    features = images()
    matrix = dense(kernel_of(features, SPACING, of))
    here = np.array([5, 4, 3])
    shown = np.any(features != 0, axis=0)
    wanted = np.zeros(SHAPE)
    for step in np.ndindex(3, 3, 3):
        other = here + step - 1
        off = [(f[tuple(here)] - f[tuple(other)]) / f[shown].std(dtype=float) for f in features]
        far = np.linalg.norm((np.array(step) - 1) * SPACING) / (6.0 / FWHM_PER_SIGMA)
        wanted[tuple(other)] = np.exp(-(np.sum(np.square(off)) / 0.7**2 + far**2) / 2)
    row = matrix[np.ravel_multi_index(here, SHAPE)]
    np.testing.assert_allclose(row, wanted.ravel() / wanted.sum(), rtol=2e-5, atol=1e-7)


def test_what_is_flat_draws_no_direction_before_another():
    kernel = kernel_of(np.ones((1, 15, 15, 15), np.float32), (2.0, 2.0, 2.0))
    point = np.zeros(kernel.shape, np.float32)
    point[7, 7, 7] = 1
    spread = kernel.forward(point)
    for axis in range(3):
        assert np.array_equal(spread, np.flip(spread, axis))
    assert np.count_nonzero(spread) == 57  # whole shells: 33 are too few


def test_images_that_cannot_be_compared_are_refused():
    with pytest.raises(GeometryError, match=r"shape \(n, i, j, k\)"):
        kernel_of(np.ones(SHAPE, np.float32), SPACING)
    with pytest.raises(SettingsError, match="kernel_width"):
        KernelSettings(kernel_width=0)


@pytest.fixture(scope="module")
def problem():
    bins = Bins.parallel(np.arange(12) * np.pi / 12, np.arange(-8.0, 9.0) * 3, slice_mm=3.0)
    counts = np.random.default_rng(0).poisson(20, bins.shape).astype(np.float32)
    return prepare(Scan(bins, counts), Settings(subsets=3))


def test_a_likelihood_through_a_kernel_is_one_and_em_climbs_it(problem):
    shape = problem.grid.shape
    kernel = kernel_of(images(1, shape), (3.0, 3.0, 3.0), KernelSettings(kernel_neighbours=12))
    seen = problem.through(kernel)
    rng = np.random.default_rng(1)
    check_likelihood(seen.likelihoods[0], (5 + rng.random(shape)).astype(np.float32), rng)
    run = islice(em(repeat(seen.models[0]), seen.start), 12)
    for before, after in pairwise(one.log_likelihood for one in run):
        assert after >= before - 1e-6 * abs(before)
    *_, reached = islice(seen.iterates(), 10)
    np.testing.assert_array_equal(
        seen.volume(reached.params).voxels, kernel.forward(reached.params)
    )
    assert seen.balance(reached.params) == pytest.approx(1, abs=0.05)  # OSEM


def test_the_algebra_of_operators_makes_the_same_system():
    bins = Bins.parallel(np.arange(6) * np.pi / 6, np.arange(-8.0, 9.0))
    grid = bins.grid()
    lines = JosephProjector(grid, bins, bins.fov_mm)
    kernel = kernel_of(images(1, grid.shape), grid.spacing_mm)
    factors = np.random.default_rng(0).random(bins.shape, np.float32)
    check_operator(Stack([Scale(Chain(lines, kernel), factors)]), np.random.default_rng(1))
    counts = np.random.default_rng(2).poisson(9, bins.shape).astype(np.float32)
    image = np.random.default_rng(3).random(grid.shape, np.float32)
    one = Emission(Chain(lines, kernel), counts)
    other = Through(Emission(lines, counts), kernel)
    for a, b in zip(one.ratio(image), other.ratio(image), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_stirs_kernel_em_is_ours_with_its_back_projection(shared_data: Path):
    """Images agree to 1e-5 (wanted: 0.1 %), and our matrix gives its image of its coefficients.

    Distances are in its voxels along x, differences in standard deviations over the whole image.
    """
    folder = shared_data / "stir_kernel"
    case = Case(shared_data / "stir_osem_case")

    def held(name):
        with gzip.open(folder / f"{name}.npy.gz") as file:
            return np.ascontiguousarray(np.load(file)[::-1, ::-1, ::-1].T)

    of = KernelSettings((), 27, 3, 1.0, 2 * VOXEL_MM[0] * FWHM_PER_SIGMA, kernel_as_stir=True)
    kernel = kernel_of(held("anat")[None], VOXEL_MM, of)
    wanted = held("KERN_kos_mr_24")
    made = kernel.forward(held("kos_mr_24"))
    seen = held("kos_mr_24") > 0  # elsewhere its rows do not sum to 1
    assert np.abs(made - wanted)[seen].max() < 1e-5 * wanted.max()
    ours = kernel_of(held("anat")[None], VOXEL_MM, replace(of, kernel_as_stir=False))
    apart = [case.nrms(_osem(case, one, 12), held("KERN_kos_mr_12")) for one in (kernel, ours)]
    assert apart[0] < 1e-5
    assert apart[1] > 0.005  # what the transposed matrix changes


def _osem(case: Case, kernel, updates):
    bins, scan, models = case.scan.bins, case.scan, []
    for views in stir_subsets(bins.shape[0]):
        lines = case.siddon(replace(bins, phi_rad=bins.phi_rad[views]))
        likelihood = Emission(lines, scan.prompts[views], None, scan.scatter[views])
        models.append(Mlem(Through(likelihood, kernel)))
    *_, reached = islice(em(cycle(models), case.start), updates + 1)
    return kernel.forward(reached.params * VOXEL_MM[0])
