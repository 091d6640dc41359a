"""Which neighbours look alike in other images of the same body."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import GeometryError, SettingsError
from emrecon.neighbours import neighbourhood
from emrecon.tomo.kernels.pair_sums import most_similar
from emrecon.volume import Array


def bowsher(features: Array, count: int = 9) -> NDArray[np.uint32]:
    """Return which of its 26 neighbours each voxel chose: those most like it.

    Where several are as similar as the last of `count` all are chosen, so that no direction goes
    before another in what is flat. After Bowsher et al. [1]_.

    Parameters
    ----------
    features : array
        Anatomical images or fractions of tissues on the grid of the image, ``(n, i, j, k)``, or
        one image; compared by the sum of squared differences, of several each in its standard
        deviations where any shows something, so that units do not matter.
    count : int, optional
        How many neighbours a voxel chooses, 1 to 26.

    References
    ----------
    .. [1] J. E. Bowsher et al., "Utilizing MRI information to estimate F18-FDG distributions in
       rat flank tumors", IEEE Nucl. Sci. Symp. Conf. Rec. 4, 2488 (2004).
    """
    if not 1 <= count <= 26:
        raise SettingsError(f"a voxel chooses 1 to 26 similar neighbours, not {count}")
    several = features[None] if features.ndim == 3 else features
    if several.ndim != 4 or not np.isfinite(several).all():
        raise GeometryError(
            "anatomical images are finite numbers of shape (i, j, k) or (n, i, j, k), not "
            f"{features.shape}"
        )
    steps = neighbourhood(26, (1.0, 1.0, 1.0)).steps
    if len(several) > 1:
        shown = np.any(several != 0, axis=0)
        spreads = [float(one[shown].std(dtype=float)) if shown.any() else 0.0 for one in several]
        several = several / np.array([spread or 1.0 for spread in spreads])[:, None, None, None]
    bits = np.empty(several.shape[1:], np.uint32)
    most_similar(np.ascontiguousarray(several, np.float32), steps, count, bits)
    return bits
