"""How fast the projectors are on this machine, beside others in the same run.

Run it as ``python -m tests.benchmarks [--rounds N]``: some minutes.  Times are CPU seconds of one
thread for all views, the median of rounds in which everything takes its turn; all but the sparse
matrix is timed on some of the views and scaled up.  A ratio is what the other takes over ours.
"""

import argparse
import platform
import statistics
import sys
import time
from pathlib import Path

import numba
import numpy as np
from numba.core.registry import cpu_target

from emrecon.tomo.geometry.presets import PRESETS
from emrecon.tomo.kernels import axial, simd
from emrecon.tomo.operators.joseph import JosephProjector
from tests.benchmarks import peers, projector, scalar


def machine():
    """Say which processor this is, and what kernels are compiled for."""
    _, name, features = cpu_target.target_context.codegen().magic_tuple()
    model = platform.processor() or platform.machine()
    listed = Path("/proc/cpuinfo")
    if listed.exists():
        models = [
            line for line in listed.read_text().splitlines() if line.startswith("model name")
        ]
        model = models[0].split(":")[1].strip() if models else model
    known = ("avx512f", "avx2", "fma", "neon", "sve")
    has = [each for each in known if f"+{each}" in features.split(",")]
    return f"{model}; compiled for {name} ({', '.join(has) or 'no extension'}), {simd.LANES} lanes"


def mmr(size, voxel_mm):
    """Describe the mMR at span 11, with voxels of any size."""
    (_, _, planes), geometry = projector.mmr()
    geometry |= dict.fromkeys(("x0", "y0"), -(size - 1) / 2 * voxel_mm)
    return (size, size, planes), geometry | dict.fromkeys(("vx", "vy"), voxel_mm)


def hr_plus():
    """Describe the HR+ at span 9: 144 x 288 x 239 lines, 129 x 129 x 63 voxels."""
    bins = PRESETS["HR+"].bins(span=9, max_ring_difference=22, views=144, arc_corrected=True)
    grid = bins.grid((5.0, 5.0, 2.425), (129, 129, 63))
    return grid.shape, JosephProjector(grid, bins)._geometry


def own(module):
    """Make the work of both ways by kernels that are called as `axial` is."""

    def work(shape, geometry, image, data):
        args, out, back = list(geometry.values()), np.empty_like(data), np.empty(shape, np.float32)
        return (
            lambda: module.forward(image, *args, out),
            lambda: module.adjoint(data, *args, back),
        )

    return work


OURS, PLAIN = ("emrecon", own(axial), 6), ("plain Joseph", own(scalar), 126)
RINGS = (OURS, PLAIN, ("parallelproj", peers.parallelproj, 126))
STACK = (
    ("emrecon", own(axial), 1), ("scipy CSR", peers.sparse, 1), ("ASTRA", peers.astra, 12)
)  # fmt: skip
CASES = {
    "mMR span 11, 172 x 172 x 127": (lambda: mmr(172, 4.089), RINGS),
    "mMR span 11, 344 x 344 x 127": (projector.mmr, RINGS),
    "HR+ span 9, 129 x 129 x 63": (hr_plus, RINGS),
    "parallel beams, 128 x 256 x 256": (projector.parallel, STACK),
}


def prepared(shape, geometry, projectors):
    """Return name, both ways, and what scales them to all views, of every one that is there."""
    image, ready = np.random.default_rng(0).random(shape, np.float32), []
    for name, work, every in projectors:
        some = projector.thinned(geometry, every)
        size = (some["cosines"].size, some["s_mm"].size, int(some["planes"].sum()))
        data = np.random.default_rng(1).random(size, np.float32)
        try:
            ways = work(shape, some, image, data)
        except ImportError:
            continue
        ready.append((name, ways, geometry["cosines"].size / size[0]))
    return ready


def medians(ready, rounds):
    """Return the median CPU seconds of each way, each in turn, after one round to warm up."""
    taken = {(name, way): [] for name, _, _ in ready for way in (0, 1)}
    for number in range(rounds + 1):
        for name, ways, factor in ready:
            for way, work in enumerate(ways):
                begun = time.process_time()
                work()
                if number:
                    taken[name, way].append(factor * (time.process_time() - begun))
    return {key: statistics.median(seconds) for key, seconds in taken.items()}


def main():
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    numba.set_num_threads(1)
    write = sys.stdout.write
    write(f"{machine()}\n\n| case | projector | forward | adjoint | ratios |\n")
    write("|---|---|---|---|---|\n")
    for case, (make, projectors) in CASES.items():
        ready = prepared(*make(), projectors)
        seconds = medians(ready, rounds)
        for name, _, _ in ready:
            both = [seconds[name, way] for way in (0, 1)]
            ratios = [seconds[name, way] / seconds["emrecon", way] for way in (0, 1)]
            write(f"| {case} | {name} | {both[0]:.2f} | {both[1]:.2f} | ")
            write(f"{ratios[0]:.1f}, {ratios[1]:.1f} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
