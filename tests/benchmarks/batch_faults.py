"""200 small scans, 10 of them spoilt: what a batch makes of them, and its second run.

``python -m tests.benchmarks.batch_faults [scans]``
"""
# ruff: noqa: T201 - a measurement prints what it finds

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from emrecon.jobs.simulate import write_simulation
from phantoms.flip_finder import flip_finder
from tests.batch import faults
from tests.batch.conftest import TINY, copies

JOBS = """
out = "out"
[defaults]
iterations = 4
subsets = 4
mu = "{folder}/mu.nii.gz"
mu_unit = "1/mm"
[[scan]]
input = "scans/p*"
[[scan]]
input = "other/absurd"
voxel_mm = [0.01, 0.01, 0.01]
[[scan]]
input = "other/greedy*"
memory_mb = 480
[[scan]]
input = "other/killed"
iterations = 20000
"""

SPOIL = (
    faults.truncate, faults.truncate, faults.lose_mu, faults.lose_mu, faults.poison,
    faults.poison, faults.garble,
)  # fmt: skip


def main() -> None:
    """Spoil, run, run again, and say what happened."""
    count = int([*sys.argv[1:], "200"][0])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_simulation(folder / "scan", TINY.scan(flip_finder().scaled(0.3)))
        scans = copies(folder / "scan", folder / "scans", count - 3)
        for number, fault in enumerate(SPOIL):
            fault(scans[number * (count - 3) // len(SPOIL)])
        for other in ("absurd", "greedy", "killed"):
            copies(folder / "scan", folder / "other", 1)[0].rename(folder / "other" / other)
        faults.bloat(folder / "other/greedy")
        (folder / "jobs.toml").write_text(JOBS)
        for flags in ((), ("--resume",)):
            log = folder / "out/batch/logs/killed.log"
            log.unlink(missing_ok=True)
            began = time.monotonic()
            command = [sys.executable, "-m", "emrecon", "batch", folder / "jobs.toml", "--json"]
            with faults.Killer(log):
                done = subprocess.run(
                    [*command, *flags], capture_output=True, text=True, check=False
                )
            ran = [json.loads(line) for line in done.stdout.splitlines()]
            _tell(folder, done.returncode, ran, time.monotonic() - began)


def _tell(folder: Path, code: int, ran: list[dict], seconds: float) -> None:
    lines = (folder / "out/batch/report.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    failed = [entry for entry in entries if entry["status"] == "failed"]
    images = list((folder / "out").glob("*.nii.gz"))
    print(
        f"exit code {code}: {len(ran)} jobs were looked at, {len(images)} images, "
        f"{len(failed)} failures, {seconds:.0f} s; "
        f"page of {(folder / 'out/batch/report.html').stat().st_size / 1e6:.1f} MB"
    )
    for entry in failed:
        print(f"  {entry['name']}: {entry['error']}")


if __name__ == "__main__":
    main()
