"""Values of coarse pairs of detectors, looked up between them: for the bins, or for any line."""

import math

import numpy as np

from emrecon.compiled import inline, kernel, share

_fast = kernel(fastmath=True, error_model="numpy")
_inline = inline(fastmath=True, error_model="numpy")


def interpolate(rows, ends, factor, out):
    """Put cubic splines around the ring at both ends of every line into ``out[view, bin, plane]``.

    Parameters
    ----------
    rows : float32 (crystals, crystals, planes)
        Coefficients of periodic splines.
    ends : float64 (2, views, bins)
        Both ends of every line, in crystals.
    factor : float32 (views, bins, planes) or None
        What the result, which is not negative, is multiplied by.
    """
    nothing = np.empty((0, 0, 0), np.float32) if factor is None else factor
    share(_interpolate, len(out), rows, ends, nothing, out)


@_inline
def _taps(place, size, weights):
    """Put the weights of a cubic B-spline into `weights`, and return the first coefficient."""
    at = math.floor(place)
    x = np.float32(place - at)
    y = np.float32(1) - x
    sixth = np.float32(1 / 6)
    weights[0] = y * y * y * sixth
    weights[3] = x * x * x * sixth
    weights[1] = np.float32(2 / 3) - x * x * (np.float32(2) - x) * np.float32(0.5)
    weights[2] = np.float32(2 / 3) - y * y * (np.float32(2) - y) * np.float32(0.5)
    return (int(at) - 1) % size


@_fast
def _interpolate(begin, end, rows, ends, factor, out):
    """Fill the views begin ... end - 1."""
    size, planes = rows.shape[0], rows.shape[2]
    first, second = np.empty(4, np.float32), np.empty(4, np.float32)
    zero = np.float32(0)
    for v in range(begin, end):
        for t in range(out.shape[1]):
            i0 = _taps(ends[0, v, t], size, first)
            j0 = _taps(ends[1, v, t], size, second)
            row = out[v, t]
            for p in range(np.uint64(planes)):
                row[p] = zero
            for a in range(4):
                line = rows[(i0 + a) % size]
                r0, r1 = line[j0], line[(j0 + 1) % size]
                r2, r3 = line[(j0 + 2) % size], line[(j0 + 3) % size]
                w0, w1 = first[a] * second[0], first[a] * second[1]
                w2, w3 = first[a] * second[2], first[a] * second[3]
                for p in range(np.uint64(planes)):
                    row[p] += w0 * r0[p] + w1 * r1[p] + w2 * r2[p] + w3 * r3[p]
            if factor.size:
                gain = factor[v, t]
                for p in range(np.uint64(planes)):
                    row[p] = max(row[p], zero) * gain[p]
            else:
                for p in range(np.uint64(planes)):
                    row[p] = max(row[p], zero)


def at_pairs(tables, places, tof):
    """Return values between any places on the cylinder.

    Parameters
    ----------
    tables : float32 (tof, crystals, crystals, rings, rings)
        Coefficients of periodic splines along crystals, values along rings.
    places : float32 (n, 4)
        Crystal, crystal, ring and ring at which each line begins and ends, not whole.
    tof : int64 (n,)
        Table to look at.
    """
    out = np.empty(len(places), np.float32)
    share(_at_pairs, len(out), tables, places, tof, out)
    return out


@_inline
def _between(place, size, weights):
    """Put Lagrange's weights of up to four neighbours into `weights`; return first and number."""
    count = min(4, size)
    first = min(max(math.floor(place) - (count // 2 - 1), 0), size - count)
    for a in range(count):
        weight = np.float32(1)
        for b in range(count):
            if a != b:
                weight *= np.float32((place - first - b) / (a - b))
        weights[a] = weight
    return first, count


@_fast
def _at_pairs(begin, end, tables, places, tof, out):
    """Fill the values begin ... end - 1."""
    crystals, rings = tables.shape[1], tables.shape[3]
    w = np.empty((4, 4), np.float32)
    for n in range(begin, end):
        table = tables[tof[n]]
        i0 = _taps(places[n, 0], crystals, w[0])
        j0 = _taps(places[n, 1], crystals, w[1])
        r0, count = _between(places[n, 2], rings, w[2])
        q0, _ = _between(places[n, 3], rings, w[3])
        total = np.float32(0)
        for a in range(4):
            for b in range(4):
                cell = table[(i0 + a) % crystals, (j0 + b) % crystals]
                inner = np.float32(0)
                for c in range(count):
                    for d in range(count):
                        inner += w[2, c] * w[3, d] * cell[r0 + c, q0 + d]
                total += w[0, a] * w[1, b] * inner
        out[n] = max(total, np.float32(0))
