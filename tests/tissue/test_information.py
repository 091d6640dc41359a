"""Standard errors: exact ones against derivatives, honest ones against resampled blocks."""

from __future__ import annotations

import numpy as np
import pytest

from emrecon.errors import DataError
from emrecon.tissue.information import Free, information, sandwich, scores
from emrecon.tissue.mixture import Layout, Mixture
from emrecon.tissue.starts import fit, from_means


def hessian(value, at: np.ndarray, step: float = 1e-4) -> np.ndarray:
    n = len(at)
    found, e = np.zeros((n, n)), np.eye(n) * step
    for a in range(n):
        for b in range(a + 1):
            ends = [value(at + s * e[a] + t * e[b]) * s * t for s in (1, -1) for t in (1, -1)]
            found[a, b] = found[b, a] = sum(ends) / (4 * step**2)
    return found


@pytest.mark.parametrize("covariance", ["full", "tied"])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("layout", [Layout.of(2), Layout.of(2, mixed=2)])
def test_louis_is_the_numeric_hessian(covariance: str, channels: int, layout: Layout) -> None:
    rng = np.random.default_rng(0)
    share = np.concatenate([np.zeros(400), np.ones(400), rng.choice([1 / 3, 2 / 3], 300)])
    x = np.outer(share, [5.0, 3.0])[:, :channels] + rng.normal(0, 1, (1100, channels))
    model = Mixture(x, layout, covariance)
    means = np.array([[0.0, 0.0], [5.0, 3.0]])[:, :channels]
    last, _ = fit(model, from_means(means, layout, np.ones(channels)), iterations=400)
    free = Free(last.params, layout, covariance)
    at = free.pack(last.params)
    numeric = -hessian(lambda v: model.expect(free.unpack(v))[1], at)
    louis = information(model, last.params)
    size = np.sqrt(np.outer(np.diag(louis), np.diag(louis)))
    np.testing.assert_allclose(louis / size, numeric / size, atol=2e-5)
    errors, expected = (np.sqrt(np.diag(np.linalg.inv(m))) for m in (louis, numeric))
    np.testing.assert_allclose(errors, expected, rtol=2e-3)


def test_scores_are_gradients() -> None:
    rng = np.random.default_rng(1)
    layout = Layout.of(2, mixed=1, outliers=True)
    x = np.concatenate([rng.normal(0, 1, 50), rng.normal(5, 1, 50)])
    model = Mixture(x, layout, "full")
    classes = from_means(np.array([[0.3], [4.5]]), layout, np.array([1.2]))
    free = Free(classes, layout, "full")
    at, step = free.pack(classes), 1e-5
    for p in range(free.size):
        e = np.eye(free.size)[p] * step
        slope = model.expect(free.unpack(at + e))[1] - model.expect(free.unpack(at - e))[1]
        assert scores(model, classes)[:, p].sum() == pytest.approx(slope / (2 * step), rel=1e-5)


def test_honest_errors_are_those_of_resampled_blocks() -> None:
    rng = np.random.default_rng(2)
    blocks = np.repeat(np.arange(60), 50)
    shift = rng.normal(0, 0.6, 60)[blocks]  # what a block's voxels have in common
    x = np.where(rng.random(blocks.size) < 0.5, 0.0, 6.0) + shift + rng.normal(0, 1, blocks.size)
    start = from_means(np.array([[0.0], [6.0]]), Layout.of(2), np.ones(1))
    model = Mixture(x, covariance="tied")
    last, _ = fit(model, start)
    spread = sandwich(information(model, last.params), scores(model, last.params), blocks)
    honest = np.sqrt(np.diag(spread))[1:3]
    plain = np.sqrt(np.diag(np.linalg.inv(information(model, last.params))))[1:3]
    found = []
    for _ in range(60):
        counts = np.bincount(rng.integers(0, 60, 60), minlength=60)[blocks].astype(float)
        used = counts > 0
        again, _ = fit(Mixture(x[used], covariance="tied", counts=counts[used]), last.params)
        found.append(again.params.means[:, 0])
    resampled = np.std(found, axis=0)
    np.testing.assert_allclose(honest, resampled, rtol=0.35)  # 60 draws: 9 % standard error
    assert (honest > 1.8 * plain).all()


def test_missing_channels_are_refused() -> None:
    x = np.array([[0.0, 1.0], [2.0, np.nan], [3.0, 1.0], [4.0, 2.0]])
    model = Mixture(x)
    classes = from_means(np.array([[0.0, 1.0], [3.0, 2.0]]), Layout.of(2), np.ones(2))
    with pytest.raises(DataError, match="all channels"):
        information(model, classes)
