"""Interfile PET projections out: a header as STIR 6 writes it, and float32 data by view."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import GeometryError, WriteError
from emrecon.files import replacing
from emrecon.io.interfile.common import Position, exam_lines, position_named, time_lines
from emrecon.io.interfile.header import writable
from emrecon.io.interfile.pet import (
    ARC_CORRECTED,
    turned_phi,
    turned_segment,
    turned_timing,
)
from emrecon.tomo.exam import ExamInfo
from emrecon.tomo.geometry.bins import Bins, Scanner
from emrecon.tomo.geometry.tof import Timing
from emrecon.volume import Array

SAME_MM = 1e-3
"""How far bins may lie from where a header can say that they lie."""

SAME_RAD = 1e-6
"""How far views may."""

_NUCLIDE = "number of radionuclides := 1\nradionuclide name[1]"


def write_projections(path: Path, bins: Bins, data: Array, exam: ExamInfo | None = None) -> None:
    """Write `data` as the Interfile projections `path` (``.hs``) and ``.s`` beside it.

    Float32, little end first, by view, segments from the most negative to the most positive, in
    the gantry's axes for the patient position in `exam` (head first supine by default).

    Parameters
    ----------
    path : Path
        The header's name, ending in ``.hs``.
    bins : Bins
        Bins of a ring scanner, all views of them.
    data : ndarray of float32
        Values, ``bins.data_shape``; or ``bins.shape``, which is written without time of flight.
    exam : ExamInfo, optional
        What else the header is to say.

    Raises
    ------
    GeometryError
        If the bins are not those of a ring scanner, or the data do not fit them.
    WriteError
        If a file cannot be written.
    """
    if path.suffix != ".hs":
        raise WriteError(f"cannot write {path}: Interfile projections are named .hs")
    if data.shape not in {bins.shape, bins.data_shape}:
        raise GeometryError(f"data of shape {data.shape} do not fit bins of {bins.data_shape}")
    if data.shape == bins.shape:
        bins = bins.untimed
    exam = exam or ExamInfo()
    position = position_named(exam.patient_position)
    body_path = path.with_suffix(".s")
    text = _header_text(bins, body_path.name, position, exam)
    with replacing(path) as head, replacing(body_path) as body:
        with body.open("wb") as file:
            timed = data.reshape(-1, *bins.shape)
            for timing in range(len(timed)):
                _write_values(
                    file, bins, timed[turned_timing(timing, len(timed), position)], position
                )
        head.write_text(text, encoding="utf-8")


def _write_values(file: IO[bytes], bins: Bins, data: Array, position: Position) -> None:
    """Write all segments of one time-of-flight bin."""
    for number in _file_order(bins):
        first = int(bins.offsets[number])
        segment = data[:, :, first : first + bins.segments[number].planes]
        for view in turned_segment(segment, position):
            np.ascontiguousarray(view.T, dtype="<f4").tofile(file)


def _file_order(bins: Bins) -> list[int]:
    return sorted(range(len(bins.segments)), key=lambda n: bins.segments[n].ring_differences)


def _expressed(bins: Bins, position: Position) -> tuple[Scanner, float]:
    """Return the scanner and the view offset in degrees that describe `bins`."""
    scanner = bins.scanner
    if scanner is None:
        raise GeometryError(
            "Interfile PET projections belong to a ring scanner; these bins have none"
        )
    count, views = bins.s_mm.size, bins.phi_rad.size
    unmashed = scanner.crystals // 2
    related = unmashed % views == 0
    like = scanner.bins_of(
        [segment.ring_differences for segment in bins.segments],
        views=views if related else None,
        count=count,
        arc_corrected=bins.arc_corrected,
        bin_mm=bins.bin_mm,
    )
    gantry = turned_phi(bins.phi_rad, position)
    mashed = np.pi / scanner.crystals * (unmashed // views - 1) if related else 0.0
    straight = gantry[0] + np.pi / views * np.arange(views)
    if (
        like.segments != bins.segments
        or not _same(like.s_mm, bins.s_mm, SAME_MM)
        or not _same(straight, gantry, SAME_RAD)
        or not (related or bins.arc_corrected)
    ):
        raise GeometryError(
            f"these bins are not what an Interfile header can say about {scanner.name}: all "
            "views over 180 degrees, whole segments, bins of the ring or equally spaced"
        )
    offset = np.rad2deg(gantry[0] - mashed)
    return scanner, float((offset + 180.0) % 360.0 - 180.0)


def _same(one: NDArray[np.float64], other: NDArray[np.float64], within: float) -> bool:
    return bool(np.abs(one - other).max() <= within)


def _number(value: float) -> str:
    """Return a number with all its digits."""
    return repr(float(value))


def _header_text(bins: Bins, data: str, position: Position, exam: ExamInfo) -> str:
    scanner, offset = _expressed(bins, position)
    segments = [bins.segments[number] for number in _file_order(bins)]
    planes, least, greatest = (
        "{ " + ",".join(map(str, values)) + "}"
        for values in (
            [segment.planes for segment in segments],
            [segment.ring_differences[0] for segment in segments],
            [segment.ring_differences[1] for segment in segments],
        )
    )
    return (
        "!INTERFILE  :=\n"
        "!imaging modality := PT\n"
        f"name of data file := {writable(data)}\n"
        f"originating system := {scanner.name}\n"
        "!version of keys := STIR6.0\n"
        "!GENERAL DATA :=\n"
        "!GENERAL IMAGE DATA :=\n"
        "!type of data := PET\n"
        f"{position.lines}"
        "imagedata byte order := LITTLEENDIAN\n"
        f"{exam_lines(exam, _NUCLIDE)}"
        "!PET STUDY (General) :=\n"
        "!PET data type := Emission\n"
        f"applied corrections := {_corrections(bins, exam)}\n"
        "!number format := float\n"
        "!number of bytes per pixel := 4\n"
        f"{_timing_axis(bins)}"
        "matrix axis label [4] := segment\n"
        f"!matrix size [4] := {len(segments)}\n"
        "matrix axis label [3] := view\n"
        f"!matrix size [3] := {bins.phi_rad.size}\n"
        "matrix axis label [2] := axial coordinate\n"
        f"!matrix size [2] := {planes}\n"
        "matrix axis label [1] := tangential coordinate\n"
        f"!matrix size [1] := {bins.s_mm.size}\n"
        f"minimum ring difference per segment := {least}\n"
        f"maximum ring difference per segment := {greatest}\n"
        f"{'TOF mashing factor := 1' + chr(10) if bins.timing else ''}"
        f"{_scanner_text(scanner, offset, bins.timing)}"
        f"effective central bin size (cm) := {_number(_bin_mm(bins, scanner) / 10)}\n"
        "number of time frames := 1\n"
        f"{time_lines(exam)}"
        "!END OF INTERFILE :=\n"
    )


def _timing_axis(bins: Bins) -> str:
    if bins.timing is None:
        return "number of dimensions := 4\n"
    return (
        "number of dimensions := 5\n"
        "matrix axis label [5] := timing positions\n"
        f"!matrix size [5] := {bins.timing.bins}\n"
    )


def _timing_text(timing: Timing | None) -> str:
    if timing is None:
        return ""
    return (
        f"Maximum number of (unmashed) TOF time bins := {timing.bins}\n"
        f"Size of unmashed TOF time bins (ps) := {_number(timing.width_ps)}\n"
        f"TOF timing resolution (ps) := {_number(timing.fwhm_ps)}\n"
    )


def _scanner_text(scanner: Scanner, offset_deg: float, timing: Timing | None) -> str:
    around, along = scanner.block_crystals
    return (
        "Scanner parameters:=\n"
        f"Scanner type := {scanner.name}\n"
        f"Number of rings := {scanner.rings}\n"
        f"Number of detectors per ring := {scanner.crystals}\n"
        f"Inner ring diameter (cm) := {_number(scanner.radius_mm / 5)}\n"
        f"Average depth of interaction (cm) := {_number(scanner.doi_mm / 10)}\n"
        f"Distance between rings (cm) := {_number(scanner.ring_spacing_mm / 10)}\n"
        f"Default bin size (cm) := {_number(scanner.bin_mm / 10)}\n"
        f"View offset (degrees) := {_number(offset_deg)}\n"
        f"Maximum number of non-arc-corrected bins := {scanner.max_bins}\n"
        f"Default number of arc-corrected bins := {scanner.max_bins}\n"
        "Number of blocks per bucket in transaxial direction := 1\n"
        "Number of blocks per bucket in axial direction := 1\n"
        f"Number of crystals per block in axial direction := {along}\n"
        f"Number of crystals per block in transaxial direction := {around}\n"
        "Number of detector layers := 1\n"
        f"{_timing_text(timing)}"
        "Scanner geometry (BlocksOnCylindrical/Cylindrical/Generic) := Cylindrical\n"
        "End scanner parameters:=\n"
    )


def _bin_mm(bins: Bins, scanner: Scanner) -> float:
    ring_bin = scanner.effective_radius_mm * np.sin(np.pi / scanner.crystals)
    return bins.bin_mm if bins.arc_corrected else float(ring_bin)


def _corrections(bins: Bins, exam: ExamInfo) -> str:
    known = [
        name for name in exam.applied_corrections if name not in ARC_CORRECTED and name != "none"
    ]
    names = (["arc correction"] if bins.arc_corrected else []) + known
    return "{" + (",".join(names) or "None") + "}"
