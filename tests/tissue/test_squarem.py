"""Acceleration: faster, never downhill, for any model of the loop."""

from __future__ import annotations

from itertools import pairwise, repeat

import numpy as np

from emrecon.em import em, until
from emrecon.squarem import Squarem
from emrecon.stop import after
from emrecon.tissue.mixture import Layout, Mixture
from emrecon.tissue.starts import flatten, from_means, restore
from emrecon.tomo.algorithms.mlem import Mlem, squarem
from emrecon.tomo.emission import Emission
from emrecon.tomo.operators.algebra import Dense


def slow_mixture() -> tuple[Mixture, Layout]:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(m, 1, 500) for m in (0, 3, 6)])
    return Mixture(x, covariance="full"), Layout.of(3)


def test_mixture_gets_further_with_the_same_work() -> None:
    model, layout = slow_mixture()
    start = from_means(np.array([[-1.0], [2.0], [6.0]]), layout, np.array([1.0]))
    plain = list(until(em(repeat(model), start), after(90)))
    fast = list(until(em(repeat(Squarem(model, flatten, restore)), start), after(30)))
    assert all(b.log_likelihood >= a.log_likelihood - 1e-7 for a, b in pairwise(fast))
    *_, best = until(em(repeat(model), start), after(1500))
    lag = best.log_likelihood - plain[-1].log_likelihood
    assert best.log_likelihood - fast[-1].log_likelihood < lag / 2
    assert lag > 0.02  # otherwise there is nothing to be gained here


def test_reconstruction_gets_further_with_the_same_work() -> None:
    rng = np.random.default_rng(1)
    image = rng.uniform(0, 5, 30).astype(np.float32)
    system = Dense(rng.random((60, 30), np.float32))
    likelihood = Emission(system, rng.poisson(system.forward(image)).astype(np.float32))
    start = np.ones(30, np.float32)
    plain = list(until(em(repeat(Mlem(likelihood)), start), after(60)))
    fast = list(until(em(repeat(squarem(likelihood)), start), after(20)))
    slack = 1e-6 * abs(fast[-1].log_likelihood)  # float32 projections
    assert all(b.log_likelihood >= a.log_likelihood - slack for a, b in pairwise(fast))
    assert fast[-1].log_likelihood > plain[-1].log_likelihood
    assert fast[-1].params.min() >= 0
