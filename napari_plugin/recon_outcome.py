"""A reconstruction that ended: what makes its image again, and when its frames were."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import cast

from emrecon.errors import SettingsError
from emrecon.jobs.as_code import as_command, as_python
from emrecon.jobs.recon import ReconstructionJob
from emrecon.jobs.recon_result import ReconResult

OUT = Path("recon.nii.gz")
"""Image that is written by what is copied."""


def result_as_python(result: ReconResult) -> str:
    """Return Python that makes the image again, stopped where it was.

    Raises
    ------
    SettingsError
        If the run was stopped and is of frames or gates.
    """
    updates = result.images[-1].reached.number if result.stopped else None
    return as_python(_job(result), updates)


def result_as_command(result: ReconResult) -> str:
    """Return the command line that makes the image again.

    Raises
    ------
    SettingsError
        If the run was stopped and is of frames or gates, or within a pass.
    """
    job = _job(result)
    if not result.stopped:
        return as_command(job)
    updates = result.images[-1].reached.number
    passes, beyond = divmod(updates, result.subsets)
    if beyond or not passes:
        raise SettingsError(
            f"the run was stopped at update {updates}, within a pass over {result.subsets} "
            "subsets: the command line makes whole passes. Copy as Python makes this image again"
        )
    settings = replace(job.settings, iterations=passes, tolerance=0.0)
    return as_command(replace(job, settings=settings))


def times_s(result: ReconResult) -> tuple[float, float]:
    """Return start and step of frames that follow one another evenly; else 0 and 1."""
    frames = result.frames
    steps = {round(frame.duration_s, 6) for frame in frames}
    steps |= {round(b.start_s - a.start_s, 6) for a, b in pairwise(frames)}
    return (frames[0].start_s, steps.pop()) if len(steps) == 1 else (0.0, 1.0)


def _job(result: ReconResult) -> ReconstructionJob:
    if result.stopped and result.several:
        raise SettingsError(
            "the run was stopped: of frames or gates only a run to its end can be copied"
        )
    return cast("ReconstructionJob", replace(result.job, out=OUT))
