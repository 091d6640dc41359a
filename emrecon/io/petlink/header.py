"""Headers of PETLINK 32-bit list-mode files: what they describe, and what is refused by name."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from emrecon.errors import FormatError, GeometryError, SettingsError
from emrecon.io.interfile.common import (
    Position,
    data_start,
    exam_of,
    facts_of,
    note_unread,
    refuse_unsupported,
)
from emrecon.io.interfile.header import MOST_BYTES, Header, parse, writable
from emrecon.tomo.exam import ExamInfo
from emrecon.tomo.geometry.bins import Bins, Scanner
from emrecon.tomo.geometry.presets import by_name

_MEANT = {
    "%sms-mi header name space": ("petlink bin address",),
    "data format": ("coincidencelist",),
    "pet data type": ("emission",),
    "imagedata byte order": ("littleendian",),
    "%axial compression": ("1",),
    "%lm event and tag words format (bits)": ("32",),
    "%number of tof time bins": ("1", "0"),
}
"""Keys that decide how words are to be read, and the values under which they can be."""

_PASSED_OVER = (
    "originating system",
    "%sms-mi version number",
    "type of data",
    "name of data file",
    "%number of segments",  # these two describe the sinograms the scanner itself would make
    "%segment table",
    "bin size (cm)",
    "average depth of interaction (cm)",  # of a scanner that is known by its name
    "%tof mashing factor",
)


_WORDS = "%total listmode word counts"

log = logging.getLogger(__name__)

LONGER = 1.1
"""How much longer or shorter than planned, besides a second, time tags may run without a word."""


@dataclass(frozen=True)
class ListmodeHeader:
    """What a list-mode header says."""

    path: Path
    """The header."""

    data: Path
    """The file of words."""

    offset: int
    """Bytes before the first word."""

    scanner: Scanner
    """The scanner."""

    count: int
    """Tangential positions."""

    max_ring_difference: int
    """Largest ring difference of the sinograms."""

    tag_ms: int
    """Time between two time tags."""

    words: int | None
    """Number of words that the header tells of."""

    exam: ExamInfo
    """Tracer and energies; how long the scan took is told by the time tags alone."""

    facts: dict[str, Any]
    """All that the header says, for the sidecar."""

    def bins(
        self, span: int = 1, max_ring_difference: int | None = None, views: int | None = None
    ) -> Bins:
        """Return bins that the events can be counted in; all of them by default."""
        most = self.max_ring_difference if max_ring_difference is None else max_ring_difference
        if most > self.max_ring_difference:
            raise GeometryError(
                f"{self.path.name} holds ring differences up to {self.max_ring_difference}, "
                f"not {most}"
            )
        return self.scanner.bins(
            span=span, max_ring_difference=most, views=views, count=self.count
        )


def read_header(path: Path) -> ListmodeHeader:
    """Read a list-mode header, given itself or its data file (``.l``).

    Raises
    ------
    FormatError
        If there is no such header, or a key says something that cannot be honoured.
    """
    header = parse(_header_of(path))
    for key, values in _MEANT.items():
        if header.entry(key) is not None:
            header.choice(key, values)
    refuse_unsupported(header)
    first, last = "start horizontal bed position (mm)", "end horizontal bed position (mm)"
    if header.number(last, default=0.0) != header.number(first, default=0.0):
        raise header.refusal(last, "the bed must stand still")
    data = header.data_path()
    scanner = _scanner(header)
    count = header.integer("%number of projections")
    most = header.integer("%maximum ring difference")
    if not 0 <= most < scanner.rings:
        raise header.refusal("%maximum ring difference", f"there are {scanner.rings} rings")
    start = data_start(header)
    tag_ms = header.integer("%timing tagwords interval (msec)", default=1)
    words = int(header.number(_WORDS)) if header.entry(_WORDS) else None
    stated = exam_of(header, Position())
    facts = _facts(header, stated) | {"scanner": scanner.name}
    return ListmodeHeader(
        path=header.path,
        data=data,
        offset=start,
        scanner=scanner,
        count=count,
        max_ring_difference=most,
        tag_ms=tag_ms,
        words=words,
        exam=replace(stated, duration_s=None),
        facts=facts,
    )


def say_duration(header: ListmodeHeader, duration_s: float, *, whole: bool) -> None:
    """Warn where time tags run for much longer than planned, or end long before.

    In the one case a tag may have jumped, in the other the file may have been cut, which only
    shows where all of it was read.
    """
    planned = header.facts.get("planned_duration_s")
    if not planned or not duration_s:
        return
    cut = whole and LONGER * (duration_s + 1) < planned
    if cut or duration_s > LONGER * planned + 1:
        log.warning(
            "%s: time tags run over %.6g s, where its header plans %.6g s: %s",
            header.path, duration_s, planned,
            "the scan was stopped, or the file cut"
            if cut else "rates are counts over the time by the tags",
        )  # fmt: skip


def header_text(scanner: Scanner, data: str, count: int, most: int, duration_s: float) -> str:
    """Return the header of a list-mode file that `read_header` reads.

    Parameters
    ----------
    scanner : Scanner
        The scanner.
    data : str
        Name of the data file.
    count : int
        Tangential positions.
    most : int
        Largest ring difference of the sinograms.
    duration_s : float
        Length of the acquisition.
    """
    return f"""!INTERFILE:=
!originating system:={scanner.name}
%SMS-MI header name space:=PETLINK bin address
%SMS-MI version number:=3.4

!GENERAL DATA:=
!data offset in bytes:=0
name of data file:={writable(data)}

!GENERAL IMAGE DATA:=
!type of data:=PET
%patient orientation:=HFS
PET data type:=Emission
data format:=CoincidenceList

!PET STUDY (Emission data):=
PET scanner type:=cylindrical
number of rings:={scanner.rings}
distance between rings (cm):={scanner.ring_spacing_mm / 10:.9g}
gantry crystal radius (cm):={scanner.radius_mm / 10:.9g}
average depth of interaction (cm):={scanner.doi_mm / 10:.9g}
bin size (cm):={scanner.bin_mm / 10:.9g}
%number of TOF time bins:=1

!IMAGE DATA DESCRIPTION:=
image duration (sec):={duration_s:.9g}

%COINCIDENCE LIST DATA:=
%LM event and tag words format (bits):=32
%timing tagwords interval (msec):=1
%axial compression:=1
%maximum ring difference:={most}
%number of projections:={count}
%number of views:={scanner.crystals // 2}
"""


def _header_of(path: Path) -> Path:
    """Return the header: `path` itself, or the one beside it that names it as data file."""
    try:
        with path.open("rb") as file:
            if b"interfile" in file.read(64).lower():
                return path
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror or error}") from error
    headers = [other for other in sorted(path.parent.iterdir()) if _names(other, path.name)]
    if len(headers) != 1:
        raise FormatError(
            f"{path} is no header, and {len(headers)} headers beside it name it as their data: "
            "give the header (.hdr)"
        )
    return headers[0]


def _names(path: Path, data: str) -> bool:
    """Return whether `path` is a header whose data file is called `data`."""
    looks = "hdr" in path.name.lower() or path.suffix.lower() == ".hl"
    if not looks or not path.is_file() or path.stat().st_size > MOST_BYTES:
        return False
    try:
        return parse(path).text("name of data file", default="") == data
    except FormatError:
        return False


def _scanner(header: Header) -> Scanner:
    """Return the scanner by name, its figures checked, or else by the header's figures alone."""
    name = header.text("originating system")
    figures: dict[str, tuple[str, float]] = {
        "rings": ("number of rings", header.integer("number of rings")),
        "crystals": ("%number of views", 2 * header.integer("%number of views")),
        "ring_spacing_mm": (
            "distance between rings (cm)",
            10 * header.number("distance between rings (cm)"),
        ),
        "radius_mm": (
            "gantry crystal radius (cm)",
            10 * header.number("gantry crystal radius (cm)"),
        ),
    }
    try:
        preset = by_name(name)
    except SettingsError:
        return _described(header, name, {field: value for field, (_, value) in figures.items()})
    for field, (key, value) in figures.items():
        wanted = getattr(preset, field)
        if not np.isclose(value, wanted, rtol=1e-3):
            raise header.refusal(key, f"{preset.name} has {field.replace('_', ' ')} {wanted:g}")
    return preset


def _described(header: Header, name: str, figures: dict[str, float]) -> Scanner:
    """Return the scanner that the header describes without any preset's help."""
    return Scanner(
        name=name,
        rings=int(figures["rings"]),
        crystals=int(figures["crystals"]),
        ring_spacing_mm=figures["ring_spacing_mm"],
        radius_mm=figures["radius_mm"],
        doi_mm=10 * header.number("average depth of interaction (cm)"),
        bin_mm=10 * header.number("bin size (cm)"),
        max_bins=header.integer("%number of projections"),
    )


def _facts(header: Header, exam: ExamInfo) -> dict[str, Any]:
    """Return for the sidecar what the header says besides; note the keys that decide nothing."""
    facts = facts_of(header, exam) | {"format": "PETLINK list-mode", "patient_position": "HFS"}
    if "duration_s" in facts:  # what was planned: the time tags tell what was measured
        facts["planned_duration_s"] = facts.pop("duration_s")
    for name, key in (
        ("branching_factor", "isotope branching factor"),
        ("injected_bq", "tracer activity at time of injection (bq)"),
        ("listmode_words", _WORDS),
    ):
        if header.entry(key) is not None:
            facts[name] = header.number(key)
    if header.entry("radiopharmaceutical") is not None:
        facts["radiopharmaceutical"] = header.text("radiopharmaceutical")
    for key in _PASSED_OVER:
        header.entry(key)
    note_unread(header, facts)
    return facts
