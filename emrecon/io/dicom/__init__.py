"""DICOM: projections of gamma cameras (NM), CT."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from emrecon.io.formats import Kind, Reading
from emrecon.tomo.inputs import CameraFacts

if TYPE_CHECKING:
    from emrecon.tomo.scan import Scan


class _DicomNm:
    """Tomographic acquisitions of gamma cameras; of other DICOM files it is said what they are."""

    name = "DICOM NM"

    def kind(self, head: bytes, path: Path) -> Kind | None:
        """Return ``projections`` for an NM TOMO acquisition, ``other`` for any other DICOM."""
        if not is_dicom(head):
            return None
        from emrecon.io.dicom import nm  # noqa: PLC0415 - brings pydicom

        return "projections" if nm.is_acquisition(path) else "other"

    def describe(self, path: Path, camera: CameraFacts) -> dict[str, str]:
        from emrecon.io.dicom import nm  # noqa: PLC0415 - brings pydicom
        from emrecon.io.summary import spect_summary  # noqa: PLC0415 - not for every command

        return spect_summary(nm.read_projections(path, camera))

    def read_scan(self, path: Path, reading: Reading) -> Scan:
        from emrecon.io.dicom import nm  # noqa: PLC0415 - brings pydicom
        from emrecon.io.spect import camera_scan  # noqa: PLC0415 - not for every command

        return camera_scan(nm.read_projections(path, reading.camera, reading.isotope), reading)


def is_dicom(head: bytes) -> bool:
    """Return whether a file that begins so is DICOM, with its preamble of 128 bytes."""
    return head[128:132] == b"DICM"


FORMATS = (_DicomNm(),)
"""Formats of this folder."""
