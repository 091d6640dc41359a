"""Line integrals along single lines, each anywhere in space, and their transpose.

Joseph's method along the axis nearest to the line: at every voxel layer across that axis, bilinear
interpolation within the layer. A line reads voxels far apart in memory, which is what takes the
time, so the work is ordered by place:

*Views.*  The image is kept three times, with the axis that is stepped along first, so that the
voxels of a step lie together; voxels of nothing on every side stand for what lies outside.

*Neighbours.*  The lines of a block are sorted by axis, tilt and place, so that one finds in the
cache what its neighbours have read.

*Bits.*  In the forward projection a block of lines belongs to one thread. In the transpose a slab
of layers belongs to one thread, and takes its lines in their order: as a step writes to its own
layer alone, no two threads write the same voxel, and the result does not depend on how layers are
shared out, nor on the number of threads.
"""

from collections import namedtuple

import numba
import numpy as np

from emrecon.tomo.kernels.share import share

BLOCK = 1 << 16  # lines that are sorted together, no more than an uint16 can number
SLAB = 32  # layers in a slab, at most
PAD = 2  # voxels of nothing on every side across the axis that is stepped along
RIM = 1e-4  # a sample so near (in steps) to the end of a line is in
TILTS, PLACES = 16, 32  # lines are told apart so finely when they are sorted

# Sums may be reordered in the forward projection alone, where a line belongs to one thread: its
# samples are then taken many at a time.
ORDERED = {"nnan", "ninf", "nsz", "contract", "arcp", "afn"}
_jit = numba.njit(nogil=True, cache=True, fastmath=ORDERED)
_inline = numba.njit(fastmath=ORDERED, forceinline=True)
_jit_sums = numba.njit(nogil=True, cache=True, fastmath=True)
_inline_sums = numba.njit(fastmath=True, forceinline=True)

Frame = namedtuple("Frame", "shape origin spacing fov")
# Sorted lines, a row of `course` each: places across the axis at the first layer, each followed by
# what it gains a layer; first layer, and the one behind the last; distance from the middle of the
# TOF bin in steps of the table, and gain.  `order` numbers them in their block; those of axis m
# are at[block, m] ... at[block, m + 1] - 1.
Traced = namedtuple("Traced", "course length order at")


def frame_of(shape, origin, spacing, fov_mm):
    """Describe a grid, and the cylinder about the axis within which samples count."""
    return Frame(
        np.array(shape, np.int64), np.array(origin, float), np.array(spacing, float), float(fov_mm)
    )


def views_of(image):
    """Return the image with each axis first in turn, and nothing around its layers."""
    views = []
    for m in range(3):
        layers = image.transpose(m, *_across(m))
        view = np.zeros(np.add(layers.shape, (0, 2 * PAD, 2 * PAD)), np.float32)
        view[:, PAD:-PAD, PAD:-PAD] = layers
        views.append(view)
    return tuple(views)


def empty_views(shape):
    """Return what `adjoint` adds to."""
    return views_of(np.broadcast_to(np.float32(0), shape))


def image_of(views):
    """Return the image that three views add up to: the transpose of `views_of`."""
    image = None
    for m, view in enumerate(views):
        part = view[:, PAD:-PAD, PAD:-PAD].transpose(*np.argsort((m, *_across(m))))
        image = np.ascontiguousarray(part) if image is None else image + part
    return image


def _across(m):
    return ((1, 2), (0, 2), (0, 1))[m]


def trace(points, pairs, frame, tof, centres, half_mm, step_mm):
    """Find the course of every line through the grid.

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
    count = len(pairs)
    blocks = -(-count // BLOCK)
    traced = Traced(
        np.empty((count, 8), np.float32),
        np.empty(count, np.float32),
        np.empty(count, np.uint16),
        np.zeros((blocks, 4), np.int64),
    )
    share(_trace, blocks, points, pairs, frame, tof, centres, half_mm, step_mm, traced)
    return traced


def forward(views, frame, traced, table, out):
    """Put the line integrals of the image that `views` show into `out` (lines,), in mm.

    A table of more than one entry holds the weight of a sample by its distance from the middle of
    the line's time-of-flight bin.
    """
    out[...] = 0
    share(_forward, len(traced.at), *_flat(views), _strides(frame), *traced, table, out)


def adjoint(values, frame, traced, table, views):
    """Add each line's value times its length in every voxel to `views`."""
    slabs = max(-(-int(frame.shape.max()) // SLAB), numba.get_num_threads())
    cuts = np.array([np.arange(slabs + 1) * n // slabs for n in frame.shape])
    strides = _strides(frame)
    share(_adjoint, 3 * slabs, *_flat(views), strides, cuts, *traced, table, values)


def _flat(views):
    return [view.reshape(-1) for view in views]


def _strides(frame):
    """Return the voxels from layer to layer and from row to row of each view."""
    rows = np.array([[frame.shape[i] + 2 * PAD for i in _across(m)] for m in range(3)])
    return np.column_stack([rows[:, 0] * rows[:, 1], rows[:, 1]]).astype(np.uint64)


@_inline
def _crossing(low, high, place, gain, above):
    """Narrow a range of the parameter to where place + parameter gain is from 0 to `above`."""
    if gain == 0.0:
        if place < 0.0 or place > above:
            return 1.0, 0.0
        return low, high
    inverse = 1.0 / gain
    one, two = -place * inverse, (above - place) * inverse
    return max(low, min(one, two)), min(high, max(one, two))


@_inline
def _inside(low, high, x, y, dx, dy, radius):
    """Narrow a range of the parameter to the cylinder about the axis."""
    square = dx * dx + dy * dy
    if square == 0.0:
        if x * x + y * y > radius * radius:
            return 1.0, 0.0
        return low, high
    inverse = 1.0 / square
    middle = -(x * dx + y * dy) * inverse
    cross = x * dy - y * dx
    left = radius * radius - cross * cross * inverse
    if left <= 0.0:
        return 1.0, 0.0
    half = np.sqrt(left * inverse)
    return max(low, middle - half), min(high, middle + half)


@_inline
def _course(p, q, frame, centre, half_mm, step_mm, timed, row):
    """Describe one line by `row`; return its axis and its length a layer."""
    dx, dy, dz = q[0] - p[0], q[1] - p[1], q[2] - p[2]
    m, a, b = 1, 0, 2
    if abs(dz) > max(abs(dx), abs(dy)):
        m, a, b = 2, 0, 1
    elif abs(dx) > abs(dy):
        m, a, b = 0, 1, 2
    full = np.sqrt(dx * dx + dy * dy + dz * dz)
    row[4] = row[5] = np.float32(0)
    if full == 0.0:
        return 0, 0.0
    low, high = _inside(0.0, 1.0, p[0], p[1], dx, dy, frame.fov)
    if timed:
        middle, reach = 0.5 + centre / full, half_mm / full
        low, high = max(low, middle - reach), min(high, middle + reach)
    dm, da, db = q[m] - p[m], q[a] - p[a], q[b] - p[b]
    per_layer = frame.spacing[m] / dm  # of the parameter
    zero = (frame.origin[m] - p[m]) / dm
    place_a = (p[a] - frame.origin[a]) / frame.spacing[a]
    place_b = (p[b] - frame.origin[b]) / frame.spacing[b]
    gain_a, gain_b = da / frame.spacing[a], db / frame.spacing[b]
    low, high = _crossing(low, high, place_a + 1.0, gain_a, frame.shape[a] + 1.0)
    low, high = _crossing(low, high, place_b + 1.0, gain_b, frame.shape[b] + 1.0)
    if low >= high:
        return 0, 0.0
    one, two = (low - zero) / per_layer, (high - zero) / per_layer
    start = max(np.ceil(min(one, two) - RIM), 0.0)
    stop = min(np.floor(max(one, two) + RIM) + 1.0, float(frame.shape[m]))
    if start >= stop:
        return 0, 0.0
    t = zero + start * per_layer
    row[0], row[1] = place_a + t * gain_a + PAD, per_layer * gain_a
    row[2], row[3] = place_b + t * gain_b + PAD, per_layer * gain_b
    row[4], row[5] = start, stop
    row[6], row[7] = ((t - 0.5) * full - centre) / step_mm, per_layer * full / step_mm
    return m, abs(per_layer) * full


@_jit
def _trace(begin, end, points, pairs, frame, tof, centres, half_mm, step_mm, traced):
    """Trace and sort the lines of the blocks begin ... end - 1."""
    timed, keys = len(tof) > 0, TILTS * PLACES
    key = np.empty(BLOCK, np.int16)
    course, lengths = np.empty((BLOCK, 8), np.float32), np.empty(BLOCK, np.float32)
    p, q = np.empty(3), np.empty(3)
    for block in range(begin, end):
        first = block * BLOCK
        count = min(BLOCK, len(pairs) - first)
        fill = np.zeros(3 * keys + 2, np.int64)
        for n in range(count):
            e = first + n
            one, two = np.uint64(pairs[e, 0]), np.uint64(pairs[e, 1])
            for i in range(3):
                p[i], q[i] = points[one, i], points[two, i]
            row = course[n]
            centre = centres[tof[e]] if timed else 0.0
            m, lengths[n] = _course(p, q, frame, centre, half_mm, step_mm, timed, row)
            if lengths[n] > 0:
                a = (1, 0, 0)[m]
                tilt = (row[1] * frame.spacing[a] / frame.spacing[m] + 1) * (TILTS / 2)
                place = (row[0] + (row[5] - row[4]) / 2 * row[1]) / (frame.shape[a] + 2 * PAD)
                tilt, place = min(max(tilt, 0.0), TILTS - 1.0), min(max(place, 0.0), 0.999)
                key[n] = m * keys + np.int64(tilt) * PLACES + np.int64(place * PLACES)
            else:
                key[n] = 3 * keys
            fill[key[n] + 1] += 1
        for i in range(3 * keys + 1):
            fill[i + 1] += fill[i]
        for m in range(4):
            traced.at[block, m] = fill[m * keys]
        for n in range(count):
            to = first + fill[key[n]]
            fill[key[n]] += 1
            traced.order[to] = n
            traced.length[to] = lengths[n]
            traced.course[to] = course[n]


@_inline
def _share_of_bin(table, q):
    q = abs(q)
    i = min(np.uint64(np.int64(q)), np.uint64(len(table) - 2))
    w = q - np.float32(i)
    return table[i] + w * (table[i + np.uint64(1)] - table[i])


@_inline_sums
def _sum(pixels, layer, line, row, table, timed):
    """Add up the samples of a line."""
    one, total = np.uint64(1), np.float32(0)
    a, da, b, db, q, dq = row[0], row[1], row[2], row[3], row[6], row[7]
    first = np.uint64(np.int64(row[4])) * layer
    for k in range(np.int64(row[5]) - np.int64(row[4])):
        t = np.float32(k)
        fa, fb = a + t * da, b + t * db
        ia, ib = np.int64(fa), np.int64(fb)
        wa, wb = fa - np.float32(ia), fb - np.float32(ib)
        i = first + np.uint64(k) * layer + np.uint64(ia) * line + np.uint64(ib)
        j = i + line
        near = pixels[i] + wb * (pixels[i + one] - pixels[i])
        far = pixels[j] + wb * (pixels[j + one] - pixels[j])
        value = near + wa * (far - near)
        total += value * _share_of_bin(table, q + t * dq) if timed else value
    return total


@_inline
def _spread(pixels, layer, line, row, begin, end, table, timed, value):
    """Transpose of `_sum`, for some of the layers."""
    one = np.uint64(1)
    a, da, b, db, q, dq = row[0], row[1], row[2], row[3], row[6], row[7]
    start, stop = np.int64(row[4]), np.int64(row[5])
    first = np.uint64(start) * layer
    for k in range(max(start, begin) - start, min(stop, end) - start):
        t = np.float32(k)
        fa, fb = a + t * da, b + t * db
        ia, ib = np.int64(fa), np.int64(fb)
        wa, wb = fa - np.float32(ia), fb - np.float32(ib)
        i = first + np.uint64(k) * layer + np.uint64(ia) * line + np.uint64(ib)
        j = i + line
        each = value * _share_of_bin(table, q + t * dq) if timed else value
        far = each * wa
        near = each - far
        pixels[i] += near - near * wb
        pixels[i + one] += near * wb
        pixels[j] += far - far * wb
        pixels[j + one] += far * wb


@_jit_sums
def _forward(begin, end, x, y, z, strides, course, length, order, at, table, out):
    """Fill the lines of the blocks begin ... end - 1."""
    for task in range(3 * begin, 3 * end):
        block, m = task // 3, task % 3
        pixels = x if m == 0 else y if m == 1 else z
        layer, line = strides[m, 0], strides[m, 1]
        first = block * BLOCK
        for n in range(first + at[block, m], first + at[block, m + 1]):
            e = np.uint64(n)
            if len(table) > 1:
                total = _sum(pixels, layer, line, course[e], table, True)  # noqa: FBT003
            else:
                total = _sum(pixels, layer, line, course[e], table, False)  # noqa: FBT003
            out[np.uint64(first + order[e])] = total * length[e]


@_jit
def _adjoint(begin, end, x, y, z, strides, cuts, course, length, order, at, table, values):
    """Add all lines to the slabs begin ... end - 1."""
    slabs = cuts.shape[1] - 1
    for task in range(begin, end):
        m = task // slabs
        k0, k1 = cuts[m, task % slabs], cuts[m, task % slabs + 1]
        pixels = x if m == 0 else y if m == 1 else z
        layer, line = strides[m, 0], strides[m, 1]
        for block in range(len(at)):
            first = block * BLOCK
            for n in range(first + at[block, m], first + at[block, m + 1]):
                e = np.uint64(n)
                row = course[e]
                if row[4] >= k1 or row[5] <= k0:
                    continue
                v = values[np.uint64(first + order[e])] * length[e]
                if len(table) > 1:
                    _spread(pixels, layer, line, row, k0, k1, table, True, v)  # noqa: FBT003
                else:
                    _spread(pixels, layer, line, row, k0, k1, table, False, v)  # noqa: FBT003
