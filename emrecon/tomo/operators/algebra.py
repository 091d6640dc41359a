"""What a linear operator is, and how several make one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import pairwise
from operator import add
from typing import TYPE_CHECKING, Protocol

import numpy as np

from emrecon.errors import GeometryError
from emrecon.volume import Array

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator


class Operator(Protocol):
    """A linear map ``A`` from an image domain to a data range.

    Examples
    --------
    >>> import numpy as np
    >>> import emrecon as em
    >>> from emrecon.tomo.geometry.bins import Bins
    >>> bins = Bins.parallel(np.arange(12) * np.pi / 12, np.arange(-8.0, 9.0))
    >>> A = em.projector(bins, bins.grid(), em.Settings())
    >>> A.domain, A.range
    ((17, 17, 1), (12, 17, 1))
    >>> rng = np.random.default_rng(0)
    >>> x, y = (rng.random(shape, np.float32) for shape in (A.domain, A.range))
    >>> bool(np.isclose(np.vdot(A.forward(x), y), np.vdot(x, A.adjoint(y))))
    True
    """

    @property
    def domain(self) -> tuple[int, ...]:
        """Shape of what the operator takes."""
        ...

    @property
    def range(self) -> tuple[int, ...]:
        """Shape of what the operator gives."""
        ...

    def forward(self, image: Array) -> Array:
        """Return ``A image``, a new array."""
        ...

    def adjoint(self, data: Array) -> Array:
        """Return ``A^T data``, a new array."""
        ...


@dataclass(frozen=True)
class Chain:
    """The product ``outer @ inner``: first `inner`, then `outer`.

    Examples
    --------
    >>> import numpy as np
    >>> from emrecon.tomo.operators.algebra import Dense
    >>> blur, sums = Dense(np.full((4, 4), 0.25)), Dense(np.ones((1, 4)))
    >>> Chain(sums, blur).forward(np.ones(4))
    array([4.])
    """

    outer: Operator
    inner: Operator

    def __post_init__(self) -> None:
        if self.outer.domain != self.inner.range:
            raise GeometryError(
                f"cannot chain: inner gives {self.inner.range}, outer takes {self.outer.domain}"
            )

    @property
    def domain(self) -> tuple[int, ...]:
        """Shape of the image that goes in."""
        return self.inner.domain

    @property
    def range(self) -> tuple[int, ...]:
        """Shape of the data that come out."""
        return self.outer.range

    def forward(self, image: Array) -> Array:
        """Return ``outer inner image``."""
        return self.outer.forward(self.inner.forward(image))

    def adjoint(self, data: Array) -> Array:
        """Return ``inner^T outer^T data``."""
        return self.inner.adjoint(self.outer.adjoint(data))


@dataclass(frozen=True)
class Stack:
    """Several operators on one image, their data one after the other along the first axis.

    Examples
    --------
    >>> import numpy as np
    >>> from emrecon.tomo.operators.algebra import Dense
    >>> Stack([Dense(np.eye(3)), Dense(np.ones((1, 3)))]).forward(np.arange(3.0))
    array([0., 1., 2., 3.])
    """

    operators: Sequence[Operator]
    """At least one; data may differ in length along the first axis alone."""

    def __post_init__(self) -> None:
        _refuse_unlike("stack", [(op.domain, op.range[1:]) for op in self.operators])

    @property
    def domain(self) -> tuple[int, ...]:
        """Shape of the image."""
        return self.operators[0].domain

    @property
    def range(self) -> tuple[int, ...]:
        """Shape of all data together."""
        return int(self._ends[-1]), *self.operators[0].range[1:]

    def forward(self, image: Array) -> Array:
        """Return the data of all operators."""
        return np.concatenate([op.forward(image) for op in self.operators])

    def adjoint(self, data: Array) -> Array:
        """Return the sum of the adjoints, each of its own data."""
        split = (data[begin:end] for begin, end in pairwise(self._ends))
        return reduce(add, (op.adjoint(d) for op, d in zip(self.operators, split, strict=True)))

    @cached_property
    def _ends(self) -> tuple[int, ...]:
        return (0, *np.cumsum([op.range[0] for op in self.operators]).tolist())


@dataclass(frozen=True)
class Sum:
    """The sum of several operators between one domain and one range."""

    operators: Sequence[Operator]
    """At least one."""

    def __post_init__(self) -> None:
        _refuse_unlike("sum", [(op.domain, op.range) for op in self.operators])

    @property
    def domain(self) -> tuple[int, ...]:
        """Shape of the image."""
        return self.operators[0].domain

    @property
    def range(self) -> tuple[int, ...]:
        """Shape of the data."""
        return self.operators[0].range

    def forward(self, image: Array) -> Array:
        """Return the sum of what the operators give."""
        return reduce(add, (op.forward(image) for op in self.operators))

    def adjoint(self, data: Array) -> Array:
        """Return the sum of the adjoints."""
        return reduce(add, (op.adjoint(data) for op in self.operators))


@dataclass(frozen=True)
class Scale:
    """An operator whose data are multiplied by factors: ``diag(factors) @ operator``.

    Examples
    --------
    >>> import numpy as np
    >>> from emrecon.tomo.operators.algebra import Dense
    >>> Scale(Dense(np.eye(3)), np.array([1.0, 0.5, 0.0])).forward(np.ones(3))
    array([1. , 0.5, 0. ])
    """

    operator: Operator

    factors: Array
    """Of the shape of the operator's range, or of its last axes."""

    def __post_init__(self) -> None:
        if self.operator.range[-self.factors.ndim :] != self.factors.shape:
            raise GeometryError(
                f"factors of shape {self.factors.shape} do not scale data of {self.operator.range}"
            )

    @property
    def domain(self) -> tuple[int, ...]:
        """Shape of the image."""
        return self.operator.domain

    @property
    def range(self) -> tuple[int, ...]:
        """Shape of the data."""
        return self.operator.range

    def forward(self, image: Array) -> Array:
        """Return the operator's data times the factors."""
        return self.operator.forward(image) * self.factors

    def adjoint(self, data: Array) -> Array:
        """Return the adjoint of the data times the factors."""
        return self.operator.adjoint(data * self.factors)


@dataclass(frozen=True)
class Repeat:
    """The same data several times, as for every time-of-flight bin, along a new first axis."""

    times: int

    shape: tuple[int, ...]
    """Of the data."""

    @property
    def domain(self) -> tuple[int, ...]:
        """Shape of the data."""
        return self.shape

    @property
    def range(self) -> tuple[int, ...]:
        """Shape of all of them."""
        return self.times, *self.shape

    def forward(self, image: Array) -> Array:
        """Return copies of the data."""
        return np.array(np.broadcast_to(image, self.range))

    def adjoint(self, data: Array) -> Array:
        """Return the sum of the copies."""
        return np.asarray(data.sum(axis=0))


def _refuse_unlike(what: str, shapes: list[tuple[tuple[int, ...], tuple[int, ...]]]) -> None:
    """Refuse operators whose shapes differ, or none at all."""
    if len(set(shapes)) != 1:
        raise GeometryError(f"cannot {what} operators of domains and ranges {shapes or 'of none'}")


def as_linear_operator(operator: Operator) -> LinearOperator:
    """Return an operator as SciPy's iterative solvers take it, on flat arrays of float32.

    Examples
    --------
    >>> import numpy as np
    >>> import emrecon as em
    >>> from emrecon.tomo.geometry.bins import Bins
    >>> bins = Bins.parallel(np.arange(12) * np.pi / 12, np.arange(-8.0, 9.0))
    >>> A = em.as_linear_operator(em.projector(bins, bins.grid(), em.Settings()))
    >>> A.shape
    (204, 289)
    """
    from scipy.sparse.linalg import LinearOperator  # noqa: PLC0415 - heavy, seldom needed

    shape = int(np.prod(operator.range)), int(np.prod(operator.domain))
    return LinearOperator(
        shape,
        matvec=lambda x: operator.forward(_shaped(x, operator.domain)).ravel(),
        rmatvec=lambda y: operator.adjoint(_shaped(y, operator.range)).ravel(),
        dtype=np.float32,
    )


def _shaped(flat: Array, shape: tuple[int, ...]) -> Array:
    return np.asarray(flat, np.float32).reshape(shape)


@dataclass(frozen=True)
class Dense:
    """A small operator held as a matrix, for tests and teaching.

    Its sums are numpy's own: OpenBLAS 0.3.31 on AVX-512 reads beside a matrix of 5 columns in
    single precision, and numpy then warns of an invalid value now and then.
    """

    matrix: Array

    @property
    def domain(self) -> tuple[int, ...]:
        """Shape of the image."""
        return (self.matrix.shape[1],)

    @property
    def range(self) -> tuple[int, ...]:
        """Shape of the data."""
        return (self.matrix.shape[0],)

    def forward(self, image: Array) -> Array:
        """Return the matrix times `image`."""
        return np.asarray(np.einsum("ij,j->i", self.matrix, image))

    def adjoint(self, data: Array) -> Array:
        """Return the transposed matrix times `data`."""
        return np.asarray(np.einsum("ij,i->j", self.matrix, data))
