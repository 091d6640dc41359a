"""What the kernels of `axial` do to rows: sums along a path, which stay in registers.

A function that `each` calls does its work for the planes from p on, as many as the vector `none`
has numbers, and leaves alone what lies beyond the `left` planes that there are.
"""

import numba
import numpy as np

from emrecon.tomo.kernels.axial_rows import rounded
from emrecon.tomo.kernels.axial_tables import LANES, WIDE
from emrecon.tomo.kernels.simd import (
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

_inline = numba.njit(forceinline=True, error_model="numpy")

MINUS_TWO = np.full(1, -2, np.float32)


@_inline
def each(work, planes, *args):
    """Do work for all planes, in wide vectors but for the last few."""
    cut = max(0, rounded(planes - 2 * LANES, WIDE))
    for p in range(0, cut, WIDE):
        work(p, np.int32(planes - p), wide(), *args)
    for p in range(cut, planes, LANES):
        work(p, np.int32(planes - p), nothing(), *args)


@_inline
def gather(p, left, none, x, jump, where, near, far, taps, out, begin):
    """Add near x[where + p] + far x[where + jump + p] of all taps to out[begin + p]."""
    a, b = load_some(out, begin + p, left, none), none
    for i in range(taps):
        o = where[i] + p
        a = plus(a, spread(near, i, none), load_some(x, o, left, none))
        b = plus(b, spread(far, i, none), load_some(x, o + jump, left, none))
    store_some(out, begin + p, left, add(a, b))


@_inline
def _put(x, at, left, weight, values):
    store_some(x, at, left, plus(load_some(x, at, left, values), weight, values))


@_inline
def scatter(p, left, none, x, jump, where, near, far, taps, data, begin):
    """Transpose of `gather`."""
    values = load_some(data, begin + p, left, none)
    for i in range(taps):
        _put(x, where[i] + p, left, spread(near, i, none), values)
        _put(x, where[i] + jump + p, left, spread(far, i, none), values)


@_inline
def advance(p, left, none, pixels, jump, where, near, far, n, z, begin, x, end, pitch):
    """Keep Z after each of n steps, and S and Z after the last."""
    s, sums = none, none
    for i in range(n):
        o = where[i] + p
        one = times(spread(near, i, none), load_some(pixels, o, left, none))
        s = add(s, plus(one, spread(far, i, none), load_some(pixels, o + jump, left, none)))
        sums = add(sums, s)
        store_some(z, begin + i * pitch + p, left, sums)
    store_some(x, end + p, left, s)
    store_some(x, end + pitch + p, left, sums)


@_inline
def retreat(p, left, none, pixels, jump, where, near, far, n, x, beside, end, pitch):
    """Transpose of `advance` and `bend`, added to the pixels."""
    here, below, above = beside
    s, sums = load_some(x, end + p, left, none), load_some(x, end + pitch + p, left, none)
    for i in range(n - 1, -1, -1):
        o = i * pitch + p
        bent = add(load(x, below + o, none), load(x, above + o, none))
        sums = add(sums, plus(bent, spread(MINUS_TWO, 0, none), load(x, here + o, none)))
        s = add(s, sums)
        _put(pixels, where[i] + p, left, spread(near, i, none), s)
        _put(pixels, where[i] + jump + p, left, spread(far, i, none), s)


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
