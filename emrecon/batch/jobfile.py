"""The job file: TOML with a table of defaults, an entry or a glob a scan, a matrix of settings."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from emrecon import forms, io, jobs
from emrecon.batch.job import Job, batch_job, check_names, known_options, path_options
from emrecon.batch.store import safe
from emrecon.errors import DataError, EmreconError, SettingsError
from emrecon.files import read_toml, same_name
from emrecon.jobs.base import forms_of
from emrecon.tomo.listmode_settings import is_table

TABLES = {"out", "defaults", "matrix", "scan"}

WORDS = {
    "kind": str,
    "input": str,
    "name": str,
    "output": str,
    "channels": list,
    "memory_mb": float,
}
"""Keys of an entry that are no settings."""

ENDINGS = {
    "recon": ".nii.gz",
    "normalise": ".hs",
    "scatter": ".hs",
    "transmission": ".nii.gz",
    "calibrate": ".json",
    "metrics": ".json",
}
"""How the file ends that a job makes, where it makes no folder."""

Table = dict[str, Any]


def read_jobs(path: Path, out: Path | None = None) -> tuple[list[Job], Path]:
    """Read a job file; return its jobs, and the folder that results go to.

    Parameters
    ----------
    path : Path
        The job file. Paths in it are relative to its folder.
    out : Path, optional
        Folder for results, instead of the one that the file names.

    Raises
    ------
    SettingsError
        If the file is no job file, or anything in it is not as it should be; nothing was run.
    DataError
        If a glob matches nothing.
    """
    table = _read(path)
    base = path.resolve().parent
    folder = out.resolve() if out else (base / str(table.get("out", path.stem))).resolve()
    entries = table.get("scan", [])
    if not entries:
        raise SettingsError(f"{path} has no [[scan]] with an input")
    every: list[Job] = []
    for number, entry in enumerate(entries, 1):
        try:
            every += _jobs(table, entry, base, folder)
        except SettingsError as error:
            called = entry.get("name") or entry.get("input")
            which = f"number {number} ({called})" if called else f"number {number}"
            raise SettingsError(f"{path}, [[scan]] {which}: {error}") from error
    _distinct(path, every)
    return every, folder


def read_tables(path: Path, kinds: tuple[str, ...]) -> dict[str, Table]:
    """Read a file with a table of settings for each kind of job, such as ``[recon]``.

    Raises
    ------
    SettingsError
        If it is no such file.
    """
    table = read_toml(path)
    if unknown := sorted(set(table) - set(kinds)):
        raise SettingsError(f"{path}: unknown table {unknown[0]!r}; known are {', '.join(kinds)}")
    for kind in kinds:
        if not isinstance(table.get(kind, {}), dict):
            raise SettingsError(f"{path}: {kind} is a table: [{kind}]")
    read = {}
    for kind in kinds:
        read[kind] = anchored(kind, table.get(kind, {}), {}, path.resolve().parent)
        check_names(kind, read[kind])
        jobs.from_options(kind, ("it",), Path("it"), read[kind])  # refuses values of no sense
    return read


def _read(path: Path) -> Table:
    table = read_toml(path)
    if unknown := sorted(set(table) - TABLES):
        raise SettingsError(f"{path}: unknown key {unknown[0]!r}; known are {sorted(TABLES)}")
    shapes = {"out": str, "defaults": dict, "matrix": dict, "scan": list}
    for key, shape in shapes.items():
        if not isinstance(table.get(key, shape()), shape):
            written = {"out": "text in quotes", "scan": "written [[scan]]"}
            raise SettingsError(f"{path}: {key} is {written.get(key, f'written [{key}]')}")
    for kind in jobs.KINDS:
        _check_defaults(path, kind, table.get("defaults", {}).get(kind, {}))
    if any(not isinstance(entry, dict) for entry in table.get("scan", [])):
        raise SettingsError(f"{path}: scan is written [[scan]]")
    return table


def _check_defaults(path: Path, kind: str, own: object) -> None:
    """Refuse defaults of a kind that no job of that kind could take."""
    if not isinstance(own, dict):
        raise SettingsError(f"{path}: defaults.{kind} is a table: [defaults.{kind}]")
    known = {*WORDS, *known_options(kind)} - {"kind", "input"} if own else set()
    if unknown := sorted(set(own) - known):
        raise SettingsError(
            f"{path}: [defaults.{kind}] has {unknown[0]!r}, which no {kind} job has"
        )


def _jobs(table: Table, entry: Table, base: Path, folder: Path) -> Iterator[Job]:
    """Yield the jobs of an entry: every match of its glob, with every setting of the matrix."""
    both = _with_defaults(table.get("defaults", {}), entry)
    for key, kind in WORDS.items():
        value = both.get(key, kind())
        if not isinstance(value, (int, float) if kind is float else kind):
            raise SettingsError(f"{key} is {'a number' if kind is float else kind.__name__}")
    kind = both["kind"]
    if not both.get("input"):
        raise SettingsError("no input")
    matrix = {**table.get("matrix", {}), **both.pop("matrix", {})}
    for name, source in _sources(kind, both, base):
        for marks, chosen in _combinations(matrix, kind):
            yield _job(kind, name + marks, source, {**both, **chosen}, (base, folder))


def _with_defaults(defaults: Table, entry: Table) -> Table:
    """Return an entry with the defaults of all jobs, and over them those of its kind."""
    common = {name: value for name, value in defaults.items() if name not in jobs.KINDS}
    kind = entry.get("kind", common.get("kind", "recon"))
    if kind not in jobs.KINDS:
        raise SettingsError(f"kind is one of {', '.join(jobs.KINDS)}, not {kind!r}")
    for name in sorted(set(common) - set(WORDS) - known_options(kind)):
        if others := [other for other in jobs.KINDS if name in known_options(other)]:
            raise SettingsError(
                f"[defaults] has {name}, which a {kind} job does not know: write it in "
                + " and ".join(f"[defaults.{other}]" for other in others)
            )
    return {**common, **defaults.get(kind, {}), **entry, "kind": kind}


def _job(kind: str, name: str, source: str, table: Table, folders: tuple[Path, Path]) -> Job:
    base, folder = folders
    placeholders = {"name": name, "folder": _folder(source), "stem": _stem(source)}
    options = anchored(
        kind, {k: v for k, v in table.items() if k not in WORDS}, placeholders, base
    )
    more = tuple(_path(item, placeholders, base) for item in table.get("channels", ()))
    stated = str(table.get("output", _usual(kind, source)))
    output = _filled(stated, placeholders)
    out = Path(os.path.normpath(folder / output))
    if not (Path(stated).is_absolute() or out.is_relative_to(folder)):
        raise SettingsError(f"{output} lies outside of the folder for results, {folder}")
    if not (name.isprintable() and output.isprintable()):
        raise SettingsError(f"{name!r} holds characters that no name of a file has")
    memory = float(table.get("memory_mb", 0.0))
    if not 0 <= memory < float("inf"):
        raise SettingsError(f"memory_mb is above 0, not {memory:g}")
    return replace(batch_job(name, kind, (source, *more), out, options), memory_mb=memory)


def _usual(kind: str, source: str) -> str:
    """Return the output where none is named."""
    path = Path(source)
    image = kind == "convert" and (
        io.kind(path) == "image" if path.is_file() else source.endswith(io.image_suffixes())
    )
    return "{name}" + (".nii.gz" if image else ENDINGS.get(kind, ""))


def _sources(kind: str, table: Table, base: Path) -> Iterator[tuple[str, str]]:
    """Yield a name and a path for each match of the input."""
    wanted = str(table["input"])
    if kind in {"simulate", "phantom"}:
        yield str(table.get("name", wanted)), wanted
        return
    if not re.search(r"[*?\[]", wanted):
        path = base / wanted
        yield str(table.get("name", _stem(wanted))), str(path)
        return
    root, pattern = _split(base / wanted)
    matches = sorted(path for path in root.glob(pattern) if not path.name.startswith("."))
    if not matches:
        raise DataError(f"nothing matches {wanted!r} in {base}")
    for path in matches:
        own = _stem("-".join(path.relative_to(root).parts))
        yield _filled(str(table.get("name", "{stem}")), {"stem": own}), str(path)


def _split(wanted: Path) -> tuple[Path, str]:
    """Return the folder down to the first part with a wildcard, and the rest."""
    parts = wanted.parts
    first = next(n for n, part in enumerate(parts) if re.search(r"[*?\[]", part))
    return Path(*parts[:first]), str(Path(*parts[first:]))


def _combinations(matrix: Table, kind: str) -> Iterator[tuple[str, Table]]:
    """Yield what to add to the name, and the settings, for every combination of the matrix."""
    known = known_options(kind)
    for name, values in matrix.items():
        if name not in known:
            raise SettingsError(f"matrix: a {kind} job has no {name!r}")
        if not isinstance(values, list) or not values:
            raise SettingsError(f"matrix: {name} is a list of values, not {values!r}")
    for chosen in itertools.product(*matrix.values()):
        pairs = dict(zip(matrix, chosen, strict=True))
        yield "".join(f"_{name}-{_mark(value)}" for name, value in pairs.items()), pairs


def _mark(value: object) -> str:
    if isinstance(value, list):
        return "x".join(_mark(item) for item in value) or "none"
    if isinstance(value, str):
        return re.sub("[:,]", "-", Path(value).name) or "none"
    return str(value).lower()


def anchored(kind: str, options: Table, placeholders: Mapping[str, str], base: Path) -> Table:
    """Return options with placeholders filled in, and paths beside a folder.

    Parameters
    ----------
    kind : str
        Kind of job.
    options : dict
        Values by the names of settings.
    placeholders : mapping of str
        What stands for words in braces; without any, braces are left.
    base : Path
        The folder.

    Raises
    ------
    SettingsError
        If a path is no text, or holds a placeholder that is none.
    """
    paths = path_options(kind) | _tables(kind, options)
    words = forms.words_for_paths(*forms_of(jobs.kind(kind)))
    anchored = dict(options)
    for name in paths & set(options):
        value = options[name]
        known = words.get(name, ())
        several = value if isinstance(value, list) else [value]
        placed = [one if one in known else _path(one, placeholders, base) for one in several]
        anchored[name] = placed if isinstance(value, list) else placed[0]
    return anchored


def _tables(kind: str, options: Table) -> set[str]:
    """Return which of the settings of list-mode name a table, not frames or gates themselves."""
    names = ("frames", "gates", "gate_by") if kind == "recon" else ()
    return {name for name in names if is_table(str(options.get(name, "")))}


def _path(value: object, placeholders: Mapping[str, str], base: Path) -> str:
    if not isinstance(value, str):
        raise SettingsError(f"a path is text in quotes, not {value!r}")
    return str(forms.path_of(os.path.join(base, _filled(value, placeholders))))  # noqa: PTH118 - keeps ./


def _filled(text: str, placeholders: Mapping[str, str]) -> str:
    """Fill in placeholders."""
    try:
        return text.format_map(placeholders) if placeholders else text
    except (KeyError, ValueError, IndexError, AttributeError) as error:
        known = ", ".join("{" + word + "}" for word in placeholders)
        raise SettingsError(f"{text!r} holds a placeholder that is not one of {known}") from error


def _folder(source: str) -> str:
    path = Path(source)
    return str(path if path.is_dir() else path.parent)


def _stem(source: str) -> str:
    """Return a file's name without its ending."""
    return re.sub(r"(\.nii\.gz|\.l\.hdr|\.[A-Za-z]\w{0,5})$", "", Path(source).name) or source


def _distinct(path: Path, every: list[Job]) -> None:
    """Refuse jobs that would write over each other."""
    names: set[str] = set()
    files: set[str] = set()
    for job in every:
        name, writes = same_name(safe(job.name)), _files(job)
        if name in names:
            raise SettingsError(
                f"{path}: two jobs have the name {job.name}: give each its own 'name'"
            )
        if twice := sorted(files & writes.keys()):
            raise SettingsError(
                f"{path}: two jobs write {writes[twice[0]]}: give each its own 'name' or 'output'"
            )
        names.add(name)
        files |= writes.keys()
    _refuse_chains(path, every, files)


def _refuse_chains(path: Path, every: list[Job], written: set[str]) -> None:
    """Refuse jobs that read what another writes: what they find depends on which runs first."""
    for job in every:
        try:
            inputs = job.work.inputs()
        except EmreconError:  # which the plan refuses
            continue
        others = written - _files(job).keys()
        if read := [file for file in inputs.values() if same_name(str(file.absolute())) in others]:
            raise SettingsError(
                f"{path}: {job.name} reads {read[0]}, which another job writes: name another "
                "output, or give it a job file of its own, to be run afterwards"
            )


def _files(job: Job) -> dict[str, str]:
    """Return all that a job writes, by names that are the same where file systems take them so."""
    try:
        outputs = job.work.outputs()
    except EmreconError:  # an input that cannot be read, which the plan refuses
        outputs = ()
    return {same_name(str(path)): str(path) for path in (job.out, *outputs)}
