"""What became of a job: its record, and the key by which a later run knows it again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from emrecon import forms, jobs
from emrecon.batch.job import Job
from emrecon.files import sha256

Status = Literal["done", "failed", "running", "waiting"]

Seen = tuple[str, int, int, str]
"""File, bytes, time of change in ns and SHA-256 of an input."""


@dataclass(frozen=True)
class Record:
    """One job's line in the report."""

    name: str
    """Of the job."""

    kind: str
    """What was done."""

    status: Status
    """How far it came; `running` in a report is a job that was interrupted."""

    key: str = ""
    """Digest of inputs, settings and version; equal keys give equal results."""

    seconds: float = 0.0
    """Wall time."""

    cpu_seconds: float = 0.0
    """Processor time of all threads."""

    peak_mb: float = 0.0
    """Most memory that the worker held while it did this job."""

    counts: float | None = None
    """Prompts of a scan, voxels of a segmentation."""

    curve: tuple[float, ...] = ()
    """Log-likelihood of every iterate; of a segmentation the free energy of every pass."""

    subsets: int = 1
    """Only every so manieth value of the curve can be compared."""

    resumed_at: int | None = None
    """Update at which an interrupted run was taken up."""

    outputs: tuple[str, ...] = ()
    """Files, the most important first."""

    sizes: tuple[int, ...] = ()
    """Bytes of the outputs."""

    picture: str = ""
    """The output to show in the report."""

    error: str = ""
    """Why it failed, in a line."""

    error_kind: str = ""
    """Name of the error's class."""

    inputs: Mapping[str, Seen] = field(default_factory=dict)
    """Every input, by what it is."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings that decide the result."""

    summary: tuple[str, ...] = ()
    """What the job found, in lines: volumes with their intervals, totals of counts."""

    warnings: tuple[str, ...] = ()
    """What the job warned of."""

    version: str = ""
    """Of emrecon."""

    host: str = ""
    """Where it ran."""

    started: str = ""
    """When, UTC."""

    def plain(self) -> dict[str, Any]:
        """Return the record as JSON holds it."""
        return forms.plain(self)

    def line(self) -> str:
        """Return the record as one line of JSON."""
        return json.dumps(self.plain(), separators=(",", ":"))

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Record:
        """Return the record that `plain` holds; names of a later version are left out."""
        known = {item.name for item in fields(cls)}
        lists = ("curve", "outputs", "sizes", "summary", "warnings")
        tuples = {name: tuple(plain.get(name, ())) for name in lists}
        inputs = {what: tuple(file) for what, file in plain.get("inputs", {}).items()}
        named = {name: value for name, value in plain.items() if name in known}
        return cls(**(named | tuples | {"inputs": inputs}))

    def whole(self) -> bool:
        """Return whether it is done and all that it wrote is still there, in its size."""
        if self.status != "done":
            return False
        paths = [Path(name) for name in self.outputs]
        return all(
            path.is_file() and path.stat().st_size == size
            for path, size in zip(paths, self.sizes, strict=True)
        )


def look_at(inputs: Mapping[str, Path], *known: Mapping[str, Seen]) -> dict[str, Seen]:
    """Return file, bytes, time of change and SHA-256 of every input.

    A file of the bytes and time that are `known` from earlier looks, of which the last counts,
    is taken to be the same, and not read again.
    """
    before = {entry[0]: entry for earlier in known for entry in earlier.values()}
    return {what: _seen(path, before.get(str(path))) for what, path in inputs.items()}


def key_of(job: Job, inputs: Mapping[str, Seen]) -> str:
    """Return the digest of all that decides a job's result, and of where the result goes."""
    own = jobs.key_of(job.work, {what: entry[3] for what, entry in inputs.items()})
    text = json.dumps([own, job.out, dict(job.publish)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _seen(path: Path, before: Seen | None) -> Seen:
    about = path.stat()
    same = before and tuple(before[1:3]) == (about.st_size, about.st_mtime_ns)
    digest = before[3] if before and same else sha256(path)
    return str(path), about.st_size, about.st_mtime_ns, digest
