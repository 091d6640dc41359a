"""Counts of attenuated rays against their mean, one pass over the rays.

With ``t = blank exp(-l)``, the mean is ``t + background`` and minus the log-likelihood of a ray is
``h(l) = t + background - count log(t + background)``.
"""

import math

import numpy as np

from emrecon.compiled import kernel, share

SHORT = 1e-3
"""Line integral below which the curvature at 0, which is the largest, is taken: the parabola
through 0 would be a difference of two nearly equal numbers."""


def compare(counts, blank, background, projection, curvature):
    """Turn `projection` into slopes, fill `curvature`, return the log-likelihood of each row.

    Arrays are (rows, columns). On entry `projection` holds line integrals of 0 or more; on return
    the derivatives of the log-likelihood by them. `curvature` becomes that of the flattest
    parabola which touches ``h`` at the line integral and is nowhere below it from 0 on. A ray of
    blank 0 takes no part.
    """
    likelihood = np.zeros(len(counts))
    args = counts, blank, background, projection, curvature, likelihood
    share(_compare, len(likelihood), *args)
    return likelihood


@kernel()
def _compare(begin, end, counts, blank, background, projection, curvature, likelihood):
    """Do the rows begin ... end - 1."""
    for row in range(begin, end):
        total = 0.0
        for c in range(counts.shape[1]):
            y, b = np.float64(counts[row, c]), np.float64(blank[row, c])
            r, length = np.float64(background[row, c]), np.float64(projection[row, c])
            if b <= 0:
                projection[row, c] = curvature[row, c] = 0
                continue
            through = b * math.exp(-length)
            mean = through + r
            share_of_rays = through / mean if r > 0 else 1.0
            slope = through - y * share_of_rays
            total -= mean
            if y > 0:
                total += y * (math.log(mean) if r > 0 else math.log(b) - length)
            steepest = max(b * (1 - y * r / (b + r) ** 2), 0.0)
            bend = steepest
            if length > SHORT:
                lost = -b * math.expm1(-length)
                risen = lost - slope * length
                risen -= y * (math.log1p(lost / mean) if r > 0 else length)
                bend = min(max(2 * risen / length**2, 0.0), steepest)
            projection[row, c], curvature[row, c] = slope, bend
        likelihood[row] = total
