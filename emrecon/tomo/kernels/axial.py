"""Line integrals along all axial planes of a ring scanner or a parallel-beam stack.

A scanner made of rings looks the same from every axial position, so the transaxial path of a
(view, bin), its pixels and weights, is shared by all planes of all segments.  Three ideas follow.

*Rows.*  A step of Joseph's method along the dominant transaxial axis adds two image columns,
`row_i[z] = a image[k, j, z] + b image[k, j + 1, z]`, contiguous in z, once for all planes.

*Crossings.*  A plane of a tilted segment reads that row at the axial position `alpha + beta i`,
linear in the step i.  Instead of interpolating in z at every step, sum the rows twice along the
path: `S_j = row_0 + ... + row_(j-1)` and `Z_j = S_1 + ... + S_j`.  As long as the position stays
between two voxel centres, the interpolated rows add up to one linear function of S and Z, here
with y = alpha + beta n - q at the end of n steps that began between the voxels q and q + 1:

    (1 - y) S_n[q] + y S_n[q + 1] + beta (Z_n[q] - Z_n[q + 1]).

Each time the position passes a voxel centre c, at the (fractional) step x = (c - alpha) / beta,
the function changes to that of the next two voxels, which adds

    |beta| Q_x[c],   Q_j[z] = Z_j[z - 1] - 2 Z_j[z] + Z_j[z + 1],

with Q interpolated between the steps before and after x.  No step is approximated.  A segment
costs one term a crossing instead of one a step, so little tilt costs little.

*Blocks.*  The sums start afresh every few steps: Q stays in the first-level cache, and Z small, so
that nothing cancels.  The adjoint, the exact transpose, runs the same terms backwards, in slabs of
the image one block wide.  A slab belongs to one thread: no two threads write the same voxel, and
the result does not depend on their number.

Planes that lie `step` voxels apart read every step-th voxel, so the rows are kept de-interleaved,
one phase after the other, and the planes of a segment always read contiguous memory.
"""

import math

import numba
import numpy as np

from emrecon.tomo.kernels import axial_tables as tables
from emrecon.tomo.kernels.axial_tables import TOGETHER
from emrecon.tomo.kernels.share import share

_jit = numba.njit(nogil=True, cache=True, fastmath=True)
_inline = numba.njit(fastmath=True, forceinline=True)


def forward(
    image, x0, y0, vx, vy, vz, cosines, sines, s_mm, half_chord_mm, fov_mm,
    tilt, first, step, planes, offset, out,
):  # fmt: skip
    """Integrate `image` (nx, ny, nz) along all lines into `out` (views, bins, planes), in mm.

    Voxel [i, j] is centred at (x0 + i vx, y0 + j vy) mm.  Plane p of segment g is
    `out[..., offset[g] + p]`: its lines have the mid-point `first[g] + p step[g]` and the tilt
    `tilt[g]`, both in axial voxels of `vz` mm, between detectors at +-half_chord_mm[bin].
    Samples outside the circle of radius `fov_mm` or beyond the detectors do not count.
    """
    lines = tables.lines_of(
        image.shape, x0, y0, vx, vy, cosines, sines, s_mm, half_chord_mm, fov_mm
    )
    if np.sum(planes) != out.shape[2]:
        out[...] = 0
    for each in np.unique(step):
        segments = tables.segments_of(step == each, vz, half_chord_mm, tilt, first, planes, offset)
        layout = tables.layout_of(image.shape, int(each), segments, lines)
        rows = tables.sealed(tables.split(image, layout))
        share(_forward, out.shape[0], rows, lines, segments, layout, out)


def adjoint(
    data, x0, y0, vx, vy, vz, cosines, sines, s_mm, half_chord_mm, fov_mm,
    tilt, first, step, planes, offset, image,
):  # fmt: skip
    """Put the exact transpose of `forward`, applied to `data`, into `image`.

    Takes the arguments of `forward`; the result has the same bits for any number of threads.
    """
    lines = tables.lines_of(
        image.shape, x0, y0, vx, vy, cosines, sines, s_mm, half_chord_mm, fov_mm
    )
    image[...] = 0
    for each in np.unique(step):
        segments = tables.segments_of(step == each, vz, half_chord_mm, tilt, first, planes, offset)
        layout = tables.layout_of(image.shape, int(each), segments, lines)
        rows = image if each == 1 else np.zeros_like(tables.split(image, layout))
        for axis, views in enumerate((lines.along_x, ~lines.along_x)):
            slabs = -(-image.shape[axis] // layout.block)
            chosen = np.flatnonzero(views)
            share(_adjoint, slabs, rows, lines, segments, layout, tables.sealed(data), chosen)
        if each != 1:
            tables.join(rows, layout, image)


@_inline
def _scratch(layout):
    """Room for the rows Q, S, Z of a block, the rows Z of each of its steps, S or Z, and taps."""
    pitch = layout.size + 1 + layout.margin
    length = layout.step * (layout.block + 3) * pitch + 2 * layout.margin
    x, r = np.zeros(length, np.float32), np.zeros(length, np.float32)
    s = np.zeros(layout.step * layout.size, np.float32)
    z = np.zeros(layout.step * layout.size, np.float32)
    where = np.zeros(layout.taps, np.int64)
    near, far = np.zeros(layout.taps, np.float32), np.zeros(layout.taps, np.float32)
    return pitch, x, r, s, z, where, near, far


@_inline
def columns(v, t, k0, n, shape, lines, where, near, far):
    """List the two columns that each of n steps reads: near at where, far at where + jump."""
    nx, ny, width = shape
    if lines.along_x[v]:
        count, main, jump = ny, ny * width, width
    else:
        count, main, jump = nx, width, ny * width
    place, drift, last = lines.place[v, t], lines.drift[v], count - 1.0
    for i in range(n):
        f = place + (k0 + i) * drift
        j = min(max(np.floor(f), -1.0), last)
        a, b = 1.0 - (f - j), f - j
        before, behind = j < 0, (j == last) & (last > 0)  # one of the two is outside
        where[i] = (k0 + i) * main + int(0.0 if before else (j - 1.0 if behind else j)) * jump
        near[i] = b if before else (0.0 if behind else a)
        far[i] = 0.0 if before or last == 0 else (a if behind else b)
    return jump if count > 1 else 0


@_inline
def _taps(g, v, t, k0, n, lines, segments, layout, where, near, far):
    """List what a segment takes from a block: near x[where + p] + far x[where + pitch + p] each.

    Rows 0 ... block of x are Q, then come S and Z.
    """
    slope = segments.tilt[g] * segments.slope[t]
    alpha = segments.first[g] + slope * (lines.reach[v, t] + k0 * lines.pace[v])
    beta = slope * lines.pace[v]
    weight = lines.length[v] * segments.gain[t, g]
    pitch = layout.size + 1 + layout.margin
    cell, end = math.floor(alpha), math.floor(alpha + beta * (n - 1))
    crossings = abs(end - cell)
    sign, voxel = (1, cell + 1) if beta > 0 else (-1, cell)
    pace = 1.0 / abs(beta) if crossings else 0.0
    x = (voxel - alpha) * sign * pace
    rate = abs(beta) * weight
    y = alpha + beta * n - end
    count = 0
    for i in range(crossings + 2):
        if i < crossings:
            z, row = voxel + i * sign, min(int(x), n - 1)
            b = rate * (x - row)
            a = rate - b
            x += pace
        else:  # the sums over the block, seen from between the voxels where it ends
            z, row = end + i - crossings, layout.block + 1
            a = weight * (y if z > end else 1.0 - y)
            b = weight * (-beta if z > end else beta)
        m = z if layout.step == 1 else z // layout.step
        if -segments.planes[g] <= m <= layout.size:
            row += (z - m * layout.step) * (layout.block + 3)
            where[count] = row * pitch + layout.margin + m
            near[count], far[count] = a, b
            count += 1
    return count


@_inline
def _gather(x, jump, where, near, far, count, out, begin, length):
    """Add up taps, four at a time; fill the list with taps that add nothing."""
    full = -(-count // TOGETHER) * TOGETHER
    for i in range(count, full):
        where[i], near[i], far[i] = where[0], 0, 0
    o, n, d = np.uint64(begin), np.uint64(length), np.uint64(jump)
    for i in range(0, full, TOGETHER):
        i0, i1 = np.uint64(where[i]), np.uint64(where[i + 1])
        i2, i3 = np.uint64(where[i + 2]), np.uint64(where[i + 3])
        j0, j1, j2, j3 = i0 + d, i1 + d, i2 + d, i3 + d
        a0, a1, a2, a3 = near[i], near[i + 1], near[i + 2], near[i + 3]
        b0, b1, b2, b3 = far[i], far[i + 1], far[i + 2], far[i + 3]
        for p in range(n):
            first = a0 * x[i0 + p] + b0 * x[j0 + p] + a1 * x[i1 + p] + b1 * x[j1 + p]
            rest = a2 * x[i2 + p] + b2 * x[j2 + p] + a3 * x[i3 + p] + b3 * x[j3 + p]
            out[o + p] += first + rest


@_inline
def _scatter(x, jump, where, near, far, count, data, begin, length):
    """Transpose of `_gather`; tap by tap, as they may overlap."""
    o, n, d = np.uint64(begin), np.uint64(length), np.uint64(jump)
    for i in range(count):
        i0 = np.uint64(where[i])
        j0 = i0 + d
        a, b = near[i], far[i]
        for p in range(n):
            x[i0 + p] += a * data[o + p]
            x[j0 + p] += b * data[o + p]


@_inline
def _bend(x, n, layout, out):
    """Second difference along z of the rows 1 ... n."""
    pitch = layout.size + 1 + layout.margin
    stack, begin = (layout.block + 3) * pitch, pitch + layout.margin - 1
    for phase in range(layout.step):
        middle, last = begin + phase * stack, begin + (layout.step - 1) * stack
        here, length = np.uint64(middle), np.uint64(n * pitch)
        below = np.uint64(middle - stack if phase else last - 1)
        above = np.uint64(middle + stack if middle < last else begin + 1)
        for i in range(length):
            out[here + i] = x[below + i] + x[above + i] - np.float32(2) * x[here + i]


@_inline
def _copy(x, begin, out, to, length):
    b, o = np.uint64(begin), np.uint64(to)
    for i in range(np.uint64(length)):
        out[o + i] = x[b + i]


@_inline
def clear(x, begin, length):
    """Set a stretch to 0."""
    b = np.uint64(begin)
    for i in range(np.uint64(length)):
        x[b + i] = 0


@_inline
def _advance(s, z, begin, to, pitch, pixels, column, jump, a, b, length):
    """S and Z after one more row."""
    o, last = np.uint64(begin), np.uint64(to - pitch)
    here, i0 = np.uint64(to), np.uint64(column)
    j0 = i0 + np.uint64(jump)
    for i in range(np.uint64(length)):
        t = s[o + i] + a * pixels[i0 + i] + b * pixels[j0 + i]
        s[o + i] = t
        z[here + i] = z[last + i] + t


@_inline
def _retreat(s, z, r, begin, at, length):
    """Transpose of `_advance`, but for the image."""
    o, here = np.uint64(begin), np.uint64(at)
    for i in range(np.uint64(length)):
        t = z[o + i] + r[here + i]
        z[o + i] = t
        s[o + i] += t


@_jit
def _forward(begin, end, image, lines, segments, layout, out):
    """Fill all lines of the views begin ... end - 1."""
    pitch, x, r, s, _, where, near, far = _scratch(layout)
    step, size, margin, block, _, flat = layout
    pixels, data = image.reshape(-1), out.reshape(-1)
    slabs = -(-max(image.shape[0], image.shape[1]) // block)
    for item in range(begin * slabs, end * slabs):
        v, k = item // slabs, item % slabs * block
        for t in range(out.shape[1]):
            line = (v * out.shape[1] + t) * out.shape[2]
            for g in range(0 if k else segments.planes.size):
                clear(data, line + segments.offset[g], segments.planes[g])
            k0 = max(k, lines.start[v, t])
            n = min(k + block, lines.stop[v, t]) - k0
            if n <= 0:
                continue
            jump = columns(v, t, k0, n, image.shape, lines, where, near, far)
            clear(s, 0, step * size)
            if flat:
                _gather(pixels, jump, where, near, far, n, s, 0, step * size)
            for i in range(0 if flat else n):
                for phase in range(step):
                    to = (phase * (block + 3) + i + 1) * pitch + margin
                    at, i0 = phase * size, where[i] + phase * size
                    _advance(s, r, at, to, pitch, pixels, i0, jump, near[i], far[i], size)
            if not flat:
                _bend(r, n, layout, x)
            for phase in range(step):
                row = phase * (block + 3)
                _copy(s, phase * size, x, (row + block + 1) * pitch + margin, size)
                _copy(r, (row + n) * pitch + margin, x, (row + block + 2) * pitch + margin, size)
            for g in range(segments.planes.size):
                count = _taps(g, v, t, k0, n, lines, segments, layout, where, near, far)
                at = line + segments.offset[g]
                _gather(x, pitch, where, near, far, count, data, at, segments.planes[g])


@_jit
def _adjoint(begin, end, image, lines, segments, layout, values, views):
    """Put what the lines of some views hold into the slabs begin ... end - 1."""
    pitch, x, r, s, z, where, near, far = _scratch(layout)
    step, size, margin, block, _, flat = layout
    pixels, data = image.reshape(-1), values.reshape(-1)
    for item in range(begin * views.size, end * views.size):
        k, v = item // views.size * block, views[item % views.size]
        for t in range(values.shape[1]):
            k0 = max(k, lines.start[v, t])
            n = min(k + block, lines.stop[v, t]) - k0
            if n <= 0:
                continue
            for phase in range(step):
                row = phase * (block + 3)
                clear(x, row * pitch, (1 if flat else n + 1) * pitch + margin)
                clear(x, (row + block + 1) * pitch, 2 * pitch + margin)
            for g in range(segments.planes.size):
                count = _taps(g, v, t, k0, n, lines, segments, layout, where, near, far)
                at = (v * values.shape[1] + t) * values.shape[2] + segments.offset[g]
                _scatter(x, pitch, where, near, far, count, data, at, segments.planes[g])
            for phase in range(step):
                at = (phase * (block + 3) + block + 1) * pitch + margin
                _copy(x, at, s, phase * size, size)
                _copy(x, at + pitch, z, phase * size, size)
            jump = columns(v, t, k0, n, image.shape, lines, where, near, far)
            if flat:
                _scatter(pixels, jump, where, near, far, n, s, 0, step * size)
                continue
            _bend(x, n, layout, r)
            for i in range(n - 1, -1, -1):
                for phase in range(step):
                    at = (phase * (block + 3) + i + 1) * pitch + margin
                    _retreat(s, z, r, phase * size, at, size)
                _scatter(pixels, jump, where[i:], near[i:], far[i:], 1, s, 0, step * size)
