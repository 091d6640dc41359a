"""The loop, seen from its two users, on small random systems."""

from __future__ import annotations

import threading
import weakref
from itertools import cycle, pairwise, repeat

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.mixture import GaussianMixture

from emrecon.em import Iterate, em, last, until, watch
from emrecon.stop import Flat, after, pressed, seconds
from emrecon.tissue.mixture import Classes, Mixture
from emrecon.tomo.algorithms.mlem import Mlem
from emrecon.tomo.emission import Emission
from emrecon.tomo.operators.algebra import Dense

VOXELS = 48


def strip() -> np.ndarray:
    x = np.ones(VOXELS, np.float32)
    x[VOXELS // 4 : VOXELS // 3] = 4.0
    x[VOXELS // 2 : 2 * VOXELS // 3] = 8.0
    return x


def emission(seed: int, bins: int = 96, *, bare: bool = False) -> Emission:
    """A random system with dead bins, random efficiencies and background (unless bare)."""
    rng = np.random.default_rng(seed)
    system = Dense(rng.random((bins, VOXELS), np.float32))
    factors = rng.uniform(0.2, 1, bins).astype(np.float32)
    factors[rng.random(bins) < 0.1] = 0
    background = rng.uniform(0, 5, bins).astype(np.float32)
    if bare:
        return Emission(system, rng.poisson(system.forward(strip())).astype(np.float32))
    mean = factors * system.forward(strip()) + background
    return Emission(system, rng.poisson(mean).astype(np.float32), factors, background)


def mlem(seed: int) -> Mlem:
    return Mlem(emission(seed))


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1))
def test_likelihood_never_falls(seed: int) -> None:
    model = emission(seed)
    run = list(until(em(repeat(Mlem(model)), np.ones(VOXELS, np.float32)), after(30)))
    # float32 projections of about 1e2 leave about 1e-7 of the size of the sum
    slack = 1e-6 * abs(run[-1].log_likelihood)
    assert all(b.log_likelihood >= a.log_likelihood - slack for a, b in pairwise(run))
    assert run[-1].log_likelihood > run[0].log_likelihood


def test_log_likelihood_is_that_of_poisson_without_constants() -> None:
    model = emission(3)
    x = np.linspace(0.5, 2, VOXELS, dtype=np.float32)
    mean = model.factors * (model.system.matrix @ x) + model.background
    live = model.factors > 0
    expected = np.sum((model.counts * np.log(mean) - mean)[live], dtype=np.float64)
    assert model.expect(x)[1] == pytest.approx(expected, rel=1e-6)


def test_update_is_the_formula() -> None:
    model = emission(4)
    x = np.linspace(0.5, 2, VOXELS, dtype=np.float32)
    a, n, b = (
        np.asarray(v, np.float64) for v in (model.system.matrix, model.factors, model.background)
    )
    y = np.where(n > 0, model.counts, 0).astype(np.float64)
    expected = x / (a.T @ n) * (a.T @ (n * y / (n * (a @ x) + b)))
    np.testing.assert_allclose(Mlem(model).maximise(x, model.expect(x)[0]), expected, rtol=2e-5)


def test_mlem_keeps_the_counts_without_background() -> None:
    model = emission(1, bare=True)
    *_, last = until(em(repeat(Mlem(model)), np.ones(VOXELS, np.float32)), after(5))
    explained = float((last.params * model.sensitivity).sum(dtype=np.float64))
    assert explained == pytest.approx(float(model.counts.sum(dtype=np.float64)), rel=1e-5)


def test_dead_bins_change_nothing() -> None:
    model = emission(9)
    dead = model.factors == 0
    assert dead.any()
    wild = model.counts.copy()
    wild[dead] = 1e6
    other = Emission(model.system, wild, model.factors, model.background)
    x0 = np.ones(VOXELS, np.float32)
    *_, a = until(em(repeat(Mlem(model)), x0), after(5))
    *_, b = until(em(repeat(Mlem(other)), x0), after(5))
    np.testing.assert_array_equal(a.params, b.params)
    assert a.log_likelihood == b.log_likelihood


def test_osem_is_the_same_loop() -> None:
    whole = emission(2)
    subsets = [
        Mlem(
            Emission(
                Dense(np.ascontiguousarray(whole.system.matrix[k::4])),
                whole.counts,
                whole.factors,
                whole.background,
                np.arange(k, len(whole.counts), 4),
            )
        )
        for k in range(4)
    ]
    x0 = np.ones(VOXELS, np.float32)
    *_, plain = until(em(repeat(Mlem(whole)), x0), after(4))
    *_, osem = until(em(cycle(subsets), x0), after(16))
    assert whole.expect(osem.params)[1] > whole.expect(plain.params)[1]


def test_gmm_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    voxels = np.concatenate([rng.normal(m, s, 4000) for m, s in ((0, 1), (4, 0.7), (9, 1.5))])
    start = Classes(np.full(3, 1 / 3), np.array([0.0, 5.0, 10.0]), np.ones(3))
    *_, ours = until(em(repeat(Mixture(voxels)), start), after(25))
    theirs = GaussianMixture(
        3,
        max_iter=25,
        tol=0,
        weights_init=start.weights,
        means_init=start.means,
        precisions_init=np.ones((3, 1, 1)),
        reg_covar=1e-6,
    )
    with pytest.warns(UserWarning, match="did not converge"):
        theirs.fit(voxels[:, None])
    np.testing.assert_allclose(ours.params.means, theirs.means_, rtol=1e-9)
    np.testing.assert_allclose(ours.params.covariances, theirs.covariances_, rtol=1e-9)
    assert ours.log_likelihood / len(voxels) == pytest.approx(theirs.score(voxels[:, None]))


def test_a_stopped_run_is_taken_up_where_it_stopped() -> None:
    model = emission(4)
    x0 = np.ones(VOXELS, np.float32)
    *_, whole = until(em(repeat(Mlem(model)), x0), after(10))
    *_, half = until(em(repeat(Mlem(model)), x0), after(5))
    *_, rest = until(em(repeat(Mlem(model)), half.params, start=half.number), after(10))
    assert rest.number == 10
    np.testing.assert_array_equal(rest.params, whole.params)


def test_watch_and_flat() -> None:
    seen: list[int] = []
    run = until(
        watch(em(repeat(mlem(5)), np.ones(VOXELS, np.float32)), lambda i: seen.append(i.number)),
        Flat(1e-6),
        after(500),
    )
    *_, last = run
    assert seen == list(range(last.number + 1))
    assert last.number < 500


def test_flat_compares_likelihoods_of_the_same_subset() -> None:
    rule = Flat(0.01, period=2)
    values = [-100.0, -10.0, -50.0, -9.0, -49.9, -8.99]
    stops = [rule(Iterate(n, None, value)) for n, value in enumerate(values)]
    assert stops == [False, False, False, False, True, True]


def test_rules_of_time_and_button() -> None:
    button = threading.Event()
    rule, clock = pressed(button), seconds(1e9)
    assert not rule(Iterate(0, None, 0.0))
    assert not clock(Iterate(0, None, 0.0))
    button.set()
    assert rule(Iterate(1, None, 0.0))
    assert seconds(0.0)(Iterate(0, None, 0.0))


def test_iterates_are_not_changed_after_they_were_yielded() -> None:
    kept = list(until(em(repeat(mlem(6)), np.ones(VOXELS, np.float32)), after(3)))
    again = list(until(em(repeat(mlem(6)), np.ones(VOXELS, np.float32)), after(3)))
    for a, b in zip(kept, again, strict=True):
        np.testing.assert_array_equal(a.params, b.params)
    assert not np.array_equal(kept[0].params, kept[1].params)


def test_last_keeps_no_iterate_but_one() -> None:
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0

    def count(iterate: Iterate[np.ndarray]) -> None:
        nonlocal most
        alive.append(weakref.ref(iterate.params))
        most = max(most, sum(ref() is not None for ref in alive))

    reached = last(
        until(watch(em(repeat(mlem(7)), np.ones(VOXELS, np.float32)), count), after(20))
    )
    assert reached.number == 20
    assert most <= 3  # the one being shown, the one kept, the one they came from
    with pytest.raises(ValueError, match="no iterate"):
        last([])


def test_flat_may_be_a_share_of_a_size_where_the_objective_passes_through_0() -> None:
    """Densities: gains of 2, 1, 0.5 ... about 0, which is never small beside the objective."""
    gains = [Iterate(number, None, 2.0 - 4.0 * 0.5**number) for number in range(40)]
    assert [one.number for one in until(gains, Flat(1e-2, size=100.0))][-1] == 3
    assert [one.number for one in until(gains, Flat(1e-3, size=100.0))][-1] == 6
