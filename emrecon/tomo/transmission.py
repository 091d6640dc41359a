"""Counts of rays that came through: Poisson about ``b exp(-A mu) + r``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self, cast

import numpy as np
from numpy.typing import ArrayLike

from emrecon.brief import brief
from emrecon.errors import DataError, GeometryError
from emrecon.tomo.kernels import beer_lambert
from emrecon.tomo.operators.algebra import Operator
from emrecon.volume import Array

LONGEST = 20.0
"""Line integral that no count tells any more: one of 5e8 photons comes through."""

HOW_TO_COUNT = (
    "transmission takes the counts of the detector as they were measured, not -log(counts/white): "
    "read the raw frames or undo the logarithm, (white - dark) exp(-data) + dark, and give both "
    "fields, dark and white, beside them"
)


class Rays(NamedTuple):
    """What the counts of each ray say about its line integral."""

    slope: Array
    """Derivative of the log-likelihood."""

    curvature: Array
    """Of the flattest parabola that touches minus the log-likelihood and is nowhere below it."""


@dataclass(frozen=True, eq=False)
class Transmission:
    r"""Counts :math:`y \sim \mathrm{Poisson}(b\,e^{-A\mu} + r)`, `mu` the attenuation in 1/mm.

    A `Likelihood` of X-rays or of a rod or point source, over any projector. A ray of blank 0
    takes no part. Its sensitivity is :math:`A^T y`: so its `ratio` is 0 or more, and `ratio` less
    `sensitivity` is the gradient as in every likelihood. `Mltr` makes its image.

    Raises
    ------
    GeometryError
        If an array does not fit the projector.
    DataError
        If counts, blank or background are below 0 or no numbers, or no ray has a blank.

    Examples
    --------
    >>> import numpy as np
    >>> import emrecon as em
    >>> from emrecon.tomo.geometry.bins import Bins
    >>> bins = Bins.parallel(np.arange(12) * np.pi / 12, np.arange(-8.0, 9.0))
    >>> A = em.projector(bins, bins.grid(), em.Settings())
    >>> mean = 1000 * np.exp(-A.forward(np.full(A.domain, 0.1)))
    >>> counts = np.random.default_rng(0).poisson(mean)
    >>> rays = em.Transmission(A, counts, blank=np.full(A.range[1:], 1000.0))
    >>> ratio, log_likelihood = rays.ratio(np.zeros(A.domain, np.float32))
    >>> bool(np.all(ratio >= rays.sensitivity))  # the gradient: mu must rise everywhere
    True
    """

    system: Operator
    """Line integrals :math:`A` in mm, of 0 or more for images of 0 or more."""

    counts: Array
    """Measured counts :math:`y`, as the projector gives them: views first."""

    blank: Array
    """Mean counts :math:`b` with nothing in the way: of the shape of the counts, or of their last
    axes, which is one value a detector element."""

    background: Array | None = None
    """Mean of what does not come straight through, :math:`r`: scatter, dark current, emission.
    Shape as of the blank; None for 0."""

    __repr__ = brief

    def __post_init__(self) -> None:
        for name in ("counts", "blank", "background"):
            value = getattr(self, name)
            data = np.asarray(0 if value is None else value, np.float32)
            if data.shape != self.system.range[len(self.system.range) - data.ndim :]:
                raise GeometryError(
                    f"{name} of shape {data.shape} do not fit a projector that gives "
                    f"{self.system.range}"
                )
            _refuse_no_counts(name, data)
            spread = np.ascontiguousarray(np.broadcast_to(data, self.system.range))
            object.__setattr__(self, name, spread)
        if not (self.blank > 0).any():
            raise DataError("the blank is 0 for every ray: nothing was sent through the object")

    @classmethod
    def from_fields(
        cls, system: Operator, counts: ArrayLike, dark: ArrayLike, white: ArrayLike
    ) -> Self:
        """Return the likelihood of X-ray frames, from them and the detector's two fields.

        The dark field is the background, and white less dark the blank: so nothing is taken off
        the counts, and none becomes negative. An element whose white is not above its dark is
        dead, and takes no part.

        Parameters
        ----------
        system : Operator
            Line integrals in mm.
        counts : array
            Frames as measured, of the shape that `system` gives.
        dark, white : array
            Mean frame without beam, and with beam but no object; shape of the counts or of their
            last axes.

        Raises
        ------
        DataError
            If the counts are line integrals, that is, minus the logarithm was already taken.
        """
        measured, offset, open_beam = (np.asarray(a, np.float32) for a in (counts, dark, white))
        whole = bool(np.all(measured == np.round(measured)))
        if measured.size and measured.max() < LONGEST < open_beam.max() and not whole:
            raise DataError(
                f"the largest count is {measured.max():.4g} where the white field has "
                f"{open_beam.max():.4g}, and they are no whole numbers: {HOW_TO_COUNT}"
            )
        for name, field in (("white", open_beam), ("dark", offset)):
            _refuse_no_counts(name, field)
        return cls(system, measured, np.maximum(open_beam - offset, 0), offset)

    @cached_property
    def sensitivity(self) -> Array:
        """What the gradient tends to behind much matter, :math:`-A^T y`, without its sign."""
        return self.system.adjoint(self._live)

    @cached_property
    def lengths_mm(self) -> Array:
        """How far each ray runs in the image."""
        return self.system.forward(np.ones(self.system.domain, np.float32))

    def expect(self, image: Array) -> tuple[Rays, float]:
        """Return what the counts say about each ray at an image, and its log-likelihood."""
        slope = self.system.forward(image)
        bend = np.empty_like(slope)
        rows = (self.counts, self.blank, self._background, slope, bend)
        values = beer_lambert.compare(*(one.reshape(len(one), -1) for one in rows))
        return Rays(slope, bend), float(values.sum())

    def gradient(self, expected: Rays) -> Array:
        """Return the derivative of the log-likelihood in each voxel."""
        return self.system.adjoint(expected.slope)

    def back(self, expected: Rays) -> Array:
        """Return the gradient plus the sensitivity, as every likelihood does."""
        return self.system.adjoint(expected.slope + self._live)

    def ratio(self, image: Array) -> tuple[Array, float]:
        """Return :math:`A^T [t + y r / (t + r)]`, t what comes through, and the log-likelihood."""
        expected, likelihood = self.expect(image)
        return self.back(expected), likelihood

    def curvature(self, image: Array, along: Array) -> Array:
        """Return minus the Hessian of the log-likelihood at `image`, times `along`."""
        weight = self.blank * np.exp(-self.system.forward(image))
        mean, scattered = weight + self._background, self._background > 0
        hidden = np.divide(self._background, mean, out=np.zeros_like(mean), where=scattered)
        hidden *= np.divide(self._live, mean, out=np.zeros_like(mean), where=scattered)
        weight *= (1 - hidden) * self.system.forward(along)
        return self.system.adjoint(weight)

    @property
    def _live(self) -> Array:
        """The counts of the rays that take part."""
        return np.where(self.blank > 0, self.counts, np.float32(0))

    @property
    def _background(self) -> Array:
        """The background, which is an array from the beginning on."""
        return cast("Array", self.background)


def _refuse_no_counts(name: str, data: Array) -> None:
    """Refuse what cannot be counts or their mean."""
    if not np.isfinite(data).all():
        raise DataError(f"{name} must be finite numbers")
    if data.min(initial=0) < 0:
        raise DataError(f"{name} go down to {data.min():.4g}: {HOW_TO_COUNT}")
