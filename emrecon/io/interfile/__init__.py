"""Interfile as STIR reads and writes it: images (``.hv``), PET and SPECT projections (``.hs``)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emrecon.errors import FormatError
from emrecon.io.formats import Kind, Reading
from emrecon.io.interfile import images, pet
from emrecon.io.interfile.dialects import dialect_of
from emrecon.io.interfile.header import Header, is_interfile, parse
from emrecon.io.interfile.images import Image, read_image
from emrecon.io.interfile.images import write as write_image
from emrecon.io.interfile.layout import BINS
from emrecon.io.interfile.pet import Flight, Projections, read_geometry, read_projections
from emrecon.io.interfile.pet_write import write_projections
from emrecon.io.interfile.siemens_norm import COUNT, facts_of_norm, read_components
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.inputs import CameraFacts, Corrections
from emrecon.volume import Volume

if TYPE_CHECKING:
    from emrecon.tomo.exam import ExamInfo
    from emrecon.tomo.scan import Scan

__all__ = [
    "FORMATS",
    "Image",
    "Projections",
    "read_components",
    "read_geometry",
    "read_image",
    "read_projections",
    "write_image",
    "write_projections",
]


class _Headers:
    """Headers of keys and values, each with a data file beside it."""

    def data_files(self, path: Path) -> tuple[Path, ...]:
        return parse(path).data_files()


class _InterfileImages(_Headers):
    """Images."""

    name = "Interfile"

    suffixes = (".hv",)

    def kind(self, head: bytes, path: Path) -> Kind | None:
        """Return ``image`` for a header whose first axis is x, or that says so."""
        header = _header(head, path)
        if header is None:
            return None
        voxels = _axis(header) == "x" or "image" in header.words("pet data type")
        return "image" if voxels and _axis(header) != BINS else None

    def describe(self, path: Path, camera: CameraFacts) -> dict[str, str]:
        from emrecon.io.summary import image_summary  # noqa: PLC0415 - not for every command

        return image_summary(self.read_image(path))

    def read_image(self, path: Path) -> Volume:
        return read_image(path).volume

    def patient_position(self, path: Path) -> str:
        return images.stated_position(path)

    def write_image(self, volume: Volume, path: Path) -> None:
        write_image(volume, path)

    def other(self, head: bytes, path: Path) -> str:
        header = _header(head, path)
        return "" if header is None else dialect_of(header)

    def image_header(self, path: Path) -> Volume:
        return images.read_header(path)


class _InterfilePet(_Headers):
    """Projections of ring scanners."""

    name = "Interfile PET"

    def kind(self, head: bytes, path: Path) -> Kind | None:
        """Return ``projections`` for a header whose first axis is tangential."""
        header = _header(head, path)
        return "projections" if header and _axis(header) == BINS else None

    def describe(self, path: Path, camera: CameraFacts) -> dict[str, str]:
        """Return where the counts lie and, where the data file is there, what they add up to."""
        from emrecon.io.summary import bins_summary, facts_summary  # noqa: PLC0415 - as above

        missing, flight = "", Flight()
        try:
            bins = read_geometry(path)
        except FormatError as error:  # perhaps only time of flight is not described
            missing, flight = str(error), Flight(summed=True)
            bins = read_geometry(path, flight)
        words = {"kind": "PET projections (Interfile)", **bins_summary(bins)}
        words |= {"time of flight": f"cannot be used: {missing}"} if missing else {}
        if not self.data_files(path):
            return words | {"data": "missing"}
        read = read_projections(path, flight)
        data = read.data
        return words | {
            "sum": f"{float(data.sum(dtype=np.float64)):.6g}",
            "range": f"{float(data.min()):.6g} to {float(data.max()):.6g}",
            "negative bins": str(int(np.count_nonzero(data < 0))),
            "bins that are 0": f"{100 * float(np.mean(data == 0)):.1f} %",
            **facts_summary(read.facts),
        }

    def read_scan(self, path: Path, reading: Reading) -> Scan:
        """Read the projections; those that are no counts are refused as prompts."""
        from emrecon.tomo.scan import Scan  # noqa: PLC0415 - brings numba

        chosen = reading.corrections
        flight = _flight(chosen, prompts=reading.prompts)
        read = read_projections(path, flight, reading.views)
        if reading.prompts:
            pet.refuse_no_counts(path, read)
        exam = read.exam
        return Scan(
            read.bins, read.data, duration_s=exam.duration_s, exam=exam, facts=read.facts
        )  # fmt: skip

    def read_bins(self, path: Path, corrections: Corrections) -> Bins:
        """Return the bins of a header, whose data file need not exist."""
        return read_geometry(path, _flight(corrections))

    def read_exam(self, path: Path) -> ExamInfo:
        return pet.read_exam(path)

    def check_data(self, path: Path, camera: CameraFacts) -> None:
        pet.check_data(path)


def _flight(chosen: Corrections, *, prompts: bool = True) -> Flight:
    """Return how time of flight is read."""
    return Flight(bool(chosen.sum_tof), chosen.tof_fwhm_ps or 0.0, prompts=prompts)


class _InterfileSpect(_Headers):
    """Projections of gamma cameras."""

    name = "Interfile SPECT"

    def kind(self, head: bytes, path: Path) -> Kind | None:
        """Return ``projections`` for a header that tells their number."""
        header = _header(head, path)
        if header is None or _axis(header) in {"x", BINS}:
            return None
        return "projections" if header.entry("number of projections") is not None else None

    def describe(self, path: Path, camera: CameraFacts) -> dict[str, str]:
        from emrecon.io.interfile import spect  # noqa: PLC0415 - brings numba
        from emrecon.io.summary import spect_summary  # noqa: PLC0415 - as above

        return spect_summary(spect.read_projections(path, camera))

    def read_scan(self, path: Path, reading: Reading) -> Scan:
        from emrecon.io.interfile import spect  # noqa: PLC0415 - brings numba
        from emrecon.io.spect import camera_scan  # noqa: PLC0415 - likewise

        if reading.prompts:
            spect.refuse_unused(path, reading.camera)
        return camera_scan(spect.read_projections(path, reading.camera, reading.isotope), reading)

    def check_data(self, path: Path, camera: CameraFacts) -> None:
        from emrecon.io.interfile import spect  # noqa: PLC0415 - brings numba

        spect.check_data(path, camera)


class _SiemensNorm(_Headers):
    """Siemens' normalisation files: no scan, but read as --norm of one."""

    name = "Siemens normalisation"

    def kind(self, head: bytes, path: Path) -> Kind | None:
        """Return ``other`` for a header with components of a normalisation."""
        header = _header(head, path)
        return "other" if header and header.entry(COUNT) is not None else None

    def describe(self, path: Path, camera: CameraFacts) -> dict[str, str]:
        components = read_components(path)
        live = components.crystals[components.crystals > 0]
        return {
            "kind": "normalisation by components (Siemens)",
            "scanner": components.scanner.name,
            "crystal efficiencies": f"{live.min():.4g} to {live.max():.4g}, "
            f"{components.crystals.size - live.size} crystals are gaps",
            "tangential positions": str(components.geometric.shape[1]),
            "axial effects": f"{components.axial.min():.4g} to {components.axial.max():.4g}",
            **{key.replace("_", " "): str(fact) for key, fact in facts_of_norm(path).items()},
        }


def _header(head: bytes, path: Path) -> Header | None:
    return parse(path) if is_interfile(head) else None


def _axis(header: Header) -> str:
    """Return the name of the first axis."""
    return header.text("matrix axis label", default="").lower()


FORMATS = (_SiemensNorm(), _InterfileImages(), _InterfilePet(), _InterfileSpect())
"""Formats of this folder."""
