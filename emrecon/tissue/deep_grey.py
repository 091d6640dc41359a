"""Deep nuclei: grey matter as bright as white matter, which its place alone tells.

Myelin and iron make thalamus, putamen and pallidum of a T1-weighted image nearly as bright as
white matter; a mixture of the whole image calls a half of them white. Where they lie is known in
the space of an average brain, by ellipsoids with soft edges, and how bright each is shows there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emrecon.em import em, last, until
from emrecon.stop import after
from emrecon.tissue.classes import Classes, log_joint, tables
from emrecon.tissue.field import Image, State
from emrecon.tissue.layout import SCARCE, Layout

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]


class Nucleus(NamedTuple):
    """An ellipsoid on each side of an average brain."""

    name: str
    """Of the nucleus."""

    centre_mm: tuple[float, float, float]
    """Middle of the right one in the space of the ICBM 2009a average, RAS+."""

    radii_mm: tuple[float, float, float]
    """Of the half axes, across, along and up."""

    turn: float
    """Degrees by which its front is turned towards the other side."""


NUCLEI = (
    Nucleus("thalamus", (11.5, -18.5, 7.0), (9.5, 16.5, 10.5), 26.0),
    Nucleus("putamen", (25.5, 2.0, 1.0), (6.5, 18.0, 12.0), 20.0),
    Nucleus("pallidum", (18.5, -3.5, -1.0), (5.0, 10.5, 7.0), 30.0),
)
"""Drawn on the ICBM 2009a average by eye, with the middles of Tzourio-Mazoyer et al., NeuroImage
15, 273 (2002), within 3 mm."""

SOFT_MM = 2.0
"""Scale of the logistic function by which the chance of a nucleus falls at its edge: a standard
deviation of 3.6 mm of where it lies."""

FARTHEST = 20.0
"""Log odds beyond which a voxel is in a nucleus, or in none."""

WORTH_A_LOOK = -3.0
"""Log odds from which a voxel tells how bright a nucleus is."""

BEFOREHAND = 100.0
"""Voxels half-way between grey and white matter that each nucleus starts with."""

LOOKED_AT = 40_000
"""Most voxels from which the nuclei's means are found."""

AT_ONCE = 100_000
"""Voxels whose log odds are computed together, as that takes 300 bytes for each."""

BETWEEN = (-0.25, 1.5)
"""Where a nucleus's mean may lie, 0 at that of grey and 1 at that of white matter. Nuclei are the
brighter ones where white matter is pale."""

BRIGHT = 0.2
"""Where the middle one of the nuclei's means lies at least: else they are as dark as cortex, and
are grey matter without a Gaussian of their own."""


def log_odds(places_mm: Floats) -> Floats32:
    """Return the log odds of each nucleus at places of the average brain, ``(n, d)``.

    Parameters
    ----------
    places_mm : array, shape (n, 3)
        In the space of the ICBM 2009a average.
    """
    odds = np.full((len(places_mm), len(NUCLEI)), -FARTHEST, np.float32)
    reach = FARTHEST * SOFT_MM
    ends = [
        np.abs(places_mm[:, 0]) - 35,
        np.abs(places_mm[:, 1] + 8) - 30,
        np.abs(places_mm[:, 2]),
    ]
    near = np.flatnonzero(np.max(ends, axis=0) < reach)
    for column, nucleus in zip(odds.T, NUCLEI, strict=True):
        deep = _depth_mm(places_mm[near], nucleus) / SOFT_MM
        column[near] = np.clip(deep, -FARTHEST, FARTHEST)
    return odds


def _depth_mm(places_mm: Floats, nucleus: Nucleus) -> Floats:
    """Return how deep in a nucleus of either side places lie, about; negative outside."""
    off = np.stack([np.abs(places_mm[:, 0]), places_mm[:, 1], places_mm[:, 2]])
    off -= np.array(nucleus.centre_mm)[:, None]
    sine, cosine = np.sin(np.radians(nucleus.turn)), np.cos(np.radians(nucleus.turn))
    off[:2] = cosine * off[0] + sine * off[1], cosine * off[1] - sine * off[0]
    scaled = off / np.array(nucleus.radii_mm)[:, None]
    radius = np.maximum(np.sqrt((scaled**2).sum(axis=0)), 1e-6)
    slope = np.sqrt(((scaled / np.array(nucleus.radii_mm)[:, None]) ** 2).sum(axis=0))
    return np.asarray((1 - radius) * radius / np.maximum(slope, 1e-6 / min(nucleus.radii_mm)))


@dataclass(frozen=True, eq=False)
class Nuclei:
    """Voxels about the nuclei as a mixture whose nuclei's means alone are estimated."""

    values: Floats
    """Standardised intensities, shape ``(n, c)``."""

    odds: Floats
    """Log odds of each nucleus over its share in the whole image, shape ``(n, d)``."""

    layout: Layout
    """Of all components."""

    start: Floats
    """Means that are expected beforehand, shape ``(d, c)``."""

    def expect(self, params: Classes) -> tuple[tuple[Floats, Floats], float]:
        """Return counts and sums of each nucleus, and the penalised log-likelihood."""
        every = np.ones(self.values.shape[1], bool)
        joint = log_joint(self.values, tables(params, self.layout, every))
        joint += self.odds @ self.layout.known(self.odds.shape[1]).T
        most = joint.max(axis=1, keepdims=True)
        member = np.exp(joint - most)
        norm = member.sum(axis=1, keepdims=True)
        own = self._own
        share = member[:, own] / norm
        off = params.means[own] - self.start
        spread = np.linalg.inv(params.covariances[own])
        held = 0.5 * BEFOREHAND * float(np.einsum("dc,dce,de->", off, spread, off))
        total = float((most + np.log(norm)).sum())
        return (share.sum(axis=0), share.T @ self.values), total - held

    def maximise(self, params: Classes, expected: tuple[Floats, Floats]) -> Classes:
        """Return the classes with better means of the nuclei."""
        count, total = expected
        means = params.means.copy()
        whole = (count + BEFOREHAND)[:, None]
        means[self._own] = (total + BEFOREHAND * self.start) / whole
        return replace(params, means=means)

    @property
    def _own(self) -> slice:
        return slice(self.layout.gaussians - self.layout.nuclei, self.layout.gaussians)


def with_nuclei(image: Image, state: State, to_average: Floats) -> tuple[Image, State] | None:
    """Return model and estimate with Gaussians of the deep nuclei, or none if they do not show.

    They are grey matter, the second class, and have the means that voxels show where they are.

    Parameters
    ----------
    image : Image
        The whole image, all channels in each voxel, in order of a T1-weighted image's classes.
    state : State
        Its estimate; the means of its classes stay.
    to_average : array, shape (4, 4)
        Voxels of the image to mm of the average brain.
    """
    odds, index = np.empty((image.lattice.size, len(NUCLEI)), np.float32), image.lattice.index
    for first in range(0, len(odds), AT_ONCE):
        chunk = slice(first, first + AT_ONCE)
        places = np.stack([axis[chunk] for axis in index], axis=1)
        odds[chunk] = log_odds(places @ to_average[:3, :3].T + to_average[:3, 3])
    odds -= np.float32(np.log(SCARCE))
    few = np.flatnonzero(odds.max(axis=1) > WORTH_A_LOOK - np.log(SCARCE))
    few = few[:: max(len(few) // LOOKED_AT, 1)]
    old, layout = state.classes, image.rules.layout.with_nuclei(len(NUCLEI), 1)
    start = np.repeat([(old.means[1] + old.means[2]) / 2], len(NUCLEI), axis=0)
    first, covariances = len(old.means), old.covariances
    groups = image.rules.layout.gather(old.weights)
    classes = Classes(
        layout.spread(groups),
        np.vstack([old.means, start]),
        np.vstack([covariances, np.repeat(covariances[1:2], len(NUCLEI), axis=0)]),
    )
    values = image.corrected(state.bias)[:, few].T.astype(np.float64)
    model = Nuclei(values, odds[few].astype(np.float64), layout, start)
    classes = last(until(em(repeat(model), classes), after(30))).params
    step = old.means[2, 0] - old.means[1, 0]
    rank = (classes.means[first:, 0] - old.means[1, 0]) / step
    between = rank.min() >= BETWEEN[0] and rank.max() <= BETWEEN[1]
    if not between or np.median(rank) < BRIGHT:
        return None
    known = odds if image.external is None else np.hstack([image.external, odds])
    rules = replace(image.rules, layout=layout)
    return replace(image, rules=rules, external=known), replace(state, classes=classes)
