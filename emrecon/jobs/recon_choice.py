"""What is reconstructed, and how: the value of a reconstruction job, its files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from emrecon import forms, io
from emrecon.errors import SettingsError, WriteError
from emrecon.files import keep_inputs
from emrecon.io import sidecar
from emrecon.io.manifest import resolved
from emrecon.jobs import input_files
from emrecon.jobs.anatomy import inputs_of
from emrecon.jobs.bundle import FIRST_SLICE, keep_others, refuse_full
from emrecon.tomo.anatomy_settings import AnatomySettings
from emrecon.tomo.inputs import CameraFacts, Corrections
from emrecon.tomo.kernel_settings import KernelSettings
from emrecon.tomo.listmode_settings import ListmodeSettings
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.region_settings import RegionSettings
from emrecon.tomo.settings import Settings

REGIONS = ".regions.tsv"
"""Ending of the table of regions."""

SCATTER = ".scatter.png"
"""Ending of the picture of scatter, where that is simulated."""

MU = ".mu.nii.gz"
"""Ending of the attenuation map, where that is estimated."""

SWEEP = ".sweep.tsv"
"""Ending of the table of a sweep of a prior's strength."""


@dataclass(frozen=True)
class ReconChoice:
    """A scan, how it is reconstructed, and what that reads and writes."""

    scan: Path
    """The scan: a folder or manifest, projections, list-mode; see `emrecon.io.scan`."""

    out: Path | None = None
    """Image to write: ``.nii``, ``.nii.gz`` or, without frames and gates, ``.hv``; a name without
    an ending is a folder of DICOM PT files."""

    settings: Settings = field(default_factory=Settings)
    """How to reconstruct."""

    corrections: Corrections = field(default_factory=Corrections)
    """Files with corrections."""

    camera: CameraFacts = field(default_factory=CameraFacts)
    """What to take from SPECT files, and what stands in for what they do not say."""

    listmode: ListmodeSettings = field(default_factory=ListmodeSettings)
    """Event by event, in frames or in gates."""

    penalty: Penalty = field(default_factory=Penalty)
    """A prior, and the algorithm that takes it."""

    kernel: KernelSettings = field(default_factory=KernelSettings)
    """What the image is made of in kernel EM."""

    anatomical: AnatomySettings = field(default_factory=AnatomySettings)
    """What is made of an anatomy or a kernel's images."""

    regions: RegionSettings = field(default_factory=RegionSettings)
    """What of the image is measured, and how sure that is."""

    KIND: ClassVar[str] = "recon"

    def inputs(self) -> dict[str, Path]:
        """Return every file that is read, by what it is.

        Raises
        ------
        EmreconError
            If one is missing, or a header that names others cannot be read.
        """
        files = input_files.scan_inputs(self.scan, self.corrections)
        images = self.listmode.tables()
        for form in (self.penalty, self.kernel, self.regions):
            images |= forms.paths_in(form)
        input_files.must_exist(images)
        for what, paths in (("anatomy", self.penalty.anatomy), ("kernel", self.kernel.kernel)):
            images = {name: path for name, path in images.items() if path not in paths}
            images |= inputs_of(what, paths, self.anatomical) if paths else {}
        labels = self.regions.regions
        names = sidecar.beside(labels, ".json") if labels else None
        beside = {"region names": names} if names and names.exists() else {}
        return files | input_files.with_data(images) | beside

    def outputs(self) -> tuple[Path, ...]:
        """Return the files that are written, the image first."""
        if self.out is None:
            return ()
        if io.is_series(self.out):
            about = tuple(self.out / f"recon{end}" for end in self._endings)
            return (self.out / FIRST_SLICE, *about)
        data = (self.out.with_suffix(".v"),) if self.out.suffix == ".hv" else ()
        return (self.out, *data, *(sidecar.beside(self.out, end) for end in self._endings))

    @property
    def _endings(self) -> tuple[str, ...]:
        """The endings of what is written beside the image."""
        return (*(end for end, made in self._optional.items() if made), ".json", ".csv", ".png")

    @property
    def _optional(self) -> dict[str, bool]:
        """The endings of what some runs write beside the image, and whether this one does."""
        return {
            SCATTER: self.corrections.simulate_scatter,
            MU: self.corrections.mlaa,
            REGIONS: self.regions.regions is not None,
            SWEEP: bool(self.penalty.betas),
        }

    def stale(self) -> list[Path]:
        """Return files beside the image that other runs write, and which are not of this one."""
        if self.out is None or io.is_series(self.out):
            return []
        others = [end for end, made in self._optional.items() if not made]
        return [path for end in others if (path := sidecar.beside(self.out, end)).is_file()]

    def check_format(self) -> None:
        """Refuse a file that cannot hold what is made.

        Raises
        ------
        EmreconError
            If no format ends so, it has no frames, or the folder of a series is not empty.
        """
        if self.out is None:
            return
        if self.out.name == forms.NONE:
            raise SettingsError("none stands for a file that is left out: name the output")
        if io.is_series(self.out):
            if self.listmode.gates or self.penalty.betas:
                raise SettingsError("gates and betas are not written as DICOM: name it .nii.gz")
            refuse_full(self.out)
        elif io.image_format(self.out).name != "NIfTI" and self.several:
            raise SettingsError(
                "several frames, gates or betas are written as NIfTI: name it .nii.gz, or without "
                "an ending for a folder of DICOM (frames)"
            )

    def keep_others(self) -> None:
        """Refuse to write over an image of another scan, or over what belongs to another image.

        Raises
        ------
        WriteError
            If files exist that were not made of these prompts, or an image of the same name in
            another format, whose sidecar and picture would be lost.
        """
        if self.out is None or io.is_series(self.out):  # which is refused unless empty
            return
        if not any(path.is_file() for path in self.outputs()):
            return
        keep_inputs(self.outputs(), self.inputs())
        about = sidecar.beside(self.out, ".json")
        rivals = [about.with_suffix(end) for end in io.image_suffixes()]
        for rival in rivals:
            if rival != self.out and rival.exists():
                raise WriteError(
                    f"{self.out} would take over sidecar and picture of {rival.name}: name "
                    "another (--out), or say --overwrite"
                )
        prompts, _ = resolved(self.scan, self.corrections)
        keep_others(
            self.outputs(), f"{prompts}",
            ours=lambda: sidecar.made_of(about, "prompts", prompts),
        )  # fmt: skip

    @property
    def several(self) -> bool:
        """Whether it makes several images: of frames, gates or strengths of a prior."""
        return self.listmode.several or bool(self.penalty.betas)

    @property
    def method(self) -> str:
        """What the reconstruction is called."""
        plain = "OSEM" if self.settings.subsets > 1 else "MLEM"
        return self.penalty.name or (f"kernel {plain}" if self.kernel.kernel else plain)

    @property
    def checkpoint(self) -> Path | None:
        """Where the state of a run is saved."""
        return self.out and sidecar.beside(self.out, ".checkpoint.npz")
