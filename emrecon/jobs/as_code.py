"""A job as Python, or as a command line, that does it again."""

from __future__ import annotations

import shlex
from dataclasses import fields, is_dataclass
from textwrap import indent

from emrecon import forms
from emrecon.jobs.base import Job

_FUNCTIONS = {"recon": "reconstruct"}
"""Functions that do a kind of job, beside it in its module; they take its fields."""


def as_python(job: Job, updates: int | None = None) -> str:
    """Return Python that does a job.

    Parameters
    ----------
    job : Job
        What is to be done.
    updates : int, optional
        End after so many updates, where the run is not to go to its end.
    """
    kind, values = type(job), forms.changed(job)
    function = _FUNCTIONS.get(job.KIND) if updates is None else None
    used = {type(value) for value in values.values() if is_dataclass(value)}
    imports = {f"from {form.__module__} import {form.__name__}" for form in used}
    imports.add(f"from {kind.__module__} import {function or kind.__name__}")
    arguments = "".join(f"{name}={forms.to_python(value)},\n" for name, value in values.items())
    call = f"{function or kind.__name__}(\n{indent(arguments, '    ')})"
    if function:
        body = f"result = {call}"
    elif updates is None:
        imports.add("from emrecon.jobs import run")
        body = f"job = {call}\nresult, files = run(job)"
    else:
        imports |= {"from emrecon.jobs.base import nobody", "from emrecon.stop import after"}
        body = (
            f"job = {call}\nresult = job.begin().iterate(nobody, after({updates}))\nresult.write()"
        )
    return "\n".join(["from pathlib import Path", "", *sorted(imports), "", body, ""])


def as_command(job: Job) -> str:
    """Return the command line that does a job."""
    first, *_ = fields(job)  # type: ignore[arg-type] # jobs are dataclasses
    source = getattr(job, first.name)
    words = map(str, source if isinstance(source, tuple) else [source])
    flags = forms.as_flags(job, leave_out=first.name)
    return shlex.join(["emrecon", job.KIND, *words, *flags])
