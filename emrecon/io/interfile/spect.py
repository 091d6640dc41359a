"""Interfile SPECT projections in STIR's dialect, read and written.

STIR says where counts lie in the gantry's axes, x to the left, y to the back and z to the feet of
a patient who lies head first on the back. In a view of azimuth phi the detector lies towards
``(sin(phi), cos(phi))`` of x and y, and bins run along ``(-cos(phi), sin(phi))``, with the axis in
the middle of the array: measured on the projections that STIR 6.5 makes itself, not read off its
documents. ``direction of rotation`` CW lets phi fall from one view to the next. The axial
coordinate runs along z.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import FormatError, GeometryError, SettingsError, WriteError
from emrecon.files import replacing
from emrecon.io.interfile.common import (
    POSITIONS,
    Position,
    exam_lines,
    exam_of,
    facts_of,
    note_unread,
    position_named,
    position_of,
    projections_file,
    read_values,
    refuse_unsupported,
    scale_factors,
    scaled,
    time_lines,
    warn_of_order,
)
from emrecon.io.interfile.header import Header, normal, parse, writable
from emrecon.io.interfile.keys import SAYS_NOTHING
from emrecon.io.nuclides import nuclide_in
from emrecon.io.spect import Projections, Window, emission_kev
from emrecon.tomo.exam import ExamInfo
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.geometry.collimator import isotope_named
from emrecon.tomo.inputs import CameraFacts
from emrecon.volume import Array

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]

MODALITIES = ("nucmed", "nm", "spect")

SAME_DEG = 1e-4
"""How far views may lie from the even steps that a header can say."""

NOT_HERE = ("window", "gate", "first_row", "parallel_holes", "frame_order")
"""What may be chosen or stated of other files of projections, and decides nothing of these."""

FOCUSED = ("fan", "cone", "pinhole", "slant", "verging")
"""Words for collimators whose holes are not parallel to the radius."""

_NUCLIDE = "isotope name"
_FIRST_ANGLE = "first projection angle in data set"


def read_projections(
    path: Path, supplied: CameraFacts | None = None, isotope: str = ""
) -> Projections:
    """Read the SPECT projections whose header is at `path`.

    Parameters
    ----------
    path : Path
        The header.
    supplied : CameraFacts, optional
        What stands in for what the header does not say.
    isotope : str, optional
        Isotope that goes before the header's.

    Raises
    ------
    FormatError
        If the header is not one of SPECT projections, contradicts itself or lacks what decides
        where counts lie; or if the data file is missing, truncated or too long.
    """
    supplied = supplied or CameraFacts()
    header = parse(path)
    camera, position, facts = _geometry(header, supplied)
    factor = scale_factors(header, 1)[0][0]
    views, bins, planes = camera.shape
    count = views * bins * planes
    file, dtype, start = projections_file(header, count)
    warn_of_order(file, dtype, start)
    exam = exam_of(header, position)
    facts |= facts_of(header, exam)
    note_unread(header, facts)
    with np.errstate(invalid="ignore"):  # what is not finite is for the scan's check to refuse
        stored = scaled(read_values(file, dtype, count, start), factor)
    data = np.ascontiguousarray(_turned(stored.reshape(views, planes, bins), position))
    windows = (Window("", (exam.window_kev,)),) if exam.window_kev else ()
    name = isotope_named(isotope).name if isotope else nuclide_in(exam.nuclide) or exam.nuclide
    if name:
        energy = emission_kev(name, windows[0] if windows else None)
        exam = replace(exam, nuclide=name, emission_kev=energy)
        facts |= {"radionuclide": name, "emission_kev": energy}
    origin = supplied.axis_mm
    return Projections(
        camera, data, exam, facts, windows=windows, heads=(1,) * views,
        origin_mm=(origin[0], origin[1], origin[2]) if origin else None,
    )  # fmt: skip


def check_data(path: Path, supplied: CameraFacts) -> None:
    """Refuse data that are missing, cut or too long for the header at `path`."""
    _geometry(parse(path), supplied)


def refuse_unused(path: Path, supplied: CameraFacts) -> None:
    """Refuse what says nothing of a scan in Interfile.

    Raises
    ------
    SettingsError
        If something is chosen that such a file has not.
    """
    for name in NOT_HERE:
        if getattr(supplied, name):
            raise SettingsError(
                f"{name} is for DICOM NM, and {path.name} is Interfile of one window and gate: "
                "leave it out"
            )


def write_projections(
    path: Path, camera: Camera, data: Array, exam: ExamInfo | None = None
) -> None:
    """Write `data` as the Interfile SPECT projections `path` (``.hs``) and ``.s`` beside it.

    Parameters
    ----------
    path : Path
        The header's name, ending in ``.hs``.
    camera : Camera
        One head's views, in even steps of one direction; bins with the axis in their middle.
    data : ndarray of float32
        Counts, shape of `camera`.
    exam : ExamInfo, optional
        What else the header is to say.

    Raises
    ------
    GeometryError
        If a header cannot say where these counts lie.
    WriteError
        If a file cannot be written.
    """
    if path.suffix != ".hs":
        raise WriteError(f"cannot write {path}: Interfile projections are named .hs")
    if data.shape != camera.shape:
        raise GeometryError(f"data of shape {data.shape} do not fit a camera of {camera.shape}")
    exam = exam or ExamInfo()
    position = position_named(exam.patient_position)
    body_path = path.with_suffix(".s")
    text = _header_text(camera, body_path.name, position, exam)
    stored = _turned(data.transpose(0, 2, 1), position).transpose(0, 2, 1)
    with replacing(path) as head, replacing(body_path) as body:
        np.ascontiguousarray(stored, "<f4").tofile(body)
        head.write_text(text, encoding="utf-8")


def gantry_of(theta_rad: Floats, position: Position) -> Floats:
    """Return STIR's azimuths of cameras at `theta_rad` in the patient."""
    x, y, _ = position.signs
    return np.arctan2(x * np.cos(theta_rad), y * np.sin(theta_rad))


def _theta(phi_rad: Floats, position: Position) -> Floats:
    """Return the angle in the patient of a detector towards ``(sin(phi), cos(phi))``."""
    x, y, _ = position.signs
    return np.arctan2(y * np.cos(phi_rad), x * np.sin(phi_rad))


def _turned(stored: Array, position: Position) -> Array:
    """Return ``[view, axial, bin]`` as ``[view, u, z]``.

    Bins run along u where x and y of the gantry are both turned or both not.
    """
    x, y, z = position.signs
    return stored[:, :: int(z), :: int(x * y)].transpose(0, 2, 1)


def _geometry(header: Header, supplied: CameraFacts) -> tuple[Camera, Position, dict[str, Any]]:
    """Return where the counts and the patient lie and what else is said, if the data are whole."""
    if header.words("imaging modality") not in [[name] for name in MODALITIES]:
        raise header.refusal("imaging modality", "SPECT projections are nucmed")
    header.choice("type of data", ("tomographic",), "tomographic")
    header.choice("process status", ("acquired",), "acquired")
    refuse_unsupported(header)
    for key in ("number of time frames", "number of detector heads"):
        if header.integer(key, default=1) != 1:
            raise header.refusal(
                key, "projections of one frame and one head are read: write a header for each"
            )
    for key in ("collimator type", "collimator"):
        if any(name in header.text(key, default="").lower() for name in FOCUSED):
            raise header.refusal(key, "parallel holes are")
    bins, planes = _sizes(header)
    if (views := header.integer("number of projections")) > 0:
        projections_file(header, bins * planes * views)  # before there are arrays of these lengths
    bin_mm, plane_mm = _spacing(header, supplied)
    phi_deg = _azimuths(header, supplied)
    radius_mm = _radii(header, supplied, phi_deg.size)
    position, facts = position_of(header)
    if supplied.patient_position:
        position, stated = POSITIONS[supplied.patient_position.upper()], True
        facts = {"patient_position": position.name, "patient_position_stated": stated}
    camera = Camera(
        _theta(np.deg2rad(phi_deg), position),
        radius_mm,
        (np.arange(bins, dtype=np.float64) - _axis_bin(header, bins, supplied, position)) * bin_mm,
        (np.arange(planes, dtype=np.float64) - (planes - 1) / 2) * plane_mm,
    )
    return camera, position, facts


def _axis_bin(header: Header, bins: int, supplied: CameraFacts, position: Position) -> float:
    """Return the bin, along u, in which the axis of rotation is seen."""
    offset = header.number("x offset", default=0.0)
    centre = normal(header.text("centre of rotation", default=""))
    if supplied.axis_column < 0:
        if offset:
            raise header.refusal("x offset", "its sign is not defined: give --axis-column")
        if centre not in {*SAYS_NOTHING, "single value"}:
            raise header.refusal(
                "centre of rotation", "the middle of the bins is: give --axis-column"
            )
        return (bins - 1) / 2
    x, y, _ = position.signs
    return supplied.axis_column if x * y > 0 else bins - 1 - supplied.axis_column


def _sizes(header: Header) -> tuple[int, int]:
    sizes = []
    for axis, labels in ((1, ("bin coordinate",)), (2, ("axial coordinate",))):
        label = header.entry("matrix axis label", axis)
        if label is not None and label.value.lower() not in labels:
            raise header.refusal("matrix axis label", f"axis {axis} is {labels[0]}", axis)
        size = header.integer("matrix size", axis)
        if size < 1:
            raise header.refusal("matrix size", "sizes are above zero", axis)
        sizes.append(size)
    header.integer("number of dimensions", default=2)
    return sizes[0], sizes[1]


def _spacing(header: Header, supplied: CameraFacts) -> tuple[float, float]:
    key, spacing = "scaling factor (mm/pixel)", []
    if supplied.pixel_mm:
        header.entry(key)  # read, though what is stated goes before it
        return supplied.pixel_mm[1], supplied.pixel_mm[0]
    for axis in (1, 2):
        if header.entry(key, axis) is None:
            raise FormatError(f"{header.path}: '{key} [{axis}]' is missing: give --pixel-mm")
        spacing.append(header.number(key, axis))
        if spacing[-1] <= 0:
            raise header.refusal(key, "it is above 0", axis)
    return spacing[0], spacing[1]


def _azimuths(header: Header, supplied: CameraFacts) -> Floats:
    """Return the gantry azimuth of every view in degrees."""
    views = header.integer("number of projections")
    extent = header.number("extent of rotation")
    if views < 1 or not 0 < extent <= 720:
        raise header.refusal("extent of rotation", "some projections over some degrees are needed")
    key = "direction of rotation"
    word = header.entry(key) and header.choice(key, ("cw", "ccw", "cc"), "cw")
    direction = supplied.direction.lower() or word
    if not direction and views > 1:
        raise FormatError(
            f"{header.path}: 'direction of rotation' is missing: give --direction CW or CC"
        )
    step = supplied.angular_step_deg or extent / views
    sign = -1 if direction == "cw" else 1
    if len(supplied.start_angles_deg) > 1:
        raise FormatError(f"{header.path} is of one head: give one --start-angles-deg")
    stated = header.entry("start angle") is not None
    first = header.number(_FIRST_ANGLE, default=0.0)
    if supplied.start_angles_deg:  # in the header's own sense: DICOM's for head first supine
        start = supplied.start_angles_deg[0]
    elif not stated:
        raise FormatError(f"{header.path}: 'start angle' is missing: give --start-angles-deg")
    else:
        start = header.number("start angle")
        if first % 360.0 not in {0.0, start % 360.0}:
            raise header.refusal(
                _FIRST_ANGLE, f"'start angle' is {start:g}: give --start-angles-deg"
            )
    return start + sign * step * np.arange(views, dtype=np.float64)


def _radii(header: Header, supplied: CameraFacts, views: int) -> Floats:
    """Return the radius of every view; one or a list, under either key and orbit."""
    orbit = header.choice("orbit", ("circular", "non-circular", "noncircular"), "circular")
    radii = list(supplied.radius_mm)
    for key in ("radius", "radii"):
        stated = header.entry(key) is not None  # read, even where another one goes before it
        if stated and not radii:
            radii = header.numbers(key)
    if not radii:
        raise FormatError(f"{header.path}: no 'radius' and no 'radii': give --radius-mm")
    if len(radii) not in {1, views} or min(radii) <= 0:
        raise FormatError(
            f"{header.path}: {len(radii)} radii from {min(radii):g} mm for {views} projections: "
            f"1 or {views} above 0 are needed (--radius-mm)"
        )
    if orbit != "circular" and not supplied.radius_mm and len(radii) != views:
        log.warning(
            "%s: the orbit is %s, and one radius stands there: it is taken in all views, which "
            "only matters to a collimator's blur (--radius-mm)",
            header.path, orbit,
        )  # fmt: skip
    return np.resize(np.asarray(radii, float), views)


def _header_text(camera: Camera, data: str, position: Position, exam: ExamInfo) -> str:
    start, step = _steps(camera, position)
    views, bins, planes = camera.shape
    radii = camera.radius_mm
    if np.ptp(radii) < 1e-6:
        orbit = f"orbit := circular\nradius := {float(radii[0])!r}\n"
    else:
        listed = ", ".join(repr(float(radius)) for radius in radii)
        orbit = f"orbit := non-circular\nradii := {{{listed}}}\n"
    return (
        "!INTERFILE  :=\n"
        "!imaging modality := nucmed\n"
        "!version of keys := 3.3\n"
        f"name of data file := {writable(data)}\n"
        "!GENERAL IMAGE DATA :=\n"
        "!type of data := Tomographic\n"
        "imagedata byte order := LITTLEENDIAN\n"
        "!number format := float\n"
        "!number of bytes per pixel := 4\n"
        f"{exam_lines(exam, _NUCLIDE)}"
        "number of time frames := 1\n"
        f"{time_lines(exam)}"
        "!SPECT STUDY (General) :=\n"
        f"{position.lines}"
        "!matrix axis label [2] := axial coordinate\n"
        f"!matrix size [2] := {planes}\n"
        f"!scaling factor (mm/pixel) [2] := {camera.plane_mm!r}\n"
        "!matrix axis label [1] := bin coordinate\n"
        f"!matrix size [1] := {bins}\n"
        f"!scaling factor (mm/pixel) [1] := {camera.bin_mm!r}\n"
        f"!number of projections := {views}\n"
        f"!extent of rotation := {abs(step) * views!r}\n"
        "!process status := acquired\n"
        "!SPECT STUDY (acquired data) :=\n"
        f"!direction of rotation := {'CW' if step < 0 else 'CC'}\n"
        f"start angle := {start!r}\n"
        f"{orbit}"
        "!END OF INTERFILE :=\n"
    )


def _steps(camera: Camera, position: Position) -> tuple[float, float]:
    """Return the first azimuth and the step in degrees, if that is all there is to say."""
    for name, places in (("bins", camera.u_mm), ("planes", camera.z_mm)):
        if abs(places[0] + places[-1]) > 1e-3:
            raise GeometryError(f"Interfile has the axis in the middle of the {name}, unlike here")
    phi = np.rad2deg(gantry_of(camera.theta_rad, position))
    gaps = (np.diff(phi) + 180.0) % 360.0 - 180.0
    step = float(gaps.mean()) if gaps.size else 360.0
    if gaps.size and np.abs(gaps - step).max() > SAME_DEG:
        raise GeometryError(
            "Interfile holds one head's views in even steps of one direction: write heads apart"
        )
    exact = round(step * camera.shape[0], 6) / camera.shape[0]
    return round(float(phi[0] % 360.0), 9), exact
