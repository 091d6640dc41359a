"""The quadratic prior: the same everywhere, and hard on edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from emrecon.tomo.kernels.pair_potentials import QUADRATIC


@dataclass(frozen=True)
class Quadratic:
    """A pair adds ``(x_j - x_k)^2 / 2``."""

    KERNEL: ClassVar[int] = QUADRATIC

    @property
    def constants(self) -> tuple[float, float]:
        """None."""
        return 0.0, 0.0
