"""Line integrals along random lines: forward and adjoint, with and without time of flight.

``python -m tests.benchmarks.listmode_recon [--events N] [--voxels N] [--fwhm-ps F]`` takes random
lines through 200^3 voxels of 2 mm, on one thread and on all. Told are wall-clock microseconds a
line, the least of some repeats (all kinds are taken in turn, so that a busy stretch hits all), and
the processor's, all threads added up. Forward and adjoint each include finding and sorting the
courses of lines, which are told by themselves too. The lines join random points of a sphere
around the image, as detectors all around would.
"""

import argparse
import sys
import time

import numba
import numpy as np

from emrecon.tomo.geometry.events import CHUNK, Events
from emrecon.tomo.geometry.tof import Timing
from emrecon.tomo.operators.lines import LineProjector
from emrecon.volume import Grid

SIDE_MM = 400.0
WAYS = ("forward", "adjoint", "courses")


def sphere(count, rng):
    """Return events on lines between random points of the sphere around the image."""
    ends = rng.standard_normal((2, count, 3), np.float32)
    ends *= np.float32(SIDE_MM / 2 * np.sqrt(3)) / np.linalg.norm(ends, axis=2, keepdims=True)
    return Events.between_ends(*ends)


def seconds(works, repeats):
    """Return the least wall-clock and processor seconds of each work, all taken in turn."""
    taken = {}
    for _ in range(repeats):
        for name, work in works.items():
            begun = time.perf_counter(), time.process_time()
            work()
            ended = time.perf_counter(), time.process_time()
            taken.setdefault(name, []).append(np.subtract(ended, begun))
    return {name: np.min(some, axis=0) for name, some in taken.items()}


def passes(lines, events, views, back):
    """Return the three things to time over all of some events, by name."""
    values = np.ones(len(events), np.float32)

    def whole(use):
        for at in range(0, len(events), CHUNK):
            some = events.part(at, at + CHUNK)
            use(lines.trace(some), values[at : at + CHUNK])

    return {
        "forward": lambda: whole(lambda course, _: course.forward(views)),
        "adjoint": lambda: whole(lambda course, some: course.adjoint(some, back)),
        "courses": lambda: whole(lambda *_: None),
    }


def samples(lines, events):
    """Return the mean number of samples of a line."""
    traced = lines.trace(events).traced
    used = traced.lines if traced.colours > 1 else slice(None)  # rows: see `Traced`
    return np.sum(traced.layers[used, 7] >> 16) / len(events)


def speed(count, voxels, timing, repeats):
    """Time everything on one thread and on all of them."""
    rng = np.random.default_rng(0)
    grid = Grid.centred((voxels,) * 3, (SIDE_MM / voxels,) * 3)
    lines, plain = LineProjector(grid), sphere(count, rng)
    tof = rng.integers(timing.bins // 3, timing.bins - timing.bins // 3, count).astype(np.int16)
    kinds = {"lines": plain, f"{timing.fwhm_ps:.0f} ps": plain.with_(tof=tof, timing=timing)}
    views, back = lines.views(rng.random(grid.shape, np.float32)), lines.nothing()
    works = {
        (kind, way): work
        for kind, events in kinds.items()
        for way, work in passes(lines, events, views, back).items()
    }
    for events in kinds.values():  # compiles, and touches all memory
        for work in passes(lines, events.part(0, CHUNK), views, back).values():
            work()
    steps = [f"{kind} {samples(lines, some.part(0, CHUNK)):.1f}" for kind, some in kinds.items()]
    sys.stdout.write(f"{count:.0e} lines; samples of each: {', '.join(steps)}\n")
    everything = numba.get_num_threads()
    for threads in sorted({1, everything}):
        numba.set_num_threads(threads)
        report(threads, list(kinds), count, seconds(works, repeats))


def report(threads, kinds, count, taken):
    """Print microseconds a line, and ratios of wall-clock time."""
    for kind in kinds:
        each = [
            "{} {:.3f} us ({:.3f} CPU)".format(way, *(taken[kind, way] * 1e6 / count))
            for way in WAYS
        ]
        ratio = taken[kind, "adjoint"][0] / taken[kind, "forward"][0]
        sys.stdout.write(
            f"{threads} threads, {kind:<6}: {', '.join(each)}; adjoint/forward {ratio:.2f}\n"
        )
    ratios = [f"{way} {np.divide(*(taken[k, way][0] for k in kinds)):.2f}" for way in WAYS]
    sys.stdout.write(f"{threads} threads, without / with time of flight: {', '.join(ratios)}\n")
    sys.stdout.flush()


def main():
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=float, default=1e6)
    parser.add_argument("--voxels", type=int, default=200)
    parser.add_argument("--fwhm-ps", type=float, default=214.0)
    parser.add_argument("--repeats", type=int, default=0, help="5, or 2 beyond 4e6 events")
    asked = parser.parse_args()
    count = int(asked.events)
    repeats = asked.repeats or (5 if count <= 4e6 else 2)
    speed(count, asked.voxels, Timing.of_ps(asked.fwhm_ps, 50.0, 61), repeats)


if __name__ == "__main__":
    main()
