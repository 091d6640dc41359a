"""The grid of the image that a scan is reconstructed on; nothing heavy is imported."""

from __future__ import annotations

from typing import Protocol

from emrecon.tomo.settings import Settings, per_axis
from emrecon.volume import Grid


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
    """Return the image grid by the settings, else the default of the bins."""
    voxel = per_axis(settings.voxel_mm) if settings.voxel_mm else None
    shape = None
    if settings.size:
        i, j, k = settings.size
        shape = (i, j, k)
    centre = per_axis(settings.centre_mm) if settings.centre_mm else None
    return bins.grid(voxel, shape, centre)
