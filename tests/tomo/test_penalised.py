"""Penalised reconstruction: objectives that do not fall, and one maximum for all algorithms."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emrecon.em import last
from emrecon.tomo.algorithms.de_pierro import DePierro
from emrecon.tomo.algorithms.lbfgs import Lbfgs
from emrecon.tomo.algorithms.objective import FLOOR, Objective
from emrecon.tomo.algorithms.subset_ascent import Bsrem, Svrg
from emrecon.tomo.emission import Emission
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.penalised import Penalised
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.prepare import prepare
from emrecon.tomo.priors import (
    BUILT_IN,
    PRIORS,
    Ingredients,
    PairPrior,
    Pairs,
    Quadratic,
    RelativeDifference,
)
from emrecon.tomo.scan import Scan
from emrecon.tomo.settings import Settings
from tests.stir_case import CENTRE_MM, SIZE, VOXEL_MM, Case

SHAPE = (4, 3, 3)


@dataclass(frozen=True)
class Matrix:
    """A matrix between images and counts of any shape."""

    weights: np.ndarray
    domain: tuple[int, ...]
    range: tuple[int, ...]

    def forward(self, image):
        return (self.weights @ image.ravel()).reshape(self.range)

    def adjoint(self, data):
        return (self.weights.T @ data.ravel()).reshape(self.domain)


def problem(seed, prior="rdp", beta=0.3, *, zeros=True, subsets=3):
    """A random system with its likelihoods, of few counts, with backgrounds and dead bins."""
    rng = np.random.default_rng(seed)
    views = 4 * subsets
    weights = rng.random((views * 6, 36), np.float32) * (rng.random((views * 6, 36)) < 0.4)
    truth = rng.gamma(1.0, 3.0, 36).astype(np.float32) * (rng.random(36) < 0.7)
    factors = (rng.random((views, 2, 3), np.float32) + 0.2) * (rng.random((views, 2, 3)) < 0.9)
    background = rng.random((views, 2, 3), np.float32) * rng.integers(0, 2)
    mean = factors * (weights @ truth).reshape(views, 2, 3) + background
    counts = rng.poisson(mean).astype(np.float32)
    terms = []
    for first in range(subsets):
        own = np.arange(first, views, subsets)
        rows = weights.reshape(views, 6, 36)[own].reshape(-1, 36)
        system = Matrix(np.ascontiguousarray(rows), SHAPE, (len(own), 2, 3))
        terms.append(Emission(system, counts, factors.astype(np.float32), background, own))
    seen = sum(term.sensitivity for term in terms)
    start = (rng.random(SHAPE, np.float32) + 0.5) * (rng.random(SHAPE) < 0.8 if zeros else 1)
    kappa = (rng.random(SHAPE, np.float32) + 0.3) if rng.integers(2) else None
    anatomy = rng.random((1, *SHAPE), np.float32)
    similar = int(rng.choice([0, 6]))
    of = Ingredients(beta, (2.0, 3.0, 2.5), kappa, anatomy, similar, 2.0, 0.02, 1.0, 0.3)
    start = start.astype(np.float32)
    return Objective(terms, PRIORS[prior](of), seen > 0, start)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("prior", BUILT_IN)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10**6), log_beta=st.floats(-3, 4))
def test_de_pierros_objective_never_falls(prior, seed, log_beta):
    objective = problem(seed, prior, 10**log_beta)
    course = list(islice(DePierro().iterates(objective, objective.near), 12))
    for before, after in pairwise(course):
        slack = 2e-6 * (abs(before.log_likelihood) + before.penalty)  # what float32 rounds
        assert after.objective >= before.objective - slack
        assert np.isfinite(after.params).all()
        assert (after.params >= 0).all()
    assert course[-1].objective > course[0].objective


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("prior", BUILT_IN)
def test_every_algorithm_climbs_to_the_same_image(prior):
    objective = problem(7, prior, 0.5, zeros=False)
    best = last(islice(Lbfgs().iterates(objective, objective.near), 100))
    assert best.residual < 0.01
    size = np.median(best.params)
    for algorithm, updates, close in (
        (DePierro(), 300, 0.1),
        (Svrg(period=2, long=999), 600, 0.02),
    ):
        reached = last(islice(algorithm.iterates(objective, objective.near), updates))
        data, penalty = objective.value(reached.params)
        assert data - penalty == pytest.approx(best.objective, rel=3e-5)
        assert np.abs(reached.params - best.params).max() < close * size, algorithm
    reached = last(islice(Bsrem().iterates(objective, objective.near), 450))
    data, penalty = objective.value(reached.params)  # its tail is long
    data_near, penalty_near = objective.value(objective.near)
    left = best.objective - (data - penalty)
    assert 0 <= left < 0.05 * (best.objective - (data_near - penalty_near))


@pytest.mark.usefixtures("one_thread")
def test_a_run_taken_up_gives_the_same_bits():
    objective = problem(3)
    for algorithm in (DePierro(), Svrg(), Bsrem(), Lbfgs(period=3)):
        per_pass = 3 if isinstance(algorithm, Svrg | Bsrem) else 1
        step = algorithm.period * per_pass
        course = list(islice(algorithm.iterates(objective, objective.near, 0), 2 * step + 5))
        saved = course[step]
        again = list(islice(algorithm.iterates(objective, saved.params, saved.number), step + 5))
        for one, other in zip(course[step:], again, strict=True):
            assert one.number == other.number
            assert np.array_equal(one.params, other.params), algorithm


@pytest.mark.usefixtures("one_thread")
def test_what_limits_steps_follows_the_image_and_reckons_with_a_voxel_by_itself():
    objective = problem(5)
    prior, near = objective.prior, objective.near
    there, twice = objective.limit(near), objective.limit(2 * near)
    bend = np.maximum(2 * prior.diagonal(near), prior.majorant(near) / 2)
    assert np.allclose(there, objective.data_curvature + bend, rtol=1e-5)
    least = FLOOR * objective.typical
    fallen = (near + least) / (2 * near + least)
    bend = np.maximum(2 * prior.diagonal(2 * near), prior.majorant(2 * near) / 2)
    assert np.allclose(twice, objective.data_curvature * fallen + bend, rtol=1e-5)
    at = np.unravel_index(np.argmax(near), near.shape)
    image = 1e-3 * near  # one warm voxel among cold ones falls
    image[at] = near[at]
    slope, value = prior.gradient(image)[at], prior.value(image)
    alone = (objective.limit(image) - objective.data_curvature)[at]
    for share in (0.5, 0.7, 0.9):
        step = (share - 1) * near[at]
        moved = image.copy()
        moved[at] += step
        assert prior.value(moved) <= (value + slope * step + alone * step**2 / 2) * (1 + 1e-6)


@pytest.mark.usefixtures("one_thread")
def test_terms_of_subsets_add_up_and_the_residual_is_told():
    objective = problem(5)
    course = list(islice(Svrg(period=2, long=999).iterates(objective, objective.near), 6 * 55 + 1))
    told = [it for it in course if np.isfinite(it.residual)]
    assert [it.number for it in told] == [6 * n for n in range(56)]
    assert told[-1].residual < 1e-3 * told[0].residual
    data, penalty = objective.value(course[-1].params)
    one_pass = course[-4:-1]  # at the maximum nothing moves: the parts are those of one image
    assert sum(it.log_likelihood for it in one_pass) == pytest.approx(data, rel=1e-4)
    assert sum(it.penalty for it in one_pass) == pytest.approx(penalty, rel=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("which", ["rdp", "quad"])
def test_stirs_converged_images_are_the_maximum(shared_data, which):
    """STIR counts in voxels along x: its image is ours times that length, and its beta scales.

    The objectives are held within 1e-7 of themselves, and the images within 0.5 %.
    """
    case, folder = Case(shared_data / "stir_osem_case"), shared_data / "stir_map"
    told = json.loads((folder / "case.json").read_text())["converged"][f"conv_{which}"]

    def held(name):
        with gzip.open(folder / f"{name}.npy.gz") as file:
            turned = np.load(file)[::-1, ::-1, ::-1].T
        return np.ascontiguousarray(turned / VOXEL_MM[0], np.float32)

    ready = prepare(
        case.scan,
        Settings(
            subsets=12, voxel_mm=VOXEL_MM, size=SIZE, centre_mm=CENTRE_MM, projector="siddon"
        ),
    )
    x = VOXEL_MM[0]
    potential = RelativeDifference(2.0, 0.005 / x) if which == "rdp" else Quadratic()
    beta = 4.0 * x if which == "rdp" else 50.0 * x * x
    prior = PairPrior(beta, potential, Pairs.around(VOXEL_MM))
    seen = sum(term.sensitivity for term in ready.likelihoods) > 0
    objective = Objective(ready.likelihoods, prior, seen, held("osem0_12"))
    theirs = held(f"conv_{which}")
    data, penalty = objective.value(theirs)
    assert data == pytest.approx(told["loglik"], rel=1e-8)
    assert penalty == pytest.approx(told["penalty"], rel=1e-6)
    *_, first = islice(Svrg().iterates(objective, objective.near), 12 * 6 + 1)

    def apart(image):
        return np.sqrt(np.mean((image - theirs)[seen] ** 2, dtype=float)) / objective.typical

    def there(iterate):
        near = iterate.objective >= told["objective"] * (1 - 1e-7)
        return near and apart(iterate.params) < 0.005

    assert any(map(there, islice(Lbfgs().iterates(objective, first.params), 150)))


@pytest.mark.parametrize("prior", BUILT_IN)
def test_one_slice_has_a_prior_too(prior):
    bins = Bins.parallel(np.arange(8) * np.pi / 8, np.arange(-7, 8) * 4.0, slice_mm=4.0)
    counts = np.random.default_rng(0).poisson(20, bins.shape).astype(np.float32)
    ready = prepare(Scan(bins, counts), Settings(subsets=2))
    anatomy = np.random.default_rng(1).random((1, *ready.grid.shape), np.float32)
    images = () if prior == "tv" else (Path("anatomy.nii"),)
    penalised = Penalised(Penalty(prior, anatomy=images), anatomy=anatomy if images else None)
    run = list(islice(replace(ready, penalised=penalised).iterates(), 40))
    assert np.isfinite(run[-1].params).all()
    reached = [one.objective for one in run if hasattr(one, "objective")]
    assert reached[-1] > reached[0]
