"""The projector of each geometry, as the settings want it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from typing import Any

from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.geometry.collimator import Response
from emrecon.tomo.geometry.pairs import Pairs
from emrecon.tomo.operators.algebra import Operator
from emrecon.tomo.operators.blur import Blur
from emrecon.tomo.operators.camera import CameraProjector
from emrecon.tomo.operators.joseph import JosephProjector
from emrecon.tomo.operators.siddon import Siddon, field_of_view_mm
from emrecon.tomo.settings import Settings, per_axis
from emrecon.volume import Grid, Volume


@dataclass(frozen=True, eq=False)
class Medium:
    """What a gamma camera's photons pass before they are counted, by depth."""

    response: Response | None = None
    """Resolution by distance; None for a perfect collimator."""

    mu: Volume | None = None
    """Attenuation map in 1/mm; None for no attenuation."""


@singledispatch
def projector(
    layout: Any,  # noqa: ANN401 - what is registered below, or elsewhere
    grid: Grid,
    settings: Settings,
    fov_mm: float = 0.0,
    medium: Medium | None = None,
    *,
    summed: bool = False,
) -> Operator:
    """Return the projector between an image and counts, before any resolution model in the image.

    Parameters
    ----------
    layout : Bins or Camera
        Where the counts lie; other geometries by ``projector.register``.
    grid : Grid
        Where the image lies.
    settings : Settings
        Which projector.
    fov_mm : float, optional
        Only the image within this distance of the axis counts; 0 for what every view sees.
    medium : Medium, optional
        What is modelled by depth; for gamma cameras.
    summed : bool, optional
        Whether all time-of-flight bins are taken together.

    Examples
    --------
    >>> import numpy as np
    >>> import emrecon as em
    >>> from emrecon.tomo.geometry.bins import Bins
    >>> bins = Bins.parallel(np.arange(12) * np.pi / 12, np.arange(-8.0, 9.0))
    >>> A = em.projector(bins, bins.grid(), em.Settings())
    >>> disc = np.ones(A.domain, np.float32)
    >>> A.forward(disc).shape
    (12, 17, 1)
    """
    raise TypeError(f"no projector is registered for {type(layout).__name__}")


@projector.register(Bins)
def _of_bins(
    layout: Bins,
    grid: Grid,
    settings: Settings,
    fov_mm: float = 0.0,
    medium: Medium | None = None,
    *,
    summed: bool = False,
) -> Operator:
    if settings.projector == "siddon":
        return Siddon(grid, layout, rays=settings.rays)
    return JosephProjector(grid, layout, fov_mm, settings.ring_wide, summed)


@projector.register(Camera)
def _of_camera(
    layout: Camera,
    grid: Grid,
    settings: Settings,
    fov_mm: float = 0.0,
    medium: Medium | None = None,
    *,
    summed: bool = False,
) -> Operator:
    medium = medium or Medium()
    return CameraProjector(grid, layout, medium.response, medium.mu, fov_mm)


def resolution(grid: Grid, settings: Settings) -> Blur | None:
    """Return the resolution model in the image; None where none is wanted."""
    fwhm = per_axis(settings.psf_fwhm_mm)
    return Blur(grid, fwhm) if any(fwhm) else None


def seen_mm(layout: Bins | Camera | Pairs, grid: Grid, settings: Settings) -> float:
    """Return the distance from the axis within which the projector sees the image."""
    if isinstance(layout, Bins) and settings.projector == "siddon":
        return field_of_view_mm(grid, layout) * (1 + 1e-6)  # voxel centres lie on it
    return layout.fov_mm
