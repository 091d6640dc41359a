"""Where an atlas of tissue probabilities lies on an image: an affine map driven by the likelihood.

Each voxel's intensity bin is drawn from one of the atlas's classes, or from what is outside them
all, with the probability that the atlas gives it there; how a class's intensities are spread is
not known but estimated. Both are one likelihood, which EM climbs: so any contrast will do, brain
or whole head, and no image that goes with the atlas is needed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emrecon.tissue.kernels import atlas as kernel

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]

BINS = 48
"""Intensity bins; the first is for what is masked out or 0."""

REACH_MM = 60.0
"""Size over which all parts of a step count alike: about the radius of a brain."""

_FLOOR = 1e-3
_BEFORE = 0.5  # points in every bin beforehand
_STIFF = 0.3  # precision of the log of the scales, a point


@dataclass(frozen=True, eq=False)
class Pose:
    """Where the atlas lies, and how its classes' intensities are spread."""

    matrix: Floats
    """Image mm to atlas mm, shape ``(4, 4)``."""

    densities: Floats
    """Probability of each bin in each class and outside, shape ``(c + 1, b)``."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What a look at all points found."""

    tables: Floats
    """Memberships' sums by class and bin."""

    pull: Floats
    """Slope of the log-likelihood, shape ``(12,)``."""

    curve: Floats
    """Sum of the slopes' products over the points, shape ``(12, 12)``."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """Points of an image and an atlas, as a model of the loop whose estimate is a `Pose`.

    Scales that differ from 1 are held back a little, so that no class can shrink to a point.

    Intensities take an EM step, then the pose a damped Gauss-Newton step that is shortened until
    the likelihood does not fall.

    References
    ----------
    Ashburner and Friston, NeuroImage 26, 839 (2005); D'Agostino et al., Med. Image Anal. 10, 413
    (2006).
    """

    maps: Floats32
    """Probability of each class, shape ``(i, j, k, c)``."""

    affine: Floats
    """Voxels of the maps to atlas mm."""

    places: Floats
    """Points of the image in mm from `middle` over `REACH_MM`, shape ``(n, 3)``."""

    bins: NDArray[np.int32]
    """Intensity bin of each point."""

    middle: Floats
    """About which turns and scales are made, image mm, shape ``(3,)``."""

    free: Floats
    """Steps allowed, as changes of the places, shape ``(12, d)``."""

    def expect(self, params: Pose) -> tuple[Seen, float]:
        """Return memberships and slopes, and the log-posterior."""
        chunks = -(-len(self.places) // kernel.CHUNK)
        tables = np.zeros((chunks, self.maps.shape[3] + 1, BINS))
        pulls, curves = np.zeros((chunks, 12)), np.zeros((chunks, 12, 12))
        total = self._compare(params, tables, pulls, curves)
        half = curves.sum(axis=0)
        curve = half + half.T - np.diag(np.diag(half))
        return Seen(tables.sum(axis=0), pulls.sum(axis=0), curve), total

    def maximise(self, params: Pose, expected: Seen) -> Pose:
        """Return better densities, and a pose at least as likely under them."""
        settled = replace(params, densities=spread_of(expected.tables))
        stretch = _STIFF * len(self.places)
        pull = self.free.T @ (expected.pull - stretch * _strain(params.matrix))
        curve = self.free.T @ (expected.curve + stretch * _SYMMETRIC) @ self.free
        damping = 1e-3 * np.diag(np.maximum(np.diag(curve), 1.0))  # no slope, no step
        step = np.linalg.solve(curve + damping, pull)
        least = self._compare(settled)
        for halving in range(6):
            tried = replace(settled, matrix=self._moved(params.matrix, step / 2**halving))
            if self._compare(tried) >= least:
                return tried
        return settled

    def _compare(self, pose: Pose, *found: Floats) -> float:
        """Return the log-posterior; fill memberships' sums, slopes and their products."""
        sums = np.zeros(-(-len(self.places) // kernel.CHUNK))
        kernel.compare(
            self.maps, self._to_voxels(pose.matrix), self.places, self.bins, pose.densities,
            _FLOOR, sums, *(found or (np.empty((0, 0, 0)), np.empty((0, 0)), np.empty((0, 0, 0)))),
        )  # fmt: skip
        prior = _BEFORE * float(np.log(pose.densities).sum())
        stiff = 0.5 * _STIFF * len(self.places) * float((_strain(pose.matrix) ** 2).sum())
        return float(sums.sum()) + prior - stiff

    def begin(self, matrix: Floats) -> Pose:
        """Return a pose with the densities that the maps alone suggest there."""
        even = np.full((self.maps.shape[3] + 1, BINS), 1 / BINS)
        return Pose(matrix, spread_of(self.expect(Pose(matrix, even))[0].tables))

    def _to_voxels(self, matrix: Floats) -> Floats:
        inner = np.diag([REACH_MM, REACH_MM, REACH_MM, 1.0])
        inner[:3, 3] = self.middle
        return np.ascontiguousarray((np.linalg.inv(self.affine) @ matrix @ inner)[:3])

    def _moved(self, matrix: Floats, step: Floats) -> Floats:
        """Return the map that first moves the image by a step."""
        inner = np.diag([REACH_MM, REACH_MM, REACH_MM, 1.0])
        inner[:3, 3] = self.middle
        change = np.zeros((4, 4))
        change[:3] = (self.free @ step).reshape(3, 4)
        from scipy.linalg import expm  # noqa: PLC0415 - slow to load, and only atlases need it

        return np.asarray(matrix @ inner @ expm(change) @ np.linalg.inv(inner))


def spread_of(tables: Floats) -> Floats:
    """Return each class's distribution over the bins."""
    counts = tables + _BEFORE
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def _strain(matrix: Floats) -> Floats:
    """Return the logs of the scales as a symmetric tensor in the image's axes, 12 numbers."""
    _, scales, axes = np.linalg.svd(matrix[:3, :3])
    out = np.zeros((3, 4))
    out[:, :3] = axes.T @ np.diag(np.log(scales)) @ axes
    return out.ravel()


def _symmetric() -> Floats:
    """Return the matrix that takes the symmetric part of a change, ``(12, 12)``."""
    out = np.zeros((12, 12))
    for a in range(3):
        for b in range(3):
            out[4 * a + b, 4 * a + b] += 0.5
            out[4 * a + b, 4 * b + a] += 0.5
    return out


_SYMMETRIC = _symmetric()


def _generators() -> tuple[Floats, Floats, Floats]:
    """Return steps, columns of 12 numbers: rigid with one scale, with three, and all."""
    whole = np.eye(12)
    columns = [whole[:, 4 * a + 3] for a in range(3)]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        columns.append(whole[:, 4 * a + b] - whole[:, 4 * b + a])
    scales = [whole[:, 0], whole[:, 5], whole[:, 10]]
    return np.stack([*columns, sum(scales)], axis=1), np.stack([*columns, *scales], axis=1), whole


RIGID, STRETCHED, AFFINE = _generators()
"""Steps that a pose may take: rigid with one scale, with one along each axis, or any affine."""
