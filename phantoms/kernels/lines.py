"""Exact line integrals of bodies for every bin of a sinogram.

For one view, bin and segment the direction of the line is fixed and its mid-point climbs with
the plane's z. With ``w`` the direction and ``a + z m`` the mid-point in a body's own frame, the
line meets the round part where ``disc = |w|^2 - |w x (a + z m)|^2 > 0``, a parabola in z. So the
planes that meet a body are one run, found without looking at the others.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from emrecon.compiled import inline, kernel, share
from emrecon.tomo.geometry.tof import SIGMAS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Pair = tuple[float, float]

_inline = inline()

CUT = SIGMAS / math.sqrt(2)
"""Where time of flight's Gaussian is cut off, in units of sigma sqrt(2)."""

TAIL, LAST, ROOT_PI = math.erfc(CUT) / 2, math.exp(-(CUT**2)), math.sqrt(math.pi)

PARALLEL = 1e-10
"""Below this cosine a line runs along a face instead of across."""

WITHIN_MM = 1e-9
"""A line that runs along a face, and no farther from it, lies in it and counts half.

So bodies that share a face, such as the parts of a torso, add up to a whole there.
"""


@_inline
def dot(a: Floats, b: Floats) -> float:
    """Return the scalar product of two 3-vectors."""
    return float(a[0] * b[0] + a[1] * b[1] + a[2] * b[2])


@_inline
def cross(a: Floats, b: Floats, out: Floats) -> None:
    """Write the vector product of two 3-vectors to `out`."""
    out[0] = a[1] * b[2] - a[2] * b[1]
    out[1] = a[2] * b[0] - a[0] * b[2]
    out[2] = a[0] * b[1] - a[1] * b[0]


@_inline
def to_frame(matrix: Floats, rounds: int, x: float, y: float, z: float, out: Floats) -> None:
    """Write the first `rounds` components of ``matrix (x, y, z)`` to `out`, 0 for the others."""
    for row in range(3):
        out[row] = 0.0
        if row < rounds:
            out[row] = matrix[row, 0] * x + matrix[row, 1] * y + matrix[row, 2] * z


@_inline
def parabola(p0: Floats, p1: Floats, limit: float) -> tuple[float, float, float]:
    """Return (middle, height, bend) of the parabola ``limit - |p0 + z p1|^2``.

    It is ``height - bend (z - middle)^2``.
    """
    bend = dot(p1, p1)
    if bend < 1e-22:
        return 0.0, limit - dot(p0, p0), 0.0
    middle = -dot(p0, p1) / bend
    height = limit
    for axis in range(3):
        height -= (p0[axis] + middle * p1[axis]) ** 2
    return middle, height, bend


@_inline
def round_part(
    matrix: Floats,
    rounds: int,
    start: Floats,
    way: Floats,
    work: Floats,
    form: Floats,
) -> None:
    """Write to `form` where the round part of a body lies along the lines of one segment.

    `form` is (middle, height, bend) of the disc's parabola in z, the line parameter halfway
    through the body at z = 0, its growth with z, and what turns a disc's root to a length.
    """
    a, m, w = work[0], work[1], work[2]
    to_frame(matrix, rounds, start[0], start[1], start[2], a)
    to_frame(matrix, rounds, 0.0, 0.0, 1.0, m)
    to_frame(matrix, rounds, way[0], way[1], way[2], w)
    square = dot(w, w)
    if square < 1e-24:  # a box, or a line along a cylinder's axis
        form[0], form[1], form[2] = parabola(a, m, 1.0)
        form[3], form[4], form[5] = 0.0, 0.0, np.inf
        return
    cross(w, a, work[3])
    cross(w, m, work[4])
    form[0], form[1], form[2] = parabola(work[3], work[4], square)
    form[3], form[4], form[5] = -dot(w, a) / square, -dot(w, m) / square, 1.0 / square


@_inline
def flat_part(
    faces: Floats, first: int, last: int, start: Floats, way: Floats, out: Floats
) -> None:
    """Write to `out` where lines cross each face: parameter at z = 0, its growth with z, side.

    A side of +1 bounds the line above, -1 below; with 0 the line runs along the face and is
    inside where the "parameter" is not negative.
    """
    for face in range(first, last):
        normal = faces[face]
        climb = dot(normal, way)
        room = normal[3] - dot(normal, start)
        row = out[face - first]
        if abs(climb) > PARALLEL:
            row[0], row[1] = room / climb, -normal[2] / climb
            row[2] = 1.0 if climb > 0 else -1.0
        else:
            row[0], row[1], row[2] = room, -normal[2], 0.0


@_inline
def cut(
    flats: Floats, count: int, z: float, low: float, high: float
) -> tuple[float, float, float]:
    """Return the part of a stretch of line that lies within every face, and how much it counts."""
    share = 1.0
    for face in range(count):
        at = flats[face, 0] + flats[face, 1] * z
        side = flats[face, 2]
        if side > 0:
            high = min(high, at)
        elif side < 0:
            low = max(low, at)
        elif at < -WITHIN_MM:
            high = -np.inf
        elif at <= WITHIN_MM:
            share *= 0.5
    return low, high, share


@_inline
def run(form: Floats, first: float, step: float, count: int) -> tuple[int, int]:
    """Return the first plane that may meet the round part, and the one after the last."""
    if form[1] <= 0:
        return 0, 0
    if form[2] == 0:
        return 0, count
    half = math.sqrt(form[1] / form[2])
    low = np.ceil((form[0] - half - first) / step)
    high = np.floor((form[0] + half - first) / step) + 1
    return int(min(max(low, 0.0), float(count))), int(min(max(high, 0.0), float(count)))


@_inline
def below(x: float) -> float:
    """Return the integral up to `x` of the share of a Gaussian, cut off at 3 sigma, below a place.

    In units of sigma sqrt(2): the share is 0 up to -CUT and 1 from CUT on.
    """
    if x <= -CUT:
        return 0.0
    inside = min(x, CUT)
    full = inside * math.erf(inside) + (math.exp(-inside * inside) - LAST) / ROOT_PI
    full = 0.5 * (full + inside - CUT * math.erf(CUT) + CUT)
    return (full - TAIL * (inside + CUT)) / (1.0 - 2.0 * TAIL) + max(x - CUT, 0.0)


@_inline
def add_flight(low: float, high: float, value: float, flight: Pair, row: Floats) -> None:
    """Add a stretch of line to its time-of-flight bins: `value` times the length that each counts.

    `flight` is (sigma, width of a bin), like the stretch in units of the line's parameter. A bin
    from e to f counts the share S(f - l) - S(e - l) of the place l, with S the Gaussian's share
    below; so over the stretch differences of the integral of S.
    """
    scale = flight[0] * math.sqrt(2.0)
    past = 0.0
    for tof in range(row.size + 1):
        edge = (tof - row.size / 2) * flight[1]
        here = scale * (below((edge - low) / scale) - below((edge - high) / scale))
        if tof:
            row[tof - 1] += value * (here - past)
        past = here


@_inline
def add_planes(
    form: Floats,
    flats: Floats,
    count: int,
    half: float,
    first: float,
    step: float,
    weight: float,
    flight: Pair,
    row: Floats,
) -> None:
    """Add weight times chord to the planes ``row[tof, plane]`` of one segment."""
    start, stop = run(form, first, step, row.shape[1])
    for plane in range(start, stop):
        z = first + plane * step
        disc = form[1] - form[2] * (z - form[0]) ** 2
        if disc <= 0:
            continue
        reach = math.sqrt(disc) * form[5]
        middle = form[3] + form[4] * z
        low, high = max(-half, middle - reach), min(half, middle + reach)
        low, high, share = cut(flats, count, z, low, high)
        if high > low and flight[0] > 0:
            add_flight(low, high, weight * share, flight, row[:, plane])
        elif high > low:
            row[0, plane] += weight * share * (high - low)


@_inline
def add_body(
    frames: tuple[Floats, Floats, Ints, Floats, Ints],
    body: int,
    line: tuple[float, float, float, float],
    segments: Floats,
    value: float,
    flight: Pair,
    work: Floats,
    row: Floats,
) -> None:
    """Add one body's integrals to the planes of all segments; see `sinogram`."""
    matrices, centres, rounds, faces, ends = frames
    cos, sin, s, half = line
    start, origin, way, form, flats = work[5], work[6], work[7], work[8], work[9:, :3]
    first, last = ends[body], ends[body + 1]
    offset = 0
    for segment in range(segments.shape[0]):
        count = int(segments[segment, 0])
        climb = 0.0 if math.isinf(half) else segments[segment, 3] / (2 * half)
        gain = math.sqrt(1 + climb * climb)
        way[0], way[1], way[2] = -sin, cos, climb
        origin[0], origin[1], origin[2] = s * cos, s * sin, 0.0
        for axis in range(3):
            start[axis] = origin[axis] - centres[body, axis]
        round_part(matrices[body], rounds[body], start, way, work, form)
        flat_part(faces, first, last, origin, way, flats)
        add_planes(
            form,
            flats,
            last - first,
            half,
            segments[segment, 1],
            segments[segment, 2],
            value * gain,
            (flight[0] / gain, flight[1] / gain),
            row[:, offset : offset + count],
        )
        offset += count


def sinogram(
    phi: Floats,
    s: Floats,
    half: Floats,
    segments: Floats,
    frames: tuple[Floats, Floats, Ints, Floats, Ints],
    shadows: Floats,
    values: Floats,
    flight: Pair,
    out: NDArray[np.float32],
) -> None:
    """Write the line integrals of all bodies to ``out[tof, view, bin, plane]``.

    `segments` has rows (planes, first z, step, tilt), `frames` holds the bodies: matrices to
    their own frames, centres, numbers of round axes, faces of all bodies, and where each body's
    faces start. `shadows[view, body]` is (centre, half width) of a body seen along the view.
    `flight` is (sigma, bin width) of time of flight in mm, or zeros without: one bin then.
    """
    share(_views, phi.size, phi, s, half, segments, frames, shadows, values, flight, out)


@kernel()
def _views(
    begin: int,
    end: int,
    phi: Floats,
    s: Floats,
    half: Floats,
    segments: Floats,
    frames: tuple[Floats, Floats, Ints, Floats, Ints],
    shadows: Floats,
    values: Floats,
    flight: Pair,
    out: NDArray[np.float32],
) -> None:
    """Write some of the views."""
    faces = 0
    for body in range(values.size):
        faces = max(faces, frames[4][body + 1] - frames[4][body])
    work = np.empty((9 + faces, 6))
    row = np.empty((out.shape[0], out.shape[3]))
    for view in range(begin, end):
        cos, sin = math.cos(phi[view]), math.sin(phi[view])
        for at in range(s.size):
            row[...] = 0.0
            line = (cos, sin, s[at], half[at])
            for body in range(values.size):
                if abs(s[at] - shadows[view, body, 0]) <= shadows[view, body, 1]:
                    add_body(frames, body, line, segments, values[body], flight, work, row)
            for tof in range(row.shape[0]):  # one by one: it compiles in a third of the time
                for plane in range(row.shape[1]):
                    out[tof, view, at, plane] = row[tof, plane]
