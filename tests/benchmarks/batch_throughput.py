"""Many small scans in a batch against the same scans one after another.

``python -m tests.benchmarks.batch_throughput [scans] [views] [engine ...]``

All do the whole job, files to files, with compiled kernels and one thread a process:

- single: one process that calls ``emrecon.jobs.reconstruct`` for one scan after another;
- ceiling: as many single processes at a time as there are cores, with no engine over them. Cores
  that share caches, memory and clock do less together than each would alone: this is what the
  machine has to give;
- each engine (``processes`` and ``dask`` unless told): ``emrecon batch``, its start, plan and
  report included.

Single and ceiling are taken before, between and after the engines, as a virtual machine's speed
drifts; an engine is held against the mean of those on either side of it. What other programs took
of the cores meanwhile is told with each: above a few per cent the figures are theirs, too.
"""
# ruff: noqa: T201 - a measurement prints what it finds

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emrecon.batch.engine import cores
from emrecon.jobs.simulate import write_simulation
from phantoms.acquisition import Acquisition, phantom_named
from tests.batch.conftest import copies

SOME = 6
"""Scans for a rate without an engine."""

JOBS = """
out = "{out}"
[defaults]
iterations = 4
subsets = 6
[[scan]]
input = "scans/p*"
"""

ONE = """
import sys, time
from pathlib import Path
from emrecon import Settings
from emrecon.jobs.recon import reconstruct
out, count = Path(sys.argv[1]), int(sys.argv[2])
scans = sorted(Path("scans").iterdir())[:count]
out.mkdir()
settings = Settings(iterations=4, subsets=6, checkpoint_every=6)
reconstruct(scans[0], out / "first.nii.gz", settings)
print(flush=True)
sys.stdin.readline()
wall = time.monotonic()
for scan in scans:
    reconstruct(scan, out / f"{scan.name}.nii.gz", settings)
print(count / (time.monotonic() - wall))
"""

PINNED = os.environ | {"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def single(folder: Path, count: int, processes: int = 1) -> float:
    """Return scans a second of so many processes that begin together when all are warm."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", ONE, f"{processes}-{number}", str(count)],
            cwd=folder, env=PINNED, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for number in range(processes)
    ]  # fmt: skip
    for process in running:
        process.stdout.readline()
    return sum(float(told) for told, _ in _go(running))


def _go(running: list[subprocess.Popen[str]]) -> list[tuple[str, str]]:
    for process in running:
        process.stdin.write("\n")
        process.stdin.flush()
    return [process.communicate() for process in running]


def batch(folder: Path, count: int, engine: str) -> tuple[float, float]:
    """Return scans a second of a batch, and its processor seconds a scan, all processes."""
    (folder / f"{engine}.toml").write_text(JOBS.format(out=engine))
    before, began = _own_s(), time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "emrecon", "batch", f"{engine}.toml", "--engine", engine],
        cwd=folder, env=PINNED, capture_output=True, check=True,
    )  # fmt: skip
    return count / (time.monotonic() - began), (_own_s() - before) / count


def _own_s() -> float:
    """Return the processor seconds of all processes that this one started and that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _busy_s() -> float:
    """Return the processor seconds of the whole machine, with those it was kept waiting."""
    ticks = list(map(int, Path("/proc/stat").read_text(encoding="ascii").split()[1:9]))
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


@contextmanager
def others(what: str) -> Iterator[None]:
    """Say what share of the cores others took while something was measured."""
    busy, own, began = _busy_s(), _own_s(), time.monotonic()
    yield
    taken = (_busy_s() - busy) - (_own_s() - own)
    share = taken / (time.monotonic() - began) / cores()
    print(f"  {what}: others took {share:.1%} of the cores", flush=True)


def rates(folder: Path) -> tuple[float, float]:
    """Return scans a second of one process, and of as many as there are cores."""
    for made in folder.glob("[0-9]-*"):
        shutil.rmtree(made)
    with others("without an engine"):
        one, all_ = single(folder, SOME), single(folder, SOME, cores())
    print(
        f"single process: {1 / one:.3f} s a scan; {cores()} processes: {1 / all_:.3f} s, "
        f"{all_ / one / cores():.2f} of cores x single", flush=True,
    )  # fmt: skip
    return one, all_


def main() -> None:
    """Measure, and say how all compare."""
    given = dict(enumerate(sys.argv[1:]))
    count, views = int(given.get(0, 60)), int(given.get(1, 72))
    engines = sys.argv[3:] or ["processes", "dask"]
    paths = [str(Path.cwd()), *sys.path]
    PINNED["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    scan = Acquisition(scanner="ECAT HR+", views=views, bins=96, counts=3e6)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_simulation(folder / "scan", scan.scan(phantom_named("brain")))
        copies(folder / "scan", folder / "scans", count)
        print(f"{count} scans, {cores()} cores")
        before = rates(folder)
        for engine in engines:
            with others(engine):
                reached, used = batch(folder, count, engine)
            after = rates(folder)
            rate, ceiling = ((a + b) / 2 for a, b in zip(before, after, strict=True))
            print(
                f"batch, {engine}: {1 / reached:.3f} s a scan, {used:.3f} processor s: "
                f"{reached / rate / cores():.2f} of cores x single, "
                f"{reached / ceiling:.2f} of the ceiling", flush=True,
            )  # fmt: skip
            before = after


if __name__ == "__main__":
    main()
