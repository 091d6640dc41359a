"""Time of flight: how well the place along a line is known, and the bins it is counted in.

A difference ``dt`` of arrival times puts an annihilation ``l = c dt / 2`` from the middle of its
line, positive towards end 2. The measured place spreads about the true one by a Gaussian, cut
off at three standard deviations and renormalised; a bin counts what falls between its edges.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emrecon.errors import GeometryError
from emrecon.gaussian import FWHM_PER_SIGMA

Floats = NDArray[np.float64]

MM_PER_PS = 0.149896229
"""Distance along a line for a picosecond of difference in time: half the speed of light."""

SIGMAS = 3.0
"""Standard deviations at which the Gaussian is cut off."""


@dataclass(frozen=True)
class Timing:
    """Equal time-of-flight bins side by side about the middle of a line, and the resolution."""

    fwhm_mm: float
    """Resolution along the line, full width at half maximum."""

    width_mm: float
    """Width of a bin."""

    bins: int
    """Number of bins."""

    def __post_init__(self) -> None:
        sizes = (self.fwhm_mm, self.width_mm)
        if not (np.all(np.isfinite(sizes)) and min(sizes) > 0 and self.bins >= 1):
            raise GeometryError(
                "time of flight needs a resolution and a bin width above 0 and at least one "
                f"bin, not {self.fwhm_mm} mm, {self.width_mm} mm and {self.bins}"
            )

    @classmethod
    def of_ps(cls, fwhm_ps: float, width_ps: float, bins: int) -> Timing:
        """Return the timing for a resolution and bin width as differences of arrival times."""
        return cls(fwhm_ps * MM_PER_PS, width_ps * MM_PER_PS, bins)

    @property
    def fwhm_ps(self) -> float:
        """Resolution as a difference of arrival times."""
        return self.fwhm_mm / MM_PER_PS

    @property
    def width_ps(self) -> float:
        """Width of a bin as a difference of arrival times."""
        return self.width_mm / MM_PER_PS

    @property
    def sigma_mm(self) -> float:
        """Standard deviation of the Gaussian before it is cut off."""
        return self.fwhm_mm * (1 / FWHM_PER_SIGMA)

    @property
    def reach_mm(self) -> float:
        """Distance from a bin's centre beyond which nothing is counted in it."""
        return SIGMAS * self.sigma_mm + self.width_mm / 2

    @property
    def centres_mm(self) -> Floats:
        """Centre ``l`` of every bin, positive towards end 2, shape ``(bins,)``."""
        return np.asarray((np.arange(self.bins) - (self.bins - 1) / 2) * self.width_mm, float)

    @property
    def edges_mm(self) -> Floats:
        """Edge places ``l`` of the bins, shape ``(bins + 1,)``."""
        return np.asarray((np.arange(self.bins + 1) - self.bins / 2) * self.width_mm, float)

    def weight(self, distance_mm: ArrayLike) -> Floats:
        """Return the share that a bin counts of annihilations so far from its centre.

        The Gaussian integrated over the bin. Shares of all bins add to 1 for an annihilation
        three standard deviations or more inside the outermost edges, and to less further out.
        """
        away, half = np.abs(np.asarray(distance_mm, float)), self.width_mm / 2
        return self.below(half - away) - self.below(-half - away)

    def weights(self, place_mm: ArrayLike) -> Floats:
        """Return the share of each bin of annihilations at places `place_mm` along the line.

        The bins are the last axis of the result.
        """
        return self.weight(np.asarray(place_mm, float)[..., None] - self.centres_mm)

    def below(self, distance_mm: ArrayLike) -> Floats:
        """Return the share of measured places below the true one plus `distance_mm`."""
        from scipy.special import erf  # noqa: PLC0415 - not needed without time of flight

        x = np.clip(np.asarray(distance_mm, float) / self.sigma_mm, -SIGMAS, SIGMAS)
        return 0.5 + 0.5 * np.asarray(erf(x / np.sqrt(2)) / erf(SIGMAS / np.sqrt(2)), float)

    def table(self, finest_mm: float) -> tuple[NDArray[np.float32], float]:
        """Return `weight` at distances 0, step, 2 step ... and the step, `finest_mm` at most.

        The step divides the bin width, so that linear interpolation keeps the sum over bins.
        The last two entries are 0, the first of them at or beyond `reach_mm`.
        """
        parts = max(1, int(np.ceil(self.width_mm / finest_mm)))
        step = self.width_mm / parts
        count = int(np.ceil(self.reach_mm / step)) + 2
        table = self.weight(np.arange(count) * step).astype(np.float32)
        table[-2:] = 0.0
        return table, step

    def mashed(self, factor: int) -> Timing:
        """Return the timing with so many neighbouring bins in one.

        Raises
        ------
        GeometryError
            If that does not divide the bins.
        """
        if factor < 1 or self.bins % factor:
            raise GeometryError(f"{self.bins} time-of-flight bins do not mash by {factor}")
        return Timing(self.fwhm_mm, self.width_mm * factor, self.bins // factor)

    @property
    def whole(self) -> Timing:
        """The timing with all bins in one: its weight is the sum over the bins."""
        return self.mashed(self.bins)

    def like(self, other: Timing | None) -> bool:
        """Return whether `other` is the same but for rounding."""
        if other is None or self.bins != other.bins:
            return False
        mine, theirs = (self.fwhm_mm, self.width_mm), (other.fwhm_mm, other.width_mm)
        return bool(np.allclose(mine, theirs, rtol=1e-3))

    def covers(self, reach_mm: float) -> bool:
        """Return whether the bins lose nothing within `reach_mm` of the middle of a line."""
        return self.bins * self.width_mm / 2 >= reach_mm + SIGMAS * self.sigma_mm

    def phases(self, finest_mm: float) -> tuple[NDArray[np.float32], int, float]:
        """Return shares by place within a bin, for kernels that take the nearest place.

        Places are whole numbers ``m`` of steps of `finest_mm` or less, 0 in the middle of bin 0.
        An annihilation at ``m = n parts + phase``, with ``0 <= phase < parts``, is counted in
        bin ``n + first + j`` with the share ``table[phase, j]``. Each row adds to 1.

        Returns
        -------
        ndarray
            Shares, shape ``(parts, window)``; `parts` is even.
        int
            ``first``, the lowest bin of the window.
        float
            The step in mm.
        """
        parts = 2 * max(1, int(np.ceil(self.width_mm / finest_mm / 2 - 1e-6)))
        step = self.width_mm / parts
        reach = int(np.floor(self.reach_mm / step))
        first, last = -(reach // parts), (parts - 1 + reach) // parts
        away = np.arange(parts)[:, None] - np.arange(first, last + 1) * parts
        return self.weight(away * step).astype(np.float32), first, step
