"""How near the projector comes to the machine's peak: multiply-adds it needs, a second.

Counted are the multiply-adds and adds of the method itself (`emrecon.tomo.kernels.axial` and
`axial_tof`), not the padding of short loops, clearing and copying: fractions are lower bounds.
"""

import sys

import numba
import numpy as np

from emrecon.tomo.kernels import axial, axial_tof
from emrecon.tomo.kernels import axial_tables as tables
from tests.benchmarks import peak

NAMES = ("x0", "y0", "vx", "vy", "cosines", "sines", "s_mm", "half_chord_mm", "fov_mm")
SEGMENTS = ("vz", "half_chord_mm", "tilt", "first", "planes", "offset")


def operations(shape, geometry, timing=None):
    """Return the multiply-adds (or adds) of one projection either way."""
    lines = tables.lines_of(shape, *(geometry[name] for name in NAMES))
    total = 0
    for step in np.unique(geometry["step"]):
        chosen = geometry["step"] == step
        segments = tables.segments_of(chosen, *(geometry[name] for name in SEGMENTS))
        layout = tables.layout_of(shape, int(step), segments, lines)
        if timing is None:
            total += _plain(shape, lines, segments, layout)
        else:
            total += _timed(shape, lines, segments, timing)
    return int(total)


def _plain(shape, lines, segments, layout):
    """Rows: two multiply-adds and three adds a voxel; two multiply-adds a tap and plane."""
    steps = lines.stop - lines.start
    rows = (2 if tables.straight(segments) else 5) * shape[2] * steps.clip(0).sum()
    taps = 0
    for k in range(0, max(shape[:2]), layout.block):
        k0 = np.maximum(k, lines.start)
        n = np.minimum(k + layout.block, lines.stop) - k0
        for g in range(segments.planes.size):
            slope = segments.tilt[g] * segments.slope
            beta = slope * lines.pace[:, None]
            alpha = segments.first[g] + slope * lines.reach + beta * k0
            with np.errstate(invalid="ignore"):
                crossed = np.abs(np.floor(alpha + beta * (n - 1)) - np.floor(alpha))
            taps += segments.planes[g] * np.sum(crossed + 2, where=n > 0)
    return rows + 2 * taps


def _timed(shape, lines, segments, timing):
    """Rows: two multiply-adds a voxel; two a plane and step, and one a time-of-flight bin."""
    steps = (lines.stop - lines.start).clip(0).sum()
    per_step = 2 * timing.reach_mm / timing.width_mm  # bins that a place is shared among
    return steps * (2 * shape[2] + segments.planes.sum() * (2 + per_step))


def arguments(geometry, timing):
    """Return what the kernels of one kind want between image and result."""
    if timing is None:
        return axial, list(geometry.values())
    flight = axial_tof.flight_of(*timing.phases(timing.fwhm_mm / 256), timing.bins)
    return axial_tof, [*geometry.values(), flight]


def cpu_seconds(shape, geometry, timing, repeats):
    """Return the CPU seconds a thread of forward and adjoint."""
    kernels, args = arguments(geometry, timing)
    size = (geometry["cosines"].size, geometry["s_mm"].size, int(geometry["planes"].sum()))
    out = np.zeros(size if timing is None else (timing.bins, *size), np.float32)
    image = np.random.default_rng(0).random(shape, np.float32)
    back = np.empty(shape, np.float32)
    return (
        peak.best(lambda: kernels.forward(image, *args, out), repeats),
        peak.best(lambda: kernels.adjoint(out, *args, back), repeats),
    )


def report(name, shape, geometry, timing=None, repeats=3):
    """Print the rates of both ways on one core and on all, and which part of the peak they are."""
    work = operations(shape, geometry, timing)
    lines = geometry["cosines"].size * geometry["s_mm"].size * geometry["planes"].sum()
    bins = 1 if timing is None else timing.bins
    least = 4 * (lines * bins + np.prod(shape))
    everything = numba.get_num_threads()
    for threads in sorted({1, everything}):
        numba.set_num_threads(threads)
        registers, cache = peak.multiply_adds_per_second()
        stream = peak.bytes_per_second()
        sys.stdout.write(
            f"{threads} threads: {registers / 1e9:.1f} G multiply-adds/s in registers, "
            f"{cache / 1e9:.1f} from first-level cache, {stream / 1e9:.1f} GB/s from memory\n"
        )
        taken = cpu_seconds(shape, geometry, timing, repeats)
        for way, seconds in zip(("forward", "adjoint"), taken, strict=True):
            rate = work / seconds
            sys.stdout.write(
                f"  {name} {way}  {rate / 1e9:5.1f} G/s  {100 * rate / registers:3.0f} % of "
                f"registers  {100 * rate / cache:3.0f} % of cache  memory "
                f"{100 * least / seconds / stream:3.0f} %\n"
            )
    numba.set_num_threads(everything)


def per_bin(shape, geometry, timing, repeats=3):
    """Print what a time-of-flight bin costs, as a share of a projection without."""
    plain = cpu_seconds(shape, geometry, None, repeats)
    timed = cpu_seconds(shape, geometry, timing, repeats)
    for way, one, all_ in zip(("forward", "adjoint"), plain, timed, strict=True):
        sys.stdout.write(
            f"{timing.bins} time-of-flight bins of {timing.width_ps:.0f} ps, {timing.fwhm_ps:.0f} "
            f"ps FWHM, {way}: {all_ / one:5.2f} x without, {all_ / one / timing.bins:.3f} a bin\n"
        )


def per_line(shape, geometry, timing, repeats=5):
    """Print the CPU time of a line on one thread, without time of flight and with all its bins."""
    lines = geometry["cosines"].size * geometry["s_mm"].size * geometry["planes"].sum()
    everything = numba.get_num_threads()
    numba.set_num_threads(1)
    for bins, some in ((1, None), (timing.bins, timing)):
        forward, adjoint = cpu_seconds(shape, geometry, some, repeats)
        sys.stdout.write(
            f"{bins} time-of-flight bins, one thread: forward {1e6 * forward / lines:.3f} us a "
            f"line, adjoint {1e6 * adjoint / lines:.3f} us\n"
        )
    numba.set_num_threads(everything)
