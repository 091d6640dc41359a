"""What a phantom is: a list of bodies with names, and the volumes they make."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emrecon.errors import GeometryError
from emrecon.volume import Grid, Volume
from phantoms.shapes import Body

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]

STEPS = 200
"""Steps in which the radius of a cut body is looked for."""

LENGTH = re.compile(r"(\d+(?:\.\d+)?) mm\b")
"""A length in the name of a label."""

WATER_PER_MM = 0.0096
"""Attenuation of water at 511 keV, 1/mm.

This and the next three are mass attenuation coefficients at 511 keV (J. H. Hubbell and S. M.
Seltzer, NISTIR 5632, tables of 500 and 600 keV interpolated log-log) times the density of the
tissue in ICRU report 44: water 0.0960 cm2/g x 1.00 g/cm3.
"""

BRAIN_PER_MM = 0.0099
"""Attenuation of grey and white matter, 1/mm: 0.0955 cm2/g x 1.04 g/cm3."""

BONE_PER_MM = 0.0172
"""Attenuation of cortical bone, 1/mm: 0.0894 cm2/g x 1.92 g/cm3."""

LUNG_PER_MM = 0.0026
"""Attenuation of lung, 1/mm: 0.0952 cm2/g x 0.27 g/cm3, between tissue with air and deflated."""


@dataclass(frozen=True)
class Phantom:
    """Bodies whose activity and attenuation add, with names for their labels.

    Examples
    --------
    >>> from phantoms.nema import nema
    >>> nema().name
    'nema'
    """

    name: str
    """Name, as asked for on the command line."""

    bodies: tuple[Body, ...]
    """Bodies; a label of a later one covers that of an earlier one."""

    labels: Mapping[int, str]
    """What each label stands for."""

    unit: str = "kBq/mL"
    """Unit of the activity."""

    def __post_init__(self) -> None:
        nameless = {body.label for body in self.bodies} - {0, *self.labels}
        if not self.bodies or nameless:
            raise GeometryError(f"phantom {self.name}: labels without a name: {nameless or 'all'}")

    @property
    def activities(self) -> list[float]:
        """What each body adds to the activity."""
        return [body.activity for body in self.bodies]

    @property
    def mus_per_mm(self) -> list[float]:
        """What each body adds to the attenuation coefficient, 1/mm."""
        return [body.mu_per_mm for body in self.bodies]

    @property
    def bounds_mm(self) -> Floats:
        """Least and greatest x, y, z of all bodies, shape ``(2, 3)``."""
        boxes = np.stack([body.bounds_mm for body in self.bodies])
        return np.stack([boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)])

    @cached_property
    def radius_mm(self) -> float:
        """Distance from the axis that no body passes, to a step below 1 % where one is cut."""
        return max(_radius_mm(body) for body in self.bodies)

    def activity(self, grid: Grid, samples: int = 8) -> Volume:
        """Return the mean activity of every voxel; see `phantoms.voxels.voxelise`."""
        from phantoms.voxels import voxelise  # noqa: PLC0415 - numba

        return voxelise(self.bodies, grid, self.activities, unit=self.unit, samples=samples)

    def mu(self, grid: Grid, samples: int = 8) -> Volume:
        """Return the mean attenuation coefficient of every voxel, 1/mm."""
        from phantoms.voxels import voxelise  # noqa: PLC0415 - numba

        return voxelise(self.bodies, grid, self.mus_per_mm, unit="1/mm", samples=samples)

    def mu_of_all(self, grid: Grid) -> Volume:
        """Return `mu` on a grid, which goes on across the axis until no tissue is in its faces."""
        low, high = self.bounds_mm
        shape, origin = list(grid.shape), list(grid.origin_mm)
        for axis in (0, 1):
            size, places = grid.spacing_mm[axis], grid.centres_mm(axis)
            before = max(0, int(np.ceil((places[0] + size / 2 - low[axis]) / size)))
            after = max(0, int(np.ceil((high[axis] - places[-1] + size / 2) / size)))
            shape[axis] += before + after
            origin[axis] -= before * size
        i, j, k = shape
        x, y, z = origin
        return self.mu(Grid((i, j, k), grid.spacing_mm, (x, y, z)))

    def label_map(self, grid: Grid) -> Volume:
        """Return the label at every voxel's centre, 0 outside."""
        from phantoms.voxels import label_map  # noqa: PLC0415 - numba

        return label_map(self.bodies, grid)

    def at(self, points_mm: ArrayLike) -> tuple[Floats, Floats, NDArray[np.int64]]:
        """Return activity, attenuation coefficient and label at points of shape ``(..., 3)``."""
        points = np.asarray(points_mm, float)
        activity, mu = np.zeros(points.shape[:-1]), np.zeros(points.shape[:-1])
        label = np.zeros(points.shape[:-1], np.int64)
        for body in self.bodies:
            low, high = body.bounds_mm
            near = np.asarray(np.all((points >= low) & (points <= high), axis=-1))
            inside = near.copy()
            inside[near] = body.contains(points[near])
            activity[inside] += body.activity
            mu[inside] += body.mu_per_mm
            if body.label:
                label[inside] = body.label
        return activity, mu, label

    def scaled(self, factor: float) -> Phantom:
        """Return the phantom made `factor` times larger about the origin, same materials.

        Lengths in the names of labels, as in ``sphere 37 mm``, grow with it.
        """

        def length(match: re.Match[str]) -> str:
            return f"{float(match[1]) * factor:.3g} mm"

        names = {label: LENGTH.sub(length, name) for label, name in self.labels.items()}
        bodies = tuple(body.scaled(factor) for body in self.bodies)
        return replace(self, bodies=bodies, labels=names)

    def moved(self, shift_mm: Sequence[float]) -> Phantom:
        """Return the phantom shifted by a vector, mm."""
        return replace(self, bodies=tuple(body.moved(shift_mm) for body in self.bodies))

    def fitted(self, radius_mm: float, half_length_mm: float | None = None) -> Phantom:
        """Return the phantom shrunk, with a warning, where it must be to fit a field of view.

        The field of view lies about the origin.

        Parameters
        ----------
        radius_mm : float
            Distance from the axis that no body shall pass.
        half_length_mm : float, optional
            Axial distance from the origin that no body shall pass; any by default.
        """
        factor = radius_mm / self.radius_mm
        if half_length_mm is not None:
            factor = min(factor, half_length_mm / float(np.abs(self.bounds_mm[:, 2]).max()))
        if factor >= 1:
            return self
        log.warning(
            "the phantom %s is shrunk to %.0f %% to fit the field of view, and all in it; its "
            "labels name the lengths as they are now",
            self.name, 100 * factor,
        )  # fmt: skip
        return self.scaled(factor)


def _radius_mm(body: Body) -> float:
    """Return the distance from the axis that a body does not pass."""
    azimuths = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    across = np.column_stack([np.cos(azimuths), np.sin(azimuths), 0 * azimuths])
    whole = float(np.max(across @ body.centre_mm + body.reach_mm(across)))
    if not body.clips or whole <= 0:
        return whole
    radii = np.linspace(0, whole, STEPS + 1)
    low, high = body.bounds_mm[:, 2]
    points = radii[:, None, None, None] * across[:, None]
    points = points + np.array([0, 0, 1.0]) * np.linspace(low, high, 11)[1:-1, None]
    inside = body.contains(points).any(axis=(1, 2))
    if not inside.any():
        return whole
    return float(min(whole, radii[min(np.flatnonzero(inside).max() + 1, STEPS)]))
