"""Files are whole or not there."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from emrecon import cli, io
from emrecon.batch.store import locked
from emrecon.errors import EmreconError, FormatError, WriteError
from emrecon.files import hashing, make_folder, read_text, replacing, sha256, write_text
from emrecon.io.event_store import EventStore, building
from emrecon.io.formats import open_head
from emrecon.jobs.bundle import check_outputs, written_together
from emrecon.jobs.input_files import must_exist
from emrecon.volume import Volume


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as beside:
        beside.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_checksums_are_known_after_what_they_were_made_beside(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    with hashing([path, tmp_path / "missing"]):
        pass
    about = path.stat()
    path.write_bytes(b"xyz")
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))  # so nobody reads it again
    assert sha256(path) == hashlib.sha256(b"abc").hexdigest()
    with pytest.raises(OSError, match="missing"):
        sha256(tmp_path / "missing")


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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="is a folder: name a file in it"):
        open_head(tmp_path)


@pytest.mark.parametrize("read", [open_head, lambda path: must_exist({"mask": path})])
def test_pipes_are_no_input(tmp_path: Path, read: Callable[[Path], object]) -> None:
    """Who opened one would wait for ever."""
    os.mkfifo(tmp_path / "mask.nii")
    with pytest.raises(EmreconError, match="it is a pipe or device, and only files are read"):
        read(tmp_path / "mask.nii")


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="No such file"):
        write_text(tmp_path / "no" / "a.txt", "x")


@pytest.fixture
def full_disk() -> Iterator[None]:
    """A limit on the file size stands in for a full disk: the write itself fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)


def test_full_disk(tmp_path: Path, full_disk: None) -> None:
    with (
        pytest.raises(WriteError, match=r"a\.bin"),
        replacing(tmp_path / "a.bin") as beside,
        beside.open("wb") as file,
    ):
        file.write(b"x" * 100_000)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_in_words_and_by_the_names_that_are_wanted(
    tmp_path: Path, full_disk: None
) -> None:
    out = tmp_path / "out"
    words = rf"^cannot write {out / 'a.npy'}: (?!\d+ requested)\w"
    with (
        pytest.raises(WriteError, match=words),
        written_together(out, out, "a.npy") as beside,
        replacing(beside / "a.npy") as whole,
        whole.open("wb") as file,
    ):
        np.save(file, np.zeros(100_000))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_only_files_are_written_over(tmp_path: Path, kind: str) -> None:
    """Renaming would put a file in the place of a pipe that another program reads."""
    target = tmp_path / "out.json"
    if kind == "pipe":
        os.mkfifo(target)
    elif kind == "folder":
        target.mkdir()
    else:
        target = Path("/dev/null")
    before = target.stat()

    def bundled() -> None:
        with written_together(tmp_path / "x", target.parent, target.name) as folder:
            (folder / target.name).write_text("x")

    for write in (lambda: write_text(target, "x"), lambda: check_outputs([target], {}), bundled):
        with pytest.raises(WriteError, match=r"it is a (pipe or device|folder)"):
            write()
    after = target.stat()
    assert (after.st_mode, after.st_ino) == (before.st_mode, before.st_ino)
    assert [path.name for path in tmp_path.iterdir()] == ([] if kind == "device" else ["out.json"])


def test_files_are_flushed_as_windows_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There a handle that was opened for reading cannot be flushed: EBADF."""
    fcntl = pytest.importorskip("fcntl")
    flush, flushed = os.fsync, []

    def writable(handle: int) -> None:
        if fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        flushed.append(handle)
        flush(handle)

    def no_link(*names: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr("os.fsync", writable)
    monkeypatch.setattr("os.link", no_link)
    image = Volume(np.ones((3, 4, 5), np.float32), np.eye(4))
    for name in ("a.nii", "a.nii.gz", "a.hv"):
        io.write_image(image, tmp_path / name)
        np.testing.assert_array_equal(io.read_image(tmp_path / name).voxels, image.voxels)
    for text in ("one", "two"):
        with written_together(tmp_path / "x", tmp_path / "x", "b") as folder:
            (folder / "a").write_text(text)
            (folder / "b").write_text(text)
    assert (tmp_path / "x" / "b").read_text() == "two"
    assert len(flushed) == 8


def test_locks_of_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without fcntl a byte is locked; a second holder is kept out until the first has gone."""
    held: list[int] = []

    def locking(handle: int, mode: int, count: int) -> None:
        assert (mode, count) == (2, 1)
        place = os.lseek(handle, 0, os.SEEK_CUR)
        if place in held:
            raise OSError(errno.EACCES, "Permission denied")
        held.append(place)

    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
    with locked(tmp_path / "lock", 0.0) as mine, locked(tmp_path / "lock", 0.0) as other:
        assert mine is not None
        assert other is None
        mine.write("what is kept")
    assert held[0] > 1 << 20  # what is locked cannot be read there
    held.clear()
    with locked(tmp_path / "lock", 0.0) as mine:
        assert mine is not None
    assert (tmp_path / "lock").read_text() == "what is kept"


def test_sigterm_removes_the_events_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    points = np.zeros((4, 3), np.float32)

    def run(tokens: object, **how: object) -> None:
        with building(None, points):
            assert list(tmp_path.iterdir())
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()

    monkeypatch.setattr(cli, "app", run)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as caught:
        cli.main([])
    assert caught.value.code == cli.INTERRUPTED
    assert capsys.readouterr().err == "emrecon: interrupted\n"
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
def test_a_disk_that_is_full_of_events_is_named_and_nothing_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(store: EventStore, **columns: np.ndarray) -> None:
        (store._folder / "points.bin").symlink_to("/dev/full")
        add(store, **columns)

    add = EventStore.add
    monkeypatch.setattr(EventStore, "add", full)
    with (
        pytest.raises(WriteError, match=rf"to {tmp_path}.*: No space"),
        building(tmp_path / "events", np.zeros((100_000, 3), np.float32)),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_a_folder_is_not_made_in_place_of_a_file_or_in_one(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    for folder in (file, file / "below" / "it"):
        with pytest.raises(WriteError, match=f"{file} is a file, not a folder"):
            make_folder(folder)
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
