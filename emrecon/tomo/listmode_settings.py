"""What a person may choose about list-mode: event by event or as sinograms, whole or in parts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from emrecon.errors import SettingsError


@dataclass(frozen=True)
class ListmodeSettings:
    """How list-mode is reconstructed; the command line, the panel and job files fill it in.

    Examples
    --------
    >>> ListmodeSettings(frames="0:60,60:120").several
    True
    >>> ListmodeSettings(gate_by="cardiac")
    Traceback (most recent call last):
        ...
    emrecon.errors.SettingsError: how many phases? say --gates
    """

    list_mode: bool = False
    """Reconstruct list-mode event by event, without sinograms; subsets are then of events.
    PETSIRD files always are."""

    frames: str = ""
    """Reconstruct list-mode in frames, an image each: start:duration,start:duration,... in
    seconds, or a BIDS .json or .tsv file with FrameTimesStart and FrameDuration."""

    decay_corrected: bool = False
    """Bring each frame or gate to the activity at the start of the scan."""

    gates: str = ""
    """Reconstruct list-mode in gates, an image each: the number of phases between triggers, or
    a table (.tsv) with onset and duration in seconds and gate (1, 2, ...)."""

    gate_by: str = ""
    """Triggers between which phases are counted: respiratory or cardiac ones that the file
    holds, or a table (.tsv) of their onsets in seconds."""

    def __post_init__(self) -> None:
        if self.gate_by and not self.gates:
            raise SettingsError("how many phases? say --gates")
        if self.frames and self.gates:
            raise SettingsError(
                "give --frames or --gates, not both: gates within frames are not made"
            )
        if self.decay_corrected and not self.several:
            raise SettingsError(
                "decay correction is for frames and gates: say --frames or --gates"
            )

    @property
    def several(self) -> bool:
        """Whether there is an image for each of several parts of the scan."""
        return bool(self.frames or self.gates)

    def tables(self) -> dict[str, Path]:
        """Return the tables that are named, by what names them."""
        named = {name: getattr(self, name) for name in ("frames", "gates", "gate_by")}
        return {name: Path(text) for name, text in named.items() if is_table(text)}


def is_table(text: str) -> bool:
    """Return whether what was said of frames, gates or triggers is the name of a file."""
    return text.lower().endswith((".tsv", ".json"))
