"""A suite of checks for file formats, to run on one's own; see `check_format`."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

import numpy as np

from emrecon.errors import EmreconError, FormatError
from emrecon.io.formats import (
    Format,
    HasDataFiles,
    Kind,
    Reading,
    ReadsEvents,
    ReadsImages,
    ReadsScans,
    WritesImages,
    formats,
    open_head,
)
from emrecon.tomo.inputs import CameraFacts, Corrections
from emrecon.tomo.listmode import EVERYTHING
from emrecon.volume import Grid, Volume

SAME_MM = 1e-3
"""How far voxels may have moved when an image is read that was written."""


def check_format(form: Format, tmp_path: Path, samples: Iterable[Path] = ()) -> None:
    """Check that a format keeps what the registry promises of all of them.

    Images that it writes come back at their place; its files are recognised by it and by no
    other; they are described; and damaged ones end in a FormatError, whatever is cut off.

    Parameters
    ----------
    form : Format
        The format, registered or not.
    tmp_path : Path
        An empty folder to write to.
    samples : iterable of Path, optional
        Whole files of the format, of every kind that it reads and does not write.

    Raises
    ------
    AssertionError
        If it does not, saying what it did instead.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from emrecon.io.formats import formats
    >>> [nifti] = [form for form in formats() if form.name == "NIfTI"]
    >>> with TemporaryDirectory() as name:
    ...     check_format(nifti, Path(name))
    """
    _require(isinstance(form, Format), f"{form!r} has not the members of a Format")
    number = count()
    paths = [_copied(form, sample, tmp_path / f"sample{next(number)}") for sample in samples]
    if isinstance(form, WritesImages):
        for suffix in form.suffixes:
            for volume in _volumes():
                folder = tmp_path / f"written{next(number)}"
                folder.mkdir()
                paths.append(folder / f"image{suffix}")
                _check_round_trip(form, volume, paths[-1])
    _require(bool(paths), f"{form.name} writes no images: give samples to check it with")
    for path in paths:
        _check_recognised(form, path)
        _check_described(form, path)
        _check_damaged(form, path)


def _check_round_trip(form: WritesImages, volume: Volume, path: Path) -> None:
    """Check that an image that was written comes back, and that its files are whole or not."""
    form.write_image(volume, path)
    _require(isinstance(form, ReadsImages), f"{form.name} writes images and reads none")
    assert isinstance(form, ReadsImages)  # noqa: S101 - tells the type checker
    back, wanted = form.read_image(path).ras(), volume.ras()
    _require(back.voxels.dtype == np.float32, f"{path}: voxels are {back.voxels.dtype}")
    _require(np.array_equal(back.voxels, wanted.voxels), f"{path}: voxels are not as written")
    shift = np.abs(back.affine - wanted.affine).max()
    _require(shift < SAME_MM, f"{path}: the image moved by {shift:g} mm")
    _require(back.unit in {volume.unit, ""}, f"{path}: the unit is {back.unit!r}")
    for file in path.parent.iterdir():
        _require(file.stem.startswith("image"), f"{file} is left beside {path.name}")


def _check_recognised(form: Format, path: Path) -> None:
    """Check that a file is of this format, and of no other."""
    head = open_head(path)
    _require(form.kind(head, path) is not None, f"{form.name} does not recognise {path}")
    for other in formats():
        if other.name != form.name:
            kind = other.kind(head, path)
            _require(kind is None, f"{path} of {form.name} is taken for {kind} of {other.name}")
    foreign = path.with_name("foreign")
    for content in (b"", b"\0" * 600, b"\xff" * 600, b"Some words\n" * 60):
        foreign.write_bytes(content)
        kind = form.kind(content, foreign)
        _require(kind is None, f"{form.name} takes {content[:12]!r}... for {kind}")
    foreign.unlink()


def _check_described(form: Format, path: Path) -> None:
    """Check that there are words about a file."""
    words = form.describe(path, CameraFacts())
    _require(bool(words.get("kind")), f"the description of {path} has no 'kind'")
    for name, value in words.items():
        _require(isinstance(value, str), f"{name} in the description of {path} is no text")


def _check_damaged(form: Format, path: Path) -> None:
    """Check that a file that was cut is refused, its header refused or read."""
    files = _data_files(form, path)
    for file in files or (path,):
        for left in _cuts(file):
            error = _error_of_cut(form, path, file, left)
            refused = isinstance(error, FormatError) and "\n" not in str(error)
            what = "is read" if error is None else f"ends in {error!r}"
            _require(refused, f"{path}: {file.name} cut to {left} bytes {what}, not a FormatError")
    for left in _cuts(path) if files else ():
        error = _error_of_cut(form, path, path, left)
        refused = error is None or isinstance(error, EmreconError)
        _require(refused, f"{path} cut to {left} bytes ends in {error!r}")


def _error_of_cut(form: Format, path: Path, file: Path, left: int) -> Exception | None:
    """Return what comes of reading `path` with one of its files cut; the file is whole again."""
    whole = file.read_bytes()
    file.write_bytes(whole[:left])
    try:
        kind = form.kind(open_head(path), path)
        if kind is None:
            return FormatError("not recognised")
        _read(form, path, kind)
    except Exception as error:  # noqa: BLE001 - any other than a FormatError is what is looked for
        return error
    finally:
        file.write_bytes(whole)
    return None


def _read(form: Format, path: Path, kind: Kind) -> None:
    """Read all of a file in the way of its kind."""
    if kind == "image" and isinstance(form, ReadsImages):
        form.read_image(path)
    elif kind == "events" and isinstance(form, ReadsEvents):
        with form.open_events(path, Corrections(), EVERYTHING):
            pass
    elif isinstance(form, ReadsScans):
        form.read_scan(path, Reading())
    elif kind == "other":
        form.describe(path, CameraFacts())
    else:
        raise TypeError(f"{form.name} calls {path} {kind} and has no method to read that")


def _cuts(file: Path) -> tuple[int, ...]:
    """Return odd numbers of bytes, so that no number in a file is whole by chance."""
    size = file.stat().st_size
    return tuple(sorted({1, size // 4 | 1, size // 2 | 1, size * 9 // 10 | 1} - {size}))


def _copied(form: Format, sample: Path, folder: Path) -> Path:
    """Return a copy of a file, with its data beside it, in a folder of its own."""
    folder.mkdir()
    for file in (sample, *_data_files(form, sample)):
        shutil.copyfile(file, folder / file.name)
    return folder / sample.name


def _data_files(form: Format, path: Path) -> tuple[Path, ...]:
    return form.data_files(path) if isinstance(form, HasDataFiles) else ()


def _volumes() -> Iterator[Volume]:
    """Yield images off the axis, no two voxels alike, towards any sides, one with frames."""
    rng = np.random.default_rng(3)
    for shape, flips in (
        ((5, 4, 7), (1, 1, 1)),
        ((5, 4, 7), (-1, 1, -1)),
        ((3, 5, 4, 6), (-1, -1, 1)),
        ((1, 1, 1), (1, 1, 1)),
        ((2, 3, 1), (1, 1, 1)),
    ):
        i, j, k = shape[-3:]
        affine = Grid.centred((i, j, k), (1.25, 2.5, 3.1)).affine
        affine[:3] *= np.array(flips)[:, np.newaxis]
        affine[:3, 3] += (11.0, -7.5, 4.0)
        yield Volume(rng.normal(size=shape).astype(np.float32), affine, "Bq/mL")


def _require(kept: bool, words: str) -> None:  # noqa: FBT001 - as of assert
    """Raise an AssertionError in words, whatever options Python runs with."""
    if not kept:
        raise AssertionError(words)
