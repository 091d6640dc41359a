"""Every operator is held to the same properties; add a maker to get them all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import lsqr

from emrecon.errors import GeometryError
from emrecon.testing import check_operator
from emrecon.tomo.operators.algebra import (
    Chain,
    Dense,
    Operator,
    Scale,
    Stack,
    Sum,
    as_linear_operator,
)
from tests.tomo.makers import MAKERS, dense, ring

Make = Callable[[int], Operator]


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_it_is_an_operator(make: Make, seed: int) -> None:
    check_operator(make(seed), np.random.default_rng(seed))


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_nothing_negative_comes_of_nothing_negative(make: Make) -> None:
    op = make(0)
    assert op.forward(np.ones(op.domain, np.float32)).min() >= 0
    assert op.adjoint(np.ones(op.range, np.float32)).min() >= 0
    assert op.forward(np.ones(op.domain, np.float32)).max() > 0


class Transposed(Dense):
    """An operator whose adjoint is not its own."""

    def adjoint(self, data):
        return super().adjoint(data[::-1].copy())


class Same(Dense):
    """An operator that gives the same array again."""

    def forward(self, image):
        self.matrix[:, 0] = super().forward(image)
        return self.matrix[:, 0]


class Affine(Dense):
    """A map that is not linear."""

    def forward(self, image):
        return super().forward(image) + 1


@pytest.mark.parametrize(
    ("wrong", "words"),
    [(Transposed, "<A x, y>"), (Same, "new array"), (Affine, "forward is not linear")],
)
def test_what_is_no_operator_is_told(wrong: type[Dense], words: str) -> None:
    matrix = np.random.default_rng(0).random((5, 4), np.float32)
    with pytest.raises(AssertionError, match=words):
        check_operator(wrong(matrix), np.random.default_rng(1))


def test_scipy_solves_with_an_operator() -> None:
    op = Dense(np.random.default_rng(0).random((7, 5), np.float32))
    data = op.forward(np.arange(5, dtype=np.float32))
    found = lsqr(as_linear_operator(op), data, atol=1e-10, btol=1e-10)[0]
    np.testing.assert_allclose(found, np.arange(5), atol=1e-3)


@pytest.mark.parametrize("kind", [Stack, Sum])
def test_unlike_operators_are_neither_stacked_nor_summed(kind) -> None:
    one, other = Dense(np.ones((3, 4), np.float32)), Dense(np.ones((3, 5), np.float32))
    for operators in ([one, other], []):
        with pytest.raises(GeometryError, match=f"cannot {kind.__name__.lower()}"):
            kind(operators)
    with pytest.raises(GeometryError, match="do not scale"):
        Scale(one, np.ones(4, np.float32))


def test_chain_refuses_what_does_not_fit() -> None:
    with pytest.raises(GeometryError, match="cannot chain"):
        Chain(Dense(np.ones((3, 4), np.float32)), dense(0))


def test_projector_refuses_other_shapes() -> None:
    op = ring(0)
    with pytest.raises(GeometryError, match="image of shape"):
        op.forward(np.ones((2, 2, 2), np.float32))
    with pytest.raises(GeometryError, match="data of shape"):
        op.adjoint(np.ones((2, 2, 2), np.float32))
