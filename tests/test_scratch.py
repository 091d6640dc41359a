"""Folders for the time of a run go with it, and with the next one where it was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from emrecon.scratch import OWNER, Scratch

WAITING = """
import sys, tempfile, time
tempfile.tempdir = sys.argv[1]
from emrecon.scratch import Scratch
kept = Scratch("events")
(kept.path / "pairs.bin").write_bytes(b"1234")
print(kept.path, flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_goes_with_its_owner(place: Path) -> None:
    first, second = Scratch("events"), Scratch("events")
    (first.path / "pairs.bin").write_bytes(b"1234")
    first.close()
    first.close()
    assert list(place.iterdir()) == [second.path]
    del second
    assert not list(place.iterdir())


def test_what_a_killed_run_left_goes_with_the_next(place: Path) -> None:
    runs = [
        subprocess.Popen([sys.executable, "-c", WAITING, str(place)], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    dead, alive = (Path(run.stdout.readline().decode().strip()) for run in runs if run.stdout)
    try:
        runs[0].send_signal(signal.SIGKILL)
        runs[0].wait()
        assert dead.exists()  # no one could remove it
        Scratch("slot")
        assert dead.exists()
        kept = Scratch("events")
        assert sorted(place.iterdir()) == sorted([alive, kept.path])
    finally:
        for run in runs:
            run.kill()
            run.communicate()


@pytest.mark.parametrize("text", [None, "", "another machine"])
def test_folders_that_may_be_needed_elsewhere_stay(place: Path, text: str | None) -> None:
    """Those of another machine that shares the file system, or just begun, or of someone else."""
    other = place / "emrecon-events-abc"
    other.mkdir()
    if text is not None:
        (other / OWNER).write_text(text)
    Scratch("events").close()
    assert list(place.iterdir()) == [other]


def test_a_link_is_not_followed(place: Path) -> None:
    """Anyone may put a link among the temporary files."""
    kept = Scratch("other")
    text = (kept.path / OWNER).read_text()
    valued = place / "valued"
    valued.mkdir()
    (valued / OWNER).write_text(text)
    (place / "emrecon-events-abc").symlink_to(valued)
    Scratch("events")
    assert (valued / OWNER).exists()
