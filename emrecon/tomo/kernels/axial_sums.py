"""What the kernels of `axial` do to rows: sums along a path, which stay in registers.

A function that `each` or `each_row` calls does its work for the planes from p on, as many as the
vector `none` has numbers. Rows of the image and of a block end with zeros up to whole vectors, so
only the planes of a segment, of which `left` are left, need care at the end.
"""

import numpy as np

from emrecon.compiled import inline
from emrecon.tomo.kernels.axial_rows import rounded
from emrecon.tomo.kernels.simd import (
    LANES,
    WIDE,
    add,
    load,
    load_some,
    nothing,
    plus,
    spread,
    store,
    store_some,
    times,
    wide,
)

_inline = inline(error_model="numpy")

MINUS_TWO = np.full(1, -2, np.float32)


@_inline
def each(work, planes, *args):
    """Do work for all planes of a segment, in wide vectors but for the last few."""
    cut = max(0, rounded(planes - 2 * LANES, WIDE))
    for p in range(0, cut, WIDE):
        work(p, np.int32(planes - p), wide(), *args)
    for p in range(cut, planes, LANES):
        work(p, np.int32(planes - p), nothing(), *args)


@_inline
def each_row(work, size, *args):
    """Do work for a row of whole vectors, in wide ones but for the last few."""
    cut = size // WIDE * WIDE
    for p in range(0, cut, WIDE):
        work(p, wide(), *args)
    for p in range(cut, size, LANES):
        work(p, nothing(), *args)


@_inline
def gather(p, left, none, x, jump, starts, near, far, taps, out, begin):
    """Add near x[where + p] + far x[where + jump + p] of all taps to out[begin + p]."""
    here = _sum(p, load_some(out, begin + p, left, none), none, x, jump, starts, near, far, taps)
    store_some(out, begin + p, left, here)


@_inline
def _sum(p, first, none, x, jump, starts, near, far, taps):
    """Return `first` with all taps added, in two sums that do not wait for each other."""
    a, b = first, none
    for i in range(taps):
        o = starts[i] + p
        a = plus(a, spread(near, i, none), load(x, o, none))
        b = plus(b, spread(far, i, none), load(x, o + jump, none))
    return add(a, b)


@_inline
def scatter(p, left, none, x, jump, starts, near, far, taps, data, begin):
    """Transpose of `gather`; planes past the last add zeros."""
    _spread(p, load_some(data, begin + p, left, none), none, x, jump, starts, near, far, taps)


@_inline
def _spread(p, values, none, x, jump, starts, near, far, taps):
    """Transpose of `_sum`."""
    for i in range(taps):
        _put(x, starts[i] + p, spread(near, i, none), values)
        _put(x, starts[i] + jump + p, spread(far, i, none), values)


@_inline
def _put(x, at, weight, values):
    store(x, at, plus(load(x, at, values), weight, values))


@_inline
def total(p, none, pixels, jump, starts, near, far, n, x, end):
    """Keep S after the last of n steps."""
    store(x, end + p, _sum(p, none, none, pixels, jump, starts, near, far, n))


@_inline
def spread_out(p, none, pixels, jump, starts, near, far, n, x, end):
    """Transpose of `total`, added to the pixels."""
    _spread(p, load(x, end + p, none), none, pixels, jump, starts, near, far, n)


@_inline
def advance(p, none, pixels, jump, starts, near, far, n, z, begin, x, end, pitch):
    """Keep Z after each of n steps, and S and Z after the last."""
    s, sums = none, none
    for i in range(n):
        o = starts[i] + p
        one = times(spread(near, i, none), load(pixels, o, none))
        s = add(s, plus(one, spread(far, i, none), load(pixels, o + jump, none)))
        sums = add(sums, s)
        store(z, begin + i * pitch + p, sums)
    store(x, end + p, s)
    store(x, end + pitch + p, sums)


@_inline
def retreat(p, none, pixels, jump, starts, near, far, n, x, beside, end, pitch):
    """Transpose of `advance` and `bend`, added to the pixels."""
    here, below, above = beside
    s, sums = load(x, end + p, none), load(x, end + pitch + p, none)
    for i in range(n - 1, -1, -1):
        o = i * pitch + p
        bent = add(load(x, below + o, none), load(x, above + o, none))
        sums = add(sums, plus(bent, spread(MINUS_TWO, 0, none), load(x, here + o, none)))
        s = add(s, sums)
        _put(pixels, starts[i] + p, spread(near, i, none), s)
        _put(pixels, starts[i] + jump + p, spread(far, i, none), s)


@_inline
def bend(z, beside, length, out):
    """Second difference along the axis, for a stretch of whole vectors."""
    here, below, above = beside
    for i in range(0, length, LANES):
        around = add(load(z, below + i), load(z, above + i))
        store(out, here + i, plus(around, spread(MINUS_TWO, 0), load(z, here + i)))


@_inline
def beside(row, stack, phase, step):
    """Say where a row begins, and where what is one voxel below and above it."""
    here, last = row + phase * stack, row + (step - 1) * stack
    below = here - stack if phase else last - 1
    return here, below, here + stack if here < last else row + 1
