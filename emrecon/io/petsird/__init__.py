"""PETSIRD list-mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from emrecon.io.formats import Kind
from emrecon.tomo.inputs import CameraFacts, Corrections

if TYPE_CHECKING:
    from emrecon.tomo.exam import ExamInfo
    from emrecon.tomo.gates import Times, When
    from emrecon.tomo.listmode_scan import ListmodeScan

SIGNALS = {"respiratory": "respTrigger", "cardiac": "ecgTrigger"}
"""What the exam's list calls the triggers of a source."""


class _Petsird:
    """Events of any scanner, in yardl's binary encoding."""

    name = "PETSIRD"

    def kind(self, head: bytes, path: Path) -> Kind | None:
        """Return ``events`` for a file of yardl's encoding, of which PETSIRD is one."""
        return "events" if head.startswith(b"yardl") else None

    def describe(self, path: Path, camera: CameraFacts) -> dict[str, str]:
        from emrecon.io.petsird.file import summary  # noqa: PLC0415 - brings numba

        return summary(path)

    @contextmanager
    def open_events(
        self, path: Path, corrections: Corrections, window_s: When
    ) -> Iterator[tuple[ListmodeScan, dict[str, Path]]]:
        """Give the events with attenuation, and with scatter of any sinogram."""
        from emrecon.io.corrections import read_medium, read_scatter  # noqa: PLC0415 - as above
        from emrecon.io.petsird.events import reading  # noqa: PLC0415 - brings numba

        medium = read_medium(corrections)
        scatter, files = read_scatter(corrections)
        with reading(path, window_s, medium.mu, scatter) as scan:
            yield scan, medium.files | files

    def read_exam(self, path: Path) -> ExamInfo:
        from emrecon.io.petsird.file import PetsirdFile  # noqa: PLC0415 - brings numba

        return PetsirdFile(path).exam

    def triggers(self, path: Path, source: str) -> tuple[Times, str]:
        from emrecon.io.petsird.file import PetsirdFile  # noqa: PLC0415 - brings numba

        times, others = PetsirdFile(path).signals(SIGNALS[source])
        return times, f"its signals are {', '.join(others) or 'none'}"


FORMATS = (_Petsird(),)
"""Formats of this folder."""
