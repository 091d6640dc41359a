"""From counts to becquerel: the calibration of a gamma camera, and decay."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from emrecon.errors import DataError, SettingsError
from emrecon.tomo.corrections.decay import earlier_over_later, start_over_mean
from emrecon.volume import Volume

BQ_PER_ML = 1e9
"""MBq/mm3 in Bq/mL."""


@dataclass(frozen=True)
class Calibration:
    """What turns an image in counts/mm into Bq/mL at a reference time.

    A view holds ``sensitivity time activity`` counts of a source anywhere before a parallel-hole
    collimator, and its bins hold the line integrals of the image. So the image holds
    ``sensitivity time area`` counts/mm of each MBq/mm3, with the area of a bin.
    """

    cps_per_mbq: float
    """Sensitivity of one head in the energy window used, without attenuation: counts per second
    and MBq."""

    view_s: float
    """Time that each view counts."""

    bin_mm2: float
    """Area of a bin."""

    half_life_s: float = math.inf
    """Half-life of the isotope; infinite for no decay."""

    decayed_s: float = 0.0
    """Time from the reference to the start of the scan."""

    duration_s: float = 0.0
    """Time from the start to the end of the scan."""

    def __post_init__(self) -> None:
        for name in ("cps_per_mbq", "view_s", "bin_mm2", "half_life_s"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} must be above zero, not {getattr(self, name)}")
        if not (self.duration_s >= 0 and math.isfinite(self.duration_s + self.decayed_s)):
            raise SettingsError(
                f"a scan of {self.duration_s} s that began {self.decayed_s} s after the reference "
                "time makes no sense"
            )

    @property
    def decay_during(self) -> float:
        """Activity at the start of the scan over its mean during the scan."""
        return start_over_mean(self.half_life_s, self.duration_s)

    @property
    def decay_before(self) -> float:
        """Activity at the reference time over that at the start of the scan."""
        return earlier_over_later(self.half_life_s, self.decayed_s)

    @property
    def factor(self) -> float:
        """Bq/mL at the reference time for one count/mm."""
        counted = self.cps_per_mbq * self.view_s * self.bin_mm2
        return BQ_PER_ML / counted * self.decay_during * self.decay_before

    def applied(self, volume: Volume) -> Volume:
        """Return a volume in counts/mm in Bq/mL.

        Raises
        ------
        DataError
            If the volume is in another unit.
        """
        if volume.unit != "counts/mm":
            raise DataError(f"an image in {volume.unit or 'no unit'} given, wanted counts/mm")
        return Volume(volume.voxels * np.float32(self.factor), volume.affine, "Bq/mL")

    def facts(self) -> dict[str, Any]:
        """Return every factor by name, for the sidecar."""
        return {
            "sensitivity_cps_per_mbq": self.cps_per_mbq,
            "view_duration_s": self.view_s,
            "bin_area_mm2": self.bin_mm2,
            "half_life_s": self.half_life_s if math.isfinite(self.half_life_s) else None,
            "reference_to_start_s": self.decayed_s,
            "decay_factor_during_scan": self.decay_during,
            "decay_factor_to_reference": self.decay_before,
            "bq_per_ml_per_count_per_mm": self.factor,
        }
