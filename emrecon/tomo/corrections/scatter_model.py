"""All scatter of a PET scan, single and multiple, as far as activity and mu tell it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from emrecon.errors import GeometryError
from emrecon.tomo.corrections.attenuation import aligned
from emrecon.tomo.corrections.multiple_scatter import MultipleScatter
from emrecon.tomo.corrections.scatter_activity import as_wide_as_rays, continued
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
from emrecon.volume import Array, Volume

log = logging.getLogger(__name__)

POINTS = 1200
"""Scatter points; with so many a bin of a body errs by 0.3 % of the greatest."""

LINES, RINGS = 0.2, 0.3
"""Distance of neighbouring lines and of rings as shares of the body's radius: finer ones change
less than the points do."""

BEYOND_MM = 150.0
"""How far beyond the rings matter of the map scatters into them, and activity, of which no image
tells, is taken to go on in it: 50 mm left out a tenth of the scatter of 70 cm in the HR+."""

MUCH_BEYOND = 0.02
"""Share of what attenuates beyond the field of view of which is warned: a bed's edges are less."""

TIMES_MM = 210.0
"""Standard deviation, in units of the share of scattered photons that still count, of the lines
about one whose times of arrival, when scattered once, those of multiple scatter are taken for."""


class PairScatter(NamedTuple):
    """The scatter of the coarse pairs."""

    values: Array
    """Single and multiple scatter in the scale of the activity's line integral; with time of
    flight, shape ``(tof, pairs)``."""

    single: Array
    """The single scatter alone."""

    error: float
    """Root mean square error by the choice of points, as a share of the mean scatter."""

    again: float
    """Multiple over single scatter."""

    thin: bool
    """Whether the activity was blurred, as it is too thin for the rays that sample it."""


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

    multiple: MultipleScatter
    """The same of multiple scatter."""

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
        held = ScatterPoints.of(along, points, _reach(bins))
        grid = along.grid()
        _warn_beyond(held, bins.fov_mm)
        area = np.count_nonzero(along.voxels >= LEAST_PER_MM, axis=(0, 1)).max()
        radius = float(np.sqrt(area * grid.spacing_mm[0] * grid.spacing_mm[1] / np.pi))
        ring = CoarseRing.of(bins, LINES * radius, RINGS * radius)
        rays = integrals(along, held, ring.detectors)
        if timing is None and isinstance(bins, Bins):
            timing = bins.timing
        multiple = MultipleScatter.of(along, held, bins, window, radius)
        return cls(bins, timing, window, held, ring, along, radius, rays, multiple)

    def rougher(self, points: int, chains: int) -> ScatterModel:
        """Return the same of about so many scatter points and chains of multiple scatter."""
        held = ScatterPoints.of(self.mu, points, _reach(self.bins))
        rays = integrals(self.mu, held, self.ring.detectors)
        parts = self.mu, held, self.bins, self.window, self.body_mm
        multiple = MultipleScatter.of(*parts, chains)
        return replace(self, points=held, mu_rays=rays, multiple=multiple)

    @property
    def kept(self) -> float:
        """Share of photons that still count after one deflection, of those that did before."""
        from scipy.integrate import trapezoid  # noqa: PLC0415 - heavy

        cosine = np.linspace(-1, 1, 2001)
        kept = self.window.accepts(scattered_kev(cosine)) / self.window.accepts(REST_KEV)
        return float(2 * np.pi * trapezoid(angular_density(cosine) * kept, cosine))

    def of_pairs(self, activity: Volume) -> PairScatter:
        """Return the scatter of the coarse pairs.

        Activity so thin that rays would meet it by chance is blurred first.

        Parameters
        ----------
        activity : Volume
            Activity, its axes along the scanner's towards R, A and S.
        """
        whole = continued(activity, self.mu, BEYOND_MM)
        ends = self.ring.detectors.places_mm[self.ring.pairs].astype(np.float32)
        more = self.multiple.ring.at_pairs(self.multiple.of_pairs(whole), ends, None)
        activity = as_wide_as_rays(whole, self.points, self.ring.detectors, self.ring.distance_mm)
        places = self.points, self.ring.detectors, self.ring.pairs
        rays = integrals(activity, self.points, self.ring.detectors), self.mu_rays
        halves = pair_scatter(rays, *places, self.window)
        single = halves.sum(axis=1)
        mass = [self.points.weights_mm2[: self.points.first].sum()]
        mass.append(self.points.weights_mm2.sum() - mass[0])
        apart = halves[:, 0] * sum(mass) / mass[0] - single if min(mass) > 0 else single
        mean = max(float(single.mean()), 1e-30)
        error = float(np.sqrt(np.mean(apart.astype(float) ** 2))) / mean
        again = float(more.mean()) / mean
        if self.timing is not None:
            single = timed_pair_scatter(
                activity, self.mu_rays, *places, (self.window, self.timing)
            )
            near = self.ring.blurred(single, TIMES_MM * self.kept)
            more = near * (more / np.maximum(near.sum(axis=0), np.float32(1e-30)))
        return PairScatter(single + more, single, error, again, activity is not whole)

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


def _reach(bins: Bins | Pairs) -> float:
    """Return how far from the scanner's middle matter scatters into it."""
    return float(np.abs(bins.plane_z_mm).max()) + BEYOND_MM


def _warn_beyond(points: ScatterPoints, fov_mm: float) -> None:
    """Warn of a body that is larger than the field of view."""
    far = np.hypot(points.places_mm[:, 0], points.places_mm[:, 1]) > fov_mm
    share = float(points.weights_mm2[far].sum() / points.weights_mm2.sum())
    if share > MUCH_BEYOND:
        log.warning(
            "%.0f %% of what attenuates lies beyond the field of view of %.0f mm from the axis: "
            "activity there is in no image, so its scatter is missing",
            100 * share,
            fov_mm,
        )
