"""Sums over all partners of every detector: the other way round of `histogram.sum_pairs`.

Compiled inner loops without checks: callers (`emrecon.tomo.geometry.fans`) make sure that shapes
and types fit.
"""

from __future__ import annotations

import numpy as np

from emrecon.compiled import kernel, share


def fan_sums(values, starts, places, ring1, ring2, plane, data, out):
    """Set every detector of `out` to its value times the sum over partners of value and data.

    Parameters
    ----------
    values : float64 (crystals, rings)
        Value of each detector.
    starts : int64 (crystals + 1,)
        Where the places of each crystal begin.
    places : int32 (places, 4)
        View, bin, partner, and the end (0 or 1) that the crystal is at.
    ring1, ring2, plane : int32 (ring pairs,)
        Rings at both ends, and the plane they belong to.
    data : float32 (views, bins, planes)
        What is summed.
    out : float64 (crystals, rings)
        Result; each crystal is written by one thread alone, in one order.
    """
    share(_crystals, len(values), values, starts, places, ring1, ring2, plane, data, out)


@kernel()
def _crystals(begin, end, values, starts, places, ring1, ring2, plane, data, out):
    """Set some of the crystals."""
    rings = values.shape[1]
    sums = np.empty(rings)
    for crystal in range(begin, end):
        sums[:] = 0.0
        for at in range(starts[crystal], starts[crystal + 1]):
            view, bin_, partner, side = places[at]
            row = data[view, bin_]
            other = values[partner]
            if side == 0:
                for pair in range(plane.size):
                    sums[ring1[pair]] += other[ring2[pair]] * row[plane[pair]]
            else:
                for pair in range(plane.size):
                    sums[ring2[pair]] += other[ring1[pair]] * row[plane[pair]]
        for ring in range(rings):
            out[crystal, ring] = values[crystal, ring] * sums[ring]
