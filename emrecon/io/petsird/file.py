"""Reading the events of PETSIRD list-mode files.

Every file carries the schema of its version; what is used here (see `USED`) has the same names
and meaning in versions 0.7 to 0.12, and a file where it has not is refused. The gantry's x, y, z
are taken as R, A, S: how the patient lies in it is not in the events. Time-of-flight edges are of
``(t1 - t2) c / 2`` in mm: positive nearer to detector 2.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emrecon.errors import EmreconError, FormatError
from emrecon.io.petsird import yardl
from emrecon.io.petsird.scanner import Indices, Types, detectors
from emrecon.tomo.exam import ExamInfo
from emrecon.tomo.gates import Times

logger = logging.getLogger(__name__)

USED = {
    "Header": {"scanner"},
    "ScannerInformation": {
        "modelName", "scannerGeometry", "tofBinEdges", "tofResolution", "eventEnergyBinEdges",
        "energyResolutionAt511", "detectionEfficiencies",
    },
    "ScannerGeometry": {"replicatedModules"},
    "ReplicatedObject": {"object", "transforms"},
    "DetectorModule": {"detectingElements"},
    "BoxShape": {"corners"},
    "RigidTransformation": {"matrix"},
    "DetectionEfficiencies": {
        "detectionBinEfficiencies", "modulePairSGIDLUT", "modulePairEfficienciesVectors",
    },
    "ModulePairEfficiencies": {"values", "sgid"},
    "EventTimeBlock": {"timeInterval", "promptEvents", "delayedEvents"},
    "TimeInterval": {"start", "stop"},
    "CoincidenceEvent": {"detectionBins", "tofIdx"},
}  # fmt: skip
"""Records and their fields that a file must have."""

MALFORMED = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError)
"""What comes of a damaged schema, or of tables that do not fit together."""


@dataclass(frozen=True, eq=False)
class Block:
    """Prompts of a stretch of time between two module types."""

    start_ms: int
    """When it starts."""

    stop_ms: int
    """When it ends."""

    pair: Types
    """Module types of both ends."""

    bins: Indices
    """Detection bins, shape ``(n, 2)``."""

    tof: Indices
    """Time-of-flight bins, shape ``(n,)``."""

    delayeds: Indices
    """Detection bins of the delayed coincidences between these types, shape ``(m, 2)``."""


class PetsirdFile:
    """A file whose header was read, and whose events can be, once and in order.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    FormatError
        If it is not a PETSIRD file, or not one whose records are those of versions 0.7 to 0.12.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._cursor, types, about = yardl.open_stream(path, "PETSIRD")
        self._types = types
        with _checked(path):
            _check_schema(path, types)
            steps = {step["name"]: step["type"] for step in about["sequence"]}
            header = types.kind(steps["header"])
            self._items = types.kind(steps["timeBlocks"]["stream"]["items"])
        with _checked(path):
            facts = header.read(self._cursor)
            self.detectors = detectors(facts["scanner"])
        self._exam = facts.get("exam")
        _note_alignment(path, facts["scanner"])

    @property
    def exam(self) -> ExamInfo:
        """What the header says about the examination: the energies that count."""
        low, high, share = self.detectors.energy
        return ExamInfo(window_kev=(low, high), energy_resolution=share)

    @property
    def share(self) -> float:
        """Share of the file that was read."""
        return self._cursor.at / self._cursor.data.size

    def signals(self, kind: str) -> tuple[Times, list[str]]:
        """Return when external signals of a kind came, in ms, and the kinds of all there are.

        Raises
        ------
        FormatError
            If the file is truncated or damaged.
        """
        with _checked(self.path):
            names = self._types.named["ExternalSignalTypeEnum"]["values"]
            names = {each["value"]: str(each["symbol"]) for each in names}
            listed = (self._exam or {}).get("externalSignals") or ()
            kinds = {each["id"]: names.get(each["type"], "other") for each in listed}
            times = [
                block["timeInterval"]["start"]
                for tag, block in yardl.stream(self._cursor, self._items)
                if tag == "ExternalSignalTimeBlock" and kinds.get(block["signalID"]) == kind
            ]
        return np.unique(np.array(times, np.int64)), sorted(set(kinds.values()))

    def blocks(
        self, on_block: Callable[[dict[str, Any]], object] = lambda block: None
    ) -> Iterator[Block]:
        """Yield the prompts in order of time.

        Parameters
        ----------
        on_block : callable, optional
            Shown each block about dead time, as it was decoded.

        Raises
        ------
        FormatError
            If the file is truncated or damaged, an event names a detector or a time-of-flight
            bin that does not exist, time runs backwards, or bed or gantry move.
        """
        with _checked(self.path):
            yield from self._blocks(on_block)

    def _blocks(self, on_block: Callable[[dict[str, Any]], object]) -> Iterator[Block]:
        now = 0
        still: dict[str, str] = {}
        for tag, block in yardl.stream(self._cursor, self._items):
            if tag in {"BedMovementTimeBlock", "GantryMovementTimeBlock"}:
                self._check_rest(still, tag, block)
            elif tag == "DeadTimeTimeBlock":
                on_block(block)
            if tag != "EventTimeBlock":
                continue
            start, stop = block["timeInterval"]["start"], block["timeInterval"]["stop"]
            if start < now or stop < start:
                raise FormatError(
                    f"{self.path.name}: a block of events from {start} to {stop} ms comes after "
                    f"one that starts at {now} ms: it is damaged or its blocks were shuffled"
                )
            now = start
            delayed = block["delayedEvents"] or []
            for one, row in enumerate(block["promptEvents"]):
                for two, events in enumerate(row):
                    late = delayed[one][two] if one < len(delayed) else ()
                    yield self._block((start, stop), (one, two), events, late)

    def _check_rest(self, still: dict[str, str], tag: str, block: dict[str, Any]) -> None:
        """Refuse a second position of bed or gantry; `still` holds the first ones."""
        position = str(block.get("transform", block.get("transforms")))
        if still.setdefault(tag, position) != position:
            raise FormatError(f"{self.path.name}: {tag[:-9]}: bed and gantry must rest")

    def _block(self, time: tuple[int, int], pair: Types, prompts: Any, late: Any) -> Block:  # noqa: ANN401 - as decoded
        seen, delayed = self._known(pair, prompts), self._known(pair, late)
        return Block(*time, pair, seen[:, :2], seen[:, 2], delayed[:, :2])

    def _known(self, pair: Types, events: Any) -> Indices:  # noqa: ANN401 - as decoded
        """Return events, refusing those of detectors or time-of-flight bins that do not exist."""
        events = np.asarray(events, np.uint64).reshape(-1, 3)
        types, timings = self.detectors.types, self.detectors.timings
        if not len(events):
            return np.empty((0, 3), np.int64)
        if max(pair) >= len(types):
            raise FormatError(
                f"{self.path.name}: events of module types {pair}, but there are {len(types)}"
            )
        tofs = timings[pair].bins if pair in timings else 1
        limits = (types[pair[0]].bins, types[pair[1]].bins, tofs)
        for most, limit, end in zip(events.max(axis=0), limits, (1, 2, 0), strict=True):
            if most >= limit:
                what = (
                    f"detection bin {most} at end {end}" if end else f"time-of-flight bin {most}"
                )
                raise FormatError(
                    f"{self.path.name}: an event names {what}, but there are {limit}: the file is "
                    "damaged"
                )
        return np.asarray(events, np.int64)


@contextmanager
def _checked(path: Path) -> Iterator[None]:
    """Turn what comes of damaged schemas and tables into one error."""
    try:
        with np.errstate(all="ignore"):  # what is no number is refused where it matters
            yield
    except EmreconError:
        raise
    except MALFORMED as error:
        raise FormatError(
            f"{path.name} is damaged, or of a PETSIRD version not known here: {error!r:.120}"
        ) from error


def _note_alignment(path: Path, scanner: dict[str, Any]) -> None:
    """Warn of a gantry that is not at its reference: the image stays in the gantry's axes."""
    alignment = scanner.get("gantryAlignment")
    if alignment is not None and not np.allclose(alignment["matrix"], np.eye(3, 4), atol=1e-6):
        logger.warning(
            "%s: the gantry is not aligned with its reference (a CT or MRI, perhaps): image and "
            "attenuation map are in the axes of the gantry", path.name,
        )  # fmt: skip


def _check_schema(path: Path, types: yardl.Types) -> None:
    """Refuse a version whose records lack what is used here."""
    for name, fields in USED.items():
        record = types.named.get(name, {})
        missing = fields - {each["name"] for each in record.get("fields", [])}
        if missing:
            raise FormatError(
                f"{path.name} is of a PETSIRD version that cannot be read: its {name} has no "
                f"{', '.join(sorted(missing))}; versions 0.7 to 0.12 can be"
            )
    event = types.kind("CoincidenceEvent")
    if (event.code, event.parts) != (yardl.VARINT, 3):
        raise FormatError(
            f"{path.name} is of a PETSIRD version that cannot be read: an event is not two "
            "detection bins and a time-of-flight bin"
        )


def summary(path: Path) -> dict[str, str]:
    """Return in words what a file holds, in one pass over its events.

    Raises
    ------
    FormatError
        If it is truncated or damaged.
    """
    file = PetsirdFile(path)
    scanner = file.detectors
    prompts = delayeds = 0
    start, stop = 0, 0
    for number, block in enumerate(file.blocks()):
        prompts, delayeds = prompts + len(block.bins), delayeds + len(block.delayeds)
        start, stop = block.start_ms if not number else start, block.stop_ms
    points = scanner.points_mm
    modules = [f"{t.modules} of {t.elements} crystals, {t.energies} energy" for t in scanner.types]
    timings = [
        f"{t.bins} of {t.width_mm:g} mm, FWHM {t.fwhm_mm:g} mm ({t.fwhm_ps:.0f} ps)"
        for t in scanner.timings.values()
    ]
    return {
        "kind": "PET list-mode (PETSIRD)",
        "prompts": f"{prompts:,}",
        "delayeds": f"{delayeds:,}",
        "time": f"{start / 1000:g} to {stop / 1000:g} s",
        "scanner": scanner.model,
        "crystals": f"{len(points)}, {np.hypot(*points[:, :2].T).max():.1f}"
        " mm from the axis at most",
        "axial": f"{points[:, 2].min():.1f} to {points[:, 2].max():.1f} mm",
        "modules": "; ".join(modules),
        "time-of-flight bins": "; ".join(timings) or "none",
    }
