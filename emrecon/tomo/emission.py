"""Emission counts: Poisson about ``n a (A x) + b``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from emrecon.errors import GeometryError
from emrecon.tomo.kernels import poisson
from emrecon.tomo.operator import Array, Operator

NONE = np.empty((0, 0), np.float32)


@dataclass(frozen=True, eq=False)
class Emission:
    r"""Counts :math:`y \sim \mathrm{Poisson}(f \, A x + b)`, with `x` the activity.

    Maximum-likelihood expectation-maximisation after Shepp and Vardi [1]_; over a subset of the
    views it is a step of ordered subsets [2]_.

    Notes
    -----
    A voxel that this subset does not see keeps its value. A bin of factor 0 takes no part in
    sensitivity, likelihood or update; nor does a bin of mean 0, whose line meets no voxel.

    References
    ----------
    .. [1] L. A. Shepp, Y. Vardi, "Maximum likelihood reconstruction for emission tomography",
       IEEE Trans. Med. Imaging 1, 113 (1982), eq. 2.13.
    .. [2] H. M. Hudson, R. S. Larkin, "Accelerated image reconstruction using ordered subsets of
       projection data", IEEE Trans. Med. Imaging 13, 601 (1994).
    """

    system: Operator
    """Line integrals :math:`A` of the views of this subset, in mm, resolution model included."""

    counts: Array
    """Measured prompts :math:`y` of all views, views first."""

    factors: Array | None = None
    """Normalisation times attenuation :math:`f`, shape of `counts`; None for 1."""

    background: Array | None = None
    """Mean scatter and randoms :math:`b` in counts, shape of `counts`; None for 0."""

    views: tuple[int, int] = (0, 1)
    """First view and distance between views of this subset."""

    sensitivity: Callable[[], Array] | None = None
    """Gives :math:`A^T f`, image-shaped; None to compute it now and keep it."""

    def __post_init__(self) -> None:
        chosen = self.counts[self.views[0] :: self.views[1]].shape
        if chosen != self.system.range:
            raise GeometryError(
                f"the subset has counts of shape {chosen}, but its projector gives "
                f"{self.system.range}"
            )
        for part in (self.factors, self.background):
            if part is not None and part.shape != self.counts.shape:
                raise GeometryError(f"{part.shape} does not fit counts of {self.counts.shape}")
        if self.sensitivity is None:
            seen = self.sensitivity_now()
            object.__setattr__(self, "sensitivity", lambda: seen)

    def sensitivity_now(self) -> Array:
        """Compute how well each voxel is seen, :math:`A^T f`."""
        if self.factors is None:
            return self.system.adjoint(np.ones(self.system.range, np.float32))
        return self.system.adjoint(
            np.ascontiguousarray(self.factors[self.views[0] :: self.views[1]])
        )

    def expect(self, params: Array) -> tuple[Array, float]:
        """Return :math:`f y / (f A x + b)` in each bin, and the log-likelihood of the image."""
        projection = self.system.forward(params)
        rows = poisson.compare(
            _rows(self.counts),
            NONE if self.factors is None else _rows(self.factors),
            NONE if self.background is None else _rows(self.background),
            *self.views,
            projection.reshape(len(projection), -1),
        )
        return projection, float(rows.sum())

    def emitted(self, params: Array, expected: Array) -> Array:
        """Return the counts each voxel gave, by the present image."""
        return params * self.system.adjoint(expected)

    def maximise(self, params: Array, expected: Array) -> Array:
        """Return the counts each voxel gave over its sensitivity."""
        assert self.sensitivity is not None  # noqa: S101 - set above; tells the type checker
        return renewed(params, self.emitted(params, expected), self.sensitivity())


def renewed(image: Array, emitted: Array, sensitivity: Array) -> Array:
    """Return `emitted` over `sensitivity`, and `image` where that is 0."""
    image = image.copy()
    np.divide(emitted, sensitivity, out=image, where=sensitivity > 0)
    return image


def _rows(data: Array) -> Array:
    """Return a contiguous array as one row a view."""
    return data.reshape(len(data), -1)
