"""Emission counts: Poisson about ``n a (A x) + b``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import GeometryError
from emrecon.tomo.kernels import poisson
from emrecon.tomo.operators.algebra import Operator
from emrecon.volume import Array

NONE = np.empty((0, 0), np.float32)
NONE_TIMED = np.empty((0, 0, 0), np.float32)


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
    """Measured prompts :math:`y` of all views, views first; with time of flight, second."""

    factors: Array | None = None
    """Normalisation times attenuation :math:`f`, views first; None for 1."""

    background: Array | None = None
    """Mean scatter and randoms :math:`b` in counts, shape of `counts`, or views first and spread
    evenly over the time-of-flight bins; None for 0."""

    views: NDArray[np.intp] | None = None
    """Which views are of this subset; None for all."""

    sensitivity: Callable[[], Array] | None = None
    """Gives :math:`A^T f`, image-shaped; None to compute it now and keep it."""

    summed: Operator | None = None
    """With time of flight, :math:`A` summed over its bins: gives the sensitivity."""

    def __post_init__(self) -> None:
        tof = self.summed is not None
        whole = self.counts.shape[1:] if tof else self.counts.shape
        chosen = whole[0] if self.views is None else len(self.views)
        tofs = self.counts.shape[:1] if tof else ()
        if (*tofs, chosen, *whole[1:]) != self.system.range:
            raise GeometryError(
                f"the subset has {chosen} views of {self.counts.shape[1:]} counts, but its "
                f"projector gives {self.system.range}"
            )
        flat = self.counts.shape[1:] if tof else self.counts.shape
        shapes = {"factors": (flat,), "background": (flat, self.counts.shape)}
        for name, fitting in shapes.items():
            part = getattr(self, name)
            if part is not None and part.shape not in fitting:
                raise GeometryError(f"{part.shape} does not fit counts of {self.counts.shape}")
        if self.sensitivity is None:
            seen = self.sensitivity_now()
            object.__setattr__(self, "sensitivity", lambda: seen)

    def sensitivity_now(self) -> Array:
        """Compute how well each voxel is seen, :math:`A^T f`."""
        system = self.system if self.summed is None else self.summed
        if self.factors is None:
            return system.adjoint(np.ones(system.range, np.float32))
        chosen = self.factors if self.views is None else self.factors[self.views]
        return system.adjoint(chosen.reshape(system.range))

    def expect(self, params: Array) -> tuple[Array, float]:
        """Return :math:`f y / (f A x + b)` in each bin, and the log-likelihood of the image."""
        projection = self.system.forward(params)
        timed = self.summed is not None
        behind = self.background
        rows = poisson.compare(
            _timed(self.counts, timed=timed),
            NONE if self.factors is None else _rows(self.factors),
            NONE_TIMED
            if behind is None
            else _timed(behind, timed=timed and behind.ndim == self.counts.ndim),
            np.arange(projection.shape[1 if timed else 0]) if self.views is None else self.views,
            _timed(projection, timed=timed),
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


def _timed(data: Array, *, timed: bool) -> Array:
    """Return a contiguous array as one row a view, of each time-of-flight bin if it has some."""
    first, views = (len(data), data.shape[1]) if timed else (1, len(data))
    return data.reshape(first, views, -1)


def _rows(data: Array) -> Array:
    """Return a contiguous array as one row a view."""
    return data.reshape(len(data), -1)
