"""Single Compton scatter: integrals from points to detectors, and their sums for detector pairs.

*Integrals.*  Voxels are boxes; the ways through them from a scatter point to a detector are exact.

*Sums.*  What a detector and a point share is worked out once; a pair of detectors then takes a
dozen products a point, in single precision, as many points at once as the machine's vectors hold.
Each pair has its own sum over the points in their order, whatever the number of threads.
"""

import math

import numpy as np

from emrecon.compiled import inline, kernel
from emrecon.tomo.kernels.share import share

TABLE = 2048  # steps of the tables over the cosine, from the least that counts to 1

_jit = kernel()
_fast = kernel(fastmath=True, error_model="numpy")
_inline = inline(fastmath=True, error_model="numpy")

_FAR = 1e30


def line_integrals(image, origin, spacing, points, detectors, step_mm=0.0, slots=1):
    """Return the integrals from every point to every detector, ``[detector, point, slot]``.

    Parameters
    ----------
    image : float32 (i, j, k)
        Values in boxes.
    origin, spacing : float64 (3,)
        Middle of box (0, 0, 0) and size of the boxes, mm.
    points, detectors : float64 (n, 3)
        Where the ways begin and end, mm.
    step_mm, slots : float, int
        Stretches in which to sum, counted from the detector; all in one by default.
    """
    out = np.zeros((len(detectors), len(points), slots), np.float32)
    args = image, origin, spacing, points, detectors, step_mm, out
    share(_integrals, len(detectors), *args)
    return out


@_inline
def _next(start, way, low, size, at):
    """Return along one axis how far the next box is, how far one is from another, and the sign."""
    if way > 0:
        return (low + (at + 1) * size - start) / way, size / way, 1
    if way < 0:
        return (low + at * size - start) / way, -size / way, -1
    return _FAR, _FAR, 0


@_jit
def _integrals(begin, end, image, origin, spacing, points, detectors, step_mm, out):
    """Fill the rows of the detectors begin ... end - 1."""
    shape = image.shape
    slots = out.shape[2]
    low = origin - 0.5 * spacing
    for d in range(begin, end):
        for p in range(points.shape[0]):
            wx, wy, wz = (
                detectors[d, 0] - points[p, 0],
                detectors[d, 1] - points[p, 1],
                detectors[d, 2] - points[p, 2],
            )
            length = math.sqrt(wx * wx + wy * wy + wz * wz)
            if length == 0.0:
                continue
            wx, wy, wz = wx / length, wy / length, wz / length
            t, stop = _within(points[p], (wx, wy, wz), low, spacing, shape, length)
            if t >= stop:
                continue
            x, y, z = points[p, 0] + t * wx, points[p, 1] + t * wy, points[p, 2] + t * wz
            i = min(max(math.floor((x - low[0]) / spacing[0]), 0), shape[0] - 1)
            j = min(max(math.floor((y - low[1]) / spacing[1]), 0), shape[1] - 1)
            k = min(max(math.floor((z - low[2]) / spacing[2]), 0), shape[2] - 1)
            tx, dx, si = _next(points[p, 0], wx, low[0], spacing[0], i)
            ty, dy, sj = _next(points[p, 1], wy, low[1], spacing[1], j)
            tz, dz, sk = _next(points[p, 2], wz, low[2], spacing[2], k)
            total = 0.0
            while t < stop:
                after = min(tx, ty, tz, stop)
                value = image[i, j, k]
                if value != 0.0:
                    if slots == 1:
                        total += value * (after - t)
                    else:
                        _deposit(out[d, p], length - after, length - t, value, step_mm)
                t = after
                if tx <= after:
                    tx += dx
                    i += si
                if ty <= after:
                    ty += dy
                    j += sj
                if tz <= after:
                    tz += dz
                    k += sk
                if min(i, j, k) < 0 or i >= shape[0] or j >= shape[1] or k >= shape[2]:
                    break
            if slots == 1:
                out[d, p, 0] = total


@_inline
def _within(start, way, low, spacing, shape, length):
    """Return where a way enters and leaves the image, mm from its start."""
    first, last = 0.0, length
    for axis in range(3):
        near, far = low[axis] - start[axis], low[axis] + spacing[axis] * shape[axis] - start[axis]
        if way[axis] == 0.0:
            if near > 0.0 or far < 0.0:
                return 1.0, 0.0
            continue
        one, two = near / way[axis], far / way[axis]
        first, last = max(first, min(one, two)), min(last, max(one, two))
    return first, last


@_inline
def _deposit(row, low, high, value, step_mm):
    """Add what lies between two distances from the detector to the stretches that hold it."""
    first = min(int(low / step_mm), row.size - 1)
    last = min(int(high / step_mm), row.size - 1)
    for n in range(first, last + 1):
        a, b = max(low, n * step_mm), min(high, (n + 1) * step_mm)
        if b > a:
            row[n] += np.float32(value * (b - a))


def pair_sums(places, weights, rays, tables, pairs, half):
    """Return the sums over two sets of points for pairs of detectors, ``[pair, set]``.

    Parameters
    ----------
    places : float32 (2, 3, detectors, points)
        Unit vectors from points to detectors, and (its second half, first row) in the second
        place what a detector sees of a point: cosine of incidence over squared distance.
    weights : float32 (points,)
        What each point scatters.
    rays : float32 (3, detectors, points)
        Integral of the activity, of mu, and the survival exp(-integral of mu).
    tables : tuple
        Least cosine, and over equal steps of the cosine from there to 1 the weight of the angle
        and the relative attenuation less 1, each with one more entry.
    pairs : int32 (pairs, 2)
        Detectors.
    half : int
        Number of points of the first set.
    """
    out = np.empty((len(pairs), 2), np.float32)
    least, angle, extra = tables
    args = places[0], places[1, 0], weights, *rays, np.float32(least), angle, extra
    share(_sums, len(pairs), *args, pairs, half, out)
    return out


@_inline
def _power(x):
    """Return exp(-x) for x from 0 to 4: within 2e-4 at the end and 1e-7 up to 1."""
    y = x * np.float32(-0.125)
    one = np.float32(1)
    s = one + y * (
        one + y * (np.float32(1 / 2) + y * (np.float32(1 / 6) + y * (
            np.float32(1 / 24) + y * np.float32(1 / 120))))
    )  # fmt: skip
    s *= s
    s *= s
    return s * s


@_fast
def _sums(
    begin, end, ways, seen, weights, activity, mu, survival, least, angle, extra, pairs, half, out
):
    """Fill the rows of the pairs begin ... end - 1."""
    one, per_step = np.float32(1), np.float32(TABLE / (1.0 - least))
    for p in range(begin, end):
        a, b = np.uint64(pairs[p, 0]), np.uint64(pairs[p, 1])
        ax, ay, az = ways[0, a], ways[1, a], ways[2, a]
        bx, by, bz = ways[0, b], ways[1, b], ways[2, b]
        fa, fb, xa, xb = seen[a], seen[b], activity[a], activity[b]
        ma, mb, ea, eb = mu[a], mu[b], survival[a], survival[b]
        for part in range(2):
            first, last = (0, half) if part == 0 else (half, weights.size)
            total = np.float32(0)
            for i in range(last - first):
                n = np.uint64(first + i)
                # The scattered photon turns by the angle between A to S and S to B.
                cosine = -(ax[n] * bx[n] + ay[n] * by[n] + az[n] * bz[n])
                place = (min(max(cosine, least), one) - least) * per_step
                at = np.int32(place)
                share_ = place - np.float32(at)
                k = np.uint64(at)
                weight = angle[k] + share_ * (angle[k + np.uint64(1)] - angle[k])
                more = extra[k] + share_ * (extra[k + np.uint64(1)] - extra[k])
                both = xa[n] * _power(more * mb[n]) + xb[n] * _power(more * ma[n])
                total += weights[n] * weight * fa[n] * fb[n] * ea[n] * eb[n] * both
            out[p, part] = total


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
                part = rows[(i0 + a) % size]
                r0, r1 = part[j0], part[(j0 + 1) % size]
                r2, r3 = part[(j0 + 2) % size], part[(j0 + 3) % size]
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
