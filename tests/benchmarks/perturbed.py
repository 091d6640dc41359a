"""Two real brains made harder: contrast, gamma, noise, field, voxels, position, rim and window.

Run as ``python -m tests.benchmarks.perturbed`` in the repository, with EMRECON_TEST_DATA set to a
folder that holds ``brain_real_t1`` (FreeSurfer-coded) and ``brain_real_vxm`` (labels 1 to 3), and
``emrecon[maps]`` installed (``--without-maps``: as if they were not). ``--only`` takes the changes
whose name holds a text.
"""

# ruff: noqa: T201 - a benchmark prints
from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from emrecon.io.head_maps import installed_maps
from emrecon.tissue.segment import segment
from emrecon.tissue.settings import Settings
from emrecon.volume import Volume
from phantoms.mri import grouped, smooth_field
from tests.benchmarks.segmentation import dice

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scan:
    """A brain and the labels of a person."""

    image: NDArray[np.float32]
    mask: NDArray[np.bool_]
    labels: NDArray[np.uint8]
    affine: Floats

    def shown(self, image: NDArray[np.floating]) -> Scan:
        """Return the scan with other intensities, above 0 in the mask."""
        least = 1e-4 * float(self.image.max())
        return replace(self, image=np.where(self.mask, np.maximum(image, least), 0).astype("f4"))

    def level(self, tissue: int, depth: int) -> float:
        """Return the median intensity of a tissue some voxels under its edge."""
        inner = ndimage.binary_erosion(self.labels == tissue, iterations=depth)
        return float(np.median(self.image[inner]))


def scans(folder: Path) -> dict[str, Scan]:
    first, second = folder / "brain_real_t1", folder / "brain_real_vxm"
    norm, codes = (nib.load(first / f) for f in ("niivue_norm.mgz", "aparc.a2009s+aseg.mgz"))
    image = np.asarray(norm.dataobj, np.float32)
    found = {"real T1": Scan(image, image > 0, grouped(np.asarray(codes.dataobj)), norm.affine)}
    files = [nib.load(second / f"{name}.nii.gz") for name in ("T1", "mask", "labels")]
    image, mask, labels = (np.asarray(file.dataobj, np.float32) for file in files)
    found["second"] = Scan(image, mask > 0, labels.astype(np.uint8), files[0].affine)
    return {name: cut(scan, 6) for name, scan in found.items()}


def cut(scan: Scan, margin: int) -> Scan:
    """Return the box of the mask, with a margin."""
    box = tuple(slice(max(a.min() - margin, 0), a.max() + margin) for a in np.nonzero(scan.mask))
    affine = scan.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [one.start for one in box]
    return Scan(scan.image[box].copy(), scan.mask[box].copy(), scan.labels[box].copy(), affine)


def placed(scan: Scan, turn: Floats, first: Floats, shape: tuple[int, ...], order: int) -> Scan:
    """Return the scan on other voxels, which lie at ``turn @ index + first`` of its own."""

    def at(values: NDArray[np.generic], order: int = 1) -> NDArray[np.float32]:
        drawn = np.asarray(values, np.float32)
        return ndimage.affine_transform(drawn, turn, first, output_shape=shape, order=order)

    mask = at(scan.mask) > 0.5
    labels = np.stack([at(scan.labels == k) for k in range(4)]).argmax(axis=0)
    affine = scan.affine.copy()
    affine[:3, :3] = scan.affine[:3, :3] @ turn
    affine[:3, 3] += scan.affine[:3, :3] @ first
    moved = Scan(at(scan.image, order), mask, labels.astype(np.uint8), affine)
    return moved.shown(moved.image)


def elsewhere(scan: Scan) -> Iterator[tuple[str, Scan]]:
    """Yield the scan on other voxels."""
    blurred = replace(scan, image=ndimage.gaussian_filter(scan.image, 0.5))
    shape = tuple(int(n / 1.5) for n in scan.mask.shape)
    yield "voxels 1.5 times as large", placed(blurred, 1.5 * np.eye(3), np.full(3, 0.25), shape, 1)
    turn = Rotation.from_euler("zx", [20, 8], degrees=True).as_matrix()
    size = int(1.15 * max(scan.mask.shape))
    first = (np.array(scan.mask.shape) - 1) / 2 - turn @ np.full(3, (size - 1) / 2)
    yield "turned by 20 degrees", cut(placed(scan, turn, first, (size,) * 3, 3), 4)


def changed(scan: Scan, rng: np.random.Generator) -> Iterator[tuple[str, Scan]]:
    """Yield the changes, from none to several at once."""
    grey, white = scan.level(2, 1), scan.level(3, 2)
    share = np.maximum(ndimage.gaussian_filter(scan.mask.astype(np.float32), 0.7), 0.1)
    smooth = ndimage.gaussian_filter(scan.image, 0.7) / share
    whiteness = np.clip((smooth - grey) / (white - grey), 0, 1)
    of_label = ndimage.gaussian_filter((scan.labels == 3).astype(np.float32), 0.6)

    def noisy(image: NDArray[np.floating], percent: float) -> Scan:
        real, other = percent / 100 * white * rng.standard_normal((2, *image.shape))
        return scan.shown(np.hypot(image + real, other))

    def paler(by: float, where: NDArray[np.floating]) -> NDArray[np.floating]:
        return scan.image - (1 - by) * (white - grey) * where

    yield "none", scan
    for by in (0.5, 0.7, 1.3):
        yield f"contrast x {by}", scan.shown(paler(by, whiteness))
    for by in (0.5, 0.7):
        yield f"labelled white matter x {by}", scan.shown(paler(by, of_label))
    for power in (0.7, 1.4):
        yield f"gamma {power}", scan.shown(white * (np.maximum(scan.image, 0) / white) ** power)
    for percent in (4, 6):
        yield f"noise {percent} %", noisy(scan.image, percent)
    for percent in (30, 40):
        field = smooth_field(scan.mask, percent / 100, rng)
        yield f"field {percent} %", scan.shown(scan.image * field)
    yield from elsewhere(scan)
    rim = ndimage.binary_dilation(scan.mask, iterations=2) & ~scan.mask
    rim &= ndimage.gaussian_filter(rng.standard_normal(rim.shape), 10) > 0
    uneven = ndimage.gaussian_filter(rng.standard_normal(rim.shape), 1)
    bright = np.where(rim, white * (1 + 0.25 * uneven / uneven.std()), scan.image)
    yield "bright rim", replace(scan, mask=scan.mask | rim).shown(bright)
    window = np.quantile(scan.image[scan.mask], [0.02, 0.9])
    yield "brightest tenth cut off", scan.shown(np.clip(scan.image, *window))
    field = smooth_field(scan.mask, 0.3, rng)
    yield "contrast x 0.7, noise 4 %, field 30 %", noisy(paler(0.7, whiteness) * field, 4)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without-maps", action="store_true")
    parser.add_argument("--only", default="", metavar="TEXT")
    chosen = parser.parse_args()
    logging.disable(logging.WARNING)
    settings = Settings(contrast="T1", deep_grey="none" if chosen.without_maps else "auto")
    print("| scan | change | CSF / GM / WM | volume of CSF / GM / WM, % | field |")
    for number, (name, whole) in enumerate(scans(Path(os.environ["EMRECON_TEST_DATA"])).items()):
        for change, scan in changed(whole, np.random.default_rng(number)):
            if chosen.only not in change:
                continue
            mask = Volume(scan.mask.astype(np.float32), scan.affine)
            image = Volume(scan.image, scan.affine)
            found = segment([image], settings, mask=mask, head_maps=installed_maps)
            labels = np.zeros(scan.labels.shape, np.uint8)
            labels[found.index] = found.labels
            known = scan.labels > 0
            many = [np.bincount(one[known], minlength=4)[1:] for one in (labels, scan.labels)]
            scores = " / ".join(f"{d:.3f}" for d in dice(labels, scan.labels))
            errors = " / ".join(f"{100 * e:+.1f}" for e in many[0] / many[1] - 1)
            kept = "-" if found.evidence is None else f"{found.evidence.size[0]:.3f}"
            print(f"| {name} | {change} | {scores} | {errors} | {kept} |", flush=True)


if __name__ == "__main__":
    main()
