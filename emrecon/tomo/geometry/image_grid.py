"""The grid of the image that a scan is reconstructed on; nothing heavy is imported."""

from __future__ import annotations

import logging
from math import prod
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import SettingsError
from emrecon.memory import check_fits
from emrecon.tomo.settings import Settings, per_axis
from emrecon.volume import Grid

log = logging.getLogger(__name__)

IMAGES = 3
"""How many images a reconstruction holds at least: iterate, sensitivity, and what updates it."""


COARSE = 10
"""Size of voxels over the usual one, above which they are told."""


class Gridded(Protocol):
    """Anything that an image belongs to."""

    @property
    def fov_mm(self) -> float:
        """Distance from the axis of the farthest line."""
        ...

    @property
    def plane_z_mm(self) -> NDArray[np.float64]:
        """Where the planes lie along the axis."""
        ...

    def grid(
        self,
        voxel_mm: tuple[float, float, float] | None = None,
        shape: tuple[int, int, int] | None = None,
        centre_mm: tuple[float, float, float] | None = None,
    ) -> Grid:
        """Return an image grid that covers the field of view."""
        ...


def grid_of(bins: Gridded, settings: Settings) -> Grid:
    """Return the image grid by the settings, else the default of the bins.

    Raises
    ------
    SettingsError
        If memory does not hold the image, or its voxels are too large to show anything.
    """
    voxel = per_axis(settings.voxel_mm) if settings.voxel_mm else None
    if voxel:
        _check_size(voxel, bins)
    shape = None
    if settings.size:
        i, j, k = settings.size
        shape = (i, j, k)
    centre = per_axis(settings.centre_mm) if settings.centre_mm else None
    grid = bins.grid(voxel, shape, centre)
    voxels = prod(grid.shape)
    check_fits(
        voxels * IMAGES * 4 / (1 << 20),
        f"an image of {voxels:,} voxels",
        "choose larger voxels (--voxel-mm) or fewer (--size)",
    )
    return grid


def _check_size(voxel_mm: tuple[float, float, float], bins: Gridded) -> None:
    """Refuse voxels in which nothing is told apart, and tell very coarse ones."""
    length = float(np.ptp(bins.plane_z_mm))
    words = "voxels of {:g} x {:g} x {:g} mm ".format(*voxel_mm)
    if max(voxel_mm[:2]) > bins.fov_mm / 2 or (length and voxel_mm[2] > length):
        raise SettingsError(
            f"{words}show nothing of a field of view of {2 * bins.fov_mm:.0f} mm, {length:.0f} mm "
            "long: choose smaller ones (--voxel-mm)"
        )
    usual = bins.grid().spacing_mm
    if any(size > COARSE * own for size, own in zip(voxel_mm, usual, strict=True)):
        log.warning(
            "%sare over %d times the usual ones of %.3g x %.3g x %.3g mm", words, COARSE, *usual
        )
