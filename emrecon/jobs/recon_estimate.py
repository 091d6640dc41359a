"""What a reconstruction is likely to need, from the headers of its files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from emrecon import io
from emrecon.io.frames import read_frames
from emrecon.io.gates import Gating, gates_of
from emrecon.io.manifest import resolved
from emrecon.io.scan import must_be_scan
from emrecon.jobs.base import BASE_MB, MB, START_S, Estimate
from emrecon.jobs.input_files import image_size
from emrecon.jobs.recon_choice import ReconChoice
from emrecon.tomo.geometry.events import CHUNK
from emrecon.tomo.geometry.image_grid import grid_of
from emrecon.tomo.sensitivity import IN_MEMORY_BYTES
from emrecon.tomo.settings import per_axis

STEP_S = 5.5e-10
"""Processor time for a line to pass a voxel, there and back, on a core of 2024."""

LINE_BYTES = 200.0
"""Memory for the line of an event, of those that are in memory at a time."""

PAIR_BYTES = 1100.0
"""Memory for a pair of detectors, likewise, while the sensitivity is summed."""

EVENT_BYTES = 5.0
"""For a byte of a PETSIRD file: it is mapped, and so is what is known of its events."""

ENTRY_BYTES = 32.0
"""For an entry of a kernel's matrix, while that is transposed."""

EVENT_S = 6e-7
"""Processor time for the line of an event, there and back."""

SCATTER_S, SCATTER_BYTES = 4.0, 20.0
"""Processor time for a round of simulated scatter, and memory for an event that it is told of."""

MLAA_PASSES = 8.0
"""Estimated attenuation: for each pass of its rounds, of which a pass of OSEM takes so little."""

ARRAYS = {
    "normalisation", "norm", "attenuation", "randoms", "scatter", "correction", "additive", "mu",
    "mu1",
    "ct",
}  # fmt: skip
"""Corrections that take an array of the size of the prompts."""


def estimate(job: ReconChoice) -> Estimate:
    """Return what a reconstruction is likely to need.

    Raises
    ------
    EmreconError
        If a header cannot be read, or the settings do not go with it.
    """
    inputs = job.inputs()
    path, settings, images = inputs["prompts"], job.settings, _images(job, inputs)
    must_be_scan(path)
    if not io.has_bins(path):
        return _events(path, job, images)
    bins = io.read_bins(*resolved(job.scan, job.corrections))
    if bins is None:  # a gamma camera: its data are small, its projector costs as much as they are
        held = sum(path.stat().st_size for path in inputs.values()) / MB
        return Estimate(BASE_MB + 100 + 12 * held, 0.0)
    arrays = 1.0 + len(ARRAYS & set(inputs)) + len({"mu", "mu1", "ct"} & set(inputs))
    timed, simulated = 1.0, job.corrections.simulate_scatter
    if simulated:  # beside it, attenuation and what is not of all views
        arrays, timed = arrays + 1.0, timed + 2.0
    if job.corrections.mlaa:  # the counts by subsets, and what a step on one of them takes
        timed += 2.0 + 6.0 / settings.subsets
    if io.kind(path) == "events":
        arrays += 2.5
    lines, grid = float(np.prod(bins.shape)), grid_of(bins, settings)
    voxels = float(np.prod(grid.shape))
    subsets = min(settings.subsets, bins.shape[0])
    kept = voxels * 4 * subsets  # sensitivities: beyond a size they are in files, one is held
    kept = kept if kept <= IN_MEMORY_BYTES else voxels * 4
    every = float(np.prod(bins.data_shape))
    held = 4 * (lines * (arrays - 1) + every * timed) + voxels * 4 * (8 + 2 * (images - 1)) + kept
    held += _kernel(job, voxels, float(np.prod(grid.spacing_mm)))
    joint = job.corrections.mlaa_passes if job.corrections.mlaa else 0
    passes = settings.iterations + 0.7 + MLAA_PASSES * joint
    cost = passes * lines * max(grid.shape[:2]) * STEP_S
    reading = START_S + lines * 4 * arrays / MB / 200
    if simulated:
        reading += SCATTER_S * job.corrections.scatter_rounds
    return Estimate(BASE_MB + held / MB, images * (cost + reading))


def _events(path: Path, job: ReconChoice, images: int) -> Estimate:
    """Return what the events of a PETSIRD file need, one by one."""
    from emrecon.io.petsird.file import PetsirdFile  # noqa: PLC0415 - not every scan
    from emrecon.tomo.geometry.pairs import Pairs  # noqa: PLC0415 - likewise

    pairs = Pairs(PetsirdFile(path).detectors.points_mm, 0, lambda: iter(()))
    settings, (low, high) = job.settings, pairs.plane_z_mm
    length = high - low + pairs.crystal_mm
    voxel = per_axis(settings.voxel_mm or (pairs.crystal_mm / 2,))
    shape = settings.size or np.divide((2 * pairs.radius_mm, 2 * pairs.radius_mm, length), voxel)
    voxels, size = float(np.prod(shape)), float(path.stat().st_size)
    all_pairs, events = len(pairs.points_mm) ** 2 / 2, size / 5
    held = voxels * 4 * (8 + 2 * (images - 1)) + size * EVENT_BYTES
    held += _kernel(job, voxels, float(np.prod(voxel)))
    held += min(all_pairs, CHUNK) * PAIR_BYTES + min(events, CHUNK) * LINE_BYTES
    lines, start = all_pairs + settings.iterations * events, START_S
    if job.corrections.simulate_scatter:
        held += events * SCATTER_BYTES
        start += SCATTER_S * job.corrections.scatter_rounds + events * EVENT_S
    return Estimate(BASE_MB + held / MB, images * start + lines * EVENT_S)


def _kernel(job: ReconChoice, voxels: float, voxel_mm3: float) -> float:
    """Return the bytes of a kernel and its transpose, while these are made."""
    of = job.kernel
    if not of.kernel:
        return 0.0
    sizes = [number * mm3 for number, mm3 in map(image_size, of.kernel)]
    rows = min(voxels, sum(sizes) / voxel_mm3)  # elsewhere a voxel is its own
    return rows * min(of.kernel_neighbours, of.kernel_window**3) * ENTRY_BYTES


def _images(job: ReconChoice, inputs: dict[str, Path]) -> int:
    """Return the number of frames or gates."""
    if job.listmode.frames:
        return len(read_frames(job.listmode.frames))
    if job.listmode.gates:
        gating = Gating.of_text(job.listmode.gates, job.listmode.gate_by)
        return gating.number or len(gates_of(inputs["prompts"], gating)[0])
    return 1
