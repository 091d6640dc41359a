"""The projector of a parallel-hole camera: attenuation and resolution by depth, as an operator."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from emrecon.brief import brief
from emrecon.errors import GeometryError
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.geometry.collimator import Response
from emrecon.tomo.kernels import rotate as kernel
from emrecon.tomo.operators.blur import TRUNCATE_SIGMAS
from emrecon.tomo.operators.columns import Columns
from emrecon.tomo.operators.resampling import resampled, resampling
from emrecon.volume import Array, Grid, Volume

Floats = NDArray[np.float64]

MOST_HALF_STEP = 0.35
"""Largest mu times half a step for which the kernel's series is good to 1e-7."""


@dataclass(frozen=True, eq=False)
class CameraProjector:
    """What each bin of a camera sees, in mm of line integral; and the exact adjoint.

    ``projection[view, u, z]`` is the sum over depths of the activity there, times what is left of
    it on its straight way to the detector, blurred by the response at this depth, times the
    distance between depths. A parallel-hole collimator sees as much from near as from far.

    Notes
    -----
    Approximations, each held against a dense reference in the tests:

    - image and mu are interpolated bilinearly on a raster turned with the camera, whose rows and
      depths are no farther apart than the image's voxels are wide, and summed over depth. A voxel
      by itself may so count up to a fifth too much or too little in one view (7 % RMS); over the
      views of an orbit it evens out to 1 %, and the adjoint has the same weights;
    - photons of a step are attenuated as from its middle, and along the normal only: what a hole's
      opening angle lets in from aside passes the same matter;
    - the response is a Gaussian, the same wherever the holes are, cut beyond 4 sigma, sampled on
      the raster with exactly the variance of the Gaussian;
    - of image and mu, only what lies within `fov_mm` of the axis, and before the detector, counts.

    The image is resampled along the axis to the camera's planes where its voxels differ, and read
    as far beyond the first and last plane as the image reaches.
    """

    grid: Grid
    """Where the image lies."""

    camera: Camera
    """Where the bins lie."""

    response: Response | None = None
    """Resolution by distance; None for a perfect collimator."""

    mu: Volume | None = None
    """Attenuation map in 1/mm, anywhere, at any angle; None for no attenuation."""

    fov_mm: float = 0.0
    """Only what lies within this distance of the axis counts; 0 for what every view sees."""

    _planes: slice = field(init=False, repr=False)
    _axial: Columns | None = field(init=False, repr=False)
    _rows: int = field(init=False, repr=False)
    _raster: kernel.Raster = field(init=False, repr=False)
    _spread: kernel.Spread = field(init=False, repr=False)
    _medium: kernel.Slices = field(init=False, repr=False)
    _halvings: int = field(init=False, repr=False)

    __repr__ = brief

    def __post_init__(self) -> None:
        if not self.fov_mm:
            object.__setattr__(self, "fov_mm", self.camera.fov_mm)
        inner, planes = inner_grid(self.grid, self.camera)
        here, there = self.grid.centres_mm(2), inner.centres_mm(2)
        same = here.shape == there.shape and np.allclose(here, there, atol=1e-4)
        step = inner.spacing_mm[2]
        old = self.grid.spacing_mm[2]
        axial = None if same else Columns(resampling(here, old, there, step))
        rows = max(1, int(np.ceil(self.camera.bin_mm / min(inner.spacing_mm[:2]) - 1e-3)))
        raster = _raster(self.camera, min(inner.spacing_mm[:2]), rows, self.fov_mm)
        parts = {
            "_planes": planes,
            "_axial": axial,
            "_rows": rows,
            "_raster": raster,
            "_spread": _spread(self.camera, raster, self.response, rows),
        }
        for name, value in parts.items():
            object.__setattr__(self, name, value)
        self._attenuate(inner)

    def _attenuate(self, inner: Grid) -> None:
        """Bring the attenuation map to the raster's planes, and see how steep it is."""
        medium = Volume(np.zeros((0, 0, inner.shape[2]), np.float32), inner.affine)
        halvings = 0
        if self.mu is not None:
            medium = fitted(self.mu, self.grid, self.camera, self.fov_mm)
            steepest = float(np.max(medium.voxels)) * self._raster.step_mm / 2
            halvings = max(0, int(np.ceil(np.log2(max(steepest, 1e-9) / MOST_HALF_STEP))))
        slices = kernel.Slices(medium.voxels, *_corner(medium.affine))
        object.__setattr__(self, "_medium", slices)
        object.__setattr__(self, "_halvings", halvings)

    @property
    def domain(self) -> tuple[int, ...]:
        """Shape of the image."""
        return self.grid.shape

    @property
    def range(self) -> tuple[int, ...]:
        """Views, bins, planes."""
        return self.camera.shape

    def forward(self, image: Array) -> Array:
        """Return what the bins see of `image` (per mm), shape `range`."""
        _fits(image.shape, self.domain, "image")
        image = np.ascontiguousarray(image, np.float32)
        if self._axial is not None:
            image = self._axial.forward(image)
        slices = kernel.Slices(image, *_corner(self.grid.affine))
        views, bins, _ = self.range
        out = np.empty((views, bins * self._rows, image.shape[2]), np.float32)
        kernel.forward(slices, self._medium, self._halvings, self._raster, self._spread, out)
        if self._rows > 1:
            out = out.reshape(views, bins, self._rows, -1).mean(axis=2)
        return np.ascontiguousarray(out[:, :, self._planes])

    def adjoint(self, data: Array) -> Array:
        """Return the transpose of `forward`, applied to `data`."""
        _fits(data.shape, self.range, "data")
        nz = self.grid.shape[2] if self._axial is None else len(self._axial.matrix)
        padded = np.zeros((*self.range[:2], nz), np.float32)
        padded[:, :, self._planes] = data
        if self._rows > 1:
            padded = np.repeat(padded / np.float32(self._rows), self._rows, axis=1)
        image = np.empty((*self.grid.shape[:2], nz), np.float32)
        slices = kernel.Slices(image, *_corner(self.grid.affine))
        kernel.adjoint(padded, self._medium, self._halvings, self._raster, self._spread, slices)
        return image if self._axial is None else self._axial.adjoint(image)


def inner_grid(grid: Grid, camera: Camera) -> tuple[Grid, slice]:
    """Return the image's grid on the camera's planes, and which of its planes the camera's are.

    It reaches beyond the camera's planes as far as the image does, by whole planes.
    """
    step = camera.plane_mm
    first, last = float(camera.z_mm[0]), float(camera.z_mm[-1])
    ends = grid.centres_mm(2)
    half = (grid.spacing_mm[2] - step) / 2
    before = max(0, int(np.ceil((first - ends[0] + half) / step - 1e-3)))
    after = max(0, int(np.ceil((ends[-1] + half - last) / step - 1e-3)))
    planes = before + camera.planes + after
    shape = (grid.shape[0], grid.shape[1], planes)
    spacing = (grid.spacing_mm[0], grid.spacing_mm[1], step)
    origin = (grid.origin_mm[0], grid.origin_mm[1], first - before * step)
    return Grid(shape, spacing, origin), slice(before, before + camera.planes)


def fitted(mu: Volume, grid: Grid, camera: Camera, fov_mm: float = 0.0) -> Volume:
    """Return an attenuation map on the voxels that the projector reads.

    These are the image's, on the camera's planes, continued to the whole field of view so that a
    small image is attenuated by all that lies around it.

    Raises
    ------
    GeometryError
        If the map lies wholly beside the field of view.
    """
    inner, _ = inner_grid(grid, camera)
    reach = fov_mm or camera.fov_mm
    shape, origin = list(inner.shape), list(inner.origin_mm)
    for axis in range(2):
        low, size = inner.origin_mm[axis], inner.spacing_mm[axis]
        high = low + size * (inner.shape[axis] - 1)
        before = max(0, int(np.ceil((low + reach) / size - 0.5)))
        after = max(0, int(np.ceil((reach - high) / size - 0.5)))
        shape[axis] += before + after
        origin[axis] -= before * size
    wide = Grid(
        (shape[0], shape[1], shape[2]), inner.spacing_mm, (origin[0], origin[1], origin[2])
    )
    if mu.voxels.shape == wide.shape and np.array_equal(mu.affine, wide.affine):
        return mu
    return replace(resampled(mu, wide), unit="1/mm")


def _raster(camera: Camera, voxel_mm: float, rows: int, fov_mm: float) -> kernel.Raster:
    """Return the samples of a view: `rows` to a bin, depths no farther apart than voxels."""
    u = (camera.u_mm[:, None] + ((np.arange(rows) + 0.5) / rows - 0.5) * camera.bin_mm).ravel()
    count = max(1, int(np.ceil(2 * fov_mm / voxel_mm - 1e-3)))
    step = 2 * fov_mm / count
    depth = fov_mm - (np.arange(count) + 0.5) * step
    half = np.sqrt(np.maximum(fov_mm**2 - depth**2, 0.0))
    low, high = np.searchsorted(u, -half), np.searchsorted(u, half, side="right")
    cosines, sines = np.cos(camera.theta_rad), np.sin(camera.theta_rad)
    return kernel.Raster(cosines, sines, depth, u, low, high, step)


def _spread(
    camera: Camera, raster: kernel.Raster, response: Response | None, rows: int
) -> kernel.Spread:
    """Return the response as the kernels want it, for every radius and depth."""
    radii, orbit = np.unique(camera.radius_mm, return_inverse=True)
    distance = radii[:, None] - raster.depth_mm[None, :]
    sigma = np.zeros(distance.shape) if response is None else response.sigma_mm(distance)
    taps_u, reach_u = gaussians(sigma / (camera.bin_mm / rows))
    taps_z, reach_z = gaussians(sigma / camera.plane_mm)
    beyond = distance <= 0
    reach_u[beyond], reach_z[beyond] = -1, -1
    return kernel.Spread(orbit.astype(np.int64), taps_u, taps_z, reach_u, reach_z)


def gaussians(sigma: Floats) -> tuple[Array, NDArray[np.int64]]:
    """Return half of sampled Gaussians, middle first, and their reach, of deviations in samples.

    A sampled Gaussian, cut at 4 sigma and a sample and normalised, whose parameter is such that
    its variance is that wanted: for wide ones the deviation itself, for narrow ones a little more.
    Shapes ``(*sigma.shape, most + 1)`` and ``sigma.shape``.
    """
    reach = np.where(sigma > 0, np.ceil(TRUNCATE_SIGMAS * sigma).astype(np.int64) + 1, 0)
    at = np.arange(int(reach.max(initial=0)) + 1)
    keep = at <= reach[..., None]
    width = np.maximum(sigma, 1e-3)
    for _ in range(40):  # its variance grows with the parameter: a fixed point, reached quickly
        taps = _sampled(at, width, keep)
        spread = np.sqrt(2 * np.sum(taps * at**2, axis=-1))
        width = np.clip(width + 0.7 * (sigma - spread), 0.05, 2 * sigma + 1)
    return _sampled(at, width, keep).astype(np.float32), reach


def _sampled(at: NDArray[np.int64], width: Floats, keep: NDArray[np.bool_]) -> Floats:
    """Return normalised halves of Gaussians."""
    taps = np.where(keep, np.exp(-0.5 * (at / width[..., None]) ** 2), 0.0)
    total = 2 * taps.sum(axis=-1, keepdims=True) - taps[..., :1]
    return np.asarray(taps / total)


def _corner(affine: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Return where the first column of voxels lies, and how wide columns are."""
    return float(affine[0, 3]), float(affine[1, 3]), float(affine[0, 0]), float(affine[1, 1])


def _fits(came: tuple[int, ...], wanted: tuple[int, ...], what: str) -> None:
    if came != wanted:
        raise GeometryError(f"{what} of shape {came} given to a projector that takes {wanted}")
