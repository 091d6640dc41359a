"""Tables for the kernels of `axial`: where each line is at each step, and how rows are kept."""

from collections import namedtuple

import numpy as np

from emrecon.tomo.kernels.simd import AVX512, LANES

BLOCK = 32  # steps in a block, at most
# Numbers that a block reads and keeps, at most: a first-level cache of 32 kB, or, with AVX-512,
# where the second level is as good, twice that.
CACHED = 1 << (14 if AVX512 else 13)
PASS = 8  # steps or taps in a pass of a compiled loop in double length: tables have room

# Lines: step k = start ... stop - 1 lies at the signed distance reach + k pace, and at the index
# place + k drift of the axis that is not stepped along.
Lines = namedtuple("Lines", "start stop place reach drift pace length along_x")
# Segments of one plane spacing: axial position first + p step + tilt slope[bin] distance.
Segments = namedtuple("Segments", "first tilt planes offset slope gain")
# Groups of segments begin ... end - 1 and their planes offset ... offset + planes - 1 in a line.
Groups = namedtuple("Groups", "begin end offset planes lane whole")
# Rows are `step` phases of `size` voxels; in a block, at least `margin` voxels lie between them,
# and each begins `pitch` after the one before. All three are whole vectors.
Layout = namedtuple("Layout", "step size margin pitch block taps")

# Room for one task of `axial`: rows Q, S and Z of a block, Z at each of its steps, and taps.
Room = namedtuple("Room", "x z where near far")


def rounded(count, to):
    """Round up to a multiple."""
    return -(-count // to) * to


def lines_of(shape, x0, y0, vx, vy, cosines, sines, s_mm, half_chord_mm, fov_mm):
    """Say where each line is at each step; shared, so that both ways take the same samples."""
    c, s = np.asarray(cosines, float)[:, None], np.asarray(sines, float)[:, None]
    u, half = np.asarray(s_mm, float), np.asarray(half_chord_mm, float)
    along_x = np.abs(s) > np.abs(c)
    count, other = np.where(along_x, shape[0], shape[1]), np.where(along_x, shape[1], shape[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        pace = np.where(along_x, -vx / s, vy / c)
        reach = np.where(along_x, (u * c - x0) / s, (y0 - u * s) / c)
        drift = np.where(along_x, pace * c / vy, -pace * s / vx)
        place = np.where(along_x, (u * s + reach * c - y0) / vy, (u * c - reach * s - x0) / vx)
        limit = np.minimum(np.sqrt(fov_mm**2 - u**2), np.where(half > 0, half, np.nan))
        rim = np.sort([(-limit - reach) / pace, (limit - reach) / pace], axis=0)
        # Up to one voxel beyond the outermost centres, where the interpolation reaches zero.
        side = np.sort([(-1 - place) / drift, (other - place) / drift], axis=0)
    level, inside = drift == 0, (place > -1) & (place < other)
    side[0] = np.where(level, np.where(inside, -2, np.inf), side[0])
    side[1] = np.where(level, np.inf, side[1])
    # A sample right on the rim is in, whatever its last bits say.
    start = np.fmax(np.ceil(rim[0] - 1e-9), np.floor(side[0]) + 1)
    stop = np.fmin(np.floor(rim[1] + 1e-9) + 1, np.ceil(side[1]))
    stop = np.where(limit > 0, stop, 0)
    start, stop = (np.clip(a, 0, count).astype(np.int64) for a in (start, stop))
    per_view = [np.ascontiguousarray(a[:, 0]) for a in (drift, pace, np.abs(pace), along_x)]
    return Lines(start, stop, place, reach, *per_view)


def segments_of(chosen, vz, half_chord_mm, tilt, first, planes, offset):
    """Take the chosen segments; `gain` is the path length over its transaxial part."""
    half = np.asarray(half_chord_mm, float)
    with np.errstate(divide="ignore"):
        slope = np.where(half > 0, 0.5 / half, 0.0)
    first, tilt = (np.asarray(a, float)[chosen] for a in (first, tilt))
    planes, offset = (np.asarray(a, np.int64)[chosen] for a in (planes, offset))
    gain = np.hypot(1.0, np.outer(slope, tilt * vz))
    return Segments(first, tilt, planes, offset, slope, gain)


def grouped(segments):
    """Sort segments by their place in a line; side by side and as oblique, they are a group.

    A group has a place `lane` of its own in a row of whole vectors. Its first `whole` planes are
    copied in whole vectors: as it is done in order, what goes beyond the group is then put right,
    if it does not go beyond the planes that lie side by side.
    """
    order = np.argsort(segments.offset, kind="stable")
    first, tilt, planes, offset = (array[order] for array in segments[:4])
    gain = np.ascontiguousarray(segments.gain[:, order])
    segments = Segments(first, tilt, planes, offset, segments.slope, gain)
    ends = offset + planes
    apart = offset[1:] != ends[:-1]
    last = np.flatnonzero(np.r_[apart, True])
    unlike = apart | (np.abs(tilt[1:]) != np.abs(tilt[:-1]))
    begin, end = np.flatnonzero(np.r_[True, unlike]), np.flatnonzero(np.r_[unlike, True])
    room = ends[last[np.searchsorted(last, end)]] - offset[begin]
    planes = ends[end] - offset[begin]
    full = rounded(planes, LANES)
    whole = np.where(full <= room, full, planes // LANES * LANES)
    return segments, Groups(begin, end + 1, offset[begin], planes, np.cumsum(full) - full, whole)


def layout_of(shape, step, segments, lines):
    """Settle row lengths, steps in a block and the most taps that a segment can need in one."""
    size = rounded(-(-shape[2] // step), LANES)
    # A line between its detectors runs through half its tilt either way.
    first, half = segments.first, np.abs(segments.tilt) / 2 * np.any(segments.slope)
    last = first + (segments.planes - 1) * step
    beyond = max(np.max(half - first), np.max(last + half - shape[2]))
    margin = rounded(min(max(2, int(beyond // step) + 4), int(segments.planes.max()) + 1), LANES)
    pitch = size + margin
    per_step = 2 * step * (size + pitch)  # two columns, and the rows Z and Q
    block = min(BLOCK, max(8, min(CACHED // per_step, -(-min(shape[:2]) // 6))))
    steepest = 2 * half.max() * segments.slope.max() * np.abs(lines.pace).max(initial=0)
    taps = max(4 + int(np.ceil(steepest * block)), block) + PASS
    return Layout(step, size, margin, pitch, block, taps)


def straight(segments):
    """Return 1 where no segment is tilted, else None: numba leaves out what only 1 would reach."""
    return None if np.any(np.outer(segments.slope, segments.tilt)) else 1


def room(layout):
    """Return room for one task; see `Room`."""
    length = layout.step * (layout.block + 3) * layout.pitch + layout.margin
    starts, (near, far) = np.zeros(layout.taps, np.int64), np.zeros((2, layout.taps), np.float32)
    return Room(aligned(length), aligned(length), starts, near, far)


def aligned(length):
    """Return zeros from the beginning of a cache line on, some vectors more than asked for."""
    numbers = np.zeros(length + 5 * LANES, np.float32)
    return numbers[-(numbers.ctypes.data // 4) % LANES :]


def split(image, layout):
    """Return the image as rows, which is itself where its columns are rows already."""
    if layout.step == 1 and layout.size == image.shape[2]:
        return image
    rows = empty_rows(image.shape, layout)
    for phase in range(layout.step):
        planes = image[:, :, phase :: layout.step]
        rows[:, :, phase * layout.size :][:, :, : planes.shape[2]] = planes
    return rows


def empty_rows(shape, layout):
    """Return rows of zeros for an image of that shape."""
    return np.zeros((*shape[:2], layout.step * layout.size), np.float32)


def join(rows, layout, image):
    """Add rows to the image."""
    for phase in range(layout.step):
        planes = image[:, :, phase :: layout.step]
        planes += rows[:, :, phase * layout.size :][:, :, : planes.shape[2]]


def sealed(array):
    """Look at an array read-only, so that numba compiles one kernel for all that comes."""
    view = array.view()
    view.flags.writeable = False
    return view
