"""Lengths of rays in voxels (Siddon), for all axial planes of all segments at once.

A scanner made of rings looks the same from every axial position, so the pixels that a ray crosses
in the transaxial plane, and its lengths in them, are shared by all planes of all segments.

*Rows.*  The columns of the image on a ray are summed on the way, contiguous in z and once for all
planes: `W_n` is the sum over the first n pixels of length times column.

*Intervals.*  A tilted ray stays in one layer of voxels, z, between two places a and b.  With a in
pixel m and b in pixel n > m, what it adds up there is

    (exit of m - a) column_m[z] + W_n[z] - W_{m+1}[z] + (b - entry of n) column_n[z],

which no segment pays more than once a layer, however many pixels lie between.  W grows, so that
no term is below 0, and 0 where there is nothing: sums are not reassociated (`_FAST`).  The adjoint
keeps its sums in double precision, where adding and taking away again leaves exactly nothing.

*Slabs.*  Sums start afresh every few rows of pixels across the ray, so that W stays in the
first-level cache.  In the adjoint a slab of the image belongs to one thread: no two threads write
the same voxel, and the result does not depend on their number.

Planes that lie `step` voxels apart read every step-th voxel, so the columns are kept
de-interleaved, one phase after the other, and the planes always read contiguous memory.
"""

import math

import numpy as np

from emrecon.compiled import inline, kernel, share
from emrecon.tomo.kernels import siddon_tables as tables
from emrecon.tomo.kernels.axial_tables import join, sealed, split

_FAST = {"contract", "nsz", "arcp"}  # no "reassoc"; rays that miss begin at infinity
_jit = kernel(fastmath=_FAST)
_inline = inline(fastmath=_FAST)

TINY = 1e-6  # mm: shorter lengths are rounding


def forward(
    image, x0, y0, vx, vy, vz, cosines, sines, s_mm, half_chord_mm, fov_mm,
    tilt, first, step, planes, offset, out,
):  # fmt: skip
    """Integrate `image` (nx, ny, nz) along all rays into `out` (views, bins, planes), in mm.

    Voxel [i, j] is centred at (x0 + i vx, y0 + j vy) mm.  Row t of `s_mm` holds the rays whose
    mean is bin t.  Plane p of segment g is `out[..., offset[g] + p]`: the mid-points of its lines
    lie at `first[g] + p step[g]`, their tilt is `tilt[g]`, both in axial voxels of `vz` mm,
    between detectors at +-half_chord_mm[bin].  A line is the mean of rays over `step[g]` voxels.
    Rays run through whole voxels from that which holds their entry into the circle of radius
    `fov_mm` to that which holds their exit.
    """
    rays = tables.rays_of(image.shape, x0, y0, vx, vy, cosines, sines, s_mm, half_chord_mm, fov_mm)
    out[...] = 0
    for each in np.unique(step):
        layout = tables.layout_of(image.shape, int(each), 1)
        segments = tables.segments_of(step == each, each, vz, rays, tilt, first, planes, offset)
        rows = sealed(split(tables.widened(image, int(each)), layout))
        share(_forward, out.shape[0], rows, rays, segments, layout, out)


def adjoint(
    data, x0, y0, vx, vy, vz, cosines, sines, s_mm, half_chord_mm, fov_mm,
    tilt, first, step, planes, offset, image,
):  # fmt: skip
    """Put the exact transpose of `forward`, applied to `data`, into `image`.

    Takes the arguments of `forward`; the result has the same bits for any number of threads.
    """
    rays = tables.rays_of(image.shape, x0, y0, vx, vy, cosines, sines, s_mm, half_chord_mm, fov_mm)
    image[...] = 0
    for each in np.unique(step):
        wide = np.zeros((*image.shape[:2], image.shape[2] + int(each) - 1), np.float32)
        layout = tables.layout_of(image.shape, int(each), tables.SLABS)
        segments = tables.segments_of(step == each, each, vz, rays, tilt, first, planes, offset)
        rows = wide if each == 1 else np.zeros_like(split(wide, layout))
        for axis, views in enumerate((rays.along_x, ~rays.along_x)):
            slabs = -(-image.shape[axis] // layout.block)
            chosen = np.flatnonzero(views)
            share(_adjoint, slabs, rows, rays, segments, layout, sealed(data), chosen)
        if each != 1:
            join(rows, layout, wide)
        for d in range(int(each)):
            image += wide[..., d : d + image.shape[2]] / np.float32(each)


@_inline
def _pixels(v, t, r, k, shape, rays, block, columns, entries):
    """List the pixels of a ray in a slab: where their columns begin, and where it enters them.

    After the last entry comes where it leaves.
    """
    nx, ny, width = shape
    f, df, g, dg = rays.major[v, t, r], rays.forth[v], rays.minor[v, t, r], rays.aside[v]
    if rays.along_x[v]:
        n, others, main, other = nx, ny, ny * width, width
    else:
        n, others, main, other = ny, nx, width, ny * width
    rows, sign, turn = min(block, n - k), 1 if df > 0 else -1, 1 if dg > 0 else -1
    first = k if sign > 0 else k + rows - 1
    count, stop = 0, 0.0
    for i in range(first, first + sign * rows, sign):
        a = max(rays.begin[v, t, r], (i - 0.5 * sign - f) / df)
        b = min(rays.end[v, t, r], (i + 0.5 * sign - f) / df)
        if b - a < TINY:
            continue
        j = min(max(math.floor(g + a * dg + 0.5), 0), others - 1)
        last = min(max(math.floor(g + b * dg + 0.5), 0), others - 1)
        middle = b if j == last else min(max((j + 0.5 * turn - g) / dg, a), b)
        if middle - a >= TINY:
            columns[count], entries[count] = i * main + j * other, a
            count += 1
        if b - middle >= TINY:
            columns[count], entries[count] = i * main + last * other, middle
            count += 1
        stop = b
    entries[count] = stop
    return count


@_inline
def _layers(g, t, r, start, stop, rays, segments):
    """Return the first layer of a segment's first plane in a slab, how many, and their sign."""
    first, slope = segments.first[g], segments.tilt[g] * rays.slope[t]
    sign = 1 if slope > 0 else -1
    reach = rays.reach[t, r] * slope
    # Whole voxels along the axis too, from that of the entry to that of the exit.
    a, b = math.floor(first + slope * start + 0.5), math.floor(first + slope * stop + 0.5)
    low, high = math.floor(first - reach + 0.5), math.floor(first + reach + 0.5)
    if sign > 0:
        a, b = max(a, low), min(b, high)
    else:
        a, b = min(a, low), max(b, high)
    return a, (b - a) * sign + 1, sign


@_inline
def _planes(z, g, segments, layout):
    """Return where layer z of plane 0 lies in a column, and the planes that have it inside."""
    m = z // layout.step
    at = (z - m * layout.step) * layout.size + m
    return at, max(0, -m), min(segments.planes[g], layout.size - m)


@_inline
def _sum(pixels, columns, entries, count, width, x):
    """Fill the rows W_0 ... W_count."""
    for i in range(width):
        x[i] = 0
    for n in range(count):
        length = np.float32(entries[n + 1] - entries[n])
        here, i0, to = np.uint64(n * width), np.uint64(columns[n]), np.uint64((n + 1) * width)
        for i in range(np.uint64(width)):
            x[to + i] = x[here + i] + length * pixels[i0 + i]


@_inline
def _spread(pixels, columns, entries, count, width, x):
    """Transpose of `_sum`; leaves row 0 with sums of its own."""
    for n in range(count - 1, -1, -1):
        length = np.float32(entries[n + 1] - entries[n])
        here, i0, last = np.uint64(n * width), np.uint64(columns[n]), np.uint64((n + 1) * width)
        for i in range(np.uint64(width)):
            t = x[last + i]
            pixels[i0 + i] += length * np.float32(t)
            x[here + i] += t


@_inline
def _gather(out, begin, n, pixels, m0, m1, a, b, x, r0, r1, gain):
    """Add one layer of a ray to the planes that have it."""
    o, i0, i1 = np.uint64(begin), np.uint64(m0), np.uint64(m1)
    j0, j1 = np.uint64(r0), np.uint64(r1)
    for p in range(np.uint64(n)):
        between = gain * (x[j1 + p] - x[j0 + p])
        out[o + p] += between + a * pixels[i0 + p] + b * pixels[i1 + p]


@_inline
def _scatter(data, begin, n, pixels, m0, m1, a, b, x, r0, r1, gain):
    """Transpose of `_gather`; row by row, as they may be the same."""
    o, i0, i1 = np.uint64(begin), np.uint64(m0), np.uint64(m1)
    for p in range(np.uint64(n)):
        pixels[i0 + p] += a * data[o + p]
    if b:
        for p in range(np.uint64(n)):
            pixels[i1 + p] += b * data[o + p]
    if r0 == r1:
        return
    j0, j1 = np.uint64(r0), np.uint64(r1)
    for p in range(np.uint64(n)):
        value = np.float64(gain * data[o + p])
        x[j0 + p] -= value
        x[j1 + p] += value


def _segment_pass(move, straight):
    """Make what goes through the layers of one segment of a ray in a slab, by `move`.

    Planes without tilt are as wide as their spacing: the mean over that goes by `straight`.
    """

    @_inline
    def pass_(g, t, r, line, pixels, columns, entries, count, rays, segments, layout, x, data):
        first, slope = segments.first[g], segments.tilt[g] * rays.slope[t]
        begin, gain = line + segments.offset[g], segments.gain[t, g]
        width, end = layout.step * layout.size, entries[count]
        if slope == 0:
            z = math.floor(first)
            for one, share_ in ((z, z + 1 - first), (z + 1, first - z)):
                at, low, high = _planes(one, g, segments, layout)
                if share_ > 0 and high > low:
                    weight = np.float32(share_ * gain)
                    straight(data, begin + low, high - low, x, count * width + at + low, weight)
            return
        z, number, sign = _layers(g, t, r, entries[0], end, rays, segments)
        n, pace = 0, 1.0 / slope
        side = 0.5 * sign - first
        b = max(entries[0], (z - sign + side) * pace)
        for one in range(z, z + number * sign, sign):
            a, b = b, min(end, (one + side) * pace)
            at, low, high = _planes(one, g, segments, layout)
            if b - a < TINY or high <= low:
                continue
            while n < count - 1 and entries[n + 1] <= a:
                n += 1
            m = n
            while n < count - 1 and entries[n + 1] < b:
                n += 1
            near = np.float32(gain * (min(b, entries[m + 1]) - a))
            far = np.float32(gain * (b - entries[n])) if n > m else np.float32(0)
            at += low
            move(
                data, begin + low, high - low, pixels, columns[m] + at, columns[n] + at,
                near, far, x, max(m + 1, 0) * width + at, max(n, m + 1) * width + at,
                np.float32(gain),
            )  # fmt: skip

    return pass_


@_inline
def _gather_row(out, begin, n, x, row, weight):
    o, j = np.uint64(begin), np.uint64(row)
    for p in range(np.uint64(n)):
        out[o + p] += weight * x[j + p]


@_inline
def _scatter_row(data, begin, n, x, row, weight):
    o, j = np.uint64(begin), np.uint64(row)
    for p in range(np.uint64(n)):
        x[j + p] += np.float64(weight * data[o + p])


_read = _segment_pass(_gather, _gather_row)
_write = _segment_pass(_scatter, _scatter_row)


@_jit
def _forward(begin, end, image, rays, segments, layout, out):
    """Fill all lines of the views begin ... end - 1."""
    width = layout.step * layout.size
    columns, entries = np.empty(2 * layout.block, np.int64), np.empty(2 * layout.block + 1)
    x = np.empty((2 * layout.block + 1) * width, np.float32)
    pixels, data = image.reshape(-1), out.reshape(-1)
    for v in range(begin, end):
        slabs = image.shape[0] if rays.along_x[v] else image.shape[1]
        for k in range(0, slabs, layout.block):
            for t in range(out.shape[1]):
                line = (v * out.shape[1] + t) * out.shape[2]
                for r in range(rays.reach.shape[1]):
                    count = _pixels(v, t, r, k, image.shape, rays, layout.block, columns, entries)
                    if count == 0:
                        continue
                    _sum(pixels, columns, entries, count, width, x)
                    for g in range(segments.planes.size):
                        _read(
                            g, t, r, line, pixels, columns, entries, count, rays, segments,
                            layout, x, data,
                        )  # fmt: skip


@_jit
def _adjoint(begin, end, image, rays, segments, layout, values, views):
    """Put what the rays of some views hold into the slabs begin ... end - 1."""
    width = layout.step * layout.size
    columns, entries = np.empty(2 * layout.block, np.int64), np.empty(2 * layout.block + 1)
    x = np.empty((2 * layout.block + 1) * width)
    pixels, data = image.reshape(-1), values.reshape(-1)
    for item in range(begin * views.size, end * views.size):
        k, v = item // views.size * layout.block, views[item % views.size]
        for t in range(values.shape[1]):
            line = (v * values.shape[1] + t) * values.shape[2]
            for r in range(rays.reach.shape[1]):
                count = _pixels(v, t, r, k, image.shape, rays, layout.block, columns, entries)
                if count == 0:
                    continue
                x[: (count + 1) * width] = 0
                for g in range(segments.planes.size):
                    _write(
                        g, t, r, line, pixels, columns, entries, count, rays, segments,
                        layout, x, data,
                    )  # fmt: skip
                _spread(pixels, columns, entries, count, width, x)
