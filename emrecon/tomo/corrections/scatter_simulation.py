"""Single Compton scatter of annihilation photons between detector pairs, from activity and mu.

A pair counts a photon that reached one detector straight and its partner that reached the other
after one deflection, at a point S where matter is [1]_ [2]_. Over all points,

    ``S_AB = sum mu_S V_S p(theta) [eff(E') / eff(511)] (R_AB^2 cos_A(S) cos_B(S))
    / (R_AS^2 R_BS^2 cos_A cos_B) [I_A T_A T'_B + I_B T_B T'_A]``

with ``p`` the Klein-Nishina density a steradian, ``I_A`` the integral of the activity from S to A,
``T`` the survival at 511 keV and ``T'`` that at the energy E' after the deflection. Solid angles
and efficiencies are those of the same pair for unscattered photons, so S is in the scale of its
line integral: a bin of efficiency ``n`` has ``n (a A x + S)`` counts, and nothing is fitted.

References
----------
.. [1] C. C. Watson, "New, faster, image-based scatter correction for 3D PET", IEEE Trans. Nucl.
   Sci. 47, 1587 (2000).
.. [2] C. Tsoumpas et al., "Evaluation of the single scatter simulation algorithm implemented in
   the STIR library", IEEE NSS-MIC (2004).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import GeometryError
from emrecon.tomo.geometry.energy import (
    REST_KEV,
    EnergyWindow,
    angular_density,
    relative_attenuation,
    scattered_kev,
)
from emrecon.tomo.geometry.tof import Timing
from emrecon.volume import Array, Volume

Floats = NDArray[np.float64]
Indices = NDArray[np.int32]

Stretches = tuple[float, float, int]
"""Distance of the first stretch of a line from its detector in mm, their length, their number."""

FINENESS, MOST_STEP_MM = 0.5, 10.0
"""Stretches of a line over the standard deviation of time of flight, and the longest ones."""

NEGLIGIBLE = 1e-4
"""Share of the efficiency at 511 keV below which photons that lost more energy are left out."""

LEAST_PER_MM = 0.001
"""Attenuation coefficient below which a block scatters nothing: a tenth of water."""


@dataclass(frozen=True, eq=False)
class ScatterPoints:
    """Where photons are deflected: blocks of matter, each taken together in its middle of mass."""

    places_mm: Floats
    """Middles of mass, shape ``(points, 3)``; those of the first set first."""

    weights_mm2: Floats
    """Integral of mu over each block, shape ``(points,)``."""

    first: int
    """Size of the first of two sets, of every other block: they differ by what sampling errs."""

    @classmethod
    def of(cls, mu: Volume, wanted: int, reach_mm: float = np.inf) -> ScatterPoints:
        """Return about so many blocks of equal size that hold all that scatters.

        Parameters
        ----------
        mu : Volume
            Attenuation map in 1/mm, its axes along the scanner's towards R, A and S.
        wanted : int
            Number of points to aim at.
        reach_mm : float, optional
            Axial distance from the origin beyond which matter is left out.

        Raises
        ------
        GeometryError
            If nothing scatters.
        """
        grid = mu.grid()
        near = np.abs(grid.centres_mm(2)) <= reach_mm
        voxels = np.where(near, mu.voxels, np.float32(0))
        volume = float(np.prod(grid.spacing_mm))
        size = (np.count_nonzero(voxels >= LEAST_PER_MM) * volume / wanted) ** (1 / 3)
        if not size:
            raise GeometryError(
                f"nothing within {reach_mm:.0f} mm of the scanner's middle attenuates by "
                f"{LEAST_PER_MM} per mm or more, so nothing scatters: check the mu-map"
            )
        counts = [max(1, round(size / spacing)) for spacing in grid.spacing_mm]
        starts = [np.arange(0, n, count) for n, count in zip(grid.shape, counts, strict=True)]
        mass = _blocks(voxels, starts)
        held = mass >= LEAST_PER_MM * np.prod(counts)
        places = np.stack([_moment(voxels, starts, axis)[held] for axis in range(3)], axis=-1)
        places /= mass[held][:, None]
        odd = np.indices(mass.shape).sum(axis=0)[held] % 2
        order = np.argsort(odd, kind="stable")
        at = grid.origin_mm + places[order] * grid.spacing_mm
        # What the thin blocks at the rim hold is shared by all others.
        share = float(mass.sum()) / float(mass[held].sum())
        return cls(at, mass[held][order] * volume * share, int(np.count_nonzero(odd == 0)))

    def every(self, step: int) -> ScatterPoints:
        """Return every so manieth point."""
        return ScatterPoints(
            self.places_mm[::step], self.weights_mm2[::step], -(-self.first // step)
        )


@dataclass(frozen=True, eq=False)
class Detectors:
    """Small faces that count photons."""

    places_mm: Floats
    """Middles, shape ``(detectors, 3)``."""

    inward: Floats
    """Unit vectors that they look along, shape ``(detectors, 3)``."""

    @classmethod
    def around(cls, places_mm: Floats) -> Detectors:
        """Return detectors that look at the scanner's axis."""
        inward = np.zeros_like(places_mm)
        inward[:, :2] = -places_mm[:, :2] / np.hypot(*places_mm[:, :2].T)[:, None]
        return cls(places_mm, inward)

    def seen(self, places_mm: Floats) -> tuple[Floats, Floats]:
        """Return unit vectors from points to all detectors, and cosine over squared distance.

        Shapes ``(3, detectors, points)`` and ``(detectors, points)``.
        """
        way = self.places_mm.T[:, :, None] - places_mm.T[:, None, :]
        distance = np.sqrt(np.einsum("adp,adp->dp", way, way))
        way /= np.maximum(distance, 1e-6)
        cosine = -np.einsum("adp,da->dp", way, self.inward)
        return way, np.maximum(cosine, 0) / np.maximum(distance, 1e-6) ** 2

    def direct(self, pairs: Indices) -> Floats:
        """Return what pairs of detectors see of each other: cosines over squared distance."""
        ends = self.places_mm[pairs]
        way = ends[:, 1] - ends[:, 0]
        square = np.einsum("pa,pa->p", way, way)
        one = np.einsum("pa,pa->p", way, self.inward[pairs[:, 0]])
        two = -np.einsum("pa,pa->p", way, self.inward[pairs[:, 1]])
        return np.asarray(one * two / square**2, float)


def pair_scatter(
    rays: tuple[Array, Array],
    points: ScatterPoints,
    detectors: Detectors,
    pairs: Indices,
    window: EnergyWindow,
) -> Array:
    """Return the single scatter of detector pairs, by each set of points alone.

    Parameters
    ----------
    rays : tuple of array
        Integrals of activity and of mu from every point to every detector, shape
        ``(detectors, points)`` each; see `integrals`.
    points : ScatterPoints
        Where photons are deflected.
    detectors : Detectors
        What counts them.
    pairs : array of int
        Pairs of detectors, shape ``(pairs, 2)``.
    window : EnergyWindow
        Energies that count.

    Returns
    -------
    ndarray
        Shape ``(pairs, 2)``, in the unit of the activity times mm; the sum of both sets is the
        single scatter of all points.
    """
    from emrecon.tomo.kernels import scatter as kernel  # noqa: PLC0415 - numba only when needed

    args = _arguments(rays, points, detectors, pairs, window)
    sums = kernel.pair_sums(args, points.first)
    direct = detectors.direct(pairs)
    return np.asarray(sums / np.maximum(direct, 1e-30)[:, None], np.float32)


def timed_pair_scatter(
    activity: Volume,
    mu: Array,
    points: ScatterPoints,
    detectors: Detectors,
    pairs: Indices,
    measured: tuple[EnergyWindow, Timing],
) -> Array:
    """Return the single scatter of detector pairs in time-of-flight bins [1]_.

    Parameters
    ----------
    activity : Volume
        Activity, its axes along the scanner's towards R, A and S.
    mu : array
        Integrals of mu from every point to every detector, see `integrals`.
    points, detectors, pairs
        See `pair_scatter`.
    measured : tuple
        Energies that count, and how times of arrival are measured.

    Returns
    -------
    ndarray
        Shape ``(time-of-flight bins, pairs)``, in the unit of the activity times mm; places are
        positive towards the second detector of a pair.

    References
    ----------
    .. [1] C. C. Watson, "Extension of single scatter simulation to scatter correction of
       time-of-flight PET", IEEE Trans. Nucl. Sci. 54, 1679 (2007).
    """
    from emrecon.tomo.kernels import scatter as kernel  # noqa: PLC0415 - numba only when needed

    window, timing = measured
    step = min(timing.sigma_mm * FINENESS, MOST_STEP_MM)
    way = detectors.places_mm[:, None] - points.places_mm
    lengths = np.sqrt(np.einsum("dpa,dpa->dp", way, way)).astype(np.float32)
    first, last = _span(activity, detectors, float(lengths.max()))
    stretches = (first, step, max(1, int(np.ceil((last - first) / step))))
    timed = integrals(activity, points, detectors, stretches)
    slots = 2 * int(np.ceil(lengths.max() / step)) + 1
    args = _arguments((mu, mu), points, detectors, pairs, window)
    sums = kernel.timed_sums(args, (timed, lengths, first, step, slots))
    places = (np.arange(slots) - slots // 2) * step
    within = (np.arange(4) - 1.5) / 4 * step
    shares = timing.weights(places[:, None] + within).mean(axis=1)
    direct = np.maximum(detectors.direct(pairs), 1e-30).astype(np.float32)
    return np.ascontiguousarray((sums @ shares.astype(np.float32)).T / direct)


def _span(activity: Volume, detectors: Detectors, farthest: float) -> tuple[float, float]:
    """Return between which distances from a detector there is activity, and a point beyond."""
    i, j, _ = np.nonzero(activity.voxels)
    if not i.size:
        return 0.0, farthest
    grid = activity.grid()
    aside = np.hypot(grid.centres_mm(0)[i], grid.centres_mm(1)[j]).max() + max(grid.spacing_mm)
    radius = np.hypot(detectors.places_mm[:, 0], detectors.places_mm[:, 1])
    return max(0.0, float(radius.min() - aside)), farthest


def _arguments(
    rays: tuple[Array, Array],
    points: ScatterPoints,
    detectors: Detectors,
    pairs: Indices,
    window: EnergyWindow,
) -> tuple[Any, ...]:
    """Return what both kernels take."""
    from emrecon.tomo.kernels import scatter as kernel  # noqa: PLC0415 - numba only when needed

    activity, mu = rays
    way, sight = detectors.seen(points.places_mm)
    places = np.zeros((2, *way.shape), np.float32)
    places[0], places[1, 0] = way, sight
    return (
        places,
        points.weights_mm2.astype(np.float32),
        np.stack([activity, mu, np.exp(-mu)]),
        angles(window, kernel.TABLE, kernel.TERMS),
        np.ascontiguousarray(pairs, np.int32),
    )


def integrals(
    volume: Volume, points: ScatterPoints, detectors: Detectors, stretches: Stretches | None = None
) -> Array:
    """Return the integral of a volume from every point to every detector, value times mm.

    Shape ``(detectors, points)``; by stretches counted from the detector, if there are some, with
    one more axis.
    """
    from emrecon.tomo.kernels import scatter as kernel  # noqa: PLC0415 - numba only when needed

    grid = volume.grid()
    sums = kernel.line_integrals(
        np.ascontiguousarray(volume.voxels),
        np.array(grid.origin_mm, float),
        np.array(grid.spacing_mm, float),
        points.places_mm,
        np.ascontiguousarray(detectors.places_mm),
        stretches or (0.0, 0.0, 1),
    )
    return np.asarray(sums if stretches else sums[..., 0])


def angles(
    window: EnergyWindow, steps: int, terms: int
) -> tuple[float, Array, tuple[np.float32, ...]]:
    """Return the least cosine that counts, and what a deflection does over the cosines up to 1.

    That is a table of the density of the angle times the relative efficiency, over so many steps
    and with one more entry behind the last; and the relative attenuation less 1, which is 0 at 1,
    as coefficients of as many powers of one less the cosine, from the first on.
    """
    fine = np.linspace(-1, 1, 20001)
    counted = np.flatnonzero(window.accepts(scattered_kev(fine)) > NEGLIGIBLE)
    least = float(fine[max(0, counted[0] - 1)])
    cosine = np.linspace(least, 1, steps + 1)
    kev = scattered_kev(cosine)
    angle = angular_density(cosine) * window.accepts(kev) / window.accepts(REST_KEV)
    angle[0] = 0.0
    table = np.append(angle, angle[-1]).astype(np.float32)
    return least, table, attenuation_powers(1 - least, terms)


def attenuation_powers(most: float, terms: int) -> tuple[np.float32, ...]:
    """Return the relative attenuation less 1 as powers of one less the cosine, from the first on.

    So many powers fit it up to the greatest one less the cosine; of photons that turned more than
    once these add up.
    """
    less = most * (1 - np.cos(np.pi * (np.arange(64) + 0.5) / 64)) / 2  # Chebyshev's
    extra = (relative_attenuation(scattered_kev(1 - less)) - 1) / less
    powers = np.polynomial.Polynomial.fit(less, extra, terms - 1).convert().coef
    return tuple(powers.astype(np.float32))


def _blocks(voxels: NDArray[np.floating], starts: list[NDArray[np.int64]]) -> Floats:
    """Return sums over blocks that begin at `starts` along each axis."""
    sums = np.add.reduceat(voxels, starts[2], axis=2, dtype=np.float64)
    return np.asarray(np.add.reduceat(np.add.reduceat(sums, starts[1], 1), starts[0], 0), float)


def _moment(voxels: Array, starts: list[NDArray[np.int64]], axis: int) -> Floats:
    """Return the sums over blocks of the index along an axis times the value."""
    shape = [1, 1, 1]
    shape[axis] = -1
    index = np.arange(voxels.shape[axis], dtype=np.float32).reshape(shape)
    return _blocks(voxels * index, starts)
