"""Priors on the gradient of an image: total variation, and parallel level sets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emrecon.errors import GeometryError, SettingsError
from emrecon.tomo.kernels import level_sets as kernels
from emrecon.volume import Array

_NO_FACTORS = np.empty((0, 0, 0), np.float32)
_NO_GUIDE = np.empty((0, 0, 0, 0), np.float32)


@dataclass(frozen=True, eq=False)
class ParallelLevelSets:
    r"""A `Prior` that spares edges where another image has them.

    A voxel adds :math:`\kappa\sqrt{\alpha^2 + |g|^2 - (g \cdot \xi)^2}`, with `g` the gradient by
    forward differences and :math:`\xi` the `guide`; without one it is smoothed total variation
    (Rudin, Osher, Fatemi, Physica D 60, 259 (1992)). After Ehrhardt et al. [1]_, with
    :math:`\kappa` inside the derivative.

    References
    ----------
    .. [1] M. J. Ehrhardt et al., "PET reconstruction with an anatomical MRI prior using parallel
       level sets", IEEE Trans. Med. Imaging 35, 2189 (2016), eq. 9.
    """

    beta: float
    """Strength, 0 or more."""

    smooth: float
    r"""The :math:`\alpha` that rounds the root off at 0, above 0, in units of the image."""

    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """What differences along each axis are multiplied by; see `scale_of`."""

    kappa: Array | None = None
    """Factor of each voxel; None for 1."""

    guide: Array | None = None
    """Direction in which edges are spared, shape ``(3, i, j, k)``, of lengths below 1; see
    `guide_of`. None for total variation."""

    def __post_init__(self) -> None:
        if not 0 < self.smooth < 1e30:
            raise SettingsError(f"what rounds off a gradient's size is above 0, not {self.smooth}")

    def value(self, image: Array) -> float:
        """Return the penalty."""
        return self.beta * self._run(kernels.VALUE, image, image)[1]

    def gradient(self, image: Array) -> Array:
        """Return its derivative in each voxel."""
        return self._of(kernels.GRADIENT, image, image)

    def curvature(self, image: Array, along: Array) -> Array:
        """Return the Hessian at `image` times `along`."""
        return self._of(kernels.CURVATURE, image, along)

    def diagonal(self, image: Array) -> Array:
        """Return the diagonal of the Hessian."""
        return self._of(kernels.DIAGONAL, image, image)

    def majorant(self, image: Array) -> Array:
        """Return curvatures of a separable parabola that the penalty never exceeds.

        The root is below its tangent in the square, and the square of a difference of two changes
        below twice the sum of their squares.
        """
        return self._of(kernels.MAJORANT, image, image)

    def _of(self, what: int, image: Array, along: Array) -> Array:
        """Return what a kernel fills, times the strength."""
        return np.float32(self.beta) * self._run(what, image, along)[0]

    def _run(self, what: int, image: Array, along: Array) -> tuple[Array, float]:
        """Return what a kernel fills, and the sum over all voxels."""
        image, along = (np.ascontiguousarray(one, np.float32) for one in (image, along))
        for name, one in (("kappa", self.kappa), ("guide", self.guide), ("along", along)):
            if one is not None and one.shape[-3:] != image.shape:
                raise GeometryError(f"{name} of {one.shape} for an image of {image.shape}")
        kappa = _NO_FACTORS if self.kappa is None else np.ascontiguousarray(self.kappa)
        guide = _NO_GUIDE if self.guide is None else self.guide
        out = np.empty_like(image)
        scale = np.asarray(self.scale, np.float32)
        whole = kernels.level_sets(
            what, image, along, scale, np.float32(self.smooth), kappa, guide, out
        )
        return out, whole


def scale_of(spacing_mm: tuple[float, float, float]) -> tuple[float, float, float]:
    """Return what makes differences of neighbours a gradient, in a voxel's length along x."""
    x, y, z = spacing_mm
    return 1.0, x / y, x / z


def guide_of(
    anatomy: Array, eta: float, scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> Array:
    r"""Return :math:`\xi = \nabla v / \sqrt{|\nabla v|^2 + \eta^2}` of an anatomical image `v`.

    Parameters
    ----------
    anatomy : array
        Anatomical image on the grid of the image.
    eta : float
        Size of gradients of `anatomy` below which they are noise, above 0.
    scale : tuple of float, optional
        What differences along each axis are multiplied by.
    """
    if not eta > 0:
        raise SettingsError(f"the noise of anatomical gradients is above 0, not {eta}")
    guide = np.zeros((3, *anatomy.shape), np.float32)
    for axis, factor in enumerate(scale):
        inside = tuple(slice(-1) if other == axis else slice(None) for other in range(3))
        guide[axis][inside] = factor * np.diff(anatomy, axis=axis)
    size = np.sqrt(np.sum(guide.astype(np.float64) ** 2, axis=0) + eta**2)
    guide /= size
    return guide
