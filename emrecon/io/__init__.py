"""Files in, volumes and projections out; and back.

Formats are told apart by content and tried in order; what reads them is loaded when it is first
needed. See `emrecon.io.formats` for how another package adds one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from emrecon.errors import FormatError
from emrecon.io.formats import (
    DescribesBins,
    DescribesExam,
    DescribesImages,
    Format,
    Kind,
    ReadsImages,
    ReadsScans,
    TellsPosition,
    WritesImages,
    check_path,
    format_of,
    formats,
    identify,
    image_format,
    is_series,
    write_series,
)
from emrecon.tomo.inputs import CameraFacts, Corrections
from emrecon.volume import Volume

if TYPE_CHECKING:
    from emrecon.tomo.exam import ExamInfo
    from emrecon.tomo.geometry.bins import Bins

__all__ = [
    "Format",
    "Kind",
    "WritesImages",
    "describe",
    "formats",
    "has_bins",
    "image_format",
    "image_header",
    "image_size",
    "image_suffixes",
    "is_series",
    "kind",
    "patient_position",
    "read_bins",
    "read_exam",
    "read_image",
    "write_image",
    "write_series",
]


def kind(path: Path) -> Kind | Literal["unknown"]:
    """Return what the file holds, by its content.

    Raises
    ------
    FormatError
        If the file cannot be read.
    """
    identified = identify(path)
    return identified[1] if identified else "unknown"


def describe(path: Path, camera: CameraFacts | None = None) -> dict[str, str]:
    """Return what a file holds and how its geometry is understood, by name.

    Parameters
    ----------
    path : Path
        The file, or a folder that holds a scan.
    camera : CameraFacts, optional
        What stands in for what SPECT files do not say.

    Raises
    ------
    FormatError
        If the file cannot be read, or is of no known format.
    """
    from emrecon.io.manifest import resolved  # noqa: PLC0415 - not for every use

    check_path(path)
    prompts, files = resolved(path, Corrections())
    words = format_of(prompts)[0].describe(prompts, camera or CameraFacts())
    if prompts == path:
        return words
    names = {key: file.name for key, file in vars(files).items() if isinstance(file, Path)}
    return words | {"kind": "scan in a folder", "prompts": prompts.name, **names}


def has_bins(path: Path) -> bool:
    """Return whether a file's counts can be read in bins; events of single crystals have none.

    Raises
    ------
    FormatError
        If the file cannot be read.
    """
    identified = identify(path)
    return identified is not None and isinstance(identified[0], ReadsScans)


def read_image(path: Path) -> Volume:
    """Read an image, whatever its format.

    Raises
    ------
    FormatError
        If the file cannot be read, is of no known format, is damaged, or is not an image.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import emrecon as em
    >>> import numpy as np
    >>> image = em.Volume(np.ones((4, 4, 4), np.float32), np.eye(4), "Bq/mL")
    >>> with TemporaryDirectory() as name:
    ...     em.write_image(image, Path(name) / "image.nii.gz")
    ...     em.read_image(Path(name) / "image.nii.gz").unit
    'Bq/mL'
    """
    return _reader(path).read_image(path)


def _reader(path: Path) -> ReadsImages:
    """Return the format of an image."""
    form, held = format_of(path)
    if held != "image" or not isinstance(form, ReadsImages):
        raise FormatError(f"{path} holds no image ({held} of {form.name})")
    return form


def patient_position(path: Path) -> str | None:
    """Return how the patient of an image lies: HFS, HFP, FFS, FFP, or empty if it is not said.

    None where the format places voxels in the patient, whatever the position.

    Raises
    ------
    FormatError
        If the file cannot be read, or is of no known format.
    """
    form, _ = format_of(path)
    return form.patient_position(path) if isinstance(form, TellsPosition) else None


def write_image(volume: Volume, path: Path) -> None:
    """Write an image in the format that the ending of `path` names.

    Raises
    ------
    SettingsError
        If the ending names no known format.
    WriteError
        If the file cannot be written.
    GeometryError
        If the format cannot say where the volume lies.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import emrecon as em
    >>> import numpy as np
    >>> image = em.Volume(np.ones((4, 4, 4), np.float32), np.eye(4), "Bq/mL")
    >>> with TemporaryDirectory() as name:
    ...     em.write_image(image, Path(name) / "image.nii.gz")
    ...     em.read_image(Path(name) / "image.nii.gz").unit
    'Bq/mL'
    """
    image_format(path).write_image(volume, path)


def image_suffixes() -> tuple[str, ...]:
    """Return the file name endings of all formats that images are written in."""
    return tuple(s for form in formats() if isinstance(form, WritesImages) for s in form.suffixes)


def image_header(path: Path) -> Volume | None:
    """Return an image with 0 for its voxels, None where only reading the file would tell its grid.

    Raises
    ------
    FormatError
        As `read_image`, as far as the header tells.
    """
    form = _reader(path)
    return form.image_header(path) if isinstance(form, DescribesImages) else None


def image_size(path: Path) -> tuple[float, float] | None:
    """Return the number of voxels of an image, all frames together, and mm3 of each.

    None where only reading the file would tell.

    Raises
    ------
    FormatError
        If the file cannot be read, or is of no known format.
    """
    form, held = format_of(path)
    if held != "image" or not isinstance(form, DescribesImages):
        return None
    image = form.image_header(path)
    return float(image.voxels.size), float(np.prod(image.spacing_mm))


def read_bins(path: Path, corrections: Corrections | None = None) -> Bins | None:
    """Return the bins that a PET scan would be read in, None where only its data tell.

    Raises
    ------
    FormatError
        If the file cannot be read, or is of no known format.
    """
    form, _ = format_of(path)
    return (
        form.read_bins(path, corrections or Corrections())
        if isinstance(form, DescribesBins)
        else None
    )


def read_exam(path: Path) -> ExamInfo | None:
    """Return what the header of a scan says about the examination, None where only its data tell.

    Raises
    ------
    FormatError
        If the file cannot be read, or is of no known format.
    """
    form, _ = format_of(path)
    return form.read_exam(path) if isinstance(form, DescribesExam) else None
