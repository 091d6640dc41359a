"""How well each bin counts: crystals of unlike efficiency, dead blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import SettingsError
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
