"""Jobs of phantoms: their voxels, and scans of them, in folders with the truth beside."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from emrecon import forms
from emrecon.brief import brief
from emrecon.errors import SettingsError
from emrecon.files import make_folder
from emrecon.io import sidecar
from emrecon.io.manifest import MANIFEST, is_simulated, write_manifest
from emrecon.io.pictures.preview import preview
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
from emrecon.jobs.bundle import check_outputs, keep_others
from emrecon.jobs.scan_files import FolderResult, scan_outputs, write_scan
from emrecon.memory import check_fits
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.settings import per_axis
from emrecon.volume import Array, Grid, Volume
from phantoms.acquisition import Acquisition, phantom_named, scan_mb
from phantoms.spect_acquisition import CameraAcquisition

if TYPE_CHECKING:
    from phantoms.phantom import Phantom
    from phantoms.simulate import Simulation
    from phantoms.simulate_events import EventSimulation
    from phantoms.spect_acquisition import CameraSimulation

LINE_S = 2.2e-7
"""Processor time to count a line."""

PHOTON_S = 3e-5
"""Processor time for a coincidence by Monte Carlo."""


IDLE = {
    "dicom": ("scanner", "span", "max_ring_difference", "arc_corrected", "tof_fwhm_ps",
              "randoms_fraction", "spread", "dead_blocks"),
    "petsird": ("scatter_fraction",),
}  # fmt: skip
"""Fields of an acquisition that say nothing to scans of a kind: those of rings, to a gamma camera;
a share of scatter, to single events, whose scatter is by monte-carlo."""


@dataclass(frozen=True)
class SimulationJob:
    """Simulate a scan of a phantom: sinograms, single events (PETSIRD), or SPECT (DICOM).

    Examples
    --------
    >>> from phantoms.acquisition import Acquisition
    >>> job = SimulationJob("nema", Path("scan"), Acquisition(scanner="tiny", counts=1e6))
    >>> job.KIND
    'simulate'
    """

    phantom: str
    """Name of the phantom."""

    out: Path | None = None
    """Folder to write."""

    acquisition: Acquisition = field(default_factory=Acquisition)
    """What scans it, and how; of a gamma camera views, bins, counts, scatter, noise and seed."""

    camera: CameraAcquisition = field(default_factory=CameraAcquisition)
    """The gamma camera, and how it goes around the patient."""

    dicom: bool = False
    """Let a gamma camera scan it, and write DICOM."""

    petsird: bool = False
    """Count event by event, and write PETSIRD; needs the package petsird. There is scatter where
    it is by monte-carlo."""

    seconds: float = 60.0
    """Duration of list-mode data."""

    KIND: ClassVar[str] = "simulate"

    __repr__ = brief

    def __post_init__(self) -> None:
        if self.dicom and self.petsird:
            raise SettingsError("a scan is written as DICOM or as PETSIRD: give one of them")
        if not self.dicom and self.camera != CameraAcquisition():
            raise SettingsError("the settings of a gamma camera need dicom (--dicom)")
        if self.dicom and (self.acquisition.monte_carlo or self.acquisition.resolution_mm):
            raise SettingsError(
                "scatter monte-carlo and resolution_mm are for PET, not for a gamma camera (dicom)"
            )
        if self.seconds != 60.0 and not self.petsird:
            raise SettingsError("seconds are of list-mode data: leave them out, or say petsird")
        changed = forms.changed(self.acquisition)
        for kind in ("dicom", "petsird"):
            idle = [name for name in IDLE[kind] if getattr(self, kind) and changed.get(name)]
            if idle:
                raise SettingsError(f"{idle[0]} says nothing with {kind}: leave it out")

    def inputs(self) -> dict[str, Path]:
        """Return no file: nothing is read."""
        return {}

    def outputs(self) -> tuple[Path, ...]:
        """Return the files that are written, the manifest first."""
        if self.out is None:
            return ()
        scan = scan_outputs(self.out)
        if self.dicom or self.petsird:
            scan = (scan[0], self.out / ("projections.dcm" if self.dicom else "scan.petsird"))
        if self.acquisition.monte_carlo and not self.petsird:
            from phantoms.simulate_photons import ORDERS  # noqa: PLC0415 - brings numba

            scan += tuple(self.out / f"{order}.{end}" for order in ORDERS for end in ("hs", "s"))
        names = ("truth.nii.gz", "mu.nii.gz", "labels.nii.gz", "labels.json", "truth.json",
                 "truth.png")  # fmt: skip
        return (*scan, *(self.out / name for name in names))

    def keep_others(self) -> None:
        """Refuse to write over a scan that was not simulated.

        Raises
        ------
        WriteError
            If there are files of one in the folder.
        """
        if self.out is not None:
            manifest = self.out / MANIFEST
            keep_others(self.outputs(), "a simulation", ours=lambda: is_simulated(manifest))

    def check(self, execution: Execution) -> None:
        """Find the phantom, and refuse an output that cannot be written."""
        phantom_named(self.phantom)
        check_outputs(self.outputs(), {}, self.out, anywhere=execution.MAKES_FOLDERS)
        if self.petsird:
            from emrecon.io.petsird.write import writer_for  # noqa: PLC0415 - few scans

            writer_for(self.seconds)

    def estimate(self) -> Estimate:
        """Return what it is likely to need."""
        if self.dicom:
            return Estimate(BASE_MB + 400, 0.0)
        layout = self.acquisition.event_layout() if self.petsird else self.acquisition.layout()
        memory = BASE_MB + scan_mb(layout, events=self.petsird)
        seconds = START_S + float(np.prod(layout.shape)) * LINE_S
        if self.acquisition.monte_carlo:
            memory += 3 * 4 * math.prod(layout.data_shape) / MB
            seconds += PHOTON_S * self.acquisition.counts
        return Estimate(memory, seconds)

    def begin(
        self, meters: Meters = no_meters, execution: Execution | None = None
    ) -> Once[FolderResult]:
        """Find the phantom, and refuse an output that cannot be written."""
        self.check(execution or Execution())
        phantom = phantom_named(self.phantom)

        def work() -> FolderResult:
            with meters(f"counting {self.phantom}", 1):
                return self._counted(phantom)

        return Once(work)

    def _counted(self, phantom: Phantom) -> FolderResult:
        simulation: Simulation | EventSimulation | CameraSimulation
        write: Callable[[Path], tuple[Path, ...]]
        if self.dicom:
            simulation = seen = self.camera.scan(phantom, self.acquisition)
            about = _counts("counts", seen.counts[0], seen.camera.shape)
            write = partial(write_camera_simulation, simulation=seen)
        elif self.petsird:
            simulation = events = self.acquisition.events(phantom)
            prompts, delayeds = len(events.prompts[0]), len(events.delayeds[0])
            about = Summary((f"{prompts} prompts, {delayeds} delayeds",), float(prompts))
            write = partial(write_event_simulation, simulation=events, seconds=self.seconds)
        else:
            simulation = counted = self.acquisition.scan(phantom)
            about = _counts("prompts", counted.scan.prompts, counted.scan.prompts.shape)
            write = partial(write_simulation, simulation=counted)
        told = {"Units": simulation.truth.unit, "Facts": simulation.facts}
        return FolderResult(self.out, lambda to: (*write(to), self._tell(to, told)), about)

    def _tell(self, folder: Path, told: Mapping[str, object]) -> Path:
        """Write how a scan was simulated beside its truth; return the file."""
        settings = forms.plain(self.acquisition)
        settings |= forms.plain(self.camera) if self.dicom else {}
        settings |= {"seconds": self.seconds} if self.petsird else {}
        how = {"Phantom": self.phantom, "Settings": settings, **told}
        sidecar.write(folder / "truth.json", {"GeneratedBy": sidecar.generated_by(), **how})
        return folder / "truth.json"


def _counts(what: str, counts: Array, shape: tuple[int, ...]) -> Summary:
    """Return in words how much was counted."""
    total = float(counts.sum(dtype=np.float64))
    return Summary((f"{total:.0f} {what} in {' x '.join(map(str, shape))} bins",), total)


@dataclass(frozen=True)
class PhantomJob:
    """Write a phantom's activity, attenuation and labels as NIfTI, and a picture of it."""

    phantom: str
    """Name of the phantom."""

    out: Path | None = None
    """Folder to write."""

    voxel_mm: tuple[float, ...] = (2.0,)
    """Voxel size in mm along x, y, z, or one number for all."""

    KIND: ClassVar[str] = "phantom"

    __repr__ = brief

    def __post_init__(self) -> None:
        if not all(0 < length < 1e6 for length in per_axis(self.voxel_mm)):
            raise SettingsError(f"voxel_mm must be above zero, not {self.voxel_mm}")

    def inputs(self) -> dict[str, Path]:
        """Return no file: nothing is read."""
        return {}

    def outputs(self) -> tuple[Path, ...]:
        """Return the files that are written, the activity first."""
        names = ("activity.nii.gz", "mu.nii.gz", "labels.nii.gz", "labels.json", "activity.png")
        return () if self.out is None else tuple(self.out / name for name in names)

    def keep_others(self) -> None:
        """Refuse to write over files of anything but a phantom, such as those of a scan.

        Raises
        ------
        WriteError
            If there are some.
        """
        if self.out is not None:
            labels = self.out / "labels.json"
            keep_others(self.outputs(), "a phantom", ours=lambda: sidecar.is_phantom(labels))

    def check(self, execution: Execution) -> None:
        """Find the phantom, and refuse one that is too large or cannot be written."""
        phantom_named(self.phantom)
        check_fits(self.estimate().memory_mb, "this phantom", "choose larger voxels (--voxel-mm)")
        check_outputs(self.outputs(), {}, self.out, anywhere=execution.MAKES_FOLDERS)

    def estimate(self) -> Estimate:
        """Return what it is likely to need."""
        return Estimate(BASE_MB + 12 * math.prod(self._grid().shape) / MB, START_S)

    def begin(
        self, meters: Meters = no_meters, execution: Execution | None = None
    ) -> Once[FolderResult]:
        """Find the phantom, and refuse one that is too large or cannot be written."""
        self.check(execution or Execution())
        phantom, grid = phantom_named(self.phantom), self._grid()

        def work() -> FolderResult:
            with meters(f"voxelising {self.phantom}", 1):
                volumes = {
                    "activity": phantom.activity(grid),
                    "mu": phantom.mu(grid),
                    "labels": phantom.label_map(grid),
                }
            return FolderResult(
                self.out,
                lambda to: _write_volumes(to, volumes, phantom.labels, phantom=phantom.name),
            )

        return Once(work)

    def _grid(self) -> Grid:
        """Return the voxels that hold the phantom, about the origin."""
        low, high = phantom_named(self.phantom).bounds_mm
        reach, voxel = np.maximum(-low, high), per_axis(self.voxel_mm)
        i, j, k = (int(np.ceil(2 * r / v)) + 2 for r, v in zip(reach, voxel, strict=True))
        return Grid.centred((i, j, k), voxel)


def write_simulation(folder: Path, simulation: Simulation) -> tuple[Path, ...]:
    """Write a simulated scan with its truth."""
    from emrecon.io.interfile import write_projections  # noqa: PLC0415 - as write_scan

    make_folder(folder)
    files, bins = write_scan(folder, simulation.scan, simulated=True), simulation.scan.bins
    assert isinstance(bins, Bins)  # noqa: S101 - for the type alone
    for name, counts in simulation.orders.items():
        file = folder / f"{name}.hs"
        write_projections(file, bins, counts, simulation.scan.exam)
        files = (*files, file)
    return (*files, *_write_truth(folder, simulation, {"mu": simulation.mu}))


def write_event_simulation(
    folder: Path, simulation: EventSimulation, seconds: float
) -> tuple[Path, ...]:
    """Write a simulated list-mode scan as PETSIRD with its truth."""
    from emrecon.io.petsird.write import Coincidences, write  # noqa: PLC0415 - not every job

    make_folder(folder)
    scan = folder / "scan.petsird"
    prompts, delayeds = Coincidences(*simulation.prompts), Coincidences(*simulation.delayeds)
    write(scan, simulation.bins, prompts, delayeds, seconds, simulation.efficiencies)
    mu = {"mu": "mu.nii.gz", "mu_unit": "1/mm"} if simulation.facts["attenuated"] else {}
    write_manifest(folder / MANIFEST, scan.name, simulated=True, **mu)
    return (folder / MANIFEST, scan, *_write_truth(folder, simulation, {"mu": simulation.mu}))


def write_camera_simulation(folder: Path, simulation: CameraSimulation) -> tuple[Path, ...]:
    """Write a simulated SPECT scan as DICOM NM TOMO with its truth."""
    from emrecon.io.dicom.write import Study, write_projections  # noqa: PLC0415 - brings pydicom
    from emrecon.io.spect import Window  # noqa: PLC0415

    camera = simulation.acquisition
    r, a, s = camera.patient_mm
    order = ("window", "rotation", "detector", "view")
    study = Study(
        tuple(Window(name, ((low, high),)) for name, low, high in simulation.windows_kev),
        camera.source().name,
        camera.heads,
        camera.view_s,
        camera.position,
        (r, a, s),
        ("window", "rotation", "view", "detector") if camera.detector_fastest else order,
        collimator=camera.collimator,
        description=simulation.facts["phantom"],
    )
    make_folder(folder)
    scan = write_projections(
        folder / "projections.dcm", simulation.camera, simulation.counts, study
    )
    mu = {} if simulation.mu is None else {"mu": simulation.mu}
    files = _write_truth(folder, simulation, mu)
    named = {"mu": "mu.nii.gz", "mu_unit": "1/mm"} if mu else {}
    write_manifest(folder / MANIFEST, scan.name, simulated=True, **named)
    return (folder / MANIFEST, scan, *files)


def _write_truth(
    folder: Path,
    simulation: Simulation | EventSimulation | CameraSimulation,
    mu: dict[str, Volume],
) -> tuple[Path, ...]:
    """Write what is true of a simulated scan."""
    volumes = {"truth": simulation.truth, **mu, "labels": simulation.labels}
    return _write_volumes(folder, volumes, simulation.facts["labels"])


def _write_volumes(
    folder: Path, volumes: Mapping[str, Volume], labels: Mapping[int, str], phantom: str = ""
) -> tuple[Path, ...]:
    """Write volumes as NIfTI under their names, labels as whole numbers, and a picture."""
    from emrecon.io import nifti  # noqa: PLC0415 - brings nibabel

    first = next(iter(volumes))
    for name, volume in volumes.items():
        nifti.write(volume, folder / f"{name}.nii.gz", labels=name == "labels")
    names = sidecar.write_label_names(folder / "labels.nii.gz", labels, phantom)
    preview(volumes[first], folder / f"{first}.png", title=phantom or "truth")
    return (*(folder / f"{name}.nii.gz" for name in volumes), names, folder / f"{first}.png")
