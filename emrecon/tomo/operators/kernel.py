"""The kernel of kernel EM: an image as sums over voxels that look alike in other images."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emrecon.brief import brief
from emrecon.errors import GeometryError
from emrecon.gaussian import FWHM_PER_SIGMA
from emrecon.tomo.kernel_settings import KernelSettings
from emrecon.tomo.kernels import similarity
from emrecon.volume import Array


class Sparse(NamedTuple):
    """A sparse matrix by rows."""

    starts: NDArray[np.int64]
    """Where each row begins in what follows, and where the last one ends."""

    columns: NDArray[np.int32]
    """Column of each entry."""

    weights: Array
    """Each entry."""


@dataclass(frozen=True, eq=False)
class Kernel:
    r"""The operator :math:`x = K a` from coefficients to an image, both on one grid.

    Chained before a projector, or under a likelihood by `emrecon.tomo.likelihood.Through`, it
    makes MLEM and OSEM kernel EM [1]_, with anatomical images [2]_ or others as features.

    References
    ----------
    .. [1] G. Wang, J. Qi, "PET image reconstruction using kernel method", IEEE Trans. Med.
       Imaging 34, 61 (2015).
    .. [2] W. Hutchcroft et al., "Anatomically-aided PET reconstruction using the kernel method",
       Phys. Med. Biol. 61, 6668 (2016).
    """

    shape: tuple[int, ...]
    """Of the image."""

    rows: Sparse
    """The matrix."""

    columns: Sparse
    """What coefficients are projected back with: the transposed matrix."""

    __repr__ = brief

    @property
    def domain(self) -> tuple[int, ...]:
        """Shape of the coefficients."""
        return self.shape

    @property
    def range(self) -> tuple[int, ...]:
        """Shape of the image."""
        return self.shape

    def forward(self, image: Array) -> Array:
        """Return the image that coefficients make."""
        return _times(self.rows, image)

    def adjoint(self, data: Array) -> Array:
        """Return the transposed matrix times an image."""
        return _times(self.columns, data)


def kernel_of(
    features: Array,
    spacing_mm: tuple[float, float, float],
    settings: KernelSettings | None = None,
    pet: Array | None = None,
) -> Kernel:
    """Return the kernel of images of the same body.

    A voxel's row holds the neighbours most alike in all images: Gaussians of the differences, each
    in standard deviations of its image where any shows something, times a Gaussian of the distance
    in a spatially compact kernel [1]_. Where no image shows anything a voxel is its own.

    Parameters
    ----------
    features : array
        Images on the grid of the reconstruction, ``(n, i, j, k)``.
    spacing_mm : tuple of float
        Voxel size.
    settings : KernelSettings, optional
        Neighbours and widths.
    pet : array, optional
        One more image, of `kernel_pet_width`: in a hybrid kernel, what is known of the activity.

    References
    ----------
    .. [1] J. Bland et al., "MR-guided kernel EM reconstruction for reduced dose PET imaging",
       IEEE Trans. Radiat. Plasma Med. Sci. 2, 235 (2018).
    """
    of = settings or KernelSettings()
    if features.ndim != 4 or not np.isfinite(features).all():
        raise GeometryError(
            f"images of a kernel are finite numbers of shape (n, i, j, k), not {features.shape}"
        )
    shown = np.any(features != 0, axis=0)
    own = np.ones_like(shown) if of.kernel_as_stir else shown
    scaled = [_scaled(one, own, of.kernel_width, of) for one in features]
    if pet is not None and of.kernel_pet_width:
        scaled.append(_scaled(pet, own, of.kernel_pet_width, of))
    steps, shells, distance_mm = _window(of.kernel_window, spacing_mm)
    near = np.ones_like(distance_mm)
    if of.kernel_fwhm_mm:
        near = np.exp(-((distance_mm / (of.kernel_fwhm_mm / FWHM_PER_SIGMA)) ** 2) / 2)
    chosen = np.stack(scaled).astype(np.float32), own, steps, shells, near, of.kernel_neighbours
    rows = Sparse(*similarity.alike(*chosen))
    return Kernel(shown.shape, rows, rows if of.kernel_as_stir else _transposed(rows))


def _scaled(image: Array, own: NDArray[np.bool_], width: float, of: KernelSettings) -> Array:
    """Return an image such that the square of a difference is what a Gaussian falls by."""
    values = image[own].astype(np.float64)
    spread = float(values.std(ddof=1 if of.kernel_as_stir else 0)) if values.size > 1 else 0.0
    return np.asarray(image / (np.sqrt(2) * width * (spread or 1.0)), np.float32)


def _window(
    voxels: int, spacing_mm: tuple[float, float, float]
) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.float64]]:
    """Return the steps to all voxels of a window, nearest first, with shells of one distance."""
    reach = range(-(voxels // 2), voxels // 2 + 1)
    steps = np.array(list(product(reach, repeat=3)), np.intp)
    distance_mm = np.linalg.norm(steps * np.asarray(spacing_mm), axis=1)
    order = np.argsort(distance_mm, kind="stable")
    steps, distance_mm = steps[order], distance_mm[order]
    shells = np.cumsum(np.diff(distance_mm, prepend=0.0) > 1e-3 * min(spacing_mm))
    return steps, shells, distance_mm


def _times(matrix: Sparse, image: Array) -> Array:
    """Return a matrix times an image."""
    out = np.empty(image.shape, np.float32)
    similarity.product(matrix, np.ascontiguousarray(image, np.float32).ravel(), out.reshape(-1))
    return out


def _transposed(matrix: Sparse) -> Sparse:
    """Return the transposed matrix, its rows in order."""
    from scipy.sparse import csr_array  # noqa: PLC0415 - heavy, and only kernels need it

    size = matrix.starts.size - 1
    by_rows = csr_array((matrix.weights, matrix.columns, matrix.starts), (size, size))
    turned = by_rows.T.tocsr()
    starts, columns = turned.indptr.astype(np.int64), turned.indices.astype(np.int32)
    return Sparse(starts, columns, turned.data)
