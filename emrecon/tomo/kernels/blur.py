"""Separable Gaussian blur with zeros beyond the border, which makes it its own adjoint."""

import numpy as np
from numba import njit, prange


@njit(nogil=True, cache=True, fastmath=True)
def _add(tap, source, target):
    """Add `tap` times `source` to `target`."""
    for k in range(target.size):
        target[k] += tap * source[k]


@njit(nogil=True, cache=True, fastmath=True)
def _slab(plane, taps_y, taps_z, out):
    """Fill `out` (ny, nz) with `plane` convolved along y, then z."""
    ny, nz = plane.shape
    row = np.empty(nz, np.float32)
    for j in range(ny):
        row[:] = 0
        _add(taps_y[0], plane[j], row)
        for t in range(1, taps_y.size):
            if j >= t:
                _add(taps_y[t], plane[j - t], row)
            if j + t < ny:
                _add(taps_y[t], plane[j + t], row)
        target = out[j]
        target[:] = 0
        _add(taps_z[0], row, target)
        for t in range(1, min(taps_z.size, nz)):
            _add(taps_z[t], row[t:], target[: nz - t])
            _add(taps_z[t], row[: nz - t], target[t:])


@njit(parallel=True, nogil=True, cache=True)
def blur(image, taps_x, taps_y, taps_z, out, work):
    """Fill `out` with `image` convolved along all axes; `work` is scratch of the same shape.

    The taps of each axis are half a symmetric kernel, middle first.
    """
    nx = image.shape[0]
    for i in prange(nx):
        _slab(image[i], taps_y, taps_z, work[i])
    rows = work.reshape(nx, -1)
    flat = out.reshape(nx, -1)
    for i in prange(nx):
        flat[i, :] = 0
        _add(taps_x[0], rows[i], flat[i])
        for t in range(1, taps_x.size):
            if i >= t:
                _add(taps_x[t], rows[i - t], flat[i])
            if i + t < nx:
                _add(taps_x[t], rows[i + t], flat[i])
