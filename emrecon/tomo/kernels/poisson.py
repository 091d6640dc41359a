"""Counts against their mean, one pass over the bins."""

import math

import numpy as np

from emrecon.compiled import kernel, share

MOST = np.float32(1e30)
"""Largest ratio of counts to their mean: a mean that underflows would give infinity, and infinity
times a voxel of 0 is no number. Sums of this over all bins stay below the largest float32."""


def compare(counts, factors, background, views, projection):
    """Turn `projection` into what the adjoint wants, and return the log-likelihood of each row.

    Arrays are (tof, rows, columns), but for `factors` (rows, columns): those are shared by all
    time-of-flight bins. A `background` of one time-of-flight bin is spread evenly over all.
    Row (view) r of `projection` is row ``views[r]`` of the other arrays.
    A `factors` or `background` without rows stands for 1 and 0. On return `projection` holds
    ``factor * counts / mean``, at most `MOST`, with ``mean = factor * projection + background``.
    Bins of factor 0 take no part, nor do bins of mean 0: no voxel lies on their line.
    """
    likelihood = np.zeros(projection.shape[1])
    share(_compare, len(likelihood), counts, factors, background, views, projection, likelihood)
    return likelihood


@kernel()
def _compare(begin, end, counts, factors, background, views, projection, likelihood):
    """Do the rows begin ... end - 1."""
    tofs, _, columns = projection.shape
    scaled, offset = factors.shape[0] > 0, background.shape[0] > 0
    flat = background.shape[0] < tofs
    weight = np.float32(1 / tofs) if flat else np.float32(1)
    for r in range(begin, end):
        at = views[r]
        total = 0.0
        for t in range(tofs):
            frame = 0 if flat else t
            for c in range(columns):
                factor = factors[at, c] if scaled else np.float32(1)
                mean = factor * projection[t, r, c]
                if offset:
                    mean += weight * background[frame, at, c]
                if factor > 0 and mean > 0:
                    y = counts[t, at, c]
                    total -= mean
                    if y > 0:
                        total += y * math.log(np.float64(mean))
                    projection[t, r, c] = min(factor * y / mean, MOST)
                else:
                    projection[t, r, c] = 0
        likelihood[r] = total
