"""Line integrals along single lines, each anywhere in space, and their transpose.

Joseph's method along the axis nearest to the line: at every voxel layer across that axis, bilinear
interpolation within the layer. A line reads voxels far apart in memory, which is what takes the
time, so the work is ordered by place:

*Views.*  The image is kept three times, with the axis that is stepped along first, so that the
voxels of a step lie together; voxels of nothing on every side stand for what lies outside. Along
the axis of the scanner the image goes on for a voxel as it ends, so that end planes of a grid
whose end is near that of the field of view, but not at it, explain all that is counted there.
Lines so steep that they are stepped along that axis end with the image.

*Pieces.*  Lines are cut into pieces sorted by place (`emrecon.tomo.kernels.line_tracing`).
Each finds in the cache what its neighbours have read. The samples of a piece are taken eight at a
time (`emrecon.tomo.kernels.line_pieces`), those past its end for nothing.

*Bits.*  A slab belongs to one thread, and takes its pieces in their order. In the forward
projection each piece has its own sum, and those of a line are added in their order. In the
transpose slabs that are taken at a time share no voxel, and those that share some are taken one
after the other. So the result does not depend on the number of threads.
"""

import numpy as np

from emrecon.compiled import inline, kernel, share
from emrecon.tomo.kernels.line_pieces import (
    add_piece,
    add_timed_piece,
    prefetch,
    sum_piece,
    sum_timed_piece,
)
from emrecon.tomo.kernels.line_tracing import PAD, SLAB, WHOLE, frame_of, trace

__all__ = ["adjoint", "empty_views", "forward", "frame_of", "image_of", "trace", "views_of"]

RIM = 2 * PAD
MOST_LAYERS = (1 << 15) - 1  # along an axis: two such numbers go into 32 bits
MOST_IN_LAYER = (1 << 31) // (WHOLE + SLAB)  # places within a piece have 32 bits

_AHEAD = 8  # pieces from one whose value is asked for to the one that is taken
# Numbers of a row of pieces, and places of some: see `Traced`.
_ROW, _GAIN, _LINE, _LAYERS = np.uint64(8), np.uint64(5), np.uint64(6), np.uint64(7)

_AXIAL = 2  # the axis of the scanner
_ENDS = ((0, PAD - 1), (-1, -PAD))  # the end planes, and the places one voxel beyond

_jit = kernel()


def views_of(image):
    """Return the image with each axis first in turn, and nothing around its layers."""
    views = []
    for m in range(3):
        layers = image.transpose(m, *_across(m))
        view = np.zeros(np.add(layers.shape, (0, 2 * PAD, 2 * PAD)), np.float32)
        view[:, PAD:-PAD, PAD:-PAD] = layers
        for end, beyond in _ENDS if m < _AXIAL else ():
            view[:, PAD:-PAD, beyond] = layers[:, :, end]
        views.append(view)
    return tuple(views)


def empty_views(shape):
    """Return what `adjoint` adds to."""
    return views_of(np.broadcast_to(np.float32(0), shape))


def image_of(views):
    """Return the image that three views add up to: the transpose of `views_of`."""
    image = None
    for m, view in enumerate(views):
        order = np.argsort((m, *_across(m)))
        unpadded = view[:, PAD:-PAD, PAD:-PAD].transpose(order)
        image = np.ascontiguousarray(unpadded) if image is None else image + unpadded
        for end, beyond in _ENDS if m < _AXIAL else ():
            image[:, :, end] += view[:, PAD:-PAD, beyond : beyond + 1].transpose(order)[:, :, 0]
    return image


def _across(m):
    return ((1, 2), (0, 2), (0, 1))[m]


def forward(views, frame, traced, table, out):
    """Put the line integrals of the image that `views` show into `out` (lines,), in mm.

    A table of more than one entry holds the weight of a sample by its distance from the middle of
    the line's time-of-flight bin.
    """
    cut = traced.colours == 1
    sums = np.empty(len(traced.lines), np.float32) if cut else out
    out[...] = 0
    inputs = *_inputs(views, frame, traced, table), sums
    share(_forward, len(traced.bounds) - 1, np.arange(len(traced.bounds) - 1), *inputs)
    if cut:
        share(_add, len(traced.at), traced.lines, traced.at, traced.count, sums, out)


def adjoint(values, frame, traced, table, views):
    """Add each line's value times its length in every voxel to `views`."""
    for tasks in _tasks(traced):
        share(_adjoint, len(tasks), tasks, *_inputs(views, frame, traced, table), values)


def _tasks(traced):
    """Return the slabs that may be taken at a time, of all axes."""
    slabs = (len(traced.bounds) - 1) // 3
    tasks = np.arange(3 * slabs)
    return [tasks[tasks % slabs % traced.colours == k] for k in range(traced.colours)]


def _inputs(views, frame, traced, table):
    flat = [view.reshape(-1) for view in views]
    rows = traced.pieces.reshape(-1), traced.layers.reshape(-1), traced.lines
    options = traced.colours == 1, np.float32(traced.step), traced.bounds
    return *flat, _strides(frame), *rows, *options, table


def _strides(frame):
    """Return the voxels from layer to layer and from row to row of each view."""
    rows = np.array([[frame.shape[i] + 2 * PAD for i in _across(m)] for m in range(3)])
    return np.column_stack([rows[:, 0] * rows[:, 1], rows[:, 1]])


@inline()
def _piece(numbers, first, both, layer, width):
    """Return where a piece begins, its course, and its layers."""
    a, da = numbers[first], numbers[first + np.uint64(1)]
    b, db = numbers[first + np.uint64(2)], numbers[first + np.uint64(3)]
    q, dq = numbers[first + np.uint64(4)], numbers[first + np.uint64(5)]
    start = np.int64(both & 0xFFFF) * layer, layer, width
    return start, (a, da, b, db, q, dq), np.int32(both >> 16)


@_jit
def _forward(
    begin, end, tasks, x, y, z, strides, numbers, whole, lines, cut, step, bounds, table, sums
):  # fmt: skip
    """Sum up the pieces of some slabs: for each of them, or for its line if that is not cut."""
    slabs = (len(bounds) - 1) // 3
    for task in tasks[begin:end]:
        m = task // slabs
        pixels = x if m == 0 else y if m == 1 else z
        layer, width = strides[m, 0], strides[m, 1]
        for i in range(bounds[task], bounds[task + 1]):
            n = np.uint64(i)
            first, to = n * _ROW, n
            if not cut:
                ahead = np.uint64(min(i + 2 * _AHEAD, len(lines) - 1))
                prefetch(numbers, np.uint64(lines[ahead]) * _ROW)
                first = np.uint64(lines[n]) * _ROW
                to = np.uint64(whole[first + _LINE])
            start, course, many = _piece(numbers, first, whole[first + _LAYERS], layer, width)
            length = abs(numbers[first + _GAIN]) * step
            if len(table) > 1:
                total = sum_timed_piece(pixels, start, course, many, length, table)
            else:
                total = sum_piece(pixels, start, course, many, length, table)
            sums[to] = total


@_jit
def _add(begin, end, lines, at, count, sums, out):
    """Add up the pieces of each line of the blocks begin ... end - 1."""
    for block in range(begin, end):
        for key in range(count.shape[1]):
            stop = at[block, key]
            for n in range(stop - count[block, key], stop):
                out[np.uint64(lines[np.uint64(n)])] += sums[np.uint64(n)]


@_jit
def _adjoint(
    begin, end, tasks, x, y, z, strides, numbers, whole, lines, cut, step, bounds, table, values
):  # fmt: skip
    """Add all pieces of some slabs."""
    slabs = (len(bounds) - 1) // 3
    for task in tasks[begin:end]:
        m = task // slabs
        pixels = x if m == 0 else y if m == 1 else z
        layer, width = strides[m, 0], strides[m, 1]
        for i in range(bounds[task], bounds[task + 1]):
            n = np.uint64(i)
            first, line = n * _ROW, np.uint64(lines[n])
            ahead = np.uint64(lines[np.uint64(min(i + _AHEAD, len(lines) - 1))])
            if not cut:
                far = np.uint64(lines[np.uint64(min(i + 2 * _AHEAD, len(lines) - 1))])
                prefetch(numbers, far * _ROW)
                ahead = np.uint64(whole[ahead * _ROW + _LINE])
                first = line * _ROW
                line = np.uint64(whole[first + _LINE])
            prefetch(values, ahead)
            start, course, many = _piece(numbers, first, whole[first + _LAYERS], layer, width)
            value = values[line] * abs(numbers[first + _GAIN]) * step
            if len(table) > 1:
                add_timed_piece(pixels, start, course, many, value, table)
            else:
                add_piece(pixels, start, course, many, value, table)
