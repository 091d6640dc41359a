"""DICOM: projections of gamma cameras (NM), CT, PET images (PT)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emrecon.io.dicom.attributes import is_dicom
from emrecon.io.formats import Kind, Reading
from emrecon.tomo.inputs import CameraFacts

if TYPE_CHECKING:
    from emrecon.tomo.scan import Scan
    from emrecon.volume import Volume


class _DicomNm:
    """Tomographic acquisitions of gamma cameras; of other DICOM files it is said what they are."""

    name = "DICOM NM"

    def kind(self, head: bytes, path: Path) -> Kind | None:
        """Return ``projections`` for an NM TOMO acquisition, ``other`` for any other DICOM."""
        if not is_dicom(head):
            return None
        from emrecon.io.dicom import nm, pet_images  # noqa: PLC0415 - brings pydicom

        if nm.is_acquisition(path):
            return "projections"
        return None if pet_images.is_slice(path) else "other"

    def describe(self, path: Path, camera: CameraFacts) -> dict[str, str]:
        from emrecon.io.dicom import nm  # noqa: PLC0415 - brings pydicom
        from emrecon.io.summary import spect_summary  # noqa: PLC0415 - not for every command

        return spect_summary(nm.read_projections(path, camera))

    def read_scan(self, path: Path, reading: Reading) -> Scan:
        from emrecon.io.dicom import nm  # noqa: PLC0415 - brings pydicom
        from emrecon.io.spect import camera_scan  # noqa: PLC0415 - not for every command

        return camera_scan(nm.read_projections(path, reading.camera, reading.isotope), reading)


class _DicomPet:
    """Series of PET images: a slice a file, all of the series in one folder."""

    name = "DICOM PT"

    def kind(self, head: bytes, path: Path) -> Kind | None:
        """Return ``image`` for a slice of a PET image."""
        if not is_dicom(head):
            return None
        from emrecon.io.dicom import pet_images  # noqa: PLC0415 - brings pydicom

        return "image" if pet_images.is_slice(path) else None

    def describe(self, path: Path, camera: CameraFacts) -> dict[str, str]:
        from emrecon.io.summary import image_summary  # noqa: PLC0415 - not for every command

        return image_summary(self.read_image(path))

    def read_image(self, path: Path) -> Volume:
        from emrecon.io.dicom import pet_images  # noqa: PLC0415 - brings pydicom

        return pet_images.read_image(path)

    def data_files(self, path: Path) -> tuple[Path, ...]:
        """Return the other slices of the series."""
        from emrecon.io.dicom import pet_images  # noqa: PLC0415 - brings pydicom

        return pet_images.others(path)

    def write_series(
        self, volume: Volume, folder: Path, about: Mapping[str, Any]
    ) -> tuple[Path, ...]:
        from emrecon.io.dicom.pet_series import write_series  # noqa: PLC0415 - brings pydicom

        return write_series(volume, folder, about)


FORMATS = (_DicomPet(), _DicomNm())
"""Formats of this folder."""
