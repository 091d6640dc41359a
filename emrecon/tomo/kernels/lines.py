"""Line integrals along single lines, each anywhere in space, and their transpose.

Joseph's method along the axis nearest to the line: at every voxel layer across that axis, bilinear
interpolation within the layer. A line reads voxels far apart in memory, which is what takes the
time, so the work is ordered by place:

*Views.*  The image is kept three times, with the axis that is stepped along first, so that the
voxels of a step lie together; voxels of nothing on every side stand for what lies outside.

*Pieces.*  Lines are cut into pieces that are sorted by place (`emrecon.tomo.kernels.courses`).
Each finds in the cache what its neighbours have read. The samples of a piece are taken eight at a
time, those past its end for nothing.

*Bits.*  A slab of layers belongs to one thread, and takes its pieces in their order. In the
forward projection each piece has its own sum, and those of a line are added in their order. In
the transpose a step writes to its own layer alone: no two threads write the same voxel. So the
result does not depend on the number of threads.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import intrinsic

from emrecon.tomo.kernels.courses import PAD, SLAB, SLAB_BITS, frame_of, trace
from emrecon.tomo.kernels.share import share

__all__ = ["adjoint", "empty_views", "forward", "frame_of", "image_of", "trace", "views_of"]

_AHEAD = 8  # pieces from one whose line is looked up to the one that is taken

# Sums may be reordered in the forward projection alone: samples are taken many at a time.
_ORDERED = {"nnan", "ninf", "nsz", "contract", "arcp", "afn"}
_jit = numba.njit(nogil=True, cache=True, fastmath=_ORDERED)
_inline = numba.njit(fastmath=_ORDERED, forceinline=True)
_jit_sums = numba.njit(nogil=True, cache=True, fastmath=True)
_inline_sums = numba.njit(fastmath=True, forceinline=True)


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


def forward(views, frame, traced, table, out):
    """Put the line integrals of the image that `views` show into `out` (lines,), in mm.

    A table of more than one entry holds the weight of a sample by its distance from the middle of
    the line's time-of-flight bin.
    """
    course, span, lines, bounds, at, count = traced
    sums = np.empty(len(lines), np.float32)
    given = *_flat(views), _strides(frame), course, span, lines, bounds, table
    share(_forward, len(bounds) - 1, *given, sums)
    out[...] = 0
    share(_add, len(at), lines, at, count, sums, out)


def adjoint(values, frame, traced, table, views):
    """Add each line's value times its length in every voxel to `views`."""
    course, span, lines, bounds, *_ = traced
    given = *_flat(views), _strides(frame), course, span, lines, bounds, table
    share(_adjoint, len(bounds) - 1, *given, values * course[:, 6])


def _flat(views):
    return [view.reshape(-1) for view in views]


def _strides(frame):
    """Return the voxels from layer to layer and from row to row of each view."""
    rows = np.array([[frame.shape[i] + 2 * PAD for i in _across(m)] for m in range(3)])
    return np.column_stack([rows[:, 0] * rows[:, 1], rows[:, 1]])


def _prefetched(_, array, place):
    """Ask for a number of a contiguous float32 array, which is wanted soon."""

    def code(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        wanted = builder.bitcast(builder.gep(data, [args[1]]), cgutils.voidptr_t)
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [wanted, *(ir.Constant(number, k) for k in (0, 3, 1))])
        return context.get_dummy_value()

    return types.none(array, place), code


_prefetch: Any = intrinsic(_prefetched)


@_inline
def _share_of_bin(table, q):
    q = abs(q)
    i = min(np.int32(q), np.int32(len(table) - 2))
    w = q - np.float32(i)
    low = table[np.uint64(i)]
    return low + w * (table[np.uint64(i) + np.uint64(1)] - low)


@_inline
def _layers(span, slab):
    """Return the first layer of a line, and the layers of its piece in a slab."""
    start, stop = np.int32(span & 0xFFFF), np.int32(span >> 16)
    low, high = np.int32(slab << SLAB_BITS), np.int32((slab + 1) << SLAB_BITS)
    return start, max(start, low), min(stop, high)


@_inline_sums
def _sum(pixels, layer, line, row, layers, table, timed):
    """Add up the samples of a piece."""
    one, total = np.uint64(1), np.float32(0)
    a, da, b, db, q, dq = row[0], row[1], row[2], row[3], row[4], row[5]
    start, low, high = layers
    before, many = low - start, high - low
    first = np.int64(low) * layer
    for k in range(((np.int64(many) + 7) >> 3) << 3):
        inside = np.int32(k) < many
        t = np.float32(np.int32(k) + before)
        fa, fb = a + t * da, b + t * db
        ia, ib = np.int32(fa), np.int32(fb)
        wa, wb = fa - np.float32(ia), fb - np.float32(ib)
        place = first + k * layer + ia * line + ib
        i = np.uint64(place if inside else 0)
        j = i + np.uint64(line)
        near = pixels[i] + wb * (pixels[i + one] - pixels[i])
        far = pixels[j] + wb * (pixels[j + one] - pixels[j])
        value = near + wa * (far - near)
        each = value * _share_of_bin(table, q + t * dq) if timed else value
        total += each if inside else np.float32(0)
    return total * row[6]


@_inline
def _places(layer, line, row, layers, value, at, parts):
    """Tell where a piece adds to the image, and how much to each of four neighbours."""
    a, da, b, db = row[0], row[1], row[2], row[3]
    start, low, high = layers
    first = np.int64(low) * layer
    for k in range(np.uint64(((np.int64(high - low) + 7) >> 3) << 3)):
        t = np.float32(np.int32(k) + low - start)
        fa, fb = a + t * da, b + t * db
        ia, ib = np.int32(fa), np.int32(fb)
        wa, wb = fa - np.float32(ia), fb - np.float32(ib)
        at[k] = first + np.int64(k) * layer + ia * line + ib
        far = value * wa
        near = value - far
        parts[0, k], parts[1, k] = near - near * wb, near * wb
        parts[2, k], parts[3, k] = far - far * wb, far * wb


@_jit_sums
def _forward(begin, end, x, y, z, strides, course, span, lines, bounds, table, sums):
    """Sum up the pieces of the slabs begin ... end - 1."""
    slabs = (len(bounds) - 1) // 3
    for task in range(begin, end):
        m = task // slabs
        pixels = x if m == 0 else y if m == 1 else z
        layer, line = strides[m, 0], strides[m, 1]
        for n in range(bounds[task], bounds[task + 1]):
            ahead = np.uint64(lines[np.uint64(min(n + _AHEAD, len(lines) - 1))])
            _prefetch(course, ahead * np.uint64(8))
            e = np.uint64(lines[np.uint64(n)])
            layers = _layers(span[e, np.uint64(7)], task % slabs)
            if len(table) > 1:
                total = _sum(pixels, layer, line, course[e], layers, table, True)  # noqa: FBT003
            else:
                total = _sum(pixels, layer, line, course[e], layers, table, False)  # noqa: FBT003
            sums[np.uint64(n)] = total


@_jit
def _add(begin, end, lines, at, count, sums, out):
    """Add up the pieces of each line of the blocks begin ... end - 1."""
    for block in range(begin, end):
        for key in range(count.shape[1]):
            behind = at[block, key]
            for n in range(behind - count[block, key], behind):
                out[np.uint64(lines[np.uint64(n)])] += sums[np.uint64(n)]


@_jit
def _adjoint(begin, end, x, y, z, strides, course, span, lines, bounds, table, values):
    """Add all pieces of the slabs begin ... end - 1."""
    slabs, one = (len(bounds) - 1) // 3, np.uint64(1)
    at, parts = np.empty(SLAB, np.int64), np.empty((4, SLAB), np.float32)
    for task in range(begin, end):
        m = task // slabs
        pixels = x if m == 0 else y if m == 1 else z
        layer, line = strides[m, 0], strides[m, 1]
        for n in range(bounds[task], bounds[task + 1]):
            ahead = np.uint64(lines[np.uint64(min(n + _AHEAD, len(lines) - 1))])
            _prefetch(course, ahead * np.uint64(8))
            _prefetch(values, ahead)
            e = np.uint64(lines[np.uint64(n)])
            start, low, high = layers = _layers(span[e, np.uint64(7)], task % slabs)
            _places(layer, line, course[e], layers, values[e], at, parts)
            q, dq = course[e, np.uint64(4)], course[e, np.uint64(5)]
            for k in range(np.uint64(high - low)):
                f = np.float32(1)
                if len(table) > 1:
                    f = _share_of_bin(table, q + np.float32(np.int32(k) + low - start) * dq)
                i = np.uint64(at[k])
                j = i + np.uint64(line)
                pixels[i] += f * parts[0, k]
                pixels[i + one] += f * parts[1, k]
                pixels[j] += f * parts[2, k]
                pixels[j + one] += f * parts[3, k]
