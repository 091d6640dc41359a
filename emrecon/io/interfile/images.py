"""Interfile images: voxels of STIR's gantry, as volumes towards R, A and S.

Across the axis the stored offset is the place of the first voxel, by default ``-(n // 2)``
voxels.
Along the axis STIR counts from the middle of the image's planes: an offset of 0 puts that on the
scanner's middle, another moves it by as much (``DataSymmetriesForBins_PET_CartesianGrid.cxx``,
where the image's origin is the stored offset).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import GeometryError, WriteError
from emrecon.files import replacing
from emrecon.io.formats import check_affine
from emrecon.io.interfile.common import (
    Position,
    axis_sizes,
    data_file,
    data_start,
    exam_of,
    facts_of,
    note_unread,
    number_type,
    position_of,
    read_values,
    refuse_unsupported,
    scale_factors,
    scaled,
    warn_of_order,
)
from emrecon.io.interfile.header import Header, parse, writable
from emrecon.volume import Volume

UNIT_KEY = "emrecon unit"
"""Names the unit of the values in files written here."""


@dataclass(frozen=True, eq=False)
class Image:
    """An image, and what its header says besides."""

    volume: Volume
    """Voxels towards R, A, S; values as stored times the header's factors, no unit turned."""

    facts: dict[str, Any] = field(default_factory=dict)
    """Patient position, times, ignored keys."""


def stated_position(path: Path) -> str:
    """Return how the patient lies by the header at `path`; empty where it does not say."""
    position, facts = position_of(parse(path))
    return position.name if facts["patient_position_stated"] else ""


def read_image(path: Path) -> Image:
    """Read the image whose header is at `path`.

    Values are not converted: an attenuation map that STIR wrote is in 1/cm.

    Raises
    ------
    FormatError
        If header or data are not what an image needs, or ask for what is not supported.
    """
    header = parse(path)
    stored = _stored(header)
    return _placed(header, stored, *_voxels(header, stored))


def read_header(path: Path) -> Volume:
    """Return the image whose header is at `path` with 0 for its voxels, which are not read.

    Raises
    ------
    FormatError
        As `read_image`, as far as the header and the size of the data file tell.
    """
    header = parse(path)
    stored = _stored(header)
    nothing = np.broadcast_to(np.float32(0), (len(stored.starts), *stored.shape))
    return _placed(header, stored, nothing, scale_factors(header, stored.shape[0])[1]).volume


@dataclass(frozen=True)
class _Stored:
    """Where the voxels of an image are."""

    path: Path
    dtype: np.dtype[Any]
    starts: list[int]
    """Byte at which each frame begins."""

    shape: tuple[int, int, int]
    """Voxels of a frame along z, y and x."""


def _stored(header: Header) -> _Stored:
    """Return where the voxels are, which must all be there."""
    header.choice("imaging modality", ("pt", "pet", "nucmed", "nm", "ct", "mr", "mri"), "pt")
    header.choice("type of data", ("pet", "tomographic", "static", "dynamic", "other"), "pet")
    header.choice("pet data type", ("image",), "image")
    refuse_unsupported(header)
    if header.integer("number of dimensions", default=2) != 3:
        raise header.refusal("number of dimensions", "an image needs 3: x, y, z")
    nx, ny, nz = axis_sizes(header, ("x", "y", "z"))
    frames = header.integer("number of time frames", default=1)
    if frames < 1:
        raise header.refusal("number of time frames", "at least 1 is needed")
    shape, dtype = (nz, ny, nx), number_type(header)
    size = math.prod(shape) * dtype.itemsize
    starts = [data_start(header)]
    for frame in range(2, frames + 1):
        after = starts[-1] + size
        starts.append(header.integer("data offset in bytes", frame, default=after))
    if min(starts) < 0 or min(np.diff(sorted(starts)), default=size) < size:
        raise header.refusal("data offset in bytes", "frames must not overlap")
    return _Stored(data_file(header, max(starts) + size), dtype, starts, shape)


def _placed(header: Header, stored: _Stored, voxels: NDArray[np.float32], unit: str) -> Image:
    """Return voxels ``[frame, z, y, x]`` where the header says they lie."""
    frames, (nz, ny, nx) = len(stored.starts), stored.shape
    turned = "%image orientation"
    if header.entry(turned) and header.numbers(turned) != [1, 0, 0, 0, 1, 0]:
        raise header.refusal(turned, "rows run along x and columns along y: {1,0,0,0,1,0}")
    position, facts = position_of(header)
    facts |= facts_of(header, exam_of(header, position))
    if frames > 1:
        facts |= _frame_times(header, frames)
    header.text("originating system", default="")
    affine = _affine(header, (nx, ny, nz), position)
    check_affine(header.path, affine)
    unit = header.text(UNIT_KEY, default=unit)
    note_unread(header, facts)
    along = voxels.transpose(0, 3, 2, 1)
    return Image(Volume(along[0] if frames == 1 else along, affine, unit).ras(), facts)


def write(volume: Volume, path: Path) -> None:
    """Write `volume` as the Interfile image `path` (``.hv``) and its data (``.v``) beside it.

    Float32, little end first, for a patient head first and supine.

    Raises
    ------
    GeometryError
        If the volume is oblique.
    WriteError
        If a file cannot be written.
    """
    if path.suffix != ".hv":
        raise WriteError(f"cannot write {path}: an Interfile image is named .hv")
    if not volume.aligned:
        raise GeometryError("Interfile cannot hold an oblique volume; write NIfTI instead")
    upright = volume.ras()
    frames = upright.voxels if upright.voxels.ndim == 4 else upright.voxels[np.newaxis]
    data = path.with_suffix(".v")
    with replacing(path) as head, replacing(data) as body:
        with body.open("wb") as file:
            for frame in frames:
                gantry = frame[::-1, ::-1, ::-1].transpose(2, 1, 0)
                np.ascontiguousarray(gantry, dtype="<f4").tofile(file)
        head.write_text(_header_text(upright, data.name, len(frames)), encoding="utf-8")


def _voxels(header: Header, stored: _Stored) -> tuple[NDArray[np.float32], str]:
    """Return values ``[frame, z, y, x]`` and their unit."""
    path, dtype, shape, count = stored.path, stored.dtype, stored.shape, math.prod(stored.shape)
    warn_of_order(path, dtype, stored.starts[0])
    voxels = np.empty((len(stored.starts), *shape), np.float32)
    unit = ""
    for frame, start in enumerate(stored.starts):
        factors, unit = scale_factors(header, shape[0], frame + 1)
        values = read_values(path, dtype, count, start).reshape(shape)
        for plane, factor in enumerate(factors):
            voxels[frame, plane] = scaled(values[plane], factor)
    return voxels, unit


def _affine(
    header: Header, shape: tuple[int, int, int], position: Position
) -> NDArray[np.float64]:
    """Return what takes indices along the gantry's x, y, z to RAS mm."""
    affine = np.eye(4)
    for axis, (count, sign) in enumerate(zip(shape, position.signs, strict=True)):
        spacing = header.number("scaling factor (mm/pixel)", axis + 1)
        if spacing <= 0:
            raise header.refusal("scaling factor (mm/pixel)", "it is above zero", axis + 1)
        default = 0.0 if axis == 2 else -(count // 2) * spacing
        first = header.number("first pixel offset (mm)", axis + 1, default)
        if axis == 2:
            first -= (count - 1) / 2 * spacing
        affine[axis, axis] = sign * spacing
        affine[axis, 3] = sign * first
    return affine


def _frame_times(header: Header, frames: int) -> dict[str, Any]:
    names = {"durations_s": "image duration (sec)", "starts_s": "image relative start time (sec)"}
    return {
        name: [header.number(key, frame) for frame in range(1, frames + 1)]
        for name, key in names.items()
        if all(header.entry(key, frame) is not None for frame in range(1, frames + 1))
    }


def _header_text(volume: Volume, data: str, frames: int) -> str:
    """Return the header of a volume towards R, A, S."""
    grid = volume.grid()
    axes = ""
    for axis, (label, count, spacing, first) in enumerate(
        zip("xyz", grid.shape, grid.spacing_mm, grid.origin_mm, strict=True), 1
    ):
        # The gantry's first voxel is the last one towards R, A.
        offset = -(first + spacing * (count - 1))
        if label == "z":
            offset += spacing * (count - 1) / 2
        axes += (
            f"matrix axis label [{axis}] := {label}\n"
            f"!matrix size [{axis}] := {count}\n"
            f"scaling factor (mm/pixel) [{axis}] := {spacing!r}\n"
            f"first pixel offset (mm) [{axis}] := {offset!r}\n"
        )
    size = 4 * int(np.prod(grid.shape))
    offsets = "".join(f"data offset in bytes[{f + 1}] := {f * size}\n" for f in range(frames))
    # STIR takes 'quantification units' for a number, and passes over keys that it does not know.
    unit = f"{UNIT_KEY} := {volume.unit}\n" if volume.unit else ""
    return (
        "!INTERFILE  :=\n"
        "!imaging modality := PT\n"
        "!version of keys := STIR6.0\n"
        f"name of data file := {writable(data)}\n"
        "!GENERAL DATA :=\n"
        f"{Position().lines}"
        "!GENERAL IMAGE DATA :=\n"
        "!type of data := PET\n"
        "imagedata byte order := LITTLEENDIAN\n"
        "!PET STUDY (General) :=\n"
        "!PET data type := Image\n"
        "process status := Reconstructed\n"
        "!number format := float\n"
        "!number of bytes per pixel := 4\n"
        "number of dimensions := 3\n"
        f"{axes}"
        f"number of time frames := {frames}\n"
        f"{offsets}"
        f"{unit}"
        "!END OF INTERFILE :=\n"
    )
