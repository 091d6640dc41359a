"""Projections of a parallel-hole camera: turn, attenuate, blur by depth, sum; and the transpose.

A view reads the image on a raster turned with the camera: rows of samples at one depth, each
sample a column along z interpolated from the four image columns around it, so that weights are
shared by all z and memory is read in stretches.  Depths run from the detector inwards, with the
survival of photons from the depths passed so far in one plane.

The response is a convolution of each depth's plane, directly and separably along z and u.  Planes
are kept flat, with gaps of zeros between their rows, so that both convolutions are the same loop
over long stretches; the gaps of results hold rubbish that is never read.

Forward, a view belongs to one thread.  The adjoint makes the blurred and attenuated raster of a
few views, a thread a view, and then gathers from these, a thread a slab of the image, in the order
of views: no two threads write the same number, and bits do not depend on how many there are.
"""

import math
from typing import NamedTuple

import numpy as np

from emrecon.compiled import inline, kernel, share

# What is called, and not inlined, may be linked to a copy that was compiled elsewhere: with the
# leave to reorder, bits would depend on which process compiled the kernels.
_jit = kernel(fastmath=True)
_inline = inline(fastmath=True)

STRETCH = 1024
"""Numbers that a convolution handles at a time, few enough for the first-level cache."""

MOST_BYTES = 200_000_000
"""Memory for the rasters of the views that the adjoint takes together, at most."""


class Slices(NamedTuple):
    """Columns of voxels: `values` (nx, ny, nz), [i, j] centred at (x0 + i vx, y0 + j vy) mm."""

    values: np.ndarray
    x0: float
    y0: float
    vx: float
    vy: float


class Raster(NamedTuple):
    """The samples of every view.

    cosines, sines (views,); depth_mm (depths,): place along the camera's normal, nearest to the
    detector first; u_mm (rows,); low, high (depths,): rows of each depth that count are
    low ... high - 1; step_mm: distance between depths.
    """

    cosines: np.ndarray
    sines: np.ndarray
    depth_mm: np.ndarray
    u_mm: np.ndarray
    low: np.ndarray
    high: np.ndarray
    step_mm: float


class Spread(NamedTuple):
    """The response, by orbit radius and depth.

    orbit (views,): which radius a view has; taps_u, taps_z (radii, depths, reach): half a
    symmetric kernel, middle first; reach_u, reach_z (radii, depths): neighbours on each side that
    count, or -1 for a depth behind the detector.
    """

    orbit: np.ndarray
    taps_u: np.ndarray
    taps_z: np.ndarray
    reach_u: np.ndarray
    reach_z: np.ndarray


def forward(image, medium, halvings, raster, spread, out):
    """Project `image` into `out` (views, rows, nz), in mm.

    `image` and `medium` (mu, 1/mm; without columns where nothing attenuates) are `Slices` of the
    same nz.  `medium.values.max() * raster.step_mm / 2 / 2**halvings` is 0.35 at most.
    """
    share(_forward, out.shape[0], image, medium, halvings, raster, spread, out)


def adjoint(data, medium, halvings, raster, spread, image):
    """Put the exact transpose of `forward`, applied to `data`, into `image`."""
    depths, rows, nz = raster.depth_mm.size, raster.u_mm.size, data.shape[2]
    views = len(data)
    together = max(1, min(views, MOST_BYTES // (4 * depths * rows * nz)))
    work = np.empty((together, depths, rows, nz), np.float32)
    image.values[...] = 0
    for begin in range(0, views, together):
        count = min(together, views - begin)
        share(_spread_views, count, begin, data, medium, halvings, raster, spread, work)
        share(_gather, image.values.shape[0], begin, count, raster, spread, work, image)


@_inline
def _corner(at, count):
    """Find the neighbours of an index between voxels, and their weights, 0 beyond the ends."""
    low = math.floor(at)
    weight = np.float32(at - low)
    first, second = np.float32(1) - weight, weight
    if low < 0 or low >= count:
        first = np.float32(0)
    if low + 1 < 0 or low + 1 >= count:
        second = np.float32(0)
    return min(max(low, 0), count - 1), min(max(low + 1, 0), count - 1), first, second


@_inline
def _read(slices, x, y, row):
    """Interpolate a column at (x, y) into `row`; return whether any voxel is near."""
    nx, ny, nz = slices.values.shape
    fx, fy = (x - slices.x0) / slices.vx, (y - slices.y0) / slices.vy
    if fx <= -1 or fy <= -1 or fx >= nx or fy >= ny:
        return False
    i0, i1, wx0, wx1 = _corner(fx, nx)
    j0, j1, wy0, wy1 = _corner(fy, ny)
    a, b = slices.values[i0, j0], slices.values[i0, j1]
    c, d = slices.values[i1, j0], slices.values[i1, j1]
    wa, wb, wc, wd = wx0 * wy0, wx0 * wy1, wx1 * wy0, wx1 * wy1
    for k in range(nz):
        row[k] = wa * a[k] + wb * b[k] + wc * c[k] + wd * d[k]
    return True


@_inline
def _survive(half_mm, halvings, mu, through, alive):
    """Take the survival of a row of photons to the middle of this step and to its far side.

    `alive` holds the survival from the near side of the step, and on return from the far side;
    `through` that from the middle.  exp(-h) for h up to 0.35 by its series to the sixth power.
    """
    scale = np.float32(-half_mm / 2.0**halvings)
    c2, c3, c4 = np.float32(1 / 2), np.float32(1 / 6), np.float32(1 / 24)
    c5, c6 = np.float32(1 / 120), np.float32(1 / 720)
    one = np.float32(1)
    for k in range(mu.size):
        h = scale * mu[k]
        mu[k] = one + h * (one + h * (c2 + h * (c3 + h * (c4 + h * (c5 + h * c6)))))
    for _ in range(halvings):
        for k in range(mu.size):
            mu[k] *= mu[k]
    for k in range(mu.size):
        through[k] = alive[k] * mu[k]
        alive[k] = through[k] * mu[k]


@_inline
def _convolve(source, at, stride, taps, reach, target, to, count):
    """Add to `count` numbers of `target` from `to` those of `source` from `at`, convolved.

    A tap's neighbours lie `stride` apart.
    """
    for begin in range(0, count, STRETCH):
        n = min(STRETCH, count - begin)
        t_at, s_at = to + begin, at + begin
        t = target[t_at : t_at + n]
        _middle(t, source[s_at : s_at + n], taps[0])
        tap = 1
        while tap + 3 <= reach:
            e, f, g, h = s_at - tap * stride, stride, tap, n
            _eight(
                t, taps[g : g + 4],
                source[e : e + h], source[e - f : e - f + h],
                source[e - 2 * f : e - 2 * f + h], source[e - 3 * f : e - 3 * f + h],
                source[s_at + g * f : s_at + g * f + h],
                source[s_at + (g + 1) * f : s_at + (g + 1) * f + h],
                source[s_at + (g + 2) * f : s_at + (g + 2) * f + h],
                source[s_at + (g + 3) * f : s_at + (g + 3) * f + h],
            )  # fmt: skip
            tap += 4
        while tap <= reach:
            less, more = s_at - tap * stride, s_at + tap * stride
            _two(t, taps[tap], source[less : less + n], source[more : more + n])
            tap += 1


@_inline
def _middle(target, source, tap):
    for k in range(target.size):
        target[k] += tap * source[k]


@_inline
def _two(target, tap, less, more):
    for k in range(target.size):
        target[k] += tap * (less[k] + more[k])


@_inline
def _eight(target, taps, a, b, c, d, e, f, g, h):
    """Four taps and their mirror images."""
    p, q, r, s = taps[0], taps[1], taps[2], taps[3]
    for k in range(target.size):
        target[k] += p * (a[k] + e[k]) + q * (b[k] + f[k]) + r * (c[k] + g[k]) + s * (d[k] + h[k])


@_jit
def _forward(begin, end, image, medium, halvings, raster, spread, out):
    """Project the views from `begin` to `end`."""
    rows, nz = out.shape[1], out.shape[2]
    margin, gap = spread.taps_u.shape[2], spread.taps_z.shape[2]
    pitch = nz + gap
    plane = np.zeros(2 * gap + rows * pitch, np.float32)
    blurred = np.zeros((rows + 2 * margin) * pitch, np.float32)
    total = np.empty(rows * pitch, np.float32)
    alive = np.empty((rows, nz), np.float32)
    mu, through = np.empty(nz, np.float32), np.empty(nz, np.float32)
    step, attenuates = np.float32(raster.step_mm), medium.values.size > 0
    for v in range(begin, end):
        c, s, r = raster.cosines[v], raster.sines[v], spread.orbit[v]
        total[:], alive[:] = 0, 1
        for n in range(raster.depth_mm.size):
            low, high = raster.low[n], raster.high[n]
            reach_u, reach_z = spread.reach_u[r, n], spread.reach_z[r, n]
            if reach_u < 0 or high <= low:
                continue
            depth, seen = raster.depth_mm[n], False
            for b in range(low, high):
                x = depth * c - raster.u_mm[b] * s
                y = depth * s + raster.u_mm[b] * c
                row = plane[gap + b * pitch : gap + b * pitch + nz]
                there = _read(image, x, y, row)
                seen |= there
                if not there:
                    row[:] = 0
                if attenuates and _read(medium, x, y, mu):
                    _survive(raster.step_mm / 2, halvings, mu, through, alive[b])
                    for k in range(nz):
                        row[k] *= step * through[k]
                else:
                    for k in range(nz):
                        row[k] *= step * alive[b, k]
            if not seen:
                continue
            first, count = margin + low, (high - low) * pitch
            blurred[first * pitch : (margin + high) * pitch] = 0
            at = gap + low * pitch
            _convolve(plane, at, 1, spread.taps_z[r, n], reach_z, blurred, first * pitch, count)
            near, far = max(0, low - reach_u), min(rows, high + reach_u)
            blurred[(margin + near - reach_u) * pitch : first * pitch] = 0
            blurred[(margin + high) * pitch : (margin + far + reach_u) * pitch] = 0
            _convolve(
                blurred, (margin + near) * pitch, pitch, spread.taps_u[r, n], reach_u,
                total, near * pitch, (far - near) * pitch,
            )  # fmt: skip
        for b in range(rows):
            for k in range(nz):
                out[v, b, k] = total[b * pitch + k]


@_jit
def _spread_views(begin, end, first, data, medium, halvings, raster, spread, work):
    """Blur and attenuate views ``first + begin`` to ``first + end`` at every depth."""
    rows, nz = data.shape[1], data.shape[2]
    margin, gap = spread.taps_u.shape[2], spread.taps_z.shape[2]
    pitch = nz + gap
    padded = np.zeros((rows + 2 * margin) * pitch, np.float32)
    blurred = np.zeros(2 * gap + rows * pitch, np.float32)
    plane = np.empty(rows * pitch, np.float32)
    alive = np.empty((rows, nz), np.float32)
    mu, through = np.empty(nz, np.float32), np.empty(nz, np.float32)
    step, attenuates = np.float32(raster.step_mm), medium.values.size > 0
    for v in range(begin, end):
        c, s, r = raster.cosines[first + v], raster.sines[first + v], spread.orbit[first + v]
        alive[:] = 1
        for b in range(rows):
            at = (margin + b) * pitch
            for k in range(nz):  # one by one: a slice takes seconds to compile
                padded[at + k] = data[first + v, b, k]
        for n in range(raster.depth_mm.size):
            low, high = raster.low[n], raster.high[n]
            reach_u, reach_z = spread.reach_u[r, n], spread.reach_z[r, n]
            if reach_u < 0 or high <= low:
                continue
            depth, at, count = raster.depth_mm[n], low * pitch, (high - low) * pitch
            blurred[gap + at : gap + at + count] = 0
            plane[at : at + count] = 0
            _convolve(
                padded, (margin + low) * pitch, pitch, spread.taps_u[r, n], reach_u,
                blurred, gap + at, count,
            )  # fmt: skip
            blurred[at : gap + at] = 0
            blurred[gap + at + count : 2 * gap + at + count] = 0
            _convolve(
                blurred, gap + at, 1, spread.taps_z[r, n], reach_z, plane, at, count
            )  # fmt: skip
            for b in range(low, high):
                row, target = plane[b * pitch : b * pitch + nz], work[v, n, b]
                x = depth * c - raster.u_mm[b] * s
                y = depth * s + raster.u_mm[b] * c
                if attenuates and _read(medium, x, y, mu):
                    _survive(raster.step_mm / 2, halvings, mu, through, alive[b])
                    for k in range(nz):
                        target[k] = row[k] * (step * through[k])
                else:
                    for k in range(nz):
                        target[k] = row[k] * (step * alive[b, k])


@_jit
def _gather(begin, end, first, count, raster, spread, work, image):
    """Add to image columns ``[begin:end]`` what `count` views' rasters hold around them."""
    ny = image.values.shape[1]
    depths, rows = raster.depth_mm.size, raster.u_mm.size
    far = raster.depth_mm[-1]
    du = raster.u_mm[1] - raster.u_mm[0] if rows > 1 else 1.0
    taken = np.empty((4, 3), np.int64)
    weight = np.zeros(4, np.float32)
    for i in range(begin, end):
        x = image.x0 + i * image.vx
        for v in range(count):
            c, s = raster.cosines[first + v], raster.sines[first + v]
            orbit = spread.orbit[first + v]
            reach_t = image.vx * abs(c) + image.vy * abs(s)
            reach_u = image.vx * abs(s) + image.vy * abs(c)
            for j in range(ny):
                y = image.y0 + j * image.vy
                t, u = x * c + y * s, y * c - x * s
                n1 = math.floor((t + reach_t - far) / raster.step_mm)
                n0 = math.ceil((t - reach_t - far) / raster.step_mm)
                b0 = max(0, math.ceil((u - reach_u - raster.u_mm[0]) / du))
                b1 = min(rows - 1, math.floor((u + reach_u - raster.u_mm[0]) / du))
                filled = 0
                for back in range(max(0, n0), min(depths - 1, n1) + 1):
                    n = depths - 1 - back
                    if spread.reach_u[orbit, n] < 0:
                        continue
                    depth = raster.depth_mm[n]
                    for b in range(max(b0, raster.low[n]), min(b1, raster.high[n] - 1) + 1):
                        dx = abs(depth * c - raster.u_mm[b] * s - x) / image.vx
                        dy = abs(depth * s + raster.u_mm[b] * c - y) / image.vy
                        if dx < 1 and dy < 1:
                            weight[filled] = (1 - dx) * (1 - dy)
                            taken[filled, 0], taken[filled, 1], taken[filled, 2] = v, n, b
                            filled += 1
                            if filled == 4:
                                _add(work, taken, weight, image.values[i, j])
                                filled = 0
                if filled:
                    for left in range(filled, 4):
                        weight[left] = 0
                        for axis in range(3):
                            taken[left, axis] = taken[0, axis]
                    _add(work, taken, weight, image.values[i, j])


@_inline
def _add(work, taken, weight, target):
    """Add four columns with their weights."""
    a, b = work[taken[0, 0], taken[0, 1], taken[0, 2]], work[taken[1, 0], taken[1, 1], taken[1, 2]]
    c, d = work[taken[2, 0], taken[2, 1], taken[2, 2]], work[taken[3, 0], taken[3, 1], taken[3, 2]]
    p, q, r, s = weight[0], weight[1], weight[2], weight[3]
    for k in range(target.size):
        target[k] += p * a[k] + q * b[k] + r * c[k] + s * d[k]
