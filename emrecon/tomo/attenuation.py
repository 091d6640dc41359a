"""Attenuation factors from an attenuation map."""

from __future__ import annotations

import logging

import numpy as np

from emrecon.errors import GeometryError, SettingsError
from emrecon.tomo.bins import Bins
from emrecon.tomo.operator import Array
from emrecon.tomo.ray import Projector
from emrecon.volume import Grid, Volume

log = logging.getLogger(__name__)

PER_MM = {"1/mm": 1.0, "1/cm": 0.1}
"""Factor that turns a unit of linear attenuation into 1/mm."""

PLAUSIBLE = (0.004, 0.06)
"""Least and greatest peak of a mu-map, 1/mm: water at 511 keV is 0.0096, metal implants less
than 0.06."""


def in_per_mm(mu: Volume, unit: str) -> Volume:
    """Return a mu-map in 1/mm, refusing values that cannot be in the unit given.

    Parameters
    ----------
    mu : Volume
        Linear attenuation coefficients at 511 keV.
    unit : str
        ``1/mm`` or ``1/cm``.

    Raises
    ------
    SettingsError
        If the unit is unknown, or the map's peak makes no sense in it.
    """
    if unit not in PER_MM:
        raise SettingsError(f"a mu-map is in 1/mm or 1/cm, not {unit!r}")
    peak = float(np.max(mu.voxels)) * PER_MM[unit]
    if not np.isfinite(peak) or float(np.min(mu.voxels)) < 0:
        raise SettingsError("the mu-map holds negative, infinite or NaN values")
    if not PLAUSIBLE[0] <= peak <= PLAUSIBLE[1]:
        other = next(name for name in PER_MM if name != unit)
        raise SettingsError(
            f"the mu-map peaks at {peak:.3g} per mm when read in {unit}, where tissue at 511 keV "
            f"is about 0.0096 per mm: is it in {other}?"
        )
    return Volume(mu.voxels * np.float32(PER_MM[unit]), mu.affine, "1/mm")


def factors(mu: Volume, bins: Bins) -> Array:
    """Return the survival probability of every line, ``exp(-integral of mu)``.

    Parameters
    ----------
    mu : Volume
        Attenuation map in 1/mm, anywhere in the scanner's world; beyond it there is air.
    bins : Bins
        The lines.

    Raises
    ------
    GeometryError
        If the map does not overlap the field of view.
    """
    aligned = _aligned(mu.ras(), bins)
    grid = aligned.grid()
    _overlap(grid, bins)
    data = Projector(grid, bins).forward(aligned.voxels)
    np.negative(data, out=data)
    return np.exp(data, out=data)


def _aligned(mu: Volume, bins: Bins) -> Volume:
    """Return a map whose axes run along the scanner's, resampled only where they do not."""
    if mu.aligned:
        return mu
    from scipy.ndimage import affine_transform  # noqa: PLC0415 - heavy, seldom needed

    grid = bins.grid()
    log.info("the mu-map is oblique: resampled linearly to %s voxels", grid.shape)
    to_mu = np.linalg.inv(mu.affine) @ grid.affine
    voxels = affine_transform(
        mu.voxels,
        to_mu[:3, :3],
        to_mu[:3, 3],
        output_shape=grid.shape,
        order=1,
        mode="grid-constant",
    )
    return Volume(voxels.astype(np.float32), grid.affine, mu.unit)


def _overlap(grid: Grid, bins: Bins) -> None:
    """Refuse a map beside the field of view, and say where one covers it in part."""
    z = bins.plane_z_mm
    wanted = [(-bins.fov_mm, bins.fov_mm)] * 2 + [(float(z.min()), float(z.max()))]
    for axis, (low, high) in enumerate(wanted):
        centres, half = grid.centres_mm(axis), grid.spacing_mm[axis] / 2
        first, last = float(centres[0]) - half, float(centres[-1]) + half
        if last <= low or first >= high:
            raise GeometryError(
                f"the mu-map lies from {first:.1f} to {last:.1f} mm along {'xyz'[axis]}, the "
                f"scanner's field of view from {low:.1f} to {high:.1f} mm: they do not overlap; "
                "check the map's affine"
            )
        if axis == 2 and (first > low + half or last < high - half):
            log.warning(
                "the mu-map covers %.1f to %.1f mm of the axial field of view %.1f to %.1f mm; "
                "there is taken to be air beyond it",
                first, last, low, high,
            )  # fmt: skip
