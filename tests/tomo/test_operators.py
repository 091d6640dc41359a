"""Every operator is held to the same properties; add a maker to get them all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emrecon.errors import GeometryError
from emrecon.tomo.operators.algebra import Chain, Dense, Operator
from tests.tomo.makers import MAKERS, dense, ring

Make = Callable[[int], Operator]


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_adjoint(make: Make, seed: int) -> None:
    op = make(seed)
    rng = np.random.default_rng(seed)
    image, data = rng.random(op.domain, np.float32), rng.random(op.range, np.float32)
    there = np.vdot(op.forward(image).astype(float), data.astype(float))
    back = np.vdot(image.astype(float), op.adjoint(data).astype(float))
    assert there == pytest.approx(back, rel=1e-5)
    assert op.forward(image).shape == op.range
    assert op.adjoint(data).shape == op.domain
    assert op.forward(image).dtype == op.adjoint(data).dtype == np.float32


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_nothing_negative_comes_of_nothing_negative(make: Make) -> None:
    op = make(0)
    assert op.forward(np.ones(op.domain, np.float32)).min() >= 0
    assert op.adjoint(np.ones(op.range, np.float32)).min() >= 0
    assert op.forward(np.ones(op.domain, np.float32)).max() > 0


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_linear(make: Make) -> None:
    op = make(1)
    rng = np.random.default_rng(2)
    a, b = rng.random((2, *op.domain), np.float32)
    mixed = op.forward(2 * a + 3 * b)
    np.testing.assert_allclose(mixed, 2 * op.forward(a) + 3 * op.forward(b), rtol=1e-4, atol=1e-3)


def test_chain_refuses_what_does_not_fit() -> None:
    with pytest.raises(GeometryError, match="cannot chain"):
        Chain(Dense(np.ones((3, 4), np.float32)), dense(0))


def test_projector_refuses_other_shapes() -> None:
    op = ring(0)
    with pytest.raises(GeometryError, match="image of shape"):
        op.forward(np.ones((2, 2, 2), np.float32))
    with pytest.raises(GeometryError, match="data of shape"):
        op.adjoint(np.ones((2, 2, 2), np.float32))
