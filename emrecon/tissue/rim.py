"""What is left about a brain that was cut out of a T1-weighted head: dura, sinuses, fat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emrecon.tissue.mask import largest
from emrecon.volume import Volume

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]

REACH_MM, FARTHEST_MM = 4.0, 6.0
"""How deep under the edge a voxel may lie that is dropped, and how deep under the first edge."""

DEEPER_MM = (2.0, 3.0, 4.0, 5.0)
"""How much deeper fluid is looked for."""

BRIGHTER = 1.3
"""How many times as bright as that a voxel is."""

LEAST_ML = 0.1
"""Volume of the smallest piece that is dropped: noise and single gyri are smaller."""

ROUNDS = 3
"""How often the edge moves in."""

_BLUR_MM, _LEVEL_MM = 0.7, 2.0  # of the image, and of the depth whose slope is the way inward


def without_rim(image: Volume, inside: Flags) -> Flags:
    """Return the inside of a skull without what lies about its fluid, shape ``(i, j, k)``.

    In a T1-weighted image dura, sinuses and fat are brighter than the fluid that parts them from
    the cortex, and cortex at the edge has white matter beneath it.

    Parameters
    ----------
    image : Volume
        A T1-weighted head.
    inside : array
        The inside of its skull.
    """
    from scipy import ndimage  # noqa: PLC0415 - heavy, and only heads need it

    spacing = np.array(image.spacing_mm)
    shown = np.nonzero(inside)
    box = tuple(slice(int(a.min()), int(a.max()) + 1) for a in shown)
    smooth = ndimage.gaussian_filter(np.nan_to_num(image.voxels[box]), _BLUR_MM / spacing)
    kept = np.pad(inside[box], 1)
    smooth = np.pad(smooth, 1, mode="edge")
    near = ndimage.distance_transform_edt(kept, spacing) <= FARTHEST_MM
    for _ in range(ROUNDS):
        pieces = _brighter(smooth, kept, near, spacing)
        if not pieces.any():
            break
        kept = np.asarray(ndimage.binary_fill_holes(largest(kept & ~pieces)))
    trimmed = np.zeros(inside.shape, bool)
    trimmed[box] = kept[1:-1, 1:-1, 1:-1]
    return trimmed


def _brighter(image: Floats32, kept: Flags, near: Flags, spacing: Floats) -> Flags:
    """Return the pieces at the edge that are brighter than what lies under them."""
    from scipy import ndimage  # noqa: PLC0415 - heavy, and only heads need it

    depth = ndimage.distance_transform_edt(kept, spacing).astype(np.float32)
    rim = kept & near & (depth <= REACH_MM)
    places = np.stack(np.nonzero(rim))
    slopes = np.gradient(ndimage.gaussian_filter(depth, _LEVEL_MM / spacing), *spacing)
    inward = np.stack([slope[rim] for slope in slopes])
    inward /= np.maximum(np.linalg.norm(inward, axis=0), 1e-6) * spacing[:, None]
    deeper = [
        ndimage.map_coordinates(image, places + mm * inward, order=1, mode="nearest")
        for mm in DEEPER_MM
    ]
    brighter = np.zeros(kept.shape, bool)
    brighter[rim] = image[rim] > BRIGHTER * np.min(deeper, axis=0)
    pieces, _ = ndimage.label(brighter)
    large = np.bincount(pieces.ravel()) * np.prod(spacing) / 1000 >= LEAST_ML
    large[0] = False
    return np.asarray(large[pieces])
