"""How many passes penalised reconstruction needs to the thresholds of the PETRIC challenge.

Run as ``python -m tests.benchmarks.penalised [nema|brain]``: minutes. The scan is simulated on an
HR+, the reference is L-BFGS-B, and an image passes from the pass on from which the root mean
square error of the body and of the background is at most 1 % of the background's mean, and the
error of every region's mean at most 0.5 %. Passes count all gradients, a curvature as 1.5.
"""

# ruff: noqa: T201 - a benchmark prints

from __future__ import annotations

import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import numpy as np

from emrecon import io, jobs
from emrecon.em import em, last
from emrecon.io.scan import read_scan
from emrecon.io.sidecar import label_names
from emrecon.jobs.simulate import SimulationJob
from emrecon.tomo.algorithms.lbfgs import Lbfgs
from emrecon.tomo.algorithms.mlem import Mlem
from emrecon.tomo.algorithms.objective import body_of
from emrecon.tomo.algorithms.subset_ascent import Svrg
from emrecon.tomo.operators.resampling import resampled
from emrecon.tomo.penalised import Penalised
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.prepare import prepare
from emrecon.tomo.settings import Settings
from emrecon.volume import Volume
from phantoms.acquisition import Acquisition

SUBSETS = 24
BACKGROUND = {"background", "white matter"}
SWEEPS = 9
REFERENCE = 300


def main() -> None:
    phantom = sys.argv[1] if len(sys.argv) > 1 else "nema"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "scan"
        jobs.run(SimulationJob(phantom, folder, Acquisition(scanner="ECAT HR+", counts=2e7)))
        scan = read_scan(folder)[0]
        grid = Settings(subsets=SUBSETS, voxel_mm=(5.15, 5.15, 2.425), size=(96, 96, 63))
        ready = prepare(scan, grid)
        regions = regions_of(folder / "labels.nii.gz", ready.grid)
    field = ready.start > 0
    warm = next(islice(em(map(Mlem, ready.likelihoods), ready.start), SUBSETS - 1, None)).params
    chosen = Penalised(Penalty(prior="rdp"))
    objective = chosen.objective(ready.likelihoods, warm, field, ready.grid)
    best = last(islice(Lbfgs().iterates(objective, warm), REFERENCE))
    print(f"reference: objective {best.objective:.2f}, residual {best.residual:.2g} %")
    background = next(mask for name, mask in regions.items() if name in BACKGROUND)
    masks = body_of(best.params, field), background
    mean = float(best.params[background].mean(dtype=float))
    began = time.process_time()
    print("passes  CPU s   body   background  worst region  objective")
    for iterate in islice(Svrg().iterates(objective, warm, SUBSETS), SWEEPS * SUBSETS + 1):
        number = iterate.number // SUBSETS
        if iterate.number % SUBSETS or number == 1:
            continue
        passes = 1.5 + number - 1 + 1 + (number - 1) // 3  # curvature, sweeps, gradients kept
        used = time.process_time() - began
        off = iterate.params - best.params
        body, behind = (np.sqrt(np.mean(off[mask] ** 2, dtype=float)) / mean for mask in masks)
        worst = max(abs(off[mask].mean(dtype=float)) / mean for mask in regions.values())
        data, penalty = objective.value(iterate.params)
        held = "pass" if max(body, behind, 2 * worst) <= 0.01 else ""
        print(f"{passes:6.1f} {used:6.1f} {body:7.4f} {behind:9.4f} {worst:11.4f}   "
              f"{data - penalty - best.objective:10.2f} {held}")  # fmt: skip


def regions_of(path: Path, grid) -> dict[str, np.ndarray]:
    """Where most of a voxel is of each region."""
    labels = io.read_image(path)
    shares = {
        name: resampled(Volume((labels.voxels == label).astype(np.float32), labels.affine), grid)
        for label, name in label_names(path).items()
    }
    return {name: share.voxels > 0.5 for name, share in shares.items() if share.voxels.max() > 0.5}


if __name__ == "__main__":
    main()
