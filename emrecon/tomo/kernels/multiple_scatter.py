"""Photons deflected twice or three times: where, and what pairs of detectors count of them.

*Turns* are one less the cosine of an angle, and those of one photon add up: after turns of ``x``
together it has 511 keV / (1 + x). The density of a turn is that a steradian, times the
cross-section at the photon's energy over that at 511 keV, by which its attenuation is larger, too.
Each row of a result has its own sums in a fixed order, whatever the number of threads.
"""

import math

import numpy as np

from emrecon.compiled import inline, kernel, share
from emrecon.tomo.kernels.scatter import _more, _power, way_through

_fast = kernel(fastmath=True, error_model="numpy")
_inline = inline(fastmath=True, error_model="numpy")

_NORM = np.float32(1 / (2 * math.pi * (40 / 9 - 3 * math.log(3))))  # as in `angular_density`


def interactions(starts, ways, chances, matter, step_mm):
    """Return where photons are deflected that go one way from each start.

    Parameters
    ----------
    starts, ways : float64 (n, 3)
        Places in mm and unit vectors.
    chances : float64 (n,)
        Numbers from 0 to 1, which choose among all depths of the matter on the way.
    matter : tuple
        Voxels in 1/mm, the middle of the first, and their size in mm.
    step_mm : float
        Distances at which the matter is looked up.

    Returns
    -------
    tuple of array
        Places ``(n, 3)``; the probabilities to be deflected at all, 0 where there is no matter;
        and the integrals of mu up to the places.
    """
    places, shares, depths = (
        np.zeros((len(starts), 3)),
        np.zeros(len(starts)),
        np.zeros(len(starts)),
    )
    args = starts, ways, chances, *matter, step_mm, places, shares, depths
    share(_interactions, len(starts), *args)
    return places, shares, depths


@_fast
def _interactions(
    begin, end, starts, ways, chances, voxels, origin, spacing, step_mm, places, shares, depths,
):  # fmt: skip
    """Fill the rows begin ... end - 1."""
    square = 0.0
    for axis in range(3):
        square += (voxels.shape[axis] * spacing[axis]) ** 2
    sums = np.zeros(int(math.sqrt(square) / step_mm) + 3)
    for n in range(begin, end):
        last = _summed(starts[n], ways[n], voxels, origin, spacing, step_mm, sums)
        share_ = 1 - math.exp(-sums[last])
        if share_ <= 0:
            continue
        depth = -math.log(1 - chances[n] * share_)
        k = min(max(np.searchsorted(sums[: last + 1], depth), 1), last)
        part = (depth - sums[k - 1]) / max(sums[k] - sums[k - 1], 1e-30)
        shares[n], depths[n] = share_, depth
        for axis in range(3):
            places[n, axis] = starts[n, axis] + (k - 1 + part) * step_mm * ways[n, axis]


@_inline
def _summed(start, way, voxels, origin, spacing, step_mm, sums):
    """Put integrals up to whole steps into `sums`, and return how many steps the voxels hold."""
    n = 0
    while n + 1 < sums.size:
        at = (n + 0.5) * step_mm
        i = math.floor((start[0] + at * way[0] - origin[0]) / spacing[0] + 0.5)
        j = math.floor((start[1] + at * way[1] - origin[1]) / spacing[1] + 0.5)
        k = math.floor((start[2] + at * way[2] - origin[2]) / spacing[2] + 0.5)
        a, b, c = voxels.shape
        if i < 0 or j < 0 or k < 0 or i >= a or j >= b or k >= c:
            break
        sums[n + 1] = sums[n] + step_mm * voxels[i, j, k]
        n += 1
    return n


def last_turns(places, ways, before, most, detectors, matter):
    """Return what it takes photons to turn a last time and reach each detector.

    Parameters
    ----------
    places, ways : float64 (n, 3)
        Where they turn, and the unit vectors that they came along.
    before : float64 (n,)
        All turns before that.
    most : float
        All turns together from which on photons do not count.
    detectors : tuple
        Places and unit vectors inwards, float64 (m, 3) each.
    matter : tuple
        See `interactions`.

    Returns
    -------
    float32 (n, 3, m)
        The turn; the cosine of incidence over the squared distance times the survival at 511 keV,
        0 where photons do not count; and the integral of mu.
    """
    out = np.zeros((len(places), 3, len(detectors[0])), np.float32)
    share(_last_turns, len(places), places, ways, before, most, *detectors, *matter, out)
    return out


@_fast
def _last_turns(
    begin, end, places, ways, before, most, detectors, inward, voxels, origin, spacing, out
):
    """Fill the rows begin ... end - 1."""
    boxes, corner = voxels.ravel(), origin - 0.5 * spacing
    for n in range(begin, end):
        for d in range(len(detectors)):
            square = along = facing = 0.0
            for axis in range(3):
                way = detectors[d, axis] - places[n, axis]
                square += way * way
                along += way * ways[n, axis]
                facing -= way * inward[d, axis]
            length = max(math.sqrt(square), 1e-6)
            turn = max(1 - along / length, 0.0)
            if before[n] + turn < most and facing > 0:
                depth = way_through(boxes, voxels.shape, corner, spacing, places[n], detectors[d])
                out[n, 0, d] = turn
                out[n, 1, d] = facing / (square * length) * math.exp(-depth)
                out[n, 2, d] = depth


@_inline
def _density(before, turn):
    """Return the density of a turn of a photon that turned before, after Klein and Nishina."""
    one = np.float32(1)
    ratio = (one + before) / (one + before + turn)
    return _NORM * ratio * (one + ratio * (ratio - turn * (np.float32(2) - turn)))


@_inline
def _add(row, weight, before, end, table):
    """Add photons to the detectors that count them after a last turn."""
    counted, per, extra = table
    last, one = np.int32(counted.size - 1), np.float32(1)
    for d in range(np.uint64(row.size)):
        turn, sight, depth = end[0, d], end[1, d], end[2, d]
        whole = before + turn
        k = np.uint64(min(np.int32(whole * per), last))
        faded = _power(_more(one - whole, extra) * depth)
        row[d] += weight * sight * _density(before, turn) * counted[k] * faded


def counted_after(weights, before, end, table):
    """Return what each detector counts of photons that turn a last time, ``[n, detector]``.

    Parameters
    ----------
    weights, before : float32 (n,)
        What each photon is worth, and all its turns before.
    end : float32 (n, 3, detectors)
        See `last_turns`.
    table : tuple
        Efficiency relative to that at 511 keV over equal steps of all turns together, float32,
        the last 0; steps in a turn of 1; and what `kernels.scatter._more` takes.
    """
    out = np.zeros((len(weights), end.shape[2]), np.float32)
    share(_counted_after, len(weights), weights, before, end, *table, out)
    return out


@_fast
def _counted_after(begin, end, weights, before, last, counted, per, extra, out):
    """Fill the rows begin ... end - 1."""
    for n in range(begin, end):
        if weights[n] > 0:
            _add(out[n], weights[n], before[n], last[n], (counted, per, extra))


def products(one, other):
    """Return the sums over n of ``one[n, a] other[n, b]``.

    Its bits do not depend on the number of threads, as those of a matrix product do.
    """
    out = np.zeros((one.shape[1], other.shape[1]), np.float32)
    share(_products, len(out), one, other, out)
    return out


@_fast
def _products(begin, end, one, other, out):
    """Fill the rows begin ... end - 1."""
    for n in range(len(one)):
        for a in range(begin, end):
            value = one[n, a]
            if value != 0:
                for b in range(np.uint64(out.shape[1])):
                    out[a, b] += value * other[n, b]


def one_straight(first, chains, second, third, table, most):
    """Return pairs of which one photon goes straight, ``[order, its detector, the other's]``.

    Parameters
    ----------
    first : tuple
        From the first places to the detectors: unit vectors (3, detectors, places), cosine of
        incidence over squared distance, and integrals of activity and of mu (detectors, places),
        float32.
    chains : float32 (n, 8)
        Of the photon that turns, whose first place is n modulo their number: its way from there;
        what it is worth if it turns twice, and three times; the integrals of mu from the first
        place to the second, and on to the third; and the turn at the second, if there is a third.
    second, third : float32 (n, 3, detectors)
        Last turns at these places, see `last_turns`.
    table : tuple
        See `counted_after`.
    most : float
        All turns together from which on photons do not count.
    """
    detectors = second.shape[2]
    out = np.zeros((2, detectors, detectors), np.float32)
    args = *first, chains, second, third, *table, np.float32(most)
    share(_one_straight, detectors, *args, out)
    return out


@_fast
def _one_straight(
    begin, end, ways, sights, activity, mu, chains, second, third, counted, per, extra, most, out,
):  # fmt: skip
    """Fill the rows of the detectors begin ... end - 1 of straight photons."""
    one, table = np.float32(1), (counted, per, extra)
    for n in range(len(chains)):
        p = n % ways.shape[2]
        x, y, z, twice, thrice, depth, further, middle = chains[n]
        if twice == 0:
            continue
        for a in range(begin, end):
            # Back to back with the straight photon, the other one comes from its detector.
            turn = one + ways[0, a, p] * x + ways[1, a, p] * y + ways[2, a, p] * z
            turn = max(turn, np.float32(0))
            if turn >= most or activity[a, p] == 0:
                continue
            seen = sights[a, p] * activity[a, p] * np.float32(math.exp(-mu[a, p]))
            seen *= _density(np.float32(0), turn) * _power(_more(one - turn, extra) * depth)
            _add(out[0, a], seen * twice, turn, second[n], table)
            whole = turn + middle
            if thrice > 0 and whole < most:
                seen *= _density(turn, middle) * _power(_more(one - whole, extra) * further)
                _add(out[1, a], seen * thrice, whole, third[n], table)
