"""Interfile PET projections: which line of response every number in the file belongs to.

Files follow STIR's gantry axes, which are turned here to R, A and S by where the patient lies.
With s, m the tangential and axial position of a line in the gantry, phi its azimuth and theta
its tilt, the same line in the patient has

======  =============  ======  ======  =====
        azimuth        s       m       theta
======  =============  ======  ======  =====
HFS     phi            -s      -m      same
HFP     phi + pi       -s      -m      same
FFS     pi - phi       -s      m       same
FFP     2 pi - phi     -s      m       same
======  =============  ======  ======  =====

so bins are reversed always, the planes of each segment head first, the views feet first.
Time-of-flight positions count towards the end of negative l in the gantry, which head first is
that of positive l in the patient; feet first they are reversed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import FormatError, GeometryError, SettingsError
from emrecon.io.formats import Choice
from emrecon.io.interfile.common import (
    Position,
    exam_of,
    facts_of,
    note_unread,
    position_of,
    projections_file,
    read_values,
    refuse_unsupported,
    scale_factors,
    scaled,
    warn_of_order,
)
from emrecon.io.interfile.header import Header, parse
from emrecon.io.interfile.layout import Layout, Piece, layout_of
from emrecon.io.interfile.scanner import Figures, figures_of, timing_of
from emrecon.tomo.exam import ExamInfo
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.tof import Timing
from emrecon.volume import Array

logger = logging.getLogger(__name__)

ARC_CORRECTED = frozenset({"arc correction", "arc corrected"})
"""What ``applied corrections`` calls bins that are equally spaced in mm."""


@dataclass(frozen=True, eq=False)
class Projections:
    """Projection data, and what the header says besides."""

    bins: Bins
    """Where the counts lie, in the patient's axes."""

    data: Array
    """Values as stored times the header's factors, shape of `bins`."""

    data_type: str = "emission"
    """What the values are, in the words of the key ``PET data type``, lower case."""

    exam: ExamInfo = field(default_factory=ExamInfo)
    """Patient position, tracer, times and corrections done."""

    facts: dict[str, Any] = field(default_factory=dict)
    """All that the header says, for the sidecar."""


@dataclass(frozen=True)
class _Geometry:
    """All that a header says about where counts lie."""

    bins: Bins
    layout: Layout
    position: Position
    data_type: str
    exam: ExamInfo
    facts: dict[str, Any]


@dataclass(frozen=True)
class Flight:
    """How to read time-of-flight data."""

    summed: bool = False
    """Add the time-of-flight bins up."""

    fwhm_ps: float = 0.0
    """Resolution where neither header nor scanner says it."""

    prompts: bool = True
    """Whether these words are about this file, not about the prompts that it corrects."""


def read_geometry(path: Path, flight: Flight | None = None) -> Bins:
    """Return the bins that the header at `path` describes; its data file need not exist.

    Raises
    ------
    FormatError
        If the header is not one of PET projections, contradicts itself, or asks for what is not
        supported.
    """
    return _geometry(parse(path), flight or Flight()).bins


def read_exam(path: Path) -> ExamInfo:
    """Return what the header at `path` says about the examination."""
    header = parse(path)
    position, _ = position_of(header)
    return exam_of(header, position, header.words("applied corrections"))


def check_data(path: Path) -> None:
    """Refuse data that are missing, cut or too long for the header at `path`."""
    header = parse(path)
    projections_file(header, layout_of(header).count)


def read_projections(
    path: Path, flight: Flight | None = None, only: Choice | None = None
) -> Projections:
    """Read the PET projections whose header is at `path`.

    Some views or planes are read at a time, so that little more than the result is in memory.

    Parameters
    ----------
    path : Path
        The header.
    flight : Flight, optional
        What to do with time of flight; kept by default.
    only : callable, optional
        Given the number of views, returns those that are wanted, in the order wanted.

    Raises
    ------
    FormatError
        As `read_geometry`; or if the data file is missing, truncated or too long.
    """
    header = parse(path)
    geometry = _geometry(header, flight or Flight())
    segments = len(geometry.layout.planes)
    # With time of flight, nobody has said what a list of factors would go through.
    parts = 1 if geometry.layout.timings > 1 else segments
    factors = scale_factors(header, parts)[0] * (segments // parts)
    file, dtype, start = projections_file(header, geometry.layout.count)
    warn_of_order(file, dtype, start)
    facts = geometry.facts | facts_of(header, geometry.exam)
    note_unread(header, facts)
    if geometry.layout.timings and geometry.bins.timing is None:
        logger.warning(
            "%s: %d time-of-flight bins are summed; time of flight is not used",
            path,
            geometry.layout.timings,
        )
        facts["tof_bins_summed"] = geometry.layout.timings
    views = np.arange(geometry.layout.views) if only is None else only(geometry.layout.views)
    bins = geometry.bins if only is None else geometry.bins.of_views(views)
    data = np.empty(bins.data_shape, np.float32)
    values: Callable[[int, int], NDArray[Any]] = lambda first, count: read_values(  # noqa: E731
        file, dtype, count, start + first * dtype.itemsize
    )
    with np.errstate(invalid="ignore"):  # what is not finite is for the scan's check to refuse
        _gather((data, views), geometry, factors, values)
    return Projections(bins, data, geometry.data_type, geometry.exam, facts)


def refuse_no_counts(path: Path, read: Projections) -> None:
    """Refuse what are no counts by the header's own word, and warn of corrected ones."""
    if read.data_type != "emission":
        raise FormatError(
            f"{path}: prompts are wanted, but its 'PET data type' is {read.data_type!r}"
        )
    harmless = {"none", *ARC_CORRECTED}
    if others := [name for name in read.exam.applied_corrections if name not in harmless]:
        logger.warning(
            "%s says that %s was applied: corrected data are not Poisson, and the model must not "
            "correct for it again", path.name, " and ".join(others),
        )  # fmt: skip


def turned_phi(phi_rad: NDArray[np.float64], position: Position) -> NDArray[np.float64]:
    """Return the azimuths in the patient of views with gantry azimuths `phi_rad`.

    Feet first the views are in reverse order, so that azimuths increase. Feet first, turning
    twice changes nothing.
    """
    turn = np.pi if position.prone else 0.0
    return (np.pi - phi_rad)[::-1] + turn if position.feet_first else phi_rad + turn


def turned_segment(block: NDArray[Any], position: Position) -> NDArray[Any]:
    """Return a segment ``[view, bin, plane]`` in the patient's order; twice changes nothing."""
    return block[::-1, ::-1] if position.feet_first else block[:, ::-1, ::-1]


def turned_timing(number: int, timings: int, position: Position) -> int:
    """Return the bin in the patient of a stored time-of-flight position; twice changes nothing."""
    return timings - 1 - number if position.feet_first else number


def _gather(
    wanted: tuple[Array, NDArray[np.intp]],
    geometry: _Geometry,
    factors: list[float],
    values: Callable[[int, int], NDArray[Any]],
) -> None:
    """Put the views that are wanted of every stored segment into its planes of their data.

    Time-of-flight bins that the data have not are added up.
    """
    data, views = wanted
    layout, first = geometry.layout, 0
    timed = data.reshape(-1, len(views), *geometry.bins.shape[1:])
    for timing in range(max(layout.timings, 1)):
        place = turned_timing(timing, len(timed), geometry.position) if len(timed) > 1 else 0
        for number, planes in enumerate(layout.planes):
            at = int(geometry.bins.offsets[layout.order.index(number)])
            to = timed[place, :, :, at : at + planes]
            for piece in layout.pieces(planes):
                low = _turned_views(piece, layout, geometry.position)
                rows = np.flatnonzero((views >= low) & (views < low + len(piece.views)))
                if not rows.size:
                    continue
                stored = layout.by_view_bin_plane(values(first + piece.first, piece.count), piece)
                turned = turned_segment(stored, geometry.position)
                places = _turned_planes(piece, planes, geometry.position)
                for row in rows:
                    read = scaled(turned[views[row] - low], factors[number])
                    if timing and len(timed) == 1:
                        to[row, :, places] += read
                    else:
                        to[row, :, places] = read
            first += layout.views * planes * layout.bins


def _turned_views(piece: Piece, layout: Layout, position: Position) -> int:
    """Return the first view of a piece in the patient's order."""
    return layout.views - piece.views.stop if position.feet_first else piece.views.start


def _turned_planes(piece: Piece, planes: int, position: Position) -> slice:
    """Return where the planes of a piece lie in the patient's order."""
    first = piece.planes.start if position.feet_first else planes - piece.planes.stop
    return slice(first, first + len(piece.planes))


def _geometry(header: Header, flight: Flight) -> _Geometry:
    if header.words("imaging modality") in (["nucmed"], ["nm"], ["spect"]):
        raise FormatError(f"{header.path}: SPECT projections, where PET's are wanted")
    header.choice("imaging modality", ("pt", "pet"), "pt")
    header.choice("type of data", ("pet",), "pet")
    data_type = header.choice(
        "pet data type",
        ("emission", "transmission", "blank", "normalisation", "attenuationcorrection"),
        "emission",
    )
    refuse_unsupported(header)
    if header.number("x offset", default=0.0):
        raise header.refusal("x offset", "only 0 is")
    if header.integer("number of time frames", default=1) != 1:
        raise header.refusal("number of time frames", "projections of 1 frame are read")
    layout = layout_of(header)
    corrections = header.words("applied corrections")
    arc_corrected = bool(ARC_CORRECTED.intersection(corrections)) or not corrections
    if not corrections:
        logger.warning(
            "%s: no 'applied corrections': taken as arc-corrected, as STIR does", header.path
        )
    position, facts = position_of(header)
    figures = figures_of(header, layout, arc_corrected=arc_corrected)
    bins = _bins(header, layout, figures, arc_corrected=arc_corrected)
    flown = replace(layout, timings=0) if flight.summed else layout
    timing = timing_of(header, flown, flight.fwhm_ps)
    if flight.prompts:
        _refuse_flight(header, flight, layout, timing)
    if timing is not None:
        facts |= {
            "tof_bins": timing.bins,
            "tof_width_mm": timing.width_mm,
            "tof_fwhm_mm": timing.fwhm_mm,
        }
    bins = replace(bins, phi_rad=turned_phi(bins.phi_rad, position), timing=timing)
    facts |= {
        "scanner": figures.scanner.name,
        "views": bins.shape[0],
        "planes": bins.planes,
        "view_offset_deg": figures.scanner.view_offset_deg,
        "view_offset_stated": figures.view_offset_stated,
        "applied_corrections": corrections,
        "arc_corrected": arc_corrected,
        "pet_data_type": data_type,
    }
    exam = exam_of(header, position, corrections)
    return _Geometry(bins, layout, position, data_type, exam, facts)


def _refuse_flight(header: Header, flight: Flight, layout: Layout, timing: Timing | None) -> None:
    """Refuse what was chosen about time of flight and has no effect on a file."""
    name = header.path.name
    if (flight.summed or flight.fwhm_ps) and not layout.timings:
        chosen = "sum_tof" if flight.summed else "tof_fwhm_ps"
        raise SettingsError(f"{chosen} is for time of flight, and {name} has none: leave it out")
    if flight.fwhm_ps and timing is None:
        raise SettingsError("sum_tof goes without time of flight: leave out tof_fwhm_ps")
    if timing and flight.fwhm_ps and not np.isclose(timing.fwhm_ps, flight.fwhm_ps, rtol=1e-3):
        raise SettingsError(
            f"tof_fwhm_ps is for files that do not say it, and {name} or its scanner does: leave "
            "it out, or correct the header"
        )


def _bins(header: Header, layout: Layout, figures: Figures, *, arc_corrected: bool) -> Bins:
    """Return the bins of a patient head first and supine."""
    scanner = figures.scanner
    unmashed = scanner.crystals // 2
    related = unmashed % layout.views == 0
    if not related and not arc_corrected:
        raise FormatError(
            f"{header.path}: {layout.views} views do not divide the {unmashed} of a ring of "
            f"{scanner.crystals} detectors"
        )
    try:
        bins = scanner.bins_of(
            [layout.ranges[number] for number in layout.order],
            views=layout.views if related else None,
            count=layout.bins,
            arc_corrected=arc_corrected,
            bin_mm=figures.bin_mm,
        )
    except GeometryError as error:
        raise FormatError(f"{header.path}: {error}") from error
    for number, segment in zip(layout.order, bins.segments, strict=True):
        if segment.planes != layout.planes[number]:
            least, greatest = layout.ranges[number]
            raise FormatError(
                f"{header.path}: segment {number + 1} in the file has {layout.planes[number]} "
                f"planes, but ring differences {least} to {greatest} on {scanner.rings} rings "
                f"make {segment.planes}"
            )
    if related:
        return bins
    logger.warning(
        "%s: %d views are not related to %d detectors a ring; taken as equally spaced from the "
        "view offset, as STIR does",
        header.path,
        layout.views,
        scanner.crystals,
    )
    first = np.deg2rad(scanner.view_offset_deg)
    return replace(bins, phi_rad=first + np.pi / layout.views * np.arange(layout.views))
