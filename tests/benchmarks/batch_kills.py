"""Kill a reconstruction and a batch with SIGKILL at random moments, and take them up again.

After each kill no file with a final name may differ from that of an undisturbed run; after
``--resume`` none may be missing or left over, and all be the same. Run it with
``python -m tests.benchmarks.batch_kills [kills] [seed]``.
"""
# ruff: noqa: T201 - a measurement prints what it finds

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from emrecon.jobs.simulate import write_simulation
from phantoms.flip_finder import flip_finder
from tests.batch import kills
from tests.batch.conftest import TINY, copies

FLAGS = ["--iterations", 60, "--subsets", 4, "--checkpoint-every", 4]

JOBS = """
out = "{out}"
[defaults]
iterations = 60
subsets = 4
checkpoint_every = 4
[[scan]]
input = "p0*"
"""


def recon(folder: Path, name: str, *flags: str) -> list[object]:
    """Return the command of a reconstruction."""
    (folder / name).mkdir(exist_ok=True)
    return ["recon", folder / "p000", "-o", folder / name / "p000.nii.gz", *FLAGS, *flags]


def batch(folder: Path, name: str, *flags: str) -> list[object]:
    """Return the command of a batch."""
    jobs = folder / f"{name}.toml"
    jobs.write_text(JOBS.format(out=name))
    return ["batch", jobs, *flags]


def main() -> None:
    """Kill both, and say what became of them."""
    given = [*sys.argv[1:], *("30", "1")[len(sys.argv) - 1 :]]
    count, seed = (int(word) for word in given[:2])
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scan = folder / "scan"
        write_simulation(scan, TINY.scan(flip_finder().scaled(0.3)))
        copies(scan, folder, 3)
        for what, command in (("reconstruction", recon), ("batch", batch)):
            assert kills.finish(*command(folder, f"warm-{what}")) == 0  # kernels are compiled now
            began = time.monotonic()
            assert kills.finish(*command(folder, f"whole-{what}")) == 0
            _kill(folder, (what, command), count, (time.monotonic() - began, rng))


def _kill(folder: Path, named, count: int, random) -> None:
    """Kill a command many times, each time taken up by the next, and a last time to its end."""
    what, command = named
    length_s, rng = random
    whole = folder / f"whole-{what}"
    struck = wrong = resumed = 0
    number = -1
    while struck < count:  # a run that ended before its moment came is no kill
        number += 1
        name = f"{what}-{number}"
        running = kills.start(*command(folder, name))
        struck += kills.kill_when(running, kills.after(rng.uniform(0, length_s)))
        part = folder / name
        gone = kills.workers_gone(part / "batch")
        found = kills.differences(part, whole, whole=False) if part.exists() else []
        begun = any(part.glob("*.checkpoint.npz"))
        code = kills.finish(*command(folder, name, "--resume"))
        for left in part.glob(".part-*") if what == "reconstruction" else ():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        found += kills.differences(part, whole, whole=True)
        resumed += begun
        print(f"{name}: {struck} killed, {resumed} with a checkpoint, {wrong} wrong", flush=True)
        if found or code or not gone:
            wrong += 1
            print(f"{name}: exit code {code}, workers gone: {gone}, {found}")
    print(
        f"{what}: {number + 1} runs, {struck} killed while running ({resumed} left a checkpoint), "
        f"{number + 1 - wrong} ended in the same files, {wrong} did not",
        flush=True,
    )


if __name__ == "__main__":
    main()
