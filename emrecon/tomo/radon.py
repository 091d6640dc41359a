"""Sinograms of scikit-image's ``radon``, with its axes put in their place."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emrecon.errors import GeometryError
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.scan import Scan
from emrecon.tomo.settings import Settings
from emrecon.volume import Volume


class RadonSlice(NamedTuple):
    """A slice of parallel beams, and the pixels that ``radon`` made it of.

    Examples
    --------
    >>> part = from_radon(np.ones((17, 20)))
    >>> part.scan.prompts.shape, part.settings.size
    ((20, 17, 1), (17, 17, 1))
    """

    scan: Scan
    """Counts, or line integrals, in the bins of parallel beams."""

    settings: Settings
    """MLEM on the pixels of the image that was projected; `dataclasses.replace` changes it."""

    def image(self, volume: Volume) -> NDArray[np.float32]:
        """Return a reconstruction as scikit-image holds it: ``[row, column]``, rows downwards."""
        return np.ascontiguousarray(volume.voxels[:, ::-1, 0].T)


def from_radon(
    sinogram: ArrayLike,
    theta_deg: ArrayLike | None = None,
    *,
    circle: bool = True,
    size: int | None = None,
    pixel_mm: float = 1.0,
) -> RadonSlice:
    """Take over a sinogram that ``skimage.transform.radon`` made, or that is laid out alike.

    It turns the image about pixel ``size // 2`` of rows and columns and adds up columns. So an
    angle is the same here, the axis passes through that pixel's centre, which for an even size is
    half a pixel beside the middle, and rows count downwards where the patient's y goes up.

    Parameters
    ----------
    sinogram : array
        One column an angle, shape ``(bins, angles)``, 0 or more.
    theta_deg : array, optional
        Angles in degrees; by default as many as there are columns, evenly over 180.
    circle : bool, optional
        As it was for ``radon``: False where the sinogram is as wide as the image's diagonal.
    size : int, optional
        Pixels along a side of the image; by default what ``iradon`` would give.
    pixel_mm : float, optional
        Size of a pixel. Values are taken for integrals in pixels and come out as integrals in mm,
        so that the image is that which was projected.

    Raises
    ------
    GeometryError
        If the shape of the sinogram and the angles do not agree.

    Examples
    --------
    >>> import numpy as np
    >>> from skimage.transform import radon
    >>> import emrecon as em
    >>> square = np.zeros((32, 32), np.float32)
    >>> square[6:12, 20:24] = 1
    >>> scan, settings = found = em.from_radon(radon(square))
    >>> image = found.image(em.recon(scan, settings))
    >>> bool(np.corrcoef(image.ravel(), square.ravel())[0, 1] > 0.9)
    True
    """
    data = np.asarray(sinogram, np.float32)
    count = data.shape[-1] if data.ndim else 0
    angles = np.arange(count) * 180 / max(count, 1) if theta_deg is None else theta_deg
    theta = np.asarray(angles, np.float64)
    if data.ndim != 2 or theta.shape != data.shape[1:]:
        raise GeometryError(
            f"a sinogram of radon has the shape (bins, angles), not {data.shape}, and as many "
            f"angles as columns, not {theta.size}"
        )
    bins = data.shape[0]
    size = size or (bins if circle else math.floor(bins / math.sqrt(2)))
    s_mm = (np.arange(bins) - bins // 2) * pixel_mm
    layout = Bins.parallel(np.deg2rad(theta), s_mm, slice_mm=pixel_mm)
    beside = ((size - 1) / 2 - size // 2) * pixel_mm
    settings = Settings(
        iterations=20,
        subsets=1,
        voxel_mm=(pixel_mm, pixel_mm, pixel_mm),
        size=(size, size, 1),
        centre_mm=(beside, -beside, 0.0),
    )
    counts = np.ascontiguousarray(data.T[:, :, None]) * np.float32(pixel_mm)
    return RadonSlice(Scan(layout, counts), settings)
