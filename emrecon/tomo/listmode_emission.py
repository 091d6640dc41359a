"""Emission events one by one: a Poisson process on all detector pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emrecon.errors import GeometryError
from emrecon.tomo.geometry.events import CHUNK, Events
from emrecon.tomo.operators.algebra import Operator
from emrecon.tomo.operators.lines import LineProjector
from emrecon.volume import Array


@dataclass(frozen=True, eq=False)
class ListmodeEmission:
    r"""Events drawn from :math:`f \, A x + b` on all detector pairs, with `x` the activity.

    Maximum-likelihood expectation-maximisation from list-mode after Barrett, White and Parra
    [1]_ and Parra and Barrett [2]_: the same update as with counts in bins,

    .. math:: x \leftarrow \frac{x}{A^T f} \sum_e \frac{f_e \, A_e^T}{f_e \, A_e x + b_e},

    where the sum runs over events and the sensitivity over all detector pairs. Over a subset of
    the events, which has its share of the scan's time, it is a step of ordered subsets.

    Notes
    -----
    A voxel of sensitivity 0 keeps its value. An event of factor 0 takes no part, nor does one of
    mean 0, whose line meets no voxel. The log-likelihood leaves out a constant.

    References
    ----------
    .. [1] H. H. Barrett, T. White, L. C. Parra, "List-mode likelihood", J. Opt. Soc. Am. A 14,
       2914 (1997).
    .. [2] L. Parra, H. H. Barrett, "List-mode likelihood: EM algorithm and image quality
       estimation demonstrated on 2-D PET", IEEE Trans. Med. Imaging 17, 228 (1998), eq. 17.
    """

    lines: LineProjector
    """Line integrals :math:`A` of events, in mm."""

    events: Events
    """All events, with factors and background of their pairs."""

    sensitivity: Array
    """:math:`A^T f` over all detector pairs (and time-of-flight bins), image-shaped."""

    subset: tuple[int, int] = (0, 1)
    """Number of this subset, and of all subsets."""

    blur: Operator | None = None
    """Resolution model in the image; its adjoint is part of `sensitivity`."""

    chunk: int = CHUNK
    """Events in memory at a time."""

    def __post_init__(self) -> None:
        number, subsets = self.subset
        if self.sensitivity.shape != self.lines.grid.shape:
            raise GeometryError(
                f"a sensitivity of shape {self.sensitivity.shape} for an image of "
                f"{self.lines.grid.shape}"
            )
        if not 0 <= number < subsets:
            raise GeometryError(f"subset {number} of {subsets} does not exist")

    def expect(self, params: Array) -> tuple[Array, float]:
        """Return the sum over events in the update, image-shaped, and the log-likelihood."""
        image = params if self.blur is None else self.blur.forward(params)
        views, back = self.lines.views(image), self.lines.nothing()
        likelihood = self._constant(params)
        for part in self.events.subset(*self.subset, chunk=self.chunk):
            course = self.lines.trace(part)
            ratio, gained = _compare(course.forward(views), part)
            course.adjoint(ratio, back)
            likelihood += gained
        summed = self.lines.image(back)
        return summed if self.blur is None else self.blur.adjoint(summed), likelihood

    def maximise(self, params: Array, expected: Array) -> Array:
        """Return the counts each voxel gave over its sensitivity."""
        image = params.copy()
        share = np.float32(1 / self.subset[1])
        np.divide(
            params * expected, self.sensitivity * share, out=image, where=self.sensitivity > 0
        )
        return image

    def _constant(self, params: Array) -> float:
        """Return the part of the log-likelihood that no event is needed for: minus the mean."""
        emitted = float(np.sum(params * self.sensitivity, dtype=np.float64))
        behind = self.events.background_total * self.events.share
        return -(emitted + behind) / self.subset[1]


def _compare(projection: Array, events: Events) -> tuple[Array, float]:
    """Return factor over mean of each event, and the sum of the logarithms of the means."""
    mean = projection if events.factors is None else projection * events.factors
    if events.background is not None:
        mean = mean + events.background * np.float32(events.share)
    live = mean > 0
    if events.factors is not None:
        live &= events.factors > 0
    ratio = np.zeros_like(projection)
    above = np.float32(1) if events.factors is None else events.factors
    np.divide(above, mean, out=ratio, where=live)
    logs = np.log(mean, where=live, out=np.zeros_like(mean))
    return ratio, float(logs.sum(dtype=np.float64))
