"""Files that belong together: all of them are written, or none."""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from emrecon.errors import WriteError
from emrecon.files import flushed, keep_inputs, make_folder, must_be_regular, reason

log = logging.getLogger(__name__)

FIRST_SLICE = "00001.dcm"
"""Name of the first file of a DICOM series."""

PART = ".part-"
"""How the folders begin in which files are written before they take their place."""


def check_outputs(
    outputs: Sequence[Path],
    inputs: Mapping[str, Path],
    makes: Path | None = None,
    *,
    anywhere: bool = False,
) -> None:
    """Refuse outputs that could not be written, before hours are spent on them.

    Parameters
    ----------
    outputs : sequence of Path
        What is to be written.
    inputs : mapping of Path
        What is read.
    makes : Path, optional
        Folder that is made where it does not exist; any other must be there.
    anywhere : bool, optional
        Whether any folder is made.

    Raises
    ------
    WriteError
        If one is an input, a folder, a pipe or a device, or cannot be made in its folder.
    """
    keep_inputs(outputs, inputs)
    for path in outputs:
        must_be_regular(path)
    for path in outputs[:1]:
        if not (anywhere or path.parent == makes or path.parent.exists()):
            raise WriteError(f"cannot write {path}: there is no folder {path.parent}")
        _check_folder(path)


def refuse_full(folder: Path) -> None:
    """Refuse a folder for a series that holds files, which would be taken for some of it.

    Raises
    ------
    WriteError
        If it does, or is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise WriteError(f"cannot write {folder}: a folder for DICOM is wanted, and it is a file")
    if folder.is_dir() and any(folder.iterdir()):
        raise WriteError(f"cannot write {folder}: it is a folder with files; name another")


def keep_others(
    outputs: Sequence[Path], whose: str = "", *, ours: Callable[[], bool] = lambda: False
) -> None:
    """Refuse to write over files that come of something else.

    Parameters
    ----------
    outputs : sequence of Path
        What is to be written.
    whose : str, optional
        What files that may be written over come of, in words; by default none may.
    ours : callable, optional
        Whether those that exist do.

    Raises
    ------
    WriteError
        If one exists that does not.
    """
    there = [path for path in outputs if path.is_file()]
    if there and not ours():
        other = f" and does not come of {whose}" if whose else ""
        raise WriteError(
            f"{there[0]} exists already{other}: name another (--out), or say --overwrite"
        )


@contextmanager
def written_together(
    out: Path, folder: Path, last: str, inputs: Mapping[str, Path] | None = None
) -> Iterator[Path]:
    """Give an empty folder to write to; its files then move to `folder`, all of them or none.

    Whatever goes wrong before the last of them has its place, Ctrl-C included, earlier files of
    the same names are put back and no new one is left.

    Parameters
    ----------
    out : Path
        What the job writes, for the name of the folder that is given; see `remove_parts`.
    folder : Path
        Where the files are to be; made where it does not exist.
    last : str
        Name of the file that moves last: who finds it finds all of them.
    inputs : mapping of Path, optional
        What was read, which is not written over.

    Raises
    ------
    WriteError
        If a file cannot be written: folder missing or not writable, disk full.
    """
    make_folder(out.parent)
    try:
        beside = Path(tempfile.mkdtemp(prefix=PART, suffix=f"-{out.name}", dir=out.parent))
    except OSError as error:
        raise WriteError(f"cannot write {out}: {reason(error)}") from error
    try:
        yield beside
        keep_inputs([folder / path.name for path in beside.iterdir()], inputs or {})
        make_folder(folder)
        _move(beside, folder, last)
    except WriteError as error:  # named as they would be
        raise WriteError(str(error).replace(str(beside), str(folder))) from error
    except OSError as error:
        raise WriteError(f"cannot write {out}: {reason(error)}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def remove_parts(out: Path) -> None:
    """Remove what a killed run of the same job had begun to write."""
    stem = re.escape(out.name.split(".")[0])  # a checkpoint is a single file of this stem
    pattern = re.compile(rf"({re.escape(PART)}[a-z0-9_]{{8}}-)+({re.escape(out.name)}|{stem}\..+)")
    for path in out.parent.glob(f"{PART}*"):
        if pattern.fullmatch(path.name):
            log.info("removing %s, left by a run that was killed", path)
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _move(beside: Path, folder: Path, last: str) -> None:
    """Move files to their folder; put back what was there if one cannot be."""
    files = sorted(beside.iterdir(), key=lambda path: (path.name == last, path.name))
    for path in files:
        flushed(path)
    earlier = beside / "earlier"
    earlier.mkdir()
    moved: list[Path] = []
    try:
        for path in files:
            target = folder / path.name
            must_be_regular(target)
            if target.exists():
                _keep(target, earlier / path.name)
            moved.append(target)
            path.replace(target)
    except BaseException:
        for target in moved:
            kept = earlier / target.name
            kept.replace(target) if kept.exists() else target.unlink(missing_ok=True)
        raise


def _keep(target: Path, name: Path) -> None:
    """Hold on to a file under another name; a copy where the file system has no links."""
    try:
        os.link(target, name)
    except OSError:
        shutil.copy2(target, name)


def _check_folder(path: Path) -> None:
    """Refuse a file whose folder is a file, lies in one, or takes no files."""
    there = next(folder for folder in path.absolute().parents if folder.exists())
    if not there.is_dir():
        raise WriteError(f"cannot write {path}: {there} is a file, not a folder")
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise WriteError(f"cannot write {path}: {reason(error)}") from error
