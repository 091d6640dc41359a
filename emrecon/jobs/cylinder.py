"""The cylinder of known activity by which a scanner is calibrated."""

from __future__ import annotations

from dataclasses import dataclass

from emrecon.errors import SettingsError
from emrecon.tomo.corrections.decay import earlier_over_later


@dataclass(frozen=True)
class Cylinder:
    """What is known about a cylinder, and what stands in for what its image's sidecar lacks."""

    bq_per_ml: float = 0.0
    """Activity concentration at the start of the scan, Bq/mL. Instead of activity and volume."""

    activity_mbq: float = 0.0
    """Activity in the cylinder, MBq, as it was assayed."""

    volume_ml: float = 0.0
    """Volume of the cylinder, mL."""

    assayed_h: float = 0.0
    """Hours from the assay of the activity to the start of the scan."""

    isotope: str = ""
    """Isotope, such as F-18, where the sidecar names none."""

    duration_s: float = 0.0
    """Length of the scan, where the sidecar does not say."""

    scanner: str = ""
    """Name of the scanner, where the sidecar does not say."""

    inside: float = 0.75
    """Share of the cylinder's radius and length that is measured."""

    def __post_init__(self) -> None:
        amounts = (self.bq_per_ml, self.activity_mbq, self.volume_ml, self.duration_s)
        if not all(0 <= amount < float("inf") for amount in amounts):
            raise SettingsError(
                f"activity, volume and time are 0 or more, unlike one of {amounts}"
            )
        if self.bq_per_ml and (self.assayed_h or self.activity_mbq or self.volume_ml):
            raise SettingsError("bq_per_ml is that at the start of the scan: leave the others out")
        if not 0.1 <= self.inside < 1 or not abs(self.assayed_h) < 1e5:
            raise SettingsError("inside is from 0.1 to below 1, assayed_h finite")

    def concentration(self, half_life_s: float) -> float:
        """Return the activity concentration at the start of the scan, Bq/mL."""
        if self.bq_per_ml:
            return self.bq_per_ml
        if not (self.activity_mbq and self.volume_ml):
            raise SettingsError(
                "how active is the cylinder? say bq_per_ml, or activity_mbq and "
                "volume_ml (--bq-per-ml, or --activity-mbq and --volume-ml)"
            )
        assayed = 1e6 * self.activity_mbq / self.volume_ml
        return assayed / earlier_over_later(half_life_s, 3600 * self.assayed_h)
