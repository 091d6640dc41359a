"""What seems grey matter beside the ventricles of a T1-weighted image, and is none.

With age white matter about the lateral ventricles darkens until it is like cortex; and at any age
voxels of fluid and white matter look like grey matter. Caudate nucleus and thalamus lie there,
too, so intensity does not tell: pale white matter is told by an average brain, and mixed voxels
by what is about them, as the grey layer they seem to be is thinner than any nucleus.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emrecon.tissue.contrasts import CSF, GM, WM
from emrecon.tissue.maps import Atlas

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Flags = NDArray[np.bool_]

VENTRICLE_MM = (12.0, -20.0, 20.0)
"""In the right lateral ventricle of the ICBM 2009a average, RAS+; the left one and the third hang
together with it there."""

BESIDE_MM = 10.0
"""How far from its ventricles white matter is looked for: theirs are narrow beside those of old
age, which push what lies at them some mm away. With 12 mm the cingulate gyrus is taken, too."""

SOME, CLEAR_MM = 0.25, 2.0
"""Grey matter may be where the average has this chance of it, and so near to that."""

INSIDE_MM = 0.3
"""So near to the average's ventricles a voxel is in them: what is grey there may be plexus."""

ABOUT_MM = 1.5
"""Standard deviation of the Gaussian by which the tissues about a voxel count."""

THIN, BOTH = 0.4, 0.1
"""Most grey matter, and least fluid and white matter, about a mixed voxel: a layer of grey matter
between the two is then thinner than 1.6 mm. With 0.5 simulated caudate nuclei lose their tails."""


def without_false_grey(
    average: Atlas,
    index: Sequence[NDArray[np.integer]],
    affine: Floats,
    means: Floats,
    posteriors: Floats32,
) -> None:
    """Take away what seems grey matter beside the ventricles and is none, in place.

    Mixed voxels become fluid and white matter in proportions that are as bright as they are, pale
    voxels white matter.

    Parameters
    ----------
    average : Atlas
        Maps of CSF, grey and white matter of the ICBM 2009a average, laid on the image.
    index : sequence of arrays
        Where the image's voxels lie.
    affine : array
        Voxels of the image to mm.
    means : array, shape (3,)
        Brightness of CSF, grey and white matter.
    posteriors : float32 array, shape (n, 6)
        Fractions of CSF, grey and white matter, and the chances of each.
    """
    near, pale = beside_ventricles(average, index, affine)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    mixed = between_fluid_and_white(near, index, spacing, posteriors[:, :3])
    share = np.clip((means[GM] - means[CSF]) / (means[WM] - means[CSF]), 0, 1)
    for where, white in ((mixed, share), (pale & ~mixed, 1.0)):
        for first in (0, 3):
            grey = posteriors[where, first + GM]
            posteriors[where, first + WM] += white * grey
            posteriors[where, first + CSF] += (1 - white) * grey
            posteriors[where, first + GM] = 0


def between_fluid_and_white(
    near: Flags,
    index: Sequence[NDArray[np.integer]],
    spacing_mm: Floats,
    fractions: Floats32,
) -> Flags:
    """Return in which voxels fluid and white matter meet without grey matter between, ``(n,)``.

    Parameters
    ----------
    near : array, shape (n,)
        Voxels that are asked for.
    index : sequence of arrays
        Where the voxels lie.
    spacing_mm : array, shape (3,)
        Distance of neighbouring voxels.
    fractions : float32 array, shape (n, 3)
        Of CSF, grey and white matter.
    """
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - slow to load

    meet = np.zeros(len(near), bool)
    if not near.any():
        return meet
    width = ABOUT_MM / spacing_mm
    boxed = np.ones(len(near), bool)
    corner, shape = [], []
    for axis, margin in zip(index, np.ceil(3 * width).astype(int), strict=True):
        low, high = axis[near].min() - margin, axis[near].max() + margin
        boxed &= (axis >= low) & (axis <= high)
        corner.append(low)
        shape.append(high - low + 1)
    inner = tuple(axis[boxed] - low for axis, low in zip(index, corner, strict=True))
    about = []
    for tissue in (CSF, GM, WM):
        drawn = np.zeros(shape, np.float32)
        drawn[inner] = fractions[boxed, tissue]
        about.append(gaussian_filter(drawn, width, mode="constant", truncate=3.0)[inner])
    fluid, grey, white = about
    meet[boxed] = (grey < THIN) & (fluid > BOTH) & (white > BOTH)
    return meet & near


def beside_ventricles(
    average: Atlas, index: Sequence[NDArray[np.integer]], affine: Floats
) -> tuple[Flags, Flags]:
    """Return which voxels lie at the ventricles, and which beside them where no grey matter is.

    None where the maps have no ventricle in its place. Both have shape ``(n,)``.

    Parameters are those of `without_false_grey`.
    """
    from scipy.ndimage import distance_transform_edt, label  # noqa: PLC0415 - slow to load

    spacing = np.linalg.norm(average.affine[:3, :3], axis=0)
    fluid, _ = label(average.maps[..., 0] > 0.5)
    at = np.linalg.solve(average.affine, (*VENTRICLE_MM, 1))[:3].round().astype(int)
    if (at < 0).any() or (at >= fluid.shape).any() or not fluid[tuple(at)]:
        none = np.zeros(len(index[0]), bool)
        return none, none
    ventricles = fluid == fluid[tuple(at)]
    away = distance_transform_edt(~ventricles, spacing)
    clear = distance_transform_edt(average.maps[..., 1] <= SOME, spacing)
    # distances, as flags between whose voxels the edge lies would be rough; 0 beyond the maps
    both = np.stack([np.maximum(2 * BESIDE_MM - away, 0), clear], axis=-1).astype(np.float32)
    reach, off_grey = replace(average, maps=both).at(index, affine).T
    near = reach > BESIDE_MM
    return near, near & (reach < 2 * BESIDE_MM - INSIDE_MM) & (off_grey > CLEAR_MM)
