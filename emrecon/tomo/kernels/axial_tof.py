"""Line integrals weighted by time of flight, for all axial planes of a ring scanner.

What `axial` shares between planes is shared here too: the two columns of a step, added once for
all segments.  A step's share in each time-of-flight bin depends on its distance along the line,
so on the step and the segment's obliquity, and not on the plane: the row of a step, interpolated
to a segment's planes once, is added to the few bins within reach, each with one number.  Nothing
is done for the bins out of reach: the work grows with the width of the kernel over that of a bin,
not with the number of bins.  Segments of opposite tilts are one wider segment for the shares.

Four steps at once are added to a bin, for two vectors of planes: eight vectors that stay in
registers while the bins within reach of any of the four come and go.  Outside its reach a step's
share is 0, so the rows of the table of shares have zeros at both ends.

A step is taken to be at the nearest of places so dense that the shares of the bins come from a
small table (`Timing.phases`): they add to 1, so the sum over all bins is what
`axial` gives, but for rounding.

The adjoint is the exact transpose, in slabs of the image each of which belongs to one thread.
"""

import math
from collections import namedtuple

import numpy as np

from emrecon.compiled import inline, kernel, share
from emrecon.tomo.kernels import axial_tables as tables
from emrecon.tomo.kernels.axial import clear, columns
from emrecon.tomo.kernels.axial_rows import (
    PLANES,
    STEPS,
    add_columns,
    copy,
    rounded,
    sample,
    scatter,
    share_in,
    share_out,
    take_columns,
    trim,
)
from emrecon.tomo.kernels.axial_tables import PASS
from emrecon.tomo.kernels.simd import LANES

# Without the leave to reorder: both ways must take a step to be at the very same place.
_jit = kernel(error_model="numpy")
_inline = inline(error_model="numpy")

BLOCK = 16  # steps in a slab of the adjoint, at most
CHUNK = 32  # steps taken together by the forward projector

# table[phase, j] is the share of bin n + first + j, at the place n parts + phase in steps.
# The middle of the line is at the place `middle`.
Flight = namedtuple("Flight", "table first per_mm middle")
# The same with `pad` zeros at both ends of each row of the table, which is flat and has rows of
# `pitch` numbers.
Shares = namedtuple("Shares", "table pitch parts window pad first per_mm middle")

# What is listed for each step of a block: columns, and for each segment bins and rows.
Lists = namedtuple("Lists", "where near far a b lowest base at at1")


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
        segments, groups = tables.grouped(segments)
        layout = tables.layout_of(image.shape, int(each), segments, lines)._replace(block=CHUNK)
        rows = tables.sealed(tables.split(image, layout))
        shares = _shares(flight, lines, segments)
        widths = _widths(groups, groups.lane[-1] + groups.planes[-1])
        work = _in_room(_forward, layout, widths, len(out))
        share(work, out.shape[1], rows, lines, segments, groups, shares, out)


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
        segments, groups = tables.grouped(segments)
        layout = tables.layout_of(image.shape, int(each), segments, lines)._replace(block=BLOCK)
        rows = tables.empty_rows(image.shape, layout)
        shares = _shares(flight, lines, segments)
        work = _in_room(_adjoint, layout, _widths(groups, data.shape[3]), len(data))
        for axis, views in enumerate((lines.along_x, ~lines.along_x)):
            slabs = -(-image.shape[axis] // layout.block)
            chosen = np.flatnonzero(views)
            share(work, slabs, rows, lines, segments, groups, shares, data, chosen)
        tables.join(rows, layout, image)


def _shares(flight, lines, segments):
    """Put as many zeros around the shares as a step's bins may lie off those of the next three."""
    parts, window = flight.table.shape
    furthest = (STEPS - 1) * np.abs(lines.pace).max(initial=0) * segments.gain.max(initial=0)
    pad = int(np.ceil(furthest * flight.per_mm / parts)) + 1
    table = np.pad(flight.table, ((0, 0), (pad, pad)))
    pitch = window + 2 * pad
    return Shares(table.ravel(), pitch, parts, window, pad, flight.first, *flight[2:])


def _widths(groups, lanes):
    """Return how many numbers a group's planes and the lanes of a bin are given."""
    widest = tables.rounded(np.max(groups.planes), PLANES) + LANES
    length = tables.rounded(lanes + PLANES, 2 * LANES) + LANES  # no few of them are whole pages
    return int(widest), int(length)


def _in_room(kernel, layout, widths, tofs):
    """Return a kernel that has room of its own for each range of tasks.

    It is for the rows of a block, for those of a group's planes, for the bins of a line, and for
    what is listed for each step.
    """
    widest, length = widths
    sizes = (
        layout.step * layout.block * layout.pitch + layout.margin,
        tables.rounded(layout.block, STEPS) * widest,
        tofs * length,
    )
    count = tables.rounded(layout.block, PASS)

    def work(*args):
        lists = Lists(
            np.zeros(count, np.int64), *np.zeros((4, count), np.float32),
            *np.zeros((4, count), np.int32),
        )  # fmt: skip
        kernel(*args, layout, *widths, *map(tables.aligned, sizes), lists)

    return work


@_inline
def _places(g, v, t, k0, n, lines, segments, shares, lowest, base):
    """Say for n steps where their window of bins starts, and where bin 0 is in the table.

    Up to a multiple of STEPS, there are as many as the last one.
    """
    scale, inverse = segments.gain[t, g] * shares.per_mm, 1.0 / shares.parts
    reach, pace = lines.reach[v, t], lines.pace[v]
    for i in range(rounded(n, PASS)):
        place = np.floor((reach + (k0 + i) * pace) * scale + 0.5) + shares.middle
        whole = np.floor((place + 0.5) * inverse)
        low = whole + shares.first
        lowest[i] = np.int32(low)
        base[i] = np.int32((place - whole * shares.parts) * shares.pitch + shares.pad - low)
    for i in range(n, rounded(n, STEPS)):
        lowest[i], base[i] = lowest[n - 1], base[n - 1]


@_inline
def _taps(g, v, t, k0, n, lines, segments, layout, at, at1, near, far):
    """List the two rows that a segment's planes take from each step, and how much of each.

    Without a share where no plane is near the image.
    """
    slope, first = segments.tilt[g] * segments.slope[t], segments.first[g]
    reach, pace = lines.reach[v, t], lines.pace[v]
    weight, inverse = lines.length[v] * segments.gain[t, g], 1.0 / layout.step
    least, most = -float(segments.planes[g]), float(layout.size)
    step, row = float(layout.step), float(layout.pitch)
    stack = layout.block * row
    for i in range(rounded(n, PASS)):
        height = first + slope * (reach + (k0 + i) * pace)
        q = np.floor(height)
        m = np.floor((q + 0.5) * inverse)
        m1 = np.floor((q + 1.5) * inverse)
        inside = (m1 >= least) & (m <= most)
        b = (height - q) * weight
        begin = layout.margin + i * row
        at[i] = np.int32(begin + (m + (q - m * step) * stack if inside else 0.0))
        at1[i] = np.int32(begin + (m1 + (q + 1 - m1 * step) * stack if inside else 0.0))
        near[i] = weight - b if inside else 0.0
        far[i] = b if inside else 0.0


@_jit
def _forward(
    begin, end, image, lines, segments, groups, shares, out,
    layout, widest, length, rows, samples, sums, lists,
):  # fmt: skip
    """Fill all lines of the views begin ... end - 1."""
    pixels, data = image.reshape(-1), out.reshape(-1)
    tofs, views, bins, row = out.shape
    block = layout.block
    starts, near, far, a, b, lowest, base, at, at1 = lists
    for item in range(begin * bins, end * bins):
        v, t = item // bins, item % bins
        clear(sums, 0, tofs * length)
        for k in range(lines.start[v, t], lines.stop[v, t], block):
            n = min(block, lines.stop[v, t] - k)
            jump = columns(v, t, k, n, image.shape, lines, starts, near, far)
            take_columns(pixels, starts, jump, near, far, n, layout, rows)
            for h in range(groups.planes.size):
                planes, to = groups.planes[h], 0
                _places(groups.begin[h], v, t, k, n, lines, segments, shares, lowest, base)
                for g in range(groups.begin[h], groups.end[h]):
                    _taps(g, v, t, k, n, lines, segments, layout, at, at1, a, b)
                    sample(rows, at, at1, a, b, n, segments.planes[g], samples, to, widest)
                    to += segments.planes[g]
                trim(samples, widest, n, planes)
                share_out(
                    samples, widest, n, planes, lowest, base, shares, sums, groups.lane[h],
                    length, tofs,
                )  # fmt: skip
        for h in range(groups.planes.size):
            for tof in range(tofs):
                to = (tof * views * bins + item) * row + groups.offset[h]
                at_ = tof * length + groups.lane[h]
                copy(sums, at_, data, to, groups.whole[h], groups.planes[h])


@_inline
def _within(v, t, k0, n, lines, segments, shares, tofs):
    """Return the first and the last + 1 bin that the steps of a line reach in any segment."""
    steepest, low, high = 1.0, tofs, 0
    for g in range(segments.planes.size):
        steepest = max(steepest, segments.gain[t, g])
    for k in (k0, k0 + n - 1):
        for gain in (1.0, steepest):
            along = (lines.reach[v, t] + k * lines.pace[v]) * gain
            place = math.floor(along * shares.per_mm + 0.5) + shares.middle
            bin_ = place // shares.parts + shares.first
            low, high = min(low, bin_), max(high, bin_ + shares.window)
    return max(0, low - 1), min(tofs, high + 1)  # places may differ by their last bits


@_jit
def _adjoint(
    begin, end, image, lines, segments, groups, shares, values, chosen,
    layout, widest, length, rows, samples, sums, lists,
):  # fmt: skip
    """Put what the lines of some views hold into the slabs begin ... end - 1."""
    pixels, data = image.reshape(-1), values.reshape(-1)
    tofs, views, bins, row = values.shape
    block = layout.block
    starts, near, far, a, b, lowest, base, at, at1 = lists
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
                copy(data, line, sums, tof * length, row // LANES * LANES, row)
            clear(rows, 0, rows.size)
            for h in range(groups.planes.size):
                planes, to = groups.planes[h], 0
                _places(groups.begin[h], v, t, k0, n, lines, segments, shares, lowest, base)
                share_in(
                    samples, widest, n, planes, lowest, base, shares, sums, groups.offset[h],
                    length, tofs,
                )  # fmt: skip
                for g in range(groups.begin[h], groups.end[h]):
                    _taps(g, v, t, k0, n, lines, segments, layout, at, at1, a, b)
                    # One row of all steps, then the other: they overlap.
                    scatter(samples, to, widest, n, segments.planes[g], a, at, rows)
                    scatter(samples, to, widest, n, segments.planes[g], b, at1, rows)
                    to += segments.planes[g]
            jump = columns(v, t, k0, n, image.shape, lines, starts, near, far)
            add_columns(rows, n, layout, starts, jump, near, far, pixels)
