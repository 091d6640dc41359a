"""Compiles what a job needs and keeps it: ``python -m napari_plugin.warm_up``, the job on stdin.

It makes the first update of the job, writes the name of each kernel that it compiles, and nothing
else. See `napari_plugin.elsewhere`, which starts it.
"""

from __future__ import annotations

import pickle
import sys

from emrecon.compiled import compiling
from emrecon.stop import after


def main() -> None:
    """Make the first update of the job on the standard input."""
    job = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the panel that started this

    def say(name: str) -> None:
        if name:
            sys.stdout.write(f"{name}\n")
            sys.stdout.flush()

    with compiling(say):
        run = job.begin()
        run.iterate(lambda _: [], after(1))


if __name__ == "__main__":
    main()
