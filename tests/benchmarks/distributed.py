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
from pathlib import Path

import numpy as np

from emrecon import Settings
from emrecon.jobs.recon_images import Load
from emrecon.tomo.chunks import back_projections, expectations
from emrecon.tomo.inputs import CameraFacts, Corrections
from emrecon.tomo.listmode import EVERYTHING
from emrecon.tomo.prepare import prepare
from emrecon.tomo.sharing import share
from emrecon.workers import opened

REPEATS = 5


def clocked(task, *args):
    """Return wall and processor time of a task in a worker, not what it makes."""
    wall, cpu = time.perf_counter(), time.process_time()
    task(*args)
    return time.perf_counter() - wall, time.process_time() - cpu


def peak_mb():
    """Return the most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def chosen(args):
    """Return what opens the scan, and how it is reconstructed."""
    settings = Settings(iterations=1, subsets=args.subsets, threads=args.threads)
    load = Load(args.scan, Corrections(), CameraFacts(), "", EVERYTHING, events=False)
    return load, settings


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
    load, settings = chosen(args)
    with load(None) as scan:
        problem = prepare(scan.folded(), settings)
    done = time.perf_counter() - wall, time.process_time() - cpu
    print(f"one process: ready after {done[0]:.1f} s, {done[1]:.1f} processor s")
    cpu = time.process_time()
    iterate(problem, args)
    print(f"  {(time.process_time() - cpu) / (args.updates + 1):.2f} processor s each")
    print(f"  peak {peak_mb():.0f} MB")


def shared(args):
    """Reconstruct over workers, and time the steps."""
    with opened(str(args.workers), args.threads) as workers:
        wall = time.perf_counter()
        problem = share(workers, *chosen(args), args.chunks)
        print(f"{args.workers} workers, {problem.facts['chunks']} chunks: ready after "
              f"{time.perf_counter() - wall:.1f} s")  # fmt: skip
        iterate(problem, args)
        steps(problem, workers)
        for n in range(len(workers)):
            print(f"  worker {n}: peak {workers.result(workers.submit(n, peak_mb)):.0f} MB")
    print(f"  client: peak {peak_mb():.0f} MB")


def steps(problem, workers):
    """Time the steps of a sub-iteration one by one."""
    likelihood, image = problem.likelihoods[0], problem.start
    pool, subset = likelihood.pool, likelihood.subset
    call = lambda n, *a: workers.result(workers.submit(n, *a))  # noqa: E731
    there = workers.place(image)
    for n, own in enumerate(pool.shares):
        expected = workers.submit(n, expectations, own, subset, there)
        compared = [call(n, clocked, expectations, own, subset, there) for _ in range(REPEATS)]
        back = (clocked, back_projections, own, expected, subset)
        say(f"worker {n} projects and compares", compared)
        say(f"worker {n} projects back", [call(n, *back) for _ in range(REPEATS)])
    size = 4 * np.prod(problem.grid.shape) / 1e6
    say("sum of two images", [call(0, clocked, np.add, there, there) for _ in range(REPEATS)])
    update = problem.models[0].maximise
    expected, _ = likelihood.expect(image)
    say("all of the M-step", [clocked(update, image, expected) for _ in range(REPEATS)])
    none = [timed(call, 0, os.getpid) for _ in range(20)]
    print(f"  a task of nothing, told to the client: {statistics.median(none) * 1e3:.1f} ms")
    out = [timed(workers.result, workers.submit(0, np.shape, workers.place(image + n)))
           for n in range(REPEATS)]  # fmt: skip
    home = [timed(workers.result, workers.submit(0, np.add, there, n)) for n in range(REPEATS)]
    print(f"  {size:.0f} MB to a worker: median {statistics.median(out):.3f} s; home: "
          f"{statistics.median(home):.3f} s")  # fmt: skip


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
