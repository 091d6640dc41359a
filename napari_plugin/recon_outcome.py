"""A reconstruction that ended: any of its iterates, what makes it again, when frames were."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np

from emrecon.em import Iterate
from emrecon.errors import SettingsError
from emrecon.jobs.as_code import as_command, as_python
from emrecon.jobs.recon import ReconstructionJob
from emrecon.jobs.recon_regions import means_alone
from emrecon.jobs.recon_result import ReconResult
from emrecon.volume import Volume
from emrecon.watchers import ConvergenceLog
from napari_plugin.history import Image

OUT = Path("recon.nii.gz")
"""Image that is written by what is copied."""


def at(result: ReconResult, number: int, picture: Image) -> ReconResult:
    """Return a result of one image as it was at an iterate, had it ended there.

    Parameters
    ----------
    result : ReconResult
        Where the run ended.
    number : int
        Of the iterate.
    picture : array
        The iterate as it was shown (S, A, R), after the post-filter.
    """
    end = result.images[-1]
    if number == end.reached.number:
        return result
    voxels = np.ascontiguousarray(picture.transpose(2, 1, 0))
    rows = [row for row in end.history.rows if row.sub_iteration <= number]
    passes = max(1, -(-number // result.subsets))
    volume = Volume(voxels, end.volume.affine, end.volume.unit)
    regions = result.job.regions.regions
    image = replace(
        end,
        volume=volume,
        facts=end.facts | {"updates": number, "expected_over_prompts": None},
        history=ConvergenceLog(result.subsets, rows),
        settings=replace(end.settings, iterations=passes),
        reached=Iterate(number, voxels, rows[-1].log_likelihood),
        whole=False,
        regions=means_alone(volume, regions) if regions else None,
    )
    return replace(result, images=(image,), stopped=True)


def result_as_python(result: ReconResult) -> str:
    """Return Python that makes the image again, stopped where it was.

    Raises
    ------
    SettingsError
        If the run was stopped and is of frames or gates.
    """
    _refuse_start(result)
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
    _refuse_start(result)
    if beyond or not passes:
        raise SettingsError(
            f"this image is of update {updates}, within a pass over {result.subsets} subsets: "
            "the command line makes whole passes. Copy as Python makes this image again"
        )
    settings = replace(job.settings, iterations=passes, tolerance=0.0)
    penalty = replace(job.penalty, until_converged=False)
    return as_command(replace(job, settings=settings, penalty=penalty))


def _refuse_start(result: ReconResult) -> None:
    if not result.images[-1].reached.number:
        raise SettingsError("this is the start image, which no run ends with: go to an iteration")


def times_s(result: ReconResult) -> tuple[float, float] | None:
    """Return start and step of frames that follow one another evenly; else 0 and 1.

    None of images of several strengths of a prior.
    """
    if result.job.penalty.betas:
        return None
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
