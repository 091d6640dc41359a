"""Pairs of which the photons were deflected twice or more together, for a coarse ring.

The integrals of `emrecon.tomo.corrections.scatter_simulation` with one place of deflection more,
or two, are summed over chains of places that fill all of their dimensions evenly. A chain ends at
all detectors, so few of them will do. There are two kinds:

*One photon straight.*  From each scatter point S the straight one goes to any detector A, with the
activity between S and A; the other one turns at S, once more at a place that is drawn by how far
photons come, and perhaps at a third one, and goes to any detector B.

*Both deflected.*  From a drawn decay both photons go, back to back, to places where they are
deflected, one of them perhaps to another one, and from there to any detectors A and B.

The detectors of a kind are told apart by their factors: of the second kind the sum over chains is
a product of matrices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon.brief import brief
from emrecon.tomo.corrections.scatter_activity import as_wide_as_rays, coarser
from emrecon.tomo.corrections.scatter_sampling import CoarseRing
from emrecon.tomo.corrections.scatter_simulation import (
    ScatterPoints,
    attenuation_powers,
    integrals,
)
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.energy import (
    REST_KEV,
    EnergyWindow,
    angular_density,
    relative_attenuation,
)
from emrecon.tomo.geometry.pairs import Pairs
from emrecon.volume import Array, Volume

Floats = NDArray[np.float64]

CHAINS = 2400
"""Chains of both deflected, and about as many with one straight, which begin at every point: with
so many the sum errs by 1 to 2 %."""

LINES, RINGS = 0.4, 0.6
"""Distance of neighbouring lines and of rings as shares of the body's radius."""

BOXES = 10
"""Voxels in the radius of the body of activity and matter."""

NEGLIGIBLE = 0.01
"""Share of the efficiency at 511 keV below which photons that lost more energy are left out."""

FURTHER = 0.75
"""By how much less each order falls than that before, from the third on: the fourth over the third
is so many times the third over the second. By Monte Carlo 0.63 to 0.89 in ten scans."""

STEPS = 512
"""Steps of the table of efficiencies."""


@dataclass(frozen=True, eq=False)
class MultipleScatter:
    """What of multiple scatter does not depend on the activity."""

    ring: CoarseRing
    """Detectors that it is worked out for."""

    points: ScatterPoints
    """Where photons are deflected whose partners are not."""

    matter: Volume
    """The attenuation map in large voxels, 1/mm."""

    box_mm: float
    """Their size, and that of those of the activity."""

    most: float
    """One less the cosine of all turns, summed, from which on photons do not count."""

    table: tuple[Any, ...]
    """What kernels take for efficiency and attenuation after such turns."""

    chains: tuple[Array, Array, Array]
    """Those with one photon straight, and their last turns if there are two or three."""

    count: int
    """Number of those with both deflected."""

    __repr__ = brief

    @classmethod
    def of(
        cls, mu: Volume, points: ScatterPoints, bins: Bins | Pairs, window: EnergyWindow,
        body_mm: float, chains: int = CHAINS,
    ) -> MultipleScatter:  # fmt: skip
        """Choose detectors by the size of the body, and follow chains through it.

        Parameters
        ----------
        mu : Volume
            Attenuation map in 1/mm, its axes along the scanner's towards R, A and S.
        points : ScatterPoints
            Where photons are deflected.
        bins : Bins or Pairs
            Bins of a ring scanner, or all pairs of one.
        window : EnergyWindow
            Energies that count.
        body_mm : float
            Radius of the body.
        chains : int, optional
            Chains of each kind to aim at.
        """
        ring = CoarseRing.of(bins, LINES * body_mm, RINGS * body_mm)
        ring = replace(ring, reach_mm=ring.radius_mm)
        matter = coarser(mu, body_mm / BOXES)
        most, table = _table(window)
        parts = matter, body_mm / BOXES, most
        return cls(ring, points, *parts, table, _chains(points, chains, ring, *parts), chains)

    def of_pairs(self, activity: Volume) -> Array:
        """Return the multiple scatter of the pairs of the ring.

        Parameters
        ----------
        activity : Volume
            Activity, its axes along the scanner's towards R, A and S.

        Returns
        -------
        ndarray
            In the unit of the activity times mm, the scale of its line integrals.
        """
        straight = as_wide_as_rays(
            activity, self.points, self.ring.detectors, self.ring.distance_mm
        )
        orders = self._one_straight(coarser(straight, self.box_mm))
        orders += self._both_deflected(coarser(activity, self.box_mm))
        second, third = orders + orders.transpose(0, 2, 1)
        falls = FURTHER * float(third.sum(dtype=np.float64) / max(float(second.sum()), 1e-30))
        pairs = self.ring.pairs
        sums = (second + third / np.float32(1 - min(falls, 0.9)))[pairs[:, 0], pairs[:, 1]]
        return np.asarray(sums / np.maximum(self.ring.detectors.direct(pairs), 1e-30), np.float32)

    def _one_straight(self, activity: Volume) -> Array:
        """Return pairs deflected twice and three times of which one photon went straight."""
        from emrecon.tomo.kernels import multiple_scatter as kernel  # noqa: PLC0415 - numba when needed

        detectors = self.ring.detectors
        way, sight = (each.astype(np.float32) for each in detectors.seen(self.points.places_mm))
        rays = [integrals(one, self.points, detectors) for one in (activity, self.matter)]
        first = np.ascontiguousarray(way), np.ascontiguousarray(sight), *rays
        return np.asarray(kernel.one_straight(first, *self.chains, self.table, self.most))

    def _both_deflected(self, activity: Volume) -> Array:
        """Return pairs deflected twice and three times of which no photon went straight.

        Half of the former: the other half is that with the detectors exchanged.
        """
        from emrecon.tomo.kernels import multiple_scatter as kernel  # noqa: PLC0415 - numba when needed

        matter, step = _arrays(self.matter), self.box_mm / 2
        faces = self.ring.detectors.places_mm, self.ring.detectors.inward
        chance = _evenly(self.count, 8)
        places, total = _decays(activity, chance[0])
        way, worth = _directions(chance[1], chance[2])
        one, meets, _ = kernel.interactions(places, way, chance[3], matter, step)
        other, meets_too, _ = kernel.interactions(places, -way, chance[4], matter, step)
        bent, turn, wide = _deflected(-way, chance[5], chance[6], self.most)
        third, again, depth = kernel.interactions(other, bent, chance[7], matter, step)
        again *= wide * angular_density(1 - turn)
        again *= np.exp(-(relative_attenuation(REST_KEV / (1 + turn)) - 1) * depth)
        none = np.zeros(self.count)

        def seen(weights: Floats, before: Floats, at: Floats, along: Floats) -> Array:
            end = kernel.last_turns(at, along, before, self.most, faces, matter)
            both = weights.astype(np.float32), before.astype(np.float32)
            return np.asarray(kernel.counted_after(*both, end, self.table))

        first = seen(total / self.count * worth * meets * meets_too, none, one, way)
        twice = kernel.products(first, seen(none + 0.5, none, other, -way))
        return np.stack([twice, kernel.products(first, seen(again, turn, third, bent))])


def _chains(
    points: ScatterPoints,
    wanted: int,
    ring: CoarseRing,
    matter: Volume,
    box_mm: float,
    most: float,
) -> tuple[Array, Array, Array]:
    """Return the ways of photons that are deflected at each point, and twice more."""
    from emrecon.tomo.kernels import multiple_scatter as kernel  # noqa: PLC0415 - numba when needed

    each = max(1, wanted // len(points.places_mm))
    starts = np.tile(points.places_mm, (each, 1))
    chance, parts = _evenly(len(starts), 6), (_arrays(matter), box_mm / 2)
    way, worth = _directions(chance[0], chance[1])
    second, meets, depth = kernel.interactions(starts, way, chance[2], *parts)
    bent, turn, wide = _deflected(way, chance[3], chance[4], most)
    third, again, further = kernel.interactions(second, bent, chance[5], *parts)
    twice = np.tile(points.weights_mm2 / each, each) * worth * meets
    chains = np.column_stack([way, twice, twice * wide * again, depth, further, turn])
    faces = ring.detectors.places_mm, ring.detectors.inward
    ends = [
        kernel.last_turns(*at, most, faces, parts[0])
        for at in ((second, way, np.zeros(len(way))), (third, bent, turn))
    ]
    return chains.astype(np.float32), ends[0], ends[1]


def _table(window: EnergyWindow) -> tuple[float, tuple[Any, ...]]:
    """Return the turns from which on photons do not count, and a table of what those before do."""
    from emrecon.tomo.kernels.scatter import TERMS  # noqa: PLC0415 - numba only when needed

    def counted(turns: Floats) -> Floats:
        return window.accepts(REST_KEV / (1 + turns)) / window.accepts(REST_KEV)

    fine = np.linspace(0, 6, 60001)  # three turns of 180 degrees
    most = float(fine[np.flatnonzero(counted(fine) > NEGLIGIBLE)[-1]])
    shares = counted((np.arange(STEPS) + 0.5) / STEPS * most)
    shares[-1] = 0
    powers = attenuation_powers(most, TERMS)
    return most, (shares.astype(np.float32), np.float32(STEPS / most), powers)


def _evenly(count: int, dimensions: int) -> Floats:
    """Return points that fill a cube evenly, shape ``(dimensions, count)`` [1]_.

    References
    ----------
    .. [1] M. Roberts, "The unreasonable effectiveness of quasirandom sequences" (2018): the steps
       are powers of the inverse of the root of ``x^(dimensions + 1) = x + 1``.
    """
    root = 2.0
    for _ in range(60):
        root = (1 + root) ** (1 / (dimensions + 1))
    steps = root ** -np.arange(1.0, dimensions + 1)
    return np.asarray((0.5 + steps[:, None] * np.arange(count)) % 1, float)


def _directions(one: Floats, two: Floats) -> tuple[Floats, Floats]:
    """Return unit vectors, those across the axis the more often, and steradians of each.

    Along the axis there are no detectors.
    """
    steep = 1 - np.sqrt(1 - np.abs(2 * one - 1))
    z, azimuth = np.copysign(steep, one - 0.5), 2 * np.pi * two
    across = np.sqrt(1 - z**2)
    ways = np.stack([across * np.cos(azimuth), across * np.sin(azimuth), z], axis=-1)
    return ways, 2 * np.pi / np.maximum(1 - steep, 1e-6)


def _deflected(
    ways: Floats, one: Floats, two: Floats, most: float
) -> tuple[Floats, Floats, Floats]:
    """Return ways after a turn, small ones the more often, the turns, and steradians of each."""
    reach = min(most, 2.0)
    left = np.sqrt(1 - one)
    turn = reach * (1 - left)
    axis = np.eye(3)[np.argmin(np.abs(ways), axis=1)]
    across = np.cross(ways, axis)
    across /= np.linalg.norm(across, axis=1)[:, None]
    azimuth, sine = 2 * np.pi * two, np.sqrt(turn * (2 - turn))
    out = (1 - turn)[:, None] * ways
    out += (sine * np.cos(azimuth))[:, None] * across
    out += (sine * np.sin(azimuth))[:, None] * np.cross(ways, across)
    return out, turn, np.pi * reach / np.maximum(left, 1e-6)


def _decays(activity: Volume, chances: Floats) -> tuple[Floats, float]:
    """Return places of decays, in the middles of voxels, and the integral of the activity."""
    grid = activity.grid()
    held = np.argwhere(activity.voxels > 0)
    if not len(held):
        return np.zeros((len(chances), 3)), 0.0
    below = np.cumsum(activity.voxels[tuple(held.T)], dtype=np.float64)
    chosen = np.searchsorted(below, chances * below[-1], side="right")
    places = grid.origin_mm + held[np.minimum(chosen, len(held) - 1)] * grid.spacing_mm
    return np.asarray(places, float), float(below[-1] * np.prod(grid.spacing_mm))


def _arrays(volume: Volume) -> tuple[Array, Floats, Floats]:
    """Return what kernels take of matter."""
    grid = volume.grid()
    place = np.array(grid.origin_mm, float), np.array(grid.spacing_mm, float)
    return np.ascontiguousarray(volume.voxels), *place
