"""Writing PETSIRD list-mode files of ring scanners.

The package ``petsird`` writes the header; the events are encoded here, a block at a time, since
its own writer takes microseconds for every one. The file is of the version of the package that is
installed, 0.7 to 0.12: its stock reader takes no other.

A module is some neighbouring crystals of all rings; pairs of modules as far apart are one symmetry
group, whose efficiencies say which pairs of crystals are in coincidence (1 or 0).
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import SettingsError
from emrecon.files import replacing
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.detectors import scanner_of
from emrecon.tomo.geometry.energy import EnergyWindow
from emrecon.volume import Array

Pairs = NDArray[np.unsignedinteger]
Indices = NDArray[np.int64]

LONGEST_S = 86_400
"""Longest scan in seconds, which has a block of the file for every tenth of one."""

BLOCK_MS = 100
"""Length of a block of events."""

ENERGY = EnergyWindow(425.0, 650.0, 0.12)
"""The one energy bin of scanners of which none is known."""

CRYSTAL_MM = 20.0
"""Depth of the boxes that stand for crystals; only their middle counts."""


@dataclass(frozen=True, eq=False)
class Coincidences:
    """Coincidences of a ring scanner, in order of time."""

    pairs: Pairs
    """Crystals at end 1 and end 2, ``ring * crystals + crystal``, shape ``(n, 2)``."""

    tof: NDArray[np.int16]
    """Time-of-flight bin, 0 without timing, shape ``(n,)``."""


def write(
    path: Path,
    bins: Bins,
    prompts: Coincidences,
    delayeds: Coincidences,
    duration_s: float,
    efficiencies: Array | None = None,
) -> None:
    """Write the events of a ring scanner, spread evenly over its time.

    Parameters
    ----------
    path : Path
        File to write.
    bins : Bins
        Raw bins of span 1: their tangential positions and ring differences are in coincidence,
        their timing is that of the events.
    prompts, delayeds : Coincidences
        Events in order of time.
    duration_s : float
        Time that they take.
    efficiencies : array, optional
        Efficiency of each crystal, shape ``(rings, crystals)``; 1 by default.

    Raises
    ------
    SettingsError
        If the package ``petsird`` is not installed, or no scan takes so long.
    """
    package = writer_for(duration_s)
    dialect = _Dialect.of(json.loads(package.protocols.PETSIRDReaderBase.schema))
    layout = _Layout.of(bins)
    head = io.BytesIO()
    with package.BinaryPETSIRDWriter(head) as writer:
        writer.write_header(_header(package, dialect, bins, layout, efficiencies))
        writer.write_time_blocks([])
    blocks = max(1, round(duration_s * 1000 / BLOCK_MS))
    cuts = [
        (np.linspace(0, len(events.pairs), blocks + 1).astype(int), events)
        for events in (prompts, delayeds)
    ]
    tofs = bins.timing.bins if bins.timing else 1
    stops = np.linspace(0, duration_s * 1000, blocks + 1).round().astype(int)
    with replacing(path) as whole, whole.open("wb") as file:
        file.write(head.getvalue()[:-1])  # without the 0 that ends the stream
        for number in range(blocks):
            streams = [
                layout.encoded(events, slice(at[number], at[number + 1]), tofs)
                for at, events in cuts
            ]
            file.write(dialect.block(stops[number], stops[number + 1], *streams))
        file.write(b"\x00")


@dataclass(frozen=True)
class _Dialect:
    """What differs between versions of the format."""

    nested: bool
    """Whether tables are nested lists (from 0.11 on), not arrays."""

    described: bool
    """Whether efficiencies have a calibration factor (from 0.8 on)."""

    singles: bool
    """Whether blocks have single events, and delayeds without choice (from 0.8 on)."""

    @classmethod
    def of(cls, schema: dict[str, Any]) -> _Dialect:
        named = {each["name"]: each for each in schema["types"]}
        has = {
            name: {each["name"] for each in named[name]["fields"]}
            for name in ("DetectionEfficiencies", "EventTimeBlock")
        }
        return cls(
            nested="array" not in str(named["ModulePairSGIDLUT"]["type"]),
            described="calibrationFactor" in has["DetectionEfficiencies"],
            singles="singleEvents" in has["EventTimeBlock"],
        )

    def table(self, rows: Any, kind: type) -> Any:  # noqa: ANN401 - as the package wants it
        """Return a table as the package wants it."""
        return np.asarray(rows).tolist() if self.nested else np.asarray(rows, kind)

    def block(self, start_ms: int, stop_ms: int, prompts: bytes, delayeds: bytes) -> bytes:
        """Return a block of one item: events of module type 0 with itself."""
        # One item, case 0 of the choice, times, no singles, a row of one list each, no multiples.
        times = _varints(np.array([start_ms, stop_ms]))
        before, chosen, multiples = (b"\x00", b"", 2) if self.singles else (b"", b"\x01", 1)
        prompts, delayeds = b"\x01\x01" + prompts, chosen + b"\x01\x01" + delayeds
        return b"\x01\x00" + times + before + prompts + delayeds + b"\x00" * multiples


def _varints(numbers: NDArray[np.integer]) -> bytes:
    from emrecon.io.petsird.kernels import varints  # noqa: PLC0415 - numba only when needed

    numbers = np.ascontiguousarray(numbers, np.uint64)
    out = np.empty(10 * numbers.size, np.uint8)
    return out[: varints.encode(numbers.ravel(), out)].tobytes()


@dataclass(frozen=True)
class _Layout:
    """Which module and element each crystal is."""

    rings: int
    crystals: int
    across: int
    """Crystals of a ring in a module."""

    @classmethod
    def of(cls, bins: Bins) -> _Layout:
        scanner = scanner_of(bins)
        wanted = max(scanner.block_crystals[0], 1)
        across = next(n for n in range(wanted, 0, -1) if scanner.crystals % n == 0)
        return cls(scanner.rings, scanner.crystals, across)

    @property
    def modules(self) -> int:
        return self.crystals // self.across

    @property
    def elements(self) -> int:
        return self.across * self.rings

    def bins(self, crystals: NDArray[np.integer]) -> Indices:
        """Return the detection bins of crystals."""
        ring, around = np.divmod(np.asarray(crystals, np.int64), self.crystals)
        module, place = np.divmod(around, self.across)
        return np.asarray((module * self.rings + ring) * self.across + place)

    def encoded(self, events: Coincidences, rows: slice, tofs: int) -> bytes:
        """Return a list of events: the higher detection bin first, as the format wants it."""
        pairs, tof = self.bins(events.pairs[rows]), events.tof[rows].astype(np.int64)
        swap = pairs[:, 0] < pairs[:, 1]
        pairs[swap] = pairs[swap, ::-1]
        tof = np.where(swap, tofs - 1 - tof, tof)
        return _varints(np.array([len(pairs)])) + _varints(np.column_stack([pairs, tof]))


def _header(
    package: ModuleType, dialect: _Dialect, bins: Bins, layout: _Layout, efficiencies: Array | None
) -> Any:  # noqa: ANN401 - a type of the package
    """Return the header of a ring scanner."""
    scanner = scanner_of(bins)
    timing = bins.timing
    edges = [-1e4, 1e4] if timing is None else timing.edges_mm
    singles = np.ones((scanner.rings, scanner.crystals)) if efficiencies is None else efficiencies
    order = np.empty(singles.size)
    order[layout.bins(np.arange(singles.size))] = np.asarray(singles, float).ravel()
    number = np.arange(layout.modules)
    groups: Any = np.abs(np.subtract.outer(number, number)).astype(np.int32)
    if dialect.nested:
        groups = [row[: module + 1].tolist() for module, row in enumerate(groups)]
    together = [
        package.ModulePairEfficiencies(
            values=dialect.table(_coincident(bins, layout, apart), np.float32), sgid=apart
        )
        for apart in range(layout.modules)
    ]
    energy = scanner.energy or ENERGY
    limits = np.array([energy.low_kev, energy.high_kev], np.float32)
    described: dict[str, Any] = {"method_description": "exact", "calibration_factor": 1.0}
    policies = {}
    if dialect.described:  # before, no other was known
        policy = package.CoincidencePolicy.REJECT_HIGHER_MULTIPLES
        policies = {"prompt_event_policy": policy, "delayed_event_policy": policy}
    return package.Header(
        scanner=package.ScannerInformation(
            model_name=scanner.name,
            scanner_geometry=_geometry(package, bins, layout),
            tof_bin_edges=[[package.BinEdges(edges=np.asarray(edges, np.float32))]],
            tof_resolution=[[timing.fwhm_mm if timing else 1e4]],
            event_energy_bin_edges=[package.BinEdges(edges=limits)],
            energy_resolution_at_511=[energy.resolution],
            detection_efficiencies=package.DetectionEfficiencies(
                detection_bin_efficiencies=[dialect.table(order, np.float32)],
                module_pair_sgidlut=[[groups]],
                module_pair_efficiencies_vectors=[[together]],
                **(described if dialect.described else {}),
            ),
            **policies,
        )
    )


def _coincident(bins: Bins, layout: _Layout, apart: int) -> NDArray[np.float64]:
    """Return 1 where elements of modules so far apart are in coincidence, 0 elsewhere."""
    ring, place = np.divmod(np.arange(layout.elements), layout.across)
    half = layout.crystals // 2
    offset = (apart * layout.across + np.subtract.outer(place, place) + half) % layout.crystals
    offset = np.where(offset > half, offset - layout.crystals, offset)
    most = max(max(map(abs, segment.ring_differences)) for segment in bins.segments)
    near = np.abs(np.subtract.outer(ring, ring)) <= most
    return np.asarray((np.abs(offset) <= (bins.s_mm.size - 1) // 2) & near, float)


def _geometry(package: ModuleType, bins: Bins, layout: _Layout) -> Any:  # noqa: ANN401 - a type of the package
    """Return modules around the axis; crystals are boxes about the point (radius, 0, 0)."""
    scanner = scanner_of(bins)
    size = np.array(
        [CRYSTAL_MM, 2 * np.pi * bins.radius_mm / scanner.crystals, scanner.ring_spacing_mm]
    )
    corners = [
        package.Coordinate(c=(size * (np.array(at) - 0.5)).astype(np.float32))
        for at in np.ndindex(2, 2, 2)
    ]
    box = package.BoxSolidVolume(shape=package.BoxShape(corners=corners), material_id=1)
    step = 2 * np.pi / scanner.crystals
    z_mm = (np.arange(scanner.rings) - (scanner.rings - 1) / 2) * scanner.ring_spacing_mm
    elements = [
        _rigid(package, place * step, bins.radius_mm, z)
        for z in z_mm
        for place in range(layout.across)
    ]
    # Crystal 0 is at the patient's back, at (0, -R); numbers grow towards the patient's right.
    first = np.deg2rad(scanner.view_offset_deg) - np.pi / 2
    modules = [
        _rigid(package, first + m * layout.across * step, 0.0, 0.0) for m in range(layout.modules)
    ]
    return package.ScannerGeometry(
        replicated_modules=[
            package.ReplicatedDetectorModule(
                object=package.DetectorModule(
                    detecting_elements=package.ReplicatedBoxSolidVolume(
                        object=box, transforms=elements
                    )
                ),
                transforms=modules,
            )
        ]
    )


def _rigid(package: ModuleType, angle: float, x_mm: float, z_mm: float) -> Any:  # noqa: ANN401 - a type of the package
    """Return the way from `x_mm` along x to that distance at an angle about z."""
    c, s = np.cos(angle), np.sin(angle)
    matrix = [[c, -s, 0, c * x_mm], [s, c, 0, s * x_mm], [0, 0, 1, z_mm]]
    return package.RigidTransformation(matrix=np.array(matrix, np.float32))


def writer_for(duration_s: float) -> ModuleType:
    """Return the package that writes a scan of so many seconds.

    Raises
    ------
    SettingsError
        If it is not installed, or no scan takes so long.
    """
    if not 0 < duration_s <= LONGEST_S:
        raise SettingsError(
            f"events take more than 0 and at most {LONGEST_S} seconds, a day, not {duration_s:g}"
        )
    try:
        return import_module("petsird")
    except ImportError as error:
        raise SettingsError(
            "writing PETSIRD needs the package petsird: pip install 'emrecon[petsird]'"
        ) from error
