"""Resolution as a Gaussian in image space."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from emrecon.brief import brief
from emrecon.gaussian import FWHM_PER_SIGMA
from emrecon.tomo.kernels import blur as kernel
from emrecon.volume import Array, Grid

TRUNCATE_SIGMAS = 4.0


@dataclass(frozen=True, eq=False)
class Blur:
    """Convolution with a Gaussian, normalised and symmetric, mirrored at the border.

    Mirroring keeps the total of an image and leaves a uniform one as it is, up to its last plane:
    what goes on beyond an axial field of view is taken to go on as it ends.

    The kernel is cut one voxel beyond 4 sigma and sums to 1.
    """

    grid: Grid
    """Grid of the image."""

    fwhm_mm: tuple[float, float, float]
    """Full width at half maximum along x, y, z; 0 leaves an axis alone."""

    _taps: tuple[Array, Array, Array] = field(init=False, repr=False)

    __repr__ = brief

    def __post_init__(self) -> None:
        x, y, z = (
            gaussian_taps(width / size)
            for width, size in zip(self.fwhm_mm, self.grid.spacing_mm, strict=True)
        )
        object.__setattr__(self, "_taps", (x, y, z))

    @property
    def domain(self) -> tuple[int, ...]:
        """Shape of the image."""
        return self.grid.shape

    @property
    def range(self) -> tuple[int, ...]:
        """Shape of the blurred image."""
        return self.grid.shape

    def forward(self, image: Array) -> Array:
        """Return the blurred image."""
        image = np.ascontiguousarray(image, np.float32)
        out, work = np.empty_like(image), np.empty_like(image)
        kernel.blur(image, *self._taps, out, work)
        return out

    def adjoint(self, data: Array) -> Array:
        """Return the same: a symmetric kernel is its own adjoint."""
        return self.forward(data)


def gaussian_taps(fwhm: float) -> Array:
    """Return half a normalised Gaussian kernel, middle first, of a FWHM in voxels.

    The discrete Gaussian of Lindeberg [1]_: its variance is exactly that of the Gaussian however
    narrow it is against a voxel.

    References
    ----------
    .. [1] T. Lindeberg, "Scale-space for discrete signals", IEEE Trans. Pattern Anal. Mach.
       Intell. 12, 234 (1990), eq. 26.
    """
    from scipy.special import ive  # noqa: PLC0415 - heavy, needed only with a resolution model

    variance = (fwhm / FWHM_PER_SIGMA) ** 2
    reach = int(np.ceil(TRUNCATE_SIGMAS * np.sqrt(variance))) + (variance > 0)
    taps = ive(np.arange(reach + 1), variance)
    taps /= taps[0] + 2 * taps[1:].sum()
    return np.asarray(taps, np.float32)
