"""Dead time of PETSIRD files: the share of time that detectors and pairs of modules are alive.

It multiplies the efficiencies (ETSInitiative/PETSIRD, ``AliveTimeFractions``), as its mean over
the time that is reconstructed; of a product, the product of the means.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from emrecon.errors import FormatError
from emrecon.io.petsird.scanner import Efficiencies, Floats, ModuleType, Types
from emrecon.tomo.gates import Gate, When

SINGLES = "singlesAliveTimeFractions"
PAIRS = ("modulePairAliveTimeFractions", "moduleCoincidenceAliveTimeFractions")
"""The name of today, and that of versions before 0.10."""


class AliveTime:
    """The mean share of time alive, from the blocks of a file that tell it.

    Parameters
    ----------
    types : tuple of ModuleType
        Kinds of modules.
    when : tuple of float or Gate
        What of the scan is reconstructed.
    """

    def __init__(self, types: tuple[ModuleType, ...], when: When) -> None:
        self._types, self._when = types, when
        self._singles: list[Floats] = [np.zeros(each.bins) for each in types]
        self._pairs: dict[Types, Floats] = {
            (one, two): np.zeros((types[one].modules, types[two].modules))
            for one in range(len(types))
            for two in range(one + 1)
        }
        self._ms = 0.0
        self.stated = False
        """Whether there was a block about dead time."""

    def add(self, block: dict[str, Any]) -> None:
        """Take in a block about dead time, as it was decoded."""
        self.stated = True
        start, stop = (float(block["timeInterval"][name]) for name in ("start", "stop"))
        weight = self._overlap(start, stop)
        if not weight > 0:
            return
        self._ms += weight
        fractions = block["aliveTimeFractions"]
        for kind in range(len(self._types)):
            self._singles[kind] += weight * self._of_bins(fractions.get(SINGLES) or (), kind)
        table = next((fractions[name] for name in PAIRS if fractions.get(name)), ())
        for pair in self._pairs:
            self._pairs[pair] += weight * self._of_modules(table, pair)

    def applied(self, efficiencies: Efficiencies, counted_ms: float) -> Efficiencies:
        """Return efficiencies times the share of time alive.

        Raises
        ------
        FormatError
            If dead time is not told for all the time that was counted.
        """
        if self._ms < 0.99 * counted_ms or not self._ms:
            raise FormatError(
                f"dead time is told for {self._ms / 1000:g} s of the {counted_ms / 1000:g} s of "
                "events: quantities would be wrong"
            )
        singles = tuple(total / self._ms for total in self._singles)
        if efficiencies.singles:
            singles = tuple(a * b for a, b in zip(singles, efficiencies.singles, strict=True))
        pairs = {pair: total / self._ms for pair, total in self._pairs.items()}
        return replace(efficiencies, singles=singles, modules=pairs)

    def _overlap(self, start_ms: float, stop_ms: float) -> float:
        """Return how much of a stretch of time is reconstructed."""
        if isinstance(self._when, Gate):
            return self._when.overlap_ms(start_ms, stop_ms)
        low, high = (1000 * edge for edge in self._when)
        return min(high, stop_ms) - max(low, start_ms)

    def _of_bins(self, tables: Any, kind: int) -> Floats:  # noqa: ANN401 - as decoded
        """Return the share of each detection bin of a kind of modules; 1 without a table."""
        if not len(tables):
            return np.ones(self._types[kind].bins)
        return _share(tables[kind], self._singles[kind].shape)

    def _of_modules(self, table: Any, pair: Types) -> Floats:  # noqa: ANN401 - as decoded
        """Return the share of each pair of modules; 1 without a table."""
        shape = self._types[pair[0]].modules, self._types[pair[1]].modules
        rows: Any = table[pair[0]][pair[1]] if len(table) else ()
        if isinstance(rows, np.ndarray):  # before 0.10: a matrix, or one number for all
            return _share(np.broadcast_to(rows, shape) if rows.size == 1 else rows, shape)
        if not len(rows):
            return np.ones(shape)
        if len(rows) != 1 or len(rows[0]) != shape[0]:
            raise FormatError(f"dead time of modules {pair} is not one table of {shape}")
        lengths = [n + 1 if pair[0] == pair[1] else shape[1] for n in range(shape[0])]
        out = np.ones(shape)
        for module, (row, length) in enumerate(zip(rows[0], lengths, strict=True)):
            out[module, :length] = _share(row[:length], (length,))
        if pair[0] == pair[1]:
            out = np.tril(out) + np.tril(out, -1).T
        return out


def _share(values: Any, shape: tuple[int, ...]) -> Floats:  # noqa: ANN401 - as decoded
    """Return shares of time, refusing those that are none."""
    share = np.asarray(values, float)
    if share.shape != shape or not ((share >= 0) & (share <= 1)).all():
        raise FormatError(f"dead time is a table of {shape}, from 0 (dead) to 1 (alive)")
    return share
