"""What the kernels of `axial_tof` do to the rows of some steps, a vector of planes at a time."""

import numpy as np

from emrecon.compiled import inline
from emrecon.tomo.kernels import axial_tables
from emrecon.tomo.kernels.simd import LANES, leading, load, nothing, plus, spread, store, times

_inline = inline(error_model="numpy")

STEPS = 4  # steps added at once
PLANES = 2 * LANES  # planes added at once


rounded = inline()(axial_tables.rounded)


@_inline
def take_columns(pixels, starts, jump, near, far, n, layout, rows):
    """Set the rows of n steps to the two columns of each, in the shares `near` and `far`."""
    size, pitch = layout.size, layout.pitch
    for phase in range(layout.step):
        begin = phase * layout.block * pitch + layout.margin
        for p in range(0, size, LANES):
            for i in range(n):
                o = starts[i] + phase * size + p
                one = times(spread(near, i), load(pixels, o))
                both = plus(one, spread(far, i), load(pixels, o + jump))
                store(rows, begin + i * pitch + p, both)


@_inline
def add_columns(rows, n, layout, starts, jump, near, far, pixels):
    """Transpose of `take_columns`, added to the pixels."""
    size, pitch = layout.size, layout.pitch
    for phase in range(layout.step):
        begin = phase * layout.block * pitch + layout.margin
        for p in range(0, size, LANES):
            for i in range(n):
                o, one = starts[i] + phase * size + p, load(rows, begin + i * pitch + p)
                store(pixels, o, plus(load(pixels, o), spread(near, i), one))
                o += jump
                store(pixels, o, plus(load(pixels, o), spread(far, i), one))


@_inline
def sample(rows, at, at1, near, far, n, planes, samples, to, widest):
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
def scatter(samples, begin, widest, n, planes, weights, at, rows):
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
def trim(samples, widest, n, planes):
    """Put zeros behind the planes of a group, and behind its steps up to a multiple of STEPS."""
    width = rounded(planes, PLANES)
    begin = planes // LANES * LANES
    for i in range(n):
        at = i * widest + begin
        store(samples, at, leading(load(samples, at), np.int32(planes - begin)))
        if begin + LANES < width:
            store(samples, at + LANES, nothing())
    for i in range(n, rounded(n, STEPS)):
        for p in range(0, width, LANES):
            store(samples, i * widest + p, nothing())


@_inline
def reached(i, lowest, window, tofs):
    """Return the first and the last + 1 bin that four steps reach."""
    low, high = min(lowest[i], lowest[i + 3]), max(lowest[i], lowest[i + 3]) + window
    return max(0, low), min(tofs, high)


@_inline
def share_out(samples, widest, n, width, lowest, base, shares, sums, offset, length, tofs):
    """Add the samples of n steps to the bins."""
    table = shares.table
    for i in range(0, n, STEPS):
        low, high = reached(i, lowest, shares.window, tofs)
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
def share_in(samples, widest, n, width, lowest, base, shares, sums, offset, length, tofs):
    """Transpose of `share_out`, into samples that are set."""
    table, zero = shares.table, nothing()
    for i in range(0, n, STEPS):
        low, high = reached(i, lowest, shares.window, tofs)
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
def copy(x, begin, out, to, whole, count):
    """Copy numbers, so many of them in whole vectors."""
    for i in range(0, whole, LANES):
        store(out, to + i, load(x, begin + i))
    for i in range(whole, count):
        out[to + i] = x[begin + i]
