"""Tissue fractions on the grid of the maps that were laid on an image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import DataError
from emrecon.tissue.result import Segmentation
from emrecon.volume import Volume

Floats = NDArray[np.float64]


def in_template(segmentation: Segmentation, values: NDArray[np.float32]) -> Volume:
    """Return values of the mask's voxels on the grid of the maps, averaged where that is coarser.

    Parameters
    ----------
    segmentation : Segmentation
        With maps laid on it.
    values : array, shape (n,)
        Such as the fractions of a class.

    Raises
    ------
    DataError
        If no maps were laid on the image.
    """
    from scipy.ndimage import affine_transform, gaussian_filter  # noqa: PLC0415 - heavy

    to_image, grid = (
        _to_image(segmentation),
        segmentation.atlas.maps.shape[:3] if segmentation.atlas else (),
    )
    image = np.asarray(segmentation.volume(values).voxels, np.float32)
    size = np.abs(to_image[:3, :3]).sum(axis=1)  # of a voxel of the maps, in voxels of the image
    image = gaussian_filter(image, 0.5 * np.sqrt(np.maximum(size**2 - 1, 0)), truncate=3.0)
    out = affine_transform(image, to_image[:3, :3], to_image[:3, 3], grid, order=1)
    assert segmentation.atlas is not None  # noqa: S101 - else it was refused above
    return Volume(np.clip(out, 0, 1), segmentation.atlas.affine)


def voxel_ml(segmentation: Segmentation) -> float:
    """Return the volume of the image that a voxel of the maps stands for, mL."""
    return float(abs(np.linalg.det(_to_image(segmentation)[:3, :3]))) * segmentation.voxel_ml


def _to_image(segmentation: Segmentation) -> Floats:
    """Return the map from voxels of the maps to voxels of the image."""
    if segmentation.atlas is None:
        raise DataError("no maps were laid on the image, so it has no place in their space")
    to_maps = (
        np.linalg.inv(segmentation.atlas.affine) @ segmentation.atlas.matrix @ segmentation.affine
    )
    return np.asarray(np.linalg.inv(to_maps), np.float64)
