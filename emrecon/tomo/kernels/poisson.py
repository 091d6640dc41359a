"""Counts against their mean, one pass over the bins."""

import math

import numpy as np
from numba import njit, prange


@njit(parallel=True, nogil=True, cache=True)
def compare(counts, factors, background, views, projection):
    """Turn `projection` into what the adjoint wants, and return the log-likelihood of each row.

    Row r of `projection` is row ``views[r]`` of the other arrays.
    A `factors` or `background` without rows stands for 1 and 0. On return `projection` holds
    ``factor * counts / mean`` with ``mean = factor * projection + background``. Bins of factor 0
    take no part, nor do bins of mean 0: no voxel lies on their line.
    """
    rows, columns = projection.shape
    likelihood = np.zeros(rows)
    scaled, offset = factors.shape[0] > 0, background.shape[0] > 0
    for r in prange(rows):
        at = views[r]
        total = 0.0
        for c in range(columns):
            factor = factors[at, c] if scaled else np.float32(1)
            mean = factor * projection[r, c]
            if offset:
                mean += background[at, c]
            if factor > 0 and mean > 0:
                y = counts[at, c]
                total -= mean
                if y > 0:
                    total += y * math.log(np.float64(mean))
                projection[r, c] = factor * y / mean
            else:
                projection[r, c] = 0
        likelihood[r] = total
    return likelihood
