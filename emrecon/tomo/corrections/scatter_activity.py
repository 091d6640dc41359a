"""Activity as scatter simulation takes it: beyond the rings, and no finer than what samples it."""

from __future__ import annotations

import numpy as np

from emrecon.tomo.corrections.scatter_simulation import (
    LEAST_PER_MM,
    Detectors,
    ScatterPoints,
    integrals,
)
from emrecon.volume import Grid, Volume

BLUR, THIN, MANY = 0.2, 1.0, 20
"""Standard deviation of a blur as a share of the distance of detectors, and how much it may change
line integrals of activity, as a share of their mean: by 0.1 to 0.2 in bodies, by 7 for a line of
3 mm, which rays of so few points and detectors meet by chance. Every so manieth point tells."""


OUTERMOST_MM = 25.0
"""Length along the axis over which the outermost planes of an image are taken together, as each of
them alone is of few counts."""


def continued(activity: Volume, mu: Volume, length_mm: float) -> Volume:
    """Return an activity continued beyond its first and last plane where there is matter.

    A scanner sees photons scattered that no image of it tells where they are from: what lies
    just beyond its rings is taken to be as the mean of its outermost planes.
    """
    from scipy.ndimage import map_coordinates  # noqa: PLC0415 - heavy

    grid = activity.grid()
    more = int(np.ceil(length_mm / grid.spacing_mm[2]))
    wide = Grid(
        (grid.shape[0], grid.shape[1], grid.shape[2] + 2 * more),
        grid.spacing_mm,
        (*grid.origin_mm[:2], grid.origin_mm[2] - more * grid.spacing_mm[2]),
    )
    last = min(grid.shape[2], max(1, round(OUTERMOST_MM / grid.spacing_mm[2])))
    around = ((0, 0), (0, 0), (more, more))
    voxels = np.pad(activity.voxels, around, "mean", stat_length=((1, 1), (1, 1), (last, last)))
    to_mu = [
        (wide.centres_mm(axis) - mu.affine[axis, 3]) / mu.affine[axis, axis] for axis in range(3)
    ]
    for ends in (slice(0, more), slice(wide.shape[2] - more, None)):
        places = np.meshgrid(to_mu[0], to_mu[1], to_mu[2][ends], indexing="ij")
        matter = map_coordinates(mu.voxels, places, order=1, mode="grid-constant")
        voxels[..., ends] *= matter >= LEAST_PER_MM
    return Volume(voxels, wide.affine, activity.unit)


def as_wide_as_rays(
    activity: Volume, points: ScatterPoints, detectors: Detectors, distance_mm: float
) -> Volume:
    """Return an activity blurred, where it is so thin that rays would meet it by chance.

    Parameters
    ----------
    activity : Volume
        Activity, its axes along the scanner's towards R, A and S.
    points, detectors
        Both ends of the rays.
    distance_mm : float
        Distance of neighbouring detectors.
    """
    some = points.every(MANY)
    wide = blurred(activity, BLUR * distance_mm)
    rays, other = (integrals(one, some, detectors) for one in (activity, wide))
    change = float(np.sqrt(np.mean((other - rays) ** 2, dtype=np.float64)))
    return wide if change > THIN * float(rays.mean(dtype=np.float64)) else activity


def blurred(activity: Volume, sigma_mm: float) -> Volume:
    """Return an activity blurred by a Gaussian, as if its outermost voxels went on beyond."""
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - heavy

    width = sigma_mm / np.array(activity.grid().spacing_mm)
    voxels = gaussian_filter(activity.voxels, width, mode="nearest")
    return Volume(voxels, activity.affine, activity.unit)


def coarser(volume: Volume, box_mm: float) -> Volume:
    """Return the means over boxes of whole voxels of about that size; there is 0 beyond all."""
    grid = volume.grid()
    counts = np.array([max(1, round(box_mm / spacing)) for spacing in grid.spacing_mm])
    voxels = np.pad(
        volume.voxels, [(0, -n % count) for n, count in zip(grid.shape, counts, strict=True)]
    )
    for axis, count in enumerate(counts):
        shape = voxels.shape[:axis], voxels.shape[axis + 1 :]
        voxels = voxels.reshape(*shape[0], -1, count, *shape[1]).mean(axis=axis + 1)
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ ((counts - 1) / 2)
    affine[:3, :3] *= counts
    return Volume(np.ascontiguousarray(voxels, np.float32), affine, volume.unit)
