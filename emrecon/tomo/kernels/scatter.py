"""Single Compton scatter: integrals from points to detectors, and their sums for detector pairs.

*Integrals.*  Voxels are boxes; the ways through them from a scatter point to a detector are exact.

*Sums.*  What a detector and a point share is worked out once; a pair of detectors then takes a
dozen products a point, in single precision, as many points at once as the machine's vectors hold.
Angles are the nearest of a table: up to 0.1 % off for one point, and 1e-7 for all together.
Each pair has its own sum over the points in their order, whatever the number of threads.
"""

import math

import numpy as np

from emrecon.compiled import inline, kernel, share

TABLE = 4096  # steps of the tables over the cosine, from the least that counts to 1

_jit = kernel()
_fast = kernel(fastmath=True, error_model="numpy")
_inline = inline(fastmath=True, error_model="numpy")

_FAR = 1e30


def line_integrals(image, origin, spacing, points, detectors, stretches=(0.0, 0.0, 1)):
    """Return the integrals from every point to every detector, ``[detector, point, slot]``.

    Parameters
    ----------
    image : float32 (i, j, k)
        Values in boxes.
    origin, spacing : float64 (3,)
        Middle of box (0, 0, 0) and size of the boxes, mm.
    points, detectors : float64 (n, 3)
        Where the ways begin and end, mm.
    stretches : tuple of float, float, int
        Distance from the detector where the first begins, length and number of the stretches in
        which to sum; all in one by default.
    """
    first_mm, step_mm, slots = stretches
    out = np.zeros((len(detectors), len(points), slots), np.float32)
    args = image, origin, spacing, points, detectors, first_mm, step_mm, out
    share(_integrals, len(detectors), *args)
    return out


@_inline
def _next(start, way, low, size, at, stride):
    """Return along one axis how far the next box is, how far one is from another, and its index.

    The index is relative to that of this one, in a flat row of boxes.
    """
    if way > 0:
        return (low + (at + 1) * size - start) / way, size / way, stride
    if way < 0:
        return (low + at * size - start) / way, -size / way, -stride
    return _FAR, _FAR, 0


@_jit
def _integrals(begin, end, image, origin, spacing, points, detectors, first_mm, step_mm, out):
    """Fill the rows of the detectors begin ... end - 1."""
    shape, boxes = image.shape, image.ravel()
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
            tx, dx, si = _next(points[p, 0], wx, low[0], spacing[0], i, shape[1] * shape[2])
            ty, dy, sj = _next(points[p, 1], wy, low[1], spacing[1], j, shape[2])
            tz, dz, sk = _next(points[p, 2], wz, low[2], spacing[2], k, 1)
            at = (i * shape[1] + j) * shape[2] + k
            total = 0.0
            while t < stop and 0 <= at < boxes.size:
                one, other = min(tx, ty), min(tz, stop)
                after = min(one, other)
                value = boxes[at]
                if slots == 1:
                    total += value * (after - t)
                elif value != 0.0:
                    beyond = length - first_mm
                    _deposit(out[d, p], beyond - after, beyond - t, value, step_mm)
                t = after
                # Products, as no processor foresees which side is next.
                x_next, y_next, z_next = tx <= after, ty <= after, tz <= after
                tx, ty, tz = tx + x_next * dx, ty + y_next * dy, tz + z_next * dz
                at += x_next * si + y_next * sj + z_next * sk
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
    """Add what lies between two distances from the first stretch to the stretches that hold it."""
    first = min(max(int(low / step_mm), 0), row.size - 1)
    last = min(max(int(high / step_mm), 0), row.size - 1)
    for n in range(first, last + 1):
        a, b = max(low, n * step_mm), min(high, (n + 1) * step_mm)
        if b > a:
            row[n] += np.float32(value * (b - a))


def pair_sums(setting, half, gain):
    """Return the sums over two sets of points for pairs of detectors, and what build-up adds.

    Shape ``[pair, 3]``; see `emrecon.tomo.corrections.scatter_simulation.pair_scatter`.

    Parameters
    ----------
    setting : tuple
        ``places``, float32 (2, 3, detectors, points): unit vectors from points to detectors, and
        (its second half, first row) what a detector sees of a point, the cosine of incidence over
        squared distance; ``weights``, float32 (points,): what each point scatters; ``rays``,
        float32 (3, detectors, points): integral of the activity, of mu, and the survival
        exp(-integral of mu); ``tables``: least cosine, and over equal steps of the cosine from
        there to 1 the weight of the angle and the relative attenuation less 1, each with one more
        entry; ``pairs``, int32 (pairs, 2): detectors.
    half : int
        Number of points of the first set.
    gain : float
        Share of the attenuation that build-up makes up for, up to 1/4.
    """
    places, weights, rays, tables, pairs = setting
    out = np.empty((len(pairs), 3), np.float32)
    least, angle, extra = tables
    activity, mu, survival = rays
    sights = np.sqrt(weights) * places[1, 0] * survival  # their product is what a pair sees
    more = np.exp(np.float32(gain) * mu)
    args = places[0], activity, mu, sights, more, np.float32(least), angle, extra
    share(_sums, len(pairs), *args, pairs, half, out)
    return out


@_inline
def _power(x):
    """Return exp(-x) for x up to 4 in size: within 2e-4 at the end and 1e-7 up to 1."""
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
    begin, end, ways, activity, mu, sights, builds, least, angle, extra, pairs, half, out,
):  # fmt: skip
    """Fill the rows of the pairs begin ... end - 1."""
    one, nearest = np.float32(1), np.float32(0.5)
    per_step = np.float32(TABLE / (1.0 - least))
    for p in range(begin, end):
        a, b = np.uint64(pairs[p, 0]), np.uint64(pairs[p, 1])
        ax, ay, az = ways[0, a], ways[1, a], ways[2, a]
        bx, by, bz = ways[0, b], ways[1, b], ways[2, b]
        xa, xb, ma, mb = activity[a], activity[b], mu[a], mu[b]
        ga, gb, ha, hb = sights[a], sights[b], builds[a], builds[b]
        built = np.float32(0)
        for side in range(2):
            first, last = (0, half) if side == 0 else (half, xa.size)
            total = np.float32(0)
            for i in range(last - first):
                n = np.uint64(first + i)
                # The scattered photon turns by the angle between A to S and S to B.
                cosine = -(ax[n] * bx[n] + ay[n] * by[n] + az[n] * bz[n])
                place = (min(max(cosine, least), one) - least) * per_step
                k = np.uint64(np.int32(place + nearest))
                both = xa[n] * _power(extra[k] * mb[n]) + xb[n] * _power(extra[k] * ma[n])
                value = ga[n] * gb[n] * angle[k] * both
                total += value
                built += value * (ha[n] * hb[n] - one)
            out[p, side] = total
        out[p, 2] = built


def timed_sums(setting, timed):
    """Return the sums over all points by apparent place along the line, ``[pair, slot]``.

    A pair emitted at the distance d from A, one photon of which turns at S, is seen where the
    times to A and over S to B tell: at d less half the way from A over S to B, from the middle.

    Parameters
    ----------
    setting : tuple
        As of `pair_sums`, but that the first of the rays is not used.
    timed : tuple
        Integrals of the activity by stretches counted from the detector (float32
        ``[detector, point, stretch]``), lengths of the ways (float32 ``[detector, point]``), the
        distance of the first stretch from the detector, the length of a stretch, which is that of
        a slot, and the number of slots about the middle.
    """
    places, weights, rays, tables, pairs = setting
    activity, lengths, first_mm, step_mm, slots = timed
    out = np.empty((len(pairs), slots), np.float32)
    least, angle, extra = tables
    held = _held(activity)
    args = places[0], places[1, 0], weights, rays[1], rays[2], np.float32(least), angle, extra
    places_of = lengths, held, np.float32(first_mm), np.float32(step_mm)
    share(_timed_sums, len(pairs), *args, activity, *places_of, pairs, out)
    return out


def _held(activity):
    """Return the first stretch that holds anything, and the one behind the last, of every way."""
    live = activity > 0
    some = live.any(axis=2)
    first = np.where(some, live.argmax(axis=2), 0)
    last = np.where(some, activity.shape[2] - live[:, :, ::-1].argmax(axis=2), 0)
    return np.stack([first, last]).astype(np.int32)


@_fast
def _timed_sums(
    begin, end, ways, seen, weights, mu, survival, least, angle, extra, activity, lengths, held,
    first_mm, step_mm, pairs, out,
):  # fmt: skip
    """Fill the rows of the pairs begin ... end - 1."""
    one, per_step, half = np.float32(1), np.float32(TABLE / (1.0 - least)), np.float32(0.5)
    slots = out.shape[1]
    ahead, back = np.empty(slots, np.float32), np.empty(slots, np.float32)
    for p in range(begin, end):
        a, b = pairs[p, 0], pairs[p, 1]
        ahead[:] = 0
        back[:] = 0
        for n in range(weights.size):
            sight = weights[n] * seen[a, n] * seen[b, n]
            if sight == 0:
                continue
            cosine = np.float32(0)
            for axis in range(3):
                cosine -= ways[axis, a, n] * ways[axis, b, n]
            place = (min(max(cosine, least), one) - least) * per_step
            k = np.int64(place)
            fraction = place - np.float32(k)
            weight = angle[k] + fraction * (angle[k + 1] - angle[k])
            if weight == 0:
                continue
            more = extra[k] + fraction * (extra[k + 1] - extra[k])
            weight *= sight * survival[a, n] * survival[b, n]
            way = half * (lengths[a, n] + lengths[b, n]) - first_mm
            shift = np.int64(math.floor(slots // 2 + one - way / step_mm))
            _add(ahead, activity[a, n], held[0, a, n], held[1, a, n], shift,
                 weight * _power(more * mu[b, n]))  # fmt: skip
            _add(back, activity[b, n], held[0, b, n], held[1, b, n], shift,
                 weight * _power(more * mu[a, n]))  # fmt: skip
        for n in range(slots):
            out[p, n] = ahead[n] + back[slots - 1 - n]


@_inline
def _add(sums, row, first, last, shift, weight):
    """Add a part of a row to sums that lie `shift` further."""
    first, last = max(first, -shift), min(last, sums.size - shift)
    for m in range(last - first):
        at = np.uint64(first + m)
        sums[np.uint64(first + shift + m)] += weight * row[at]
