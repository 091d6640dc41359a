"""CPU seconds of the projector kernels, beside a plain line-by-line projector and a sparse matrix.

Run it as ``python -m tests.benchmarks.projector [--quick] [case ...]``.  CPU seconds are those of
all threads together, the best of a few runs; the plain projector runs on every k-th view and is
scaled up, since the whole would take minutes.  ``--quick`` takes every 4th view of everything.
``peak`` says which part of the machine's measured peak they reach, ``tof`` what a time-of-flight
bin costs, ``line`` what a line of 21 such bins takes on one thread.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

import numba
import numpy as np
import scipy.sparse

from emrecon.gaussian import FWHM_PER_SIGMA
from emrecon.tomo.geometry.presets import PRESETS
from emrecon.tomo.geometry.tof import Timing
from emrecon.tomo.kernels import axial, axial_tables, siddon
from tests.benchmarks import roofline, scalar

CASES = ("mmr", "few", "parallel", "peak", "tof", "line")


def _geometry(n, v, nz, views, s_mm, radius, fov, rings):
    """Arrays as the kernels take them; rings: (ring difference, planes, step) of each segment."""
    difference, planes, step = (np.array(column) for column in zip(*rings, strict=True))
    phi = np.arange(views) * np.pi / views
    geometry = {
        "x0": -(n - 1) / 2 * v[0],
        "y0": -(n - 1) / 2 * v[0],
        "vx": v[0],
        "vy": v[0],
        "vz": v[1],
        "cosines": np.cos(phi),
        "sines": np.sin(phi),
        "s_mm": s_mm,
        "half_chord_mm": np.sqrt(np.maximum(radius**2 - s_mm**2, 0)),
        "fov_mm": fov,
        "tilt": difference * 2.0,
        "first": (nz - 1 - (planes - 1) * step) / 2,
        "step": step,
        "planes": planes,
        "offset": np.cumsum(planes) - planes,
    }
    return (n, n, nz), geometry


def mmr():
    """Build an mMR at span 11: 64 rings, 252 x 344 x 837 lines, 344 x 344 x 127 voxels."""
    sizes = [127, 115, 93, 71, 49, 27]
    rings = [(0, 127, 1)] + [(d * g * 11, sizes[g], 1) for g in range(1, 6) for d in (1, -1)]
    s_mm = (np.arange(344) - 171.5) * 2.0445
    return _geometry(344, (2.0445, 2.03125), 127, 252, s_mm, 335.0, 334.0, rings)


def few():
    """Build 16 rings at span 1: 31 segments of 1 to 16 planes, two voxels apart."""
    rings = [(0, 16, 2)] + [(d * g, 16 - g, 2) for g in range(1, 16) for d in (1, -1)]
    s_mm = (np.arange(159) - 79) * 2.0
    return _geometry(128, (2.5, 2.0), 31, 170, s_mm, 220.0, 160.0, rings)


def parallel():
    """Build a stack of 128 slices, each 180 views x 256 bins of 256 x 256 pixels."""
    s_mm = np.arange(256) - 127.5
    return _geometry(256, (1.0, 1.0), 128, 180, s_mm, np.inf, 128.0, [(0, 128, 1)])


def thinned(geometry, every):
    """Take every k-th view."""
    return {
        k: np.ascontiguousarray(a[::every]) if k in {"cosines", "sines"} else a
        for k, a in geometry.items()
    }


def seconds(work, repeats):
    """Return the best CPU seconds of some runs of `work`, after one to warm up."""
    work()
    taken = []
    for _ in range(repeats):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return min(taken)


def matrix(shape, geometry):
    """Return the Joseph weights of one slice as a sparse matrix, (view, bin) by (x, y)."""
    names = ("x0", "y0", "vx", "vy", "cosines", "sines", "s_mm", "half_chord_mm", "fov_mm")
    lines = axial_tables.lines_of(shape, *(geometry[name] for name in names))
    entries = []
    steps = np.arange(max(shape[:2]))
    for v, along_x in enumerate(lines.along_x):
        other = shape[1] if along_x else shape[0]
        t, k = np.nonzero((steps >= lines.start[v][:, None]) & (steps < lines.stop[v][:, None]))
        f = lines.place[v, t] + k * lines.drift[v]
        low = np.floor(f).astype(int)
        for j, weight in ((low, 1 - f + low), (low + 1, f - low)):
            good = (j >= 0) & (j < other)
            pixel = k * shape[1] + j if along_x else j * shape[1] + k
            row = v * lines.start.shape[1] + t
            entries.append((row[good], pixel[good], (weight * lines.length[v])[good]))
    row, pixel, weight = (np.concatenate(part) for part in zip(*entries, strict=True))
    size = (lines.start.size, shape[0] * shape[1])
    return scipy.sparse.csr_matrix((weight.astype(np.float32), (row, pixel)), size)


def against_scalar(name, shape, geometry, every, repeats):
    """Time a scanner, and the plain and the siddon projector on every k-th of its views."""
    rng = np.random.default_rng(0)
    image, ours, plain, rays = rng.random(shape, np.float32), [], [], []
    for module, taken, times, each in (
        (axial, ours, repeats, 1), (siddon, rays, 1, max(1, every // 4)), (scalar, plain, 1, every)
    ):  # fmt: skip
        some = thinned(geometry, each)
        if module is siddon:  # two rays a bin
            aside = np.gradient(some["s_mm"]) / 4
            some["s_mm"] = np.stack([some["s_mm"] - aside, some["s_mm"] + aside], axis=1)
        args = list(some.values())
        out = np.empty((some["cosines"].size, len(some["s_mm"]), some["planes"].sum()), np.float32)
        back = np.empty(shape, np.float32)
        factor = geometry["cosines"].size / some["cosines"].size
        taken.append(factor * seconds(lambda: module.forward(image, *args, out), times))  # noqa: B023
        taken.append(factor * seconds(lambda: module.adjoint(out, *args, back), times))  # noqa: B023
    report(name, ours, plain, "scalar")
    report(name, rays, plain, "siddon: scalar")


def against_matrix(name, shape, geometry, repeats):
    """Time a stack of slices, and one sparse matrix for all of them."""
    rng = np.random.default_rng(0)
    image, args = rng.random(shape, np.float32), list(geometry.values())
    forward = matrix(shape, geometry)
    adjoint = forward.T.tocsr()
    out = np.empty((geometry["cosines"].size, geometry["s_mm"].size, shape[2]), np.float32)
    flat = image.reshape(-1, shape[2])
    data, back = (forward @ flat), np.empty(shape, np.float32)
    ours, theirs = [], []
    ours.append(seconds(lambda: axial.forward(image, *args, out), repeats))
    theirs.append(seconds(lambda: forward @ flat, repeats))
    ours.append(seconds(lambda: axial.adjoint(out, *args, back), repeats))
    theirs.append(seconds(lambda: adjoint @ data, repeats))
    report(name, ours, theirs, "sparse matrix")


def report(name, ours, other, what):
    """Print a line a direction."""
    for way, mine, theirs in zip(("forward", "adjoint"), ours, other, strict=True):
        sys.stdout.write(
            f"{name:<9} {way}  {mine:7.2f} s   {what} {theirs:8.2f} s   {theirs / mine:6.1f} x\n"
        )
        sys.stdout.flush()


def compile_seconds():
    """Return the CPU seconds that a first call of both kernels takes in an empty cache."""
    code = (
        "import time; import numpy as np; from tests.benchmarks import projector as p\n"
        "shape, g = p.few(); g = p.thinned(g, 85); a = list(g.values())\n"
        "image, out = np.ones(shape, np.float32), np.empty((2, 159, 256), np.float32)\n"
        "begun = time.process_time()\n"
        "p.axial.forward(image, *a, out); p.axial.adjoint(out, *a, image)\n"
        "print(time.process_time() - begun)"
    )
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "NUMBA_CACHE_DIR": empty},
            capture_output=True,
            check=True,
        )
    return float(done.stdout)


def main():
    """Run the cases asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="every 4th view only")
    parser.add_argument("cases", nargs="*", default=CASES)
    asked = parser.parse_args()
    quick = 4 if asked.quick else 1
    sys.stdout.write(f"{numba.get_num_threads()} threads; {compile_seconds():.1f} s to compile\n")
    for name, make, every, repeats in (("mmr", mmr, 42, 2), ("few", few, 10, 5)):
        if name in asked.cases:
            shape, geometry = make()
            against_scalar(name, shape, thinned(geometry, quick), every // quick, repeats)
    if "parallel" in asked.cases:
        shape, geometry = parallel()
        against_matrix("parallel", shape, thinned(geometry, quick), 5)
    shape, geometry = mmr()
    if "peak" in asked.cases:
        roofline.report("mmr", shape, thinned(geometry, quick))
    if "tof" in asked.cases:
        few_views = thinned(geometry, 42)  # all would take 10 GB
        for timing in (scanner.timing for scanner in PRESETS.values() if scanner.timing):
            roofline.per_bin(shape, few_views, timing)
        roofline.report("tof", shape, few_views, PRESETS["Vision 600"].timing)
    if "line" in asked.cases:
        shape, geometry = few()
        timing = Timing(19.1 * FWHM_PER_SIGMA, 15.0, 21)
        roofline.per_line(shape, thinned(geometry, 5 * quick), timing)


if __name__ == "__main__":
    main()
