"""Joseph's method a line at a time: the plain way, to compare the shared kernels with.

Nothing is shared between lines: each works out its own steps and reads four voxels a step, as
general projectors do.  Forward runs over lines in parallel; the adjoint gives each thread an image
of its own and adds them up.  Same arguments and conventions as `emrecon.tomo.kernels.axial`.
"""

import math

import numba
import numpy as np

_jit = numba.njit(cache=True, fastmath=True)
_parallel = numba.njit(cache=True, fastmath=True, parallel=True)


@_jit
def _path(shape, grid, c, s, u, half, fov):
    """Steps of a line: first, last, columns on the other axis, and strides in memory.

    Then the signed distance and the index on the other axis at step 0, and what a step adds.
    """
    nx, ny, nz = shape
    x0, y0, vx, vy = grid
    along_x = abs(s) > abs(c)
    if along_x:
        at, pace = (u * c - x0) / s, -vx / s
        f, df = (u * s + at * c - y0) / vy, pace * c / vy
        count, other, strides = nx, ny, (ny * nz, nz)
    else:
        at, pace = (y0 - u * s) / c, vy / c
        f, df = (u * c - at * s - x0) / vx, -pace * s / vx
        count, other, strides = ny, nx, (nz, ny * nz)
    if half > 0 and abs(u) < fov:
        reach = min(half, math.sqrt(fov * fov - u * u))
        low, high = (-reach - at) / pace, (reach - at) / pace
        k0 = max(0, math.ceil(min(low, high) - 1e-9))
        k1 = min(count - 1, math.floor(max(low, high) + 1e-9))
    else:
        k0, k1 = 0, -1
    return k0, k1, other, strides[0], strides[1], at, pace, f, df


@_jit
def _read(x, base, stride, other, nz, f, h):
    """Bilinear interpolation at the indices f and h, zero outside."""
    j, z = math.floor(f), math.floor(h)
    b, d = np.float32(f - j), np.float32(h - z)
    a, e = np.float32(1) - b, np.float32(1) - d
    if 0 <= j < other - 1 and 0 <= z < nz - 1:
        p = np.uint64(base + j * stride + z)
        q = p + np.uint64(stride)
        one = np.uint64(1)
        return a * (e * x[p] + d * x[p + one]) + b * (e * x[q] + d * x[q + one])
    total = np.float32(0)
    for jj, w in ((j, a), (j + 1, b)):
        for zz, y in ((z, e), (z + 1, d)):
            if 0 <= jj < other and 0 <= zz < nz:
                total += w * y * x[base + jj * stride + zz]
    return total


@_jit
def _write(x, base, stride, other, nz, f, h, value):
    """Transpose of `_read`."""
    j, z = math.floor(f), math.floor(h)
    b, d = np.float32(f - j), np.float32(h - z)
    a, e = np.float32(1) - b, np.float32(1) - d
    if 0 <= j < other - 1 and 0 <= z < nz - 1:
        p = np.uint64(base + j * stride + z)
        q = p + np.uint64(stride)
        one = np.uint64(1)
        a, b = a * value, b * value
        x[p] += a * e
        x[p + one] += a * d
        x[q] += b * e
        x[q + one] += b * d
        return
    for jj, w in ((j, a), (j + 1, b)):
        for zz, y in ((z, e), (z + 1, d)):
            if 0 <= jj < other and 0 <= zz < nz:
                x[base + jj * stride + zz] += w * y * value


@_parallel
def forward(
    image, x0, y0, vx, vy, vz, cosines, sines, s_mm, half_chord_mm, fov_mm,
    tilt, first, step, planes, offset, out,
):  # fmt: skip
    """Integrate `image` along all lines into `out`."""
    x, nz, bins = image.reshape(-1), image.shape[2], s_mm.size
    for line in numba.prange(cosines.size * bins):
        v, t = line // bins, line % bins
        c, s, u, half = cosines[v], sines[v], s_mm[t], half_chord_mm[t]
        for g in range(tilt.size):
            for p in range(planes[g]):
                k0, k1, other, main, stride, at, pace, f, df = _path(
                    image.shape, (x0, y0, vx, vy), c, s, u, half, fov_mm
                )
                slope = tilt[g] / (2 * half) if half > 0 else 0.0
                h, dh = first[g] + p * step[g] + at * slope, pace * slope
                total = np.float32(0)
                for k in range(k0, k1 + 1):
                    total += _read(x, k * main, stride, other, nz, f + k * df, h + k * dh)
                length = abs(pace) * math.sqrt(1 + (slope * vz) ** 2)
                out[v, t, offset[g] + p] = total * np.float32(length)


def adjoint(data, *geometry_and_image):
    """Transpose of `forward`."""
    *geometry, image = geometry_and_image
    own = np.zeros((numba.get_num_threads(), *image.shape), np.float32)
    _adjoint(data, *geometry, own)
    np.sum(own, axis=0, out=image)


@_parallel
def _adjoint(
    data, x0, y0, vx, vy, vz, cosines, sines, s_mm, half_chord_mm, fov_mm,
    tilt, first, step, planes, offset, own,
):  # fmt: skip
    threads, nx, ny, nz = own.shape
    bins = s_mm.size
    for thread in numba.prange(threads):
        x = own[thread].reshape(-1)
        for line in range(thread, cosines.size * bins, threads):
            v, t = line // bins, line % bins
            c, s, u, half = cosines[v], sines[v], s_mm[t], half_chord_mm[t]
            for g in range(tilt.size):
                for p in range(planes[g]):
                    k0, k1, other, main, stride, at, pace, f, df = _path(
                        (nx, ny, nz), (x0, y0, vx, vy), c, s, u, half, fov_mm
                    )
                    slope = tilt[g] / (2 * half) if half > 0 else 0.0
                    h, dh = first[g] + p * step[g] + at * slope, pace * slope
                    length = abs(pace) * math.sqrt(1 + (slope * vz) ** 2)
                    value = np.float32(length) * data[v, t, offset[g] + p]
                    for k in range(k0, k1 + 1):
                        _write(x, k * main, stride, other, nz, f + k * df, h + k * dh, value)
