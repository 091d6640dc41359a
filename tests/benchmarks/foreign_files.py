"""Every file that other packages bring for their own tests, given to ``info`` and ``convert``.

``python -m tests.benchmarks.foreign_files`` runs all of nibabel and pydicom.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from tests.benchmarks.flag_fuzz import fault

PACKAGES = ("nibabel", "pydicom")

NO_DATA = {".py", ".pyc", ".md", ".rst", ".txt"}
"""Endings of files that are no images."""


def files() -> Iterator[Path]:
    """Yield the files, in the order of their names."""
    for package in PACKAGES:
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            continue
        for path in sorted(Path(spec.origin).parent.rglob("*")):
            inside = "data" in path.parts or "test_files" in path.parts
            if inside and path.is_file() and path.suffix not in NO_DATA:
                yield path


def faults(path: Path, folder: Path) -> list[str]:
    """Return what is wrong with how the commands end on a file."""
    found = []
    for number, words in enumerate((["info"], ["convert"])):
        run = folder / f"run{number}"
        wrong = fault([*words, str(path)], run, "out.nii.gz", sound=False)
        shutil.rmtree(run)
        if wrong:
            found.append(f"{words[0]}: {wrong}")
    return found


def main() -> int:
    """Run all; print what ended badly."""
    bad = count = 0
    with tempfile.TemporaryDirectory() as place:
        for path in files():
            count += 1
            for wrong in faults(path, Path(place)):
                bad += 1
                print(f"--- {path}: {wrong}", flush=True)  # noqa: T201
    print(f"{bad} bad ends with {count} files")  # noqa: T201
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main())
