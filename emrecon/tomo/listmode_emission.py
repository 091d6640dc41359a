"""Emission events one by one: a Poisson process on all detector pairs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count, islice

import numpy as np

from emrecon.brief import brief
from emrecon.errors import GeometryError
from emrecon.tomo.draw import Draw
from emrecon.tomo.geometry.events import CHUNK, Events
from emrecon.tomo.kernels.poisson import MOST
from emrecon.tomo.operators.algebra import Operator
from emrecon.tomo.operators.lines import Course, LineProjector, Views
from emrecon.volume import Array


@dataclass(frozen=True, eq=False)
class ListmodeEmission:
    r"""Events drawn from :math:`f \, A x + b` on all detector pairs, with `x` the activity.

    Maximum-likelihood expectation-maximisation from list-mode after Barrett, White and Parra
    [1]_ and Parra and Barrett [2]_: the same update as with counts in bins,

    .. math:: x \leftarrow \frac{x}{A^T f} \sum_e \frac{f_e \, A_e^T}{f_e \, A_e x + b_e},

    where the sum runs over events and the sensitivity over all detector pairs. A `Likelihood` of
    all events, or of a subset of them, which has its share of the scan's time.

    Notes
    -----
    An event of factor 0 takes no part, nor does one of mean 0, whose line meets no voxel. The
    log-likelihood leaves out a constant.

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

    scan_sensitivity: Array
    """:math:`A^T f` over all detector pairs (and time-of-flight bins), image-shaped."""

    subset: tuple[int, int] = (0, 1)
    """Number of this subset, and of all subsets."""

    blur: Operator | None = None
    """Resolution model in the image; its adjoint is part of `scan_sensitivity`."""

    chunk: tuple[int, int] = (0, 1)
    """Number of this chunk of the subset, and of all chunks. Only the sum over the chunks is a
    likelihood; the detector pairs of `scan_sensitivity` may be shared among them in any way."""

    at_once: int = CHUNK
    """Events in memory at a time."""

    draw: Draw | None = None
    """What says how many times each event is taken; None for once."""

    __repr__ = brief

    def __post_init__(self) -> None:
        number, subsets = self.subset
        if self.scan_sensitivity.shape != self.lines.grid.shape:
            raise GeometryError(
                f"a sensitivity of shape {self.scan_sensitivity.shape} for an image of "
                f"{self.lines.grid.shape}"
            )
        if not 0 <= number < subsets:
            raise GeometryError(f"subset {number} of {subsets} does not exist")

    @property
    def sensitivity(self) -> Array:
        """How well each voxel is seen in the subset's share of the time."""
        return self.scan_sensitivity * np.float32(1 / self.subset[1])

    def expect(self, image: Array) -> tuple[Array, float]:
        """Return the sum over events in the update, image-shaped, and the log-likelihood.

        It is projected back already, for a line is traced once for both ways.
        """
        views, summed = self._seen(image), self.lines.nothing()
        likelihood = self._constant(image)
        for events, course, times in self._courses():
            ratio, gained = _compare(course.forward(views), events, times)
            course.adjoint(ratio * times, summed)
            likelihood += gained
        return self._image(summed), likelihood

    def back(self, expected: Array) -> Array:
        """Return what `expect` summed."""
        return expected

    def ratio(self, image: Array) -> tuple[Array, float]:
        """Return the sum over events in the update, image-shaped, and the log-likelihood."""
        return self.expect(image)

    def curvature(self, image: Array, along: Array) -> Array:
        """Return minus the Hessian of the log-likelihood at `image`, times `along`."""
        views, others, summed = self._seen(image), self._seen(along), self.lines.nothing()
        for events, course, times in self._courses():
            ratio, _ = _compare(course.forward(views), events, times)
            course.adjoint(ratio**2 * times * course.forward(others), summed)
        return self._image(summed)

    def redrawn(self, draw: Draw) -> ListmodeEmission:
        """Return the likelihood of events drawn from these."""
        return replace(self, draw=draw)

    def _courses(self) -> Iterator[tuple[Events, Course, Array | np.float32]]:
        """Yield some events with the way of their lines, and how many times each is taken."""
        some = self.events.subset(*self.subset, at_once=self.at_once, chunk=self.chunk)
        block, turns = self.events.block(self.subset[1]), count(*self.chunk)
        for events in some:
            once: Array | np.float32 = np.float32(1)
            if self.draw is not None:
                blocks = islice(turns, -(-len(events) // block))  # the last one may be short
                once = self.draw.times(self.subset[0], blocks, block)[: len(events)]
            yield events, self.lines.trace(events), once

    def _seen(self, image: Array) -> Views:
        """Return an image as the lines see it, resolution model applied."""
        return self.lines.views(image if self.blur is None else self.blur.forward(image))

    def _image(self, summed: Views) -> Array:
        """Return the image of what was projected back."""
        image = self.lines.image(summed)
        return image if self.blur is None else self.blur.adjoint(image)

    def _constant(self, image: Array) -> float:
        """Return the part of the log-likelihood that no event is needed for: minus the mean."""
        emitted = float(np.sum(image * self.scan_sensitivity, dtype=np.float64))
        background = self.events.background_total * self.events.share / self.chunk[1]
        return -(emitted + background) / self.subset[1]


def _compare(projection: Array, events: Events, times: Array | np.float32) -> tuple[Array, float]:
    """Return factor over mean of each event, at most `MOST`, and the sum of log means."""
    mean = projection if events.factors is None else projection * events.factors
    if events.background is not None:
        mean = mean + events.background * np.float32(events.share)
    live = mean > 0
    if events.factors is not None:
        live &= events.factors > 0
    ratio = np.zeros_like(projection)
    above = np.float32(1) if events.factors is None else events.factors
    with np.errstate(over="ignore"):  # of a mean that underflows
        np.divide(above, mean, out=ratio, where=live)
    np.minimum(ratio, MOST, out=ratio)
    logs = np.log(mean, where=live, out=np.zeros_like(mean))
    return ratio, float((logs * times).sum(dtype=np.float64))
