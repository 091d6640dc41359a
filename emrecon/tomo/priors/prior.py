"""What a prior offers, whatever it penalises."""

from __future__ import annotations

from typing import Protocol

from emrecon.volume import Array


class Prior(Protocol):
    """A penalty ``R(x)`` of images of 0 or more, times its strength; taken off a log-likelihood.

    `emrecon.testing.check_prior` holds an implementation to this.

    Examples
    --------
    >>> import numpy as np
    >>> class Ridge:
    ...     def value(self, image):
    ...         return float(np.sum(image**2)) / 2
    ...     def gradient(self, image):
    ...         return image
    ...     def curvature(self, image, along):
    ...         return along
    ...     def diagonal(self, image):
    ...         return np.ones_like(image)
    ...     majorant = diagonal
    >>> prior: Prior = Ridge()
    >>> prior.value(np.ones((2, 2, 2)))
    4.0
    """

    def value(self, image: Array) -> float:
        """Return the penalty."""
        ...

    def gradient(self, image: Array) -> Array:
        """Return its derivative in each voxel."""
        ...

    def curvature(self, image: Array, along: Array) -> Array:
        """Return the Hessian at `image` times `along`."""
        ...

    def diagonal(self, image: Array) -> Array:
        """Return the diagonal of the Hessian."""
        ...

    def majorant(self, image: Array) -> Array:
        """Return curvatures `c` of a separable parabola that the penalty never exceeds.

        ``R(x) <= R(image) + gradient (x - image) + sum c (x - image)^2 / 2`` for every `x` that is
        nowhere below half of `image`.
        """
        ...
