"""The files of a scan: the manifest that names them, and corrections that exclude others."""

from __future__ import annotations

import json
import tomllib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from emrecon.errors import FormatError, SettingsError
from emrecon.files import read_text, write_text
from emrecon.forms import asked, changed, paths_in, said_none
from emrecon.io.formats import data_files
from emrecon.tomo.inputs import Corrections

MANIFEST = "scan.toml"
"""Name of the manifest in a folder that holds a scan."""

SIMULATED = "# simulated by emrecon"
"""First line of the manifest of a scan that can be made again."""

RIVALS = {
    "correction": ("normalisation", "norm", "attenuation", "mu", "mu_unit", "mu_centred", "ct"),
    "normalisation": ("correction", "norm"),
    "norm": ("correction", "normalisation"),
    "attenuation": ("correction", "mu", "mu_unit", "mu_centred", "ct"),
    "mu": ("attenuation", "correction", "ct"),
    "ct": ("attenuation", "correction", "mu", "mu_unit", "mu_centred"),
    "additive": ("randoms", "scatter"),
    "mlaa": ("attenuation", "correction", "simulate_scatter"),
    "simulate_scatter": ("scatter",),
    "randoms": ("additive",),
    "scatter": ("additive",),
}
"""Corrections that say in another way what a part says."""

ABOUT = {
    "mu_unit": ("mu",),
    "mu_centred": ("mu",),
    "ct_kvp": ("ct",),
    "suv": ("calibration",),
    "singles_cps": ("norm", "dead_time_us"),
}
"""What a manifest states of files that it names, which goes when these are left out."""

ESTIMATED = {
    "simulate_scatter", "scatter_rounds", "scatter_absolute", "window_kev", "energy_resolution",
    "mlaa", "mlaa_passes",
}  # fmt: skip
"""How scatter and attenuation are worked out, which is no part of a scan."""

_TEXT: tuple[tuple[type, ...], str] = ((str,), "text in quotes")
_PLAIN: dict[str, tuple[tuple[type, ...], str]] = {
    "mu_unit": _TEXT,
    "mu_centred": ((bool,), "true or false"),
    "span": ((int,), "a whole number"),
    "ct_kvp": ((int, float), "a number"),
    "tof_fwhm_ps": ((int, float), "a number"),
    "sum_tof": ((bool,), "true or false"),
    "suv": ((bool,), "true or false"),
    "dead_time_us": ((int, float), "a number"),
    "dead_time_model": _TEXT,
    "singles_cps": ((int, float), "a number"),
}
"""Types, and what they are called, of what is no name of a file."""


def resolved(path: Path, corrections: Corrections) -> tuple[Path, Corrections]:
    """Return prompts and corrections of a scan; of a manifest or its folder, those it names.

    What is said to be none is none in what is returned.

    Raises
    ------
    FormatError
        If a manifest cannot be read.
    SettingsError
        If corrections say the same in two ways.
    """
    path = path / MANIFEST if path.is_dir() else path
    if path.suffix == ".toml":
        path, corrections = read_manifest(path, corrections)
    corrections = replace(corrections, **said_none(corrections))
    no_rivals(corrections, path)
    return path, corrections


def read_manifest(path: Path, over: Corrections) -> tuple[Path, Corrections]:
    """Return the prompts and the corrections that a manifest names; `over` goes before it."""
    try:
        table = tomllib.loads(read_text(path))
    except FileNotFoundError as error:
        raise FormatError(f"{path} does not exist: a folder needs it to be a scan") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FormatError(f"{path} is not a manifest that can be read: {error}") from error
    known = {field.name for field in fields(Corrections)} - ESTIMATED | {"prompts"}
    if unknown := sorted(set(table) - known):
        raise FormatError(f"{path}: unknown key {unknown[0]!r}; known are {sorted(known)}")
    if "prompts" not in table:
        raise FormatError(f"{path}: no 'prompts'")
    _check_types(path, table)
    prompts = path.parent / table.pop("prompts")
    stated: dict[str, Any] = {
        key: value if key in _PLAIN else _inside(path.parent, value)
        for key, value in table.items()
    }
    return prompts, _over(stated, over)


def _over(stated: dict[str, Any], over: Corrections) -> Corrections:
    """Return what a manifest states where `over` says nothing else."""
    chosen, named = changed(over), set(stated)
    for key in asked(over):  # what was chosen stands for all that says the same in another way
        for rival in RIVALS.get(key, ()):
            stated.pop(rival, None)
    left = asked(Corrections(**(stated | chosen)))
    for key, files in ABOUT.items():
        if named.intersection(files) and not set(files).intersection(left):
            stated.pop(key, None)
    return Corrections(**(stated | chosen))


def _inside(folder: Path, value: str | list[str]) -> Path | tuple[Path, ...]:
    """Return a file, or several, that a manifest in a folder names."""
    return folder / value if isinstance(value, str) else tuple(folder / one for one in value)


def _check_types(path: Path, table: dict[str, Any]) -> None:
    """Refuse values of a manifest that are not of the type of their part."""
    for key, value in table.items():
        if key == "mu" and isinstance(value, list) and all(isinstance(one, str) for one in value):
            continue
        types, kind = _PLAIN.get(key, _TEXT)
        if type(value) not in types:
            raise FormatError(f"{path}: {key} is {kind}, not {value!r}")


def write_manifest(
    path: Path, prompts: str, *, simulated: bool = False, **corrections: str | int
) -> None:
    """Write a manifest: file names relative to it, by what they are."""
    named = {"prompts": prompts, **corrections}
    lines = [f"{key} = {json.dumps(value)}" for key, value in named.items()]  # also TOML
    write_text(path, "\n".join([*([SIMULATED] if simulated else []), *lines, ""]))


def is_simulated(path: Path) -> bool:
    """Return whether a manifest says that its scan was simulated here."""
    try:
        return read_text(path).startswith(SIMULATED)
    except (OSError, UnicodeDecodeError):
        return False


def scan_files(path: Path, corrections: Corrections | None = None) -> dict[str, Path]:
    """Return every file that `read_scan` would read, by what it is, reading only what names them.

    Raises
    ------
    FormatError
        If a manifest or a header cannot be read.
    """
    whole = path / MANIFEST if path.is_dir() else path
    path, corrections = resolved(whole, corrections or Corrections())
    manifest = {"manifest": whole} if whole != path else {}
    files = {"prompts": path}
    for name, value in paths_in(corrections).items():
        files |= files_of(name, value)
    return manifest | files | data_files({k: v for k, v in files.items() if v.exists()})


def files_of(name: str, path: Path) -> dict[str, Path]:
    """Return a file by its name, or the files of a folder, numbered."""
    if not path.is_dir():
        return {name: path}
    inside = sorted(item for item in path.iterdir() if item.is_file())
    return {f"{name} {number}": item for number, item in enumerate(inside, 1)}


def no_rivals(corrections: Corrections, prompts: Path | None = None) -> None:
    """Refuse corrections that say the same in two ways, and a file that is to be two things."""
    for name, rivals in RIVALS.items():
        for rival in rivals:
            if rival not in _PLAIN and getattr(corrections, name) and getattr(corrections, rival):
                names = [each.replace("_", "-") for each in (name, rival)]
                raise SettingsError("give --{} or --{}, not both".format(*names))
    named = {name.replace("_", "-"): path for name, path in paths_in(corrections).items()}
    roles = {prompts.resolve(): "prompts"} if prompts else {}
    for name, path in named.items():
        other = roles.setdefault(path.resolve(), name)
        if other != name:
            raise SettingsError(f"{path} is given as {other} and as {name}: it holds one of them")
