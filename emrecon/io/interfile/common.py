"""What Interfile images and projections share: refusals, patient positions, numbers in files."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import FormatError, GeometryError
from emrecon.io.interfile.header import Header
from emrecon.io.interfile.keys import HARMLESS, ONE, SAYS_NOTHING, WORDS, ZERO
from emrecon.tomo.exam import ExamInfo

logger = logging.getLogger(__name__)

_SIZES = {
    "float": {4: "f4", 8: "f8"},
    "short float": {4: "f4"},
    "long float": {8: "f8"},
    "signed integer": {1: "i1", 2: "i2", 4: "i4"},
    "unsigned integer": {1: "u1", 2: "u2", 4: "u4"},
}
BLOCK_BYTES = 2048
"""Length of a block of data, by Interfile 3.3."""

SAMPLE = 1 << 20
"""How many numbers are looked at to judge the byte order."""

UNLIKELY = 16
"""Ratio of totals that speaks for the other byte order."""

TAILS = 0.99
"""Most of the numbers that may be too small, as the tails of a model are."""

MEASURE = (1e-30, 1e20)
"""Sizes that numbers other than 0 have in any sensible unit."""

NORMAL = 1e-37
"""Size from which on all bits of a floating-point number count."""

_ORDERS = {"littleendian": "<", "bigendian": ">"}


@dataclass(frozen=True)
class Position:
    """How the patient lies, and so how STIR's gantry axes turn into R, A and S.

    The gantry's x, y, z run to the left, to the back and to the feet of a patient who lies head
    first on the back.
    """

    feet_first: bool = False
    prone: bool = False

    @property
    def name(self) -> str:
        """Name of the position in DICOM: HFS, HFP, FFS, FFP."""
        return f"{'FF' if self.feet_first else 'HF'}{'P' if self.prone else 'S'}"

    @property
    def signs(self) -> tuple[float, float, float]:
        """What multiplies gantry x, y, z to give R, A, S."""
        x = -1.0 if self.feet_first == self.prone else 1.0
        return x, 1.0 if self.prone else -1.0, 1.0 if self.feet_first else -1.0

    @property
    def lines(self) -> str:
        """Two header lines that say so."""
        orientation = "feet_in" if self.feet_first else "head_in"
        return (
            f"patient orientation := {orientation}\n"
            f"patient rotation := {'prone' if self.prone else 'supine'}\n"
        )


POSITIONS = {p.name: p for p in (Position(f, r) for f in (False, True) for r in (False, True))}


def position_of(header: Header) -> tuple[Position, dict[str, Any]]:
    """Return how the patient lies, head first supine where the header does not say, and facts."""
    orientation = header.choice("patient orientation", ("head in", "feet in"), "unknown")
    rotation = header.choice("patient rotation", ("supine", "prone"), "unknown")
    position = Position(orientation == "feet in", rotation == "prone")
    stated = "unknown" not in {orientation, rotation}
    return position, {"patient_position": position.name, "patient_position_stated": stated}


def position_named(name: str) -> Position:
    """Return a position by its name in DICOM; GeometryError for one that Interfile lacks."""
    if name not in POSITIONS:
        raise GeometryError(f"a patient lies {', '.join(POSITIONS)} in Interfile, not {name!r}")
    return POSITIONS[name]


def refuse_unsupported(header: Header) -> None:
    """Refuse, by name, whatever decides where counts lie in a way that is not supported.

    Raises
    ------
    FormatError
        Naming key, value, line, and what is supported.
    """
    for key in ONE:
        if not 0 <= header.integer(key, default=1) <= 1:
            raise header.refusal(key, "only 1 is")
    for key in ZERO:
        if header.number(key, default=0.0) != 0.0:
            raise header.refusal(key, "only 0 is")
    for key, words in WORDS.items():
        header.choice(key, words, words[0])


def note_unread(header: Header, facts: dict[str, Any]) -> None:
    """Add the keys that nothing has read to `facts`, and warn of those that may say something.

    What a maker adds begins with ``%``; and most programs write keys without a value.
    """
    unread = header.unread(HARMLESS)
    if unread:
        facts["ignored_keys"] = sorted({entry.key for entry in unread})
    unknown = {
        entry.value if entry.value.startswith(entry.key) else f"{entry.key} := {entry.value}"
        for entry in unread
        if entry.value.lower() not in SAYS_NOTHING and not entry.key.startswith("%")
    }
    if unknown:
        logger.warning("%s: not known here, and without effect: %s", header.path,
                       "; ".join(sorted(unknown)))  # fmt: skip


def exam_of(header: Header, position: Position, corrections: Iterable[str] = ()) -> ExamInfo:
    """Return what a header says of tracer, energies and times."""
    nuclide = header.text("isotope name", default=header.text("radionuclide name", default=""))
    low, high = (_stated(header, f"energy window {end} level") for end in ("lower", "upper"))
    return ExamInfo(
        nuclide=nuclide,
        half_life_s=_positive(header, "isotope gamma halflife (sec)"),
        branching=_positive(header, "isotope branching factor"),
        window_kev=None if low is None or high is None else (low, high),
        duration_s=_positive(header, "image duration (sec)"),
        start_s=_stated(header, "image relative start time (sec)"),
        calibration_factor=_positive(header, "calibration factor"),
        patient_position=position.name,
        applied_corrections=tuple(corrections),
    )


def facts_of(header: Header, exam: ExamInfo) -> dict[str, Any]:
    """Return for the sidecar what a header says of tracer, energies, times and bed."""
    facts: dict[str, Any] = {
        "format": "Interfile",
        "duration_s": exam.duration_s,
        "start_s": exam.start_s,
        "half_life_s": exam.half_life_s,
        "branching_factor": exam.branching,
        "calibration_factor": exam.calibration_factor,
        "bed_horizontal_mm": _stated(header, "start horizontal bed position (mm)"),
        "bed_vertical_mm": _stated(header, "start vertical bed position (mm)"),
        "radionuclide": exam.nuclide or None,
        "energy_window_kev": exam.window_kev and list(exam.window_kev),
    }
    return {name: fact for name, fact in facts.items() if fact is not None}


def exam_lines(exam: ExamInfo, nuclide_key: str) -> str:
    """Return the header lines that say what `exam_of` reads; none for what is not known."""
    text = f"{nuclide_key} := {exam.nuclide}\n" if exam.nuclide else ""
    if exam.calibration_factor is not None:
        text += f"calibration factor := {float(exam.calibration_factor)!r}\n"
    if exam.window_kev:
        low, high = exam.window_kev
        text += (
            "number of energy windows := 1\n"
            f"energy window lower level[1] := {float(low)!r}\n"
            f"energy window upper level[1] := {float(high)!r}\n"
        )
    return text


def time_lines(exam: ExamInfo) -> str:
    """Return the header lines about when counts were taken; none where that is not known."""
    if exam.duration_s is None:
        return ""
    return (
        f"image duration (sec)[1] := {float(exam.duration_s)!r}\n"
        f"image relative start time (sec)[1] := {float(exam.start_s or 0.0)!r}\n"
    )


def _stated(header: Header, key: str) -> float | None:
    """Return a number that may be left out."""
    return None if header.entry(key) is None else header.number(key)


def _positive(header: Header, key: str) -> float | None:
    """Return a number above 0 that may be left out, for which 0 or STIR's -1 stand, too."""
    value = _stated(header, key)
    if value is not None and value < 0 and value != -1:
        raise header.refusal(key, "it is above 0, where it is known")
    return value if value and value > 0 else None


def number_type(header: Header) -> np.dtype[Any]:
    """Return the type of the numbers in the data file, byte order included.

    As in the standard, numbers are unsigned integers, big end first, unless the header differs.
    """
    sizes = _SIZES[header.choice("number format", _SIZES, "unsigned integer")]
    size = header.integer("number of bytes per pixel")
    if size not in sizes:
        known = " or ".join(map(str, sizes))
        raise header.refusal("number of bytes per pixel", f"this number format has {known}")
    order = _ORDERS[header.choice("imagedata byte order", _ORDERS, "bigendian")]
    return np.dtype(order + sizes[size])


def scale_factors(header: Header, count: int, frame: int = 1) -> tuple[list[float], str]:
    """Return what multiplies each of `count` parts of a frame, and the unit where one is named.

    Parts are the planes of an image and the segments of projections. ``quantification units``
    is a second name of the factor if it is a number, else the unit.
    """
    key = "image scaling factor"
    factors = header.numbers(key, frame) if header.entry(key, frame) is not None else [1.0]
    if len(factors) not in {1, count} or min(factors) <= 0:
        raise header.refusal(key, f"1 or {count} factors above zero are needed", frame)
    units = header.text("quantification units", default="1")
    try:
        factor = float(units)
    except ValueError:
        return factors * (count // len(factors)), units
    if set(factors) == {1.0} and factor > 0:
        factors = [factor]
    elif factor not in {1.0, factors[0]}:
        raise header.refusal("quantification units", f"'{key}' says {factors[0]:g}")
    return factors * (count // len(factors)), ""


def scaled(values: NDArray[Any], factor: float) -> NDArray[np.float32]:
    """Return `values` times `factor` in float32."""
    if factor == 1.0:
        return values.astype(np.float32, copy=False)
    return (values.astype(np.float64) * factor).astype(np.float32)


def data_file(header: Header, end: int) -> Path:
    """Return the path of the data file, which must be `end` bytes long.

    Raises
    ------
    FormatError
        If there is no such file, or it is shorter or longer.
    """
    path = header.data_path()
    size = path.stat().st_size
    if size != end:
        what = "truncated" if size < end else "too long"
        raise FormatError(
            f"{path} is {what}: it has {size} bytes, and {header.path.name} tells of {end}"
        )
    return path


def projections_file(header: Header, count: int) -> tuple[Path, np.dtype[Any], int]:
    """Return the file of `count` numbers, their type, and the byte at which they start.

    Raises
    ------
    FormatError
        If there is no such file, or it is shorter or longer.
    """
    dtype, start = number_type(header), data_start(header)
    return data_file(header, start + count * dtype.itemsize), dtype, start


def data_start(header: Header) -> int:
    """Return the byte at which data start: an offset, or a number of blocks."""
    key, blocks = "data offset in bytes", "data starting block"
    block = header.integer(blocks, default=0)
    start = header.integer(key, default=block * BLOCK_BYTES)
    if block < 0 or (block and start != block * BLOCK_BYTES):
        raise header.refusal(blocks, f"'{key}' says {start}, and blocks have {BLOCK_BYTES} bytes")
    if start < 0:
        raise header.refusal(key, "it is at least 0")
    return start


def warn_of_order(path: Path, dtype: np.dtype[Any], start: int) -> None:
    """Warn where the first numbers are odd, and would not be in the other order or format."""
    count = min(SAMPLE, (path.stat().st_size - start) // dtype.itemsize)
    first = read_values(path, dtype, count, start)
    if UNLIKELY * _oddness(first.byteswap()) < _oddness(first):
        logger.warning(
            "%s: values make sense in the other byte order: is 'imagedata byte order' right?",
            path,
        )
    elif other := _other_format(first):
        logger.warning("%s: values make sense as %s: is 'number format' right?", path, other)


def _other_format(values: NDArray[Any]) -> str:
    """Return what numbers of 4 bytes seem to be, where they are not of the type they are read as.

    Counts below a million that are read as floating-point numbers are all denormal, and most
    floating-point numbers, read as whole ones, are beyond 2**26.
    """
    values = values[values != 0]
    if values.dtype.itemsize != 4 or not values.size:
        return ""
    if values.dtype.kind == "f":
        return "whole numbers" if np.all(np.abs(values) < NORMAL) else ""
    seen = np.abs(values.view(values.dtype.str[0] + "f4"))
    usual = (seen > NORMAL) & (seen < MEASURE[1]) & (np.abs(values.astype("i8")) > 1 << 26)
    return "floating-point numbers" if np.mean(usual) > 0.9 else ""


def _oddness(values: NDArray[Any]) -> float:
    """Return the total of whole numbers; of others how many are beyond all measure.

    One that is too large, or no number, weighs more than those that are too small, which may be
    the tails of a model, unless nearly all are.
    """
    with np.errstate(invalid="ignore"):  # signalling NaN
        sizes = np.abs(values[values != 0].astype(np.float64))
    if values.dtype.kind != "f":
        return float(sizes.sum())
    if not np.all(sizes < MEASURE[1]):
        return TAILS * UNLIKELY
    return float(np.mean(sizes <= MEASURE[0])) if sizes.size else 0.0


def read_values(path: Path, dtype: np.dtype[Any], count: int, start: int) -> NDArray[Any]:
    """Return `count` numbers from byte `start` of `path`."""
    try:
        values = np.fromfile(path, dtype, count, offset=start)
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror or error}") from error
    if values.size != count:
        raise FormatError(f"{path} ended after {values.size} of {count} numbers: truncated")
    return values


def axis_sizes(header: Header, labels: tuple[str, ...]) -> list[int]:
    """Return the matrix sizes of axes 1, 2, ...; labels that are given must be `labels`."""
    for axis, label in enumerate(labels, 1):
        stated = header.entry("matrix axis label", axis)
        if stated is not None and stated.value.lower() != label:
            raise header.refusal("matrix axis label", f"axis {axis} must be {label}", axis)
    sizes = [header.integer("matrix size", axis) for axis in range(1, len(labels) + 1)]
    for axis, size in enumerate(sizes, 1):
        if size < 1:
            raise header.refusal("matrix size", "sizes are above zero", axis)
    return sizes
