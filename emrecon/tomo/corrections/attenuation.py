"""Attenuation factors from an attenuation map."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import GeometryError, SettingsError
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.events import Events
from emrecon.tomo.operators.joseph import JosephProjector
from emrecon.tomo.operators.lines import LineProjector
from emrecon.volume import Array, Grid, Volume

log = logging.getLogger(__name__)

PER_MM = {"1/mm": 1.0, "1/cm": 0.1}
"""Factor that turns a unit of linear attenuation into 1/mm."""

PLAUSIBLE = (0.002, 0.04)
"""Least and greatest median of what attenuates in a map, 1/mm: at 511 keV lung is about 0.0026,
water 0.0096, bone 0.017."""

WATER = {140.5: 0.0153, 511.0: 0.0096}
"""Attenuation of water in 1/mm, by the energy in keV of the photons of usual scans."""

ALIKE = 0.06
"""How near a map's median lies to that of water, where it is one for this energy."""


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
        If the unit is unknown, or the map's values make no sense in it.
    """
    if unit not in PER_MM:
        raise SettingsError(f"a mu-map is in 1/mm or 1/cm, not {unit!r}")
    least = float(np.min(mu.voxels))
    if not np.isfinite(least + float(np.max(mu.voxels))) or least < 0:
        raise SettingsError("the mu-map holds negative, infinite or NaN values: is it a CT in HU?")
    typical = _typical(mu) * PER_MM[unit]
    if not typical:
        log.warning("the mu-map is 0 everywhere: nothing attenuates")
    elif not PLAUSIBLE[0] <= typical <= PLAUSIBLE[1]:
        raise SettingsError(
            f"the mu-map is typically {typical:.3g} per mm when read in {unit}, where water at "
            f"511 keV has 0.0096 per mm: is it in {_likely(typical / PER_MM[unit])}?"
        )
    return Volume(mu.voxels * np.float32(PER_MM[unit]), mu.affine, "1/mm")


def say_energy(mu: Volume, energy_kev: float) -> None:
    """Warn where a map in 1/mm is mostly as dense as water is for photons of another energy.

    A map for a gamma camera doubles what PET finds, and one for PET halves what the camera does.
    """
    typical = _typical(mu)
    nearest = min(WATER, key=lambda kev: abs(np.log(kev / energy_kev)))
    for kev, water in WATER.items():
        if kev != nearest and abs(typical / water - 1) < ALIKE:
            log.warning(
                "the mu-map is typically %.3g per mm, as water is at %g keV, and the photons have "
                "%g keV: is it a map for another energy?",
                typical, kev, energy_kev,
            )  # fmt: skip


def _typical(mu: Volume) -> float:
    """Return the median of what attenuates in a map, 0 where nothing does."""
    dense = mu.voxels[mu.voxels > 0.05 * float(np.max(mu.voxels))]
    return float(np.median(dense)) if dense.size else 0.0


def _likely(typical: float) -> str:
    """Return the unit in which a value is plausible."""
    fits = [unit for unit, to in PER_MM.items() if PLAUSIBLE[0] <= typical * to <= PLAUSIBLE[1]]
    return fits[0] if fits else "another unit, such as HU"


class Field(Protocol):
    """What a scanner sees, and how large it is."""

    @property
    def fov_mm(self) -> float:
        """Distance from the axis of the farthest line."""
        ...

    @property
    def radius_mm(self) -> float:
        """Distance of the crystals from the axis."""
        ...

    @property
    def plane_z_mm(self) -> NDArray[np.float64]:
        """Where the scanner lies along the axis, from its one end to the other."""
        ...


def factors(mu: Volume, bins: Bins) -> Array:
    """Return the survival probability of every line, ``exp(-integral of mu)``.

    Everything between the detectors attenuates, inside the bins' field of view and beyond it.

    Parameters
    ----------
    mu : Volume
        Attenuation map in 1/mm, anywhere in the scanner's world; beyond it there is air.
    bins : Bins
        The lines.

    Raises
    ------
    GeometryError
        If the map has several frames, or does not overlap the field of view.
    """
    _refuse_frames(mu)
    along = aligned(mu.ras(), bins)
    grid = along.grid()
    _overlap(grid, bins)
    data = JosephProjector(grid, bins.untimed, fov_mm=bins.radius_mm).forward(along.voxels)
    if not data.any() and mu.voxels.any():
        raise GeometryError(f"no line meets the mu-map's tissue: {CHECK}")
    np.negative(data, out=data)
    return np.exp(data, out=data)


def event_factors(mu: Volume, bins: Field, parts: Iterable[Events]) -> Iterator[Array]:
    """Yield the survival probability of every event, for some stretches of events.

    Parameters
    ----------
    mu : Volume
        Attenuation map in 1/mm, as for `factors`.
    bins : Field
        Where the scanner that the events are from sees anything: its bins, or pairs.
    parts : iterable of Events
        Events, a chunk at a time.
    """
    along = aligned(mu.ras(), bins)
    _overlap(along.grid(), bins)
    lines = LineProjector(along.grid(), bins.radius_mm)
    views = lines.views(along.voxels)
    for chunk in parts:
        whole = chunk.with_(tof=None, timing=None)  # the photons cross all of the line
        yield np.exp(-lines.trace(whole).forward(views))


def check_overlap(mu: Volume, bins: Field) -> None:
    """Refuse a map, of which the voxels need not be read, for its frames or for where it lies.

    Raises
    ------
    GeometryError
        If it has several frames, or lies along the scanner's axes and beside the field of view.
    """
    _refuse_frames(mu)
    if mu.turned().aligned:
        _overlap(mu.turned().grid(), bins)


def _refuse_frames(mu: Volume) -> None:
    if mu.voxels.ndim != 3:
        raise GeometryError(f"a mu-map has one frame, not {len(mu.voxels)}: choose one")


CHECK = "the map and the scanner do not overlap; check the map's affine"


def aligned(mu: Volume, bins: Field) -> Volume:
    """Return a map whose axes run along the scanner's, resampled only where they do not."""
    if mu.aligned:
        return mu
    from scipy.ndimage import affine_transform  # noqa: PLC0415 - heavy, seldom needed

    grid = _around(mu, bins)
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


def added(maps: Sequence[Volume]) -> Volume:
    """Return the sum of attenuation maps in 1/mm: body, bed, coils.

    They are brought, linearly, onto the first one's voxels, of which there are more where others
    reach further; beyond a map there is air.
    """
    first = maps[0].ras()
    if len(maps) == 1:
        return first
    from scipy.ndimage import affine_transform  # noqa: PLC0415 - heavy, seldom needed

    to_first = np.linalg.inv(first.affine)
    ends = [_corners(mu) @ to_first[:3, :3].T + to_first[:3, 3] for mu in maps[1:]]
    shape = np.array(first.voxels.shape)
    low = np.floor(np.min([np.zeros(3), *(e.min(axis=0) for e in ends)], axis=0) + 0.5)
    high = np.ceil(np.max([shape - 1.0, *(e.max(axis=0) for e in ends)], axis=0) - 0.5)
    affine = first.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ low
    total = np.zeros((high - low).astype(np.intp) + 1, np.float32)
    inside = tuple(slice(int(-a), int(n - a)) for a, n in zip(low, shape, strict=True))
    total[inside] = first.voxels
    for mu in maps[1:]:
        to_mu = np.linalg.inv(mu.affine) @ affine
        total += affine_transform(
            mu.voxels, to_mu[:3, :3], to_mu[:3, 3], output_shape=total.shape, order=1,
            mode="grid-constant",
        )  # fmt: skip
    return Volume(total, affine, first.unit)


def _corners(mu: Volume) -> NDArray[np.float64]:
    """Return the corners of a map's box, mm."""
    ends = [(-0.5, count - 0.5) for count in mu.voxels.shape]
    corners = np.array(list(itertools.product(*ends)))
    return np.asarray(corners @ mu.affine[:3, :3].T + mu.affine[:3, 3], np.float64)


def _around(mu: Volume, bins: Field) -> Grid:
    """Return a grid along the scanner's axes that holds an oblique map, as far as the ring."""
    places = _corners(mu)
    low, high = places.min(axis=0), places.max(axis=0)
    for axis in range(2):
        inside = min(high[axis], bins.radius_mm), max(low[axis], -bins.radius_mm)
        if inside[0] > inside[1]:
            high[axis], low[axis] = inside
    size = min(mu.spacing_mm)
    i, j, k = (max(1, int(np.ceil(extent / size))) for extent in high - low)
    x, y, z = (float(v) for v in low + size / 2)
    return Grid((i, j, k), (size, size, size), (x, y, z))


def _overlap(grid: Grid, bins: Field) -> None:
    """Refuse a map beside the field of view."""
    z = bins.plane_z_mm
    wanted = [(-bins.fov_mm, bins.fov_mm)] * 2 + [(float(z.min()), float(z.max()))]
    for axis, (low, high) in enumerate(wanted):
        centres, half = grid.centres_mm(axis), grid.spacing_mm[axis] / 2
        first, last = float(centres[0]) - half, float(centres[-1]) + half
        if last <= low or first >= high:
            raise GeometryError(
                f"the mu-map lies from {first:.1f} to {last:.1f} mm along {'xyz'[axis]}, the "
                f"scanner's field of view from {low:.1f} to {high:.1f} mm: {CHECK}"
            )
