"""Line integrals along random lines, and the memory that many events take.

``python -m tests.benchmarks.listmode_recon [--events N] [--voxels N] [--fwhm-ps F]`` takes random
lines through 200^3 voxels of 2 mm: microseconds of processor time a line (all threads added up),
forward and back, each with finding the courses of lines, without and with time of flight.
The lines join random points of a sphere around the image, as detectors all around would.

``--memory N`` makes N events of a ring scanner in a folder and takes one EM update over them: the
most memory that the process ever held. ``--voxels 50`` keeps it short; events, not voxels, matter.
"""

import argparse
import resource
import sys
import time

import numba
import numpy as np

from emrecon.em import em, last, until
from emrecon.io.event_store import building
from emrecon.stop import after
from emrecon.tomo.detectors import crystal_centres
from emrecon.tomo.events import CHUNK, Events
from emrecon.tomo.lines import LineProjector
from emrecon.tomo.listmode_emission import ListmodeEmission
from emrecon.tomo.presets import by_name
from emrecon.tomo.tof import Timing
from emrecon.volume import Grid

SIDE_MM = 400.0


def sphere(count, rng):
    """Return events on lines between random points of the sphere around the image."""
    ends = rng.normal(size=(2, count, 3)).astype(np.float32)
    ends *= SIDE_MM / 2 * np.sqrt(3) / np.linalg.norm(ends, axis=2, keepdims=True)
    return Events.between_ends(*ends)


def seconds(work, repeats=3):
    """Return the best processor seconds of some runs, after one to warm up."""
    work()
    taken = []
    for _ in range(repeats):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return min(taken)


def passes(lines, events, views, back):
    """Return microseconds a line: forward, adjoint, and finding the course, part of both."""
    count = len(events)
    values = np.ones(count, np.float32)

    def forward(some, at):
        lines.trace(some).forward(views)

    def adjoint(some, at):
        lines.trace(some).adjoint(values[at : at + CHUNK], back)

    def course(some, at):
        lines.trace(some)

    def whole(work):
        for at in range(0, count, CHUNK):
            work(events.part(at, at + CHUNK), at)

    repeats = 3 if count <= CHUNK else 1
    return [
        seconds(lambda work=work: whole(work), repeats) / count * 1e6
        for work in (forward, adjoint, course)
    ]


def speed(count, voxels, timing):
    """Time forward and adjoint, without and with time of flight."""
    rng = np.random.default_rng(0)
    grid = Grid.centred((voxels,) * 3, (SIDE_MM / voxels,) * 3)
    lines, plain = LineProjector(grid), sphere(count, rng)
    tof = rng.integers(timing.bins // 3, timing.bins - timing.bins // 3, count).astype(np.int16)
    views, back = lines.views(rng.random(grid.shape, np.float32)), lines.nothing()
    times = {}
    for name, events in (("lines", plain), ("TOF", plain.with_(tof=tof, timing=timing))):
        f, b, c = times[name] = passes(lines, events, views, back)
        span = lines.trace(events.part(0, CHUNK)).traced.span[:, 7]
        steps = np.mean((span >> 16) - (span & 0xFFFF))
        sys.stdout.write(
            f"{name:<6} {count:.0e} events, {steps:5.1f} samples each: forward {f:.3f} us, "
            f"adjoint {b:.3f} us ({c:.3f} us of each for the course); ratio {b / f:.2f}\n"
        )
        sys.stdout.flush()
    ratios = [a / b for a, b in zip(times["lines"], times["TOF"], strict=True)]
    sys.stdout.write(f"TOF is {ratios[0]:.1f} x faster forward, {ratios[1]:.1f} x back\n")


def memory(count, voxels):
    """Make events in a folder, take an update over them, and tell the most memory held."""
    scanner = by_name("mMR")
    rng = np.random.default_rng(1)
    grid = Grid.centred((voxels,) * 3, (300.0 / voxels,) * 3)
    points, crystals = crystal_centres(scanner), scanner.crystals
    with building(None, points) as store:
        for begin in range(0, count, CHUNK):
            some = min(CHUNK, count - begin)
            one = rng.integers(0, len(points), some)
            turned = rng.integers(crystals // 3, 2 * crystals // 3, some)
            two = one // crystals * crystals + (one + turned) % crystals
            background = np.full(some, 1e-3, np.float32)
            store.add(pairs=np.stack([one, two], 1), background=background)
        events = store.events()
        model = ListmodeEmission(LineProjector(grid, 200.0), events, np.ones(grid.shape, "f4"))
        begun = time.process_time(), time.perf_counter()
        last(until(em([model, model], np.ones(grid.shape, np.float32)), after(0)))
        cpu, wall = time.process_time() - begun[0], time.perf_counter() - begun[1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    sys.stdout.write(
        f"{count:.0e} events, {voxels}^3 voxels: one pass {cpu:.0f} CPU s, {wall:.0f} s; most "
        f"memory held {peak:.2f} GB, mapped files included\n"
    )


def main():
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=float, default=1e6)
    parser.add_argument("--voxels", type=int, default=200)
    parser.add_argument("--fwhm-ps", type=float, default=214.0)
    parser.add_argument("--memory", type=float, default=0)
    asked = parser.parse_args()
    sys.stdout.write(f"{numba.get_num_threads()} threads\n")
    if asked.memory:
        memory(int(asked.memory), asked.voxels)
        return
    speed(int(asked.events), asked.voxels, Timing.of_ps(asked.fwhm_ps, 50.0, 61))


if __name__ == "__main__":
    main()
