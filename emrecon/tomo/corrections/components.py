"""Detection efficiency of a ring scanner as a product of components, for any span and mashing.

The efficiency of a pair of crystals is

    ``crystal_1 crystal_2 geometric(ring 1 + ring 2, bin) interference(bin, view) / axial(rings)``

and that of a bin is the sum over the pairs that it gathers, as its counts are (M. E. Casey et al.,
"A component based method for normalization in volume PET", Fully 3D 1995; that axial factors
divide is what UCL/STIR found, pull request 631).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import GeometryError
from emrecon.tomo.corrections.bin_places import places_of
from emrecon.tomo.geometry.bins import Bins, Scanner
from emrecon.tomo.geometry.detectors import planes_of_rings, scanner_of, sum_over_pairs
from emrecon.volume import Array

Singles = NDArray[np.float64]
"""Singles a second of the block of each crystal, in the axes of the scanner's own files."""


@dataclass(frozen=True, eq=False)
class Components:
    """Components of the efficiency, in the numbering of `geometry.detectors`."""

    scanner: Scanner
    """The scanner."""

    crystals: Array
    """Efficiency of each crystal, 0 in gaps, shape ``(rings, crystals)``."""

    geometric: Array
    """By sum of the two rings and bin, shape ``(2 rings - 1, bins)``."""

    interference: Array
    """By bin and place of the view in a block, shape ``(bins, crystals of a block)``."""

    axial: Array
    """What divides, by ring at end 1 and at end 2, shape ``(rings, rings)``."""

    def __post_init__(self) -> None:
        rings, crystals = self.scanner.rings, self.scanner.crystals
        count, period = self.interference.shape
        shapes = {
            "crystals": (rings, crystals),
            "geometric": (2 * rings - 1, count),
            "axial": (rings, rings),
        }
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise GeometryError(
                    f"{name} has shape {getattr(self, name).shape}, wanted {shape} for "
                    f"{self.scanner.name}"
                )
        if crystals // 2 % period:
            raise GeometryError(f"{period} views do not divide {crystals // 2}")

    def with_live(self, live: NDArray[np.bool_]) -> Components:
        """Return the same with the efficiency 0 for detectors that are dead."""
        return replace(self, crystals=self.crystals * live)

    def in_bins(self, bins: Bins) -> Array:
        """Return the efficiency of every bin, the sum over its detector pairs.

        Raises
        ------
        GeometryError
            If the bins are not raw bins of all views of this scanner, or more than are known.
        """
        at = self.places(bins)
        views = bins.shape[0]
        view = np.arange(self.scanner.crystals // 2).reshape(views, 1, -1)
        across = self.interference[at[None, :, None], view % self.interference.shape[1]]
        efficiency = sum_over_pairs(bins, self.crystals, self._along, across)
        efficiency *= self.geometric[_ring_sums(bins)][:, at].T
        return efficiency

    def of_pairs(self, pairs: NDArray[np.unsignedinteger]) -> Array:
        """Return the efficiency of pairs of detectors, ``ring * crystals + crystal``.

        Pairs beyond the bins that are known have 0.
        """
        count = len(self.interference)
        bins = self.scanner.bins(count=count)
        place = places_of(bins, pairs)
        inside = place >= 0
        rest, plane = np.divmod(np.where(inside, place, 0), bins.planes)
        view, at = np.divmod(rest, count)
        one, two = pairs.T
        crystals = self.crystals.ravel()
        along = _along_planes(bins, self._along)[plane]
        out = crystals[one] * crystals[two] * along * inside
        out *= self.geometric[_ring_sums(bins)[plane], at]
        out *= self.interference[at, view % self.interference.shape[1]]
        return np.asarray(out, np.float32)

    @property
    def _along(self) -> Array:
        """What multiplies, by ring at end 1 and at end 2."""
        return np.divide(1, self.axial, out=np.zeros_like(self.axial), where=self.axial > 0)

    def places(self, bins: Bins) -> NDArray[np.intp]:
        """Return which of the known tangential positions each bin is.

        Raises
        ------
        GeometryError
            If the bins are not raw bins of this scanner, or more than are known.
        """
        scanner = scanner_of(bins)
        same = (scanner.rings, scanner.crystals) == (self.scanner.rings, self.scanner.crystals)
        if not same:
            raise GeometryError(
                f"the normalisation is of {self.scanner.name} ({self.scanner.rings} rings of "
                f"{self.scanner.crystals} crystals), the scan of {scanner.name} "
                f"({scanner.rings} of {scanner.crystals})"
            )
        count, known = bins.shape[1], len(self.interference)
        first = (known - 1 - known // 2) - (count - 1 - count // 2)
        if first < 0 or first + count > known:
            raise GeometryError(
                f"the normalisation has {known} tangential positions, and the scan {count}"
            )
        return np.arange(first, first + count)


def _ring_sums(bins: Bins) -> NDArray[np.intp]:
    """Return the sum of ring numbers that the pairs of each plane have in common."""
    planes = planes_of_rings(bins)
    ring1, ring2 = np.nonzero(planes >= 0)
    sums = np.zeros(bins.planes, np.intp)
    sums[planes[ring1, ring2]] = ring1 + ring2
    return sums


def _along_planes(bins: Bins, values: Array) -> Array:
    """Return values of ring pairs as values of planes, each of a single pair."""
    planes = planes_of_rings(bins)
    along = np.zeros(bins.planes, np.float32)
    along[planes[planes >= 0]] = values[planes >= 0]
    return along
