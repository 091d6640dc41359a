"""Detection efficiencies from the scan of a known source, by maximum likelihood.

The prompts of a bin are Poisson with the mean

    ``profile(|bin|) source(bin) sum over pairs crystal_1 crystal_2 + background(bin)``

where the source is the line integral of the known activity times its attenuation. Both steps below
are models for `emrecon.em.em`, and the log-likelihood never falls:

- crystals: with the counts of each pair expected from those of its bin, ``e_i e_j`` is at most
  ``(e_i^2 e_j' / e_i' + e_j^2 e_i' / e_j') / 2`` about the present e', which parts the crystals
  and gives ``e_i = e_i' sqrt(measured fan / modelled fan)``;
- profile: expected trues over modelled ones, bins at the same distance from the middle together.

After D. Hogg et al. (IEEE NSS-MIC 2001 and 2002) and Casey et al. (Fully 3D 1995); the bound
replaces their coordinate-wise steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

from emrecon.em import Iterate, Model, em
from emrecon.errors import DataError
from emrecon.tomo.corrections.normalisation import ALIVE
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.detectors import scanner_of, sum_over_pairs
from emrecon.tomo.geometry.fans import Fans
from emrecon.volume import Array

Floats = NDArray[np.float64]

FEWEST = 100.0
"""Counts in the fan of a live detector, on average, below which nothing can be estimated."""

NOTHING, ENOUGH = 0.1, 1000.0
"""Share of the middle's profile that counts as none, where so many counts were to be expected."""


@dataclass(frozen=True, eq=False)
class Factors:
    """What is estimated."""

    crystals: Floats
    """Efficiency of each crystal, shape ``(rings, crystals)``."""

    profile: Floats
    """Geometric factor by distance from the middle bin, shape ``(bins // 2 + 1,)``."""


@dataclass(frozen=True, eq=False)
class Expected:
    """What is expected of the counts under some factors."""

    trues: Array
    """Mean trues of every bin."""

    ratio: Array
    """Prompts over their mean."""


@dataclass(frozen=True, eq=False)
class SourceScan:
    """The scan of a known source."""

    bins: Bins
    """Raw bins of a ring scanner, of any span and mashing."""

    prompts: Array
    """Measured counts."""

    source: Array
    """What each bin would count with pairs of perfect detectors, up to a factor: at least 0."""

    background: Array | None = None
    """Mean randoms and scatter."""

    def __post_init__(self) -> None:
        for name in ("prompts", "source", "background"):
            data = getattr(self, name)
            if data is None:
                continue
            if data.shape != self.bins.shape:
                raise DataError(f"{name} has shape {data.shape}, the bins {self.bins.shape}")
            if not float(data.min()) >= 0:
                raise DataError(f"{name} is negative or NaN in some bins")
        scanner = scanner_of(self.bins)
        seen = self.source > 0
        counts = 2 * float(self.prompts.sum(where=seen, dtype=np.float64))
        if counts < FEWEST * scanner.rings * scanner.crystals:
            raise DataError(
                f"{counts / 2:.6g} prompts of the source are too few for the efficiencies of "
                f"{scanner.rings * scanner.crystals} crystals: wanted {FEWEST:g} a crystal"
            )

    @cached_property
    def fans(self) -> Fans:
        """Return what sums over the partners of each crystal."""
        return Fans(self.bins)

    @cached_property
    def distance(self) -> NDArray[np.intp]:
        """Return how many bins each is from the middle one."""
        count = self.bins.shape[1]
        return np.abs(np.arange(count) - (count - 1 - count // 2))

    def start(self) -> Factors:
        """Return factors that are all alike, and expect as many prompts as there are."""
        scanner = scanner_of(self.bins)
        ones = np.ones((scanner.rings, scanner.crystals))
        flat = Factors(ones, np.ones(int(self.distance.max()) + 1))
        trues = self.trues(flat).sum(where=self.source > 0, dtype=np.float64)
        background = self.background
        counts = float(self.prompts.sum(where=self.source > 0, dtype=np.float64))
        counts -= (
            0.0
            if background is None
            else float(background.sum(where=self.source > 0, dtype=float))
        )
        if counts <= 0:
            raise DataError("the prompts of the source are no more than the background")
        return replace(flat, crystals=ones * np.sqrt(counts / trues))

    def beside(self) -> float:
        """Return the share of the prompts, less the background, on lines that miss the source."""
        net = self.prompts if self.background is None else self.prompts - self.background
        whole = float(net.sum(dtype=np.float64))
        missed = float(net.sum(where=self.source <= 0, dtype=np.float64))
        return missed / whole if whole > 0 else 0.0

    def uncounted(self, factors: Factors) -> NDArray[np.intp]:
        """Return which distances from the middle bin see much of the source, and count nothing.

        Much is a third of what the line that sees most does, and 1000 counts of all its lines, if
        its profile were that of the middle; nothing is a tenth of that profile.
        """
        most = self._most_by_distance(self.source)
        with_middle = self.trues(replace(factors, profile=np.full_like(factors.profile, 1.0)))
        expected = self.by_distance(with_middle) * factors.profile[0]
        sees = (most > most.max() / 3) & (expected > ENOUGH)
        return np.flatnonzero(sees & (factors.profile < NOTHING * factors.profile[0]))

    def by_distance(self, data: Array) -> Floats:
        """Return the sum of all bins at each distance from the middle one."""
        across = data.sum(axis=(0, 2), dtype=np.float64)
        return np.bincount(self.distance, across).astype(np.float64)

    def _most_by_distance(self, data: Array) -> Floats:
        """Return the greatest of all bins at each distance from the middle one."""
        out = np.zeros(int(self.distance.max()) + 1)
        np.maximum.at(out, self.distance, data.max(axis=(0, 2)).astype(np.float64))
        return out

    def trues(self, factors: Factors) -> Array:
        """Return the mean trues of every bin."""
        trues = sum_over_pairs(self.bins, factors.crystals)
        trues *= self.weights(factors)
        return trues

    def weights(self, factors: Factors) -> Array:
        """Return what the sum over the pairs of each bin is multiplied by."""
        profile = factors.profile.astype(np.float32)[self.distance]
        return np.asarray(self.source * profile[:, None], np.float32)

    def expect(self, factors: Factors) -> tuple[Expected, float]:
        """Return what the factors make expect, and their log-likelihood."""
        trues = self.trues(factors)
        mean = trues if self.background is None else trues + self.background
        live = (mean > 0) & (self.source > 0)
        ratio = np.divide(self.prompts, mean, out=np.zeros_like(mean), where=live)
        logs = np.log(mean, out=np.zeros_like(mean), where=live)
        terms = np.where(live, self.prompts * logs - mean, 0)
        return Expected(trues, ratio), float(terms.sum(dtype=np.float64))

    def iterates(self) -> Iterator[Iterate[Factors]]:
        """Yield the start, and the factors after every step: crystals and profile in turn."""
        steps: tuple[Model[Factors, Expected], ...] = (CrystalStep(self), ProfileStep(self))
        return em(cycle(steps), self.start())

    @staticmethod
    def live(factors: Factors) -> NDArray[np.bool_]:
        """Return which crystals count, shape ``(rings, crystals)``."""
        crystals = factors.crystals
        return np.asarray(crystals > ALIVE * np.median(crystals[crystals > 0]), np.bool_)

    def efficiency(self, factors: Factors) -> Array:
        """Return the efficiency of every bin; its mean over live detector pairs is 1.

        Crystals that count less than a tenth of the median are taken for dead. The profile of bins
        that see nothing of the source is that of the nearest that do.
        """
        seen = np.zeros(len(factors.profile), np.bool_)
        seen[self.distance[(self.source > 0).any(axis=(0, 2))]] = True
        known = np.flatnonzero(seen)
        nearest = known[np.argmin(np.abs(known[:, None] - np.arange(len(seen))), axis=0)]
        profile = factors.profile[nearest]
        live = self.live(factors)
        pairs = sum_over_pairs(self.bins, live.astype(np.float64))
        efficiency = sum_over_pairs(self.bins, factors.crystals * live)
        efficiency *= profile.astype(np.float32)[self.distance][:, None]
        efficiency *= np.float32(pairs.sum(dtype=np.float64) / efficiency.sum(dtype=np.float64))
        return efficiency


@dataclass(frozen=True, eq=False)
class CrystalStep:
    """Improves the efficiencies of crystals."""

    scan: SourceScan
    """The scan."""

    def expect(self, factors: Factors) -> tuple[Expected, float]:
        """Return what the factors make expect, and their log-likelihood."""
        return self.scan.expect(factors)

    def maximise(self, factors: Factors, expected: Expected) -> Factors:
        """Return the crystals under which the expected counts of pairs are more likely."""
        weights = self.scan.weights(factors)
        fans = self.scan.fans
        modelled = fans.of(factors.crystals, weights)
        measured = fans.of(factors.crystals, expected.ratio * weights)
        return replace(factors, crystals=factors.crystals * np.sqrt(_over(measured, modelled)))


@dataclass(frozen=True, eq=False)
class ProfileStep:
    """Improves the geometric profile."""

    scan: SourceScan
    """The scan."""

    def expect(self, factors: Factors) -> tuple[Expected, float]:
        """Return what the factors make expect, and their log-likelihood."""
        return self.scan.expect(factors)

    def maximise(self, factors: Factors, expected: Expected) -> Factors:
        """Return the most likely profile with the crystals as they are."""
        measured = self.scan.by_distance(expected.ratio * expected.trues)
        step = _over(measured, self.scan.by_distance(expected.trues), nothing=1.0)
        return replace(factors, profile=factors.profile * step)


def _over(above: Floats, below: Floats, nothing: float = 0.0) -> Floats:
    """Return the quotient, `nothing` where there is nothing below."""
    return np.divide(above, below, out=np.full_like(above, nothing), where=below > 0)
