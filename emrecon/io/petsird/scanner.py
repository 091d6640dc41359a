"""The scanner of a PETSIRD file: where its crystals are, and how efficient each pair is.

Geometry, detection bins and efficiencies follow the PETSIRD model (ETSInitiative/PETSIRD,
``model/``): a detection bin counts energy bins fastest, then detecting elements, then modules; a
crystal is at the mean of the corners of its box; the efficiency of a pair is the calibration
factor times those of both detection bins times that of their places within a pair of modules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import FormatError
from emrecon.tomo.geometry.tof import Timing
from emrecon.volume import Array

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]
Types = tuple[int, int]
"""Module types of end 1 and end 2."""

MOST_CRYSTALS = 1 << 26
"""Crystals of a scanner; more are a damaged file."""


@dataclass(frozen=True)
class ModuleType:
    """The modules of one type, and where their crystals are in the list of all."""

    first: int
    """Number of its first crystal."""

    modules: int
    """Number of modules."""

    elements: int
    """Crystals a module."""

    energies: int
    """Energy bins a crystal."""

    @property
    def bins(self) -> int:
        """Detection bins of all modules."""
        return self.modules * self.elements * self.energies


@dataclass(frozen=True, eq=False)
class Efficiencies:
    """How efficient each pair of detection bins is."""

    calibration: float
    """Factor of all."""

    singles: tuple[Floats, ...]
    """Efficiency of each detection bin, by module type; none where they are 1."""

    groups: dict[Types, NDArray[np.int32]]
    """Group of each pair of modules, by pair of types, -1 for none; empty where all are 1."""

    pairs: dict[Types, Floats]
    """Efficiency by group and places in both modules, by pair of types."""

    modules: dict[Types, Floats] = field(default_factory=dict)
    """A factor of each pair of modules, by pair of types; empty where all are 1."""

    def of(self, types: tuple[ModuleType, ...], pair: Types, bins: Indices) -> Array:
        """Return the efficiency of each of the pairs of detection bins, `bins` ``(n, 2)``."""
        eff = np.full(len(bins), self.calibration)
        for end, kind in enumerate(pair):
            if self.singles:
                eff *= self.singles[kind][bins[:, end]]
        if not (self.groups or self.modules):
            return eff.astype(np.float32)
        modules, places = zip(
            *(_place(types[kind], bins[:, end]) for end, kind in enumerate(pair)), strict=True
        )
        if self.modules:
            eff *= self.modules[pair][modules]
        if self.groups:
            group = self.groups[pair][modules]
            inside = np.where(group < 0, 0, group)
            eff *= np.where(group < 0, 0.0, self.pairs[pair][inside, places[0], places[1]])
        return eff.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Detectors:
    """The scanner of a file."""

    model: str
    """Name of the scanner."""

    points_mm: Array
    """Crystal centres, shape ``(crystals, 3)``."""

    types: tuple[ModuleType, ...]
    """Module types, in order."""

    timings: dict[Types, Timing]
    """Time of flight by pair of types; a pair with a single bin has none."""

    efficiencies: Efficiencies
    """Efficiency of each pair of detection bins."""

    energy: tuple[float, float, float]
    """Lower and upper limit of the energies that count, and the FWHM at 511 keV as a share."""

    def crystals(self, kind: int, bins: Indices) -> NDArray[np.uint32]:
        """Return the crystal of each detection bin of a module type."""
        type_ = self.types[kind]
        return (type_.first + bins // type_.energies).astype(np.uint32)


def detectors(scanner: dict[str, Any]) -> Detectors:
    """Return the scanner of a header, as it was decoded.

    Raises
    ------
    FormatError
        If a crystal is not a box, a matrix is missing, or time-of-flight bins are not equal.
    """
    modules = scanner["scannerGeometry"]["replicatedModules"]
    energies = [len(edges["edges"]) - 1 for edges in scanner["eventEnergyBinEdges"]]
    if len(energies) != len(modules):
        raise FormatError(
            f"energy bins of {len(energies)} module types, modules of {len(modules)}"
        )
    points, types, first = [], [], 0
    for module, bins in zip(modules, energies, strict=True):
        elements = module["object"]["detectingElements"]
        places = _centres(module["transforms"], elements)
        if bins < 1 or first + len(places) > MOST_CRYSTALS:
            raise FormatError(f"{bins} energy bins, {first + len(places)} crystals")
        types.append(
            ModuleType(first, len(module["transforms"]), len(elements["transforms"]), bins)
        )
        points.append(places)
        first += len(places)
    if not first:
        raise FormatError("the scanner has no crystals")
    described = tuple(types)
    return Detectors(
        str(scanner["modelName"]),
        np.concatenate(points).astype(np.float32),
        described,
        dict(_timings(scanner)),
        _efficiencies(scanner["detectionEfficiencies"], described),
        _energy(scanner),
    )


def _energy(scanner: dict[str, Any]) -> tuple[float, float, float]:
    """Return the outer edges of the first module type's energy bins, and the resolution."""
    edges = np.asarray(scanner["eventEnergyBinEdges"][0]["edges"], float)
    resolution = np.asarray(scanner["energyResolutionAt511"], float)
    return float(edges[0]), float(edges[-1]), float(resolution[0])


def _centres(modules: Any, elements: dict[str, Any]) -> Floats:  # noqa: ANN401 - as decoded
    """Return the centres of the crystals of a type, modules first, shape ``(n, 3)``."""
    corners = np.asarray(elements["object"]["shape"]["corners"], float).reshape(8, 3)
    middle = np.append(corners.mean(axis=0), 1.0)
    outer = np.asarray(modules, float).reshape(-1, 3, 4)
    inner = np.asarray(elements["transforms"], float).reshape(-1, 3, 4) @ middle
    places = np.einsum("mij,ej->mei", outer[:, :, :3], inner) + outer[:, None, :, 3]
    if not np.isfinite(places).all():
        raise FormatError("a crystal is at no finite place")
    centres: Floats = places.reshape(-1, 3)
    return centres


def _timings(scanner: dict[str, Any]) -> Iterator[tuple[Types, Timing]]:
    """Yield the time of flight of every pair of module types that has more than one bin."""
    for one, row in enumerate(scanner["tofBinEdges"]):
        for two, cell in enumerate(row):
            edges = np.asarray(cell["edges"], float)
            if len(edges) <= 2:
                continue
            width, bins = np.diff(edges), len(edges) - 1
            spread = max(np.ptp(width), abs(edges[0] + edges[-1])) / width.mean()
            if not (width > 0).all() or not spread < 1e-3:
                raise FormatError(
                    "time-of-flight bins of unequal width, or not about the middle of a line, "
                    "are not known here"
                )
            fwhm = float(scanner["tofResolution"][one][two])
            yield (one, two), Timing(fwhm, float(edges[-1] - edges[0]) / bins, bins)


def _efficiencies(stored: dict[str, Any], types: tuple[ModuleType, ...]) -> Efficiencies:
    """Return the efficiencies of a header; in older versions each table may be missing."""
    singles = tuple(np.asarray(each, float) for each in stored["detectionBinEfficiencies"] or ())
    if singles and [len(each) for each in singles] != [each.bins for each in types]:
        raise FormatError("efficiencies of detection bins do not fit the scanner")
    groups: dict[Types, NDArray[np.int32]] = {}
    pairs: dict[Types, Floats] = {}
    table, vectors = (
        stored["modulePairSGIDLUT"] or (),
        stored["modulePairEfficienciesVectors"] or (),
    )
    for one, row in enumerate(table if len(vectors) else ()):
        for two, cell in enumerate(row):
            groups[one, two] = _groups(cell, types[one], types[two])
            pairs[one, two] = _within(vectors[one][two], types[one], types[two])
            if groups[one, two].max(initial=-1) >= len(pairs[one, two]):
                raise FormatError("a pair of modules of a group that has no efficiencies")
    calibration = float(stored.get("calibrationFactor", 1.0))
    tables = (np.array(calibration), *singles, *pairs.values())
    if not all(np.isfinite(table_).all() and table_.min(initial=0.0) >= 0 for table_ in tables):
        raise FormatError("efficiencies are negative, infinite or NaN")
    if not calibration:
        raise FormatError(
            "the calibration factor of the file is 0, so that nothing would be seen: it was left "
            "out when the file was written; 1 stands for none"
        )
    return Efficiencies(calibration, singles, groups, pairs)


def _groups(rows: Any, one: ModuleType, two: ModuleType) -> NDArray[np.int32]:  # noqa: ANN401 - as decoded
    """Return the group of each pair of modules, -1 for none.

    Of two modules of one type, the table need only have the pair with the higher one first.
    """
    out = np.full((one.modules, two.modules), -1, np.int32)
    if len(rows) != one.modules:
        raise FormatError(f"groups of {len(rows)} modules of {one.modules}")
    for module, row in enumerate(rows):
        out[module, : len(row)] = row
    if one is two:
        lower = np.tril(np.ones_like(out, bool))
        out = np.where(lower, out, out.T)
    return out


def _within(vectors: Any, one: ModuleType, two: ModuleType) -> Floats:  # noqa: ANN401 - as decoded
    """Return efficiencies by group and places, shape ``(groups, places 1, places 2)``."""
    places = one.elements * one.energies, two.elements * two.energies
    out = np.ones((len(vectors), *places))
    for number, vector in enumerate(vectors):
        if vector["sgid"] != number:
            raise FormatError(f"efficiencies of group {vector['sgid']} in place {number}")
        out[number] = _square(vector["values"], places)
    return out


def _square(rows: Any, shape: tuple[int, int]) -> Floats:  # noqa: ANN401 - as decoded
    values = np.asarray(rows, float)
    if values.shape != shape:
        raise FormatError(f"efficiencies within modules of shape {values.shape}, not {shape}")
    return values


def _place(kind: ModuleType, bins: Indices) -> tuple[Indices, Indices]:
    """Return the module of each detection bin, and its place within it."""
    return np.divmod(bins, kind.elements * kind.energies)
