"""One mean-field update of every voxel of one colour, and what the M-step needs of it.

Voxels are taken in short rows, component by component, so that the inner loops run over
neighbouring numbers; sums are kept by chunk, so that the threads do not change a bit.
"""

import numpy as np
from numba import njit

from emrecon.compiled import kernel, share

CHUNK = 8192
"""Voxels whose sums are taken together, whatever the number of threads."""

ROW = 256
"""Voxels taken side by side; divides `CHUNK`."""

_FLOOR = np.float32(-60.0)
_LOG2E = np.float32(1.4426950408889634)
_C1, _C2, _C3 = np.float32(0.69314718), np.float32(0.24022651), np.float32(0.05550411)
_C4, _C5 = np.float32(0.00961813), np.float32(0.00133336)
_C6 = np.float32(0.00015404)
_L3, _L5 = np.float32(2 / 3), np.float32(2 / 5)
_L7, _L9 = np.float32(2 / 7), np.float32(2 / 9)
_ROOT_HALF = np.int32(0x3F3504F3)
"""Bits of the root of 1/2, from which to its double the mantissa is taken."""


@njit(nogil=True, cache=True, fastmath=True)
def exponentials(row, count, bits, powers):
    """Replace the first `count` values, all 0 or less, by their exponentials (2e-7 relative).

    `powers` and `bits` are one scratch array, seen as float32 and as int32.
    """
    for b in range(count):
        scaled = max(row[b], _FLOOR) * _LOG2E
        whole = np.int32(scaled - np.float32(0.5))
        bits[b] = (whole + np.int32(127)) << np.int32(23)
        row[b] = scaled - np.float32(whole)
    for b in range(count):
        f = row[b]
        row[b] = powers[b] * (
            np.float32(1) + f * (_C1 + f * (_C2 + f * (_C3 + f * (_C4 + f * (_C5 + f * _C6)))))
        )


@njit(nogil=True, cache=True, fastmath=True)
def _densities(x, count, means, factors, constants, q, work):
    """Fill `q` with the log of weight times density of every component."""
    channels = x.shape[0]
    for j in range(constants.size):
        row, mean = q[j], means[j]
        row[:count] = constants[j]
        for c in range(channels):
            work[:count] = 0
            for d in range(c + 1):
                factor, shift, source = factors[j, c, d], mean[d], x[d]
                for b in range(count):
                    work[b] += factor * (source[b] - shift)
            for b in range(count):
                row[b] -= np.float32(0.5) * work[b] * work[b]


@njit(nogil=True, cache=True, fastmath=True)
def _neighbours(old, field, beside, at, count, weights, earlier, total, before):
    """Sum the neighbours' fractions, and those of colours that were updated earlier."""
    some, every = False, True
    for o in range(weights.size):
        some = some or earlier[o]
        every = every and earlier[o]
    for k in range(total.shape[0]):
        row = total[k]
        row[:count] = 0
        for o in range(weights.size):
            sites, weight = beside[o, at : at + count], weights[o]
            source = field[k] if earlier[o] else old[k]
            for b in range(count):
                row[b] += weight * source[np.uint64(sites[b])]  # never below 0
        past = before[k]
        past[:count] = 0
        if every:
            for b in range(count):  # arrays set to arrays take seconds to compile
                past[b] = row[b]
        elif some:
            source = field[k]
            for o in range(weights.size):
                sites, weight = beside[o, at : at + count], weights[o]
                if earlier[o]:
                    for b in range(count):
                        past[b] += weight * source[np.uint64(sites[b])]


@njit(nogil=True, cache=True, fastmath=True)
def _add_logs(seen, count, bits, powers, out):
    """Add the logs of the first `count` float32, seen as int32 and 1 or more, to `out` (1e-7).

    That of the mantissa m is ``2 artanh((m - 1) / (m + 1))``. Scratch as for `exponentials`.
    """
    for b in range(count):
        whole = (seen[b] - _ROOT_HALF) >> np.int32(23)
        bits[b] = seen[b] - (whole << np.int32(23))
        out[b] += np.float32(whole) * _C1
    for b in range(count):
        s = (powers[b] - np.float32(1)) / (powers[b] + np.float32(1))
        z = s * s
        out[b] += s * (np.float32(2) + z * (_L3 + z * (_L5 + z * (_L7 + z * _L9))))


@njit(nogil=True, cache=True, fastmath=True)
def _memberships(q, count, most, norm, seen, bits, powers):
    """Turn log joint densities into memberships; `most` ends as the log of their sum.

    `seen` is `norm` as int32.
    """
    components = q.shape[0]
    for b in range(count):
        most[b] = q[0, b]
    for j in range(1, components):
        row = q[j]
        for b in range(count):
            most[b] = max(most[b], row[b])
    norm[:count] = 0
    for j in range(components):
        row = q[j]
        for b in range(count):
            row[b] -= most[b]
        exponentials(row, count, bits, powers)
        for b in range(count):
            norm[b] += row[b]
    _add_logs(seen, count, bits, powers, most)
    for b in range(count):
        norm[b] = np.float32(1) / norm[b]
    for j in range(components):
        row = q[j]
        for b in range(count):
            row[b] *= norm[b]


@njit(nogil=True, cache=True, fastmath=True)
def _gather(x, count, q, sums):
    """Add the row to every component's count, sums and sums of products."""
    channels = x.shape[0]
    for j in range(q.shape[0]):
        row = q[j]
        mass = np.float32(0)
        for b in range(count):
            mass += row[b]
        sums[j, 0] += mass
        n = 1 + channels
        for c in range(channels):
            one = x[c]
            first = np.float32(0)
            for b in range(count):
                first += row[b] * one[b]
            sums[j, 1 + c] += first
            for d in range(c + 1):
                other = x[d]
                second = np.float32(0)
                for b in range(count):
                    second += row[b] * one[b] * other[b]
                sums[j, n] += second
                n += 1


@njit(nogil=True, cache=True, fastmath=True)
def _store(field, at, count, q, fractions, total, before, evidence, parts):
    """Write the expected fractions, and add up what the free energy is made of."""
    components, classes = fractions.shape
    for k in range(classes):
        share = field[k, at : at + count]
        share[:] = 0
        for j in range(components):
            row, fraction = q[j], fractions[j, k]
            if fraction != 0:
                for b in range(count):
                    share[b] += fraction * row[b]
        agreement, previous = np.float32(0), np.float32(0)
        for b in range(count):
            agreement += share[b] * total[k, b]
            previous += share[b] * before[k, b]
        parts[1] += agreement
        parts[2] += previous
    for b in range(count):
        parts[0] += evidence[b]


@njit(nogil=True, cache=True, fastmath=True)
def _pull(q, count, fractions, beta, total, external, known, at, pull):
    """Add to every component what the neighbours and its place say of it."""
    components, classes = fractions.shape
    for k in range(classes):
        for b in range(count):
            pull[k, b] = beta * total[k, b]
    for j in range(components):
        row = q[j]
        for k in range(classes):
            share = fractions[j, k]
            if share != 0:
                for b in range(count):
                    row[b] += share * pull[k, b]
        for e in range(external.shape[1]):
            share = known[j, e]
            if share != 0:
                for b in range(count):
                    row[b] += share * external[at + b, e]


@njit(nogil=True, cache=True, fastmath=True)
def _expect(q, count, at, loads, out):
    """Store, for each voxel, the memberships' mean of what each component loads."""
    for n in range(loads.shape[1]):
        mean = out[n, at : at + count]
        mean[:] = 0
        for j in range(loads.shape[0]):
            row, load = q[j], loads[j, n]
            if load != 0:
                for b in range(count):
                    mean[b] += load * row[b]


def sweep(first, last, *args):
    """Call `_sweep`, whose arguments these are, in several threads."""
    *inputs, sums, parts = args

    def some(begin, end):
        there, beyond = first + begin * CHUNK, min(first + end * CHUNK, last)
        _sweep(there, beyond, *inputs, sums[begin:], parts[begin:])

    share(some, -(-(last - first) // CHUNK))


@kernel(fastmath=True)
def _sweep(
    first, last, values, pattern, beside, means, factors, constants, fractions,
    weights, earlier, beta, external, known, loads, old, field, expected, sums, parts,
):  # fmt: skip
    """Fill the fractions in `field` of voxels ``first`` to ``last``.

    Parameters
    ----------
    first, last : int
        Voxels of one colour (none is a neighbour of another) and one pattern of channels.
    values : float32 array, shape (channels, n)
        Intensities; 0 where a channel is missing.
    pattern : int
        Which channels these voxels have, an index into `sums`.
    beside : int32 array, shape (o, n)
        Number of each voxel's neighbours.
    means, factors, constants : float32 arrays, shapes (j, c), (j, c, c) and (j,)
        Component means, lower triangles that whiten, and log of weight over normalisation.
    fractions : float32 array, shape (j, k)
        Tissue fractions of each component.
    weights, earlier : arrays, shape (o,)
        Of the neighbours: weights, and whether updated before this colour.
    beta : float32
        Strength of the spatial field.
    external : float32 array, shape (n, e)
        What is known of each place, such as an atlas; empty for nothing.
    known : float32 array, shape (j, e)
        How much of it is added to each component's exponent.
    loads : float32 array, shape (j, l)
        Numbers a component stands for, whose expectation is stored in `expected`.
    old : float32 array, shape (k, n + 1)
        Expected fractions before the sweep; 0 in the last, for neighbours outside the mask.
    field : float32 array, shape (k, n + 1)
        Those that are new; read where the colour is an earlier one.
    expected : float32 array, shape (l, n)
        Filled with the expectation of `loads`.
    sums : float64 array, shape (chunks, patterns, j, 1 + c + c (c + 1) / 2)
        Memberships' moments, added to.
    parts : float64 array, shape (chunks, 3)
        Log-normalisers, expected and earlier agreement with neighbours, added to.
    """
    components, classes = fractions.shape
    channels = values.shape[0]
    chunks = (last - first + CHUNK - 1) // CHUNK
    for chunk in range(chunks):
        q = np.empty((components, ROW), np.float32)
        total = np.empty((classes, ROW), np.float32)
        before = np.empty((classes, ROW), np.float32)
        pull = np.empty((classes, ROW), np.float32)
        work = np.empty(ROW, np.float32)
        most = np.empty(ROW, np.float32)
        powers = np.empty(ROW, np.float32)
        bits, seen = powers.view(np.int32), work.view(np.int32)
        x = np.empty((channels, ROW), np.float32)
        end = min(first + (chunk + 1) * CHUNK, last)
        for at in range(first + chunk * CHUNK, end, ROW):
            count = min(ROW, end - at)
            for c in range(channels):
                for b in range(count):
                    x[c, b] = values[c, at + b]
            _densities(x, count, means, factors, constants, q, work)
            _neighbours(old, field, beside, at, count, weights, earlier, total, before)
            _pull(q, count, fractions, beta, total, external, known, at, pull)
            _memberships(q, count, most, work, seen, bits, powers)
            _store(field, at, count, q, fractions, total, before, most, parts[chunk])
            _gather(x, count, q, sums[chunk, pattern])
            _expect(q, count, at, loads, expected)
