"""Magnetic resonance images of a brain whose tissue fractions are known.

A map of tissue labels, or any phantom, becomes fractions of cerebrospinal fluid (CSF), grey and
white matter in every voxel; these mix linearly to a signal, which a smooth field multiplies and
noise is added to as in a magnitude image.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emrecon.brief import brief
from emrecon.errors import DataError, SettingsError
from emrecon.volume import Grid, Volume
from phantoms.phantom import Phantom

Floats = NDArray[np.float32]

TISSUES = ("CSF", "GM", "WM")
"""Order of the fractions."""

FREESURFER = {
    "CSF": (4, 5, 14, 15, 24, 31, 43, 44, 63, 72),
    "GM": (3, 8, 10, 11, 12, 13, 17, 18, 26, 42, 47, 49, 50, 51, 52, 53, 54, 58),
    "WM": (2, 7, 16, 28, 41, 46, 60, 77, 78, 79, 80, 85, 251, 252, 253, 254, 255),
}
"""Label codes of each tissue in FreeSurfer's numbering; brain stem and ventral diencephalon are
counted as white matter. Parcels (1000 and more) are grey matter in the cortex, white below it."""

DEEP_GREY = {
    10: 0.6, 49: 0.6, 11: 0.3, 50: 0.3, 12: 0.5, 51: 0.5, 13: 1.0, 52: 1.0, 26: 0.3, 58: 0.3
}  # fmt: skip
"""Label codes of the deep nuclei, and how far myelin and iron move the T1-weighted signal of each
from grey towards white matter's, beside that of the pallidum: thalamus, caudate, putamen,
pallidum, accumbens."""

RELAXATION_MS = {
    "CSF": (2569.0, 329.0, 58.0),
    "GM": (833.0, 83.0, 69.0),
    "WM": (500.0, 70.0, 61.0),
}
"""T1, T2 and T2* of each tissue at 1.5 T.

Kwan, Evans and Pike, IEEE Trans. Med. Imaging 18, 1085 (1999)."""

PROTON_DENSITY = {"CSF": 1.0, "GM": 0.86, "WM": 0.77}
"""Relative proton density, from the same source."""


def signal(contrast: str, tissue: str) -> float:
    """Return the signal of pure tissue in a T1, T2, PD or fluid-attenuated (FLAIR) image.

    T1: spoiled gradient echo, repetition 18 ms, echo 10 ms, 30 degrees. T2 and PD: spin echo,
    repetition 3300 ms, echo 120 and 35 ms. FLAIR: inversion recovery, repetition 9000 ms,
    inversion 1850 ms (a tenth of fluid is left), echo 120 ms.
    """
    t1, t2, t2_star = RELAXATION_MS[tissue]
    density = PROTON_DENSITY[tissue]
    if contrast == "T1":
        decay, flip = math.exp(-18 / t1), math.radians(30)
        weight = math.sin(flip) * (1 - decay) / (1 - math.cos(flip) * decay)
        return density * weight * math.exp(-10 / t2_star)
    if contrast == "FLAIR":
        inverted = 1 - 2 * math.exp(-1850 / t1) + math.exp(-9000 / t1)
        return density * inverted * math.exp(-120 / t2)
    if contrast not in {"T2", "PD"}:
        raise SettingsError(f"contrasts are T1, T2, PD and FLAIR, not {contrast!r}")
    echo = 120.0 if contrast == "T2" else 35.0
    recovery = 1 - 2 * math.exp(-(3300 - echo / 2) / t1) + math.exp(-3300 / t1)
    return density * recovery * math.exp(-echo / t2)


MYELIN_MM = 1.5
"""Standard deviation of the Gaussian by which myelin grows towards white matter."""

VESSEL = 1.2
"""Signal of fresh blood beside that of the brightest tissue."""


@dataclass(frozen=True, eq=False)
class Brain:
    """Tissue fractions of a brain, and where its nuclei lie."""

    fractions: Floats
    """Shape ``(i, j, k, 3)``, in the order of `TISSUES`; sums to 1 in the mask."""

    mask: NDArray[np.bool_]
    """Voxels that are mostly brain or fluid."""

    affine: NDArray[np.float64]
    """Voxel indices to mm."""

    deep: Floats
    """Fraction of deep grey nuclei, each times its number in `DEEP_GREY`, shape ``(i, j, k)``."""

    __repr__ = brief

    @property
    def labels(self) -> NDArray[np.uint8]:
        """Tissue with the largest fraction, from 1; 0 outside the mask."""
        return np.where(self.mask, self.fractions.argmax(axis=-1) + 1, 0).astype(np.uint8)

    @property
    def spacing_mm(self) -> NDArray[np.float64]:
        """Distance between voxel centres along i, j, k."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel, mL."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000

    @property
    def volumes_ml(self) -> NDArray[np.float64]:
        """True volume of each tissue in the mask, mL."""
        total = self.fractions[self.mask].sum(axis=0, dtype=np.float64)
        return np.asarray(total * self.voxel_ml)


def grouped(codes: NDArray[np.number]) -> NDArray[np.uint8]:
    """Return tissue numbers (1 CSF, 2 GM, 3 WM, 0 none) of FreeSurfer label codes."""
    whole = np.asarray(codes).astype(np.int32)
    out = np.zeros(whole.shape, np.uint8)
    for number, tissue in enumerate(TISSUES, 1):
        out[np.isin(whole, FREESURFER[tissue])] = number
    parcel = whole // 1000
    out[np.isin(parcel, (1, 2, 11, 12))] = 2  # cortex of two atlases
    out[np.isin(parcel, (3, 4, 13, 14)) | np.isin(whole, (5001, 5002))] = 3  # below it
    return out


def from_labels(labels: Volume, blur_voxels: float = 0.6) -> Brain:
    """Return the brain of a FreeSurfer-coded label map.

    Parameters
    ----------
    labels : Volume
        Label codes.
    blur_voxels : float, optional
        Standard deviation of the Gaussian that mixes neighbouring voxels: partial volume.

    Raises
    ------
    DataError
        If no label is that of a tissue.
    """
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - heavy, seldom needed

    tissue = grouped(labels.voxels)
    if not tissue.any():
        raise DataError("the map has no label of CSF, grey or white matter (FreeSurfer codes)")
    shares = [gaussian_filter((tissue == n).astype(np.float32), blur_voxels) for n in (1, 2, 3)]
    deep = np.zeros(tissue.shape, np.float32)
    for code, number in DEEP_GREY.items():
        deep[labels.voxels == code] = number
    return of_shares(np.stack(shares, -1), labels.affine, gaussian_filter(deep, blur_voxels))


def from_phantom(
    phantom: Phantom, tissue_of: Mapping[int, int], grid: Grid, finer: int = 3
) -> Brain:
    """Return the brain that a phantom of labelled bodies is.

    Parameters
    ----------
    phantom : Phantom
        Such as `phantoms.brain.brain`.
    tissue_of : mapping
        Tissue (1 CSF, 2 GM, 3 WM) of each label that is part of the brain.
    grid : Grid
        Voxels of the result.
    finer : int, optional
        Points a voxel along each axis at which the label is asked for.
    """
    spacing = np.asarray(grid.spacing_mm) / finer
    origin = np.asarray(grid.origin_mm) - (finer - 1) / 2 * spacing
    i, j, k = (n * finer for n in grid.shape)
    dense = Grid((i, j, k), tuple(spacing.tolist()), tuple(origin.tolist()))
    table = np.zeros(max(phantom.labels) + 1, np.uint8)
    for label, tissue in tissue_of.items():
        table[label] = tissue
    values = table[phantom.label_map(dense).voxels.astype(np.int64)]
    parts = values.reshape(grid.shape[0], finer, grid.shape[1], finer, grid.shape[2], finer)
    shares = [(parts == n).mean(axis=(1, 3, 5), dtype=np.float32) for n in (1, 2, 3)]
    return of_shares(np.stack(shares, -1), grid.affine)


def of_shares(shares: Floats, affine: NDArray[np.float64], deep: Floats | None = None) -> Brain:
    """Return the brain of tissue shares that need not fill a voxel, ``(i, j, k, 3)``."""
    whole = shares.sum(axis=-1)
    mask = whole > 0.5
    fractions = np.where(mask[..., None], shares / np.maximum(whole, 1e-6)[..., None], 0)
    deep_share = np.zeros(mask.shape, np.float32) if deep is None else deep
    return Brain(fractions.astype(np.float32), mask, affine, np.where(mask, deep_share, 0))


@dataclass(frozen=True)
class Scan:
    """How a simulated image is acquired."""

    contrast: str = "T1"
    """T1, T2, PD or FLAIR."""

    noise_percent: float = 3.0
    """Standard deviation of the noise, in percent of the brightest tissue's signal."""

    bias_percent: float = 20.0
    """Range of the smooth field: 20 is 0.9 to 1.1."""

    texture_percent: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Standard deviation of smooth differences within each tissue, in percent of its signal."""

    deep_shift: float = 0.0
    """How far the pallidum is from grey towards white matter, 0 to 1; other deep nuclei less."""

    myelin: float = 0.0
    """How far cortex beside white matter is towards its signal, 0 to 1, less farther away."""

    vessels: float = 0.0
    """Share of the mask's voxels that bright vessels pass through, in fluid and grey matter."""

    brightest: float = 1000.0
    """Signal of the brightest pure tissue."""

    def __post_init__(self) -> None:
        shares = (self.deep_shift, self.myelin, self.vessels)
        if not all(0 <= share <= 1 for share in shares):
            raise SettingsError(f"deep_shift, myelin and vessels are from 0 to 1, unlike {shares}")
        spreads = (self.noise_percent, *self.texture_percent)
        if not all(0 <= spread < math.inf for spread in spreads):
            raise SettingsError(f"noise and texture are not negative, unlike {spreads}")
        if not (0 <= self.bias_percent < 200 and 0 < self.brightest < math.inf):
            raise SettingsError(
                "bias_percent is from 0 to below 200, where the field would reach zero, and "
                f"brightest above 0, unlike {self.bias_percent} and {self.brightest}"
            )


def acquire(
    brain: Brain,
    scan: Scan,
    rng: np.random.Generator,
    lesions: Floats | None = None,
    over_grey: float = 1.0,
) -> tuple[Volume, Floats]:
    """Return a magnitude image of `brain` and the field in it.

    Noise is Rician: Gaussian in both parts of the complex signal. Outside the mask is air.

    Parameters
    ----------
    brain : Brain
        Tissue fractions.
    scan : Scan
        How it is acquired.
    rng : numpy.random.Generator
        Of noise, field and texture.
    lesions : array, optional
        Share of each voxel that is a lesion, such as of `phantoms.lesions.spots`.
    over_grey : float, optional
        Signal of a lesion beside that of grey matter.
    """
    image = tissue_signal(brain, scan, rng)
    if lesions is not None:
        levels = [signal(scan.contrast, tissue) for tissue in TISSUES]
        level = over_grey * levels[1] * scan.brightest / max(levels)
        image += lesions * (level - image)
    field = smooth_field(brain.mask, scan.bias_percent / 100, rng)
    sigma = scan.noise_percent / 100 * scan.brightest
    real = image * field + sigma * rng.standard_normal(image.shape)
    other = sigma * rng.standard_normal(image.shape)
    return Volume(np.hypot(real, other).astype(np.float32), brain.affine), field


def tissue_signal(brain: Brain, scan: Scan, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the signal of every voxel, without field and noise: uneven tissue, and vessels."""
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - heavy, seldom needed

    def waves(size: float) -> NDArray[np.float64]:
        drawn = gaussian_filter(rng.standard_normal(brain.mask.shape), size)
        return np.asarray(drawn / drawn.std())

    levels = np.array([signal(scan.contrast, tissue) for tissue in TISSUES])
    levels *= scan.brightest / levels.max()
    image = brain.fractions.astype(np.float64) @ levels
    image += scan.deep_shift * (levels[2] - levels[1]) * brain.deep
    if scan.myelin:
        near = 2 * gaussian_filter(brain.fractions[..., 2], MYELIN_MM / brain.spacing_mm)
        image += (
            scan.myelin * (levels[2] - levels[1]) * brain.fractions[..., 1] * np.minimum(near, 1)
        )
    for n, percent in enumerate(scan.texture_percent):
        if percent:
            image += brain.fractions[..., n] * levels[n] * percent / 100 * waves(4.0)
    if scan.vessels:  # where two waves pass 0 at once there are lines
        off = np.hypot(waves(3.0), waves(3.0))
        off[~brain.mask | (brain.fractions[..., 2] > 0.5)] = np.inf
        line = off <= np.quantile(off[brain.mask], scan.vessels)
        image[line] = VESSEL * scan.brightest
    return np.asarray(image, np.float64)


def smooth_field(mask: NDArray[np.bool_], size: float, rng: np.random.Generator) -> Floats:
    """Return a field of slow waves that spans ``1 - size / 2`` to ``1 + size / 2`` in the mask."""
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in mask.shape), indexing="ij", sparse=True)
    total = np.zeros(mask.shape)
    for _ in range(6):
        way, phase = rng.normal(0, 1.6, 3), rng.uniform(0, 2 * np.pi)
        total += np.cos(sum(w * a for w, a in zip(way, axes, strict=True)) + phase)
    low, high = total[mask].min(), total[mask].max()
    return np.asarray(1 + size * ((total - low) / max(high - low, 1e-9) - 0.5), np.float32)
