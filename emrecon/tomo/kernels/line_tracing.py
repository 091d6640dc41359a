"""Where single lines run through the voxels, and in which order their pieces are best taken.

Lines are traced some hundreds at a time, from one row of numbers a quantity to another, without
a branch: as many at once as the machine's vectors hold.

A projector that followed one line after the other would find nothing of it in the cache.  So lines
are cut into pieces at every `SLAB` layers across the axis that they are stepped along, and pieces
of one slab are sorted by the tile of `TILE` x `TILE` voxels that their middle lies in, in their
order within a tile: the voxels of a tile stay in the cache while all its pieces are taken.

Lines that time of flight makes as short as two slabs are left whole. Their slabs are rows of
tiles, and within half a tile they are sorted by the layer that they begin at. What is known of
them stays where it is, and only their order is sorted.
"""

from collections import namedtuple

import numpy as np

from emrecon.compiled import inline, kernel, share

SLAB_BITS = 5
SLAB = 1 << SLAB_BITS  # layers in a slab
TILE_BITS = 5
TILE = 1 << TILE_BITS  # voxels along the side of a tile
STEP_BITS = 4  # places along the axis that lines are sorted by, where they are not cut
WHOLE = 2 * SLAB  # lines of so few layers are not cut
PAD = 2  # voxels of nothing on every side across the axis that is stepped along

_BLOCK = 1 << 16  # lines of a task
_GROUP = 512  # lines that are traced together
_RIM = 1e-4  # a sample so near (in steps) to the end of a line is in
_TINY = 1e-12  # what is shorter (mm or voxels) has no direction
_FAR = np.float32(1e9)  # mm; no line has an end further out

_real = np.float32

# Courses are not summed up: nothing may be reordered.
_ORDERED = {"nnan", "ninf", "nsz", "contract", "arcp", "afn"}
_jit = kernel(fastmath=_ORDERED, error_model="numpy")
_inline = inline(fastmath=_ORDERED, error_model="numpy")
_inline_strict = inline()  # for numbers that may be NaN

Frame = namedtuple("Frame", "shape origin spacing fov")
# A row of `pieces`: places across the axis at the first layer, each followed by what it gains a
# layer; distance from the middle of the TOF bin in steps of the table, of `step` mm, and gain;
# and, in the last place of the row of `layers`, the first layer plus 65536 times how many there
# are. `lines` tells the line of each piece; those of slab s of axis m are bounds[m slabs + s] to
# the next of them, and those of a block of lines at[block, key] - count[block, key] ... at - 1.
# Slabs that differ by a multiple of `colours` share no voxel.
# Of lines that are not cut (more colours than one) `lines` tells the row of each in its order, and
# the last place but one of the row of `layers` its line.
Traced = namedtuple("Traced", "pieces layers lines bounds at count colours step")


def frame_of(shape, origin, spacing, fov_mm):
    """Describe a grid, and the cylinder about the axis within which samples count."""
    return Frame(
        np.array(shape, np.int64), np.array(origin, float), np.array(spacing, float), float(fov_mm)
    )


def trace(points, pairs, frame, tof, centres, half_mm, step_mm):
    """Find the course of every line through the grid, and sort their pieces.

    A line with an end that is not finite, or beyond 1e9 mm, hits nothing.

    Parameters
    ----------
    points : float32 (points, 3)
        Ends of lines, mm.
    pairs : unsigned (lines, 2)
        Ends of each line.
    frame : Frame
        The grid.
    tof : int16 (lines,) or (0,)
        Time-of-flight bin of each line, if there are any.
    centres : float64 (bins,)
        Middle of every bin, mm towards end 2.
    half_mm, step_mm : float
        Distance from the middle of a bin that it reaches, and step of the table of weights.
    """
    blocks = max(1, -(-len(pairs) // _BLOCK))
    colours, slabs, parts, width = _order(frame, half_mm if len(tof) else np.inf)
    order, cut = (slabs, parts, width), colours == 1
    course, count = _rows(len(pairs)), np.zeros((blocks, 3 * slabs * parts), np.int32)
    if cut:
        kept = course.view(np.int32), np.empty(len(pairs), np.uint8)
    else:
        kept = np.empty(len(pairs), np.int32), np.empty(blocks, np.int64)
    inputs = points, pairs, frame, tof, centres, half_mm, step_mm
    share(_trace if cut else _trace_whole, blocks, *inputs, order, course, *kept, count)
    ends = np.cumsum(count.T.ravel(), dtype=np.int64).reshape(-1, blocks)
    at = np.ascontiguousarray(ends.T - count)
    bounds = np.zeros(3 * slabs + 1, np.int64)
    bounds[1:] = ends[parts - 1 :: parts, -1]
    lines, pieces = np.empty(bounds[-1], np.uint32), course
    if cut:
        pieces = np.empty((len(lines), 8), np.float32)
        share(_sort, blocks, order, course, *kept, at, lines, pieces, pieces.view(np.int32))
    else:
        share(_sort_whole, blocks, *kept, at, lines)
    return Traced(pieces, pieces.view(np.int32), lines, bounds, at, count, colours, step_mm)


def _rows(count):
    """Return room for rows of eight numbers, each within a line of the cache."""
    flat = np.empty(8 * count + 8, np.float32)
    begin = -flat.ctypes.data % 32 // 4
    return flat[begin : begin + 8 * count].reshape(count, 8)


def _order(frame, half_mm):
    """Return colours, slabs of an axis, parts of a slab, and parts of a row of them.

    Slabs of lines that are not cut are rows of tiles, and parts places along the axis in each
    half of a tile.
    """
    size, half = int(frame.shape.max()), half_mm / frame.spacing.min() + 2
    slabs, tiles = (size - 1) // SLAB + 1, (size + 2 * PAD - 1) // TILE + 1
    if 2 * half > WHOLE:
        return 1, slabs, tiles * tiles, tiles
    steps = ((size - 1) >> STEP_BITS) + 1
    return 1 + -(-int(2 * half) // TILE), tiles, 2 * tiles * steps, steps


@_inline_strict
def _is_near(points, n):
    """Return whether a point is neither NaN nor too far to be reckoned with."""
    zero, one, two = np.uint64(0), np.uint64(1), np.uint64(2)
    x, y, z = abs(points[n, zero]), abs(points[n, one]), abs(points[n, two])
    return (x <= _FAR) & (y <= _FAR) & (z <= _FAR)


@_inline
def _gather(first, count, points, pairs, tof, centres, ends):
    """Put the ends of lines, and the middles of their bins, in rows of one quantity each."""
    for i in range(np.uint64(count)):
        e = np.uint64(first) + i
        one, two = np.uint64(pairs[e, 0]), np.uint64(pairs[e, 1])
        fine = _is_near(points, one) & _is_near(points, two)
        for k in range(np.uint64(3)):  # of no length where an end is not fine
            ends[i + k * np.uint64(_GROUP)] = points[one, k] if fine else np.float32(0)
            ends[i + (k + np.uint64(3)) * np.uint64(_GROUP)] = (
                points[two, k] if fine else np.float32(0)
            )
        if len(tof) > 0:
            ends[i + np.uint64(6 * _GROUP)] = centres[np.uint64(tof[e])]


@_jit
def _follow(count, ends, frame, half_mm, step_mm, timed, out):
    """Describe lines by nine rows: those of a course, first layer, end of layers, and axis.

    In single precision, as the ends are: twice as many at once as in double. Both arrays are
    flat: that the rows do not overlap must be seen by the compiler.
    """
    row = np.uint64(_GROUP)
    zero, half, unit, tiny, rim = _real(0), _real(0.5), _real(1), _real(_TINY), _real(_RIM)
    x0, y0, z0 = _real(frame.origin[0]), _real(frame.origin[1]), _real(frame.origin[2])
    per_x, per_y = _real(1 / frame.spacing[0]), _real(1 / frame.spacing[1])
    per_z, half_bin, pad = _real(1 / frame.spacing[2]), _real(half_mm), _real(PAD)
    nx, ny = _real(frame.shape[0]), _real(frame.shape[1])
    nz = _real(frame.shape[2])
    per_step, radius = _real(1 / step_mm), _real(frame.fov)
    for i in range(count):
        n = np.uint64(i)
        x, y, z = _real(ends[n]), _real(ends[n + row]), _real(ends[n + 2 * row])
        dx, dy, dz = ends[n + 3 * row] - x, ends[n + 4 * row] - y, ends[n + 5 * row] - z
        centre = _real(ends[n + 6 * row])
        is_z = abs(dz) > max(abs(dx), abs(dy))
        is_x = (abs(dx) > abs(dy)) & (abs(dx) >= abs(dz))
        # The part within the cylinder, in lines from end to end, and within reach of the bin.
        square = dx * dx + dy * dy
        full = np.sqrt(square + dz * dz)
        cross = x * dy - y * dx
        inverse = unit / max(square, tiny)
        away = x * x + y * y if square < tiny else cross * cross * inverse
        left = radius * radius - away
        middle, reach = -(x * dx + y * dy) * inverse, np.sqrt(max(left, zero) * inverse)
        low, high = max(zero, middle - reach), min(unit, middle + reach)
        if timed:
            inverse = unit / max(full, tiny)
            low = max(low, half + (centre - half_bin) * inverse)
            high = min(high, half + (centre + half_bin) * inverse)
        # In voxels from here on: m along the axis, a and b across.
        x, y, z = (x - x0) * per_x, (y - y0) * per_y, (z - z0) * per_z
        dx, dy, dz = dx * per_x, dy * per_y, dz * per_z
        m, dm, layers = (z, dz, nz) if is_z else (x, dx, nx) if is_x else (y, dy, ny)
        a, da, above = (y, dy, ny) if is_x else (x, dx, nx)
        inverse = unit / (da if abs(da) > tiny else tiny)
        one, two = -(a + unit) * inverse, (above - a) * inverse
        low, high = max(low, min(one, two)), min(high, max(one, two))
        b, db, above = (y, dy, ny) if is_z else (z, dz, nz)
        inverse = unit / (db if abs(db) > tiny else tiny)
        one, two = -(b + unit) * inverse, (above - b) * inverse
        low, high = max(low, min(one, two)), min(high, max(one, two))
        one, two = m + low * dm, m + high * dm
        start = max(np.ceil(min(one, two) - rim), zero)
        stop = min(np.floor(max(one, two) + rim) + unit, layers)
        point = full < tiny
        none = point | (left <= zero) | (low >= high) | (start >= stop)
        per_layer = unit / (unit if point else dm)
        t = (start - m) * per_layer
        out[n], out[n + row] = a + t * da + pad, per_layer * da
        out[n + 2 * row], out[n + 3 * row] = b + t * db + pad, per_layer * db
        out[n + 4 * row] = ((t - half) * full - centre) * per_step
        out[n + 5 * row] = per_layer * full * per_step
        out[n + 6 * row], out[n + 7 * row] = zero if none else start, zero if none else stop
        out[n + 8 * row] = _real(2) if is_z else zero if is_x else unit


@_inline
def _key(row, layers, axis, slab, order):
    """Return where the piece of a line in a slab comes in the order of pieces."""
    slabs, parts, width = order
    start, low, high = layers
    t = np.float32(0.5) * np.float32(low + high - 1 - 2 * start)
    a = np.int64(row[0] + t * row[1]) >> TILE_BITS
    b = np.int64(row[2] + t * row[3]) >> TILE_BITS
    return np.uint64((axis * slabs + slab) * parts + a * width + b)


@_jit
def _keys(count, out, slabs, parts, width, keys):
    """Return where traced lines come in the order of those that are not cut; 0 of none."""
    row = np.uint64(_GROUP)
    for i in range(count):
        n = np.uint64(i)
        start, stop = np.int32(out[n + 6 * row]), np.int32(out[n + 7 * row])
        t = np.float32(0.5) * np.float32(stop - start - 1)
        a = np.int32(out[n] + t * out[n + row]) >> TILE_BITS
        b = np.int32(out[n + 2 * row] + t * out[n + 3 * row]) >> (TILE_BITS - 1)
        key = (np.int32(out[n + 8 * row]) * slabs + a) * parts + b * width + (start >> STEP_BITS)
        keys[n] = key if start < stop else np.int32(0)


@_inline
def _slabs_of(span):
    """Return the first slab of a line, and the one behind the last."""
    start, stop = span & 0xFFFF, span >> 16
    first = start >> SLAB_BITS
    return first, ((stop - 1) >> SLAB_BITS) + 1 if start < stop else first


@_inline
def _layers_in(span, slab):
    """Return the first layer of a line, and the layers of its piece in a slab."""
    start, stop = span & 0xFFFF, span >> 16
    return start, max(start, slab * SLAB), min(stop, (slab + 1) * SLAB)


@_jit
def _trace(
    begin, end, points, pairs, frame, tof, centres, half_mm, step_mm, order,
    course, span, axis, count,
):  # fmt: skip
    """Trace the lines of the blocks begin ... end - 1, and count their pieces."""
    ends, out = np.zeros(7 * _GROUP, np.float32), np.empty(9 * _GROUP, np.float32)
    for block in range(begin, end):
        last = min((block + 1) * _BLOCK, len(pairs))
        for first in range(block * _BLOCK, last, _GROUP):
            group = min(_GROUP, last - first)
            _gather(first, group, points, pairs, tof, centres, ends)
            _follow(group, ends, frame, half_mm, step_mm, len(tof) > 0, out)
            for i in range(np.uint64(group)):
                e = np.uint64(first) + i
                for k in range(np.uint64(6)):
                    course[e, k] = out[i + k * np.uint64(_GROUP)]
                first_layer, end_layer = (
                    out[i + np.uint64(6 * _GROUP)],
                    out[i + np.uint64(7 * _GROUP)],
                )
                layers = np.int32(first_layer) | np.int32(end_layer) << 16
                m = np.int64(out[i + np.uint64(8 * _GROUP)])
                span[e, np.uint64(7)], axis[e] = layers, m
                for slab in range(*_slabs_of(layers)):
                    some = _layers_in(layers, slab)
                    count[block, _key(course[e], some, m, slab, order)] += 1


@_jit
def _sort(begin, end, order, course, span, axis, at, lines, pieces, layers):
    """Put the pieces of the blocks begin ... end - 1 in their order."""
    for block in range(begin, end):
        for e in range(block * _BLOCK, min((block + 1) * _BLOCK, len(course))):
            row, both, m = (
                course[np.uint64(e)],
                span[np.uint64(e), np.uint64(7)],
                np.int64(axis[np.uint64(e)]),
            )
            for slab in range(*_slabs_of(both)):
                start, low, high = some = _layers_in(both, slab)
                key = _key(row, some, m, slab, order)
                n = np.uint64(at[block, key])
                at[block, key] += 1
                lines[n] = e
                t = np.float32(low - start)
                for k in (np.uint64(0), np.uint64(2), np.uint64(4)):
                    gain = row[k + np.uint64(1)]
                    pieces[n, k] = row[k] + t * gain
                    pieces[n, k + np.uint64(1)] = gain
                layers[n, np.uint64(7)] = low | (high - low) << 16


@_jit
def _trace_whole(
    begin, end, points, pairs, frame, tof, centres, half_mm, step_mm, order,
    course, kept, hits, count,
):  # fmt: skip
    """Trace lines that are not cut, keep those that hit something, and count them."""
    slabs, parts, width = order
    ends, out = np.zeros(7 * _GROUP, np.float32), np.empty(9 * _GROUP, np.float32)
    keys, span = np.empty(_GROUP, np.int32), course.view(np.int32)
    for block in range(begin, end):
        last, n = min((block + 1) * _BLOCK, len(pairs)), np.uint64(block * _BLOCK)
        for first in range(block * _BLOCK, last, _GROUP):
            group = min(_GROUP, last - first)
            _gather(first, group, points, pairs, tof, centres, ends)
            _follow(group, ends, frame, half_mm, step_mm, len(tof) > 0, out)
            _keys(group, out, np.int32(slabs), np.int32(parts), np.int32(width), keys)
            for i in range(np.uint64(group)):
                for k in range(np.uint64(6)):
                    course[n, k] = out[i + k * np.uint64(_GROUP)]
                start = np.int32(out[i + np.uint64(6 * _GROUP)])
                stop = np.int32(out[i + np.uint64(7 * _GROUP)])
                span[n, np.uint64(7)] = start | (stop - start) << 16
                span[n, np.uint64(6)] = np.uint64(first) + i
                kept[n] = keys[i]
                hit = start < stop  # no branch: nobody could foretell it
                count[block, np.uint64(keys[i])] += hit
                n += np.uint64(hit)
        hits[block] = n


@_jit
def _sort_whole(begin, end, kept, hits, at, rows):
    """Tell the order of the lines of the blocks begin ... end - 1 that hit something."""
    for block in range(begin, end):
        for i in range(block * _BLOCK, hits[block]):
            key = np.uint64(kept[np.uint64(i)])
            rows[np.uint64(at[block, key])] = i
            at[block, key] += 1
