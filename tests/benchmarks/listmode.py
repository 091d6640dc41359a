"""CPU seconds for 10 million random events of an mMR list-mode file, counted into spans 1 and 11.

Taken over 50 million, as a clinical scan has: a sinogram of span 1 has 354 million bins, and the
first touch of its 1.4 GB alone costs 0.5 s and more. Delayeds are summed only, as for a
reconstruction, or put into a sinogram of their own besides.

Run it as ``python -m tests.benchmarks.listmode [folder]``; the file takes 200 MB.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from emrecon.io.petlink import sinograms as petlink
from emrecon.io.petlink.header import header_text
from emrecon.tomo.corrections import normalisation, randoms
from emrecon.tomo.geometry.presets import by_name

EVENTS = 50_000_000


def main(folder):
    scanner = by_name("mMR")
    rng = np.random.default_rng(1)
    address = rng.integers(0, 4084 * 252 * 344, EVENTS, dtype=np.uint32)
    words = address | (rng.integers(0, 5, EVENTS, dtype=np.uint32) > 0).astype(np.uint32) << 30
    words[:: EVENTS // 1000] = np.uint32(4 << 29) + np.arange(1000, dtype=np.uint32)
    header = folder / "random.l.hdr"
    words.tofile(folder / "random.l")
    header.write_text(header_text(scanner, "random.l", 344, 60, 1.0))
    petlink.histogram(header, window_s=(0.0, 0.001))  # compiles
    for span in (1, 11):
        for keep in (False, True):
            begun = time.process_time()
            counts = petlink.histogram(header, span=span, keep_delayeds=keep)
            taken = time.process_time() - begun
            what = ", with a sinogram of delayeds" if keep else ""
            sys.stdout.write(
                f"span {span}{what}: {taken * 1e7 / EVENTS:.2f} CPU s for 10 million words\n"
            )
    live = normalisation.known_gaps(scanner)
    for name, work in (
        ("live pairs", lambda: normalisation.live_pairs(counts.bins, live)),
        ("randoms", lambda: randoms.mean_randoms(counts, live)),
    ):
        work()
        begun = time.process_time(), time.perf_counter()
        work()
        cpu, wall = time.process_time() - begun[0], time.perf_counter() - begun[1]
        sys.stdout.write(f"{name}: {cpu:.2f} CPU s, {wall:.2f} s\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        main(Path(name))
