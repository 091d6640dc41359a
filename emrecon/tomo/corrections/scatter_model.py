"""All scatter of a PET scan, single and multiple, as far as activity and mu tell it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emrecon.errors import GeometryError
from emrecon.tomo.corrections.attenuation import aligned
from emrecon.tomo.corrections.scatter_sampling import CoarseRing
from emrecon.tomo.corrections.scatter_simulation import (
    LEAST_PER_MM,
    ScatterPoints,
    integrals,
    pair_scatter,
    timed_pair_scatter,
)
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.energy import (
    REST_KEV,
    EnergyWindow,
    angular_density,
    scattered_kev,
)
from emrecon.tomo.geometry.pairs import Pairs
from emrecon.tomo.geometry.tof import Timing
from emrecon.volume import Array, Grid, Volume

POINTS = 1200
"""Scatter points; with so many a bin of a body errs by 0.3 % of the greatest."""

SAMPLES = 5.0
"""Samples of scatter in the radius of the body: finer ones change less than the points do."""

BEYOND_MM = 50.0
"""How far beyond the rings matter is taken to scatter into them."""

AGAIN = (0.575, 0.34)
"""Multiple over single scatter, in units of the mean optical path out of the body times the share
of scattered photons that still count, and how that grows with the share (`phantoms.monte_carlo`).
In the mMR it is 0.66, and counted are 0.71 in a brain, 0.68 and 0.63 in ellipses of water 220 and
400 mm wide, 0.64 in the NEMA body, 0.61 in a thorax; in the HR+ 0.73, and counted are 0.76 in
ellipses 150 to 400 mm wide, 0.70 in the NEMA body: all scatter is within 1.3 % in each."""

AGAIN_MM = (22.0, 0.25, 265.0)
"""Blur across lines that makes multiple scatter of single: in mm, at this share of scattered
photons that still count, and gain with it."""

SMALL_MM = (89.0, 132.0, 20.0)
"""Radius of a body up to which the blur is wider by so many mm, and from which on it is not: of
small bodies multiple scatter is much wider than single. In the mMR a brain (89 mm) is then within
3 % of the multiple scatter of Monte Carlo on all lines, where 22 mm were 22 % short beside it; an
ellipse of water 220 mm wide fits best with 32 to 42 mm, one of 400 mm, a thorax and the NEMA body
with 22 mm (within 15 % on lines through the thorax, 14 % through the NEMA body)."""


@dataclass(frozen=True, eq=False)
class ScatterModel:
    """What of a scatter simulation does not depend on the activity."""

    bins: Bins | Pairs
    """Where scatter is wanted."""

    timing: Timing | None
    """How times of arrival are measured there, if they are."""

    window: EnergyWindow
    """Energies that count."""

    points: ScatterPoints
    """Where photons are deflected."""

    ring: CoarseRing
    """Detectors that it is worked out for."""

    mu: Volume
    """The attenuation map along the scanner's axes, 1/mm."""

    body_mm: float
    """Radius of a disc as large as the largest slice of what attenuates."""

    mu_rays: Array
    """Integrals of mu from every point to every detector."""

    @classmethod
    def of(
        cls, mu: Volume, bins: Bins | Pairs, window: EnergyWindow, points: int = POINTS,
        timing: Timing | None = None,
    ) -> ScatterModel:  # fmt: skip
        """Choose points and detectors by the size of what attenuates.

        Parameters
        ----------
        mu : Volume
            Attenuation map in 1/mm, anywhere in the scanner's world.
        bins : Bins or Pairs
            Bins of a ring scanner, or all pairs of one.
        window : EnergyWindow
            Energies that count.
        points : int, optional
            Scatter points to aim at.
        timing : Timing, optional
            Time-of-flight bins; those of bins are known.
        """
        along = aligned(mu.ras(), bins)
        reach = float(np.abs(bins.plane_z_mm).max()) + BEYOND_MM
        held = ScatterPoints.of(along, points, reach)
        grid = along.grid()
        area = np.count_nonzero(along.voxels >= LEAST_PER_MM, axis=(0, 1)).max()
        radius = float(np.sqrt(area * grid.spacing_mm[0] * grid.spacing_mm[1] / np.pi))
        step = radius / SAMPLES
        ring = CoarseRing.of(bins, step, step)
        rays = integrals(along, held, ring.detectors)
        if timing is None and isinstance(bins, Bins):
            timing = bins.timing
        return cls(bins, timing, window, held, ring, along, radius, rays)

    @property
    def kept(self) -> float:
        """Share of photons that still count after one deflection, of those that did before."""
        from scipy.integrate import trapezoid  # noqa: PLC0415 - heavy

        cosine = np.linspace(-1, 1, 2001)
        kept = self.window.accepts(scattered_kev(cosine)) / self.window.accepts(REST_KEV)
        return float(2 * np.pi * trapezoid(angular_density(cosine) * kept, cosine))

    @property
    def again(self) -> float:
        """Multiple over single scatter, as expected of the body's size and the energy window."""
        weights = self.points.weights_mm2 / self.points.weights_mm2.sum()
        path = float(self.mu_rays.mean(axis=0, dtype=np.float64) @ weights)
        return (AGAIN[0] + AGAIN[1] * self.kept) * self.kept * path

    @property
    def again_mm(self) -> float:
        """Standard deviation of the blur across lines that makes multiple scatter of single."""
        least, share, gain = AGAIN_MM
        small, large, more = SMALL_MM
        wider = more * float(np.clip((large - self.body_mm) / (large - small), 0, 1))
        return max(least / 2, least + gain * (self.kept - share)) + wider

    def of_pairs(self, activity: Volume) -> tuple[Array, float]:
        """Return the scatter of the coarse pairs, and how far sampling errs.

        Parameters
        ----------
        activity : Volume
            Activity, its axes along the scanner's towards R, A and S.

        Returns
        -------
        ndarray
            Single and multiple scatter in the scale of the activity's line integral; with time
            of flight, shape ``(tof, pairs)``.
        float
            Root mean square error by the choice of points, as a share of the mean scatter.
        """
        activity = continued(activity, self.mu, BEYOND_MM)
        places = self.points, self.ring.detectors, self.ring.pairs
        rays = integrals(activity, self.points, self.ring.detectors), self.mu_rays
        halves = pair_scatter(rays, *places, self.window)
        single = halves.sum(axis=1)
        mass = [self.points.weights_mm2[: self.points.first].sum()]
        mass.append(self.points.weights_mm2.sum() - mass[0])
        apart = halves[:, 0] * sum(mass) / mass[0] - single if min(mass) > 0 else single
        error = float(np.sqrt(np.mean(apart.astype(float) ** 2)) / max(single.mean(), 1e-30))
        if self.timing is not None:
            measured = self.window, self.timing
            single = timed_pair_scatter(activity, self.mu_rays, *places, measured)
        return single + np.float32(self.again) * self.ring.blurred(single, self.again_mm), error

    def in_bins(self, values: Array, efficiency: Array | None = None) -> Array:
        """Return values of the coarse pairs in all bins, times their efficiency.

        Raises
        ------
        GeometryError
            If there are no bins.
        """
        if not isinstance(self.bins, Bins):
            raise GeometryError("pairs of detectors lie in no bins: ask for those of each event")
        return self.ring.in_bins(values, self.bins, efficiency)


def continued(activity: Volume, mu: Volume, length_mm: float) -> Volume:
    """Return an activity continued beyond its first and last plane where there is matter.

    A scanner sees photons scattered that no image of it tells where they are from: what lies
    just beyond its rings is taken to be as its outermost planes.
    """
    from scipy.ndimage import map_coordinates  # noqa: PLC0415 - heavy

    grid = activity.grid()
    more = int(np.ceil(length_mm / grid.spacing_mm[2]))
    wide = Grid(
        (grid.shape[0], grid.shape[1], grid.shape[2] + 2 * more),
        grid.spacing_mm,
        (*grid.origin_mm[:2], grid.origin_mm[2] - more * grid.spacing_mm[2]),
    )
    voxels = np.pad(activity.voxels, ((0, 0), (0, 0), (more, more)), mode="edge")
    to_mu = [
        (wide.centres_mm(axis) - mu.affine[axis, 3]) / mu.affine[axis, axis] for axis in range(3)
    ]
    for ends in (slice(0, more), slice(wide.shape[2] - more, None)):
        places = np.meshgrid(to_mu[0], to_mu[1], to_mu[2][ends], indexing="ij")
        matter = map_coordinates(mu.voxels, places, order=1, mode="grid-constant")
        voxels[..., ends] *= matter >= LEAST_PER_MM
    return Volume(voxels, wide.affine, activity.unit)
