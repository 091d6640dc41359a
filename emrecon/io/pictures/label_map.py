"""Label maps for pictures: numbered one after another, counted, coloured and named."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import DataError
from emrecon.metrics.compare import onto
from emrecon.volume import Volume

if TYPE_CHECKING:
    from emrecon.io.pictures.canvas import Colour

_MOST_LABELS, _MOST_NAMES = 1000, 60

_SAFE = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178),
         (213, 94, 0), (204, 121, 167))  # fmt: skip
"""Colours that all eyes tell apart (Okabe and Ito, Color Universal Design, 2008)."""

_COUNTED = 65_000
"""Highest label up to which labels are counted, not sorted."""

_SEVERAL = 16
"""Labels up to which each is counted by itself, quicker than all at once."""


def numbered(
    labels: Volume, image: Volume
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Return the labels on the image's grid as 1, 2, ... (0 stays 0), their values and counts.

    Raises
    ------
    DataError
        If the labels are not whole numbers, or more than a thousand.
    """
    values = _on(labels, image)
    if values.min() >= 0 and values.max() <= _COUNTED and _whole(values):
        kind = np.uint8 if values.dtype == np.uint8 else np.uint16
        whole: NDArray[Any] = values.astype(kind, copy=False)
        many = _counts(whole)  # far less work than sorting
        present, counts = np.flatnonzero(many).astype(np.float64), many[many > 0]
        dense = len(many) == len(present)
        numbers = whole if dense else (np.cumsum(many > 0) - 1).astype(np.uint16)[whole]
    else:
        present, numbers, counts = np.unique(values, return_inverse=True, return_counts=True)
    if not np.array_equal(present, np.rint(present)) or len(present) > _MOST_LABELS:
        raise DataError(
            f"a label map holds whole numbers, at most {_MOST_LABELS} different ones; this one "
            f"has {len(present)} values from {present.min():g} to {present.max():g}: is it an "
            "image?"
        )
    places = (np.cumsum(present != 0) * (present != 0)).astype(np.uint16)
    kept = present != 0
    if present[0] != 0:  # otherwise the places are those in `present`
        numbers = places[numbers]
    shown: NDArray[Any] = numbers.reshape(image.voxels.shape[-3:])
    return shown, present[kept].astype(int), counts[kept]


def _counts(whole: NDArray[Any]) -> NDArray[np.intp]:
    """Return how many voxels have each number from 0 to the largest."""
    most = int(whole.max()) + 1
    if most <= _SEVERAL:
        each = [np.count_nonzero(whole == n) for n in range(most)]
    else:
        each = np.sum([np.bincount(plane.ravel(), minlength=most) for plane in whole], axis=0)
    return np.asarray(each, np.intp)


def _on(labels: Volume, image: Volume) -> NDArray[np.number]:
    """Return the labels at the image's voxels: their own numbers where the grids are the same."""
    same = labels.voxels.shape == image.voxels.shape[-3:]
    if same and np.allclose(labels.affine, image.affine, rtol=0, atol=1e-5):
        return labels.voxels
    return onto(labels, image, order=0)


def _whole(values: NDArray[np.number]) -> bool:
    """Return whether all values are whole numbers."""
    return values.dtype.kind in "iub" or not (values % 1).any()


def legend(
    present: NDArray[np.intp], volumes_ml: NDArray[np.float64], names: Mapping[int, str]
) -> list[tuple[Colour, str]]:
    """Return colour, name and volume of the largest labels, in order of the labels."""
    largest = sorted(np.argsort(-volumes_ml, kind="stable")[:_MOST_NAMES])
    rows = [
        (colour(n), f"{names.get(int(present[n]), f'label {present[n]}')}: {_ml(volumes_ml[n])}")
        for n in largest
    ]
    left = len(present) - len(rows)
    return [*rows, ((255, 255, 255), f"and {left} smaller ones")] if left else rows


def _ml(volume: float) -> str:
    """Return a volume with three digits at least, none of them a power of ten."""
    return f"{volume:.0f} mL" if volume >= 100 else f"{volume:.3g} mL"


def colour(number: int) -> Colour:
    """Return the colour of the nth label, different from its neighbours in the list."""
    if 0 <= number < len(_SAFE):
        return _SAFE[number]
    hue = (number * 0.618034) % 1
    lightness, saturation = ((0.42, 0.85), (0.66, 0.6), (0.3, 0.7))[number % 3]
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, saturation)
    return round(255 * red), round(255 * green), round(255 * blue)
