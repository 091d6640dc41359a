"""The log-cosh prior: quadratic for small differences, linear for large ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from emrecon.errors import SettingsError
from emrecon.tomo.kernels.pair_potentials import LOG_COSH


@dataclass(frozen=True)
class LogCosh:
    """A pair adds ``log cosh(s d) / s^2``, with `d` its difference and `s` the `scale`.

    After P. J. Green, IEEE Trans. Med. Imaging 9, 84 (1990), divided by ``s^2`` as STIR does.
    """

    scale: float
    """Over a unit of the image: differences well above its inverse are edges."""

    KERNEL: ClassVar[int] = LOG_COSH

    def __post_init__(self) -> None:
        if not 0 < self.scale < 1e30:
            raise SettingsError(f"the scale of log-cosh is above 0, not {self.scale}")

    @property
    def constants(self) -> tuple[float, float]:
        """The scale."""
        return self.scale, 0.0
