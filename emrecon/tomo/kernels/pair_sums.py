"""Penalties of pairs of neighbouring voxels, summed over the neighbours of every voxel."""

import numpy as np

from emrecon.compiled import kernel, share
from emrecon.tomo.kernels.pair_potentials import (
    LOG_COSH,
    QUADRATIC,
    VALUE,
    log_cosh,
    quadratic,
    relative_difference,
)


def pair_sums(what, potential, image, along, pairs, constants, out):
    """Fill `out` with the sum over the neighbours of each voxel; return the sum of all of `out`.

    `along` is the second image of a curvature, else `image` once more. `pairs` are steps (n, 3),
    weights (n), and images of factors and of the bits of similar neighbours, empty for none.
    """
    totals = np.zeros(len(image))
    share(_slabs, len(image), what, potential, image, along, *pairs, *constants, out, totals)
    return float(totals.sum())


@kernel()
def _slabs(begin, end, what, potential, image, along, steps, weights, kappa, similar, one, two,
           out, totals):  # fmt: skip
    """Do the slabs begin ... end - 1."""
    nx, ny, nz = image.shape
    pull = np.empty(nz, np.float32)
    for i in range(begin, end):
        total = 0.0
        for j in range(ny):
            row = out[i, j]
            row[:] = 0
            for n in range(len(weights)):
                p, q, step = i + steps[n, 0], j + steps[n, 1], steps[n, 2]
                if not (0 <= p < nx and 0 <= q < ny):
                    continue
                lo, hi = max(0, -step), nz - max(0, step)
                if hi <= lo:
                    continue
                pulls = pull[lo:hi]
                pulls[:] = weights[n]
                if kappa.size:
                    _scale(pulls, kappa[i, j, lo:hi], kappa[p, q, lo + step : hi + step])
                if similar.size:
                    other = similar[p, q, lo + step : hi + step]
                    _choose(pulls, similar[i, j, lo:hi], other, n, len(weights) - 1 - n)
                a, b = image[i, j, lo:hi], image[p, q, lo + step : hi + step]
                va, vb = along[i, j, lo:hi], along[p, q, lo + step : hi + step]
                if potential == QUADRATIC:
                    quadratic(what, a, b, va, vb, pulls, row[lo:hi])
                elif potential == LOG_COSH:
                    log_cosh(what, a, b, va, vb, pulls, one, row[lo:hi])
                else:
                    relative_difference(what, a, b, va, vb, pulls, one, two, row[lo:hi])
            if what == VALUE:
                for k in range(nz):
                    total += row[k]
        totals[i] = total


@kernel()
def _scale(pulls, one, other):
    """Multiply the weights of pairs by the factors of both voxels."""
    for k in range(pulls.size):
        pulls[k] *= one[k] * other[k]


@kernel()
def _choose(pulls, own, other, bit, back):
    """Halve the weights of pairs that only one voxel chose, and drop those that none did."""
    half, last = np.float32(0.5), np.uint32(1)
    there, here = np.uint32(bit), np.uint32(back)
    for k in range(pulls.size):
        chosen = ((own[k] >> there) & last) + ((other[k] >> here) & last)
        pulls[k] *= half * np.float32(chosen)


def most_similar(features, steps, count, out):
    """Fill `out` with a bit for each step to one of the `count` most similar neighbours.

    `features` are (n, i, j, k), compared by the sum of their squared differences; neighbours that
    are as similar as the last of `count` are chosen too.
    """
    share(_similar, out.shape[0], features, steps, count, out)


@kernel()
def _similar(begin, end, features, steps, count, out):
    """Do the slabs begin ... end - 1."""
    channels, nx, ny, nz = features.shape
    distances = np.empty(len(steps), np.float32)
    for i in range(begin, end):
        for j in range(ny):
            for k in range(nz):
                for n in range(len(steps)):
                    p, q, r = i + steps[n, 0], j + steps[n, 1], k + steps[n, 2]
                    distances[n] = np.inf
                    if 0 <= p < nx and 0 <= q < ny and 0 <= r < nz:
                        distances[n] = 0
                        for c in range(channels):
                            off = features[c, p, q, r] - features[c, i, j, k]
                            distances[n] += off * off
                last = np.sort(distances)[count - 1]
                bits = np.uint32(0)
                for n in range(len(steps)):
                    if distances[n] <= last and distances[n] < np.inf:
                        bits |= np.uint32(1) << np.uint32(n)
                out[i, j, k] = bits
