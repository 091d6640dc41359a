"""Which views make a subset, and in which order the subsets take their turns."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import SettingsError
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.settings import Settings
from emrecon.volume import Grid

log = logging.getLogger(__name__)

Views = NDArray[np.intp]

MOST_CHUNKS = 8
"""Chunks, where no number is wanted: enough for a few workers, and each worth a call."""

UNEVEN = 1.1
"""Work of the largest chunk over the mean that is put up with."""

Turn = tuple[int, Views]
"""Number and views of a subset."""


def turns(bins: Bins | Camera, grid: Grid, settings: Settings) -> list[Turn]:
    """Return number and views of every subset, in the order of their turns.

    Interleaved, successive ones far apart; with the siddon projector as STIR has them: views that
    mirror each other stay together, and subsets follow their numbers.
    """
    views = len(bins.phi_rad if isinstance(bins, Bins) else bins.theta_rad)
    if settings.projector != "siddon" or isinstance(bins, Camera):
        return interleaved(settings.subsets, views)
    fold = mirrors(bins, grid)
    what = {1: "views", 2: "pairs of mirrored views", 4: "fours of mirrored views"}[fold]
    subsets = fitting_subsets(settings.subsets, views // fold, what)
    numbers = _basic(views, fold) % subsets
    return [(n, np.flatnonzero(numbers == n)) for n in range(subsets)]


def interleaved(wanted: int, views: int) -> list[Turn]:
    """Return number and views of about so many interleaved subsets, successive ones far apart."""
    subsets = fitting_subsets(wanted, views)
    return [(n, np.arange(n, views, subsets)) for n in subset_order(subsets)]


def chunk_of(order: list[Turn], number: int, chunks: int) -> tuple[Views, list[Turn]]:
    """Return the views of one of so many chunks, and where in them its part of each subset is.

    Every chunk has views of every subset, spread evenly over those of the subset.
    """
    own = [(subset, views[number::chunks]) for subset, views in order]
    every = np.sort(np.concatenate([views for _, views in own]))
    return every, [(subset, np.searchsorted(every, views)) for subset, views in own]


def fitting_chunks(wanted: int, views: int) -> int:
    """Return how many chunks are made of subsets of so many views, whatever the workers.

    Parameters
    ----------
    wanted : int
        Chunks; 0 for the most, up to `MOST_CHUNKS`, that are nearly of one size.
    views : int
        Views that every subset has at least.

    Raises
    ------
    SettingsError
        If more are wanted than there are views.
    """
    if wanted > views:
        raise SettingsError(
            f"{wanted} chunks of views wanted, but a subset has {views} views: give at most "
            "that, or fewer subsets"
        )
    fair = (n for n in range(MOST_CHUNKS, 0, -1) if -(-views // n) * n <= UNEVEN * views)
    return wanted or next(fair)


def mirrors(bins: Bins, grid: Grid) -> int:
    """Return how many views mirror each other on the grid, in x, y and the diagonals: 1, 2 or 4.

    As STIR finds it: all of half a turn from 0 on, in a number that divides so, and for 4 square
    voxels.
    """
    views = bins.phi_rad.size
    even = np.arange(views) * np.pi / views
    if views % 2 or np.abs(bins.phi_rad - even).max() > 1e-4:
        return 1
    vx, vy, _ = grid.spacing_mm
    return 4 if views % 4 == 0 and abs(vx - vy) < 1e-3 else 2


def _basic(views: int, fold: int) -> Views:
    """Return, for each view, which it mirrors of those of the first `fold`-th of half a turn."""
    turn = max(1, 2 * views // fold)
    at = np.arange(views) % turn
    return at if fold == 1 else np.minimum(at, turn - at)


def fitting_subsets(wanted: int, views: int, what: str = "views") -> int:
    """Return how many subsets are made of so many views, and say so where it is not as wanted.

    The divisor of `views` nearest to `wanted`; where none is near (within a half), as many as
    wanted, some with a view more than others, which their own sensitivities make up for.
    """
    divisors = [n for n in range(1, views + 1) if views % n == 0]
    nearest = min(divisors, key=lambda n: (abs(n - wanted), n))
    if nearest == wanted:
        return wanted
    if wanted < views and not wanted / 1.5 <= nearest <= wanted * 1.5:
        log.warning(
            "%d subsets do not divide %d %s evenly: they hold %d or %d %s",
            wanted, views, what, views // wanted, views // wanted + 1, what,
        )  # fmt: skip
        return wanted
    log.warning(
        "%d subsets do not divide %d %s evenly: %d subsets are used", wanted, views, what, nearest
    )
    return nearest


def subset_order(subsets: int) -> list[int]:
    """Return the numbers of the subsets so that successive ones are far apart.

    Each next subset is the unused one farthest, on the circle of views, from those just used,
    with the nearest past counting most.
    """
    order = [0]
    left = set(range(1, subsets))
    while left:
        recent = order[::-1]

        def closeness(k: int, recent: list[int] = recent) -> float:
            gaps = (min((k - r) % subsets, (r - k) % subsets) for r in recent)
            return sum(2.0**-age / gap for age, gap in enumerate(gaps))

        order.append(min(left, key=lambda k: (closeness(k), k)))
        left.remove(order[-1])
    return order
