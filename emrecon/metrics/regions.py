"""What an image holds under each label of a map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from emrecon.errors import DataError
from emrecon.metrics.compare import Array, Mask, Point, centroid_mm, frame, match, onto, pair
from emrecon.volume import Volume


@dataclass(frozen=True)
class Region:
    """One row: the image under one label."""

    label: int
    """Value in the label map."""

    name: str
    """What the label stands for; empty when not told."""

    voxels: int
    """Number of voxels, of the image's grid."""

    volume_ml: float
    """Volume of those voxels in mL."""

    mean: float
    """Mean of the image, in its unit."""

    sd: float
    """Standard deviation over the voxels (the mean square is over their number, not one less)."""

    truth_mean: float | None
    """Mean of the truth; None without a truth."""

    recovery: float | None
    """Mean over the truth's mean; None where the latter is 0 or not known."""

    centroid_mm: Point
    """Centre of gravity, in RAS mm, of the image's excess over its lowest value in the region.

    Without that floor a warm surrounding inside the label would draw the centre of a spot towards
    the middle of the label. A constant region has its geometric centre here.
    """


def regions(
    image: Volume,
    truth: Volume | None,
    labels: Volume,
    names: Mapping[int, str] | None = None,
) -> list[Region]:
    """Return one row a label, in order of the labels.

    Truth and labels on other grids are brought onto the image's, the labels by nearest voxel.
    Label 0 is the background and has a row only if `names` has it.

    Raises
    ------
    GeometryError
        If the volumes do not overlap, or have time frames.
    DataError
        If labels are not whole numbers or 0 everywhere in the image, or voxels are not finite.
    """
    from scipy.ndimage import find_objects  # noqa: PLC0415 - heavy, seldom needed

    values, wanted = (frame(image), None) if truth is None else match(image, truth)
    pair(values, values if wanted is None else wanted, None)
    present, numbers = np.unique(onto(labels, image, order=0), return_inverse=True)
    if not np.array_equal(present, np.rint(present)):
        raise DataError("labels must be whole numbers, and these are not; is this map an image?")
    numbers = numbers.reshape(values.shape) + 1
    names = names or {}
    rows = []
    for label, number, box in zip(
        present, range(1, len(present) + 1), find_objects(numbers), strict=True
    ):
        if label == 0 and 0 not in names:
            continue
        inside = numbers[box] == number
        true = None if wanted is None else wanted[box][inside]
        rows.append(
            _region(
                (int(label), names.get(int(label), "")),
                values[box][inside],
                true,
                abs(float(np.linalg.det(image.affine[:3, :3]))),
                _centre(values[box], inside, _cut(image.affine, box)),
            )
        )
    if not rows:
        raise DataError("the labels of the regions are 0 everywhere in the image")
    return rows


def _region(
    who: tuple[int, str], values: Array, wanted: Array | None, voxel_mm3: float, centre: Point
) -> Region:
    """Return the row of one label, from the values inside it."""
    mean = float(values.mean())
    truth_mean = None if wanted is None else float(wanted.mean())
    return Region(
        label=who[0],
        name=who[1],
        voxels=values.size,
        volume_ml=values.size * voxel_mm3 / 1000,
        mean=mean,
        sd=float(values.std()),
        truth_mean=truth_mean,
        recovery=mean / truth_mean if truth_mean else None,
        centroid_mm=centre,
    )


def _centre(values: Array, inside: Mask, affine: Array) -> Point:
    """Return the centre of the excess over the lowest value, or of the box of equal voxels."""
    lowest, highest = float(values[inside].min()), float(values[inside].max())
    if lowest == highest:
        return centroid_mm(inside.astype(np.float64), affine)
    return centroid_mm(values, affine, inside, background=lowest)


def _cut(affine: Array, box: tuple[slice, ...]) -> Array:
    """Return the affine of a part of the volume."""
    moved = affine.copy()
    moved[:3, 3] += moved[:3, :3] @ [axis.start for axis in box]
    return moved
