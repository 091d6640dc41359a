"""What penalised reconstruction maximises: the log-likelihood of all subsets less a prior."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from emrecon.em import Iterate
from emrecon.tomo.likelihood import Likelihood, Sum
from emrecon.tomo.priors.prior import Prior
from emrecon.volume import Array

LEAST = np.float32(1e-30)
"""Added to a curvature, so that what nothing curves divides by more than 0."""

FLOOR = np.float32(0.3)
"""Share of the typical value that is added to a voxel's, where the bound on the curvature goes
with the inverse of the value: so that what is cold may move."""

BODY = np.float32(0.1)
"""Share of the image's 99th percentile above which a voxel belongs to the body."""


def _as_it_is(image: Array) -> Array:
    """Return an image without noise."""
    return image


@dataclass(frozen=True, eq=False)
class Objective:
    """The log-likelihood of all counts less a prior, over images of 0 or more."""

    subsets: Sequence[Likelihood[Any]]
    """Likelihoods that add up to that of all counts, in the order of their turns."""

    prior: Prior
    """What is taken off."""

    field: NDArray[np.bool_]
    """Voxels that are estimated; the others keep their value."""

    near: Array
    """An image that is not far from the maximum, such as a smoothed one of a pass of OSEM."""

    smooth: Callable[[Array], Array] = _as_it_is
    """Takes noise off an image as it was taken off `near`."""

    @cached_property
    def whole(self) -> Sum:
        """The likelihood of all counts."""
        return Sum(self.subsets)

    @cached_property
    def sensitivity(self) -> Array:
        """How well all counts see each voxel."""
        return self.whole.sensitivity

    @cached_property
    def typical(self) -> float:
        """The median of `near` over the body."""
        return float(np.median(self.near[body_of(self.near, self.field)]))

    @cached_property
    def data_curvature(self) -> Array:
        """Bound on the curvature of the log-likelihood at `near`, voxel by voxel.

        A matrix without entries below 0 is nowhere above the diagonal one of its row sums, nor,
        by scaling, above that of ``H u / u`` for any image u above 0; u is `near` here. Where one
        subset sees a voxel better than the others do, its own share of the bound counts.
        """
        least = FLOOR * np.float32(self.typical)
        u = np.where(self.field, np.maximum(self.near, 0) + least, 0).astype(np.float32)
        curved = np.maximum(self.whole.curvature(self.near, u), 0)
        bound = np.divide(curved, u, out=np.zeros_like(u), where=u > 0)
        seen, most = self.sensitivity, np.zeros_like(u)
        for subset in self.subsets:
            np.maximum(most, subset.sensitivity, out=most)
        share = np.divide(most, seen, out=np.zeros_like(u), where=seen > 0)
        bound *= np.float32(len(self.subsets)) * share
        return bound

    def value(self, image: Array) -> tuple[float, float]:
        """Return the log-likelihood, and the penalty that is taken off it."""
        return self.whole.expect(image)[1], self.prior.value(image)

    def slopes(self, image: Array) -> list[Array]:
        """Return the gradient of the log-likelihood of every subset."""
        return [subset.ratio(image)[0] - subset.sensitivity for subset in self.subsets]

    def curvature(self, image: Array) -> Array:
        """Return a bound on the curvature of the objective at an image, voxel by voxel.

        The Hessian of a prior that is a sum over pairs is nowhere above twice its diagonal.
        """
        return self.data_curvature + 2 * self.prior.diagonal(image) + LEAST

    def limit(self, image: Array) -> Array:
        """Return what divides long steps that begin at an image, voxel by voxel.

        The bound at `near` follows what has become of a voxel: as in EM, it goes with the inverse
        of the value. Of the prior the larger counts of two: twice the diagonal of its Hessian, for
        small steps of all voxels together, and the curvature of a parabola that it never exceeds
        if a voxel moves by itself, however far. Where cold voxels lie among warm ones its slope
        hardly changes until a voxel is as cold as they are, and turns there; the Hessian does not
        know, and the voxel would swing.
        """
        least = FLOOR * np.float32(self.typical) + LEAST
        fallen = (self.near + least) / (np.maximum(self.smooth(image), 0) + least)
        alone = np.float32(0.5) * self.prior.majorant(image)  # which is for all together
        bend = np.maximum(2 * self.prior.diagonal(image), alone)
        limit: Array = self.data_curvature * fallen + bend + LEAST
        return limit

    def stepped(self, image: Array, step: Array) -> Array:
        """Return the image moved by a step where it is estimated, nowhere below 0."""
        return np.where(self.field, np.maximum(image + step, 0), image)

    def residual(self, image: Array, slope: Array) -> float:
        """Return how far the image is from the maximum, in percent of its typical value.

        The root mean square over the body of the step that the gradient asks for: over the bound
        on the curvature, and no further than 0.
        """
        step = self.stepped(image, slope / self.curvature(image)) - image
        body = body_of(image, self.field)
        if not body.any():
            return float("inf")
        mean = float(np.mean(step[body].astype(np.float64) ** 2))
        return 100 * float(np.sqrt(mean) / np.median(image[body]))


class Maximiser(Protocol):
    """An algorithm that climbs an `Objective`."""

    @property
    def period(self) -> int:
        """How many passes lie between iterates from which a run goes on to the same bits."""
        ...

    def iterates(
        self, objective: Objective, image: Array, number: int
    ) -> Iterator[Iterate[Array]]:
        """Yield `image` as iterate `number`, and every update after it."""
        ...


def body_of(image: Array, field: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where an image is above a tenth of its 99th percentile."""
    return field & (image > BODY * np.percentile(image[field], 99))
