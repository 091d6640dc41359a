"""Tables for the kernels of `siddon`: where each ray goes, and how columns are kept."""

from collections import namedtuple

import numpy as np

CACHED = 4096  # voxels of W in a slab: twice that, as a row of pixels holds up to two of a ray
SLABS = 6  # at least, for threads to share

# Rays: in the image between the distances begin ... end from the point nearest the axis; pixel
# indices major + l forth along the axis that is crossed most, and minor + l aside.
Rays = namedtuple("Rays", "begin end major minor forth aside along_x reach slope")
# Segments of one plane spacing: axial index first + p step + tilt slope[bin] l, in voxels.
Segments = namedtuple("Segments", "first tilt planes offset gain")
Layout = namedtuple("Layout", "step size block")


def rays_of(shape, x0, y0, vx, vy, cosines, sines, s_mm, half_chord_mm, fov_mm):
    """Say where each ray enters and leaves the image, and how it goes through its pixels."""
    c, s = (np.asarray(a, float)[:, None, None] for a in (cosines, sines))
    half, u = np.asarray(half_chord_mm, float)[:, None], np.asarray(s_mm, float)
    with np.errstate(invalid="ignore", divide="ignore"):
        reach = np.minimum(np.sqrt(fov_mm**2 - u**2), np.where(half > 0, half, np.nan))
        reach, slope = np.nan_to_num(reach, nan=-1.0), np.where(half > 0, 0.5 / half, 0.0)[:, 0]
    axes = [((u * c - x0) / vx, -s / vx, shape[0]), ((u * s - y0) / vy, c / vy, shape[1])]
    begin, end = np.where(reach > 0, -np.inf, np.inf) + 0 * c, np.where(reach > 0, np.inf, 0.0)
    for place, rate, count in axes:
        level = np.abs(rate) < 1e-12
        pace, side = np.where(level, 1.0, rate), np.copysign(0.5, rate)
        enter = np.where(side > 0, -0.5, count - 0.5)
        leave = np.where(side > 0, count - 0.5, -0.5)
        # Whole voxels, from that of the entry to that of the exit; only those of the image.
        low = (np.floor(place - reach * pace + 0.5) - side - place) / pace
        high = (np.floor(place + reach * pace + 0.5) + side - place) / pace
        low, high = (
            np.maximum(low, (enter - place) / pace),
            np.minimum(high, (leave - place) / pace),
        )
        beside = np.where((place >= -0.5) & (place < count - 0.5), -np.inf, np.inf)
        begin = np.maximum(begin, np.where(level, beside, low))
        end = np.minimum(end, np.where(level, np.inf, high))
    along_x = (np.abs(axes[0][1]) >= np.abs(axes[1][1]))[:, 0, 0]
    (x, dx, _), (y, dy, _) = axes
    x_first, dx, dy = along_x[:, None, None], dx[:, 0, 0], dy[:, 0, 0]
    return Rays(
        begin, end, np.where(x_first, x, y), np.where(x_first, y, x),
        np.where(along_x, dx, dy), np.where(along_x, dy, dx), along_x, reach, slope,
    )  # fmt: skip


def layout_of(shape, step, slabs):
    """Settle the length of rows and the rows of pixels in a slab."""
    size = -(-(shape[2] + step - 1) // step)
    block = min(CACHED // (step * size), -(-max(shape[:2]) // slabs))
    return Layout(step, size, max(8, block))


def segments_of(chosen, step, vz, rays, tilt, first, planes, offset):
    """Take the chosen segments; `gain` is a ray's share of the line, and its length's of l.

    `first` is where the uppermost ray of the first plane lies, as the mean of the voxels below it
    is kept at that index.
    """
    first, tilt = (np.asarray(a, float)[chosen] for a in (first, tilt))
    planes, offset = (np.asarray(a, np.int64)[chosen] for a in (planes, offset))
    gain = np.hypot(1.0, np.outer(rays.slope, tilt * vz)) / rays.reach.shape[1]
    return Segments(first + (step - 1) / 2, tilt, planes, offset, gain)


def widened(image, width):
    """Return columns of ``width - 1`` more voxels: [k] is the mean of k - width + 1 ... k."""
    if width == 1:
        return image
    wide = np.zeros((*image.shape[:2], image.shape[2] + width - 1), np.float32)
    for d in range(width):
        wide[..., d : d + image.shape[2]] += image
    wide /= np.float32(width)
    return wide
