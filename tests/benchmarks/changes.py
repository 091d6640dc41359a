"""Ways in which real scans differ, made of brains whose labels are known.

Intensities (contrast, gamma, noise, fields of several shapes, vessels), voxels and position, what
a mask leaves in or cuts off, and what age does: wide ventricles, lesions, pale white matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from emrecon.io.head_maps import installed_maps, map_files
from phantoms.mri import acquire, grouped, smooth_field
from tests.benchmarks.segmentation import BLURS, UNEVEN, folded

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

    @property
    def spacing_mm(self) -> Floats:
        """Distance of neighbouring voxels."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0))

    def level(self, tissue: int, depth: int) -> float:
        """Return the median intensity of a tissue some voxels under its edge."""
        inner = ndimage.binary_erosion(self.labels == tissue, iterations=depth)
        return float(np.median(self.image[inner]))


def scans(folder: Path) -> Iterator[tuple[str, Scan]]:
    """Yield two real brains, the ICBM average with its own maps as labels, and uneven ones."""
    first, second = folder / "brain_real_t1", folder / "brain_real_vxm"
    norm, codes = (nib.load(first / f) for f in ("niivue_norm.mgz", "aparc.a2009s+aseg.mgz"))
    image = np.asarray(norm.dataobj, np.float32)
    labels = grouped(np.asarray(codes.dataobj))
    yield "real T1", cut(Scan(image, image > 0, labels, norm.affine), 6)
    files = [nib.load(second / f"{name}.nii.gz") for name in ("T1", "mask", "labels")]
    image, mask, labels = (np.asarray(file.dataobj, np.float32) for file in files)
    yield "second", cut(Scan(image, mask > 0, labels.astype(np.uint8), files[0].affine), 6)
    average, *_ = (nib.load(file) for file in map_files().values())
    image, maps = np.asarray(average.dataobj, np.float32), installed_maps()
    shares = np.stack([one.voxels for one in maps])
    labels = np.where(image > 0, shares.argmax(axis=0) + 1, 0).astype(np.uint8)
    yield "average", cut(Scan(image, image > 0, labels, average.affine), 6)
    for blur in BLURS:
        truth = folded(folder, blur)
        image, _ = acquire(truth, UNEVEN, np.random.default_rng(6))
        yield f"uneven {blur:g}", Scan(image.voxels, truth.mask, truth.labels, truth.affine)


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
    thick = replace(scan, image=ndimage.gaussian_filter(scan.image, (0.3, 0.3, 0.6)))
    steps, shape = np.array([0.9, 0.9, 1.5]), np.array(scan.mask.shape)
    size = tuple(int(n) for n in shape / steps)
    yield "voxels of 0.9, 0.9 and 1.5", placed(thick, np.diag(steps), (steps - 1) / 2, size, 1)
    turn = Rotation.from_euler("zx", [20, 8], degrees=True).as_matrix()
    size = int(1.15 * max(scan.mask.shape))
    first = (np.array(scan.mask.shape) - 1) / 2 - turn @ np.full(3, (size - 1) / 2)
    yield "turned by 20 degrees", cut(placed(scan, turn, first, (size,) * 3, 3), 4)


def gained(scan: Scan, rng: np.random.Generator) -> Iterator[tuple[str, Scan]]:
    """Yield the scan with fields of several shapes."""
    for percent in (30, 60):
        field = smooth_field(scan.mask, percent / 100, rng)
        yield f"field of {percent} %", scan.shown(scan.image * field)
    i, _, k = np.meshgrid(*(np.linspace(-1, 1, n) for n in scan.mask.shape), indexing="ij")
    yield "brighter to one side, 40 %", scan.shown(scan.image * (1 + 0.2 * i))
    yield "darker at the foot, 40 %", scan.shown(scan.image * (0.8 + 0.2 * np.tanh(2 * k)))
    depth = ndimage.distance_transform_edt(scan.mask, scan.spacing_mm)
    coil = ndimage.gaussian_filter(np.exp(-depth / 25), 6)
    yield "coils about the head, 40 %", scan.shown(scan.image * (0.8 + 0.4 * coil / coil.max()))


def masked(scan: Scan, rng: np.random.Generator) -> Iterator[tuple[str, Scan]]:
    """Yield the scan with what a mask leaves in or cuts off."""
    white, grey = scan.level(3, 2), scan.level(2, 1)
    patchy = ndimage.gaussian_filter(rng.standard_normal(scan.mask.shape), 10) > 0
    rim = ndimage.binary_dilation(scan.mask, iterations=2) & ~scan.mask & patchy
    uneven = ndimage.gaussian_filter(rng.standard_normal(rim.shape), 1)
    uneven /= uneven.std()
    for name, level in (("bright", white), ("grey", 0.8 * grey)):
        left = np.where(rim, level * (1 + 0.25 * uneven), scan.image)
        yield f"{name} rim", replace(scan, mask=scan.mask | rim).shown(left)
    eroded = ndimage.binary_erosion(scan.mask, iterations=2) | (scan.mask & ~patchy)
    yield (
        "cortex cut off",
        replace(scan, mask=eroded, labels=np.where(eroded, scan.labels, 0).astype(np.uint8)).shown(
            scan.image
        ),
    )
    lines = np.hypot(*(ndimage.gaussian_filter(rng.standard_normal(rim.shape), 3) for _ in "ab"))
    lines[~scan.mask | (scan.labels == 3)] = np.inf
    vessel = lines <= np.quantile(lines[scan.mask], 0.005)
    yield "bright vessels", scan.shown(np.where(vessel, 1.4 * white, scan.image))


def aged(scan: Scan, rng: np.random.Generator) -> Iterator[tuple[str, Scan]]:
    """Yield the scan as in old age."""
    white, grey = scan.level(3, 2), scan.level(2, 1)
    fluid, count = ndimage.label(scan.labels == 1)
    if not count:
        return
    ventricles = fluid == 1 + np.bincount(fluid.ravel())[1:].argmax()
    away = ndimage.distance_transform_edt(~ventricles, scan.spacing_mm)
    pale = (white - grey) * (scan.labels == 3)
    soft = ndimage.gaussian_filter(pale.astype(np.float32), 0.6)
    yield (
        "white matter paler by the ventricles",
        scan.shown(scan.image - 0.5 * soft * np.exp(-away / 15)),
    )
    waves = ndimage.gaussian_filter(rng.standard_normal(scan.mask.shape), 2.5) - 0.03 * away
    inner = (scan.labels == 3) & (away > 1)
    patchy = waves > np.quantile(waves[inner], 0.95)  # a twentieth of the white matter
    spots = ndimage.gaussian_filter((patchy & inner).astype(np.float32), 0.6)
    yield "lesions", scan.shown(scan.image - (white - 0.95 * grey) * spots)
    wide = widened(scan, away - ndimage.distance_transform_edt(ventricles, scan.spacing_mm), 5.0)
    yield "wide ventricles", wide
    old = scan.shown(scan.image - (white - 0.95 * grey) * spots - 0.3 * soft * np.exp(-away / 15))
    image = widened(old, away - ndimage.distance_transform_edt(ventricles, scan.spacing_mm), 5.0)
    noise = 0.03 * white * rng.standard_normal((2, *scan.mask.shape))
    yield "old", image.shown(np.hypot(image.image + noise[0], noise[1]))


def widened(scan: Scan, off_mm: Floats, by_mm: float) -> Scan:
    """Return the scan with everything moved away from its ventricles, less farther from them."""
    off_mm = ndimage.gaussian_filter(off_mm, 1.5)
    way = np.stack(np.gradient(off_mm, *scan.spacing_mm))
    way /= np.maximum(np.linalg.norm(way, axis=0), 0.3)
    back = way * by_mm * np.exp(-np.maximum(off_mm, 0) / 20) / scan.spacing_mm[:, None, None, None]
    at = np.indices(scan.mask.shape) - back
    image = ndimage.map_coordinates(scan.image, at, order=1, mode="nearest")
    shares = [
        ndimage.map_coordinates((scan.labels == n).astype("f4"), at, order=1) for n in range(4)
    ]
    mask = ndimage.map_coordinates(scan.mask.astype("f4"), at, order=1) > 0.5
    labels = np.argmax(shares, axis=0).astype(np.uint8)
    return Scan(image, mask, labels, scan.affine).shown(image)


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
    for power in (0.6, 1.6):
        yield f"gamma {power}", scan.shown(white * (np.maximum(scan.image, 0) / white) ** power)
    for percent in (4, 8):
        yield f"noise of {percent} %", noisy(scan.image, percent)
    for more in (gained, masked, aged):
        yield from more(scan, rng)
    yield from elsewhere(scan)
    window = np.quantile(scan.image[scan.mask], [0.02, 0.9])
    yield "brightest tenth cut off", scan.shown(np.clip(scan.image, *window))
    field = smooth_field(scan.mask, 0.3, rng)
    yield "contrast x 0.7, noise 4 %, field 30 %", noisy(paler(0.7, whiteness) * field, 4)
