"""Files are whole or not there."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import pytest

from emrecon.errors import WriteError
from emrecon.files import read_text, replacing, write_text


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as beside:
        beside.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_of_any_editor_is_read(tmp_path: Path, coding: str) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes("voxel = 'Å'\r\n".encode(coding))
    assert read_text(path) == "voxel = 'Å'\r\n"


def test_the_name_beside_keeps_its_ending(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.nii.gz") as beside:
        assert beside.parent == tmp_path
        assert beside.name.endswith("a.nii.gz")
        beside.write_text("x")
    assert (tmp_path / "a.nii.gz").read_text() == "x"
    assert (tmp_path / "a.nii.gz").stat().st_mode & 0o600 == 0o600


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="No such file"):
        write_text(tmp_path / "no" / "a.txt", "x")


def test_full_disk(tmp_path: Path) -> None:
    """A limit on the file size stands in for a full disk: the write itself fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(WriteError, match=r"a\.bin"):
            with replacing(tmp_path / "a.bin") as beside, beside.open("wb") as file:
                file.write(b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []
