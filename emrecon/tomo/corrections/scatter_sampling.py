"""Scatter on a coarse ring of detectors, and from there in all bins of a scanner.

Scatter varies slowly, so it is worked out for pairs of few detectors on the scanner's cylinder,
and interpolated by cubic splines: along the axis at both ends of a line by themselves, so that
tilted planes come from their own ring pairs, and around the ring.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import GeometryError
from emrecon.tomo.corrections.scatter_simulation import Detectors, Indices
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.events import CHUNK, Events
from emrecon.tomo.geometry.pairs import Pairs
from emrecon.volume import Array

Floats = NDArray[np.float64]

MARGIN = 3
"""Samples beyond the field of view that are worked out, which splines within it look at."""


@dataclass(frozen=True, eq=False)
class CoarseRing:
    """Few detectors, equally spaced on the cylinder of a scanner."""

    radius_mm: float
    """Effective radius of the scanner."""

    crystals: int
    """Detectors around the ring; number c is where crystal c of so many would be."""

    z_mm: Floats
    """Rings, from the first of the scanner to the last."""

    reach_mm: float
    """Distance from the axis within which lines are worked out."""

    @classmethod
    def of(cls, bins: Bins | Pairs, bin_mm: float, ring_mm: float) -> CoarseRing:
        """Return the coarse ring for some bins.

        Parameters
        ----------
        bins : Bins or Pairs
            Bins of a ring scanner, or all pairs of one that is nearly a ring.
        bin_mm : float
            Greatest distance between neighbouring lines.
        ring_mm : float
            Greatest distance between rings.

        Raises
        ------
        GeometryError
            If the bins are of parallel beams.
        """
        if not np.isfinite(bins.radius_mm):
            raise GeometryError("scatter is simulated for ring scanners, not for parallel beams")
        ends = bins.plane_z_mm if isinstance(bins, Pairs) else np.concatenate(_ends(bins))
        low, high = float(ends.min()), float(ends.max())
        rings = max(2, int(np.ceil((high - low) / ring_mm)) + 1) if high > low else 1
        half = max(8, int(np.ceil(np.pi * bins.radius_mm / bin_mm / 2)))
        width = np.pi * bins.radius_mm / (2 * half)
        reach = min(bins.fov_mm + MARGIN * width, bins.radius_mm)
        return cls(bins.radius_mm, 2 * half, np.linspace(low, high, rings), reach)

    @property
    def distance_mm(self) -> float:
        """Distance of neighbouring detectors around the ring."""
        return 2 * np.pi * self.radius_mm / self.crystals

    @property
    def detectors(self) -> Detectors:
        """The detectors, number ``crystal * rings + ring``."""
        psi = 2 * np.pi * np.arange(self.crystals) / self.crystals
        places = np.empty((self.crystals, self.z_mm.size, 3))
        places[..., 0] = self.radius_mm * np.sin(psi)[:, None]
        places[..., 1] = -self.radius_mm * np.cos(psi)[:, None]
        places[..., 2] = self.z_mm
        return Detectors.around(places.reshape(-1, 3))

    @property
    def pairs(self) -> Indices:
        """The pairs of detectors on lines within reach, each once, shape ``(pairs, 2)``.

        All pairs of rings of a pair of crystals follow each other.
        """
        one, two = np.triu_indices(self.crystals, 1)
        offset = self.radius_mm * np.cos(np.pi * (two - one) / self.crystals)
        kept = np.abs(offset) <= self.reach_mm
        rings = np.indices((self.z_mm.size, self.z_mm.size)).reshape(2, -1)
        crystals = np.stack([one[kept], two[kept]])
        both = crystals[:, :, None] * self.z_mm.size + rings[:, None, :]
        return np.ascontiguousarray(both.reshape(2, -1).T, np.int32)

    def in_bins(self, values: Array, bins: Bins, factor: Array | None = None) -> Array:
        """Return values of `pairs` in bins, times a factor a bin.

        Parameters
        ----------
        values : array
            Shape ``(pairs,)``, or ``(tof, pairs)`` with the time-of-flight bins of `bins`.
        bins : Bins
            Bins of the scanner that this is the coarse ring of.
        factor : array, optional
            Efficiencies, shape ``bins.shape``.
        """
        from emrecon.tomo.kernels import between_pairs as kernel  # noqa: PLC0415 - numba when needed

        beta = np.arcsin(np.clip(bins.s_mm / bins.radius_mm, -1, 1))
        per = self.crystals / (2 * np.pi)
        views = bins.phi_rad[:, None]
        ends = np.stack([(views + beta) * per, (views + np.pi - beta) * per])
        timed = values.reshape(-1, values.shape[-1])
        out = np.empty((len(timed), *bins.shape), np.float32)
        for target, table in zip(out, self._tables(timed), strict=True):
            rows = self._planes(table, bins)
            kernel.interpolate(rows, ends, factor, target)
        return out if bins.timing is not None and values.ndim == 2 else out[0]

    def at_pairs(self, values: Array, ends_mm: Array, tof: NDArray[np.integer] | None) -> Array:
        """Return values of `pairs` for any lines between points on the cylinder.

        Parameters
        ----------
        values : array
            Shape ``(pairs,)``, or ``(tof, pairs)``.
        ends_mm : array
            Where each line begins and ends, shape ``(lines, 2, 3)``.
        tof : array of int, optional
            Time-of-flight bin of each line, positive towards its end.
        """
        from emrecon.tomo.kernels import between_pairs as kernel  # noqa: PLC0415 - numba when needed

        step = float(np.diff(self.z_mm).mean()) if self.z_mm.size > 1 else 1.0
        angles = np.arctan2(ends_mm[..., 0], -ends_mm[..., 1]) * (self.crystals / (2 * np.pi))
        along = np.clip((ends_mm[..., 2] - self.z_mm[0]) / step, 0, self.z_mm.size - 1)
        places = np.concatenate([angles, along], axis=1).astype(np.float32)
        which = np.zeros(len(places), np.int64) if tof is None else tof.astype(np.int64)
        return np.asarray(kernel.at_pairs(self._splines(values), places, which), np.float32)

    def _splines(self, values: Array) -> Array:
        """Return `_tables` as coefficients of splines around the ring."""
        from scipy.ndimage import spline_filter1d  # noqa: PLC0415 - heavy

        tables = self._tables(values.reshape(-1, values.shape[-1]))
        for table in tables:
            for axis in (0, 1):
                table[:] = spline_filter1d(table, 3, axis, np.float32, "grid-wrap")
        return tables

    def blurred(self, values: Array, sigma_mm: float) -> Array:
        """Return values of `pairs` blurred across lines by a Gaussian, each end by itself."""
        from scipy.ndimage import gaussian_filter1d  # noqa: PLC0415 - heavy

        width = np.sqrt(2) * sigma_mm / (2 * np.pi * self.radius_mm / self.crystals)
        out = np.empty_like(values.reshape(-1, values.shape[-1]))
        rings, pairs = self.z_mm.size, self.pairs
        (c1, r1), (c2, r2) = (np.divmod(pairs[:, end], rings) for end in (0, 1))
        for row, table in zip(out, self._tables(values.reshape(out.shape)), strict=True):
            for axis in (0, 1):
                gaussian_filter1d(table, width, axis, output=table, mode="wrap")
            row[:] = table[c1, c2, r1, r2]
        return out.reshape(values.shape)

    def _tables(self, timed: Array) -> Array:
        """Return values by both crystals and rings, ``[tof, crystal, crystal, ring, ring]``."""
        rings = self.z_mm.size
        out = np.zeros((len(timed), self.crystals, self.crystals, rings, rings), np.float32)
        pairs = self.pairs
        (c1, r1), (c2, r2) = (np.divmod(pairs[:, end], rings) for end in (0, 1))
        out[:, c1, c2, r1, r2] = timed
        out[:, c2, c1, r2, r1] = timed[::-1]
        return out

    def _planes(self, table: Array, bins: Bins) -> Array:
        """Return the spline coefficients around the ring of every plane, ``[c1, c2, plane]``."""
        from scipy.interpolate import make_interp_spline  # noqa: PLC0415 - heavy
        from scipy.ndimage import spline_filter1d  # noqa: PLC0415

        rings = self.z_mm.size
        if rings == 1:
            rows = np.repeat(table[..., 0], bins.planes, axis=-1)
        else:
            spline = make_interp_spline(self.z_mm, np.eye(rings), min(3, rings - 1))
            one, two = (spline(end).astype(np.float32) for end in _ends(bins))
            both = (one[:, :, None] * two[:, None, :]).reshape(bins.planes, -1)
            # No matrix product, whose last bits depend on the number of threads.
            rows = np.einsum("cdk,pk->cdp", table.reshape(*table.shape[:2], -1), both)
        for axis in (0, 1):
            rows = spline_filter1d(rows, 3, axis, np.float32, "grid-wrap")
        return np.ascontiguousarray(rows)


@dataclass(frozen=True, eq=False)
class CoarseScatter:
    """The scatter of a scan by few pairs of detectors, for any part of it wherever it is read."""

    ring: CoarseRing
    """The detectors."""

    values: Array
    """Scatter of their pairs, with time of flight ``(tof, pairs)``."""

    scale: float
    """What makes counts of it in a bin, or pair, of efficiency 1."""

    planes: Floats | None = None
    """What the planes of bins are multiplied by beyond that, where they were fitted."""

    def in_bins(self, bins: Bins, efficiency: Array | None) -> Array:
        """Return the scatter of some or all views of the scan, counts."""
        scatter = self.ring.in_bins(self.values, bins, efficiency)
        scatter *= np.float32(self.scale)
        if self.planes is not None:
            scatter *= self.planes.astype(np.float32)
        return scatter

    def of_events(self, events: Events, efficiency: Array) -> Array:
        """Return the scatter of each event's pair, and time-of-flight bin, counts."""
        out = np.empty(len(events), np.float32)
        begin = 0
        for chunk in events.subset(0, 1, CHUNK):
            ends = np.asarray(chunk.points_mm[chunk.pairs], np.float32)
            values = self.ring.at_pairs(self.values, ends, chunk.tof)
            out[begin : begin + len(values)] = values
            begin += len(values)
        out *= efficiency
        out *= np.float32(self.scale)
        return out


def _ends(bins: Bins) -> tuple[Floats, Floats]:
    """Return where both ends of each plane's lines lie along the axis."""
    return (
        bins.plane_z_mm - bins.plane_tilt_mm / 2,
        bins.plane_z_mm + bins.plane_tilt_mm / 2,
    )
