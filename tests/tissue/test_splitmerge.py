"""Split and merge: out of an optimum in which plain EM is stuck, and never to a worse one."""

from __future__ import annotations

import numpy as np

from emrecon.tissue.mixture import Classes, Layout, Mixture
from emrecon.tissue.splitmerge import split_and_merge
from emrecon.tissue.starts import search

LEVELS = np.array([0.0, 4.0, 8.0, 12.0, 16.0, 20.0])


def stuck(mixed: int = 0) -> tuple[Mixture, Classes]:
    """Six classes, and a start with two Gaussians on the first and one for the last two."""
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(m, 0.6, 300) for m in LEVELS])[:, None]
    layout = Layout.of(6, mixed=mixed)
    weights = np.where(np.arange(len(layout.mixing)) < 6, 1.0, 0.02)
    start = Classes(weights / weights.sum(), np.array([-0.5, 0.5, 4, 8, 12, 18]), np.full(6, 1.0))
    return Mixture(values, layout, "full"), start


def test_it_leaves_an_optimum_that_holds_plain_em() -> None:
    model, start = stuck()
    plain = search(model, {"bad": start})
    assert np.abs(plain[0].classes.means[:, 0] - LEVELS).max() > 1  # plain EM is stuck
    freed = split_and_merge(model, plain, np.random.default_rng(0))
    assert freed[0].start == "split and merge"
    assert freed[0].posterior > plain[0].posterior + 0.05
    np.testing.assert_allclose(freed[0].classes.means[:, 0], LEVELS, atol=0.1)
    assert freed[1:] == plain


def test_a_good_optimum_stays() -> None:
    model, start = stuck()
    good = Classes(start.weights, LEVELS, start.covariances[:, 0, 0])
    found = search(model, {"good": good})
    kept = split_and_merge(model, found, np.random.default_rng(0))
    assert kept[0].posterior >= found[0].posterior
    np.testing.assert_allclose(kept[0].classes.means[:, 0], LEVELS, atol=0.1)


def test_several_channels() -> None:
    rng = np.random.default_rng(1)
    centres = np.array([[0, 0], [3, 5], [6, 0], [9, 5], [12, 0.0]])
    values = np.concatenate([rng.normal(c, 0.5, (200, 2)) for c in centres])
    bad = np.array([[-0.3, 0], [0.3, 0], [3, 5], [6, 0], [10.5, 2.5]])
    start = Classes(np.full(5, 0.2), bad, np.repeat(np.eye(2)[None], 5, axis=0))
    model = Mixture(values, Layout.of(5))
    plain = search(model, {"bad": start})
    freed = split_and_merge(model, plain, rng)[0]
    assert freed.posterior > plain[0].posterior
    np.testing.assert_allclose(freed.classes.means, centres, atol=0.15)


def test_few_classes_are_left_to_the_starts() -> None:
    model = Mixture(np.random.default_rng(0).normal(size=(500, 1)), Layout.of(3))
    found = search(model, {"one": Classes(np.full(3, 1 / 3), np.array([-1.0, 0, 1]), np.ones(3))})
    assert split_and_merge(model, found, np.random.default_rng(0)) is found
