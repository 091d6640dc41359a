"""Separable Gaussian blur with mirrored borders, which makes it its own adjoint.

A symmetric kernel over values mirrored at the outer faces of the first and last voxel is a
symmetric matrix whose rows and columns sum to 1: it keeps both totals and uniform images.
"""

import numpy as np

from emrecon.compiled import kernel, share


@kernel()
def _mirrored(i, n):
    """Return the voxel that stands at index `i` once the row is mirrored at both ends."""
    i %= 2 * n
    return i if i < n else 2 * n - 1 - i


@kernel(fastmath=True)
def _add(tap, source, target):
    """Add `tap` times `source` to `target`."""
    for k in range(target.size):
        target[k] += tap * source[k]


@kernel(fastmath=True)
def _slab(plane, taps_y, taps_z, out):
    """Fill `out` (ny, nz) with `plane` convolved along y, then z."""
    ny, nz = plane.shape
    reach = taps_z.size - 1
    row = np.empty(nz + 2 * reach, np.float32)
    middle = row[reach : reach + nz]
    for j in range(ny):
        middle[:] = 0
        _add(taps_y[0], plane[j], middle)
        for t in range(1, taps_y.size):
            _add(taps_y[t], plane[_mirrored(j - t, ny)], middle)
            _add(taps_y[t], plane[_mirrored(j + t, ny)], middle)
        for t in range(1, reach + 1):
            row[reach - t] = middle[_mirrored(-t, nz)]
            row[reach + nz - 1 + t] = middle[_mirrored(nz - 1 + t, nz)]
        target = out[j]
        target[:] = 0
        _add(taps_z[0], middle, target)
        for t in range(1, reach + 1):
            _add(taps_z[t], row[reach - t : reach - t + nz], target)
            _add(taps_z[t], row[reach + t : reach + t + nz], target)


def blur(image, taps_x, taps_y, taps_z, out, work):
    """Fill `out` with `image` convolved along all axes; `work` is scratch of the same shape.

    The taps of each axis are half a symmetric kernel, middle first.
    """
    share(_slabs, len(image), image, taps_y, taps_z, work)
    share(_across, len(image), work.reshape(len(work), -1), taps_x, out.reshape(len(out), -1))


@kernel()
def _slabs(begin, end, image, taps_y, taps_z, out):
    """Convolve the slabs begin ... end - 1 along y and z."""
    for i in range(begin, end):
        _slab(image[i], taps_y, taps_z, out[i])


@kernel()
def _across(begin, end, slabs, taps, out):
    """Convolve along x into the slabs begin ... end - 1."""
    for i in range(begin, end):
        out[i, :] = 0
        _add(taps[0], slabs[i], out[i])
        for t in range(1, taps.size):
            _add(taps[t], slabs[_mirrored(i - t, len(slabs))], out[i])
            _add(taps[t], slabs[_mirrored(i + t, len(slabs))], out[i])
