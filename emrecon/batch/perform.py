"""Do one job in this process, from files to files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from emrecon import jobs
from emrecon.batch.job import Job
from emrecon.files import make_folder
from emrecon.jobs.base import Unattended
from emrecon.jobs.bundle import remove_parts


@dataclass(frozen=True)
class Made:
    """What a job made."""

    written: tuple[Path, ...]
    """Files, the most important first."""

    summary: jobs.Summary
    """What is to be said of it."""


def perform(job: Job, meters: jobs.Meters, *, resume: bool) -> Made:
    """Do a job; see `emrecon.jobs` for what each kind reads and writes.

    Parameters
    ----------
    job : Job
        What to do.
    meters : callable
        Makes the progress meters.
    resume : bool
        Whether a checkpoint that lies beside the output is of this very job. Otherwise it is
        removed.

    Raises
    ------
    EmreconError
        If anything is wrong with input, settings or output.
    """
    out = Path(job.out)
    make_folder(out.parent)
    remove_parts(out)
    checkpoint: Path | None = getattr(job.work, "checkpoint", None)
    if checkpoint and not resume:
        checkpoint.unlink(missing_ok=True)
    saved = checkpoint is not None and checkpoint.exists()
    result, written = jobs.run(job.work, meters, Unattended(resume=saved))
    if job.publish:
        from emrecon.batch.bids import publish  # noqa: PLC0415 - few jobs need it

        written = publish(written, job)
    return Made(written, result.summary())
