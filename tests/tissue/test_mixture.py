"""Mixtures against scikit-learn, brute force and their own likelihood."""

from __future__ import annotations

from itertools import pairwise, repeat

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture

from emrecon.em import em, until
from emrecon.errors import DataError, SettingsError
from emrecon.stop import after
from emrecon.tissue.mixture import Classes, Layout, Mixture, Prior
from emrecon.tissue.starts import fit, flatten, from_means, restore

COVARIANCES = ("full", "tied", "diag", "spherical")
MEANS = np.array([[0.0, 0.0], [4.0, 1.0], [7.0, 5.0]])


def cloud(seed: int = 1, count: int = 600) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shapes = (np.eye(2), [[1, 0.6], [0.6, 1]], [[2, -0.3], [-0.3, 0.5]])
    parts = [rng.multivariate_normal(m, s, count) for m, s in zip(MEANS, shapes, strict=True)]
    return np.concatenate(parts)


def ones(k: int = 3, c: int = 2) -> np.ndarray:
    return np.repeat(np.eye(c)[None], k, axis=0)


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_agrees_with_scikit_learn(covariance: str) -> None:
    x = cloud()
    precisions = {
        "full": ones(), "tied": np.eye(2), "diag": np.ones((3, 2)), "spherical": np.ones(3)
    }[covariance]  # fmt: skip
    theirs = GaussianMixture(
        3, covariance_type=covariance, max_iter=20, tol=0, weights_init=np.full(3, 1 / 3),
        means_init=MEANS, precisions_init=precisions,
    )  # fmt: skip
    with pytest.warns(UserWarning, match="did not converge"):
        theirs.fit(x)
    start = Classes(np.full(3, 1 / 3), MEANS, ones())
    *_, ours = until(em(repeat(Mixture(x, covariance=covariance)), start), after(20))
    np.testing.assert_allclose(ours.params.means, theirs.means_, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ours.params.weights, theirs.weights_, rtol=1e-9)
    expected = theirs.covariances_
    if covariance == "diag":
        expected = np.array([np.diag(v) for v in expected])
    elif covariance == "spherical":
        expected = expected[:, None, None] * np.eye(2)
    elif covariance == "tied":
        expected = np.repeat(expected[None], 3, axis=0)
    np.testing.assert_allclose(ours.params.covariances, expected, rtol=1e-8, atol=1e-9)
    assert ours.log_likelihood / len(x) == pytest.approx(theirs.score(x), rel=1e-10)


def test_hard_classes_are_k_means() -> None:
    x = cloud()
    theirs = KMeans(3, init=MEANS, n_init=1, max_iter=100, tol=0).fit(x)
    start = Classes(np.full(3, 1 / 3), MEANS, ones())
    run = list(until(em(repeat(Mixture(x, hard=True)), start), after(60)))
    np.testing.assert_allclose(run[-1].params.means, theirs.cluster_centers_, rtol=1e-9)
    assert run[-1].log_likelihood == pytest.approx(-0.5 * theirs.inertia_, rel=1e-10)


def brute_force(x: np.ndarray, steps: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """EM with missing values, voxel by voxel, straight from the formulas."""
    means, covariances, weights = [*MEANS], [*ones()], [1 / 3] * 3
    for _ in range(steps):
        mass, first, second = np.zeros(3), np.zeros((3, 2)), np.zeros((3, 2, 2))
        for row in x:
            o = np.flatnonzero(~np.isnan(row))
            m = np.flatnonzero(np.isnan(row))
            like = [
                w * multivariate_normal.pdf(row[o], mu[o], s[np.ix_(o, o)])
                for w, mu, s in zip(weights, means, covariances, strict=True)
            ]
            for k in range(3):
                r = like[k] / sum(like)
                mu, s = means[k], covariances[k]
                filled, doubt = np.where(np.isnan(row), mu, row), np.zeros((2, 2))
                if m.size:
                    gain = s[np.ix_(m, o)] @ np.linalg.inv(s[np.ix_(o, o)])
                    filled[m] = mu[m] + gain @ (row[o] - mu[o])
                    doubt[np.ix_(m, m)] = s[np.ix_(m, m)] - gain @ s[np.ix_(o, m)]
                mass[k] += r
                first[k] += r * filled
                second[k] += r * (np.outer(filled, filled) + doubt)
        means = [first[k] / mass[k] for k in range(3)]
        covariances = [
            second[k] / mass[k] - np.outer(means[k], means[k]) + 1e-6 * np.eye(2) for k in range(3)
        ]
        weights = list(mass / mass.sum())
    return means, covariances


def test_missing_channels_agree_with_brute_force() -> None:
    rng = np.random.default_rng(4)
    x = cloud(2, 25)
    x[rng.random(x.shape) < 0.25] = np.nan
    x = x[~np.isnan(x).all(axis=1)]
    means, covariances = brute_force(x, 4)
    start = Classes(np.full(3, 1 / 3), MEANS, ones())
    *_, ours = until(em(repeat(Mixture(x)), start), after(4))
    np.testing.assert_allclose(ours.params.means, means, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ours.params.covariances, covariances, rtol=1e-8, atol=1e-9)


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    covariance=st.sampled_from(COVARIANCES),
    layout=st.sampled_from(
        [Layout.of(3), Layout.of(3, mixed=3), Layout.of(3, outliers=True), Layout.of(3, 2)]
    ),
    common=st.sampled_from([0.0, 40.0, 1e4]),
    missing=st.booleans(),
)
def test_likelihood_never_falls(
    seed: int, covariance: str, layout: Layout, common: float, *, missing: bool
) -> None:
    rng = np.random.default_rng(seed)
    x = cloud(seed, 60)
    if missing:
        x[rng.random(x.shape) < 0.2] = np.nan
        x = x[~np.isnan(x).all(axis=1)]
    means = np.repeat(MEANS, layout.gaussians // 3, axis=0)
    start = from_means(means + rng.normal(0, 0.5, means.shape), layout, np.ones(2))
    prior = Prior(2.0, 5.0, np.eye(2), common)
    run = list(until(em(repeat(Mixture(x, layout, covariance, prior=prior)), start), after(40)))
    # the floor added to variances may cost about least_variance a voxel
    slack = 1e-5 * len(x)
    assert all(b.log_likelihood >= a.log_likelihood - slack for a, b in pairwise(run))
    assert run[-1].log_likelihood > run[0].log_likelihood


def test_a_common_covariance_holds_the_classes_own_together() -> None:
    """With no voxels it is each class's own, with very many one for all; between, in between."""
    rng = np.random.default_rng(8)
    x = np.concatenate([rng.normal(0, 1, 3000), rng.normal(9, 3, 3000)])
    start = Classes(np.full(2, 0.5), np.array([0.0, 9.0]), np.array([2.0, 2.0]))
    spreads = [
        np.sqrt(fit(Mixture(x, prior=Prior(common=n)), start)[0].params.variances[:, 0])
        for n in (0.0, 1500.0, 1e8)
    ]
    np.testing.assert_allclose(spreads[0], [1, 3], rtol=0.05)
    assert spreads[0][0] < spreads[1][0] < spreads[1][1] < spreads[0][1]
    assert spreads[2][0] == pytest.approx(spreads[2][1], rel=1e-3)


def test_histogram_agrees_with_its_voxels_to_the_bin_width() -> None:
    rng = np.random.default_rng(5)
    x = np.concatenate([rng.normal(m, 0.5, 4000) for m in (0, 3, 6)])
    counts, edges = np.histogram(x, 400)
    width = edges[1] - edges[0]
    layout = Layout.of(3, mixed=3)
    start = from_means(np.array([[0.0], [3.0], [6.0]]), layout, np.array([0.3]))
    voxels, _ = fit(Mixture(x, layout, "tied"), start)
    middle = (edges[1:] + edges[:-1]) / 2
    binned, _ = fit(Mixture(middle, layout, "tied", counts.astype(float)), start)
    np.testing.assert_allclose(binned.params.means, voxels.params.means, atol=width / 4)
    gained = binned.params.variances - voxels.params.variances
    np.testing.assert_allclose(gained, width**2 / 12, atol=width**2 / 6)


def test_partial_volume_finds_the_pure_means() -> None:
    rng = np.random.default_rng(6)
    share = np.concatenate([np.zeros(4000), np.ones(4000), rng.random(4000)])
    x = 100 * (1 - share) + 200 * share + rng.normal(0, 8, share.size)
    layout = Layout.of(2, mixed=5)
    start = from_means(np.array([[90.0], [220.0]]), layout, np.array([100.0]))
    last, _ = fit(Mixture(x, layout, "tied"), start, iterations=300)
    np.testing.assert_allclose(last.params.means[:, 0], [100, 200], atol=1.5)
    # of the mixed third, what lies within 1/12 of a pure class counts as that class
    assert layout.gather(last.params.weights)[2] == pytest.approx(1 / 3 * 5 / 6, abs=0.03)
    plain, _ = fit(Mixture(x, covariance="tied"), start=Classes(
        np.full(2, 0.5), np.array([90.0, 220.0]), np.array([100.0, 100.0])))  # fmt: skip
    assert plain.params.means[0, 0] > 102  # without partial volume the means move together
    found = Mixture(x, layout, "tied").fractions(last.params)[:, 1]
    assert np.sqrt(np.mean((found - share) ** 2)) < 0.1


def test_uniform_component_takes_the_outliers() -> None:
    rng = np.random.default_rng(7)
    good = np.concatenate([rng.normal(0, 1, 2000), rng.normal(8, 1, 2000)])
    x = np.concatenate([good, rng.uniform(20, 60, 60)])
    layout = Layout.of(2, outliers=True)
    start = from_means(np.array([[1.0], [7.0]]), layout, np.array([2.0]))
    with_outliers, _ = fit(Mixture(x, layout), start)
    assert with_outliers.params.variances[1, 0] == pytest.approx(1, rel=0.15)
    start = from_means(np.array([[1.0], [7.0]]), Layout.of(2), np.array([2.0]))
    without, _ = fit(Mixture(x), start)
    assert without.params.variances[1, 0] > 2


def test_flat_numbers_stand_for_the_same_mixture() -> None:
    start = Classes(np.array([0.2, 0.5, 0.3]), MEANS, ones() * [[2, 0.3], [0.3, 1]])
    again = restore(flatten(start), start)
    np.testing.assert_allclose(again.weights, start.weights)
    np.testing.assert_allclose(again.means, start.means)
    np.testing.assert_allclose(again.covariances, start.covariances)


def test_bad_mixtures_are_refused() -> None:
    with pytest.raises(DataError, match="one voxel or more"):
        Mixture(np.empty(0))
    with pytest.raises(DataError, match="all finite or NaN"):
        Mixture(np.array([1.0, np.inf]))
    with pytest.raises(DataError, match="without any channel"):
        Mixture(np.array([[1.0, 2.0], [np.nan, np.nan]]))
    with pytest.raises(SettingsError, match="neither NaN nor partial volume"):
        Mixture(np.array([[1.0, 2.0], [np.nan, 3.0]]), hard=True)
    with pytest.raises(SettingsError, match="1 or more classes"):
        Layout.of(0)
    with pytest.raises(SettingsError, match="one Gaussian each"):
        Layout.of(3, 2, 3)
