"""Siemens' component-based normalisation ("ECAT8", mMR and mCT): a header and a file of floats.

The axes are those of the scanner's list-mode, see `emrecon.io.petlink.sinograms`: turned to ours,
bins, rings and planes run the other way round, and crystals half a turn on. What the components
are, and how they go together, is after UCL/STIR's ``BinNormalisationFromECAT8.cxx``:

- geometric effects, by bin and sum of the rings; crystal interference, by the view's place in a
  block and bin; crystal efficiencies, which on the mMR stand one crystal early;
- axial effects, one a sinogram of the file's span in the order of segments 0, -1, +1, ..., by
  which efficiencies are divided. Ring differences beyond those have 1.

- dead time, of which each ring has two parameters: where singles are known, the efficiency of its
  crystals is multiplied by ``1 + p r + n r^2``, ``r`` being the singles a second of their block
  (of the mean block, where only that is known). So do
  UCL/STIR and the vendor's e7 tools; NiftyPET has ``exp(p r / (1 + n r)) / (1 + n r)``. What is
  no share of the singles is refused.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np

from emrecon.errors import FormatError, SettingsError
from emrecon.io.interfile.common import read_values
from emrecon.io.interfile.header import Header, normal, parse
from emrecon.tomo.corrections.components import Components, Singles
from emrecon.tomo.corrections.normalisation import known_gaps
from emrecon.tomo.geometry.bins import Scanner
from emrecon.tomo.geometry.detectors import planes_of_rings
from emrecon.tomo.geometry.presets import MMR, by_name
from emrecon.volume import Array

log = logging.getLogger(__name__)

COUNT = "%number of normalization components"
"""The key that tells such a header."""

DEAD_TIME = ("paralyzing ring dt parameters", "non-paralyzing ring dt parameters")
"""Components of dead time: factors of the rate, and of its square."""

USED = ("geometric effects", "crystal interference", "crystal efficiencies", "axial effects")
"""Components that are used."""

SHIFTED = {MMR.name: 1}
"""By how many crystals efficiencies stand early."""


def read_components(path: Path, singles_cps: Singles | float = 0.0) -> Components:
    """Read a normalisation.

    Parameters
    ----------
    path : Path
        The header.
    singles_cps : array or float, optional
        Singles a second of a block of detectors, for the dead time; 0 leaves it out. Of the block
        of each crystal as they stand in the file, ``(rings, crystals)``, or one for all.

    Raises
    ------
    FormatError
        If the header is of none, of a scanner that is not known, or data and header disagree, or
        the file's dead time makes no sense at this rate.
    """
    header = parse(path)
    if header.entry(COUNT) is None:
        raise FormatError(
            f"{path} is no Siemens normalisation: '{COUNT}' is missing; efficiencies of bins are "
            "given as --normalisation"
        )
    header.choice("imagedata byte order", ("littleendian",), "littleendian")
    header.choice("number format", ("float",), "float")
    scanner = _scanner(header)
    stored = {name: _stored(header, name) for name in USED}
    geometric, interference = stored["geometric effects"], stored["crystal interference"]
    shapes = {
        "geometric effects": (2 * scanner.rings - 1, geometric.shape[-1]),
        "crystal interference": (geometric.shape[-1], scanner.block_crystals[0]),
        "crystal efficiencies": (scanner.rings, scanner.crystals),
        "axial effects": stored["axial effects"].shape[:1],
    }
    for name, shape in shapes.items():
        if stored[name].shape != shape:
            raise FormatError(
                f"{path}: the component '{name}' has matrix size {stored[name].shape[::-1]}, "
                f"wanted {shape[::-1]} on {scanner.name}"
            )
    efficiencies = stored["crystal efficiencies"] * _alive(header, scanner, singles_cps)
    crystals = np.roll(efficiencies, SHIFTED.get(scanner.name, 0), axis=1)
    crystals = np.roll(crystals[::-1], scanner.crystals // 2, axis=1)
    return Components(
        scanner,
        np.where(known_gaps(scanner), crystals, 0).astype(np.float32),
        np.ascontiguousarray(geometric[::-1, ::-1]),
        np.ascontiguousarray(interference[::-1]),
        _axial(header, scanner, stored["axial effects"]),
    )


def usable_singles(path: Path, singles: Singles) -> Singles | float:
    """Return singles that a scan tells, or 0, which is warned of, if the dead time cannot be so.

    Parameters
    ----------
    path : Path
        The header of the normalisation.
    singles : array
        Singles a second of the block of each crystal.
    """
    header = parse(path)
    names = {normal(header.text("%normalization component", n, default=""))
             for n in range(1, header.integer(COUNT) + 1)}  # fmt: skip
    if not names.issuperset(DEAD_TIME):
        return 0.0
    try:
        _alive(header, _scanner(header), singles)
    except FormatError as error:
        log.warning("dead time is left out: %s", error)
        return 0.0
    return singles


def facts_of_norm(path: Path, singles_cps: Singles | float = 0.0) -> dict[str, Any]:
    """Return what a normalisation says besides, for the sidecar."""
    header = parse(path)
    known = bool(np.any(singles_cps))
    dead: dict[str, Any] = {"dead_time_corrected": known}
    if known:
        alive = _alive(header, _scanner(header), singles_cps)
        rates = np.asarray(singles_cps, float)
        dead |= {
            "dead_time_of": "rings, by the normalisation",
            "dead_time_counts_per_s": float(rates.mean()),
            "dead_time_factor": float(1 / np.mean(alive) ** 2),
        }
        if rates.ndim:
            dead["dead_time_singles"] = "of each block, by the list-mode"
            dead["dead_time_counts_per_s_range"] = [float(rates.min()), float(rates.max())]
    keys = {
        "scanner_quantification_factor": "%scanner quantification factor (bq*s/ecat counts)",
        "cross_calibration_factor": "%cross calibration factor",
    }
    stated = {name: header.number(key) for name, key in keys.items() if header.entry(key)}
    return {**dead, **stated}


def _alive(header: Header, scanner: Scanner, singles_cps: Singles | float) -> Array:
    """Return the share of singles that crystals count, as they are stored.

    Its shape is ``(rings, crystals)``, or ``(rings, 1)`` by a rate for all.
    """
    if not np.any(singles_cps):
        return np.ones((scanner.rings, 1), np.float32)
    linear, square = (_stored(header, name, signed=True).astype(float) for name in DEAD_TIME)
    shape = (scanner.rings,)
    if linear.shape != shape or square.shape != shape:
        raise FormatError(
            f"{header.path}: dead time has matrix sizes {linear.shape} and {square.shape}, wanted "
            f"{shape} on {scanner.name}"
        )
    rates = np.atleast_2d(np.asarray(singles_cps, float))
    share = 1 + linear[:, None] * rates + square[:, None] * rates**2
    if not (share > 0).all() or not (share <= 1).all():
        raise FormatError(
            f"{header.path}: by its dead time rings count {share.min():.4g} to {share.max():.4g} "
            f"of what {rates.mean():g} singles a second of a block are, which makes no sense: is "
            "that the rate of one block, a second? If so, give the dead time as --dead-time-us"
        )
    return np.asarray(share, np.float32)


def _scanner(header: Header) -> Scanner:
    """Return the scanner that the header names, its numbers checked."""
    name = header.text("originating system")
    try:
        scanner = by_name(name)
    except SettingsError as error:
        raise header.refusal("originating system", str(error)) from None
    if header.integer("number of rings", default=scanner.rings) != scanner.rings:
        raise header.refusal("number of rings", f"{scanner.name} has {scanner.rings}")
    return scanner


def _stored(header: Header, name: str, *, signed: bool = False) -> Array:
    """Return a component as it stands in the file, slowest axis first."""
    numbers = range(1, header.integer(COUNT) + 1)
    names = {n: normal(header.text("%normalization component", n, default="")) for n in numbers}
    matches = [n for n, stated in names.items() if stated == name]
    if len(matches) != 1:
        raise header.refusal("%normalization component", f"one is to be '{name}'")
    (number,) = matches
    shape = header.integers("%matrix size", number)[::-1]
    if min(shape, default=0) < 1:
        raise header.refusal("%matrix size", "sizes are above zero", number)
    start = header.integer("data offset in bytes", number)
    values = read_values(header.data_path(), np.dtype("<f4"), math.prod(shape), start)
    if not (np.isfinite(values).all() and (signed or (values >= 0).all())):
        raise FormatError(
            f"{header.data_path()}: the component '{name}' holds values that are negative or not "
            "finite: is the offset right?"
        )
    return values.astype(np.float32).reshape(shape)


def _axial(header: Header, scanner: Scanner, values: Array) -> Array:
    """Return axial effects by rings, as many as the file's sinograms tell."""
    span, most = (header.integer(f"%{key}") for key in ("axial compression",
                                                        "maximum ring difference"))  # fmt: skip
    bins = scanner.bins(span=span, max_ring_difference=most, count=1)
    if len(values) != bins.planes:
        raise FormatError(
            f"{header.path}: {len(values)} axial effects, and span {span} with ring differences "
            f"up to {most} has {bins.planes} sinograms"
        )
    sizes = [segment.planes for segment in bins.segments]
    order = [0, *(n + 1 if n % 2 else n - 1 for n in range(1, len(sizes)))]  # of file: 0, -1, +1
    parts = np.split(values, np.cumsum([sizes[n] for n in order])[:-1])
    ours = np.concatenate([parts[order.index(n)][::-1] for n in range(len(sizes))])
    planes = planes_of_rings(bins)
    return np.where(planes >= 0, ours[planes], 1).astype(np.float32)
