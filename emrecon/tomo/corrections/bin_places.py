"""Which bin a pair of detectors is in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.detectors import planes_of_rings, scanner_of

Places = NDArray[np.int64]


def places_of(bins: Bins, pairs: NDArray[np.unsignedinteger]) -> Places:
    """Return the bin of each pair of detectors, as a place in flattened data; -1 for none.

    See `turned_places`.
    """
    return turned_places(bins, pairs)[0]


def turned_places(
    bins: Bins, pairs: NDArray[np.unsignedinteger]
) -> tuple[Places, NDArray[np.bool_]]:
    """Return the bin of each pair of detectors, and whether its first detector is at end 2.

    The bin is a place in flattened data without time of flight; -1 for none.

    Parameters
    ----------
    bins : Bins
        Raw bins of all views of a ring scanner, of any span and mashing.
    pairs : array
        Detectors, ``ring * crystals + crystal``, in any order, shape ``(n, 2)``.
    """
    scanner = scanner_of(bins)
    views, count, planes = bins.shape
    half = scanner.crystals // 2
    ring, crystal = np.divmod(pairs.astype(np.int64), scanner.crystals)
    offset = (crystal[:, 0] - crystal[:, 1]) % scanner.crystals - half  # of bins from the middle
    view = (crystal[:, 0] - (offset >> 1)) % scanner.crystals
    turned = view >= half  # the first detector is at end 2
    offset = np.where(turned, -offset, offset)
    view = np.where(turned, (crystal[:, 1] - (offset >> 1)) % scanner.crystals, view)
    rings = np.where(turned[:, None], ring[:, ::-1], ring)
    plane = planes_of_rings(bins)[rings[:, 0], rings[:, 1]].astype(np.int64)
    at = offset + (count - 1 - count // 2)
    inside = (plane >= 0) & (at >= 0) & (at < count) & (view < half)
    place = (view // (half // views) * count + at) * planes + plane
    return np.where(inside, place, -1), turned
