"""How often the 95 % intervals of tissue volumes hold the truth, on simulated brains.

Run as ``python -m tests.benchmarks.volumes`` in the repository. Each draw takes the next of
several small brains and draws noise, its level, and a field: the analytic head in voxels of 3 mm,
and, with EMRECON_TEST_DATA set to a folder that holds ``brain_labels``, a brain with real folds in
voxels of 2 and 3 mm and parts of it in voxels of 1 mm. The error of the model was
measured in the first three sets of brains, parts and draws, not in the held-out one.
``--repeat 8`` scans the brain with real folds eight times, with other noise, field and position,
in voxels of 1, 2 and 3 mm and at one or several levels of noise, and prints how often the interval
of a second scan holds what each other scan gave.
"""

# ruff: noqa: T201 - a benchmark prints
from __future__ import annotations

import argparse
import os
from collections import defaultdict
from itertools import permutations
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation

from emrecon.tissue.segment import segment
from emrecon.volume import Grid, Volume
from phantoms.brain import brain
from phantoms.mri import Brain, Scan, acquire, from_labels, from_phantom, grouped, of_shares

TISSUE_OF = {3: 1, 4: 2, 5: 3, 6: 2, 7: 2}
NOISES = (3.0, 5.0, 7.0, 9.0)
FIELDS = (0.0, 20.0, 40.0)
NOISES_OF_REPEATS = {"5 %": (5.0,), "3, 5 or 7 %": (3.0, 5.0, 7.0)}
SIZE = 56
SETS = ("first", "second", "third", "held-out")


def head(spacing_mm: float) -> Brain:
    i, j, k = (round(length / spacing_mm) for length in (168, 192, 180))
    grid = Grid.centred((i, j, k), (spacing_mm, spacing_mm, spacing_mm))
    return from_phantom(brain(), TISSUE_OF, grid)


def folded(folder: Path) -> Brain:
    image = nib.load(folder / "brain_labels" / "synthseg_training_seg_01.nii.gz")
    codes = np.asarray(image.dataobj, np.float32)
    where = np.nonzero(grouped(codes))
    box = tuple(slice(max(a.min() - 6, 0), a.max() + 7) for a in where)
    return from_labels(Volume(codes[box].copy(), image.affine))


def thicker(whole: Brain, steps: tuple[int, int, int]) -> Brain:
    """Return the brain in voxels that are so many times as large."""
    shares = whole.fractions * whole.mask[..., None]
    for axis, step in enumerate(steps):
        lines = np.moveaxis(shares, axis, 0)
        lines = lines[: len(lines) // step * step]
        parts = lines.reshape(-1, step, *lines.shape[1:]).mean(axis=1)
        shares = np.moveaxis(parts, 0, axis)
    affine = whole.affine.copy()
    affine[:3, :3] *= steps
    return of_shares(np.ascontiguousarray(shares, np.float32), affine)


def part(whole: Brain, shift: tuple[int, int, int]) -> Brain:
    """Return a cube of the brain, so many voxels from its middle."""
    first = [n // 2 - SIZE // 2 + s for n, s in zip(whole.mask.shape, shift, strict=True)]
    box = tuple(slice(a, a + SIZE) for a in first)
    shares = whole.fractions[box] * whole.mask[box][..., None]
    return of_shares(np.ascontiguousarray(shares), whole.affine)


def brains(folder: Path | None, chosen: str) -> dict[str, Brain]:
    size, thick, shifts = {
        "first": (3.0, [(2, 2, 2), (3, 3, 3)], [(30, 0, 0), (0, 30, 20), (-30, -30, 10)]),
        "second": (2.5, [(1, 2, 3)], [(-30, 0, 0), (0, -35, -15), (25, 30, 10)]),
        "third": (2.8, [(3, 1, 2)], [(-25, 35, 0), (25, -30, 15), (10, 15, -25)]),
        "held-out": (2.2, [(2, 3, 1)], [(-15, -40, 20), (30, 20, -10), (-20, 5, -25)]),
    }[chosen]
    found = {f"head {size:g} mm": head(size)}
    if folder is None:
        return found
    whole = folded(folder)
    found |= {"folds {} x {} x {} mm".format(*steps): thicker(whole, steps) for steps in thick}
    return found | {f"part at {s}": part(whole, s) for s in shifts}


def draw(truth: Brain, noise: float, field: float, seed: tuple[int, int]) -> np.ndarray:
    """Return error, standard error and whether the interval holds it, each relative."""
    scan = Scan(noise_percent=noise, bias_percent=field)
    image, _ = acquire(truth, scan, np.random.default_rng(seed))
    found = segment([image], mask=Volume(truth.mask.astype(np.float32), truth.affine))
    low, high = found.intervals_ml.T
    held = (low <= truth.volumes_ml) & (truth.volumes_ml <= high)
    error = found.volumes_ml / truth.volumes_ml - 1
    return np.stack([error, (high - low) / 2 / truth.volumes_ml, held])


def moved(whole: Brain, rng: np.random.Generator) -> Brain:
    """Return the brain turned by up to 5 degrees and moved by up to a voxel."""
    turn = Rotation.from_euler("xyz", rng.uniform(-5, 5, 3), degrees=True).as_matrix()
    turn = np.diag(1 / whole.spacing_mm) @ turn @ np.diag(whole.spacing_mm)
    middle = (np.array(whole.mask.shape) - 1) / 2
    off = middle - turn @ middle + rng.uniform(-1, 1, 3)
    shares = np.moveaxis(whole.fractions * whole.mask[..., None], 3, 0)
    drawn = [affine_transform(one, turn, off, order=1) for one in shares]
    return of_shares(np.stack(drawn, axis=-1), whole.affine)


def repeated(whole: Brain, scans: int) -> None:
    """Print how often a repeat interval holds another scan's volumes, and how wide it is.

    The brain is placed in its voxels of 1 mm, and scanned in these and larger ones, at one level
    of noise and at levels that differ.
    """
    drawn = defaultdict(list)
    for scan in range(scans):
        place = moved(whole, np.random.default_rng([scan, 9]))
        for edge in (1, 2, 3):
            body = thicker(place, (edge, edge, edge))
            for name, noises in NOISES_OF_REPEATS.items():
                rng = np.random.default_rng([scan, edge, len(noises)])
                drawn[name, edge].append(second(whole, body, noises, rng))
    print(
        "| noise, voxels | CSF / GM / WM held | all | spread % | half width % |\n"
        "|---|---|---|---|---|"
    )
    every = defaultdict(list)
    for (name, edge), rows in drawn.items():
        volumes, reach = np.stack(rows, axis=1)
        pairs = permutations(range(scans), 2)
        held = np.mean([abs(volumes[a] - volumes[b]) <= reach[a] for a, b in pairs], axis=0)
        every[name].append(held)
        mean = volumes.mean(axis=0)
        parts = [
            " / ".join(f"{v:.2f}" for v in held),
            f"{held.mean():.3f}",
            " / ".join(f"{100 * v:.2f}" for v in volumes.std(axis=0, ddof=1) / mean),
            " / ".join(f"{100 * v:.2f}" for v in reach.mean(axis=0) / mean),
        ]
        print(f"| {name}, {edge} mm | {' | '.join(parts)} |")
    for name, held in every.items():
        each = " / ".join(f"{v:.2f}" for v in np.mean(held, axis=0))
        print(f"| {name}, all | {each} | {np.mean(held):.3f} | | |")


def second(
    whole: Brain, body: Brain, noises: tuple[float, ...], rng: np.random.Generator
) -> np.ndarray:
    """Return volumes, and how far their repeat intervals reach, of a scan, as of the whole."""
    how = Scan(noise_percent=rng.choice(noises), bias_percent=float(rng.choice(FIELDS)))
    image, _ = acquire(body, how, rng)
    found = segment([image], mask=Volume(body.mask.astype(np.float32), body.affine))
    reach = np.ptp(found.repeat_intervals_ml, axis=1) / 2
    return np.stack([found.volumes_ml, reach]) * whole.volumes_ml / body.volumes_ml  # in the box


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--set", choices=SETS, default=SETS[0])
    parser.add_argument("--repeat", type=int, default=0, metavar="SCANS")
    chosen = parser.parse_args()
    data = os.environ.get("EMRECON_TEST_DATA")
    if chosen.repeat:
        repeated(folded(Path(os.environ["EMRECON_TEST_DATA"])), chosen.repeat)
        return
    heads, other = brains(Path(data) if data else None, chosen.set), SETS.index(chosen.set)
    rows: dict[str, list[np.ndarray]] = defaultdict(list)
    print(
        "| draws | CSF / GM / WM held | all | error, rms % | half width % |\n|---|---|---|---|---|"
    )
    for number in range(chosen.draws):
        rng = np.random.default_rng([number, other])
        name = list(heads)[number % len(heads)]
        noise, field = float(rng.choice(NOISES)), float(rng.choice(FIELDS))
        found = draw(heads[name], noise, field, (number, 7 + other))
        for what in (name, f"noise {noise:g} %", f"field {field:g} %", "all"):
            rows[what].append(found)
    for what, drawn in rows.items():
        error, width, held = np.stack(drawn, axis=1)
        parts = [
            " / ".join(f"{v:.2f}" for v in held.mean(axis=0)),
            f"{held.mean():.3f}",
            " / ".join(f"{100 * v:.1f}" for v in np.sqrt((error**2).mean(axis=0))),
            " / ".join(f"{100 * v:.1f}" for v in width.mean(axis=0)),
        ]
        print(f"| {what} ({len(drawn)}) | {' | '.join(parts)} |", flush=True)


if __name__ == "__main__":
    main()
