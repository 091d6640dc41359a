"""Bodies to voxels: every column of voxels is crossed by lines whose chords are exact."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from emrecon.compiled import inline, kernel, share
from phantoms.kernels.lines import cut, flat_part, round_part

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_inline = inline()


@_inline
def stretch(
    frames: tuple[Floats, Floats, Ints, Floats, Ints],
    body: int,
    x: float,
    y: float,
    work: Floats,
) -> tuple[float, float, float]:
    """Return the z where the line at (x, y) enters and leaves a body, and how much it counts."""
    matrices, centres, rounds, faces, ends = frames
    start, origin, way, form, flats = work[5], work[6], work[7], work[8], work[9:, :3]
    way[0], way[1], way[2] = 0.0, 0.0, 1.0
    origin[0], origin[1], origin[2] = x, y, 0.0
    for axis in range(3):
        start[axis] = origin[axis] - centres[body, axis]
    round_part(matrices[body], rounds[body], start, way, work, form)
    if form[1] <= 0:
        return 0.0, -1.0, 0.0
    flat_part(faces, ends[body], ends[body + 1], origin, way, flats)
    reach = math.sqrt(form[1]) * form[5]
    count = ends[body + 1] - ends[body]
    inside: tuple[float, float, float]
    inside = cut(flats, count, 0.0, form[3] - reach, form[3] + reach)
    return inside


@_inline
def deposit(low: float, high: float, weight: float, whole: Floats, partial: Floats) -> None:
    """Add what a stretch, in voxels from the column's foot, covers of each voxel.

    `whole` holds differences to be summed up, `partial` what the voxels at the two ends lack.
    """
    count = partial.size
    low, high = max(low, 0.0), min(high, float(count))
    if high <= low:
        return
    first = min(int(low), count - 1)
    last = min(int(high), count - 1)
    whole[first] += weight
    whole[last + 1] -= weight
    partial[first] -= weight * (low - first)
    partial[last] -= weight * (last + 1 - high)


@_inline
def add_column(
    frames: tuple[Floats, Floats, Ints, Floats, Ints],
    body: int,
    place: tuple[float, float, float, float, float, float],
    samples: int,
    value: float,
    work: Floats,
    whole: Floats,
    partial: Floats,
) -> None:
    """Add one body to one column of voxels, with `samples` lines along x and along y."""
    x, y, z, dx, dy, dz = place
    for a in range(samples):
        for b in range(samples):
            across = x + ((a + 0.5) / samples - 0.5) * dx
            up = y + ((b + 0.5) / samples - 0.5) * dy
            low, high, share = stretch(frames, body, across, up, work)
            if high > low:
                weight = value * share / (samples * samples)
                deposit((low - z) / dz + 0.5, (high - z) / dz + 0.5, weight, whole, partial)


@_inline
def outside(box: Floats, x: float, y: float, half_x: float, half_y: float) -> bool:
    """Return whether a column stands beside a body's bounding box."""
    return bool(
        box[0, 0] > x + half_x
        or box[1, 0] < x - half_x
        or box[0, 1] > y + half_y
        or box[1, 1] < y - half_y
    )


@_inline
def most_faces(ends: Ints) -> int:
    """Return the largest number of faces of a body."""
    most = 0
    for body in range(ends.size - 1):
        most = max(most, ends[body + 1] - ends[body])
    return most


@_inline
def store(whole: Floats, partial: Floats, noise: float, out: NDArray[np.float32]) -> None:
    """Write a column's sums, without the rounding noise where bodies cancel."""
    total = 0.0
    for k in range(partial.size):
        total += whole[k]
        value = total + partial[k]
        out[k] = value if abs(value) > noise else 0.0


def columns(
    spacing: Floats,
    origin: Floats,
    frames: tuple[Floats, Floats, Ints, Floats, Ints],
    boxes: Floats,
    values: Floats,
    samples: int,
    out: NDArray[np.float32],
) -> None:
    """Write the mean of the bodies' summed values over each voxel to ``out[i, j, k]``."""
    noise = 1e-12 * float(np.abs(values).sum())
    share(_columns, len(out), spacing, origin, frames, boxes, values, samples, noise, out)


@kernel()
def _columns(
    begin: int,
    end: int,
    spacing: Floats,
    origin: Floats,
    frames: tuple[Floats, Floats, Ints, Floats, Ints],
    boxes: Floats,
    values: Floats,
    samples: int,
    noise: float,
    out: NDArray[np.float32],
) -> None:
    """Write some of the planes of columns."""
    work = np.empty((9 + most_faces(frames[4]), 6))
    whole, partial = np.empty(out.shape[2] + 1), np.empty(out.shape[2])
    for i in range(begin, end):
        x = origin[0] + i * spacing[0]
        for j in range(out.shape[1]):
            y = origin[1] + j * spacing[1]
            place = (x, y, origin[2], spacing[0], spacing[1], spacing[2])
            whole[:] = 0.0
            partial[:] = 0.0
            for body in range(values.size):
                if not outside(boxes[body], x, y, spacing[0] / 2, spacing[1] / 2):
                    add_column(frames, body, place, samples, values[body], work, whole, partial)
            store(whole, partial, noise, out[i, j])


def labels(
    spacing: Floats,
    origin: Floats,
    frames: tuple[Floats, Floats, Ints, Floats, Ints],
    boxes: Floats,
    names: Ints,
    out: NDArray[np.float32],
) -> None:
    """Write the label of the last body that holds each voxel's centre to ``out[i, j, k]``."""
    share(_labels, len(out), spacing, origin, frames, boxes, names, out)


@kernel()
def _labels(
    begin: int,
    end: int,
    spacing: Floats,
    origin: Floats,
    frames: tuple[Floats, Floats, Ints, Floats, Ints],
    boxes: Floats,
    names: Ints,
    out: NDArray[np.float32],
) -> None:
    """Write some of the planes of labels."""
    work = np.empty((9 + most_faces(frames[4]), 6))
    for i in range(begin, end):
        x = origin[0] + i * spacing[0]
        for j in range(out.shape[1]):
            y = origin[1] + j * spacing[1]
            for body in range(names.size):
                if outside(boxes[body], x, y, 0.0, 0.0):
                    continue
                low, high, _ = stretch(frames, body, x, y, work)
                if low > high:  # both may be infinite, which no integer holds
                    continue
                first = max(np.ceil((low - origin[2]) / spacing[2]), 0.0)
                last = min(np.floor((high - origin[2]) / spacing[2]), out.shape[2] - 1.0)
                for k in range(int(first), int(last) + 1):
                    out[i, j, k] = names[body]
