"""Probability maps at points between their voxels, and what moves them onto an image."""

import math

import numpy as np
from numba import njit

from emrecon.compiled import share

CHUNK = 1024
"""Points whose sums are taken together, whatever the number of threads."""


@njit(nogil=True, cache=True)
def _interpolate(maps, x, y, z, value, slope):
    """Fill the maps' values at a point, trilinear and 0 outside, and their slopes a voxel.

    The last entries are those of what no map holds: one minus the sum.
    """
    count = maps.shape[3]
    value[:] = 0
    slope[:] = 0
    value[count] = 1.0
    i, j, k = math.floor(x), math.floor(y), math.floor(z)
    inside = i >= -1 and j >= -1 and k >= -1
    if not (inside and i < maps.shape[0] and j < maps.shape[1] and k < maps.shape[2]):
        return
    u, v, w = x - i, y - j, z - k
    for a in range(2):
        for b in range(2):
            for c in range(2):
                if not (
                    0 <= i + a < maps.shape[0]
                    and 0 <= j + b < maps.shape[1]
                    and 0 <= k + c < maps.shape[2]
                ):
                    continue
                p, q, r = (u if a else 1 - u), (v if b else 1 - v), (w if c else 1 - w)
                for n in range(count):
                    here = maps[i + a, j + b, k + c, n]
                    value[n] += p * q * r * here
                    slope[n, 0] += (2 * a - 1) * q * r * here
                    slope[n, 1] += p * (2 * b - 1) * r * here
                    slope[n, 2] += p * q * (2 * c - 1) * here
    for n in range(count):
        value[count] -= value[n]
        for a in range(3):  # arrays beside arrays take seconds to compile
            slope[count, a] -= slope[n, a]
    value[count] = max(value[count], 0.0)


def sample(maps, points, out):
    """Fill `out`, ``(n, k)``, with the maps' values at points in their voxels, ``(n, 3)``."""
    share(_sample, len(points), maps, points, out)


@njit(nogil=True, cache=True)
def _sample(begin, end, maps, points, out):
    """Do the points begin ... end - 1."""
    count = maps.shape[3]
    value, slope = np.empty(count + 1), np.empty((count + 1, 3))
    for v in range(begin, end):
        _interpolate(maps, points[v, 0], points[v, 1], points[v, 2], value, slope)
        for n in range(count):
            out[v, n] = value[n]


@njit(nogil=True, cache=True)
def compare(maps, matrix, places, bins, densities, floor, log_likelihoods, tables, pulls, curves):
    """Compare an image with the maps where a matrix puts it: likelihood, moments and slopes.

    Parameters
    ----------
    maps : float32 array, shape (i, j, k, c)
        Probability of each class.
    matrix : float64 array, shape (3, 4)
        From `places` to the maps' voxels.
    places : float64 array, shape (n, 3)
        Points of the image.
    bins : int32 array, shape (n,)
        Intensity bin of each.
    densities : float64 array, shape (c + 1, b)
        Probability of each bin in each class; the last is what is no class.
    floor : float
        Least probability of a class anywhere.
    log_likelihoods : float64 array, shape (chunks,)
        Filled with sums of logs.
    tables : float64 array, shape (chunks, c + 1, b)
        Memberships' sums, added to; without chunks, nothing but the likelihood is found.
    pulls, curves : float64 arrays, shapes (chunks, 12) and (chunks, 12, 12)
        Slopes of the log-likelihood along the elements of a change of `places`, and the sums of
        their products, added to; of the products those below the diagonal.
    """
    count = maps.shape[3]
    for chunk in range((len(places) + CHUNK - 1) // CHUNK):  # too short for other threads
        value, slope = np.empty(count + 1), np.empty((count + 1, 3))
        pull, at, row = np.empty(3), np.empty(3), np.empty(12)
        for v in range(chunk * CHUNK, min((chunk + 1) * CHUNK, len(places))):
            for a in range(3):
                at[a] = matrix[a, 3]
                for b in range(3):
                    at[a] += matrix[a, b] * places[v, b]
            _interpolate(maps, at[0], at[1], at[2], value, slope)
            total = 0.0
            for n in range(count + 1):
                total += (value[n] + floor) * densities[n, bins[v]]
            log_likelihoods[chunk] += math.log(total)
            if len(tables) == 0:
                continue
            pull[:] = 0
            for n in range(count + 1):
                share = densities[n, bins[v]] / total
                tables[chunk, n, bins[v]] += (value[n] + floor) * share
                for a in range(3):
                    pull[a] += slope[n, a] * share
            if pull[0] == 0 and pull[1] == 0 and pull[2] == 0:
                continue
            for a in range(3):
                inner = 0.0
                for b in range(3):
                    inner += matrix[b, a] * pull[b]
                for b in range(3):
                    row[4 * a + b] = inner * places[v, b]
                row[4 * a + 3] = inner
            for a in range(12):
                pulls[chunk, a] += row[a]
                for b in range(a + 1):
                    curves[chunk, a, b] += row[a] * row[b]
