"""One reconstruction in this process and over workers: the same image, and what sharing costs.

``python -m tests.benchmarks.distributed SCAN [--workers 2] [--subsets 21] [--chunks 0]``

SCAN is a folder with scan.toml, such as one made by ``emrecon simulate`` with the scanner "Siemens
Biograph mMR" (5 files of 0.3 GB). Each run is a process of its own, with as many threads in all.
Then every step of a sub-iteration is done by itself, on one worker at a time where it is the
processor time that counts. On a busy machine wall times are upper bounds.
"""

# ruff: noqa: T201 - a benchmark prints

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from operator import attrgetter
from pathlib import Path

import numpy as np

from emrecon import Settings, spread
from emrecon.jobs import Order, no_meters, prepared
from emrecon.spread.share import added, back_projected
from emrecon.tomo.inputs import CameraFacts, Corrections

REPEATS = 5


def clocked(task, *args):
    """Return wall and processor time of a task in a worker, not what it makes."""
    wall, cpu = time.perf_counter(), time.process_time()
    task(*args)
    return time.perf_counter() - wall, time.process_time() - cpu


def peak_mb():
    """Return the most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def order(args):
    """Return what is to be reconstructed."""
    settings = Settings(iterations=1, subsets=args.subsets, threads=args.threads)
    return Order(args.scan, settings, Corrections(), CameraFacts(), (), keyed=False)


def iterate(problem, args):
    """Run some updates; say how long each took, and keep the image."""
    walls, began = [], time.perf_counter()
    for iterate in problem.iterates():
        walls.append(time.perf_counter() - began)
        began = time.perf_counter()
        if iterate.number >= args.updates:
            break
    image = np.asarray(iterate.params)
    np.save(args.out, image)
    print(
        f"  a sub-iteration: median {statistics.median(walls[1:]):.2f} s, least "
        f"{min(walls[1:]):.2f} s; log-likelihood {iterate.log_likelihood!r}"
    )


def alone(args):
    """Reconstruct in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    problem = prepared(order(args), no_meters).problem
    done = time.perf_counter() - wall, time.process_time() - cpu
    print(f"one process: ready after {done[0]:.1f} s, {done[1]:.1f} processor s")
    cpu = time.process_time()
    iterate(problem, args)
    print(f"  {(time.process_time() - cpu) / (args.updates + 1):.2f} processor s each")
    print(f"  peak {peak_mb():.0f} MB")


def shared(args):
    """Reconstruct over workers, and time the steps."""
    with spread.opened(str(args.workers), args.threads) as workers:
        wall = time.perf_counter()
        problem = spread.ready(order(args), no_meters, workers=workers, chunks=args.chunks).problem
        print(f"{args.workers} workers, {problem.facts['chunks']} chunks: ready after "
              f"{time.perf_counter() - wall:.1f} s")  # fmt: skip
        iterate(problem, args)
        steps(problem, workers)
        for n in range(len(workers)):
            print(f"  worker {n}: peak {workers.result(workers.submit(n, peak_mb)):.0f} MB")
    print(f"  client: peak {peak_mb():.0f} MB")


def steps(problem, workers):
    """Time the steps of a sub-iteration one by one."""
    model, state = problem.models[0], problem.start.state
    shares, call = model.spread.shares, lambda n, *a: workers.result(workers.submit(n, *a))
    for n in range(len(workers)):
        call(n, attrgetter("change"), state)
    parts = [
        [call(n, clocked, back_projected, share, state, 0) for _ in range(REPEATS)]
        for n, share in enumerate(shares)
    ]
    for n, times in enumerate(parts):
        say(f"worker {n} projects there and back", times)
    total = model.spread.total(0, back_projected, state, 0)
    size = 4 * np.prod(problem.grid.shape) / 1e6
    say("sum of two images", [call(0, clocked, added, total, total) for _ in range(REPEATS)])
    update = (clocked, model.spread.home.updated, state, total, model.sensitivity)
    say("update of the image", [call(0, *update) for _ in range(REPEATS)])
    none = [timed(call, 0, os.getpid) for _ in range(20)]
    print(f"  a task of nothing, told to the client: {statistics.median(none) * 1e3:.1f} ms")
    moves = []
    for _ in range(REPEATS):
        fresh = workers.submit(0, np.array, workers.submit(0, attrgetter("image"), state))
        call(0, np.shape, fresh)
        moves.append(timed(call, 1, np.shape, fresh))
    print(f"  {size:.0f} MB from worker to worker: median {statistics.median(moves):.3f} s, "
          f"least {min(moves):.3f} s")  # fmt: skip


def say(what, times):
    """Print wall and processor time of a step."""
    walls, cpus = zip(*times, strict=True)
    print(f"  {what}: {statistics.median(walls):.3f} s wall, {statistics.median(cpus):.3f} "
          "processor s")  # fmt: skip


def timed(call, *args):
    """Return the seconds a call takes."""
    began = time.perf_counter()
    call(*args)
    return time.perf_counter() - began


def main():
    """Do both, and compare the images."""
    parser = argparse.ArgumentParser()
    parser.add_argument("scan", type=Path)
    for name, default in (("workers", 2), ("subsets", 21), ("chunks", 0), ("updates", 6)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--threads", type=int, default=1, help="of each worker")
    parser.add_argument("--only", default="")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.only:
        {"alone": alone, "shared": shared}[args.only](args)
        return
    with tempfile.TemporaryDirectory() as name:
        run = partial(subprocess.run, check=True)
        files = [Path(name) / f"{who}.npy" for who in ("alone", "shared")]
        threads = args.threads * args.workers
        for who, file in zip(("alone", "shared"), files, strict=True):
            more = ["--only", who, "--out", str(file)]
            more += ["--threads", str(threads)] if who == "alone" else []
            run([sys.executable, "-m", "tests.benchmarks.distributed", *sys.argv[1:], *more])
        one, two = (np.load(file) for file in files)
    print(f"largest difference of the images over the largest voxel: "
          f"{np.abs(one - two).max() / one.max():.2e}")  # fmt: skip


if __name__ == "__main__":
    main()
