"""Dice, volume, CPU seconds, memory and coverage of the segmentation, beside others.

Run as ``python -m tests.benchmarks.segmentation`` in the repository, with EMRECON_TEST_DATA set to
a folder that holds ``brain_labels``, ``brain_real_t1`` (FreeSurfer-coded) and ``brain_real_vxm``
(labels 1 to 3). Atropos is measured
where ``antspyx`` is installed, on ``--atropos-seeds`` draws of each level, as it is slow. Each
method runs in a process of its own, from the files on; ours is the whole command, everything
written. ``--methods`` takes some of them, of which "emrecon without maps" is ours as if
``emrecon[maps]`` were not installed. ``--coverage`` draws 100 noises of a small analytic brain.
"""

# ruff: noqa: T201 - a benchmark prints
from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np

from emrecon.io import head_maps, nifti
from emrecon.tissue.segment import segment
from emrecon.tissue.settings import Settings
from emrecon.volume import Grid, Volume
from phantoms.brain import brain
from phantoms.mri import Brain, Scan, acquire, from_labels, from_phantom, grouped

LEVELS = ((3.0, 20.0), (5.0, 40.0), (7.0, 20.0), (9.0, 40.0))
SEEDS = (0, 1, 2)
UNEVEN = Scan(
    noise_percent=2.0,
    bias_percent=30.0,
    texture_percent=(20.0, 5.0, 2.0),
    deep_shift=0.8,
    myelin=0.3,
    vessels=0.004,
)
"""Tissue that is not what the model has, as in real brains."""
BLURS = (0.6, 0.9)
"""Standard deviations of partial volume, voxels, with which it is drawn."""
Labels = np.ndarray
Method = Callable[[Path, Path], Labels]


def dice(found: Labels, truth: Labels) -> list[float]:
    """Dice of CSF, GM and WM on the labelled voxels."""
    known = truth > 0
    both = [(found == k) & (truth == k) for k in (1, 2, 3)]
    return [
        2 * b.sum() / (((found == k) & known).sum() + (truth == k).sum())
        for k, b in enumerate(both, 1)
    ]


def ours(image: Path, mask: Path) -> Labels:
    from emrecon.cli import main as command

    with contextlib.redirect_stdout(None), contextlib.suppress(SystemExit):
        command(["segment", str(image), "--mask", str(mask), "-o", str(image.parent / "out")])
    made = image.parent / "out" / "image_dseg.nii.gz"
    return np.asarray(nib.load(made).dataobj)


def scikit(image: Path, mask: Path) -> Labels:
    from sklearn.mixture import GaussianMixture

    inside = nib.load(mask).get_fdata() > 0
    values = nib.load(image).get_fdata()[inside][:, None]
    model = GaussianMixture(3, random_state=0)
    member = model.fit_predict(values)
    rank = np.argsort(np.argsort(model.means_[:, 0]))
    out = np.zeros(inside.shape, np.uint8)
    out[inside] = rank[member] + 1
    return out


def atropos(image: Path, mask: Path) -> Labels:
    import ants

    region = ants.image_read(str(mask))
    mended = ants.n4_bias_field_correction(ants.image_read(str(image)), mask=region)
    options = {"i": "KMeans[3]", "m": "[0.1,1x1x1]", "c": "[5,0]"}
    return ants.atropos(a=mended, x=region, **options)["segmentation"].numpy().astype(np.uint8)


def without_maps(image: Path, mask: Path) -> Labels:
    head_maps.PACKAGE = "no_package_of_maps"
    return ours(image, mask)


ATROPOS = "N4 + Atropos"
METHODS: dict[str, Method] = {
    "emrecon": ours,
    "emrecon without maps": without_maps,
    "scikit-learn": scikit,
    ATROPOS: atropos,
}


def row(what: str, name: str, folder: Path, truth: Labels) -> None:
    """Run a method in a process of its own, and print how it fared."""
    command = [sys.executable, "-m", "tests.benchmarks.segmentation", "--run", name, str(folder)]
    child = subprocess.Popen(command)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        print(f"| {what} | {name} | failed | | | |", flush=True)
        return
    found, known = np.load(folder / "labels.npy"), truth > 0
    scores = " / ".join(f"{d:.3f}" for d in dice(found, truth))
    off = 100 * ((found == 3) & known).sum() / (truth == 3).sum() - 100
    spent, memory = used.ru_utime + used.ru_stime, int((folder / "peak").read_text()) / 1024
    print(f"| {what} | {name} | {scores} | {off:+.1f} | {spent:.1f} | {memory:.0f} |", flush=True)


def rows(
    what: str, image: Volume, mask: np.ndarray, truth: Labels, methods: Sequence[str]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        nifti.write(image, folder / "image.nii.gz")
        marks = Volume(mask.astype(np.uint8), image.affine)
        nifti.write(marks, folder / "mask.nii.gz", labels=True)
        for method in methods:
            row(what, method, folder, truth)


def folded(folder: Path, blur_voxels: float) -> Brain:
    image = nib.load(folder / "brain_labels" / "synthseg_training_seg_01.nii.gz")
    codes = np.asarray(image.dataobj, np.float32)
    where = np.nonzero(grouped(codes))
    box = tuple(slice(max(a.min() - 6, 0), a.max() + 7) for a in where)
    return from_labels(Volume(codes[box].copy(), image.affine), blur_voxels)


def uneven(folder: Path, methods: Sequence[str]) -> None:
    for blur in BLURS:
        truth = folded(folder, blur)
        image, _ = acquire(truth, UNEVEN, np.random.default_rng(6))
        rows(f"uneven, mixed over {blur:g}", image, truth.mask, truth.labels, methods)


def simulated(folder: Path, methods: Sequence[str], atropos_seeds: int) -> None:
    truth = folded(folder, 0.6)
    print(f"{truth.mask.sum()} voxels; noise %, bias %, seed; Dice CSF / GM / WM; WM %; CPU s; MB")
    for seed in SEEDS:
        some = [m for m in methods if m != ATROPOS or seed < atropos_seeds]
        for noise, bias in LEVELS:
            scan = Scan(noise_percent=noise, bias_percent=bias)
            made, _ = acquire(truth, scan, np.random.default_rng(seed))
            what = f"{noise:g} %, {bias:g} %, {seed}"
            rows(what, made, truth.mask, truth.labels, some)


def real(folder: Path, methods: Sequence[str]) -> None:
    image = nib.load(folder / "brain_real_t1" / "niivue_norm.mgz")
    codes = np.asarray(nib.load(folder / "brain_real_t1" / "aparc.a2009s+aseg.mgz").dataobj)
    volume = Volume(np.asarray(image.dataobj, np.float32), image.affine)
    rows("real T1", volume, volume.voxels > 0, grouped(codes), methods)
    files = (folder / "brain_real_vxm" / f"{name}.nii.gz" for name in ("T1", "mask", "labels"))
    image, mask, labels = (nib.load(file) for file in files)
    volume = Volume(np.asarray(image.dataobj, np.float32), image.affine)
    inside = np.asarray(mask.dataobj) > 0
    rows("second real T1", volume, inside, np.asarray(labels.dataobj), methods)


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
    parser.add_argument("--atropos-seeds", type=int, default=len(SEEDS), metavar="SEEDS")
    usual = [m for m in METHODS if m != "emrecon without maps"]
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=usual)
    parser.add_argument("--run", nargs=2, metavar=("METHOD", "FOLDER"))
    chosen = parser.parse_args()
    if chosen.run:
        there = Path(chosen.run[1])
        found = METHODS[chosen.run[0]](there / "image.nii.gz", there / "mask.nii.gz")
        np.save(there / "labels.npy", found)
        text = Path("/proc/self/status").read_text()  # of this process, not of who started it
        (there / "peak").write_text(text.partition("VmHWM:")[2].split()[0])
        return
    np.set_printoptions(precision=2, suppress=True)
    if chosen.coverage:
        coverage(chosen.coverage)
        return
    folder = Path(os.environ["EMRECON_TEST_DATA"])
    installed = [m for m in chosen.methods if m != ATROPOS or find_spec("ants")]
    some = [m for m in installed if m != ATROPOS or chosen.atropos_seeds]
    real(folder, some)
    uneven(folder, some)
    simulated(folder, installed, chosen.atropos_seeds)


if __name__ == "__main__":
    main()
