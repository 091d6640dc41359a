"""Image quality by NEMA NU 2-2012 and NU 2-2018, section 7: spheres, background, lung.

Regions are circles on transaxial planes in which a pixel counts with the part of it that lies
inside, found on a raster of at most 1 mm. The background has K = 12 circles on each of five
planes: the central one, and those nearest to 1 and 2 cm on both sides of it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emrecon.errors import DataError, GeometryError, SettingsError
from emrecon.metrics.compare import Array, Point, frame
from emrecon.volume import Grid, Volume

log = logging.getLogger(__name__)

OFFSETS_MM = (0.0, -10.0, 10.0, -20.0, 20.0)


@dataclass(frozen=True)
class SphereQuality:
    """One row of the image-quality report."""

    diameter_mm: float
    """Inner diameter of the sphere, and of every circle of this row."""

    contrast: float
    """True ratio of sphere to background, 0 for a cold sphere."""

    mean: float
    """Mean of the circle on the sphere, C_H or C_C, in the image's unit."""

    background: float
    """Mean of the background circles of this diameter, C_B."""

    recovery_percent: float
    """Percent contrast, Q_H or Q_C: 100 when the image shows the true contrast."""

    variability_percent: float
    """Background variability, N: standard deviation (K - 1) of those circles' means over C_B."""


def contrast_recovery(
    image: Volume,
    spheres: Sequence[tuple[Point, float]],
    background_centres: ArrayLike,
    contrast: float | Sequence[float],
) -> list[SphereQuality]:
    """Return the percent contrast and background variability of each sphere.

    ``Q = (C_sphere / C_B - 1) / (contrast - 1) * 100``, which for a cold sphere, contrast 0, is
    the standard's ``(1 - C_C / C_B) * 100``.

    Parameters
    ----------
    image
        The reconstruction, on voxels that run along the scanner's axes.
    spheres
        Centre in RAS mm and inner diameter in mm of each. The circle lies on the plane nearest
        to the centre.
    background_centres
        Where the background circles lie on the central plane, RAS mm, shape ``(12, 3)``; see
        `background_rois`.
    contrast
        True ratio of sphere to background, one for all or one each.

    Raises
    ------
    SettingsError
        If a contrast is 1 or negative, or there is not one for each sphere.
    GeometryError
        If a circle or a background plane lies outside the image.
    DataError
        If the background is 0 or not finite.

    References
    ----------
    NEMA NU 2-2012 and NU 2-2018, section 7 (image quality, accuracy of corrections).
    """
    contrasts = [contrast] * len(spheres) if isinstance(contrast, int | float) else list(contrast)
    if len(contrasts) != len(spheres) or any(ratio < 0 or ratio == 1 for ratio in contrasts):
        raise SettingsError(
            f"{len(spheres)} spheres need as many contrasts, 0 or above and not 1: {contrasts}"
        )
    planes = _Planes.of(image)
    rows = []
    for (centre, diameter), ratio in zip(spheres, contrasts, strict=True):
        circles = planes.background(background_centres, diameter)
        mean, level = planes.circle(centre, diameter), _level(circles)
        recovery = 100 * (mean / level - 1) / (ratio - 1)
        spread = 100 * float(np.std(circles, ddof=1)) / level
        rows.append(SphereQuality(diameter, ratio, mean, level, recovery, spread))
    return rows


def lung_residual(
    image: Volume, centre_mm: Point, background_centres: ArrayLike, diameter_mm: float = 30.0
) -> list[float]:
    """Return the residual error in the lung insert in percent, on each of the five planes.

    ``C_lung / C_B * 100``, with C_B from the circles of 37 mm on the same plane; 0 is ideal. The
    planes come in the order 0, -1, +1, -2, +2 cm from that of the background centres.

    Raises
    ------
    GeometryError
        If a circle or a background plane lies outside the image.
    DataError
        If the background is 0 or not finite.
    """
    planes = _Planes.of(image)
    circles = planes.background(background_centres, 37.0)
    z = _central(np.asarray(background_centres, np.float64))
    x, y, _ = centre_mm
    lung = [planes.circle((x, y, z + offset), diameter_mm) for offset in OFFSETS_MM]
    return [100 * value / _level(row) for value, row in zip(lung, circles, strict=True)]


def background_rois(
    allowed: Volume,
    slice_mm: float,
    *,
    count: int = 12,
    diameter_mm: float = 37.0,
    margin_mm: float = 15.0,
) -> Array:
    """Return centres for the background circles, RAS mm, shape ``(count, 3)``.

    A circle may lie where it keeps `margin_mm` to everything that is not allowed, on all five
    planes. Each is placed as far as may be from those before it, then all are moved once more in
    turn: the same map always gives the same circles. Circles of smaller spheres share these
    centres. Twelve of 37 mm just fit in the body phantom itself; an overlap is logged.

    Parameters
    ----------
    allowed
        Where the uniform background is: any value but 0. Spheres, lung and air are 0.
    slice_mm
        The z of the central plane, that of the spheres.
    count
        Number of circles on a plane, two or more.
    diameter_mm
        Their diameter: that of the largest sphere.
    margin_mm
        Distance from the edge of a circle to the nearest place that is not allowed.

    Raises
    ------
    SettingsError
        If the count is below two.
    GeometryError
        If so many circles cannot be placed, or some would share more than half a diameter.
    """
    from scipy.ndimage import distance_transform_edt  # noqa: PLC0415 - heavy, seldom needed

    if count < 2:
        raise SettingsError(f"the spread of a background needs two circles or more, not {count}")
    planes = _Planes.of(allowed)
    grid = planes.grid
    ok = np.all(planes.voxels[:, :, planes.numbers(slice_mm)] != 0, axis=2)
    # The transform measures from centre to centre; the forbidden pixel begins half a pixel sooner.
    clear = distance_transform_edt(np.pad(ok, 1), sampling=grid.spacing_mm[:2])[1:-1, 1:-1]
    free = clear - max(grid.spacing_mm[:2]) / 2 >= diameter_mm / 2 + margin_mm
    i, j = np.nonzero(free)
    places = np.column_stack([grid.centres_mm(0)[i], grid.centres_mm(1)[j]])
    chosen, apart = _spread_out(places, count)
    if len(chosen) < count or apart < diameter_mm / 2:
        raise GeometryError(
            f"no room for {count} circles of {diameter_mm:g} mm that keep {margin_mm:g} mm to the "
            f"edges of the background at z = {slice_mm:g} mm; ask for fewer or smaller ones"
        )
    if apart < diameter_mm:
        log.warning("background circles of %g mm are only %.1f mm apart", diameter_mm, apart)
    return np.column_stack([chosen, np.full(count, slice_mm)])


def _spread_out(places: Array, count: int) -> tuple[Array, float]:
    """Return places far from each other, and the least distance between two of them."""
    if len(places) < count:
        return places, 0.0
    chosen = [int(np.argmax(np.linalg.norm(places - places.mean(axis=0), axis=1)))]
    while len(chosen) < count:
        chosen.append(_farthest(places, chosen))
    for number in [*range(count)] * 3:
        chosen[number] = _farthest(places, chosen[:number] + chosen[number + 1 :])
    apart = min(np.linalg.norm(places[a] - places[b]) for a, b in combinations(chosen, 2))
    return places[chosen], float(apart)


def _farthest(places: Array, others: list[int]) -> int:
    """Return the place whose nearest of the others is farthest."""
    distance = np.min([np.linalg.norm(places - places[one], axis=1) for one in others], axis=0)
    return int(np.argmax(distance))


@dataclass(frozen=True)
class _Planes:
    """An image as transaxial planes to draw circles on."""

    voxels: Array
    grid: Grid

    @classmethod
    def of(cls, image: Volume) -> _Planes:
        """Turn the image's axes towards R, A and S."""
        turned = image.ras()
        return cls(frame(turned), turned.grid())

    def number(self, z: float) -> int:
        """Return which plane is nearest to z."""
        number = math.floor((z - self.grid.origin_mm[2]) / self.grid.spacing_mm[2] + 0.5)
        if not 0 <= number < self.grid.shape[2]:
            low, high = self.grid.centres_mm(2)[[0, -1]]
            raise GeometryError(
                f"a circle is wanted at z = {z:g} mm, but the image's planes lie from {low:g} to "
                f"{high:g} mm"
            )
        return number

    def numbers(self, z: float) -> list[int]:
        """Return the five planes around z."""
        numbers = [self.number(z + offset) for offset in OFFSETS_MM]
        if len(set(numbers)) < len(numbers):
            raise GeometryError(
                f"planes {self.grid.spacing_mm[2]:g} mm apart are too coarse for circles every cm"
            )
        return numbers

    def circle(self, centre_mm: Point, diameter_mm: float) -> float:
        """Return the mean in a circle on the plane nearest to its centre."""
        return self.disk(centre_mm, diameter_mm, self.number(centre_mm[2]))

    def background(self, centres_mm: ArrayLike, diameter_mm: float) -> Array:
        """Return the means of the background circles, shape ``(5, count)``."""
        centres = np.asarray(centres_mm, np.float64)
        numbers = self.numbers(_central(centres))
        return np.array([[self.disk(c, diameter_mm, n) for c in centres] for n in numbers])

    def disk(self, centre: NDArray[np.float64] | Point, diameter_mm: float, plane: int) -> float:
        """Return the mean in a circle on a plane, pixels weighted by the part inside."""
        (i, x), (j, y) = (self._raster(axis, centre[axis], diameter_mm) for axis in (0, 1))
        inside = x[:, :, None, None] ** 2 + y**2 <= (diameter_mm / 2) ** 2
        return float(np.average(self.voxels[i, j, plane], weights=inside.mean(axis=(1, 3))))

    def _raster(self, axis: int, centre: float, diameter_mm: float) -> tuple[slice, Array]:
        """Return the pixels a circle touches and, for each, points along it from the centre."""
        origin, step = self.grid.origin_mm[axis], self.grid.spacing_mm[axis]
        low, high = ((centre + side * diameter_mm / 2 - origin) / step for side in (-1, 1))
        first, last = math.floor(low + 0.5), math.ceil(high - 0.5)
        if first < 0 or last >= self.grid.shape[axis]:
            raise GeometryError(
                f"a circle of {diameter_mm:g} mm at {'xy'[axis]} = {centre:g} mm leaves the image"
            )
        points = max(16, math.ceil(step))
        within = (np.arange(points) + 0.5) / points - 0.5
        pixels = np.arange(first, last + 1)[:, None]
        return slice(first, last + 1), origin + step * (pixels + within) - centre


def _central(centres: Array) -> float:
    """Return the plane that the background centres share."""
    if centres.ndim != 2 or centres.shape[1] != 3 or np.ptp(centres[:, 2]) > 1e-3:
        raise GeometryError(
            f"background centres are n points (x, y, z) on one plane, not shape {centres.shape}; "
            "see background_rois"
        )
    return float(centres[0, 2])


def _level(circles: Array) -> float:
    """Return the background's mean, which everything is divided by."""
    level = float(np.mean(circles))
    if not (math.isfinite(level) and level != 0):
        raise DataError(f"the background circles have a mean of {level:g}: no contrast to take")
    return level
