"""Siemens PETLINK list-mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from emrecon.io.formats import Kind, Reading
from emrecon.io.interfile.header import is_interfile, normal, parse
from emrecon.tomo.inputs import CameraFacts, Corrections

if TYPE_CHECKING:
    from emrecon.tomo.corrections.components import Singles
    from emrecon.tomo.exam import ExamInfo
    from emrecon.tomo.gates import Times, When
    from emrecon.tomo.geometry.bins import Bins
    from emrecon.tomo.listmode_scan import ListmodeScan
    from emrecon.tomo.scan import Scan


class _Petlink:
    """Words of 32 bits, with a header beside them."""

    name = "PETLINK"

    def kind(self, head: bytes, path: Path) -> Kind | None:
        """Return ``events`` for a header of list-mode."""
        if not is_interfile(head):
            return None
        header = parse(path)
        space = header.text("%sms-mi header name space", default="").lower()
        data = normal(header.text("data format", default=""))
        return "events" if "petlink" in space or data == "coincidencelist" else None

    def describe(self, path: Path, camera: CameraFacts) -> dict[str, str]:
        from emrecon.io.petlink import sinograms  # noqa: PLC0415 - brings numba
        from emrecon.io.summary import bins_summary, facts_summary  # noqa: PLC0415 - as above

        counts = sinograms.histogram(path, keep_delayeds=False)
        return {
            "kind": "PET list-mode (PETLINK, 32 bit)",
            "prompts": f"{counts.prompt_count:,}",
            "delayeds": f"{counts.delayed_count:,}",
            "duration": f"{counts.duration_s:g} s",
            "events dropped": str(counts.dropped),
            **bins_summary(counts.bins),
            **facts_summary(sinograms.read_header(path).facts),
        }

    def read_scan(self, path: Path, reading: Reading) -> Scan:
        """Count the events into sinograms, with live detector pairs and randoms."""
        from emrecon.io.petlink import sinograms  # noqa: PLC0415 - brings numba

        span = reading.corrections.listmode_span
        return sinograms.read_scan(path, span=span, window_s=reading.window_s)

    def read_bins(self, path: Path, corrections: Corrections) -> Bins:
        from emrecon.io.petlink.header import read_header  # noqa: PLC0415 - brings tables

        return read_header(path).bins(corrections.listmode_span)

    def read_exam(self, path: Path) -> ExamInfo:
        from emrecon.io.petlink.header import read_header  # noqa: PLC0415 - brings tables

        return read_header(path).exam

    def check_data(self, path: Path, camera: CameraFacts) -> None:
        from emrecon.io.petlink import sinograms  # noqa: PLC0415 - brings numba

        sinograms.check_words(sinograms.read_header(path))

    @contextmanager
    def open_events(
        self, path: Path, corrections: Corrections, window_s: When
    ) -> Iterator[tuple[ListmodeScan, dict[str, Path]]]:
        """Give the events with attenuation and with corrections that lie in their bins."""
        from emrecon.io.corrections import read_in_bins, read_medium, singles_for  # noqa: PLC0415 - as above
        from emrecon.io.interfile.siemens_norm import facts_of_norm  # noqa: PLC0415 - likewise
        from emrecon.io.petlink.events import reading  # noqa: PLC0415 - brings numba

        medium = read_medium(corrections)
        singles = singles_for(corrections, lambda: self.block_singles(path, window_s))
        in_bins, files = read_in_bins(self.read_bins(path, corrections), corrections, singles)
        norm, stated = corrections.norm, {}
        if norm is not None:
            stated = facts_of_norm(norm, singles)
        with reading(path, corrections.listmode_span, window_s, medium.mu, in_bins) as scan:
            yield scan.with_(facts=scan.facts | stated), medium.files | files

    def block_singles(self, path: Path, window_s: When) -> Singles | None:
        from emrecon.io.petlink.block_singles import block_singles  # noqa: PLC0415 - likewise

        return block_singles(path, window_s)

    def triggers(self, path: Path, source: str) -> tuple[Times, str]:
        from emrecon.io.petlink.triggers import triggers  # noqa: PLC0415 - brings numba

        return triggers(path, source)

    def data_files(self, path: Path) -> tuple[Path, ...]:
        return parse(path).data_files()


FORMATS = (_Petlink(),)
"""Formats of this folder."""
