"""Do one job in this process, from files to files."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emrecon.batch.fill import filled
from emrecon.batch.job import CAMERA, Conversion, Job
from emrecon.files import make_folder

if TYPE_CHECKING:
    from emrecon.jobs import Meters

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Made:
    """What a job made."""

    written: tuple[Path, ...]
    """Files, the most important first."""

    counts: float | None = None
    """Prompts, or voxels in the mask."""

    curve: tuple[float, ...] = ()
    """Log-likelihoods, or free energies."""

    subsets: int = 1
    """Period of the curve."""

    resumed_at: int | None = None
    """Update at which it was taken up."""


def perform(job: Job, meters: Meters, *, resume: bool) -> Made:
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
    if not resume:
        _checkpoint(out).unlink(missing_ok=True)
    made = _PERFORMERS[job.kind](job, out, meters)
    if job.publish:
        from emrecon.batch.bids import publish  # noqa: PLC0415 - few jobs need it

        return replace(made, written=publish(made.written, job))
    return made


def remove_parts(out: Path) -> None:
    """Remove what a killed run of the same job had begun to write."""
    stem = out.name.split(".")[0]
    pattern = re.compile(rf"(\.part-[a-z0-9_]{{8}}-)+{re.escape(stem)}\..+")
    beside = [path for path in out.parent.glob(".part-*") if pattern.fullmatch(path.name)]
    inside = out.glob(".part-*") if out.is_dir() else []
    for path in (*beside, *inside):
        log.info("removing %s, left by a run that was killed", path)
        path.unlink(missing_ok=True)


def _recon(job: Job, out: Path, meters: Meters) -> Made:
    from emrecon.io.scan import wants_listmode  # noqa: PLC0415 - brings readers
    from emrecon.jobs import reconstruct  # noqa: PLC0415 - brings numba

    settings, parts, camera, how = job.forms()
    if wants_listmode(Path(job.source[0]), how):
        return _listmode(job, out, meters)
    if "checkpoint_every" not in job.options:
        settings = replace(settings, checkpoint_every=settings.subsets)
    made = reconstruct(
        Path(job.source[0]), out, settings, parts,
        camera=camera, resume=_checkpoint(out).exists(), meters=meters,
    )  # fmt: skip
    rows = made.history.rows
    return Made(
        made.written,
        made.problem.facts["prompts"],
        tuple(row.log_likelihood for row in rows),
        len(made.problem.models),
        _resumed(made.written[1]),
    )


def _listmode(job: Job, out: Path, meters: Meters) -> Made:
    from emrecon.jobs_listmode import likelihoods, reconstruct_listmode  # noqa: PLC0415 - brings numba

    settings, parts, _, how = job.forms()
    made = reconstruct_listmode(
        Path(job.source[0]), out, settings, parts, how, meters=meters
    )  # fmt: skip
    counts = sum(facts["prompts"] for facts in made.facts)
    return Made(made.written, counts, likelihoods(made.histories, made.subsets), made.subsets)


def _checkpoint(out: Path) -> Path:
    from emrecon.io.sidecar import beside  # noqa: PLC0415 - brings readers

    return beside(out, ".checkpoint.npz")


def _resumed(sidecar: Path) -> int | None:
    at = json.loads(sidecar.read_text(encoding="utf-8"))["Facts"].get("resumed_at_update")
    return None if at is None else int(at)


def _segment(job: Job, out: Path, meters: Meters) -> Made:
    from emrecon.jobs_tissue import segment_files  # noqa: PLC0415 - brings numba

    settings, inputs = job.forms()
    images = [Path(path) for path in job.source]
    made = segment_files(images, out, settings, inputs, meters=meters)
    trace = made.result.stages[-1].trace
    return Made(made.written, float(len(made.result.fractions)), tuple(map(float, trace)))


def _simulate(job: Job, out: Path, meters: Meters) -> Made:
    from emrecon.jobs_scan import write_camera_simulation, write_simulation  # noqa: PLC0415
    from phantoms.acquisition import phantom_named  # noqa: PLC0415

    phantom, (acquisition, *camera) = phantom_named(job.source[0]), job.forms()
    if job.options.get(CAMERA):
        seen = camera[0].scan(phantom, acquisition)
        return Made(write_camera_simulation(out, seen), float(seen.counts[0].sum(dtype=float)))
    made = acquisition.scan(phantom)
    return Made(write_simulation(out, made), float(made.scan.prompts.sum(dtype=float)))


def _convert(job: Job, out: Path, meters: Meters) -> Made:
    from emrecon import jobs_scan  # noqa: PLC0415 - brings readers

    source = Path(job.source[0])
    how, camera = filled(Conversion, job.options), job.forms()[1]
    if jobs_scan.is_spect(source):
        return Made(jobs_scan.convert_spect(source, out, camera))
    if not jobs_scan.is_listmode(source):
        return Made((jobs_scan.convert_image(source, out),))
    window = (how.start_s, how.stop_s)
    files, facts = jobs_scan.convert_listmode(
        source, out, how.span, how.max_ring_difference, window
    )
    return Made(files, float(facts["prompts"]))


_PERFORMERS: dict[str, Callable[[Job, Path, Any], Made]] = {
    "recon": _recon,
    "segment": _segment,
    "simulate": _simulate,
    "convert": _convert,
}
