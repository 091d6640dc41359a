"""Small sums over blocks; on one thread, as they take less time than starting others."""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, fastmath=True)
def combine(functions, coefficients):
    """Return the sum of the functions, ``(b, m)``, times their coefficients, ``(m,)``."""
    out = np.zeros(functions.shape[0])
    for b in range(functions.shape[0]):
        total = 0.0
        for m in range(functions.shape[1]):
            total += functions[b, m] * coefficients[m]
        out[b] = total
    return out


@njit(nogil=True, cache=True, fastmath=True)
def project(functions, values):
    """Return the product of each function with the values, ``(b,)``."""
    out = np.zeros(functions.shape[1])
    for b in range(functions.shape[0]):
        for m in range(functions.shape[1]):
            out[m] += functions[b, m] * values[b]
    return out


@njit(nogil=True, cache=True, fastmath=True)
def gram(functions, weights):
    """Return the weighted products of each two functions, ``(m, m)``."""
    count = functions.shape[1]
    out = np.zeros((count, count))
    for b in range(functions.shape[0]):
        row = functions[b]
        for m in range(count):
            weighted = weights[b] * row[m]
            target = out[m]
            for n in range(m + 1):
                target[n] += weighted * row[n]
    for m in range(count):
        for n in range(m):
            out[n, m] = out[m, n]
    return out
