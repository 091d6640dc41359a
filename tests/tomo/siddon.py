"""A plain reference projector: Siddon's method, with the rays that STIR traces for a bin.

Slow and simple on purpose, and independent of `operators.joseph`. The geometry is what STIR
documents for its matrix "Ray Tracing", with two rays a bin:

- voxels are boxes of one value; a ray adds its length in each (Siddon 1985);
- a bin is the mean of two parallel rays a quarter of a bin to either side of its middle, with
  the tilt of the middle;
- planes lie two voxels apart, so along the axis a bin is two rays half a voxel to either side of
  the middle; for direct planes it is the mean over the ring's width: a whole voxel and two halves;
- a ray runs through whole voxels, from that which holds its entry into the field of view to that
  which holds its exit. The field of view is the circle about the axis through the centre of the
  outermost voxel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from emrecon.tomo.geometry.bins import Bins
from emrecon.volume import Array, Grid

DIRECT = np.array([0.25, 0.5, 0.25], np.float32)
OBLIQUE = np.array([0.0, 0.5, 0.5], np.float32)


@dataclass(frozen=True, eq=False)
class Siddon:
    """Mean line integrals in mm of arc-corrected bins of span 1, and the exact adjoint."""

    grid: Grid
    bins: Bins

    spread: float = 0.25
    """How far, in bins, the two rays lie from the middle; 0 makes them one."""

    bound_mm: float = np.inf
    """Radius that the field of view is at most."""

    @property
    def domain(self) -> tuple[int, ...]:
        return self.grid.shape

    @property
    def range(self) -> tuple[int, ...]:
        return self.bins.shape

    @property
    def fov_mm(self) -> float:
        """Distance from the axis to the outermost voxel centre, on the nearest side."""
        ends = [self.grid.centres_mm(axis)[[0, -1]] for axis in (0, 1)]
        return min(float(np.abs(ends).min()), self.bound_mm)

    def forward(self, image: Array) -> Array:
        out = np.zeros(self.range, np.float32)
        for at, segment in zip(self.bins.offsets, self.bins.segments, strict=True):
            columns = _mean(image, OBLIQUE if segment.tilt_mm else DIRECT)
            part = np.zeros((*self.range[:2], segment.planes), np.float32)
            _forward(columns, *self._lines(segment), part)
            out[:, :, at : at + segment.planes] = part
        return out

    def adjoint(self, data: Array) -> Array:
        image = np.zeros(self.domain, np.float64)
        for at, segment in zip(self.bins.offsets, self.bins.segments, strict=True):
            columns = np.zeros((*self.domain[:2], self.domain[2] + 2))
            part = np.ascontiguousarray(data[:, :, at : at + segment.planes], np.float32)
            _adjoint(part, *self._lines(segment), columns)
            image += _mean_adjoint(columns, OBLIQUE if segment.tilt_mm else DIRECT)
        return image.astype(np.float32)

    def _lines(self, segment):
        """Return the geometry of a segment's first plane as the kernels want it.

        Along the axis rays start in voxels of a padded column, whose index 1 is voxel 0; of the
        two axial rays of tilted planes that is the lower one, the other being a voxel above.
        """
        origin, size = np.array(self.grid.origin_mm), np.array(self.grid.spacing_mm)
        lower = segment.first_mm - (size[2] / 2 if segment.tilt_mm else 0.0)
        slope = segment.tilt_mm / (2 * self.bins.half_chord_mm)
        step = round(segment.step_mm / size[2])
        start = (lower - origin[2]) / size[2] + 1
        return (
            self.bins.phi_rad,
            self.bins.s_mm,
            self.bins.bin_mm * self.spread,
            slope,
            start,
            step,
            origin,
            size,
            self.fov_mm,
        )


def _mean(image: Array, taps: Array) -> Array:
    """Return ``out[k] = sum over d of taps[d + 1] image[k + d]``, columns padded by one voxel."""
    padded = np.pad(image, ((0, 0), (0, 0), (2, 2)))
    return sum(tap * padded[:, :, d : d + image.shape[2] + 2] for d, tap in enumerate(taps))


def _mean_adjoint(columns, taps: Array):
    padded = np.zeros((*columns.shape[:2], columns.shape[2] + 2))
    for d, tap in enumerate(taps):
        padded[:, :, d : d + columns.shape[2]] += tap * columns
    return padded[:, :, 2:-2]


@numba.njit(cache=True)
def _nearest(t):
    return int(np.floor(t + 0.5))


@numba.njit(cache=True)
def _trace(p, d, fov, voxels, lengths):
    """Note each voxel on the ray ``p + l d`` (in voxels; `l` in mm, up to `fov`) and the path."""
    start, end = p - fov * d, p + fov * d
    voxel, last = np.empty(3, np.int64), np.empty(3, np.int64)
    entry, leave, step = -np.inf, np.inf, np.empty(3)
    crossing = np.full(3, np.inf)
    for a in range(3):
        voxel[a], last[a] = _nearest(start[a]), _nearest(end[a])
        side = 0.5 if d[a] > 0 else -0.5
        if abs(d[a]) > 1e-9:
            step[a] = 1 / abs(d[a])
            entry = max(entry, (voxel[a] - side - p[a]) / d[a])
            leave = min(leave, (last[a] + side - p[a]) / d[a])
            crossing[a] = (voxel[a] + side - p[a]) / d[a]
    count = 0
    while entry < leave - 1e-6:
        a = np.argmin(crossing)
        voxels[count], lengths[count] = voxel, crossing[a] - entry
        count += 1
        entry = crossing[a]
        crossing[a] += step[a]
        voxel[a] += 1 if d[a] > 0 else -1
    return count


@numba.njit(cache=True)
def _ray(phi, s, slope, start, origin, size, fov, voxels, lengths):
    """Trace the ray of the first plane; lengths in mm, counted along the tilted line."""
    if abs(s) >= fov:
        return 0
    cos, sin = np.cos(phi), np.sin(phi)
    p = np.array([(s * cos - origin[0]) / size[0], (s * sin - origin[1]) / size[1], start])
    d = np.array([-sin / size[0], cos / size[1], slope / size[2]])
    count = _trace(p, d, np.sqrt(fov**2 - s**2), voxels, lengths)
    lengths[:count] *= np.sqrt(1 + slope**2) / 2  # the mean of two rays
    return count


@numba.njit(cache=True)
def _planes(k, step, size, planes):
    """Return the planes from whose ray a voxel at `k` lies in a column of `size` voxels."""
    return max(0, -(k // step)), min(planes, (size - 1 - k) // step + 1)


@numba.njit(cache=True)
def _forward(image, phis, ss, aside, slopes, start, step, origin, size, fov, out):
    voxels, lengths = np.empty((sum(image.shape), 3), np.int64), np.empty(sum(image.shape))
    for v, b in np.ndindex(out.shape[:2]):
        line = out[v, b]
        for s in (ss[b] - aside, ss[b] + aside):
            n = _ray(phis[v], s, slopes[b], start, origin, size, fov, voxels, lengths)
            for at in range(n):
                i, j, k = voxels[at]
                column, length = image[i, j], lengths[at]
                for plane in range(*_planes(k, step, column.size, line.size)):
                    line[plane] += length * column[k + step * plane]


@numba.njit(cache=True)
def _adjoint(data, phis, ss, aside, slopes, start, step, origin, size, fov, image):
    voxels, lengths = np.empty((sum(image.shape), 3), np.int64), np.empty(sum(image.shape))
    for v, b in np.ndindex(data.shape[:2]):
        line = data[v, b]
        for s in (ss[b] - aside, ss[b] + aside):
            n = _ray(phis[v], s, slopes[b], start, origin, size, fov, voxels, lengths)
            for at in range(n):
                i, j, k = voxels[at]
                column, length = image[i, j], lengths[at]
                for plane in range(*_planes(k, step, column.size, line.size)):
                    column[k + step * plane] += length * line[plane]
