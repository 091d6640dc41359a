"""The conversion job: list-mode to sinograms, SPECT to Interfile, an image to another format."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from emrecon import io
from emrecon.brief import brief
from emrecon.errors import SettingsError
from emrecon.files import keep_inputs
from emrecon.io import nifti, sidecar
from emrecon.io.formats import format_of
from emrecon.io.pet_facts import read_pet_facts
from emrecon.io.scan import read_scan
from emrecon.jobs import input_files
from emrecon.jobs.base import (
    BASE_MB,
    MB,
    START_S,
    Estimate,
    Execution,
    Meters,
    Once,
    Summary,
    no_meters,
)
from emrecon.jobs.bundle import (
    FIRST_SLICE,
    check_outputs,
    keep_others,
    refuse_full,
    written_together,
)
from emrecon.jobs.data_kinds import LISTMODE, data_of, refuse_unused
from emrecon.jobs.scan_files import FolderResult, scan_outputs, write_scan
from emrecon.tomo.inputs import Binning, CameraFacts
from emrecon.tomo.listmode import EVERYTHING
from emrecon.tomo.listmode_settings import ListmodeSettings
from emrecon.volume import Volume

log = logging.getLogger(__name__)

WORD_S = 1e-7
"""Processor time for a word of list-mode."""


@dataclass(frozen=True)
class ConversionJob:
    """Turn list-mode into sinograms, SPECT into Interfile, or an image into another format.

    Examples
    --------
    >>> ConversionJob(Path("image.hv"), Path("image.nii.gz")).KIND
    'convert'
    """

    source: Path
    """A PETLINK list-mode header, a DICOM NM TOMO file, or an image."""

    out: Path | None = None
    """Of a scan the folder to write, of an image the file."""

    binning: Binning = field(default_factory=Binning)
    """How list-mode is summed."""

    camera: CameraFacts = field(default_factory=CameraFacts)
    """What to take from SPECT files, and what stands in for what they do not say."""

    KIND: ClassVar[str] = "convert"

    __repr__ = brief

    @property
    def source_kind(self) -> Literal["image", "listmode", "scan"]:
        """What is converted."""
        kind = io.kind(self.source)
        if kind == "events":
            return "listmode"
        return "image" if kind in {"image", "unknown"} else "scan"

    def inputs(self) -> dict[str, Path]:
        """Return every file that is read, by what it is."""
        files = input_files.with_data({"source": self.source})
        about = sidecar.beside(self.source, ".json")
        told = self.out is not None and io.is_series(self.out) and about.exists()
        return files | ({"sidecar": about} if told and self.source_kind == "image" else {})

    def outputs(self) -> tuple[Path, ...]:
        """Return the files that may be written, the main one first."""
        if self.out is None:
            return ()
        if self.source_kind != "image":
            return scan_outputs(self.out)
        if io.is_series(self.out):
            return (self.out / FIRST_SLICE,)
        return (self.out, *([self.out.with_suffix(".v")] if self.out.suffix == ".hv" else []))

    def keep_others(self) -> None:
        """Refuse to write over anything: the files do not say what they come of.

        Raises
        ------
        WriteError
            If one exists.
        """
        keep_inputs(self.outputs(), self.inputs())
        series = self.source_kind == "image" and self.out is not None and io.is_series(self.out)
        if not series:  # which is refused unless empty
            keep_others(self.outputs())

    def check(self, execution: Execution) -> None:
        """Refuse what cannot be converted."""
        kind = self.source_kind
        self._refuse_unused(kind)
        if self.out is not None:
            self._refuse_out(self.out, kind, execution)
        input_files.check_data(self.inputs(), self.camera)

    def _refuse_out(self, out: Path, kind: str, execution: Execution) -> None:
        """Refuse what cannot be written."""
        series = io.is_series(out)
        if kind == "image":
            refuse_full(out) if series else io.image_format(out)
        makes = None if kind == "image" and not series else out
        anywhere = execution.MAKES_FOLDERS
        check_outputs(self.outputs(), self.inputs(), makes, anywhere=anywhere)

    def estimate(self) -> Estimate:
        """Return what it is likely to need, from the headers of its files."""
        if self.source_kind == "image":
            voxels, _ = input_files.image_size(self.source)
            return Estimate(BASE_MB + voxels * 12 / MB, START_S)
        if self.source_kind == "scan":
            size = sum(path.stat().st_size for path in self.inputs().values()) / MB
            return Estimate(BASE_MB + 50 + 8 * size, START_S)
        from emrecon.io.petlink.header import read_header  # noqa: PLC0415 - brings readers

        binning, header = self.binning, read_header(self.source)
        lines = float(np.prod(header.bins(binning.span, binning.max_ring_difference).shape))
        seconds = START_S + header.data.stat().st_size / 4 * WORD_S
        return Estimate(BASE_MB + lines * 4 * 5 / MB, seconds)

    def begin(
        self, meters: Meters = no_meters, execution: Execution | None = None
    ) -> Once[FolderResult | ImageCopy]:
        """Refuse what cannot be converted."""
        self.check(execution or Execution())
        works: dict[str, Callable[[], FolderResult | ImageCopy]] = {
            "image": self._image,
            "scan": self._scan,
            "listmode": self._listmode,
        }
        work = works[self.source_kind]

        def staged() -> FolderResult | ImageCopy:
            with meters(f"reading {self.source.name}", 1):
                return work()

        return Once(staged)

    def _refuse_unused(self, kind: str) -> None:
        """Refuse settings of another kind of source."""
        if kind != "listmode" and self.binning != Binning():
            raise SettingsError(f"span and times are for list-mode, which {self.source} is not")
        held = {"image": "an image", "listmode": LISTMODE}
        data = held.get(kind) or data_of(self.source, ListmodeSettings())
        refuse_unused(data, self.source.name, self.camera)

    def _image(self) -> ImageCopy:
        return ImageCopy(self)

    def _scan(self) -> FolderResult:
        scan, _ = read_scan(self.source, camera=self.camera)
        if scan.origin_mm:
            log.warning("Interfile cannot say that the axis is at %s mm (RAS)", scan.origin_mm)
        total = float(scan.prompts.sum(dtype=np.float64))
        return FolderResult(self.out, lambda to: write_scan(to, scan), Summary((), total))

    def _listmode(self) -> FolderResult:
        from emrecon.io.petlink import sinograms  # noqa: PLC0415 - brings numba

        binning = self.binning
        stop_s = EVERYTHING[1] if binning.stop_s is None else binning.stop_s
        scan = sinograms.read_scan(
            self.source, binning.span, binning.max_ring_difference,
            window_s=(binning.start_s, stop_s),
        )  # fmt: skip
        facts = scan.facts
        dropped = facts["events_dropped"]
        words = f"{facts['prompts']} prompts, {facts['delayeds']} delayeds"
        words += f", of which {dropped} beyond the ring difference kept" if dropped else ""
        about = Summary((words,), float(facts["prompts"]))
        return FolderResult(self.out, lambda to: write_scan(to, scan), about)


@dataclass(frozen=True, eq=False)
class ImageCopy:
    """An image that is to be written in another format."""

    job: ConversionJob
    """Which, and to where."""

    def summary(self) -> Summary:
        """Return nothing: the file says it all."""
        return Summary()

    def write(self) -> tuple[Path, ...]:
        """Write the image."""
        out = self.job.out
        if out is None:
            raise SettingsError("there is no name to write the image to")
        if io.is_series(out):
            return self._write_series(out)
        with written_together(out, out.parent, out.name) as beside:
            self._write(beside / out.name)
        return self.job.outputs()

    def _write_series(self, out: Path) -> tuple[Path, ...]:
        """Write the image as DICOM, with what its sidecar says."""
        about = read_pet_facts(self.job.inputs().get("sidecar"))
        image = io.read_image(self.job.source)
        unit = image.unit or str(about.values.get("Units", ""))
        volume = Volume(image.voxels, image.affine, unit)
        with written_together(out, out, FIRST_SLICE) as folder:
            io.write_series(volume, folder, about.values)
        return (out / FIRST_SLICE,)  # and the others of the folder

    def _write(self, path: Path) -> None:
        """Write the image; from NIfTI to NIfTI with its header, and numbers in their type."""
        if {format_of(self.job.source)[0], io.image_format(path)} <= {*nifti.FORMATS}:
            nifti.copy(self.job.source, path)
        else:
            io.write_image(io.read_image(self.job.source), path)
