"""Files that are whole or not there: written beside, then renamed."""

from __future__ import annotations

import codecs
import hashlib
import os
import tempfile
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from threading import Thread
from typing import Any

from emrecon.errors import FormatError, SettingsError, WriteError

STREAM = "it is a pipe or device, and only files are read; write it to one first"
"""What is said of an input that `is_stream`."""

IMAGE_ENDINGS = (".nii.gz", ".nii", ".hv")
"""How the names of images end that have a sidecar, which ends in .json instead."""


@contextmanager
def replacing(path: Path, *, lasting: bool = True) -> Iterator[Path]:
    """Give a path beside `path` to write to, and rename it to `path` if all went well.

    The name given ends like `path`, so that writers which look at the suffix still do. Whatever
    goes wrong, Ctrl-C included, no partial file is left and an earlier `path` stays untouched.
    What need not outlast the machine's power is not `lasting`, and no one waits for the disk.

    Raises
    ------
    WriteError
        If the file cannot be written: folder missing or not writable, disk full; or if what has
        its name is no regular file.
    """
    must_be_regular(path)
    try:
        handle, name = tempfile.mkstemp(prefix=".part-", suffix=f"-{path.name}", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise WriteError(f"cannot write {path}: {reason(error)}") from error
    beside = Path(name)
    try:
        yield beside
        if lasting:
            flushed(beside)
        beside.chmod(0o666 & ~_umask())
        beside.replace(path)
    except WriteError:
        raise
    except OSError as error:
        raise WriteError(f"cannot write {path}: {reason(error)}") from error
    finally:
        beside.unlink(missing_ok=True)


def must_be_regular(path: Path) -> None:
    """Refuse to take the place of a folder, a pipe or a device."""
    if path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "a pipe or device, and only files are written over"
        raise WriteError(f"cannot write {path}: it is {what}")


def is_stream(path: Path) -> bool:
    """Return whether a path is a pipe or a device, whose bytes come once and perhaps never."""
    return path.exists() and not (path.is_file() or path.is_dir())


def flushed(path: Path) -> None:
    """Have the system put a file on its disk; Windows does so only for one opened to write."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def read_text(path: Path) -> str:
    """Return the text of a file that a person wrote: UTF-8, or UTF-16 where its mark says so.

    A mark of byte order, as editors on Windows write it, is no part of the text.
    """
    content = path.read_bytes()
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if wide else "utf-8-sig")


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file that a person wrote.

    Raises
    ------
    FormatError
        If it cannot be read.
    SettingsError
        If it is no TOML.
    """
    try:
        return tomllib.loads(read_text(path))
    except OSError as error:
        raise FormatError(f"cannot read {path}: {reason(error)}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} is not TOML that can be read: {error}") from error


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def keep_inputs(outputs: Iterable[Path], inputs: Mapping[str, Path]) -> None:
    """Refuse to write over what was read, or over the sidecar of an image that was."""
    read = {os.path.realpath(path) for path in inputs.values()}
    sidecars = {
        os.path.realpath(path.with_name(path.name[: -len(end)] + ".json")): path
        for path in inputs.values()
        for end in IMAGE_ENDINGS
        if path.name.endswith(end)
    }
    for path in outputs:
        if image := sidecars.get(os.path.realpath(path)):
            raise WriteError(
                f"cannot write {path}: that is the sidecar of {image}, one of the inputs; name "
                "another (--out)"
            )
        data = path.with_suffix(".v") if path.suffix == ".hv" else path
        if {os.path.realpath(path), os.path.realpath(data)} & read:
            raise WriteError(f"cannot write {path}: it is one of the inputs")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file; one of the same bytes and time is not read again."""
    about = path.stat()
    return _sha256(path.resolve(), about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=4096)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def hashing(paths: Iterable[Path]) -> Iterator[None]:
    """Work out checksums while something else is done, so that `sha256` knows them at its end.

    If that fails it does not wait for them; a file that cannot be read is for `sha256` to refuse.

    Yields
    ------
    None
    """

    def work() -> None:
        with suppress(OSError):
            for path in paths:
                sha256(path)

    beside = Thread(target=work, daemon=True)
    beside.start()
    yield
    beside.join()


def same_name(name: str) -> str:
    """Return a name as some file systems take it: without case, accents in one form.

    Names for which it is the same may be one file on Windows or macOS.
    """
    return unicodedata.normalize("NFC", name).casefold()


def make_folder(folder: Path) -> None:
    """Make a folder and its parents where they do not exist."""
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not there.is_dir():
        raise WriteError(f"cannot make the folder {folder}: {there} is a file, not a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"cannot make the folder {folder}: {error.strerror}") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def reason(error: OSError) -> str:
    """Return in words why the system refused."""
    short = "requested and" in str(error)  # numpy's words for a write that ended early
    return error.strerror or ("the device took not all of it" if short else str(error))
