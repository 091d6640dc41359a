"""Voxels of a mask that no scanner measured: planes of one value, planes twice the same, air."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import DataError
from emrecon.tissue.data import FEW_LEVELS

log = logging.getLogger(__name__)

Floats32 = NDArray[np.float32]
Flags = NDArray[np.bool_]

LITTLE_AIR, MOST_AIR = 0.02, 0.3
"""Share of a given mask that has the value of the background exactly: from the first on it is
said, and above the second the mask is not that of the image. Brains have next to none, and a mask
drawn loosely about a stripped brain a tenth."""

_STEP = 4
"""Of each so many voxels along both axes of a plane one is looked at first."""

_LEAST = 20
"""Voxels of the mask that are looked at in a plane, at least, for it to tell anything."""


def check_air(image: Floats32, region: Flags, background: float) -> None:
    """Refuse a mask much of which is background of the image; say so where some of it is.

    Raises
    ------
    DataError
        If it is; images of one or two values are left to be refused as such.
    """
    inside = image[region]
    other = inside[inside != background]
    if not other.size or other.min() == other.max():
        return
    share = 1 - other.size / inside.size
    if share > MOST_AIR:
        raise DataError(
            f"{share:.0%} of the mask is background of the image, {background:g} exactly: the "
            "mask does not fit the image. Is it that of another image, or turned over?"
        )
    if share > LITTLE_AIR:
        log.warning(
            "%.0f %% of the mask is background of the image, %g exactly, and is taken for fluid: "
            "does the mask fit the image?",
            100 * share, background,
        )  # fmt: skip


def without_blank_planes(channels: Sequence[Floats32], region: Flags) -> Flags:
    """Return a mask without planes in which a channel has one value, as where slices were lost.

    Says so, and whether planes are the same as their neighbours, which noise never lets be.
    Images of few levels, such as drawings without noise, are taken as they are.
    """
    for number, image in enumerate(channels, 1):
        some = image[region][::101]
        if len(np.unique(some[np.isfinite(some)])) < FEW_LEVELS:
            continue
        region = _without_blank(image, region, number)
        _say_repeated(image, region, number)
    return region


def _without_blank(image: Floats32, region: Flags, channel: int) -> Flags:
    """Return a mask without planes of one value, those along the axis that holds most first."""
    while True:
        kept = []
        for axis in range(3):
            rest = np.moveaxis(region.copy(), axis, 0)
            blank = list(_blank(np.moveaxis(image, axis, 0), rest))
            rest[blank] = False
            kept.append((np.moveaxis(rest, 0, axis), blank))
        axis = min(range(3), key=lambda one: int(np.count_nonzero(kept[one][0])))
        rest, blank = kept[axis]
        if not blank:
            return region
        log.warning(
            "%d planes of channel %d hold one value alone (planes %s of axis %d, from 0): they "
            "are left out", len(blank), channel, _few(blank), axis + 1,
        )  # fmt: skip
        region = rest


def _say_repeated(image: Floats32, region: Flags, channel: int) -> None:
    """Say which planes are the same as those before them."""
    for axis in range(3):
        same = list(_same(np.moveaxis(image, axis, 0), np.moveaxis(region, axis, 0)))
        if same:
            log.warning(
                "%d planes of channel %d are the same as the plane before them (planes %s of "
                "axis %d, from 0): slices were repeated, and what they tell counts twice",
                len(same), channel, _few(same), axis + 1,
            )  # fmt: skip


def _blank(lines: Floats32, inside: Flags) -> Iterator[int]:
    """Yield the planes of one value in the mask."""
    for n, (plane, seen) in enumerate(zip(lines, inside, strict=True)):
        some = plane[::_STEP, ::_STEP][seen[::_STEP, ::_STEP]]
        if some.size >= _LEAST and some.min() == some.max():
            values = plane[seen]
            if values.min() == values.max():
                yield n


def _same(lines: Floats32, inside: Flags) -> Iterator[int]:
    """Yield the planes that are the same, where both are in the mask, as those before them."""
    thin = (slice(None, None, _STEP),) * 2
    for n in range(1, len(lines)):
        seen, plane, before = inside[n] & inside[n - 1], lines[n], lines[n - 1]
        few = seen[thin]
        some = np.count_nonzero(few) >= _LEAST
        if some and np.array_equal(plane[thin][few], before[thin][few]):
            values = plane[seen]
            if np.array_equal(values, before[seen]) and values.min() < values.max():
                yield n


def _few(planes: Sequence[int]) -> str:
    """Return numbers of planes for a line of text."""
    listed = ", ".join(map(str, planes[:6]))
    return f"{listed}, ..." if len(planes) > 6 else listed
