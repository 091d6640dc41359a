"""A camera written out voxel by voxel, to compare the shared kernels with, and exact projections.

`matrix` takes the same samples as the projector but forms every weight by itself, in float64.
`exact` integrates analytic bodies along fine paths and blurs with true Gaussians over the area of
a bin: no raster, no voxels, no cut.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.special import erf

from emrecon.gaussian import FWHM_PER_SIGMA
from phantoms.lines import pair_integrals


def hat(at, count):
    """Weights of linear interpolation between `count` voxels, (places, count)."""
    return np.maximum(0, 1 - np.abs(np.asarray(at)[:, None] - np.arange(count)))


def matrix(image_grid, camera, response, mu, depth_mm, *, identity=False):
    """Bins by voxels; `mu` (i, j, k) lies on the image's grid, planes on the camera's, u samples
    one a bin, depths as given."""
    (nx, ny, nz), (views, bins, planes) = image_grid.shape, camera.shape
    step = depth_mm[0] - depth_mm[1]
    out = np.zeros((views, bins, planes, nx, ny, nz))
    for v in range(views):
        c, s = np.cos(camera.theta_rad[v]), np.sin(camera.theta_rad[v])
        line = np.zeros((bins, nz))
        for t in depth_mm:
            x, y = t * c - camera.u_mm * s, t * s + camera.u_mm * c
            wx = hat((x - image_grid.origin_mm[0]) / image_grid.spacing_mm[0], nx)
            wy = hat((y - image_grid.origin_mm[1]) / image_grid.spacing_mm[1], ny)
            inside = t**2 + camera.u_mm**2 <= camera.fov_mm**2
            weight = wx[:, :, None] * wy[:, None, :] * inside[:, None, None]
            distance = camera.radius_mm[v] - t
            if distance <= 0:
                continue
            here = np.einsum("bij,ijk->bk", weight, mu)
            alive = np.exp(-(line + here * step / 2))
            line += here * step
            sigma = response.fwhm_mm(distance) / FWHM_PER_SIGMA
            gu = gaussian(sigma, camera.bin_mm, bins)
            gz = gaussian(sigma, camera.plane_mm, planes)
            if identity:
                gu, gz = np.eye(bins), np.eye(planes)
            out[v] += step * np.einsum("ab,bij,bk,pk->apijk", gu, weight, alive, gz, optimize=True)
    return out.reshape(views * bins * planes, -1)


def gaussian(sigma, size, count):
    """A Gaussian of this deviation between bins: sampled at the bins, not cut."""
    apart = np.subtract.outer(np.arange(count), np.arange(count)) * size
    return np.exp(-0.5 * (apart / sigma) ** 2) * size / sigma / np.sqrt(2 * np.pi)


def exact(phantom, camera, response, fine_mm, *, attenuate=True):
    """Projections of analytic bodies: no voxels, no raster, true Gaussians over the area of bins.

    Activity is taken at points `fine_mm` apart; each is attenuated by the exact integral of mu
    on its way out, and spreads over the bins by the integral of the Gaussian over their area.
    Chords are whole numbers of `fine_mm`: a bin is up to half a percent off in a body of 200 mm.
    """
    low, high = phantom.bounds_mm
    reach = float(np.hypot(*np.maximum(np.abs(low), np.abs(high))[:2]))
    u = fine_mm * (np.arange(2 * int(np.ceil(reach / fine_mm))) + 0.5)
    u -= u.mean()
    count = int(np.ceil((high[2] - low[2]) / fine_mm))
    step_z = (high[2] - low[2]) / count
    z = low[2] + step_z * (np.arange(count) + 0.5)
    out = np.zeros(camera.shape)
    for v, (theta, radius) in enumerate(zip(camera.theta_rad, camera.radius_mm, strict=True)):
        c, s = np.cos(theta), np.sin(theta)
        for t in u:
            points = np.empty((u.size, z.size, 3))
            points[..., 0], points[..., 1] = (t * c - u * s)[:, None], (t * s + u * c)[:, None]
            points[..., 2] = z
            activity = phantom.at(points)[0]
            hot = activity > 0
            if attenuate and hot.any():
                starts = points[hot]
                ends = starts + np.array([c, s, 0]) * (2 * reach)
                integrals = pair_integrals(phantom.bodies, starts, ends, phantom.mus_per_mm)
                activity[hot] *= np.exp(-integrals)
            if hot.any():
                sigma = response.sigma_mm(radius - t)
                over_u = cover(camera.u_mm, camera.bin_mm, u, sigma)
                over_z = cover(camera.z_mm, camera.plane_mm, z, sigma)
                out[v] += over_u @ activity @ over_z.T
    return (out * fine_mm**2 * step_z / camera.bin_mm / camera.plane_mm).astype(np.float32)


def cylinder(camera, radius_mm, length_mm, mu_per_mm, response=None, step_mm=1.0):
    """Projection of a uniform cylinder of activity 1 about the axis, the same from everywhere.

    Integrals along depth are exact for slabs of `step_mm`, in each of which the response is that
    at its middle: chords end where the cylinder does, not where a sample does. A view's error is
    no averaged error here, for all views share it: 0.3 % in the middle is 3 % on the axis.
    """
    count = int(np.ceil(24 * 2 * radius_mm / camera.bin_mm))
    fine = 2 * radius_mm / count
    u = (np.arange(count) + 0.5) * fine - radius_mm
    half = np.sqrt(radius_mm**2 - u**2)
    edges = np.linspace(-radius_mm, radius_mm, int(np.ceil(2 * radius_mm / step_mm)) + 1)
    fine_z = camera.z_mm[:, None] + ((np.arange(16) + 0.5) / 16 - 0.5) * camera.plane_mm
    out = np.zeros(camera.shape[1:])
    for low, high in pairwise(edges):
        near, far = half - np.clip(high, -half, half), half - np.clip(low, -half, half)
        seen = far - near
        if mu_per_mm:
            seen = (np.exp(-mu_per_mm * near) - np.exp(-mu_per_mm * far)) / mu_per_mm
        sigma = fine  # so that samples spread evenly where a bin ends between them
        if response is not None:
            sigma = response.sigma_mm(camera.radius_mm[0] - (low + high) / 2)
        over_u = cover(camera.u_mm, camera.bin_mm, u, sigma) @ seen
        ends = [erf((fine_z + end * length_mm / 2) / (np.sqrt(2) * sigma)) for end in (1, -1)]
        out += np.outer(over_u, (ends[0] - ends[1]).mean(axis=1) / 2)
    return (out * fine / camera.bin_mm).astype(np.float32)


def cover(bins_mm, size, places_mm, sigma):
    """Share of a Gaussian at each place that falls into each bin, (bins, places)."""
    apart = bins_mm[:, None] - places_mm[None, :]
    ends = [erf((apart + side * size / 2) / (np.sqrt(2) * sigma)) for side in (1, -1)]
    return (ends[0] - ends[1]) / 2
