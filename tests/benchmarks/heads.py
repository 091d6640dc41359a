"""Masks of simulated whole heads, cut with the installed maps of a brain, beside the truth.

Run as ``python -m tests.benchmarks.heads`` in the repository, with ``emrecon[maps]`` installed and
EMRECON_TEST_DATA set to a folder that holds ``brain_labels``: a whole head's labels, on which
fat, muscle and dura are drawn.  ``--without-maps`` adds the mask of intensity and shape, ``--out``
keeps images and masks to look at.  The costs of the cut were set on these heads.
"""

# ruff: noqa: T201 - a benchmark prints
from __future__ import annotations

import argparse
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from emrecon.io import nifti
from emrecon.io.head_maps import installed_maps
from emrecon.tissue.atlas import stack
from emrecon.tissue.contrasts import WEIGHTINGS
from emrecon.tissue.find_brain import windowed
from emrecon.tissue.head_cut import strip_with_maps
from emrecon.tissue.mask import strip
from emrecon.volume import Volume
from phantoms.mri import grouped, smooth_field

T1_MS, T2_MS, T2_STAR_MS, PROTONS = range(4)
TISSUES = {
    "CSF": (2569, 329, 58, 1.0), "GM": (833, 83, 69, 0.86), "WM": (500, 70, 61, 0.77),
    "fat": (350, 70, 58, 1.0), "muscle": (900, 47, 30, 1.0), "marrow": (380, 70, 50, 0.8),
    "dura": (900, 60, 40, 0.8), "blood": (1400, 150, 60, 0.9), "skin": (800, 50, 30, 0.8),
    "mucosa": (1000, 80, 50, 0.9), "bone": (600, 20, 2.2, 0.15), "eye": (3000, 400, 80, 1.0),
}  # fmt: skip
"""T1, T2 and T2* in ms and density of protons; of the brain as in BrainWeb, of others about so."""

HOUNSFIELD = {
    "CSF": 8, "GM": 38, "WM": 27, "fat": -90, "muscle": 55, "marrow": 150, "dura": 60, "blood": 45,
    "skin": 30, "mucosa": 30, "bone": 900, "eye": 15,
}  # fmt: skip
"""Of a CT at 120 kV, about so; air has -1000."""

CODES = {
    502: "blood", 506: "eye", 508: "muscle", 509: "mucosa", 511: "skin", 512: "WM", 514: "blood",
    515: "bone", 516: "marrow", 530: "WM",
}  # fmt: skip
"""What the labels outside the brain are drawn as."""

EXTRACEREBRAL, SOFT, EYE, SKIN = 500, 507, 506, 511
SPOILED_MS, ECHO_MS, FLIP_DEG = 18.0, 10.0, 30.0
REPEAT_MS, EARLY_ECHO_MS, LATE_ECHO_MS = 3300.0, 35.0, 120.0
INVERTED_MS, INVERTED_REPEAT_MS = 1850.0, 9000.0
CT_NOISE_HU = 5.0


@dataclass(frozen=True)
class Head:
    """How a head is scanned."""

    contrast: str = "T1"
    factor: int = 1
    noise_percent: float = 3.0
    bias_percent: float = 30.0
    seed: int = 1


HEADS = (
    Head(), Head(factor=2), Head(factor=2, seed=5, noise_percent=7.0, bias_percent=40.0),
    Head(factor=2, seed=7, contrast="T2"), Head(factor=2, seed=8, contrast="PD"),
    Head(factor=2, seed=9, contrast="FLAIR"), Head(factor=2, seed=10, contrast="CT"),
)  # fmt: skip

Floats32 = NDArray[np.float32]


def signal(tissue: str, contrast: str) -> float:
    """Return the signal of a spoiled gradient echo (T1), of spin echoes, or a CT's from 0."""
    if contrast == "CT":
        return HOUNSFIELD[tissue] + 1000.0
    t1, t2, t2_star, protons = TISSUES[tissue]
    if contrast == "T1":
        left, flip = math.exp(-SPOILED_MS / t1), math.radians(FLIP_DEG)
        spoiled = math.sin(flip) * (1 - left) / (1 - math.cos(flip) * left)
        return protons * spoiled * math.exp(-ECHO_MS / t2_star)
    if contrast == "FLAIR":
        back = 1 - 2 * math.exp(-INVERTED_MS / t1) + math.exp(-INVERTED_REPEAT_MS / t1)
        return protons * abs(back) * math.exp(-LATE_ECHO_MS / t2)
    echo = LATE_ECHO_MS if contrast == "T2" else EARLY_ECHO_MS
    back = 1 - 2 * math.exp(-(REPEAT_MS - echo / 2) / t1) + math.exp(-REPEAT_MS / t1)
    return protons * back * math.exp(-echo / t2)


def label_map() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the labels of a whole head, cut to it, and their affine."""
    path = Path(os.environ["EMRECON_TEST_DATA"], "brain_labels", "synthseg_training_seg_01.nii.gz")
    image = nifti.read(path)
    codes, affine = image.voxels.astype(np.int64), image.affine.copy()
    shown = np.nonzero(ndimage.binary_opening(codes > 0))
    box = tuple(slice(max(int(w.min()) - 4, 0), int(w.max()) + 5) for w in shown)
    affine[:3, 3] += affine[:3, :3] @ [one.start for one in box]
    return codes[box], affine


def drawn(
    codes: NDArray[np.int64], contrast: str, rng: np.random.Generator
) -> tuple[Floats32, NDArray[np.uint8]]:
    """Return signals of a head, and its CSF, GM and WM as 1, 2, 3; 0 outside the brain."""
    edt = ndimage.distance_transform_edt

    def waves(size: float) -> Floats32:
        found = ndimage.gaussian_filter(rng.standard_normal(codes.shape).astype(np.float32), size)
        return np.asarray(found / found.std(), np.float32)

    parts, _ = ndimage.label((codes > 0) & (codes < EXTRACEREBRAL))
    inside = parts == np.bincount(parts.ravel())[1:].argmax() + 1
    tissue = grouped(codes)
    tissue[inside & (tissue == 0)] = 2
    tissue[~inside] = 0
    image = np.zeros(codes.shape, np.float32)
    for number, name in enumerate(("CSF", "GM", "WM"), 1):
        image[tissue == number] = signal(name, contrast)
    soft, under_skin, from_eye = codes == SOFT, edt(codes != SKIN), edt(codes != EYE)
    fatty = waves(2.0) + 1.2 * (under_skin < 5) - 0.9 * (under_skin > 9) + 2.0 * (from_eye < 13)
    image[soft] = signal("muscle", contrast)
    image[soft & (fatty > 0.4)] = signal("fat", contrast)
    for code, name in CODES.items():
        image[codes == code] = signal(name, contrast)
    near = (codes > EXTRACEREBRAL) & (edt(~inside) <= 1.01)
    image[near & (waves(6.0) > -0.6)] = signal("dura", contrast)
    uneven = 0.002 if contrast == "CT" else 0.03
    return image * (1 + uneven * waves(4.0)), tissue


def blocks(values: Floats32, factor: int) -> Floats32:
    """Return means over blocks of so many voxels along the first three axes."""
    shape = [n // factor for n in values.shape[:3]]
    cut = values[tuple(slice(0, n * factor) for n in shape)]
    split = [m for n in shape for m in (n, factor)]
    return np.asarray(cut.reshape(*split, *values.shape[3:]).mean((1, 3, 5)), np.float32)


def scanned(how: Head) -> tuple[Volume, NDArray[np.uint8]]:
    """Return the image of a head, and its CSF, GM and WM as 1, 2, 3 where most is brain."""
    rng, (codes, affine) = np.random.default_rng(how.seed), label_map()
    image, tissue = drawn(codes, how.contrast, rng)
    blurred = ndimage.gaussian_filter(image, 0.6)
    each = [ndimage.gaussian_filter((tissue == k).astype(np.float32), 0.6) for k in (1, 2, 3)]
    blurred, shares = blocks(blurred, how.factor), blocks(np.stack(each, -1), how.factor)
    affine[:3, 3] += affine[:3, :3] @ np.full(3, (how.factor - 1) / 2)
    affine[:3, :3] *= how.factor
    inside = shares.sum(axis=-1) > 0.5
    truth = np.where(inside, shares.argmax(-1) + 1, 0)
    if how.contrast == "CT":
        noisy = blurred - 1000 + CT_NOISE_HU * rng.standard_normal(blurred.shape)
        return Volume(windowed(noisy.astype(np.float32)), affine), truth
    field = np.clip(smooth_field(inside, how.bias_percent / 100, rng), 0.3, 2)
    brightest = max(signal(one, how.contrast) for one in ("CSF", "GM", "WM"))
    clean = blurred * field / brightest
    noise = how.noise_percent / 100 * rng.standard_normal((2, *clean.shape))
    noisy = 1000 * np.hypot(clean + noise[0], noise[1])
    return Volume(noisy.astype(np.float32), affine), truth


def row(found: NDArray[np.bool_], tissue: NDArray[np.uint8]) -> str:
    """Return Dice, what is lost of CSF and GM, and what is too much."""
    inside = tissue > 0
    dice = 2 * (found & inside).sum() / (found.sum() + inside.sum())
    lost = [(~found & (tissue == k)).sum() / (tissue == k).sum() for k in (1, 2)]
    more = (found & ~inside).sum() / inside.sum()
    return f"{dice:.3f} | {lost[0]:.1%} | {lost[1]:.1%} | {more:.1%}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without-maps", action="store_true", help="also cut without maps (T1)")
    parser.add_argument("--out", type=Path, help="folder for images and masks")
    parser.add_argument("--only", type=int, choices=range(len(HEADS)), help="number of one head")
    said = parser.parse_args()
    volumes = installed_maps()
    if not volumes:
        raise SystemExit("no maps of a brain are installed: emrecon[maps]")
    maps, affine = stack(volumes, 3, ())
    print("| head | Dice of the mask | CSF lost | GM lost | too much | CPU s |")
    for number, how in enumerate(HEADS):
        if said.only not in (None, number):
            continue
        image, tissue = scanned(how)
        begun = time.process_time()
        found = strip_with_maps(image, maps, affine, WEIGHTINGS[how.contrast].walls)
        spent = time.process_time() - begun
        print(f"| {how} | {row(found, tissue)} | {spent:.1f} |", flush=True)
        if said.without_maps and how.contrast == "T1":
            print(f"| without maps | {row(strip(image.voxels, image.spacing_mm), tissue)} | - |")
        if said.out:
            said.out.mkdir(parents=True, exist_ok=True)
            nifti.write(image, said.out / f"head{number}.nii.gz")
            mask = Volume(found.astype(np.uint8), image.affine)
            nifti.write(mask, said.out / f"head{number}_mask.nii.gz", labels=True)


if __name__ == "__main__":
    main()
