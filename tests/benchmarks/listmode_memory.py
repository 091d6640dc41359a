"""The most memory that the command line holds while it reconstructs many events of an mMR file.

``python -m tests.benchmarks.listmode_memory [--events 1e8] [--limit-gb 3] [--folder FOLDER]``
writes random words, 4 bytes each, and takes one pass over them event by event: reading, randoms,
sensitivity and one update. It ends with an error beyond the limit. The disk holds up to 16 bytes
more for each event meanwhile.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from emrecon.io.petlink.header import header_text
from emrecon.tomo.geometry.presets import by_name

BLOCK = 1 << 22
HOW = (
    "--iterations",
    "1",
    "--subsets",
    "1",
    "--voxel-mm",
    "6",
    "6",
    "6",
    "--size",
    "50",
    "50",
    "43",
)


def written(folder, events):
    """Write random words, four prompts to a delayed, a time tag every 4096; return the header."""
    rng = np.random.default_rng(1)
    ms = 0
    with (folder / "random.l").open("wb") as file:
        for begin in range(0, events, BLOCK):
            some = min(BLOCK, events - begin)
            words = rng.integers(0, 4084 * 252 * 344, some, dtype=np.uint32)
            words |= (rng.integers(0, 5, some, dtype=np.uint32) > 0).astype(np.uint32) << 30
            tags = words[::4096]
            tags[:] = np.uint32(4 << 29) + np.arange(ms, ms + len(tags), dtype=np.uint32)
            ms += len(tags)
            words.tofile(file)
    header = folder / "random.l.hdr"
    header.write_text(header_text(by_name("mMR"), "random.l", 344, 60, ms / 1000))
    return header


def main():
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=float, default=1e8)
    parser.add_argument("--limit-gb", type=float, default=3.0)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        header = written(Path(name), int(asked.events))
        begun = time.perf_counter()
        made = ("-m", "emrecon", "recon", header, "-o", Path(name) / "image.nii.gz", "--list-mode")
        subprocess.run([sys.executable, *map(str, made), *HOW], check=True)
        wall = time.perf_counter() - begun
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = used.ru_maxrss / 1e6
    sys.stdout.write(
        f"{asked.events:.0e} words: {used.ru_utime + used.ru_stime:.0f} CPU s, {wall:.0f} s; most "
        f"memory held {peak:.2f} GB, mapped files included\n"
    )
    if peak > asked.limit_gb:
        raise SystemExit(f"more than {asked.limit_gb:g} GB")


if __name__ == "__main__":
    main()
