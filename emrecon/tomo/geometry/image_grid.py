"""The grid of the image that a scan is reconstructed on; nothing heavy is imported."""

from __future__ import annotations

from math import prod
from typing import Protocol

from emrecon.memory import check_fits
from emrecon.tomo.settings import Settings, per_axis
from emrecon.volume import Grid

IMAGES = 3
"""How many images a reconstruction holds at least: iterate, sensitivity, and what updates it."""


class Gridded(Protocol):
    """Anything that an image belongs to."""

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
        If memory does not hold the image.
    """
    voxel = per_axis(settings.voxel_mm) if settings.voxel_mm else None
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
