"""Computed tomography of a brain whose tissue fractions are known, in Hounsfield units."""

from __future__ import annotations

import numpy as np

from emrecon.errors import SettingsError
from emrecon.volume import Volume
from phantoms.mri import Brain

HOUNSFIELD = {"CSF": 8.0, "GM": 38.0, "WM": 27.0}
"""Of fluid, grey and white matter at 120 kV: 5 to 15, 37 to 41 and 20 to 30 in textbooks."""

AIR_HU = -1000.0


def acquire_ct(
    brain: Brain, noise_hu: float, rng: np.random.Generator, kernel_voxels: float = 0.5
) -> Volume:
    """Return a CT of a brain, stripped: outside the mask is air.

    Parameters
    ----------
    brain : Brain
        Tissue fractions.
    noise_hu : float
        Standard deviation of the noise, HU: 3 to 5 in slices of 5 mm, 8 and more in thin ones.
    rng : numpy.random.Generator
        Of the noise.
    kernel_voxels : float, optional
        Standard deviation of the kernel that correlates it, as reconstruction does.

    Raises
    ------
    SettingsError
        If noise or kernel is below 0 or not finite.
    """
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - heavy, seldom needed

    if not all(0 <= one < np.inf for one in (noise_hu, kernel_voxels)):
        raise SettingsError(f"noise and kernel are not negative, unlike {noise_hu:g}")
    drawn = gaussian_filter(rng.standard_normal(brain.mask.shape), kernel_voxels)
    tissue = brain.fractions.astype(np.float64) @ np.array(list(HOUNSFIELD.values()))
    image = np.where(brain.mask, tissue + noise_hu * drawn / drawn.std(), AIR_HU)
    return Volume(image.astype(np.float32), brain.affine)
