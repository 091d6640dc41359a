"""Many small scans in a batch against the same scans one after another.

``python -m tests.benchmarks.batch_throughput [scans] [engine ...]``

All do the whole job, files to files, with compiled kernels and one thread a process:

- single: one process that calls ``emrecon.jobs.reconstruct`` for one scan after another;
- fresh: one ``emrecon recon`` command after another;
- ceiling: as many single processes at a time as there are cores, with no engine over them. Cores
  that share caches, memory and clock do less together than each would alone: this is what the
  machine has to give;
- each engine (``processes`` and ``dask`` unless told): ``emrecon batch``, its start, plan and
  report included.
"""
# ruff: noqa: T201 - a measurement prints what it finds

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from emrecon.batch.engine import cores
from emrecon.jobs_scan import write_simulation
from phantoms.acquisition import Acquisition, phantom_named
from tests.batch.conftest import copies

SCAN = Acquisition(scanner="ECAT HR+", views=72, bins=96, counts=3e6)

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
from emrecon.jobs import reconstruct
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


def fresh(folder: Path, count: int) -> float:
    """Return scans a second of one command after another."""
    (folder / "fresh").mkdir()
    flags = ["--iterations", "4", "--subsets", "6", "--checkpoint-every", "6"]
    began = time.monotonic()
    for number in range(count):
        files = [f"scans/p{number:03d}", "-o", f"fresh/p{number:03d}.nii.gz"]
        _command("recon", *files, *flags, folder=folder)
    return count / (time.monotonic() - began)


def batch(folder: Path, count: int, engine: str) -> tuple[float, float]:
    """Return scans a second of a batch, and its processor seconds a scan, all processes."""
    (folder / f"{engine}.toml").write_text(JOBS.format(out=engine))
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    _command("batch", f"{engine}.toml", "--engine", engine, folder=folder)
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return count / seconds, used / count


def _command(*words: str, folder: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "emrecon", *words],
        cwd=folder, env=PINNED, capture_output=True, check=True,
    )  # fmt: skip


def main() -> None:
    """Measure, and say how all compare."""
    count = int([*sys.argv[1:2], "60"][0])
    engines = sys.argv[2:] or ["processes", "dask"]
    paths = [str(Path.cwd()), *sys.path]
    PINNED["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_simulation(folder / "scan", SCAN.scan(phantom_named("brain")))
        copies(folder / "scan", folder / "scans", count)
        some = min(count, 15)
        rate, ceiling = single(folder, some), single(folder, some, cores())
        print(f"{count} scans, {cores()} cores")
        print(f"single process: {1 / rate:.2f} s a scan")
        print(f"fresh commands: {1 / fresh(folder, 3):.2f} s a scan")
        print(
            f"{cores()} processes: {1 / ceiling:.2f} s a scan: ceiling of the machine, "
            f"{ceiling / rate / cores():.2f} of cores x single", flush=True,
        )  # fmt: skip
        for engine in engines:
            reached, used = batch(folder, count, engine)
            print(
                f"batch, {engine}: {1 / reached:.2f} s a scan, {used:.2f} processor s: "
                f"{reached / rate / cores():.2f} of cores x single, "
                f"{reached / ceiling:.2f} of the ceiling", flush=True,
            )  # fmt: skip


if __name__ == "__main__":
    main()
