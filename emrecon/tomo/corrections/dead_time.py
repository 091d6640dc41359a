"""Counts lost while detectors are dead, as a share of the time from what was counted.

Of a detector that is dead for a time ``t`` after a count, ``m`` counts a second tell that it was
alive for a share ``1 - m t`` of the time if what comes meanwhile is just lost (non-paralysable),
and ``m / n`` with ``m = n exp(-n t)`` if that prolongs it (paralysable); of the two rates ``n``
that would give ``m`` the lower is meant (G. F. Knoll, "Radiation Detection and Measurement", ch.
4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from emrecon.errors import DataError, SettingsError

MODELS = ("nonparalysable", "paralysable")
"""What counts do that come while a detector is dead: nothing, or prolong it."""


@dataclass(frozen=True)
class DeadTime:
    """Dead time of a whole scanner after each prompt, or of each block after each single."""

    seconds: float
    """For how long a count makes dead."""

    model: str = MODELS[0]
    """One of `MODELS`."""

    singles_cps: float = 0.0
    """Singles a second that a block counts; 0 where the prompts of the scanner tell instead."""

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise SettingsError(f"dead_time_model is {' or '.join(MODELS)}, not {self.model!r}")
        for name, value in (("dead_time_us", self.seconds), ("singles_cps", self.singles_cps)):
            if not (value >= 0 and math.isfinite(value)):
                raise SettingsError(f"{name} is 0 or more, not {value}")

    def alive(self, prompts_cps: float) -> float:
        """Return the share of coincidences that are counted: both blocks, or the scanner, live.

        Raises
        ------
        DataError
            If no scanner with this dead time could count so many.
        """
        share = self._alive(self.singles_cps or prompts_cps)
        return share**2 if self.singles_cps else share

    def facts(self, prompts_cps: float) -> dict[str, Any]:
        """Return every figure by name, for the sidecar."""
        return {
            "dead_time_corrected": True,
            "dead_time_s": self.seconds,
            "dead_time_model": self.model,
            "dead_time_of": "blocks" if self.singles_cps else "scanner",
            "dead_time_counts_per_s": self.singles_cps or prompts_cps,
            "dead_time_factor": 1 / self.alive(prompts_cps),
        }

    def _alive(self, rate: float) -> float:
        """Return the share of the time that something is alive that counts so often a second."""
        busy = rate * self.seconds
        paralysable = self.model == MODELS[1]
        if busy >= (math.exp(-1) if paralysable else 1.0):
            raise DataError(
                f"with a dead time of {1e6 * self.seconds:g} us ({self.model}) nothing counts "
                f"{rate:.6g} times a second: is it that of a block, and singles_cps its singles?"
            )
        if not paralysable:
            return 1 - busy
        from scipy.special import lambertw  # noqa: PLC0415 - heavy

        return math.exp(float(lambertw(-busy).real))
