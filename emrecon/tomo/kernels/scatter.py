"""Single Compton scatter: integrals from points to detectors, and their sums for detector pairs.

*Integrals.*  Voxels are boxes; the ways through them from a scatter point to a detector are exact,
in single precision: layer by layer of boxes across the axis along which a way crosses most.

*Sums.*  What a detector and a point share is worked out once; a pair of detectors then takes a
dozen products a point, in single precision, as many points at once as the machine's vectors hold.
Weights of angles are the nearest of a table: up to 0.1 % off for one point, and 1e-7 for all.
Each pair has its own sum over the points in their order, whatever the number of threads.
"""

import math

import numpy as np

from emrecon.compiled import inline, kernel, share

TABLE = 4096  # steps of the table over the cosine, from the least that counts to 1
TERMS = 6  # of a polynomial of the cosine, within 4e-5 over all angles

_fast = kernel(fastmath=True, error_model="numpy")
_inline = inline(fastmath=True, error_model="numpy")


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


@_fast
def _integrals(begin, end, image, origin, spacing, points, detectors, first_mm, step_mm, out):
    """Fill the rows of the detectors begin ... end - 1."""
    boxes, shape = image.ravel(), image.shape
    corner = origin - 0.5 * spacing
    for d in range(begin, end):
        for p in range(points.shape[0]):
            if out.shape[2] == 1:
                out[d, p, 0] = way_through(boxes, shape, corner, spacing, points[p], detectors[d])
                continue
            start, way, length = _way(points[p], detectors[d], corner, spacing)
            enters, leaves = _within(start, way, shape)
            if enters >= leaves:
                continue
            layers, per_layer, ray = _ray(start, way, enters, leaves, shape)
            mm = np.float32(length * per_layer)
            far = np.float32(length * (1 - enters) - first_mm)
            for n in range(layers):
                lengths, values = _pieces(n, ray, boxes)
                for m in range(3):
                    near = far - lengths[m] * mm
                    if near < far and values[m] != 0:
                        _deposit(out[d, p], near, far, values[m], np.float32(step_mm))
                    far = near


@_inline
def _way(point, detector, corner, spacing):
    """Return where a way begins and its vector, in boxes, and its length in mm."""
    x, y, z = detector[0] - point[0], detector[1] - point[1], detector[2] - point[2]
    start = (
        (point[0] - corner[0]) / spacing[0],
        (point[1] - corner[1]) / spacing[1],
        (point[2] - corner[2]) / spacing[2],
    )
    way = x / spacing[0], y / spacing[1], z / spacing[2]
    return start, way, math.sqrt(x * x + y * y + z * z)


@_inline
def way_through(boxes, shape, corner, spacing, point, detector):
    """Return the integral from a point to a detector."""
    total = np.float32(0)
    start, way, length = _way(point, detector, corner, spacing)
    enters, leaves = _within(start, way, shape)
    if enters >= leaves:
        return total
    layers, per_layer, ray = _ray(start, way, enters, leaves, shape)
    for n in range(layers):
        (a, b, c), (one, two, three) = _pieces(n, ray, boxes)
        total += one * a + two * b + three * c
    return total * np.float32(length * per_layer)


@_inline
def _within(start, way, shape):
    """Return the shares of a way, in boxes, at which it enters and leaves the image."""
    enters, leaves = 0.0, 1.0
    for axis in range(3):
        if way[axis] == 0.0:
            if start[axis] < 0.0 or start[axis] > shape[axis]:
                return 1.0, 0.0
            continue
        one, two = -start[axis] / way[axis], (shape[axis] - start[axis]) / way[axis]
        enters, leaves = max(enters, min(one, two)), min(leaves, max(one, two))
    return enters, leaves


@_inline
def _ray(start, way, enters, leaves, shape):
    """Return the layers of boxes that a way meets, its share a layer, and what `_pieces` takes.

    Layers lie across the axis along which the way crosses most boxes. Places along it are counted
    from the first layer on, in the way's direction.
    """
    strides = shape[1] * shape[2], shape[2], 1
    x, y, z = abs(way[0]), abs(way[1]), abs(way[2])
    lead = 0 if x >= y and x >= z else (1 if y >= z else 2)
    one, two = (1 if lead == 0 else 0), (1 if lead == 2 else 2)
    begin, stop = start[lead] + enters * way[lead], start[lead] + leaves * way[lead]
    at, stride = 0, strides[lead]
    if way[lead] < 0:
        begin, stop = shape[lead] - begin, shape[lead] - stop
        at, stride = (shape[lead] - 1) * stride, -stride
    first = min(max(int(begin), 0), shape[lead] - 1)
    layers = min(math.ceil(stop), shape[lead]) - first
    per_layer = 1 / abs(way[lead])
    along = np.float32(begin - first), np.float32(stop - first), at + first * stride, stride
    sides = (
        _side(start[one] + enters * way[one], way[one] * per_layer, shape[one], strides[one]),
        _side(start[two] + enters * way[two], way[two] * per_layer, shape[two], strides[two]),
    )
    return layers, per_layer, (along, sides[0], sides[1])


@_inline
def _side(place, slope, size, stride):
    """Return what is known of a way along an axis across which it crosses fewer boxes."""
    inverse = 1 / slope if slope != 0 else 0.0
    return np.float32(place), np.float32(slope), np.float32(inverse), np.int32(size - 1), stride


@_inline
def _pieces(n, ray, boxes):
    """Return the lengths of the three pieces of a way in layer n, and the values of their boxes.

    In a layer a way meets at most two boxes along each of the other axes, so three in all. No
    layer needs what another one found: as many are worked out at once as the machine's vectors
    hold.
    """
    (begin, stop, at, stride), one, two = ray
    layer = np.float32(np.int32(n))
    a, b = max(layer, begin), min(layer + np.float32(1), stop)
    length = b - a
    j, j_next, cut = _crossing(one, a - begin, b - begin, length)
    k, k_next, other = _crossing(two, a - begin, b - begin, length)
    first, last = min(cut, other), max(cut, other)
    at += n * stride
    j_between, k_between = (j_next, k) if cut < other else (j, k_next)
    return (first, last - first, length - last), (
        boxes[np.uint64(at + j * one[4] + k * two[4])],
        boxes[np.uint64(at + j_between * one[4] + k_between * two[4])],
        boxes[np.uint64(at + j_next * one[4] + k_next * two[4])],
    )


@_inline
def _crossing(side, a, b, length):
    """Return the boxes in which a way is along an axis at two places, and how far the first goes.

    That is all of the length between them where it is one box.
    """
    place, slope, inverse, most, _ = side
    begin, none = place + a * slope, np.int32(0)
    j = min(max(np.int32(begin), none), most)
    k = min(max(np.int32(place + b * slope), none), most)
    cut = (np.float32(max(j, k)) - begin) * inverse if j != k else length
    return j, k, min(max(cut, np.float32(0)), length)


@_inline
def _deposit(row, low, high, value, step_mm):
    """Add what lies between two distances from the first stretch to the stretches that hold it."""
    first = min(max(int(low / step_mm), 0), row.size - 1)
    last = min(max(int(high / step_mm), 0), row.size - 1)
    for n in range(first, last + 1):
        a, b = max(low, n * step_mm), min(high, (n + 1) * step_mm)
        if b > a:
            row[n] += np.float32(value * (b - a))


def pair_sums(setting, half):
    """Return the sums over two sets of points for pairs of detectors.

    Shape ``[pair, 2]``; see `emrecon.tomo.corrections.scatter_simulation.pair_scatter`.

    Parameters
    ----------
    setting : tuple
        ``places``, float32 (2, 3, detectors, points): unit vectors from points to detectors, and
        (its second half, first row) what a detector sees of a point, the cosine of incidence over
        squared distance; ``weights``, float32 (points,): what each point scatters; ``rays``,
        float32 (3, detectors, points): integral of the activity, of mu, and the survival
        exp(-integral of mu); ``angles``: least cosine, the weight of the angle over equal steps of
        the cosine from there to 1, with one more entry, and what `_more` takes; ``pairs``, int32
        (pairs, 2): detectors.
    half : int
        Number of points of the first set.
    """
    places, weights, rays, angles, pairs = setting
    out = np.empty((len(pairs), 2), np.float32)
    least, angle, extra = angles
    activity, mu, survival = rays
    sights = np.sqrt(weights) * places[1, 0] * survival  # their product is what a pair sees
    args = places[0], activity, mu, sights, np.float32(least), angle, extra
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


@_inline
def _more(cosine, c):
    """Return the relative attenuation of a deflected photon less 1, by powers of 1 - cosine.

    To look it up in a table would take as long as all else.
    """
    x = np.float32(1) - cosine
    return x * (c[0] + x * (c[1] + x * (c[2] + x * (c[3] + x * (c[4] + x * c[5])))))


@_fast
def _sums(
    begin, end, ways, activity, mu, sights, least, angle, extra, pairs, half, out,
):  # fmt: skip
    """Fill the rows of the pairs begin ... end - 1."""
    one, nearest = np.float32(1), np.float32(0.5)
    per_step = np.float32(TABLE / (1.0 - least))
    for p in range(begin, end):
        a, b = np.uint64(pairs[p, 0]), np.uint64(pairs[p, 1])
        ax, ay, az = ways[0, a], ways[1, a], ways[2, a]
        bx, by, bz = ways[0, b], ways[1, b], ways[2, b]
        xa, xb, ma, mb = activity[a], activity[b], mu[a], mu[b]
        ga, gb = sights[a], sights[b]
        for side in range(2):
            first, last = (0, half) if side == 0 else (half, xa.size)
            total = np.float32(0)
            for i in range(last - first):
                n = np.uint64(first + i)
                # The scattered photon turns by the angle between A to S and S to B.
                cosine = -(ax[n] * bx[n] + ay[n] * by[n] + az[n] * bz[n])
                cosine = min(max(cosine, least), one)
                k = np.uint64(np.int32((cosine - least) * per_step + nearest))
                more = _more(cosine, extra)
                both = xa[n] * _power(more * mb[n]) + xb[n] * _power(more * ma[n])
                total += ga[n] * gb[n] * angle[k] * both
            out[p, side] = total


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
    places, weights, rays, angles, pairs = setting
    activity, lengths, first_mm, step_mm, slots = timed
    out = np.empty((len(pairs), slots), np.float32)
    least, angle, extra = angles
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
            cosine = min(max(cosine, least), one)
            place = (cosine - least) * per_step
            k = np.int64(place)
            fraction = place - np.float32(k)
            weight = angle[k] + fraction * (angle[k + 1] - angle[k])
            if weight == 0:
                continue
            more = _more(cosine, extra)
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
