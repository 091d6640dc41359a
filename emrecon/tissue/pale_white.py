"""White matter as dark as grey matter beside the ventricles, which its place alone tells.

With age white matter about the lateral ventricles darkens in a T1-weighted image until it is like
cortex; and at any age voxels of fluid and white matter look like grey matter. Caudate nucleus and
thalamus lie there, too, so intensity and neighbours do not tell; an average brain does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emrecon.tissue.maps import Atlas

Floats = NDArray[np.float64]

VENTRICLE_MM = (12.0, -20.0, 20.0)
"""In the right lateral ventricle of the ICBM 2009a average, RAS+; the left one and the third hang
together with it there."""

BESIDE_MM = 10.0
"""How far from its ventricles white matter is looked for: theirs are narrow beside those of old
age, which push what lies at them some mm away. With 12 mm the cingulate gyrus is taken, too."""

SOME, CLEAR_MM = 0.25, 2.0
"""Grey matter may be where the average has this chance of it, and so near to that."""


def beside_ventricles(
    average: Atlas, index: Sequence[NDArray[np.integer]], affine: Floats
) -> NDArray[np.bool_]:
    """Return which voxels lie beside the ventricles where no grey matter is, shape ``(n,)``.

    None where the maps have no ventricle in its place.

    Parameters
    ----------
    average : Atlas
        Maps of CSF, grey and white matter of the ICBM 2009a average, laid on the image.
    index : sequence of arrays
        Where the image's voxels lie.
    affine : array
        Voxels of the image to mm.
    """
    from scipy.ndimage import distance_transform_edt, label  # noqa: PLC0415 - slow to load

    spacing = np.linalg.norm(average.affine[:3, :3], axis=0)
    fluid, _ = label(average.maps[..., 0] > 0.5)
    at = np.linalg.solve(average.affine, (*VENTRICLE_MM, 1))[:3].round().astype(int)
    if (at < 0).any() or (at >= fluid.shape).any() or not fluid[tuple(at)]:
        return np.zeros(len(index[0]), bool)
    ventricles = fluid == fluid[tuple(at)]
    away = distance_transform_edt(~ventricles, spacing)
    clear = distance_transform_edt(average.maps[..., 1] <= SOME, spacing) > CLEAR_MM
    zone = clear & (away > 0) & (away < BESIDE_MM)
    only = replace(average, maps=zone[..., None].astype(np.float32))
    return np.asarray(only.at(index, affine)[:, 0] > 0.5)
