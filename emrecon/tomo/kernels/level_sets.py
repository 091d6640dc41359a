"""Penalties of the gradient of an image, its part along that of another image left out.

With forward differences `g` of a voxel (0 beyond the last one), a vector `xi` shorter than 1 and
``M = I - xi xi^T``, a voxel adds ``kappa phi`` with ``phi = sqrt(smooth^2 + g^T M g)``.
"""

import math

import numpy as np

from emrecon.compiled import kernel, share

VALUE, GRADIENT, DIAGONAL, CURVATURE, MAJORANT = range(5)

_ONE, _TWO = np.float32(1), np.float32(2)
_FLAGS = {"contract"}


def level_sets(what, image, along, scale, smooth, kappa, xi, out):
    """Fill `out` with what each voxel's penalty gives; return the sum of the penalties.

    `along` is the second image of a curvature, else `image` once more; `scale` the factor of the
    differences along each axis; `kappa` (i, j, k) and `xi` (3, i, j, k) are empty for none.
    """
    tasks, totals = len(image), np.zeros(len(image))
    if what == VALUE:
        share(_values, tasks, image, scale, smooth, kappa, xi, totals)
        return float(totals.sum())
    # each voxel gives to itself and to the next one along each axis; those are gathered after
    flows = np.empty((4, *image.shape), np.float32)
    share(_flows, tasks, what, image, along, scale, smooth, kappa, xi, flows)
    share(_gathered, tasks, flows, out)
    return 0.0


@kernel(fastmath=_FLAGS)
def _differences(image, scale, i, j, k):
    """Return the scaled forward differences of a voxel."""
    nx, ny, nz = image.shape
    here = image[i, j, k]
    x = (image[i + 1, j, k] - here) * scale[0] if i + 1 < nx else np.float32(0)
    y = (image[i, j + 1, k] - here) * scale[1] if j + 1 < ny else np.float32(0)
    z = (image[i, j, k + 1] - here) * scale[2] if k + 1 < nz else np.float32(0)
    return x, y, z


@kernel(fastmath=_FLAGS)
def _across(xi, i, j, k, x, y, z):
    """Return M times a vector."""
    if not xi.size:
        return x, y, z
    a, b, c = xi[0, i, j, k], xi[1, i, j, k], xi[2, i, j, k]
    inside = a * x + b * y + c * z
    return x - inside * a, y - inside * b, z - inside * c


@kernel()
def _values(begin, end, image, scale, smooth, kappa, xi, totals):
    """Sum the slabs begin ... end - 1."""
    _, ny, nz = image.shape
    for i in range(begin, end):
        total = 0.0
        for j in range(ny):
            for k in range(nz):
                x, y, z = _differences(image, scale, i, j, k)
                p, q, r = _across(xi, i, j, k, x, y, z)
                size = math.sqrt(smooth * smooth + (x * p + y * q + z * r))
                total += size * kappa[i, j, k] if kappa.size else size
        totals[i] = total


@kernel(fastmath=_FLAGS)
def _flows(begin, end, what, image, along, scale, smooth, kappa, xi, flows):
    """Fill what the voxels of the slabs give to themselves (3) and to the next along each axis."""
    nx, ny, nz = image.shape
    zero = np.float32(0)
    for i in range(begin, end):
        for j in range(ny):
            for k in range(nz):
                x, y, z = _differences(image, scale, i, j, k)
                p, q, r = _across(xi, i, j, k, x, y, z)
                over = _ONE / math.sqrt(smooth * smooth + (x * p + y * q + z * r))
                pull = kappa[i, j, k] * over if kappa.size else over
                one = scale[0] if i + 1 < nx else zero
                two = scale[1] if j + 1 < ny else zero
                three = scale[2] if k + 1 < nz else zero
                if what in (GRADIENT, CURVATURE):
                    if what == CURVATURE:
                        x, y, z = _differences(along, scale, i, j, k)
                        inside = (p * x + q * y + r * z) * over * over
                        a, b, c = _across(xi, i, j, k, x, y, z)
                        p, q, r = a - inside * p, b - inside * q, c - inside * r
                    p, q, r = pull * one * p, pull * two * q, pull * three * r
                    own = -(p + q + r)
                elif what == MAJORANT:
                    p, q, r = (
                        _TWO * pull * one * one,
                        _TWO * pull * two * two,
                        _TWO * pull * three * three,
                    )
                    own = p + q + r
                else:
                    a, b, c = _across(xi, i, j, k, one, two, three)
                    inside = (p * one + q * two + r * three) * over
                    own = pull * (a * one + b * two + c * three - inside * inside)
                    u, v, w = _diagonal(xi, i, j, k)
                    p = pull * one * one * (u - (p * over) * (p * over))
                    q = pull * two * two * (v - (q * over) * (q * over))
                    r = pull * three * three * (w - (r * over) * (r * over))
                flows[0, i, j, k], flows[1, i, j, k], flows[2, i, j, k] = p, q, r
                flows[3, i, j, k] = own


@kernel(fastmath=_FLAGS)
def _diagonal(xi, i, j, k):
    """Return the diagonal of M."""
    if not xi.size:
        return _ONE, _ONE, _ONE
    a, b, c = xi[0, i, j, k], xi[1, i, j, k], xi[2, i, j, k]
    return _ONE - a * a, _ONE - b * b, _ONE - c * c


@kernel(fastmath=_FLAGS)
def _gathered(begin, end, flows, out):
    """Add up what each voxel of the slabs gives itself and is given by those before it."""
    _, ny, nz = out.shape
    for i in range(begin, end):
        for j in range(ny):
            for k in range(nz):
                total = flows[3, i, j, k]
                if i > 0:
                    total += flows[0, i - 1, j, k]
                if j > 0:
                    total += flows[1, i, j - 1, k]
                if k > 0:
                    total += flows[2, i, j, k - 1]
                out[i, j, k] = total
