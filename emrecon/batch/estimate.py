"""How much memory and time a job will take, from the headers of its files.

The figures behind it were measured (docs/batch.md): memory is meant to be enough, time to be right
within a factor of three on a core of 2024.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emrecon import io
from emrecon.batch.fill import filled
from emrecon.batch.job import CAMERA, Conversion, Job
from emrecon.io.frames import read_frames
from emrecon.io.gates import Gating, gates_of
from emrecon.tissue.settings import Settings as TissueSettings
from emrecon.tomo.geometry.events import CHUNK
from emrecon.tomo.geometry.image_grid import grid_of
from emrecon.tomo.inputs import Corrections
from emrecon.tomo.listmode_settings import ListmodeSettings
from emrecon.tomo.sensitivity import IN_MEMORY_BYTES
from emrecon.tomo.settings import Settings
from phantoms.acquisition import scan_mb

MB = 1 << 20

BASE_MB = 230.0
"""A worker with the libraries and kernels loaded, and no data."""

STEP_S = 5.5e-10
"""Processor time for a line to pass a voxel, there and back."""

TISSUE_MB = 340.0
"""A worker with what segmentation needs loaded, and no data."""

BRAIN_MM3 = 1.7e6
"""What of a head is brain, at most."""

BRAIN_BYTES, VOXEL_BYTES = 173.0, 8.0
"""Memory for a voxel of brain, and for any voxel of each channel."""

BRAIN_S = 2.2e-6
"""Processor time for a voxel of brain."""

LINE_BYTES = 200.0
"""Memory for the line of an event, of those that are in memory at a time."""

PAIR_BYTES = 1100.0
"""Memory for a pair of detectors, likewise, while the sensitivity is summed."""

EVENT_BYTES = 5.0
"""For a byte of a PETSIRD file: it is mapped, and so is what is known of its events."""

EVENT_S = 6e-7
"""Processor time for the line of an event, there and back."""

START_S = 1.5
"""Reading, writing and pictures."""


@dataclass(frozen=True)
class Estimate:
    """What a job is likely to need."""

    memory_mb: float
    """Most memory held at a time."""

    cpu_s: float
    """Processor time of all threads together; 0 where it cannot be told."""


def estimate(job: Job, inputs: dict[str, Path]) -> Estimate:
    """Return what a job is likely to need.

    Parameters
    ----------
    job : Job
        What to do.
    inputs : dict of Path
        The files that it reads, see `Job.inputs`.

    Raises
    ------
    EmreconError
        If a header cannot be read, or the settings do not go with it.
    """
    if job.kind == "recon":
        return _recon(job, inputs)
    if job.kind == "segment":
        return _segmentation(job)
    if job.kind == "simulate":
        return _simulation(job)
    return _conversion(job, inputs)


def _recon(job: Job, inputs: dict[str, Path]) -> Estimate:
    settings, parts = filled(Settings, job.options), filled(Corrections, job.options)
    path, images = inputs["prompts"], _images(job, inputs)
    if io.kind(path) == "events" and not io.has_bins(path):
        return _events(path, settings, images)
    bins = io.read_bins(path, parts)
    if bins is None:  # a gamma camera: its data are small, its projector costs as much as they are
        held = sum(path.stat().st_size for path in inputs.values()) / MB
        return Estimate(BASE_MB + 100 + 12 * held, 0.0)
    known = {
        "normalisation",
        "attenuation",
        "randoms",
        "scatter",
        "correction",
        "additive",
        "mu",
        "ct",
    }
    arrays = 1.0 + len(known & set(inputs)) + len({"mu", "ct"} & set(inputs))
    if io.kind(path) == "events":
        arrays += 2.5
    lines = float(np.prod(bins.shape))
    grid = grid_of(bins, settings)
    voxels = float(np.prod(grid.shape))
    subsets = min(settings.subsets, bins.shape[0])
    kept = voxels * 4 * subsets  # sensitivities: beyond a size they are in files, one is held
    kept = kept if kept <= IN_MEMORY_BYTES else voxels * 4
    held = lines * 4 * arrays + voxels * 4 * (8 + 2 * (images - 1)) + kept
    passes = settings.iterations + 0.7
    cost = passes * lines * max(grid.shape[:2]) * STEP_S
    reading = START_S + lines * 4 * arrays / MB / 200
    return Estimate(BASE_MB + held / MB, images * (cost + reading))


def _events(path: Path, settings: Settings, images: int) -> Estimate:
    """Return what the events of a PETSIRD file need, one by one."""
    from emrecon.io.petsird.file import PetsirdFile  # noqa: PLC0415 - not every scan
    from emrecon.tomo.geometry.pairs import Pairs  # noqa: PLC0415 - likewise

    pairs = Pairs(PetsirdFile(path).detectors.points_mm, 0, lambda: iter(()))
    low, high = pairs.plane_z_mm
    length = high - low + pairs.crystal_mm
    voxel = settings.voxel_mm or (pairs.crystal_mm / 2,) * 3
    shape = settings.size or np.divide((2 * pairs.radius_mm, 2 * pairs.radius_mm, length), voxel)
    voxels, size = float(np.prod(shape)), float(path.stat().st_size)
    all_pairs, events = len(pairs.points_mm) ** 2 / 2, size / 5
    held = voxels * 4 * (8 + 2 * (images - 1)) + size * EVENT_BYTES
    held += min(all_pairs, CHUNK) * PAIR_BYTES + min(events, CHUNK) * LINE_BYTES
    lines = all_pairs + settings.iterations * events
    return Estimate(BASE_MB + held / MB, images * START_S + lines * EVENT_S)


def _images(job: Job, inputs: dict[str, Path]) -> int:
    """Return the number of frames or gates."""
    how = filled(ListmodeSettings, job.options)
    if how.frames:
        return len(read_frames(how.frames))
    if how.gates:
        gating = Gating.of_text(how.gates, how.gate_by)
        return gating.number or len(gates_of(inputs["prompts"], gating)[0])
    return 1


def _segmentation(job: Job) -> Estimate:
    voxels, mm3 = _size(Path(job.source[0]))
    brain, channels = min(voxels, BRAIN_MM3 / max(mm3, 1e-6)), len(job.source)
    held = brain * BRAIN_BYTES + voxels * channels * VOXEL_BYTES
    more = (0.7 + 0.3 * channels) * (0.75 + filled(TissueSettings, job.options).starts / 24)
    return Estimate(TISSUE_MB + held / MB, START_S + (START_S + brain * BRAIN_S) * more)


def _simulation(job: Job) -> Estimate:
    if job.options.get(CAMERA):
        return Estimate(BASE_MB + 400, 0.0)
    layout = job.forms()[0].layout()
    return Estimate(BASE_MB + scan_mb(layout), START_S + float(np.prod(layout.shape)) * 2.2e-7)


def _conversion(job: Job, inputs: dict[str, Path]) -> Estimate:
    source = inputs["source"]
    kind = io.kind(source)
    if kind == "image":
        voxels, _ = _size(source)
        return Estimate(BASE_MB + voxels * 12 / MB, START_S)
    if kind != "events":
        size = sum(path.stat().st_size for path in inputs.values()) / MB
        return Estimate(BASE_MB + 50 + 8 * size, START_S)
    from emrecon.io.petlink.header import read_header  # noqa: PLC0415 - not every conversion

    how, header = filled(Conversion, job.options), read_header(source)
    lines = float(np.prod(header.bins(how.span, how.max_ring_difference).shape))
    return Estimate(BASE_MB + lines * 4 * 5 / MB, START_S + header.data.stat().st_size / 4 * 1e-7)


def _size(path: Path) -> tuple[float, float]:
    """Return the number of voxels of an image, and mm3 of each."""
    if size := io.image_size(path):
        return size
    beside = [file for file in path.parent.glob(f"{path.stem}.*") if file.is_file()]
    return float(max(file.stat().st_size for file in beside)), 1.0  # of a byte each at least
