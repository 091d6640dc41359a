"""The known source whose scan tells a scanner's efficiencies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emrecon import io
from emrecon.errors import SettingsError
from emrecon.tomo.geometry.bins import Bins
from emrecon.volume import Array

LONG_MM = 1e4
"""Length of a cylinder that reaches beyond the scanner."""


MOST_MU = 0.03
"""Attenuation above which no cylinder has that of a phantom: aluminium has 0.022 per mm."""


@dataclass(frozen=True)
class Source:
    """The source that was scanned, and how long its efficiencies are iterated."""

    radius_mm: float = 0.0
    """Radius of a uniform cylinder along the scanner's axis, longer than its field of view."""

    at_mm: tuple[float, ...] = ()
    """Where the cylinder's axis is: x and y in RAS mm; by default in the middle."""

    mu_per_mm: float = 0.0
    """Attenuation of the cylinder, 1/mm (water 0.0096), where no map or factors are given."""

    activity: Path | None = None
    """Image of the source's activity in any unit, instead of a cylinder's radius."""

    iterations: int = 60
    """Steps of the crystals' efficiencies, each followed by one of the geometric profile."""

    def __post_init__(self) -> None:
        if len(self.at_mm) not in {0, 2} or not np.isfinite(self.at_mm).all():
            raise SettingsError(f"at_mm is x and y, not {self.at_mm}")
        if not (0 <= self.radius_mm < LONG_MM and 0 <= self.mu_per_mm < 1):
            raise SettingsError("radius_mm and mu_per_mm are 0 or more")
        if self.mu_per_mm > MOST_MU:
            raise SettingsError(
                f"mu_per_mm is {self.mu_per_mm:g}, and water has 0.0096 per mm: is it in 1/cm?"
            )
        if self.iterations < 1:
            raise SettingsError(f"iterations are 1 or more, not {self.iterations}")

    def check(self) -> None:
        """Refuse no source, or two.

        Raises
        ------
        SettingsError
            If neither or both of cylinder and image are given.
        """
        if bool(self.radius_mm) == (self.activity is not None):
            raise SettingsError(
                "what was scanned? say the radius of a cylinder (--radius-mm) or give an image of "
                "its activity (--activity)"
            )
        if self.activity is not None and (self.mu_per_mm or self.at_mm):
            raise SettingsError("at_mm and mu_per_mm are of a cylinder: give --mu with --activity")

    def lines(self, bins: Bins) -> tuple[Array, Array | None]:
        """Return the line integrals of the source, and attenuation factors if it states any."""
        from emrecon.tomo.operators.joseph import JosephProjector  # noqa: PLC0415 - brings numba
        from phantoms.lines import line_integrals  # noqa: PLC0415 - likewise
        from phantoms.shapes import cylinder  # noqa: PLC0415

        if self.activity is not None:
            image = io.read_image(self.activity).ras()
            return JosephProjector(image.grid(), bins.untimed).forward(image.voxels), None
        x, y = self.at_mm or (0.0, 0.0)
        body = cylinder((x, y, 0.0), (self.radius_mm, self.radius_mm), LONG_MM)
        lengths = line_integrals((body,), bins.untimed, (1.0,))
        np.maximum(lengths, 0, out=lengths)
        return lengths, np.exp(-np.float32(self.mu_per_mm) * lengths) if self.mu_per_mm else None
