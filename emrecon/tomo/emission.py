"""Counts in bins: Poisson about ``f (A x) + b``."""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from emrecon.brief import brief
from emrecon.errors import GeometryError
from emrecon.tomo.draw import Draw
from emrecon.tomo.kernels import poisson
from emrecon.tomo.operators.algebra import Operator
from emrecon.tomo.sensitivity import InMemory, Keep
from emrecon.volume import Array

NONE = np.empty((0, 0), np.float32)
NONE_TIMED = np.empty((0, 0, 0), np.float32)


@dataclass(frozen=True, eq=False)
class Emission:
    r"""Counts :math:`y \sim \mathrm{Poisson}(f \, A x + b)`, with `x` the activity.

    A `Likelihood` of all views of a ring scanner or a gamma camera, or of a subset of them. A bin
    of factor 0 takes no part in sensitivity, likelihood or ratio; nor does a bin of mean 0, whose
    line meets no voxel.
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

    summed: Operator | None = None
    """With time of flight, :math:`A` summed over its bins: gives the sensitivity."""

    keep: InitVar[Keep | None] = None
    """Where the sensitivity is kept once it was computed; None for memory. What `replace` changes
    starts without: it may have another one."""

    _keep: Keep = field(init=False, repr=False)

    __repr__ = brief

    def __post_init__(self, keep: Keep | None) -> None:
        object.__setattr__(self, "_keep", keep or InMemory())
        flat = self.counts.shape[1:] if self._timed else self.counts.shape
        tofs = self.counts.shape[:1] if self._timed else ()
        chosen = flat[0] if self.views is None else len(self.views)
        if (*tofs, chosen, *flat[1:]) != self.system.range:
            raise GeometryError(
                f"the subset has {chosen} views of {self.counts.shape[1:]} counts, but its "
                f"projector gives {self.system.range}"
            )
        shapes = {"factors": (flat,), "background": (flat, self.counts.shape)}
        for name, fitting in shapes.items():
            data = getattr(self, name)
            if data is not None and data.shape not in fitting:
                raise GeometryError(
                    f"{name} of shape {data.shape} do not fit counts of {self.counts.shape}"
                )

    @property
    def sensitivity(self) -> Array:
        """How well each voxel is seen, :math:`A^T f`."""
        return self._keep(self._seen)

    @property
    def measured(self) -> Array:
        """The counts of this subset, in the shape of its projector's range."""
        return self._of_views(self.counts)

    def mean(self, image: Array) -> Array:
        """Return the mean counts by an image, shape of `measured`; background in dead bins."""
        mean = self.system.forward(image)
        if self.factors is not None:
            mean *= self._of_views(self.factors)
        if self.background is not None:
            shared = self._timed and self.background.ndim < mean.ndim
            mean += self._of_views(self.background) / np.float32(len(mean) if shared else 1)
        return mean

    def expect(self, image: Array) -> tuple[Array, float]:
        """Return :math:`f y / (f A x + b)` in each bin, and the log-likelihood of the image."""
        projection = self.system.forward(image)
        rows = poisson.compare(
            self._rows(self.counts),
            NONE if self.factors is None else self.factors.reshape(len(self.factors), -1),
            NONE_TIMED if self.background is None else self._rows(self.background),
            np.arange(projection.shape[self._view_axis(projection)])
            if self.views is None
            else self.views,
            self._rows(projection),
        )
        return projection, float(rows.sum())

    def back(self, expected: Array) -> Array:
        """Return what the bins hold, projected back."""
        return self.system.adjoint(expected)

    def ratio(self, image: Array) -> tuple[Array, float]:
        """Return :math:`A^T [f y / (f A x + b)]`, and the log-likelihood of the image."""
        expected, likelihood = self.expect(image)
        return self.back(expected), likelihood

    def curvature(self, image: Array, along: Array) -> Array:
        """Return minus the Hessian of the log-likelihood at `image`, times `along`."""
        weight, _ = self.expect(image)
        counts = self.measured
        weight *= weight
        np.divide(weight, counts, out=weight, where=counts > 0)  # 0 where nothing was counted
        weight *= self.system.forward(along)
        return self.back(weight)

    def redrawn(self, draw: Draw) -> Emission:
        """Return the likelihood of counts drawn from these."""
        counts = draw.counts(self.counts, self._view_axis(self.counts))
        return replace(self, counts=counts, keep=lambda _: self.sensitivity)

    def alone(self) -> Emission:
        """Return the same likelihood, holding the data of its own views alone."""
        factors, background = (
            None if data is None else self._of_views(data)
            for data in (self.factors, self.background)
        )
        return replace(
            self, counts=self.measured, factors=factors, background=background, views=None,
            keep=self._keep,
        )  # fmt: skip

    @property
    def _timed(self) -> bool:
        return self.summed is not None

    def _seen(self) -> Array:
        """Compute the sensitivity."""
        system = self.system if self.summed is None else self.summed
        if self.factors is None:
            return system.adjoint(np.ones(system.range, np.float32))
        return system.adjoint(self._of_views(self.factors))

    def _of_views(self, data: Array) -> Array:
        """Return the views of this subset."""
        return data if self.views is None else np.take(data, self.views, self._view_axis(data))

    def _rows(self, data: Array) -> Array:
        """Return a contiguous array as one row a view, of each time-of-flight bin if any."""
        axis = self._view_axis(data)
        return data.reshape(len(data) if axis else 1, data.shape[axis], -1)

    def _view_axis(self, data: Array) -> int:
        """Return which axis the views are: time-of-flight bins come before them."""
        return int(self._timed and data.ndim == self.counts.ndim)
