"""A scan from files: one manifest, one sinogram and its corrections, or list-mode."""

from __future__ import annotations

import json
import logging
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from emrecon import io
from emrecon.errors import FormatError, GeometryError, SettingsError
from emrecon.files import write_text
from emrecon.io import interfile
from emrecon.io.interfile_header import parse
from emrecon.io.interfile_pet import ARC_CORRECTED
from emrecon.io.sniff import is_interfile, open_head
from emrecon.tomo.attenuation import in_per_mm
from emrecon.tomo.bins import Bins
from emrecon.tomo.operator import Array
from emrecon.tomo.parts import Parts
from emrecon.tomo.scan import Scan
from emrecon.volume import Volume

log = logging.getLogger(__name__)

MANIFEST = "scan.toml"
"""Name of the manifest in a folder that holds a scan."""


RIVALS = {
    "correction": ("normalisation", "attenuation", "mu", "mu_unit"),
    "normalisation": ("correction",),
    "attenuation": ("correction", "mu", "mu_unit"),
    "mu": ("attenuation", "correction"),
    "additive": ("randoms", "scatter"),
    "randoms": ("additive",),
    "scatter": ("additive",),
}
"""Parts that say in another way what a part says."""


def read_scan(path: Path, parts: Parts | None = None) -> tuple[Scan, dict[str, Path]]:
    """Read a scan and its corrections.

    Parameters
    ----------
    path : Path
        A manifest (``scan.toml``, or the folder that holds it), Interfile projection data
        (prompts), or a PETLINK list-mode header.
    parts : Parts, optional
        Further files; they stand in for what a manifest or list-mode file gives.

    Returns
    -------
    Scan
        The scan.
    dict of Path
        Every file that was read, by what it is.
    """
    parts = parts or Parts()
    if path.is_dir():
        path = path / MANIFEST
    if path.suffix == ".toml":
        path, parts = read_manifest(path, parts)
    scan = _prompts(path, parts)
    _no_rivals(parts)
    inputs = {"prompts": path}
    changes: dict[str, Any] = {}
    for name in ("normalisation", "attenuation", "randoms", "scatter", "correction", "additive"):
        file = getattr(parts, name)
        if file is not None:
            inputs[name] = file
            changes[name] = _matching(file, scan.bins, name)
    if parts.mu is not None:
        inputs["mu"] = parts.mu
        changes["mu"] = _mu(parts.mu, parts.mu_unit)
    _from_stir(changes, scan)
    return scan.with_(**changes), inputs | _data_files(inputs)


def read_manifest(path: Path, over: Parts) -> tuple[Path, Parts]:
    """Return the prompts and the parts that a manifest names; `over` goes before it."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FormatError(f"{path} does not exist: a folder needs it to be a scan") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FormatError(f"{path} is not a manifest that can be read: {error}") from error
    known = {field.name for field in fields(Parts)} | {"prompts"}
    if unknown := sorted(set(table) - known):
        raise FormatError(f"{path}: unknown key {unknown[0]!r}; known are {sorted(known)}")
    if "prompts" not in table:
        raise FormatError(f"{path}: no 'prompts'")
    _check_types(path, table)
    plain = {"mu_unit", "span"}
    named: dict[str, Any] = {
        key: value if key in plain else path.parent / value
        for key, value in table.items()
        if key != "prompts"
    }
    given = {
        field.name: getattr(over, field.name)
        for field in fields(Parts)
        if getattr(over, field.name) != field.default
    }
    for key in given:  # what is given stands for all that says the same in another way
        for rival in RIVALS.get(key, ()):
            named.pop(rival, None)
    return path.parent / str(table["prompts"]), Parts(**(named | given))


def _check_types(path: Path, table: dict[str, Any]) -> None:
    """Refuse values of a manifest that are neither words nor, for the span, a whole number."""
    for key, value in table.items():
        wanted = int if key == "span" else str
        if type(value) is not wanted:
            kind = "a whole number" if wanted is int else "text in quotes"
            raise FormatError(f"{path}: {key} is {kind}, not {value!r}")


def write_manifest(path: Path, prompts: str, **parts: str | int) -> None:
    """Write a manifest: file names relative to it, by what they are."""
    named = {"prompts": prompts, **parts}
    lines = [f"{key} = {json.dumps(value)}" for key, value in named.items()]  # also TOML
    write_text(path, "\n".join(lines) + "\n")


def _data_files(headers: dict[str, Path]) -> dict[str, Path]:
    """Return the data files that headers name, by what they hold."""
    found = {}
    for what, path in headers.items():
        if is_interfile(open_head(path)):
            name = parse(path).text("name of data file", default="")
            if name and (path.parent / name).is_file():
                found[f"{what} data"] = path.parent / name
    return found


def _prompts(path: Path, parts: Parts) -> Scan:
    """Read the prompts, and for list-mode what comes with them."""
    kind = io.kind(path)
    if kind == "listmode":
        from emrecon.io import petlink  # noqa: PLC0415 - brings numba

        return petlink.read_scan(path, span=parts.span)
    if kind == "projections":
        read = interfile.read_projections(path)
        _raw(path, read.facts)
        seconds = read.facts.get("duration_s")
        return Scan(read.bins, read.data, duration_s=seconds, facts=dict(read.facts))
    raise FormatError(
        f"{path} is no scan that can be read here ({kind}): give Interfile projection data, "
        "PETLINK list-mode, or a folder with scan.toml"
    )


def _raw(path: Path, facts: dict[str, Any]) -> None:
    """Refuse what are no counts by the header's own word, and warn of corrected ones."""
    kind = str(facts.get("pet_data_type") or "emission").lower()
    if kind != "emission":
        raise FormatError(f"{path}: prompts are wanted, but its 'PET data type' is {kind!r}")
    done = facts.get("applied_corrections") or []
    words = [done] if isinstance(done, str) else list(done)
    if others := [word for word in words if word not in {"none", *ARC_CORRECTED}]:
        log.warning(
            "%s says that %s was applied: corrected data are not Poisson, and the model must not "
            "correct for it again", path.name, " and ".join(others),
        )  # fmt: skip


def _matching(path: Path, bins: Bins, what: str) -> Array:
    """Read projection data that must lie in the same bins as the prompts."""
    read = interfile.read_projections(path)
    difference = bins.difference(read.bins)
    if difference:
        raise GeometryError(f"{what} ({path.name}) does not fit the prompts: {difference}")
    return read.data


def _from_stir(parts: dict[str, Any], scan: Scan) -> None:
    """Turn STIR's correction and additive term into efficiency and background.

    The additive term holds all of the background, divided by all of the factors.
    """
    correction, additive = parts.pop("correction", None), parts.pop("additive", None)
    others = {"normalisation", "attenuation", "mu"} & set(parts)
    if correction is not None:
        live = correction > 0
        np.divide(1.0, correction, out=correction, where=live)
        parts["normalisation"] = correction
    elif additive is not None and (others or scan.normalisation is not None):
        raise SettingsError(
            "--additive is in STIR's sense, background times --correction: give both, or give "
            "--randoms and --scatter as counts"
        )
    if additive is not None:
        if correction is not None:
            additive *= correction
        parts["scatter"], parts["randoms"] = additive, None


def _mu(path: Path, unit: str) -> Volume:
    """Read an attenuation map in 1/mm, by the unit given or the one the file states."""
    mu = io.read_image(path)
    if not (unit or mu.unit):
        raise SettingsError(
            f"the unit of {path.name} is not known: say --mu-unit 1/mm or --mu-unit 1/cm"
        )
    return in_per_mm(mu, unit or mu.unit)


def _no_rivals(parts: Parts) -> None:
    """Refuse parts that say the same in two ways."""
    for name, rivals in RIVALS.items():
        for rival in rivals:
            if rival != "mu_unit" and getattr(parts, name) and getattr(parts, rival):
                raise SettingsError(f"give --{name} or --{rival}, not both")
