"""What sinograms say about single events: each pair of detectors is in one bin.

A bin holds the sum over its pairs, of counts and efficiencies alike. Without more knowledge its
live pairs share it evenly: that is exact where a bin is a single pair (span 1, no mashing), and
the mean of neighbouring pairs where not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emrecon.tomo.corrections.bin_places import places_of
from emrecon.tomo.corrections.components import Components
from emrecon.tomo.corrections.normalisation import Live, live_pairs
from emrecon.tomo.geometry.bins import Bins
from emrecon.volume import Array


@dataclass(frozen=True, eq=False)
class BinCorrections:
    """Corrections in bins, each of the shape of the bins; None where there is none."""

    normalisation: Array | None = None
    """Detection efficiency of each bin, instead of the number of its live pairs."""

    attenuation: Array | None = None
    """Attenuation factors."""

    randoms: Array | None = None
    """Mean randoms, counts, instead of those estimated from the delayeds."""

    scatter: Array | None = None
    """Mean scatter, counts."""

    components: Components | None = None
    """Efficiencies of single pairs, instead of those of bins."""

    all_background: bool = False
    """Whether `scatter` stands for randoms, too."""

    @property
    def own_randoms(self) -> bool:
        """Whether randoms are still to be estimated."""
        return self.randoms is None and not self.all_background


class Shares:
    """What each pair of detectors has of what is given for its bin.

    Parameters
    ----------
    bins : Bins
        The bins.
    live : array of bool
        Live detectors, shape ``(rings, crystals)``; bins without a live pair take no part.
    inputs : BinCorrections
        What is given for them.
    """

    def __init__(self, bins: Bins, live: Live, inputs: BinCorrections) -> None:
        self._bins, self._inputs = bins, inputs
        pairs = live_pairs(bins, live)
        self._share = np.divide(1, pairs, out=np.zeros_like(pairs), where=pairs > 0)
        self._components = inputs.components and inputs.components.with_live(live)
        if self._components is not None:
            efficiency = self._components.in_bins(bins)
        else:
            given_bins = inputs.normalisation
            efficiency = pairs if given_bins is None else given_bins * (pairs > 0)
        if inputs.attenuation is not None:
            efficiency = efficiency * inputs.attenuation
        self.efficiency: Array = np.ascontiguousarray(efficiency, np.float32)
        """Sum over the pairs of each bin, attenuation included."""

    @property
    def background_total(self) -> float:
        """Given background of all bins that take part, counts."""
        parts = (self._inputs.randoms, self._inputs.scatter)
        live = self.efficiency > 0
        return sum(float(data.sum(where=live, dtype=float)) for data in parts if data is not None)

    def of(self, pairs: NDArray[np.unsignedinteger]) -> tuple[Array, Array]:
        """Return the efficiency and the given background of pairs of live detectors."""
        place = places_of(self._bins, pairs)
        inside = place >= 0
        place = np.where(inside, place, 0)
        share = self._share.ravel()[place] * inside
        background = np.zeros_like(share)
        for data in (self._inputs.randoms, self._inputs.scatter):
            if data is not None:
                background += data.ravel()[place] * share
        if self._components is None:
            return self.efficiency.ravel()[place] * share, background
        own = self._components.of_pairs(pairs) * inside
        if self._inputs.attenuation is not None:
            own *= self._inputs.attenuation.ravel()[place]
        return own, background
