"""Dice, volumes, seconds and coverage of the segmentation, beside scikit-learn and Atropos.

Run as ``python -m tests.benchmarks.segmentation`` in the repository, with EMRECON_TEST_DATA set to
a folder that holds ``brain_labels`` and ``brain_real_t1`` (FreeSurfer-coded). Atropos is measured
where ``antspyx`` is installed. ``--coverage`` draws 100 noises of a small analytic brain.
"""

# ruff: noqa: T201 - a benchmark prints
from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np

from emrecon.tissue.segment import segment
from emrecon.tissue.settings import Settings
from emrecon.volume import Grid, Volume
from phantoms.brain import brain
from phantoms.mri import Brain, Scan, acquire, from_labels, from_phantom, grouped

LEVELS = ((3.0, 20.0), (5.0, 40.0), (7.0, 20.0), (9.0, 40.0))
SEEDS = (0, 1, 2)
Labels = np.ndarray
Method = Callable[[Volume, np.ndarray], Labels]


def dice(found: Labels, truth: Labels) -> list[float]:
    """Dice of CSF, GM and WM on the labelled voxels."""
    known = truth > 0
    both = [(found == k) & (truth == k) for k in (1, 2, 3)]
    return [
        2 * b.sum() / (((found == k) & known).sum() + (truth == k).sum())
        for k, b in enumerate(both, 1)
    ]


def ours(image: Volume, mask: np.ndarray) -> Labels:
    result = segment([image], Settings(), mask=Volume(mask.astype(np.float32), image.affine))
    return np.asarray(result.volume(result.labels).voxels)


def scikit(image: Volume, mask: np.ndarray) -> Labels:
    from sklearn.mixture import GaussianMixture

    model = GaussianMixture(3, random_state=0)
    member = model.fit_predict(image.voxels[mask][:, None].astype(np.float64))
    rank = np.argsort(np.argsort(model.means_[:, 0]))
    out = np.zeros(mask.shape, np.uint8)
    out[mask] = rank[member] + 1
    return out


def atropos(image: Volume, mask: np.ndarray) -> Labels:
    import ants

    region = ants.from_numpy(mask.astype(np.float32))
    mended = ants.n4_bias_field_correction(ants.from_numpy(np.array(image.voxels)), mask=region)
    options = {"i": "KMeans[3]", "m": "[0.1,1x1x1]", "c": "[5,0]"}
    return ants.atropos(a=mended, x=region, **options)["segmentation"].numpy().astype(np.uint8)


def methods() -> dict[str, Method]:
    found: dict[str, Method] = {"emrecon": ours, "scikit-learn": scikit}
    try:
        import ants  # noqa: F401
    except ImportError:
        return found
    return found | {"N4 + Atropos": atropos}


def row(what: str, name: str, image: Volume, mask: np.ndarray, truth: Labels) -> None:
    began = time.process_time()
    found = methods()[name](image, mask)
    spent = time.process_time() - began
    scores = " / ".join(f"{d:.3f}" for d in dice(found, truth))
    print(f"| {what} | {name} | {scores} | {spent:.1f} |", flush=True)


def simulated(folder: Path) -> None:
    image = nib.load(folder / "brain_labels" / "synthseg_training_seg_01.nii.gz")
    codes = np.asarray(image.dataobj, np.float32)
    where = np.nonzero(grouped(codes))
    box = tuple(slice(max(a.min() - 6, 0), a.max() + 7) for a in where)
    truth = from_labels(Volume(codes[box].copy(), image.affine))
    print(f"{truth.mask.sum()} voxels; noise %, bias %, seed; Dice CSF / GM / WM; CPU s")
    for noise, bias in LEVELS:
        for seed in SEEDS:
            scan = Scan(noise_percent=noise, bias_percent=bias)
            made, _ = acquire(truth, scan, np.random.default_rng(seed))
            for name in methods():
                row(f"{noise:g} %, {bias:g} %, {seed}", name, made, truth.mask, truth.labels)


def real(folder: Path) -> None:
    image = nib.load(folder / "brain_real_t1" / "niivue_norm.mgz")
    codes = np.asarray(nib.load(folder / "brain_real_t1" / "aparc.a2009s+aseg.mgz").dataobj)
    codes = np.where(codes >= 11000, 1000, codes)  # parcels of the 2009 atlas are cortex
    volume = Volume(np.asarray(image.dataobj, np.float32), image.affine)
    for name in methods():
        row("real T1", name, volume, volume.voxels > 0, grouped(codes))


def small_head() -> Brain:
    grid = Grid.centred((56, 64, 60), (3.0, 3.0, 3.0))
    return from_phantom(brain(), {3: 1, 4: 2, 5: 3, 6: 2, 7: 2}, grid)


def coverage(draws: int) -> None:
    truth = small_head()
    region = Volume(truth.mask.astype(np.float32), truth.affine)
    for noise in (5.0, 3.0, 7.0):
        held, error, width = np.zeros(3), np.zeros((draws, 3)), np.zeros(3)
        for seed in range(draws):
            image, _ = acquire(truth, Scan(noise_percent=noise), np.random.default_rng(seed))
            result = segment([image], Settings(), mask=region)
            low, high = result.intervals_ml.T
            held += (low <= truth.volumes_ml) & (truth.volumes_ml <= high)
            error[seed] = result.volumes_ml / truth.volumes_ml - 1
            width += (high - low) / truth.volumes_ml / draws
        print(
            f"noise {noise:g} %: covered {held / draws}, mean error % {100 * error.mean(0)}, "
            f"spread % {100 * error.std(0)}, width of the intervals % {100 * width}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--coverage", type=int, default=0, metavar="DRAWS")
    chosen = parser.parse_args()
    np.set_printoptions(precision=2, suppress=True)
    if chosen.coverage:
        coverage(chosen.coverage)
        return
    folder = Path(os.environ["EMRECON_TEST_DATA"])
    real(folder)
    simulated(folder)


if __name__ == "__main__":
    main()
