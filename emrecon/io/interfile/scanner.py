"""Interfile PET projections: the scanner, from the header's figures or from its name."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from emrecon.errors import FormatError, GeometryError, SettingsError
from emrecon.io.interfile.header import Header
from emrecon.io.interfile.layout import Layout
from emrecon.tomo.geometry.bins import Scanner
from emrecon.tomo.geometry.energy import LUTETIUM, REST_KEV, EnergyWindow
from emrecon.tomo.geometry.presets import by_name
from emrecon.tomo.geometry.tof import Timing

logger = logging.getLogger(__name__)

SAME_BIN = 0.05
"""Relative difference up to which a stated bin size agrees with the one of the ring."""

UNMASHED = "maximum number of (unmashed) tof time bins"
UNMASHED_PS = "size of unmashed tof time bins (ps)"
MASHING = "tof mashing factor"
RESOLUTION = ("tof timing resolution (ps)", "timing resolution (ps)")
"""STIR's keys about time of flight."""

_NAMES = ("originating system", "scanner type")
_CRYSTALS = (
    "number of crystals per block in transaxial direction",
    "number of crystals per block in axial direction",
)


@dataclass(frozen=True)
class Figures:
    """The scanner, and what a header adds to it."""

    scanner: Scanner
    bin_mm: float
    """Size of the central bin."""

    view_offset_stated: bool
    """Whether the header gives the view offset; 0 where it does not."""


def figures_of(header: Header, layout: Layout, *, arc_corrected: bool) -> Figures:
    """Return the scanner of a header: its figures, and those of a known scanner for the rest.

    Raises
    ------
    FormatError
        If figures are missing and the scanner is not known, or contradict each other.
    """
    names = [header.text(key, default="") for key in _NAMES]
    preset = _preset(header, names)
    rings = _figure(header, "number of rings", 1, preset.rings if preset else None)
    crystals = _figure(
        header, "number of detectors per ring", 1, preset.crystals if preset else None
    )
    radius = _figure(header, "inner ring diameter (cm)", 5, preset.radius_mm if preset else None)
    depth = _figure(
        header, "average depth of interaction (cm)", 10, preset.doi_mm if preset else None
    )
    spacing = _figure(
        header, "distance between rings (cm)", 10, preset.ring_spacing_mm if preset else None
    )
    ring_bin = (radius + depth) * np.sin(np.pi / max(crystals, 2))
    bin_mm = _bin_mm(header, preset, float(ring_bin), arc_corrected=arc_corrected)
    default = header.number("default bin size (cm)", default=0.0) * 10
    most = header.integer("maximum number of non-arc-corrected bins", default=0)
    offset = header.entry("view offset (degrees)")
    try:
        scanner = Scanner(
            name=next((n for n in names if n and n.lower() != "unknown"), "unknown"),
            rings=round(rings),
            crystals=round(crystals),
            ring_spacing_mm=spacing,
            radius_mm=radius,
            doi_mm=depth,
            bin_mm=default if default > 0 else (preset.bin_mm if preset else bin_mm),
            max_bins=most if most > 0 else (preset.max_bins if preset else layout.bins),
            block_crystals=_blocks(header, preset),
            view_offset_deg=header.number("view offset (degrees)", default=0.0),
            energy=_energy(header, preset),
        )
    except GeometryError as error:
        raise FormatError(f"{header.path}: {error}") from error
    return Figures(scanner, bin_mm, offset is not None)


def timing_of(header: Header, layout: Layout, fwhm_ps: float = 0.0) -> Timing | None:
    """Return the time-of-flight bins of a header, which STIR mashes about the middle.

    Parameters
    ----------
    header, layout
        What the file says.
    fwhm_ps : float, optional
        Resolution that stands in where neither header nor a known scanner says it.

    Raises
    ------
    FormatError
        If the width of the bins or the resolution is not known, or numbers contradict each other.
    """
    for key in (UNMASHED, UNMASHED_PS, MASHING, *RESOLUTION):
        header.entry(key)  # a scanner may say what the data do without
    if not layout.timings:
        return None
    names = [header.text(key, default="") for key in _NAMES]
    preset = _preset(header, names)
    known = preset.timing if preset else None
    mash = header.integer(MASHING, default=1)
    most = header.integer(UNMASHED, default=layout.timings * mash)
    width_ps = header.number(UNMASHED_PS, default=0.0) * mash
    if width_ps <= 0 and known is not None and known.bins == layout.timings:
        width_ps = known.width_ps
    stated = next((ps for key in RESOLUTION if (ps := header.number(key, default=0.0)) > 0), 0.0)
    fwhm_ps = stated or (known.fwhm_ps if known else 0.0) or fwhm_ps
    if mash < 1 or most // mash != layout.timings:
        raise header.refusal(
            MASHING, f"{most} time-of-flight bins mashed by it make {layout.timings}"
        )
    if width_ps <= 0:
        raise FormatError(
            f"{header.path}: '{UNMASHED_PS}' is missing: time-of-flight bins of unknown width; "
            "sum them (sum_tof) to go without time of flight"
        )
    if fwhm_ps <= 0:
        raise FormatError(
            f"{header.path}: '{RESOLUTION[0]}' is missing: say the resolution (tof_fwhm_ps), or "
            "sum the time-of-flight bins (sum_tof)"
        )
    return Timing.of_ps(fwhm_ps, width_ps, layout.timings)


def _preset(header: Header, names: list[str]) -> Scanner | None:
    """Return the known scanner that the header names, if it names one."""
    known: list[Scanner] = []
    for name in names:
        try:
            known.append(by_name(name))
        except (SettingsError, GeometryError):
            continue
    if any(scanner != known[0] for scanner in known):
        raise FormatError(
            f"{header.path}: '{_NAMES[0]}' is {names[0]}, but '{_NAMES[1]}' is {names[1]}"
        )
    return known[0] if known else None


def _figure(header: Header, key: str, factor: float, known: float | None) -> float:
    """Return a figure of the header times `factor`, or what is `known` where it has none."""
    whole = key.startswith("number of")
    stated = header.integer(key, default=-1) if whole else header.number(key, default=-1.0)
    if stated < 0 or (whole and stated < 1):
        if known is None:
            raise FormatError(
                f"{header.path}: '{key}' is missing, and no known scanner is named in "
                f"'{_NAMES[0]}' or '{_NAMES[1]}'"
            )
        return known
    if known is not None and abs(stated * factor - known) > 1e-3 * known:
        logger.warning(
            "%s: '%s' is %g, the scanner's is usually %g; the header holds",
            header.path,
            key,
            stated,
            known / factor,
        )
    return stated * factor


def _bin_mm(
    header: Header, preset: Scanner | None, ring_bin_mm: float, *, arc_corrected: bool
) -> float:
    """Return the size of the central bin."""
    key = "effective central bin size (cm)"
    stated = header.number(key, default=0.0) * 10
    if not arc_corrected:
        if stated > 0 and abs(stated - ring_bin_mm) > SAME_BIN * ring_bin_mm:
            raise header.refusal(
                key, f"bins that are not arc-corrected are {ring_bin_mm / 10:g} cm on this ring"
            )
        return ring_bin_mm
    default = header.number("default bin size (cm)", default=0.0) * 10
    for size in (stated, default, preset.bin_mm if preset else 0.0):
        if size > 0:
            return size
    raise FormatError(f"{header.path}: '{key}' is missing for arc-corrected data")


def _blocks(header: Header, preset: Scanner | None) -> tuple[int, int]:
    around, along = (header.integer(key, default=0) for key in _CRYSTALS)
    known = preset.block_crystals if preset else (1, 1)
    return (around if around > 0 else known[0], along if along > 0 else known[1])


def _energy(header: Header, preset: Scanner | None) -> EnergyWindow | None:
    """Return the energies that count and their resolution, as stated or as known; None if not."""
    known = preset.energy if preset else None
    usual = (known.low_kev, known.high_kev, known.resolution) if known else (0.0, 0.0, 0.0)
    keys = ("energy window lower level", "energy window upper level", "energy resolution")
    low, high, share = (header.number(key, default=-1.0) for key in keys)
    reference = header.number("reference energy (in kev)", default=REST_KEV)
    if share > 0 and reference > 0:  # it is the share at this energy
        share *= np.sqrt(reference / REST_KEV)
    low, high, share = (
        stated if stated > 0 else each
        for stated, each in zip((low, high, share), usual, strict=True)
    )
    absorption = known.absorption if known else LUTETIUM
    if not (low < high and 0 < share < 1):
        return None
    return EnergyWindow(low, high, float(share), absorption)
