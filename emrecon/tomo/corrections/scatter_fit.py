"""The scale of scatter by what is counted beside the body, plane by plane.

Lines that meet no matter hold randoms and scatter alone. What they count over what is expected of
scatter is its scale, a ratio of sums (K. Thielemans et al., "Image-based correction for scatter
in 3D PET", IEEE NSS-MIC 2007, fit the same tails by least squares). But what share of the scatter
lies there, and the randoms, are known to some percent only, which no counts mend, and the absolute
scale is predicted as well as that. So the scale is the mean of what is likely: most predictions
are as good as those held against Monte Carlo, and some are wrong by any factor, as where activity
lies beyond the rings or the map is wrong. A tail that is far off tells of the latter, and is
followed. Each plane is drawn to the scale of all planes alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon.tomo.geometry.bins import Bins
from emrecon.volume import Array

Floats = NDArray[np.float64]

AIR = 0.98
"""Attenuation factor above which a line is taken to meet no matter."""

ASIDE_MM = 12.0
"""Distance that such lines keep from those that meet some, for blur and motion."""

PREDICTED, TAILS, RANDOMS = 0.02, 0.03, 0.005
"""Relative standard errors of the predicted scale, of the share of scatter that is expected in the
tails, both as by Monte Carlo of bodies in two scanners, and of the mean randoms."""

WRONG, ANY, ANY_PLANE = 0.1, 0.3, 0.05
"""Share of predictions that are wrong for a cause that no model knows, and standard deviations of
the scale of such ones, and of that of a plane about the one of all."""

BOUNDS = (0.5, 2.0)
"""Least and greatest scale."""

SURE = 5.0
"""Standard errors beyond which a difference is none of chance."""

LEAST = 1e-3
"""Counts of scatter in the tails that are as good as none."""

SMOOTH_MM = 12.0
"""Standard deviation along the axis over which tails of neighbouring planes are taken together."""


@dataclass(frozen=True, eq=False)
class TailFit:
    """What lies beside the body, and the scale that it gives."""

    scales: Floats
    """Scale of every plane."""

    scale: float
    """Scale of all planes together."""

    counted: Floats
    """Prompts less randoms in the tails of every plane."""

    expected: Floats
    """Scatter expected there before the fit."""

    bins: int
    """Number of bins in the tails."""

    error: float = 0.0
    """Standard error of what was counted in all tails, of counts and randoms."""

    @property
    def doubt(self) -> str:
        """What is wrong if no scale within reach makes counts of what was expected; else empty."""
        counted, expected = float(self.counted.sum()), float(self.expected.sum())
        low, high = (bound * expected for bound in BOUNDS)
        if low - SURE * self.error <= counted <= high + SURE * self.error:
            return ""
        causes = (
            "activity outside the attenuation map, which may be cut off or in another place"
            if counted > high
            else "more randoms than there are, or matter where there is none"
        )
        return (
            f"beside the matter of the attenuation map {counted:.4g} counts less randoms lie "
            f"where {expected:.4g} are expected of scatter: {causes}"
        )

    @property
    def facts(self) -> dict[str, Any]:
        """What the sidecar says."""
        return {
            "scale": self.scale,
            "least_scale": float(self.scales.min()),
            "greatest_scale": float(self.scales.max()),
            "tail_bins": self.bins,
            "tail_counts": float(self.counted.sum()),
            "tail_scatter_expected": float(self.expected.sum()),
        }


def tail_fit(
    bins: Bins, prompts: Array, randoms: Array | None, scatter: Array, attenuation: Array,
    efficiency: Array | None,
) -> TailFit:  # fmt: skip
    """Fit the scale of scatter to the tails of the prompts.

    Parameters
    ----------
    bins : Bins
        Where the counts lie.
    prompts, randoms, scatter : array
        Counts, mean randoms, and scatter expected; time-of-flight bins are taken together.
    attenuation : array
        Attenuation factors.
    efficiency : array, optional
        Bins with 0 take no part.
    """
    prompted, accidental, expected = np.zeros((3, bins.planes))
    number = 0
    for view in range(bins.shape[0]):
        tail = _tail(attenuation[view], bins)
        if efficiency is not None:
            tail &= efficiency[view] > 0
        number += int(np.count_nonzero(tail))
        prompted += _summed(prompts, view, tail)
        if randoms is not None:
            accidental += _summed(randoms, view, tail)
        expected += _summed(scatter, view, tail)
    counted = prompted - accidental
    scale = float(_likely(prompted.sum(), accidental.sum(), expected.sum(), ANY))
    seen = np.clip(counted.sum() / max(expected.sum(), LEAST), *BOUNDS)
    near = np.stack([_along_axis(bins, sums) for sums in (prompted, accidental, expected)])
    scales = scale * _likely(near[0], near[1], seen * near[2], ANY_PLANE)
    error = float(np.hypot(np.sqrt(prompted.sum()), RANDOMS * accidental.sum()))
    scale = float(np.clip(scale, *BOUNDS))
    return TailFit(np.clip(scales, *BOUNDS), scale, counted, expected, number, error)


def _tail(attenuation: Array, bins: Bins) -> NDArray[np.bool_]:
    """Return which bins of a view meet no matter, nor do their neighbours in all directions.

    Where a body ends within the field of view, its trues reach the planes beside it.
    """
    blocked = attenuation < AIR
    near = _spread(blocked, bins.bin_mm, axis=0)
    for first, segment in zip(bins.offsets, bins.segments, strict=True):
        some = slice(first, first + segment.planes)
        near[:, some] = _spread(near[:, some], segment.step_mm, axis=1)
    return ~near


def _spread(blocked: NDArray[np.bool_], step_mm: float, axis: int) -> NDArray[np.bool_]:
    """Return what lies within `ASIDE_MM` of what is blocked along an axis of such steps."""
    reach = min(int(np.ceil(ASIDE_MM / step_mm)), blocked.shape[axis])
    wide = [(0, 0), (0, 0)]
    wide[axis] = (reach + 1, reach)
    count = np.moveaxis(np.cumsum(np.pad(blocked, wide), axis=axis), axis, 0)
    return np.moveaxis(count[2 * reach + 1 :] > count[: -2 * reach - 1], 0, axis)


def _summed(data: Array, view: int, tail: NDArray[np.bool_]) -> Floats:
    """Return sums over the tail of a view, and over time-of-flight bins, by plane."""
    parts = data.reshape(-1, *data.shape[-3:])[:, view]
    return np.asarray(np.sum(parts, axis=(0, 1), where=tail, dtype=float), float)


def _along_axis(bins: Bins, sums: Floats) -> Floats:
    """Return sums of planes taken together with their neighbours in the same segment."""
    from scipy.ndimage import gaussian_filter1d  # noqa: PLC0415 - heavy

    out = sums.copy()
    for first, segment in zip(bins.offsets, bins.segments, strict=True):
        some = slice(first, first + segment.planes)
        width = SMOOTH_MM / segment.step_mm
        # As many as are added up, so that their spread is that of a sum.
        out[some] = gaussian_filter1d(sums[some], width, mode="nearest") * max(1.0, 3.5 * width)
    return out


def _likely(prompts: Any, randoms: Any, expected: Any, wide: float) -> Any:  # noqa: ANN401 - floats or arrays
    """Return the mean of the scales that counts and what is known before leave likely."""
    held = np.maximum(expected, LEAST)
    ratio = np.where(expected > LEAST, (prompts - randoms) / held, 1.0)
    chance = (np.maximum(prompts, 1.0) + np.square(RANDOMS * randoms)) / np.square(held) + TAILS**2
    squares = np.square(ratio - 1)
    means, logs = [], []
    for share, spread in ((1 - WRONG, PREDICTED), (WRONG, wide)):
        both = chance + spread**2
        means.append(1 + spread**2 / both * (ratio - 1))
        logs.append(np.log(share) - 0.5 * np.log(both) - 0.5 * squares / both)
    wrong = 1 / (1 + np.exp(np.minimum(logs[0] - logs[1], 500.0)))
    return means[0] + wrong * (means[1] - means[0])
