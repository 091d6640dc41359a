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
that nothing cancels.  A slab of the image one block wide serves some views before the next slab
is read.  The adjoint, the exact transpose, runs the same terms backwards.  There a slab belongs to
one thread: no two threads write the same voxel, and the result does not depend on their number.
Sums over steps and over terms stay in registers (`axial_sums`).

Planes that lie `step` voxels apart read every step-th voxel, so the rows are kept de-interleaved,
one phase after the other, and the planes of a segment always read contiguous memory.  A phase ends
with zeros up to whole vectors.
"""

import numpy as np

from emrecon.compiled import inline, kernel, share
from emrecon.tomo.kernels import axial_tables as tables
from emrecon.tomo.kernels.axial_rows import rounded
from emrecon.tomo.kernels.axial_sums import (
    advance,
    bend,
    beside,
    each,
    each_row,
    gather,
    retreat,
    scatter,
    spread_out,
    total,
)
from emrecon.tomo.kernels.axial_tables import PASS

VIEWS = 8  # views that a slab of the image serves while it is in the cache

_jit = kernel(error_model="numpy")
_inline = inline(error_model="numpy")


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
    for size in np.unique(step):
        segments = tables.segments_of(step == size, vz, half_chord_mm, tilt, first, planes, offset)
        layout = tables.layout_of(image.shape, int(size), segments, lines)
        rows = tables.sealed(tables.split(image, layout))
        work, straight = _in_room(_forward, layout), tables.straight(segments)
        share(work, out.shape[0], rows, lines, segments, straight, out)


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
    for size in np.unique(step):
        segments = tables.segments_of(step == size, vz, half_chord_mm, tilt, first, planes, offset)
        layout = tables.layout_of(image.shape, int(size), segments, lines)
        own = size == 1 and layout.size == image.shape[2]
        straight, sealed = tables.straight(segments), tables.sealed(data)
        work = _in_room(_adjoint, layout)
        rows = image if own else tables.empty_rows(image.shape, layout)
        for axis, views in enumerate((lines.along_x, ~lines.along_x)):
            slabs = -(-image.shape[axis] // layout.block)
            chosen = np.flatnonzero(views)
            share(work, slabs, rows, lines, segments, straight, sealed, chosen)
        if not own:
            tables.join(rows, layout, image)


def _in_room(kernel, layout):
    """Return a kernel that has room of its own for each range of tasks."""
    return lambda *args: kernel(*args, layout, tables.room(layout))


@_inline
def columns(v, t, k0, n, shape, lines, starts, near, far):
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
        before, after = j < 0, (j == last) & (last > 0)  # one of the two is outside
        starts[i] = (k0 + i) * main + int(0.0 if before else (j - 1.0 if after else j)) * jump
        near[i] = b if before else (0.0 if after else a)
        far[i] = 0.0 if before or last == 0 else (a if after else b)
    return jump if count > 1 else 0


@_inline
def clear(x, begin, length):
    """Set a stretch to 0."""
    b = np.uint64(begin)
    for i in range(np.uint64(length)):
        x[b + i] = 0


@_inline
def _tap(i, z, row, a, b, planes, layout, starts, near, far):
    """List what the planes take from voxels z of two rows; nothing where that is far outside."""
    m = np.floor((z + 0.5) * (1.0 / layout.step))
    inside = (m >= -planes) & (m <= layout.size)
    row += (z - m * layout.step) * (layout.block + 3)
    starts[i] = layout.margin + int(row * layout.pitch + m if inside else 0.0)
    near[i], far[i] = a if inside else 0.0, b if inside else 0.0


@_inline
def _taps(g, v, t, k0, n, lines, segments, layout, starts, near, far):
    """List what a segment takes from a block: near x[where + p] + far x[where + pitch + p] each.

    Rows 0 ... block of x are Q, then come S and Z.
    """
    slope, planes = segments.tilt[g] * segments.slope[t], segments.planes[g]
    alpha = segments.first[g] + slope * (lines.reach[v, t] + k0 * lines.pace[v])
    beta = slope * lines.pace[v]
    weight = lines.length[v] * segments.gain[t, g]
    cell, end = np.floor(alpha), np.floor(alpha + beta * (n - 1))
    crossings = int(abs(end - cell))
    sign, voxel = (1.0, cell + 1) if beta > 0 else (-1.0, cell)
    pace = 1.0 / abs(beta) if crossings else 0.0
    begin, rate = (voxel - alpha) * sign * pace, abs(beta) * weight
    for i in range(rounded(crossings, PASS)):
        x = begin + i * pace
        row = min(np.floor(x), n - 1.0)
        b = rate * (x - row)
        _tap(i, voxel + i * sign, row, rate - b, b, planes, layout, starts, near, far)
    # The sums over the block, seen from between the voxels where it ends.
    y, bend, row = weight * (alpha + beta * n - end), weight * beta, layout.block + 1.0
    _tap(crossings, end, row, weight - y, bend, planes, layout, starts, near, far)
    _tap(crossings + 1, end + 1, row, y, -bend, planes, layout, starts, near, far)
    return crossings + 2


@_jit
def _forward(begin, end, image, lines, segments, straight, out, layout, room):
    """Fill all lines of the views begin ... end - 1; `straight` is None where some are tilted."""
    x, z, starts, near, far = room
    step, size, margin, pitch, block, _ = layout
    stack = (block + 3) * pitch
    pixels, data, bins = image.reshape(-1), out.reshape(-1), out.shape[1]
    slabs = -(-max(image.shape[0], image.shape[1]) // block)
    for item in range(begin // VIEWS * slabs, -(-end // VIEWS) * slabs):
        first, k = item // slabs * VIEWS, item % slabs * block
        for line in range(max(begin, first) * bins, min(first + VIEWS, end) * bins):
            v, t, row = line // bins, line % bins, line * out.shape[2]
            for g in range(0 if k else segments.planes.size):
                clear(data, row + segments.offset[g], segments.planes[g])
            k0 = max(k, lines.start[v, t])
            n = min(k + block, lines.stop[v, t]) - k0
            if n <= 0:
                continue
            jump = columns(v, t, k0, n, image.shape, lines, starts, near, far)
            for phase in range(step):
                pixels_of, at = pixels[phase * size :], phase * stack + pitch + margin
                s = at + block * pitch
                if straight is None:
                    each_row(
                        advance, size, pixels_of, jump, starts, near, far, n, z, at, x, s, pitch
                    )
                else:
                    each_row(total, size, pixels_of, jump, starts, near, far, n, x, s)
            if straight is None:
                for phase in range(step):
                    bend(z, beside(pitch, stack, phase, step), n * pitch + margin, x)
            for g in range(segments.planes.size):
                taps = _taps(g, v, t, k0, n, lines, segments, layout, starts, near, far)
                at = row + segments.offset[g]
                each(gather, segments.planes[g], x, pitch, starts, near, far, taps, data, at)


@_jit
def _adjoint(begin, end, image, lines, segments, straight, values, views, layout, room):
    """Put what the lines of some views hold into the slabs begin ... end - 1; see `_forward`."""
    x, _, starts, near, far = room
    step, size, margin, pitch, block, _ = layout
    stack = (block + 3) * pitch
    pixels, data = image.reshape(-1), values.reshape(-1)
    unused = 0 if straight is None else (block + 1) * pitch
    for item in range(begin * views.size, end * views.size):
        k, v = item // views.size * block, views[item % views.size]
        for t in range(values.shape[1]):
            k0 = max(k, lines.start[v, t])
            n = min(k + block, lines.stop[v, t]) - k0
            if n <= 0:
                continue
            for phase in range(step):
                clear(x, phase * stack + unused, stack - unused)
            for g in range(segments.planes.size):
                taps = _taps(g, v, t, k0, n, lines, segments, layout, starts, near, far)
                at = (v * values.shape[1] + t) * values.shape[2] + segments.offset[g]
                each(scatter, segments.planes[g], x, pitch, starts, near, far, taps, data, at)
            jump = columns(v, t, k0, n, image.shape, lines, starts, near, far)
            for phase in range(step):
                pixels_of, rows = (
                    pixels[phase * size :],
                    beside(pitch + margin, stack, phase, step),
                )
                s = rows[0] + block * pitch
                if straight is None:
                    each_row(
                        retreat, size, pixels_of, jump, starts, near, far, n, x, rows, s, pitch
                    )
                else:
                    each_row(spread_out, size, pixels_of, jump, starts, near, far, n, x, s)
