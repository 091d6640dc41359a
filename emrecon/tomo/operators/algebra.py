"""What a linear operator is, and how two of them make one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from emrecon.errors import GeometryError
from emrecon.volume import Array


class Operator(Protocol):
    """A linear map ``A`` from an image domain to a data range."""

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
    """The product ``outer @ inner``: first `inner`, then `outer`."""

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
class Dense:
    """A small operator held as a matrix, for tests and teaching."""

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
        return self.matrix @ image

    def adjoint(self, data: Array) -> Array:
        """Return the transposed matrix times `data`."""
        return self.matrix.T @ data
