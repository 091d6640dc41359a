"""Sparse matrices of how alike neighbouring voxels are, and their products with images."""

import numpy as np
from numba import njit

from emrecon.compiled import share


def alike(features, own, steps, shells, nearness, count):
    """Return starts, columns and weights of the rows of a matrix between voxels.

    A voxel of `own` has a row of the `count` neighbours that its `features` (n, i, j, k) differ
    least from, by the sum of squares; of those that differ alike the nearest, whole `shells` of
    one distance. Their weights, exp(-sum of squares) times `nearness`, sum to 1. Any other voxel
    has itself alone.
    """
    lengths = np.zeros(own.size, np.int64)
    nothing = np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32)
    share(_slabs, own.shape[0], features, own, steps, shells, nearness, count, lengths, *nothing)
    starts = np.append(0, np.cumsum(lengths))
    columns, weights = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.float32)
    share(_slabs, own.shape[0], features, own, steps, shells, nearness, count, lengths, starts,
          columns, weights)  # fmt: skip
    return starts, columns, weights


@njit(nogil=True, cache=True)
def _slabs(begin, end, features, own, steps, shells, nearness, count, lengths, starts, columns,
           weights):  # fmt: skip
    """Do the slabs begin ... end - 1: count what rows hold, or fill them."""
    channels, nx, ny, nz = features.shape
    apart, chosen = np.empty(len(steps)), np.empty(len(steps), np.bool_)
    for i in range(begin, end):
        for j in range(ny):
            for k in range(nz):
                row = (i * ny + j) * nz + k
                if not own[i, j, k]:
                    if columns.size:
                        columns[starts[row]], weights[starts[row]] = row, 1
                    else:
                        lengths[row] = 1
                    continue
                for n in range(len(steps)):
                    p, q, r = i + steps[n, 0], j + steps[n, 1], k + steps[n, 2]
                    apart[n] = np.inf
                    if 0 <= p < nx and 0 <= q < ny and 0 <= r < nz:
                        apart[n] = 0.0
                        for c in range(channels):
                            off = features[c, p, q, r] - features[c, i, j, k]
                            apart[n] += off * off
                neighbours = _choose(apart, shells, count, chosen)
                if not columns.size:
                    lengths[row] = neighbours
                    continue
                total = 0.0
                for n in range(len(steps)):
                    if chosen[n]:
                        total += np.exp(-apart[n]) * nearness[n]
                at = starts[row]
                for n in range(len(steps)):
                    if chosen[n]:
                        p, q, r = i + steps[n, 0], j + steps[n, 1], k + steps[n, 2]
                        columns[at] = (p * ny + q) * nz + r
                        weights[at] = np.exp(-apart[n]) * nearness[n] / total
                        at += 1


@njit(nogil=True, cache=True)
def _choose(apart, shells, count, chosen):
    """Mark the `count` least, and what ties with the last in size and shell; return how many."""
    last = np.partition(apart, count - 1)[count - 1] if count < apart.size else np.inf
    taken = 0
    for n in range(apart.size):
        chosen[n] = apart[n] < last
        taken += chosen[n]
    shell = -1
    for n in range(apart.size):
        if apart[n] == last and last < np.inf and (taken < count or shells[n] == shell):
            chosen[n], shell = True, shells[n]
            taken += 1
    return taken


def product(matrix, image, out):
    """Fill `out` with the product of a matrix (starts, columns, weights) and an image, flat."""
    share(_rows, out.size, *matrix, image, out)


@njit(nogil=True, cache=True)
def _rows(begin, end, starts, columns, weights, image, out):
    """Do the rows begin ... end - 1."""
    for row in range(begin, end):
        total = 0.0
        for at in range(starts[row], starts[row + 1]):
            total += weights[at] * image[columns[at]]
        out[row] = total
