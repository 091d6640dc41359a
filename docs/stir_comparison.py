"""Print the table of stir-comparison.md: ``python -m docs.stir_comparison FOLDER``."""

import sys
from pathlib import Path

import numpy as np

from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.operators.siddon import Siddon
from emrecon.tomo.subsets import subset_order
from emrecon.volume import Array
from tests.stir_case import SUBSETS, Case


def main(folder: str) -> None:
    case = Case(Path(folder))
    interleaved = [list(range(n, 96, SUBSETS)) for n in subset_order(SUBSETS)]

    def one_ray(bins: Bins) -> Siddon:
        return Siddon(case.grid, bins, rays=1)

    print("| run, at 48 updates | voxels | filtered | end planes | other regions |")
    print("|---|---|---|---|---|")
    wanted = case.stir("osem_48.npy")
    row(case, "`emrecon recon`", case.product(), wanted)
    row(case, "`emrecon recon --ring-wide`", case.product(ring_wide=True), wanted)
    row(case, "`emrecon recon --projector siddon`", case.product(projector="siddon"), wanted)
    row(case, "Siddon, STIR's start", case.osem(case.siddon)[48], wanted)
    found = case.osem(case.siddon, subsets=interleaved)[48]
    row(case, "the same, emrecon's subsets", found, wanted)
    row(case, "the same, one ray across a bin (`--rays 1`)", case.osem(one_ray)[48], wanted)
    row(case, "Joseph", case.osem(case.joseph)[48], wanted)
    row(case, "Joseph, ring's width", case.osem(case.joseph_ring_wide)[48], wanted)

    counts = case.noiseless()
    wanted = case.osem(case.siddon, counts)[48]
    row(case, "no noise: Joseph", case.osem(case.joseph, counts)[48], wanted)
    found = case.osem(case.joseph_ring_wide, counts)[48]
    row(case, "no noise: Joseph, ring's width", found, wanted)


def row(case: Case, label: str, found: Array, wanted: Array) -> None:
    """Print one line of the table, in per cent."""
    ratios = {name: 100 * r for name, r in case.ratios(found, wanted).items()}
    ends = ratios.pop("end planes")
    voxels = 100 * case.nrms(found, wanted)
    smooth = 100 * case.nrms(case.filtered(found), case.filtered(wanted))
    others = np.abs(list(ratios.values())).max()
    print(f"| {label} | {voxels:.2g} | {smooth:.2g} | {ends:+.1f} | {others:.1f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
