"""The registry of file formats: what a file is, and who reads and writes it.

A format is an object with the three members of `Format`, and the methods of those protocols below
that it can honour. A folder here lists its own in ``FORMATS``; another package adds one by an
entry point of the group ``emrecon.formats``, which names such an object or what makes it.
"""

from __future__ import annotations

import gzip
import logging
import zlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import FormatError, SettingsError
from emrecon.files import STREAM, is_stream
from emrecon.io.foreign import foreign
from emrecon.plugins import installed
from emrecon.tomo.inputs import CameraFacts, Corrections

if TYPE_CHECKING:
    from emrecon.tomo.corrections.components import Singles
    from emrecon.tomo.exam import ExamInfo
    from emrecon.tomo.gates import Times, When
    from emrecon.tomo.geometry.bins import Bins
    from emrecon.tomo.listmode_scan import ListmodeScan
    from emrecon.tomo.scan import Scan
    from emrecon.volume import Volume

log = logging.getLogger(__name__)

Kind = Literal["image", "projections", "events", "other"]
"""What a file may hold; other is what its format knows but nobody here can use."""

Choice = Callable[[int], NDArray[np.intp]]
"""Chooses views, given how many there are."""

GROUP = "emrecon.formats"
"""Entry points of other packages' formats."""

BUILT_IN = ("nifti", "petlink", "interfile", "dicom", "petsird", "calibration_file")
"""Rooms with formats, in the order in which they are tried."""

FAR_MM = 1e9
"""No voxel is as large, or lies as far away."""

HEAD_BYTES = 544
"""How much of a file, decompressed, a format is shown to recognise it by."""


@dataclass(frozen=True)
class Reading:
    """What is wanted of a scan's file, and what stands in for what it does not say."""

    corrections: Corrections = field(default_factory=Corrections)
    """Span of list-mode, and what to do with time of flight."""

    camera: CameraFacts = field(default_factory=CameraFacts)
    """What to choose of SPECT files, and what they leave out."""

    isotope: str = ""
    """Isotope that goes before that of SPECT files."""

    window_s: When = (0.0, float("inf"))
    """Stretch or gate of list-mode to take."""

    views: Choice | None = None
    """Chooses the views to read; a format need not ask it, and then reads all."""

    prompts: bool = True
    """Whether measured counts are wanted; else a correction that lies in bins."""

    def of_correction(self) -> Reading:
        """Return how to read a correction that lies in the bins of the prompts."""
        return replace(self, prompts=False)


@runtime_checkable
class Format(Protocol):
    """A file format. What can be done with its files is told by the protocols below.

    Examples
    --------
    >>> all(isinstance(form, Format) for form in formats())
    True
    """

    @property
    def name(self) -> str:
        """Name that people know it by, such as ``NIfTI``."""
        ...

    def kind(self, head: bytes, path: Path) -> Kind | None:
        """Return what a file holds, None where it is of another format.

        Parameters
        ----------
        head : bytes
            The first bytes of the file, decompressed where it is gzip.
        path : Path
            The file.

        Raises
        ------
        FormatError
            If it is of this format, but damaged.
        """
        ...

    def describe(self, path: Path, camera: CameraFacts) -> dict[str, str]:
        """Return what a file holds and where that lies, in words; FormatError if damaged."""
        ...


@runtime_checkable
class ReadsImages(Protocol):
    """Reads files of kind ``image``."""

    def read_image(self, path: Path) -> Volume:
        """Return the image in RAS mm; FormatError if the file is damaged."""
        ...


@runtime_checkable
class WritesImages(Protocol):
    """Writes images."""

    @property
    def name(self) -> str:
        """Name of the format."""
        ...

    @property
    def suffixes(self) -> tuple[str, ...]:
        """File name endings that are written."""
        ...

    def write_image(self, volume: Volume, path: Path) -> None:
        """Write an image: whole or, with a WriteError or GeometryError, not at all."""
        ...


@runtime_checkable
class DescribesImages(Protocol):
    """Tells grid and unit of an image from its header alone."""

    def image_header(self, path: Path) -> Volume:
        """Return the image with 0 for its voxels; FormatError if its data are missing or cut."""
        ...


@runtime_checkable
class TellsPosition(Protocol):
    """Turns images by how the patient lies, which their headers say or leave out."""

    def patient_position(self, path: Path) -> str:
        """Return HFS, HFP, FFS or FFP; empty where an image was read as HFS for want of it."""
        ...


@runtime_checkable
class WritesSeries(Protocol):
    """Writes images as the files of a folder, with what their sidecar says."""

    def write_series(
        self, volume: Volume, folder: Path, about: Mapping[str, Any]
    ) -> tuple[Path, ...]:
        """Write an image to an empty folder; return the files."""
        ...


@runtime_checkable
class ReadsScans(Protocol):
    """Reads counts in bins, of kind ``projections`` or ``events``."""

    def read_scan(self, path: Path, reading: Reading) -> Scan:
        """Return prompts in bins with what the file says of them; FormatError if damaged.

        If no prompts are wanted, `Scan.prompts` holds whatever the file has in the bins.
        """
        ...


@runtime_checkable
class DescribesBins(Protocol):
    """Tells the bins of a scan from its header alone."""

    def read_bins(self, path: Path, corrections: Corrections) -> Bins:
        """Return the bins that a scan would be read in."""
        ...


@runtime_checkable
class DescribesExam(Protocol):
    """Tells what is known about the examination from the header of counts alone."""

    def read_exam(self, path: Path) -> ExamInfo:
        """Return energies, tracer and times, as far as the header says them."""
        ...


@runtime_checkable
class ReadsEvents(Protocol):
    """Reads files of kind ``events`` one event after another."""

    def open_events(
        self, path: Path, corrections: Corrections, window_s: When
    ) -> AbstractContextManager[tuple[ListmodeScan, dict[str, Path]]]:
        """Give the events, while the context lasts, and the files of corrections read."""
        ...


@runtime_checkable
class ReadsTriggers(Protocol):
    """Reads the triggers of heartbeat and breathing in files of kind ``events``."""

    def triggers(self, path: Path, source: str) -> tuple[Times, str]:
        """Return times in ms of ``respiratory`` or ``cardiac`` triggers, and what else is there.

        The second is a phrase for the message where there are none.
        """
        ...


@runtime_checkable
class TellsSingles(Protocol):
    """Tells how often the blocks of detectors counted during scans of kind ``events``."""

    def block_singles(self, path: Path, window_s: When) -> Singles | None:
        """Return singles a second of the block of each crystal ``(rings, crystals)``.

        They are in the file's own axes, as those of a normalisation of that scanner are. None
        where the file does not tell them.
        """
        ...


@runtime_checkable
class HasDataFiles(Protocol):
    """Keeps its data in other files than the one that is named."""

    def kind(self, head: bytes, path: Path) -> Kind | None:
        """Return what a file holds, as `Format.kind`."""
        ...

    def data_files(self, path: Path) -> tuple[Path, ...]:
        """Return those of the other files that exist."""
        ...


@runtime_checkable
class ChecksData(Protocol):
    """Tells from the header of counts whether all of its data are there."""

    def check_data(self, path: Path, camera: CameraFacts) -> None:
        """Do nothing, or refuse data that are missing or cut as reading them would."""
        ...


@runtime_checkable
class NamesOthers(Protocol):
    """Knows dialects of its format that are not read."""

    def other(self, head: bytes, path: Path) -> str:
        """Return what a file of no known kind is, and what to do; empty where not known."""
        ...


@cache
def formats() -> tuple[Format, ...]:
    """Return all formats, those of other packages last."""
    modules = [import_module(f"emrecon.io.{folder}") for folder in BUILT_IN]
    own = [form for module in modules for form in module.FORMATS]
    others = []
    for name, offered in installed(GROUP).items():
        form = offered() if callable(offered) else offered
        if isinstance(form, Format):
            others.append(form)
        else:
            log.warning("%s %r cannot be used: it has not the members of a format", GROUP, name)
    return (*own, *others)


def identify(path: Path) -> tuple[Format, Kind] | None:
    """Return the format of a file and what it holds, by its content; None for an unknown one.

    Raises
    ------
    FormatError
        If the file cannot be read, or is damaged.
    """
    head = open_head(path)
    for form in formats():
        if kind := form.kind(head, path):
            return form, kind
    return None


def format_of(path: Path) -> tuple[Format, Kind]:
    """Return the format of a file and what it holds, by its content.

    Raises
    ------
    FormatError
        If the file cannot be read, is damaged, or of no known format.
    """
    if identified := identify(path):
        return identified
    head = open_head(path)
    naming = [form.other(head, path) for form in formats() if isinstance(form, NamesOthers)]
    for words in filter(None, (*naming, foreign(head))):
        raise FormatError(f"{path} cannot be read: it is {words}")
    known = ", ".join(form.name for form in formats())
    raise FormatError(f"cannot tell what {path} is; known are {known}")


def image_format(path: Path) -> WritesImages:
    """Return the format that images are written in, by the ending of `path`.

    Raises
    ------
    SettingsError
        If the ending names no known format.
    """
    check_path(path)
    writing = [form for form in formats() if isinstance(form, WritesImages)]
    for form in writing:
        if path.name.endswith(form.suffixes):
            return form
    known = ", ".join(suffix for form in writing for suffix in form.suffixes)
    raise SettingsError(f"cannot write {path}: no format ends so; known are {known}")


def is_series(path: Path) -> bool:
    """Return whether an image of this name is a folder of files: one without an ending."""
    check_path(path)
    return not path.suffix


def write_series(volume: Volume, folder: Path, about: Mapping[str, Any]) -> tuple[Path, ...]:
    """Write an image, with what its sidecar says, to an empty folder (DICOM); return the files."""
    form = next(form for form in formats() if isinstance(form, WritesSeries))
    return form.write_series(volume, folder, about)


def data_files(headers: dict[str, Path]) -> dict[str, Path]:
    """Return the files that hold the data of `headers`, by what they are."""
    named: dict[str, Path] = {}
    split = [form for form in formats() if isinstance(form, HasDataFiles)]
    for what, path in headers.items():
        head = open_head(path)
        form = next((form for form in split if form.kind(head, path)), None)
        for number, file in enumerate(form.data_files(path) if form else (), 1):
            named[f"{what} data" if number == 1 else f"{what} data {number}"] = file
    return named


def check_data(path: Path, camera: CameraFacts | None = None) -> None:
    """Refuse data that are missing or cut, as far as the header of a file of any kind tells.

    Parameters
    ----------
    path : Path
        Header of an image or of counts; of any other file nothing is asked.
    camera : CameraFacts, optional
        What stands in for what SPECT files do not say.

    Raises
    ------
    FormatError
        If they are.
    """
    identified = identify(path)
    if identified is None:
        return
    form, _ = identified
    if isinstance(form, DescribesImages):
        form.image_header(path)
    if isinstance(form, ChecksData):
        form.check_data(path, camera or CameraFacts())


def check_affine(path: Path, affine: NDArray[np.float64]) -> None:
    """Refuse an affine (to mm) that no image can have.

    Raises
    ------
    FormatError
        If it is singular, not finite, or of voxels beyond `FAR_MM`.
    """
    if not (np.abs(affine) < FAR_MM).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise FormatError(f"{path}: its affine is singular, not finite or beyond {FAR_MM:g} mm")


def open_head(path: Path) -> bytes:
    """Return the first bytes of a file, decompressed where it is gzip.

    Raises
    ------
    FormatError
        If the file cannot be read, is a pipe or device, or its compression is damaged.
    """
    check_path(path)
    if is_stream(path):
        raise FormatError(f"cannot read {path}: {STREAM}")
    if path.is_dir():
        raise FormatError(f"{path} is a folder: name a file in it (of a DICOM series any one)")
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        if not head.startswith(b"\x1f\x8b"):
            return head
        with gzip.open(path) as file:
            return file.read(HEAD_BYTES)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FormatError(f"{path} is damaged: {error}") from error
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror or error}") from error


def check_path(path: object) -> None:
    """Refuse what is no path, such as a plain text, before something of it is asked for.

    Raises
    ------
    SettingsError
        If it is none.
    """
    if not isinstance(path, Path):
        raise SettingsError(f"a file is named by a Path, not by {path!r}: say Path(...)")
