"""The area of a disc cut by straight lines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def disc_area(cuts: Floats) -> float:
    """Return the area of the unit disc where ``nx x + ny y <= d`` for every cut.

    Half the integral of ``x . n`` along the edge, n pointing outwards (Green's theorem): every
    straight piece gives its length times its distance from the centre, arcs give their angle.

    Parameters
    ----------
    cuts : ndarray
        ``(nx, ny, d)`` with unit normals, all different, shape ``(cuts, 3)``.
    """
    cuts = cuts[cuts[:, 2] < 1]  # others miss the disc
    if np.any(cuts[:, 2] <= -1):
        return 0.0
    straight = sum(float(cut[2]) * _edge_length(cut, cuts) for cut in cuts)
    return 0.5 * (straight + _arc_angle(cuts))


def _edge_length(cut: Floats, cuts: Floats) -> float:
    """Return how much of one cut's line bounds what is left of the disc."""
    nx, ny, d = cut
    high = float(np.sqrt(1 - d**2))
    low = -high
    for mx, my, room in cuts:
        climb = my * nx - mx * ny  # along the line's direction (-ny, nx)
        left = room - d * (mx * nx + my * ny)
        if abs(climb) < 1e-12:
            high = high if left >= -1e-12 else low
        elif climb > 0:
            high = min(high, left / climb)
        else:
            low = max(low, left / climb)
    return max(high - low, 0.0)


def _arc_angle(cuts: Floats) -> float:
    """Return the angle of the circle that all cuts leave."""
    if not len(cuts):
        return 2 * np.pi
    middle, half = np.arctan2(cuts[:, 1], cuts[:, 0]), np.arccos(cuts[:, 2])
    ends = np.sort(np.concatenate([middle - half, middle + half]) % (2 * np.pi))
    ends = np.append(ends, ends[0] + 2 * np.pi)
    between = (ends[1:] + ends[:-1]) / 2
    points = np.column_stack([np.cos(between), np.sin(between)])
    kept = (points @ cuts[:, :2].T <= cuts[:, 2]).all(axis=1)
    return float(np.diff(ends)[kept].sum())
