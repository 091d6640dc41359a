"""Line integrals weighted by time of flight, for all axial planes of a ring scanner.

What `axial` shares between planes is shared here too: the two columns of a step, added once for
all segments.  A step's share in each time-of-flight bin depends on its distance along the line,
so on the step and the segment's obliquity, and not on the plane: the row of a step, interpolated
to a segment's planes once, is added to the few bins within reach, each with one number.  Nothing
is done for the bins out of reach: the work grows with the width of the kernel over that of a bin,
not with the number of bins.

A step is taken to be at the nearest of places so dense that the shares of the bins come from a
small table (`emrecon.tomo.tof.Timing.phases`): they add to 1, so the sum over all bins is what
`axial` gives, but for rounding.

The adjoint is the exact transpose, in slabs of the image each of which belongs to one thread.
"""

import math
from collections import namedtuple

import numba
import numpy as np

from emrecon.tomo.kernels import axial_tables as tables
from emrecon.tomo.kernels.axial import clear, columns
from emrecon.tomo.kernels.axial_tables import TOGETHER
from emrecon.tomo.kernels.share import share

_jit = numba.njit(nogil=True, cache=True, fastmath=True)
_inline = numba.njit(fastmath=True, forceinline=True)

BLOCK = 16  # steps in a block, at most
WHOLE = 32  # numbers that a compiled loop takes at once; what is left over goes one by one

# table[phase, j] is the share of bin n + first + j, at the place n parts + phase in steps.
# The middle of the line is at the place `middle`.
Flight = namedtuple("Flight", "table first per_mm middle")


def flight_of(table, first, step_mm, bins):
    """Take shares as `Timing.phases` gives them, for so many bins about the middle of a line."""
    return Flight(table, first, 1.0 / step_mm, (bins - 1) * table.shape[0] // 2)


def forward(
    image, x0, y0, vx, vy, vz, cosines, sines, s_mm, half_chord_mm, fov_mm,
    tilt, first, step, planes, offset, flight, out,
):  # fmt: skip
    """Integrate `image` into `out` (tof, views, bins, planes), in mm; see `axial.forward`."""
    lines = tables.lines_of(
        image.shape, x0, y0, vx, vy, cosines, sines, s_mm, half_chord_mm, fov_mm
    )
    if np.sum(planes) != out.shape[3]:
        out[...] = 0
    for each in np.unique(step):
        segments = tables.segments_of(step == each, vz, half_chord_mm, tilt, first, planes, offset)
        layout = _layout(image.shape, int(each), segments, lines)
        rows = tables.sealed(tables.split(image, layout))
        share(_forward, out.shape[1], rows, lines, segments, layout, flight, vz, out)


def adjoint(
    data, x0, y0, vx, vy, vz, cosines, sines, s_mm, half_chord_mm, fov_mm,
    tilt, first, step, planes, offset, flight, image,
):  # fmt: skip
    """Put the exact transpose of `forward`, applied to `data`, into `image`.

    Takes the arguments of `forward`; the result has the same bits for any number of threads.
    """
    lines = tables.lines_of(
        image.shape, x0, y0, vx, vy, cosines, sines, s_mm, half_chord_mm, fov_mm
    )
    data = tables.sealed(data)
    image[...] = 0
    for each in np.unique(step):
        segments = tables.segments_of(step == each, vz, half_chord_mm, tilt, first, planes, offset)
        layout = _layout(image.shape, int(each), segments, lines)
        rows = image if each == 1 else np.zeros_like(tables.split(image, layout))
        for axis, views in enumerate((lines.along_x, ~lines.along_x)):
            slabs = -(-image.shape[axis] // layout.block)
            chosen = np.flatnonzero(views)
            share(_adjoint, slabs, rows, lines, segments, layout, flight, vz, data, chosen)
        if each != 1:
            tables.join(rows, layout, image)


def _layout(shape, step, segments, lines):
    layout = tables.layout_of(shape, step, segments, lines)
    return layout._replace(block=min(BLOCK, layout.block))


@_inline
def _scratch(layout, segments, flight):
    """Room for the rows of a block, those of a segment's planes, columns, shares and runs."""
    pitch = layout.size + 1 + layout.margin
    rows = np.zeros(layout.step * layout.block * pitch + 2 * layout.margin, np.float32)
    widest = _rounded(np.max(segments.planes))
    planes = np.zeros(layout.block * widest, np.float32)
    where = np.zeros(layout.block, np.int64)
    near, far = np.zeros(layout.block, np.float32), np.zeros(layout.block, np.float32)
    lowest = np.zeros(layout.block, np.int64)
    phase = np.zeros(layout.block, np.int64)
    return pitch, rows, planes, widest, where, near, far, lowest, phase


@_inline
def _rounded(count):
    """Round up to whole passes of a loop as it is compiled."""
    return -(-count // WHOLE) * WHOLE


@_inline
def _places(g, v, t, k0, n, lines, segments, flight, vz, lowest, phase):
    """Say for n steps where their window of bins starts, and their place within a bin."""
    parts = flight.table.shape[0]
    scale = segments.gain[t, g] * flight.per_mm
    for i in range(n):
        along = lines.reach[v, t] + (k0 + i) * lines.pace[v]
        place = math.floor(along * scale + 0.5) + flight.middle
        whole = place // parts
        lowest[i], phase[i] = whole + flight.first, place - whole * parts


@_inline
def _between(g, v, t, k, i, lines, segments, layout, pitch):
    """Return the two rows that a segment's planes take from a step, and how much of each.

    Without a share where no plane is near the image.
    """
    along = lines.reach[v, t] + k * lines.pace[v]
    height = segments.first[g] + segments.tilt[g] * segments.slope[t] * along
    q = math.floor(height)
    step, stack = layout.step, layout.block * pitch
    m = q // step
    m1 = (q + 1) // step
    if m1 < -segments.planes[g] or m > layout.size:
        return np.int64(0), np.int64(0), np.float32(0), np.float32(0)
    at = (q - m * step) * stack + i * pitch + layout.margin + m
    at1 = (q + 1 - m1 * step) * stack + i * pitch + layout.margin + m1
    weight = lines.length[v] * segments.gain[t, g]
    b = (height - q) * weight
    return at, at1, np.float32(weight - b), np.float32(b)


@_inline
def _blend(x, at, at1, a, b, out, to, length):
    """Add a row to `out`, or set it: ``out = a x + b x1``."""
    i0, i1, o = np.uint64(at), np.uint64(at1), np.uint64(to)
    for p in range(np.uint64(length)):
        out[o + p] = a * x[i0 + p] + b * x[i1 + p]


@_inline
def _add(x, at, a, out, to, length):
    i0, o = np.uint64(at), np.uint64(to)
    for p in range(np.uint64(length)):
        out[o + p] += a * x[i0 + p]


@_inline
def _add_rows(x, where, weight, count, out, to, length):
    """Add so many rows to `out`, four at a time."""
    o, n = np.uint64(to), np.uint64(length)
    full = count - count % TOGETHER
    for i in range(0, full, TOGETHER):
        i0, i1 = np.uint64(where[i]), np.uint64(where[i + 1])
        i2, i3 = np.uint64(where[i + 2]), np.uint64(where[i + 3])
        a0, a1, a2, a3 = weight[i], weight[i + 1], weight[i + 2], weight[i + 3]
        for p in range(n):
            out[o + p] += (a0 * x[i0 + p] + a1 * x[i1 + p]) + (a2 * x[i2 + p] + a3 * x[i3 + p])
    if count - full == 1:
        _add(x, where[full], weight[full], out, to, length)
    elif count - full > 1:
        i0, i1 = np.uint64(where[full]), np.uint64(where[full + 1])
        i2 = np.uint64(where[count - 1])
        a0, a1 = weight[full], weight[full + 1]
        a2 = weight[count - 1] if count - full == 3 else np.float32(0)
        for p in range(n):
            out[o + p] += a0 * x[i0 + p] + a1 * x[i1 + p] + a2 * x[i2 + p]


@_inline
def _add_run(x, begin, pitch, weight, at, count, out, to, length):
    """Add `count` rows that lie `pitch` apart to `out`, with the weights from `at` on."""
    o, n, d = np.uint64(to), np.uint64(length), np.uint64(pitch)
    full = count - count % TOGETHER
    i0 = np.uint64(begin)
    for i in range(at, at + full, TOGETHER):
        i1, i2, i3 = i0 + d, i0 + d + d, i0 + d + d + d
        a0, a1, a2, a3 = weight[i], weight[i + 1], weight[i + 2], weight[i + 3]
        for p in range(n):
            out[o + p] += (a0 * x[i0 + p] + a1 * x[i1 + p]) + (a2 * x[i2 + p] + a3 * x[i3 + p])
        i0 += d + d + d + d
    for i in range(at + full, at + count):
        _add(x, i0, weight[i], out, to, length)
        i0 += d


@_inline
def _runs(n, lowest, phase, flight, tofs, block, begins, counts, weights):
    """List, for each time-of-flight bin that a block reaches, the run of steps in it and shares.

    Returns the first and the last + 1 of these bins; the run of bin `tof` is at tof - first.
    """
    window = flight.table.shape[1]
    low = max(0, min(lowest[0], lowest[n - 1]))
    high = min(tofs, max(lowest[0], lowest[n - 1]) + window)
    for each in range(high - low):
        counts[each] = 0
    for i in range(n):
        for j in range(max(0, low - lowest[i]), min(window, high - lowest[i])):
            share_ = flight.table[phase[i], j]
            each = lowest[i] + j - low
            if share_ > 0:
                if counts[each] == 0:
                    begins[each] = i
                weights[each * block + counts[each]] = share_
                counts[each] += 1
    return low, high


@_jit
def _forward(begin, end, image, lines, segments, layout, flight, vz, out):
    """Fill all lines of the views begin ... end - 1."""
    pitch, rows, planes, widest, where, near, far, lowest, phase = _scratch(
        layout, segments, flight
    )
    pixels, data = image.reshape(-1), out.reshape(-1)
    step, size, margin, block = layout.step, layout.size, layout.margin, layout.block
    tofs, views, bins, row = out.shape
    begins, counts = np.zeros(tofs, np.int64), np.zeros(tofs, np.int64)
    weights = np.zeros(tofs * block, np.float32)
    slabs = -(-max(image.shape[0], image.shape[1]) // block)
    for item in range(begin * slabs, end * slabs):
        v, k = item // slabs, item % slabs * block
        for t in range(bins):
            line = (v * bins + t) * row
            for tof in range(0 if k else tofs):
                for g in range(segments.planes.size):
                    at = tof * views * bins * row + line + segments.offset[g]
                    clear(data, at, segments.planes[g])
            k0 = max(k, lines.start[v, t])
            n = min(k + block, lines.stop[v, t]) - k0
            if n <= 0:
                continue
            jump = columns(v, t, k0, n, image.shape, lines, where, near, far)
            for i in range(n):
                for each in range(step):
                    to = (each * block + i) * pitch + margin
                    at = where[i] + each * size
                    _blend(pixels, at, at + jump, near[i], far[i], rows, to, size)
            gain, low, high = 0.0, 0, 0
            for g in range(segments.planes.size):
                count = segments.planes[g]
                # Adding the zeros behind a segment's planes to those of the next changes nothing.
                length = min(_rounded(count), row - segments.offset[g])
                if segments.gain[t, g] != gain:  # opposite tilts share theirs
                    gain = segments.gain[t, g]
                    _places(g, v, t, k0, n, lines, segments, flight, vz, lowest, phase)
                    low, high = _runs(
                        n, lowest, phase, flight, tofs, block, begins, counts, weights
                    )
                for i in range(n):
                    at, at1, a, b = _between(g, v, t, k0 + i, i, lines, segments, layout, pitch)
                    _blend(rows, at, at1, a, b, planes, i * widest, count)
                    clear(planes, i * widest + count, length - count)
                for tof in range(low, high):
                    each = tof - low
                    at = tof * views * bins * row + line + segments.offset[g]
                    _add_run(
                        planes, begins[each] * widest, widest, weights, each * block,
                        counts[each], data, at, length,
                    )  # fmt: skip


@_jit
def _adjoint(begin, end, image, lines, segments, layout, flight, vz, values, chosen):
    """Put what the lines of some views hold into the slabs begin ... end - 1."""
    pitch, rows, planes, _, where, near, far, lowest, phase = _scratch(layout, segments, flight)
    window = flight.table.shape[1]
    taps, weights = np.zeros(window, np.int64), np.zeros(window, np.float32)
    pixels, data = image.reshape(-1), values.reshape(-1)
    step, size, margin, block = layout.step, layout.size, layout.margin, layout.block
    tofs, views, bins, row = values.shape
    for item in range(begin * chosen.size, end * chosen.size):
        k, v = item // chosen.size * block, chosen[item % chosen.size]
        for t in range(bins):
            line = (v * bins + t) * row
            k0 = max(k, lines.start[v, t])
            n = min(k + block, lines.stop[v, t]) - k0
            if n <= 0:
                continue
            clear(rows, 0, rows.size)
            gain = 0.0
            for g in range(segments.planes.size):
                count = segments.planes[g]
                length = min(_rounded(count), row - segments.offset[g])
                if segments.gain[t, g] != gain:
                    gain = segments.gain[t, g]
                    _places(g, v, t, k0, n, lines, segments, flight, vz, lowest, phase)
                for i in range(n):
                    found = 0
                    for j in range(max(0, -lowest[i]), min(window, tofs - lowest[i])):
                        share_, tof = flight.table[phase[i], j], lowest[i] + j
                        if share_ > 0:
                            taps[found] = tof * views * bins * row + line + segments.offset[g]
                            weights[found] = share_
                            found += 1
                    clear(planes, 0, length)
                    _add_rows(data, taps, weights, found, planes, 0, length)
                    at, at1, a, b = _between(g, v, t, k0 + i, i, lines, segments, layout, pitch)
                    _add(planes, 0, a, rows, at, count)
                    _add(planes, 0, b, rows, at1, count)
            jump = columns(v, t, k0, n, image.shape, lines, where, near, far)
            for i in range(n):
                for each in range(step):
                    at = (each * block + i) * pitch + margin
                    to = where[i] + each * size
                    _add(rows, at, near[i], pixels, to, size)
                    _add(rows, at, far[i], pixels, to + jump, size)
