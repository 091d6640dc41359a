"""Whole jobs, from files to files: what the command line, the panel and batches run.

A job is a value, see `emrecon.jobs.base`: `run` does it. Kinds are loaded when they are needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from emrecon import forms
from emrecon.errors import SettingsError
from emrecon.jobs.base import (
    Estimate,
    Execution,
    Job,
    Meter,
    Meters,
    Result,
    Run,
    Summary,
    key_of,
    no_meters,
    run,
)

__all__ = [
    "KINDS",
    "Estimate",
    "Execution",
    "Job",
    "Meter",
    "Meters",
    "Result",
    "Run",
    "Summary",
    "from_options",
    "from_plain",
    "key_of",
    "kind",
    "no_meters",
    "options_of",
    "plain",
    "run",
]

KINDS = {
    "recon": "emrecon.jobs.recon:ReconstructionJob",
    "segment": "emrecon.jobs.segment:SegmentationJob",
    "simulate": "emrecon.jobs.simulate:SimulationJob",
    "phantom": "emrecon.jobs.simulate:PhantomJob",
    "convert": "emrecon.jobs.convert:ConversionJob",
    "normalise": "emrecon.jobs.normalise:NormalisationJob",
    "calibrate": "emrecon.jobs.calibrate:CalibrationJob",
    "scatter": "emrecon.jobs.scatter:ScatterJob",
    "transmission": "emrecon.jobs.transmission:TransmissionJob",
    "metrics": "emrecon.jobs.measure:MeasurementJob",
}
"""Kinds of jobs by their names in job files, which are those of the commands."""


def kind(name: str) -> type[Job]:
    """Return a kind of job by its name."""
    module, _, cls = KINDS[name].partition(":")
    return cast("type[Job]", getattr(import_module(module), cls))


def from_options(name: str, source: Sequence[str], out: Path, options: Mapping[str, Any]) -> Job:
    """Return the job of a kind whose settings are given by name, as in a job file.

    Parameters
    ----------
    name : str
        Kind of job.
    source : sequence of str
        What it works on: a scan, one or more images, a phantom's name.
    out : Path
        What it writes.
    options : mapping
        Values of the fields of the job and of its forms.

    Raises
    ------
    SettingsError
        If an option is none of this kind, or a value makes no sense.
    """
    cls = kind(name)
    if unknown := sorted(set(options) - options_of(name)):
        known = ", ".join(sorted(options_of(name)))
        raise SettingsError(f"a {name} job has no {unknown[0]!r}; it has {known}")
    first, *_ = fields(cls)  # type: ignore[arg-type] # jobs are dataclasses
    hints = forms.types_of(cls)
    several = hints[first.name] == tuple[Path, ...]
    if len(source) > 1 and not several:
        raise SettingsError(f"a {name} job has no channels")
    values: dict[str, Any] = {first.name: list(source) if several else source[0], "out": str(out)}
    arguments = {n: forms.fitting(v, hints[n], n) for n, v in values.items()}
    for field_name, hint in hints.items():
        if is_dataclass(hint):
            arguments[field_name] = forms.filled(cast("type[Any]", hint), options)
        elif field_name in options:
            arguments[field_name] = forms.fitting(options[field_name], hint, field_name)
    return cls(**arguments)


def options_of(name: str) -> set[str]:
    """Return the names of all options of a kind of job: fields of its forms, and its own."""
    cls = kind(name)
    first, *_ = fields(cls)  # type: ignore[arg-type] # jobs are dataclasses
    names: set[str] = set()
    for field_name, hint in forms.types_of(cls).items():
        if is_dataclass(hint):
            names |= forms.names(cast("type[Any]", hint))
        elif field_name not in {first.name, "out", "KIND"}:
            names.add(field_name)
    return names


def plain(job: Job) -> dict[str, Any]:
    """Return a job as JSON holds it; `from_plain` reads it."""
    return {"kind": job.KIND, **forms.plain(job)}


def from_plain(values: Mapping[str, Any]) -> Job:
    """Return the job that `plain` wrote."""
    cls = kind(str(values["kind"]))
    arguments: dict[str, Any] = {}
    for name, hint in forms.types_of(cls).items():
        if name not in values:
            continue
        value = values[name]
        arguments[name] = (
            forms.filled(cast("type[Any]", hint), value)
            if is_dataclass(hint)
            else forms.fitting(value, hint, name)
        )
    return cls(**arguments)
