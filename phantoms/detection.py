"""How well each bin counts: crystals of unlike efficiency, dead blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import SettingsError
from emrecon.gaussian import FWHM_PER_SIGMA
from emrecon.tomo.geometry.bins import Bins, Scanner
from emrecon.tomo.geometry.detectors import sum_over_pairs
from emrecon.volume import Array

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Efficiencies:
    """A way to draw normalisation factors."""

    spread: float = 0.1
    """Standard deviation of the logarithm of a crystal's efficiency, whose mean is 1."""

    dead_blocks: int = 0
    """Number of detector blocks that count nothing."""

    def __post_init__(self) -> None:
        if not 0 <= self.spread < np.inf or self.dead_blocks < 0:
            raise SettingsError(
                f"a spread and a number of dead blocks are not negative, unlike {self}"
            )

    def draw(self, bins: Bins, rng: np.random.Generator) -> Array:
        """Return the efficiency of every bin, shape ``bins.shape``.

        On a ring scanner a bin holds the sum, over the crystal pairs that it gathers, of the
        product of the two crystals' efficiencies; arc-corrected bins lie between two raw ones
        and hold their mean, weighted by distance. Bins without a scanner have one detector for
        every bin and plane, the same in all views, and a block is 1/32 of the bins.

        Raises
        ------
        SettingsError
            If more blocks are to be dead than there are.
        GeometryError
            If the bins of a ring scanner are not whole: draw before subsets are taken.
        """
        if bins.scanner is None:
            return self._columns(bins, rng)
        crystals = self.crystals(bins.scanner, rng)
        if not bins.arc_corrected:
            return sum_over_pairs(bins, crystals)
        ranges = [segment.ring_differences for segment in bins.segments]
        raw = bins.scanner.bins_of(ranges, views=bins.phi_rad.size)
        return _resampled(sum_over_pairs(raw, crystals), raw.s_mm, bins.s_mm)

    def crystals(self, scanner: Scanner, rng: np.random.Generator) -> Floats:
        """Return crystal efficiencies ``[ring, crystal]``."""
        size = (scanner.rings, scanner.crystals)
        around, along = scanner.block_crystals
        per_ring = -(-scanner.crystals // around)
        efficiency = self._log_normal(size, rng)
        for block in self._dead(per_ring * -(-scanner.rings // along), rng):
            k, i = block // per_ring * along, block % per_ring * around
            efficiency[k : k + along, i : i + around] = 0
        return efficiency

    def _columns(self, bins: Bins, rng: np.random.Generator) -> Array:
        """Return efficiencies that are the same in every view."""
        views, count, planes = bins.shape
        efficiency = self._log_normal((count, planes), rng)
        width = max(1, count // 32)
        for block in self._dead(-(-count // width), rng):
            efficiency[block * width : (block + 1) * width] = 0
        return np.repeat(efficiency[None].astype(np.float32), views, axis=0)

    def _log_normal(self, size: tuple[int, int], rng: np.random.Generator) -> Floats:
        return np.exp(rng.normal(-(self.spread**2) / 2, self.spread, size))

    def _dead(self, blocks: int, rng: np.random.Generator) -> list[int]:
        if self.dead_blocks > blocks:
            raise SettingsError(f"{self.dead_blocks} of {blocks} detector blocks cannot be dead")
        return sorted(int(block) for block in rng.choice(blocks, self.dead_blocks, replace=False))


def blurred(data: Array, bins: Bins, fwhm_mm: float) -> None:
    """Blur counts in place as detectors do, which see a photon beside where it is.

    Both ends of a line move around and along the ring by a Gaussian. Half the sum and half the
    difference of two such moves are equally wide and independent: the line moves along bins and
    planes, as wide as a point in the middle is seen, and turns by as much over the radius of the
    ring, so that a point nearer to a detector is seen wider. Between segments nothing moves.

    Parameters
    ----------
    data : array
        Counts, shape ``bins.data_shape``.
    bins : Bins
        Where they lie.
    fwhm_mm : float
        Full width at half maximum of a point in the middle of the field of view.
    """
    from scipy.ndimage import gaussian_filter1d  # noqa: PLC0415 - not needed without blur

    if not fwhm_mm:
        return
    if not 0 < fwhm_mm < bins.fov_mm:
        raise SettingsError(f"a resolution of {fwhm_mm} mm makes no sense")
    sigma = fwhm_mm / FWHM_PER_SIGMA
    for view in data.reshape(-1, *bins.shape[1:]):
        gaussian_filter1d(view, sigma / bins.bin_mm, axis=0, output=view, mode="nearest")
        for start, segment in zip(bins.offsets, bins.segments, strict=True):
            planes = view[:, start : start + segment.planes]
            gaussian_filter1d(
                planes, sigma / segment.step_mm, axis=1, output=planes, mode="nearest"
            )
    if np.isfinite(bins.radius_mm) and bins.phi_rad.size > 1:
        _turned(data.reshape(-1, *bins.shape), bins, sigma / bins.radius_mm)


def _turned(timed: Array, bins: Bins, sigma_rad: float) -> None:
    """Blur ``data[tof, view, bin, plane]`` over the views of half a turn, in place."""
    from scipy.ndimage import gaussian_filter1d  # noqa: PLC0415 - as above

    width = sigma_rad / float(np.diff(bins.phi_rad).mean())
    more = min(int(np.ceil(4 * width)), len(bins.phi_rad))
    middle = bins.s_mm.size - 1 - bins.s_mm.size // 2
    opposite = 2 * middle - np.arange(bins.s_mm.size)
    inside = (opposite >= 0) & (opposite < bins.s_mm.size)
    planes = _opposite_planes(bins)
    ends = [timed[::-1, :more], timed[::-1, -more:]]
    after, before = (
        end[:, :, opposite * inside][..., planes] * inside[:, None].astype(np.float32)
        for end in ends
    )
    for number, profile in enumerate(np.concatenate([before, timed, after], axis=1)):
        turned = gaussian_filter1d(profile, width, axis=0, mode="nearest")
        timed[number] = turned[more : more + len(bins.phi_rad)]


def _opposite_planes(bins: Bins) -> NDArray[np.int64]:
    """Return for each plane the one that has the same lines from the other side."""
    out = np.arange(bins.planes)
    for start, segment in zip(bins.offsets, bins.segments, strict=True):
        for first, other in zip(bins.offsets, bins.segments, strict=True):
            if np.isclose(other.tilt_mm, -segment.tilt_mm) and other.planes == segment.planes:
                out[start : start + segment.planes] = first + np.arange(segment.planes)
    return out


def _resampled(raw: Array, raw_mm: Floats, s_mm: Floats) -> Array:
    """Return data of raw bins at other places along s, linearly; the outermost reach on."""
    place = np.interp(s_mm, raw_mm, np.arange(raw_mm.size))
    below = np.minimum(place.astype(np.int64), raw_mm.size - 2)
    share = (place - below).astype(np.float32)[:, None]
    out = raw[:, below]
    out *= 1 - share
    for view in range(len(out)):  # one at a time, to spare memory
        out[view] += share * raw[view, below + 1]
    return out
