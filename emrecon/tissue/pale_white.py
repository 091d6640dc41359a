"""White matter beside the ventricles of a T1-weighted image that seems grey matter.

With age white matter about the lateral ventricles darkens until it is like cortex, and lesions lie
there. Caudate nucleus and thalamus lie there, too, so that intensity does not tell: an average
brain does, if its ventricles are made as wide as those of the image, which grow with age as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emrecon.tissue.contrasts import CSF
from emrecon.tissue.maps import Atlas
from emrecon.tissue.thin_grey import parted

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Flags = NDArray[np.bool_]

VENTRICLE_MM = (12.0, -20.0, 20.0)
"""In the right lateral ventricle of the ICBM 2009a average, RAS+; the left one and the third hang
together with it there."""

GROWN_MM = 10.0
"""How far from the average's ventricles those of the image may reach."""

BESIDE_MM = 6.0
"""How far from the ventricles white matter is looked for; farther off is the cingulate gyrus."""

LIKELY, CLEAR_MM = 0.5, 2.0
"""Grey matter may be where the average has this chance of it, and so near to that."""

INSIDE_MM = 0.3
"""So near to the average's ventricles a voxel is in them: what is grey there may be plexus."""

FADES_MM, SMOOTH_MM = 20.0, 4.0
"""How far from the ventricles what they push is moved by 1/e of it, and a standard deviation by
which that is smoothed."""

PUSHED_MM = (-5.0, 12.0)
"""How much narrower and wider than the average's ventricles may be."""

_REACH_MM = (
    GROWN_MM + BESIDE_MM + 1.5 * SMOOTH_MM
)  # from the average's ventricles: all that counts


def without_pale_white(
    average: Atlas, index: Sequence[NDArray[np.integer]], affine: Floats, posteriors: Floats32
) -> float:
    """Make what seems grey matter beside the ventricles and is none white, in place.

    Return how many voxels of grey matter that was.

    Parameters
    ----------
    average : Atlas
        Maps of CSF, grey and white matter of the ICBM 2009a average, laid on the image.
    index : sequence of arrays
        Where the image's voxels lie.
    affine : array
        Voxels of the image to mm.
    posteriors : float32 array, shape (n, 6)
        Fractions of CSF, grey and white matter, and the chances of each.
    """
    fluid = posteriors[:, CSF] > 0.5
    return parted(posteriors, beside_ventricles(average, index, affine, fluid), 1.0)


def beside_ventricles(
    average: Atlas, index: Sequence[NDArray[np.integer]], affine: Floats, fluid: Flags
) -> Flags:
    """Return which voxels beside the ventricles are where the average has no grey matter.

    Of shape ``(n,)``. None where the maps have no ventricle in its place, or the image no fluid
    there.

    Parameters
    ----------
    average, index, affine
        Those of `without_pale_white`.
    fluid : array, shape (n,)
        Which voxels are fluid.
    """
    from scipy.ndimage import distance_transform_edt  # noqa: PLC0415 - slow to load

    pale = np.zeros(len(fluid), bool)
    from_ventricles = _from_ventricles(average)
    if from_ventricles is None:
        return pale
    map_mm = np.linalg.norm(average.affine[:3, :3], axis=0)
    off_grey = distance_transform_edt(average.maps[..., 1] <= LIKELY, map_mm)
    # distances, as flags between whose voxels the edge lies would be rough; 0 beyond the maps
    both = np.stack([np.maximum(_REACH_MM - from_ventricles, 0), off_grey], axis=-1)
    known = replace(average, maps=both.astype(np.float32))
    away = _REACH_MM - known.at(index, affine)[:, 0]
    rows = np.flatnonzero(away < _REACH_MM)
    if not rows.size:
        return pale
    corner = [axis[rows].min() for axis in index]
    shape = tuple(int(axis[rows].max() - c) + 1 for axis, c in zip(index, corner, strict=True))
    own = tuple(axis[rows] - c for axis, c in zip(index, corner, strict=True))
    wet, far = np.zeros(shape, bool), np.full(shape, _REACH_MM, np.float32)
    wet[own], far[own] = fluid[rows], away[rows]
    ventricles = _ventricles(wet, far)
    if not ventricles.any():
        return pale
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    beside, pushed = _pushed(ventricles, far, spacing)
    chosen = beside[own]
    rows, own = rows[chosen], tuple(axis[chosen] for axis in own)
    from_ = [
        axis[rows] - by[own] / mm for axis, by, mm in zip(index, pushed, spacing, strict=True)
    ]
    reach, clear = known.at(from_, affine).T
    pale[rows] = (reach < _REACH_MM - INSIDE_MM) & (clear > CLEAR_MM)
    return pale


def _from_ventricles(average: Atlas) -> Floats | None:
    """Return how far outside its ventricles each voxel of the maps is, less than 0 inside, mm."""
    from scipy.ndimage import distance_transform_edt, label  # noqa: PLC0415 - slow to load

    fluid, _ = label(average.maps[..., 0] > 0.5)
    at = np.linalg.solve(average.affine, (*VENTRICLE_MM, 1))[:3].round().astype(int)
    if (at < 0).any() or (at >= fluid.shape).any() or not fluid[tuple(at)]:
        return None
    inside = fluid == fluid[tuple(at)]
    spacing = np.linalg.norm(average.affine[:3, :3], axis=0)
    outward = distance_transform_edt(~inside, spacing) - distance_transform_edt(inside, spacing)
    return np.asarray(outward, np.float64)


def _ventricles(fluid: Flags, away_mm: Floats32) -> Flags:
    """Return the image's own ventricles: fluid, thick enough, that reaches from the average's."""
    from scipy.ndimage import (  # noqa: PLC0415 - slow to load
        binary_dilation,
        binary_erosion,
        binary_propagation,
    )

    thick = fluid & (away_mm < GROWN_MM) & binary_dilation(binary_erosion(fluid), iterations=2)
    return np.asarray(binary_propagation(thick & (away_mm < 0), mask=thick))


def _pushed(ventricles: Flags, away_mm: Floats32, spacing_mm: Floats) -> tuple[Flags, Floats32]:
    """Return which voxels are beside the ventricles, and how far those push them off, mm.

    From where the same tissue is beside the average's ventricles: at the wall as far as it lies
    from theirs, along the way out of it, and less farther off. The latter has shape
    ``(3, i, j, k)``.
    """
    from scipy.ndimage import distance_transform_edt, gaussian_filter  # noqa: PLC0415 - slow to load

    off, wall = distance_transform_edt(~ventricles, spacing_mm, return_indices=True)
    outward = (off - distance_transform_edt(ventricles, spacing_mm)).astype(np.float32)
    way = np.stack(np.gradient(gaussian_filter(outward, 1.5 / spacing_mm), *spacing_mm))
    way /= np.maximum(np.linalg.norm(way, axis=0), 0.3)
    way *= np.clip(away_mm[tuple(wall)], *PUSHED_MM) * np.exp(-np.maximum(outward, 0) / FADES_MM)
    near = (outward < BESIDE_MM + 2 * SMOOTH_MM).astype(np.float32)
    width = SMOOTH_MM / spacing_mm
    about = np.maximum(gaussian_filter(near, width), 0.05)
    pushed = np.stack([gaussian_filter(one * near, width) / about for one in way])
    return (off > 0) & (off < BESIDE_MM), np.asarray(pushed, np.float32)
