"""Whether a smooth field is in the image, or only in what the classes leave unexplained.

Tissue is not equally bright everywhere, so a field always lowers the residuals, and the free
energy always prefers one. A field that multiplies the image does more: it blurs all classes into
each other, and every tissue follows it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emrecon.brief import brief
from emrecon.tissue.classes import Classes
from emrecon.tissue.field import Image, State

Floats = NDArray[np.float64]

CLEARER = 1.2
"""Factor by which neighbouring classes become more distinct: reason enough to keep a field."""

LARGE = 0.042
"""Standard deviation from which a log field need not show in the tissues found without it: they
are then too wrong to tell. That of a real scan corrected beforehand was 0.047 to 0.071 in 17
changes of its contrast, noise and position; that of an average of 152 corrected brains 0.036."""

FOLLOWED = (0.4, 0.1)
"""Part of the log field that two tissues follow, each, as found with the field and without it."""

_CORE = 0.9
_FEW = 100


@dataclass(frozen=True, eq=False)
class Evidence:
    """What speaks for a bias field."""

    clearer: float
    """Distance of neighbouring classes in standard deviations, with the field over without it."""

    size: Floats
    """Standard deviation of each channel's log field, shape ``(c,)``."""

    followed: Floats
    """Slope of log intensity on log field in each channel's two best shown tissues, the lesser of
    both: in the tissues as found with the field, and without it; 1 where they follow it, NaN
    where they are too small to tell. Shape ``(c, 2)``."""

    __repr__ = brief

    @property
    def kept(self) -> bool:
        """Whether the image shows the field."""
        own, other = (np.nan_to_num(self.followed, nan=1.0) >= FOLLOWED).T
        return bool(self.clearer >= CLEARER or (own & (other | (self.size >= LARGE))).any())


def evidence(image: Image, with_field: State, without: State) -> Evidence:
    """Return what speaks for the field, from fits of one image with and without it.

    Parameters
    ----------
    image : Image
        The model with field.
    with_field, without : State
        Where the fits came to rest.
    """
    ratio = _apart(with_field.classes) / max(_apart(without.classes), 1e-9)
    count = len(image.values)
    if image.basis is None:
        return Evidence(ratio, np.zeros(count), np.full((count, 2), np.nan))
    field = image.log_field(with_field.bias, image.basis, np.zeros(3))
    slopes = [_followed(image, state, field) for state in (with_field, without)]
    return Evidence(ratio, field.std(axis=1, dtype=np.float64), np.stack(slopes, axis=1))


def _followed(image: Image, state: State, field: NDArray[np.float32]) -> Floats:
    """Return how far the two best shown of a fit's tissues follow a log field, ``(c,)``."""
    slopes, cores, own = [], _cores(image, state), image.rules.layout.owners
    for c, (values, log_field) in enumerate(zip(image.values, field, strict=True)):
        level = image.centre[c] + state.classes.means[:, c] * image.scale[c]
        shown = [
            (core.sum() * level[own == k].mean() ** 2, _slope(values[core], log_field[core]))
            for k, core in enumerate(cores & (values > 0))
            if core.sum() >= _FEW
        ]
        best = sorted(shown, key=lambda one: -one[0])[:2]
        slopes.append(min(slope for _, slope in best) if len(best) == 2 else np.nan)
    return np.array(slopes)


def _apart(classes: Classes) -> float:
    """Return the distance from one Gaussian to the next, in standard deviations; their mean."""
    steps = np.diff(classes.means, axis=0)
    spread = (classes.covariances[1:] + classes.covariances[:-1]) / 2
    square = np.einsum("gc,gc->g", steps, np.linalg.solve(spread, steps[..., None])[..., 0])
    return float(np.exp(0.5 * np.log(np.maximum(square, 1e-12)).mean()))


def _cores(image: Image, state: State) -> NDArray[np.bool_]:
    """Return the voxels all whose neighbours are of one class, shape ``(k, n)``.

    Their own intensity does not count, as it would be chosen to fit.
    """
    near = image.lattice
    pure = state.fractions.T > _CORE
    cores = np.ones((len(pure), near.size), bool)
    for beside in near.beside:
        cores &= pure[:, beside]
    return cores


def _slope(values: NDArray[np.float32], log_field: NDArray[np.float32]) -> float:
    """Return the slope of log intensity on log field."""
    away = log_field.astype(np.float64) - log_field.mean(dtype=np.float64)
    return float(away @ np.log(values.astype(np.float64)) / max(away @ away, 1e-30))
