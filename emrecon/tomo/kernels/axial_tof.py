"""Line integrals weighted by time of flight, for all axial planes of a ring scanner.

What `axial` shares between planes is shared here too: the two columns of a step, added once for
all segments.  A step's share in each time-of-flight bin depends on its distance along the line,
so on the step and the segment's obliquity, and not on the plane: the row of a step, interpolated
to a segment's planes once, is added to the few bins within reach, each with one number.  Nothing
is done for the bins out of reach: the work grows with the width of the kernel over that of a bin,
not with the number of bins.  Segments of opposite tilts are one wider segment for the shares.

Four steps at once are added to a bin, for 32 planes: eight vectors that stay in registers while
the bins within reach of any of the four come and go.  Outside its reach a step's share is 0, so
the rows of the table of shares have zeros at both ends.

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
from emrecon.tomo.kernels.share import share
from emrecon.tomo.kernels.vectors import LANES, leading, load, nothing, plus, spread, store, times

# Without the leave to reorder: both ways must take a step to be at the very same place.
_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_inline = numba.njit(forceinline=True, error_model="numpy")

BLOCK = 16  # steps in a slab of the adjoint, at most
CHUNK = 32  # steps taken together by the forward projector
STEPS = 4  # steps added at once
PLANES = 2 * LANES  # planes added at once

# table[phase, j] is the share of bin n + first + j, at the place n parts + phase in steps.
# The middle of the line is at the place `middle`.
Flight = namedtuple("Flight", "table first per_mm middle")
# The same with `pad` zeros at both ends of each row of the table, which is flat and has rows of
# `pitch` numbers.
Shares = namedtuple("Shares", "table pitch parts window pad first per_mm middle")


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
        segments, groups, spans = tables.grouped(segments)
        layout = _layout(image.shape, int(each), segments, lines)
        rows = tables.sealed(tables.split(image, layout))
        shares = _shares(flight, lines, segments)
        share(_forward, out.shape[1], rows, lines, segments, groups, spans, layout, shares, out)


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
        segments, groups, spans = tables.grouped(segments)
        layout = _layout(image.shape, int(each), segments, lines)
        layout = layout._replace(block=min(BLOCK, layout.block))
        rows = np.zeros((*image.shape[:2], layout.step * layout.size), np.float32)
        shares = _shares(flight, lines, segments)
        for axis, views in enumerate((lines.along_x, ~lines.along_x)):
            slabs = -(-image.shape[axis] // layout.block)
            chosen = np.flatnonzero(views)
            share(
                _adjoint, slabs, rows, lines, segments, groups, spans, layout, shares, data, chosen
            )
        tables.join(rows, layout, image)


def _layout(shape, step, segments, lines):
    """Let every row begin and end with a whole vector."""
    layout = tables.layout_of(shape, step, segments, lines)
    size, margin = (-(-length // LANES) * LANES for length in (layout.size, layout.margin))
    return layout._replace(size=size, margin=margin, block=CHUNK)


def _shares(flight, lines, segments):
    """Put as many zeros around the shares as a step's bins may lie off those of the next three."""
    parts, window = flight.table.shape
    furthest = (STEPS - 1) * np.abs(lines.pace).max(initial=0) * segments.gain.max(initial=0)
    pad = int(np.ceil(furthest * flight.per_mm / parts)) + 1
    table = np.pad(flight.table, ((0, 0), (pad, pad)))
    pitch = window + 2 * pad
    return Shares(table.ravel(), pitch, parts, window, pad, flight.first, *flight[2:])


@_inline
def _aligned(length):
    """Return zeros from the beginning of a cache line on, some vectors more than asked for."""
    room = np.zeros(length + 5 * LANES, np.float32)
    return room[-(room.ctypes.data // 4) % LANES :]


@_inline
def _scratch(layout, groups, row, tofs):
    """Room for the rows of a block, those of a group's planes, the bins of a line, and tables."""
    pitch = layout.size + layout.margin
    rows = _aligned(layout.step * layout.block * pitch + layout.margin)
    widest = _rounded(np.max(groups.planes), PLANES) + LANES
    samples = _aligned(layout.block * widest)
    length = _rounded(row + PLANES, LANES)
    sums = _aligned(tofs * length)
    where = np.zeros(layout.block, np.int64)
    near, far = np.zeros(layout.block, np.float32), np.zeros(layout.block, np.float32)
    return pitch, rows, widest, samples, length, sums, where, near, far


@_inline
def _rounded(count, to):
    return -(-count // to) * to


@_inline
def _places(g, v, t, k0, n, lines, segments, shares, lowest, base):
    """Say for n steps where their window of bins starts, and where bin 0 is in the table.

    Up to a multiple of STEPS, there are as many as the last one.
    """
    scale, inverse = segments.gain[t, g] * shares.per_mm, 1.0 / shares.parts
    reach, pace = lines.reach[v, t], lines.pace[v]
    for i in range(n):
        place = np.floor((reach + (k0 + i) * pace) * scale + 0.5) + shares.middle
        whole = np.floor((place + 0.5) * inverse)
        low = whole + shares.first
        lowest[i] = np.int32(low)
        base[i] = np.int32((place - whole * shares.parts) * shares.pitch + shares.pad - low)
    for i in range(n, _rounded(n, STEPS)):
        lowest[i], base[i] = lowest[n - 1], base[n - 1]


@_inline
def _taps(g, v, t, k0, n, lines, segments, layout, pitch, at, at1, near, far):
    """List the two rows that a segment's planes take from each step, and how much of each.

    Without a share where no plane is near the image.
    """
    slope, first = segments.tilt[g] * segments.slope[t], segments.first[g]
    reach, pace = lines.reach[v, t], lines.pace[v]
    weight, inverse = lines.length[v] * segments.gain[t, g], 1.0 / layout.step
    least, most, stack = -segments.planes[g], layout.size, layout.block * pitch
    for i in range(n):
        height = first + slope * (reach + (k0 + i) * pace)
        q = np.floor(height)
        m = np.floor((q + 0.5) * inverse)
        m1 = np.floor((q + 1.5) * inverse)
        inside = (m1 >= least) & (m <= most)
        b = (height - q) * weight
        begin = i * pitch + layout.margin
        at[i] = np.int32(begin + (m + (q - m * layout.step) * stack if inside else 0.0))
        at1[i] = np.int32(begin + (m1 + (q + 1 - m1 * layout.step) * stack if inside else 0.0))
        near[i] = weight - b if inside else 0.0
        far[i] = b if inside else 0.0


@_inline
def _sample(rows, at, at1, near, far, n, planes, samples, to, widest):
    """Interpolate each of n steps' rows to a segment's planes, in whole vectors."""
    for p in range(0, planes - LANES, PLANES):
        for i in range(n):
            o, i0, i1 = i * widest + to + p, at[i] + p, at1[i] + p
            a, b = spread(near, i), spread(far, i)
            store(samples, o, plus(times(a, load(rows, i0)), b, load(rows, i1)))
            o, i0, i1 = o + LANES, i0 + LANES, i1 + LANES
            store(samples, o, plus(times(a, load(rows, i0)), b, load(rows, i1)))
    if 0 < planes % PLANES <= LANES:
        p = planes // PLANES * PLANES
        for i in range(n):
            one = times(spread(near, i), load(rows, at[i] + p))
            both = plus(one, spread(far, i), load(rows, at1[i] + p))
            store(samples, i * widest + to + p, both)


@_inline
def _scatter(samples, begin, widest, n, planes, weights, at, rows):
    """Add a segment's samples, so many times each, to a row for each of n steps."""
    whole = planes // LANES * LANES
    for p in range(0, whole, LANES):
        for i in range(n):
            o = at[i] + p
            one = load(samples, begin + i * widest + p)
            store(rows, o, plus(load(rows, o), spread(weights, i), one))
    rest = np.int32(planes - whole)
    for i in range(n if rest else 0):
        o = at[i] + whole
        one = leading(load(samples, begin + i * widest + whole), rest)
        store(rows, o, plus(load(rows, o), spread(weights, i), one))


@_inline
def _trim(samples, widest, n, planes):
    """Put zeros behind the planes of a group, and behind its steps up to a multiple of STEPS."""
    width = _rounded(planes, PLANES)
    begin = planes // LANES * LANES
    for i in range(n):
        at = i * widest + begin
        store(samples, at, leading(load(samples, at), np.int32(planes - begin)))
        if begin + LANES < width:
            store(samples, at + LANES, nothing())
    for i in range(n, _rounded(n, STEPS)):
        for p in range(0, width, LANES):
            store(samples, i * widest + p, nothing())


@_inline
def _reached(i, lowest, window, tofs):
    """Return the first and the last + 1 bin that four steps reach."""
    low, high = min(lowest[i], lowest[i + 3]), max(lowest[i], lowest[i + 3]) + window
    return max(0, low), min(tofs, high)


@_inline
def _share_out(samples, widest, n, width, lowest, base, shares, sums, offset, length, tofs):
    """Add the samples of n steps to the bins."""
    table = shares.table
    for i in range(0, n, STEPS):
        low, high = _reached(i, lowest, shares.window, tofs)
        t0, t1, t2, t3 = base[i], base[i + 1], base[i + 2], base[i + 3]
        for p in range(0, width, PLANES):
            at = i * widest + p
            a0, b0 = load(samples, at), load(samples, at + LANES)
            a1, b1 = load(samples, at + widest), load(samples, at + widest + LANES)
            a2, b2 = load(samples, at + 2 * widest), load(samples, at + 2 * widest + LANES)
            a3, b3 = load(samples, at + 3 * widest), load(samples, at + 3 * widest + LANES)
            for tof in range(low, high):
                to = tof * length + offset + p
                w0, w1 = spread(table, t0 + tof), spread(table, t1 + tof)
                w2, w3 = spread(table, t2 + tof), spread(table, t3 + tof)
                a = plus(plus(load(sums, to), w0, a0), w1, a1)
                b = plus(plus(load(sums, to + LANES), w0, b0), w1, b1)
                store(sums, to, plus(plus(a, w2, a2), w3, a3))
                store(sums, to + LANES, plus(plus(b, w2, b2), w3, b3))


@_inline
def _share_in(samples, widest, n, width, lowest, base, shares, sums, offset, length, tofs):
    """Transpose of `_share_out`, into samples that are set."""
    table, zero = shares.table, nothing()
    for i in range(0, n, STEPS):
        low, high = _reached(i, lowest, shares.window, tofs)
        t0, t1, t2, t3 = base[i], base[i + 1], base[i + 2], base[i + 3]
        for p in range(0, width, PLANES):
            a0, a1, a2, a3, b0, b1, b2, b3 = zero, zero, zero, zero, zero, zero, zero, zero
            for tof in range(low, high):
                to = tof * length + offset + p
                a, b = load(sums, to), load(sums, to + LANES)
                w0, w1 = spread(table, t0 + tof), spread(table, t1 + tof)
                w2, w3 = spread(table, t2 + tof), spread(table, t3 + tof)
                a0, b0, a1, b1 = plus(a0, w0, a), plus(b0, w0, b), plus(a1, w1, a), plus(b1, w1, b)
                a2, b2, a3, b3 = plus(a2, w2, a), plus(b2, w2, b), plus(a3, w3, a), plus(b3, w3, b)
            at = i * widest + p
            store(samples, at, a0)
            store(samples, at + LANES, b0)
            store(samples, at + widest, a1)
            store(samples, at + widest + LANES, b1)
            store(samples, at + 2 * widest, a2)
            store(samples, at + 2 * widest + LANES, b2)
            store(samples, at + 3 * widest, a3)
            store(samples, at + 3 * widest + LANES, b3)


@_inline
def _copy(x, begin, out, to, length):
    """Copy a stretch."""
    b, o = np.uint64(begin), np.uint64(to)
    for i in range(np.uint64(length)):
        out[o + i] = x[b + i]


@_jit
def _forward(begin, end, image, lines, segments, groups, spans, layout, shares, out):
    """Fill all lines of the views begin ... end - 1."""
    pixels, data = image.reshape(-1), out.reshape(-1)
    tofs, views, bins, row = out.shape
    step, size, margin, block = layout.step, layout.size, layout.margin, layout.block
    pitch, rows, widest, samples, length, sums, where, near, far = _scratch(
        layout, groups, row, tofs
    )
    at, at1, base = np.zeros(block, np.int32), np.zeros(block, np.int32), np.zeros(block, np.int32)
    lowest, a, b = np.zeros(block, np.int32), np.zeros(block, np.float32), np.zeros(block, np.float32)
    for item in range(begin * bins, end * bins):
        v, t = item // bins, item % bins
        clear(sums, 0, tofs * length)
        for k in range(lines.start[v, t], lines.stop[v, t], block):
            n = min(block, lines.stop[v, t] - k)
            jump = columns(v, t, k, n, image.shape, lines, where, near, far)
            for phase in range(step):
                for p in range(phase * size, phase * size + size, LANES):
                    to = phase * (block * pitch - size) + margin + p
                    for i in range(n):
                        one = times(spread(near, i), load(pixels, where[i] + p))
                        both = plus(one, spread(far, i), load(pixels, where[i] + jump + p))
                        store(rows, to + i * pitch, both)
            for h in range(groups.planes.size):
                planes, to = groups.planes[h], 0
                _places(groups.begin[h], v, t, k, n, lines, segments, shares, lowest, base)
                for g in range(groups.begin[h], groups.end[h]):
                    _taps(g, v, t, k, n, lines, segments, layout, pitch, at, at1, a, b)
                    _sample(rows, at, at1, a, b, n, segments.planes[g], samples, to, widest)
                    to += segments.planes[g]
                _trim(samples, widest, n, planes)
                _share_out(
                    samples, widest, n, planes, lowest, base, shares, sums, groups.offset[h],
                    length, tofs,
                )  # fmt: skip
        for tof in range(tofs):
            line = (tof * views * bins + item) * row
            for s in range(spans.begin.size):
                begin_, count = spans.begin[s], spans.end[s] - spans.begin[s]
                _copy(sums, tof * length + begin_, data, line + begin_, count)


@_inline
def _within(v, t, k0, n, lines, segments, shares, tofs):
    """Return the first and the last + 1 bin that the steps of a line reach in any segment."""
    steepest, low, high = np.max(segments.gain[t]), tofs, 0
    for k in (k0, k0 + n - 1):
        for gain in (1.0, steepest):
            along = (lines.reach[v, t] + k * lines.pace[v]) * gain
            place = math.floor(along * shares.per_mm + 0.5) + shares.middle
            bin_ = place // shares.parts + shares.first
            low, high = min(low, bin_), max(high, bin_ + shares.window)
    return max(0, low - 1), min(tofs, high + 1)  # places may differ by their last bits


@_jit
def _adjoint(begin, end, image, lines, segments, groups, spans, layout, shares, values, chosen):
    """Put what the lines of some views hold into the slabs begin ... end - 1."""
    pixels, data = image.reshape(-1), values.reshape(-1)
    tofs, views, bins, row = values.shape
    step, size, margin, block = layout.step, layout.size, layout.margin, layout.block
    pitch, rows, widest, samples, length, sums, where, near, far = _scratch(
        layout, groups, row, tofs
    )
    at, at1, base = np.zeros(block, np.int32), np.zeros(block, np.int32), np.zeros(block, np.int32)
    lowest, a, b = np.zeros(block, np.int32), np.zeros(block, np.float32), np.zeros(block, np.float32)
    for item in range(begin * chosen.size, end * chosen.size):
        k, v = item // chosen.size * block, chosen[item % chosen.size]
        for t in range(bins):
            k0 = max(k, lines.start[v, t])
            n = min(k + block, lines.stop[v, t]) - k0
            if n <= 0:
                continue
            low, high = _within(v, t, k0, n, lines, segments, shares, tofs)
            for tof in range(low, high):
                line = ((tof * views + v) * bins + t) * row
                for s in range(spans.begin.size):
                    begin_, count = spans.begin[s], spans.end[s] - spans.begin[s]
                    _copy(data, line + begin_, sums, tof * length + begin_, count)
            clear(rows, 0, rows.size)
            for h in range(groups.planes.size):
                planes, to = groups.planes[h], 0
                _places(groups.begin[h], v, t, k0, n, lines, segments, shares, lowest, base)
                _share_in(
                    samples, widest, n, planes, lowest, base, shares, sums, groups.offset[h],
                    length, tofs,
                )  # fmt: skip
                for g in range(groups.begin[h], groups.end[h]):
                    _taps(g, v, t, k0, n, lines, segments, layout, pitch, at, at1, a, b)
                    # One row of all steps, then the other: they overlap.
                    _scatter(samples, to, widest, n, segments.planes[g], a, at, rows)
                    _scatter(samples, to, widest, n, segments.planes[g], b, at1, rows)
                    to += segments.planes[g]
            jump = columns(v, t, k0, n, image.shape, lines, where, near, far)
            for phase in range(step):
                for p in range(phase * size, phase * size + size, LANES):
                    begin_ = phase * (block * pitch - size) + margin + p
                    for i in range(n):
                        o, one = where[i] + p, load(rows, begin_ + i * pitch)
                        store(pixels, o, plus(load(pixels, o), spread(near, i), one))
                        o += jump
                        store(pixels, o, plus(load(pixels, o), spread(far, i), one))
