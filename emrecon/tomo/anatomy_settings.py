"""What a person may choose about the images of the body that guide a reconstruction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from emrecon.errors import SettingsError


@dataclass(frozen=True)
class AnatomySettings:
    """Make of an anatomical image what a prior or a kernel compares.

    Examples
    --------
    >>> AnatomySettings(segment_anatomy=True).align_anatomy
    'identity'
    """

    segment_anatomy: bool = False
    """Segment the image of anatomy or kernel, a T1, as emrecon segment does, and let its fractions
    of tissues be compared in place of its intensities."""

    align_anatomy: Literal["identity", "rigid"] = "identity"
    """Where that image lies: identity takes its header's word, rigid turns and moves its tissues
    to where they explain a first image best."""

    def check(self, *, guided: bool, tissues: bool) -> None:
        """Refuse what says nothing.

        Parameters
        ----------
        guided : bool
            Whether there is an anatomy or a kernel.
        tissues : bool
            Whether fractions of tissues are among its files.

        Raises
        ------
        SettingsError
            If there is nothing to segment or to align.
        """
        if self == AnatomySettings():
            return
        if not guided:
            raise SettingsError(
                "segment_anatomy and align_anatomy say nothing without anatomy or kernel: give "
                "one, or leave them out"
            )
        if self.segment_anatomy and tissues:
            raise SettingsError("segment_anatomy is for a T1: those are fractions of tissues")
        if self.align_anatomy == "rigid" and not (self.segment_anatomy or tissues):
            raise SettingsError(
                "align_anatomy rigid follows tissues: say segment_anatomy too, or give the folder "
                "that emrecon segment wrote"
            )
