"""Many small scans in a batch against the same scans one after another in one process.

``python -m tests.benchmarks.batch_throughput [scans]``

Both do the whole job, files to files, with one thread and compiled kernels. The batch's processor
time is that of all its processes, imports and start included, so that its share of work that is
not the scans' can be told even on a machine that is busy with other things; wall times are told
too, and mean something on an idle one.
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
out = "out"
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
scans = sorted(Path("scans").iterdir())
Path("one").mkdir()
settings = Settings(iterations=4, subsets=6, checkpoint_every=6)
reconstruct(scans[0], Path("one/first.nii.gz"), settings)
wall, cpu = time.monotonic(), time.process_time()
for scan in scans:
    reconstruct(scan, Path("one") / f"{scan.name}.nii.gz", settings)
print(time.monotonic() - wall, time.process_time() - cpu)
"""


def main() -> None:
    """Measure both, and say how they compare."""
    count = int([*sys.argv[1:], "60"][0])
    pinned = os.environ | {"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    pinned |= {"PYTHONPATH": os.pathsep.join(filter(None, [str(Path.cwd()), *sys.path]))}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_simulation(folder / "scan", SCAN.scan(phantom_named("brain")))
        copies(folder / "scan", folder / "scans", count)
        (folder / "jobs.toml").write_text(JOBS)
        alone = subprocess.run(
            [sys.executable, "-c", ONE], cwd=folder, env=pinned, capture_output=True, check=True
        )
        wall, cpu = (float(word) for word in alone.stdout.split())
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "emrecon", "batch", folder / "jobs.toml"],
            env=pinned, capture_output=True, check=True,
        )  # fmt: skip
        batch_wall = time.monotonic() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{count} scans, {cores()} cores")
    print(f"one process: {wall:.1f} s, {cpu:.1f} processor s: {cpu / count:.3f} a scan")
    print(f"batch: {batch_wall:.1f} s, {used:.1f} processor s: {used / count:.3f} a scan")
    print(f"processor time of the batch over that of the scans alone: {used / cpu:.3f}")
    print(f"cores x single-scan rate reached: {wall / (cores() * batch_wall):.2f} (wall)")


if __name__ == "__main__":
    main()
