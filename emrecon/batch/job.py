"""A job of a batch: what to do, with the name that the batch knows it by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emrecon import forms, jobs
from emrecon.errors import SettingsError
from emrecon.jobs import base

PINNED = "threads"
"""Setting that is a matter of the run, not of the job."""

ALONE = {"workers", "chunks"}
"""Flags of a reconstruction that takes several workers for itself."""


@dataclass(frozen=True)
class Job:
    """One job; everything in it survives JSON and pickle."""

    name: str
    """Name in reports; also of its log and record."""

    work: jobs.Job
    """What to do."""

    memory_mb: float = 0.0
    """Most memory that it may use; 0 leaves that to the run."""

    publish: Mapping[str, Any] = field(default_factory=dict)
    """Where finished files go in a BIDS dataset; empty elsewhere. See `emrecon.batch.bids`."""

    @property
    def kind(self) -> str:
        """What kind of work it is."""
        return self.work.KIND

    @property
    def out(self) -> str:
        """File or folder that is written."""
        return str(self.work.out)

    def plain(self) -> dict[str, Any]:
        """Return the job as JSON holds it."""
        return forms.plain(self) | {"work": jobs.plain(self.work)}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Job:
        """Return the job that `plain` holds."""
        return cls(**(dict(plain) | {"work": jobs.from_plain(plain["work"])}))


def batch_job(
    name: str,
    kind: str,
    source: Sequence[str],
    out: Path,
    options: Mapping[str, Any],
) -> Job:
    """Return a job whose settings are given by name.

    Raises
    ------
    SettingsError
        If a name is no option of this kind, or a value makes no sense.
    """
    check_names(kind, options)
    return Job(name, jobs.from_options(kind, source, out, options))


def known_options(kind: str) -> set[str]:
    """Return the names of all options of a kind of job."""
    return jobs.options_of(kind) - {PINNED}


def check_names(kind: str, options: Mapping[str, Any]) -> None:
    """Refuse names that no option of this kind has.

    Raises
    ------
    SettingsError
        If there are any.
    """
    known = known_options(kind)
    for name in options:
        if name == PINNED:
            raise SettingsError("threads are the same for all jobs: give --threads instead")
        if name in ALONE:
            raise SettingsError(
                f"{name} is for one reconstruction over several machines (emrecon recon "
                f"--{name}); a batch gives each worker a scan of its own: leave it out, and give "
                "large scans more --threads"
            )
        if name not in known:
            raise SettingsError(f"a {kind} job has no {name!r}; it has {', '.join(sorted(known))}")


def path_options(kind: str) -> frozenset[str]:
    """Return the names of the options of a kind that hold paths."""
    return forms.path_names(*base.forms_of(jobs.kind(kind))) & known_options(kind)
