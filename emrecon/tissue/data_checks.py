"""Whether images can be a brain, and show classes at all, before they are segmented."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import DataError
from emrecon.tissue.data import Data
from emrecon.tissue.mask import NO_BRAIN_ML
from emrecon.tissue.settings import Settings

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]

LEAST_ML, HUMAN_ML = 20.0, 1400.0
"""Volume below which a brain is not human, not even of a child before birth, and a usual one."""

LITTLE_ML, NEXT_TO_NOTHING_ML = 600.0, 1.0
"""Volume that is little for a whole brain of an adult, and that no brain has at its scale."""

NO_ROOM_ML = 1e5
"""Volume that no image of a head has, background and all: usual ones have up to 3e4."""

BELOW_0 = 0.01
"""Share of the voxels below 0 from which on 0 is no image of nothing: noise and ringing leave
less, and brains that were standardised have half of them there."""

DARKEST = 0.001
"""Quantile of such an image that is taken for 0."""

NOISE, UNLIKE, FEW_VOXELS = (0.02, 0.1), 0.05, 1000
"""Distance of the intensities' distribution from a Gaussian in nats, below which they are noise,
and below which they are if the correlation of neighbours is less than the second; of more voxels
than the third. Noise has 0.002 nats, that of magnitudes 0.06, and brains 0.19 to 0.37 and
neighbours with a correlation of 0.6 to 0.97."""


def check_size(voxels: int, affine: Floats, settings: Settings, most_ml: float) -> None:
    """Refuse a brain that is too small or too large for a human one, before it is fitted.

    Raises
    ------
    DataError
        If it is, with the scale that would do where it is too small and none was said.
    """
    voxel_mm = np.linalg.norm(affine[:3, :3], axis=0)
    volume_ml = voxels * abs(float(np.linalg.det(affine[:3, :3]))) / 1000
    sizes = " x ".join(f"{size:.3g}" for size in voxel_mm)
    if settings.scale == "auto" and settings.tissues and volume_ml < LEAST_ML:
        times = (volume_ml / HUMAN_ML) ** (1 / 3)
        raise DataError(
            f"a brain of {volume_ml:.2g} mL is no human one, and the lengths of blocks, spatial "
            f"and bias field are those of human brains: say --scale {times:.2g} if it is whole, "
            f"or --scale 1 for a part of a human brain; or is the size of its voxels, {sizes} mm, "
            "in another unit?"
        )
    if settings.times != 1 and settings.tissues and volume_ml < NEXT_TO_NOTHING_ML:
        fits = settings.times * (volume_ml / HUMAN_ML) ** (1 / 3)
        raise DataError(
            f"at a scale of {settings.times:g} the brain is as a human one of {volume_ml:.2g} mL: "
            "the scale is the length of the brain beside that of a human one, some 0.06 for a "
            f"mouse; say --scale {fits:.2g} if it is whole"
        )
    if settings.tissues and volume_ml > most_ml:
        size = f"{volume_ml / 1e6:.3g} m3" if volume_ml > 1e5 else f"{volume_ml:.4g} mL"
        raise DataError(
            f"{size} are no brain: is the size of the voxels, {sizes} mm, right and in mm, and is "
            "the mask one of the brain (--mask)? Say --contrast other if it is no brain"
        )


def check_data(data: Data, settings: Settings, *, user_starts: bool) -> None:
    """Refuse what cannot be a brain, or shows no classes and no user gave starts, before a fit.

    Raises
    ------
    DataError
        If it cannot.
    """
    check_size(data.values.shape[1], data.affine, settings, NO_BRAIN_ML)
    if not user_starts:
        _check_spread(data, settings)


def counted_from_0(data: Data, settings: Settings) -> Data:
    """Return the intensities as a bias field multiplies them, which is what counts from 0.

    From a channel that has many below 0 nearly its least is subtracted, and that is said. Where
    no field is asked for, all stay.
    """
    below = np.mean(data.values < 0, axis=1)  # NaN is not
    shifted = below > BELOW_0
    if not settings.wavelength_mm or not shifted.any():
        return data
    off = np.zeros(len(below))
    off[shifted] = np.nanquantile(data.values[shifted], DARKEST, axis=1)
    for channel in np.flatnonzero(shifted):
        log.warning(
            "%.0f %% of the intensities of channel %d are below 0, as of an image that was "
            "standardised or shifted, and a bias field multiplies what counts from 0: all are "
            "counted from %.4g, and so are the means and the corrected image. Better give the "
            "image as it was, or say that it has no field (--bias-mm 0)",
            100 * below[channel], channel + 1, off[channel],
        )  # fmt: skip
    values = data.values - off[:, None].astype(np.float32)
    return replace(
        data, values=values, centre=data.centre - off, high=data.high - off, taken_off=off
    )


def _check_spread(data: Data, settings: Settings) -> None:
    """Refuse intensities of a single channel that show no classes, before they are fitted.

    Raises
    ------
    DataError
        If they are spread as noise is, and neighbours are unlike or the classes are tissues.
    """
    if len(data.values) > 1 or settings.most_classes < 2:
        return
    spread, alike = _negentropy(data.values[0]), _alike(data)
    if (spread < NOISE[0] and settings.tissues) or (spread < NOISE[1] and alike < UNLIKE):
        raise DataError(
            f"the intensities in the mask show no classes: they are spread as noise is "
            f"({spread:.3f} nats from a Gaussian), and neighbours have a correlation of "
            f"{alike:.2f}. Look at the image and at the mask, or give priors (--priors)"
        )


def _negentropy(values: Floats32) -> float:
    """Return how far a distribution is from a Gaussian of its variance, in nats."""
    low, high = np.quantile(values, [0.001, 0.999])
    inner = values[(values >= low) & (values <= high)].astype(np.float64)
    if inner.size < FEW_VOXELS or not inner.std() > 0:
        return np.inf
    bins = int(np.clip(inner.size ** (1 / 3), 16, 128))
    count, edges = np.histogram(inner, bins)
    share = count[count > 0] / inner.size
    entropy = float(-np.sum(share * np.log(share / (edges[1] - edges[0]))))
    return float(0.5 * (1 + np.log(2 * np.pi * inner.var()))) - entropy


def _alike(data: Data) -> float:
    """Return the greatest correlation of neighbours along an axis."""
    filled = np.full(data.mask.shape, np.nan, np.float32)
    filled[data.mask] = data.values[0]
    most = 0.0
    for axis in range(3):
        one, other = (np.moveaxis(filled, axis, 0)[cut] for cut in (slice(1, None), slice(-1)))
        both = np.isfinite(one) & np.isfinite(other)
        if np.count_nonzero(both) > FEW_VOXELS:
            most = max(most, float(np.corrcoef(one[both], other[both])[0, 1]))
    return most
