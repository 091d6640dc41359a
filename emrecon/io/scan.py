"""A scan from files: one manifest, one sinogram and its corrections, or list-mode."""

from __future__ import annotations

import json
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
from emrecon.io.sniff import is_interfile, open_head
from emrecon.tomo.attenuation import in_per_mm
from emrecon.tomo.bins import Bins
from emrecon.tomo.operator import Array
from emrecon.tomo.parts import Parts
from emrecon.tomo.scan import Scan
from emrecon.volume import Volume

MANIFEST = "scan.toml"
"""Name of the manifest in a folder that holds a scan."""


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
    _one_of(parts, "correction", "normalisation", "attenuation")
    _one_of(parts, "mu", "attenuation", "correction")
    _one_of(parts, "additive", "randoms", "scatter")
    inputs = {"prompts": path}
    changes: dict[str, Any] = {}
    for name in ("normalisation", "attenuation", "randoms", "scatter", "correction", "additive"):
        file = getattr(parts, name)
        if file is not None:
            inputs[name] = file
            changes[name] = _matching(file, scan.bins, name)
    _from_stir(changes)
    if parts.mu is not None:
        inputs["mu"] = parts.mu
        changes["mu"] = _mu(parts.mu, parts.mu_unit)
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
    given = {
        field.name: getattr(over, field.name)
        for field in fields(Parts)
        if getattr(over, field.name) != field.default
    }
    plain = {"mu_unit", "span"}
    named: dict[str, Any] = {
        key: value if key in plain else path.parent / str(value)
        for key, value in table.items()
        if key != "prompts"
    }
    return path.parent / str(table["prompts"]), Parts(**(named | given))


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
        seconds = read.facts.get("duration_s")
        return Scan(read.bins, read.data, duration_s=seconds, facts=dict(read.facts))
    raise FormatError(
        f"{path} is no scan that can be read here ({kind}): give Interfile projection data, "
        "PETLINK list-mode, or a folder with scan.toml"
    )


def _matching(path: Path, bins: Bins, what: str) -> Array:
    """Read projection data that must lie in the same bins as the prompts."""
    read = interfile.read_projections(path)
    difference = bins.difference(read.bins)
    if difference:
        raise GeometryError(f"{what} ({path.name}) does not fit the prompts: {difference}")
    return read.data


def _from_stir(parts: dict[str, Any]) -> None:
    """Turn STIR's correction and additive term into efficiency and background."""
    correction, additive = parts.pop("correction", None), parts.pop("additive", None)
    if correction is not None:
        live = correction > 0
        np.divide(1.0, correction, out=correction, where=live)
        parts["normalisation"] = correction
    if additive is not None:
        if correction is not None:
            additive *= correction
        parts["scatter"] = additive


def _mu(path: Path, unit: str) -> Volume:
    """Read an attenuation map in 1/mm, by the unit given or the one the file states."""
    mu = io.read_image(path)
    if not (unit or mu.unit):
        raise SettingsError(
            f"the unit of {path.name} is not known: say --mu-unit 1/mm or --mu-unit 1/cm"
        )
    return in_per_mm(mu, unit or mu.unit)


def _one_of(parts: Parts, name: str, *others: str) -> None:
    for other in others:
        if getattr(parts, name) is not None and getattr(parts, other) is not None:
            raise SettingsError(f"give --{name} or --{other}, not both")
