"""What a person may choose about regions, and how sure their means are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from emrecon.errors import SettingsError

Method = Literal["auto", "bootstrap", "curvature", "none"]


@dataclass(frozen=True)
class RegionSettings:
    """Measure regions of the image, with standard errors and resolution.

    Examples
    --------
    >>> RegionSettings(Path("labels.nii.gz"), "bootstrap", draws=50).draw_seed
    1
    >>> RegionSettings(draws=1)
    Traceback (most recent call last):
        ...
    emrecon.errors.SettingsError: draws is 2 or more, not 1
    """

    regions: Path | None = None
    """Labels (NIfTI or Interfile) of the regions of which a table is written: mean, standard error
    and volume. A label of one voxel is a region too."""

    uncertainty: Method = "auto"
    """Where the standard errors come from: bootstrap (all is done again with counts drawn from the
    counts), curvature (of data and prior at a converged image), or none; auto is curvature with
    a prior and until_converged, else bootstrap."""

    draws: int = 30
    """The bootstrap: how many times; the standard error is itself uncertain by 1 over the root
    of twice that."""

    draw_seed: int = 1
    """The bootstrap: seed of what is drawn."""

    def __post_init__(self) -> None:
        if self.draws < 2:
            raise SettingsError(f"draws is 2 or more, not {self.draws}")
        if self.draw_seed < 0:
            raise SettingsError(f"draw_seed is 0 or more, not {self.draw_seed}")

    def method(self, *, converged: bool) -> Method:
        """Return the method that auto stands for, of a run that goes on to the maximum or not."""
        if self.uncertainty != "auto":
            return self.uncertainty
        return "curvature" if converged else "bootstrap"

    def check(self, *, prior: bool) -> None:
        """Refuse what goes with a prior alone.

        Raises
        ------
        SettingsError
            If there is none.
        """
        if self.uncertainty == "curvature" and not prior:
            raise SettingsError(
                "uncertainty curvature is that of a prior's maximum: give a prior, or choose "
                "bootstrap"
            )
