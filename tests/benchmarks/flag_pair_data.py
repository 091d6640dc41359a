"""Small scans of every kind, and files of what settings name, for the tables of `flag_pairs`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from emrecon import jobs
from emrecon.io import read_image, write_image
from emrecon.io.calibration_file import write_calibration
from emrecon.jobs.simulate import SimulationJob
from emrecon.tomo.corrections.quantity import PetCalibration
from emrecon.volume import Volume
from phantoms.acquisition import Acquisition
from phantoms.spect_acquisition import CameraAcquisition
from tests.io import samples

Words = tuple[str, ...]
"""What is typed."""


@dataclass(frozen=True)
class Data:
    """Small scans of every kind, and the files that settings name."""

    folder: Path
    """Where they lie."""

    @cached_property
    def pet(self) -> Path:
        """Sinograms."""
        like = Acquisition(scanner="tiny", span=3, counts=3e4)
        return _simulated(self.folder / "pet", like)

    @cached_property
    def tof(self) -> Path:
        """Sinograms with time of flight."""
        like = Acquisition(scanner="tiny", span=3, counts=3e4, tof_fwhm_ps=400.0)
        return _simulated(self.folder / "tof", like)

    @cached_property
    def events(self) -> Path:
        """List-mode that can be summed to sinograms."""
        (self.folder / "petlink").mkdir()
        return samples.petlink(self.folder / "petlink")[0]

    @cached_property
    def petsird(self) -> Path:
        """List-mode that cannot."""
        like = Acquisition(scanner="tiny", counts=3e3)
        return _simulated(self.folder / "petsird", like, petsird=True, seconds=4.0)

    @cached_property
    def spect(self) -> Path:
        """Projections of a gamma camera."""
        camera = CameraAcquisition(bin_mm=8.0, planes=10, plane_mm=8.0)
        like = Acquisition(views=12, bins=32, counts=3e4)
        return _simulated(self.folder / "spect", like, camera=camera, dicom=True)

    @cached_property
    def moved(self) -> str:
        """The attenuation map of those, not in their middle."""
        mu, path = read_image(self.spect / "mu.nii.gz"), self.folder / "moved.nii.gz"
        aside = mu.affine.copy()
        aside[:2, 3] += 4.0
        write_image(Volume(mu.voxels, aside, mu.unit), path)
        return str(path)

    @property
    def guide(self) -> str:
        """An image of the body."""
        return str(self.pet / "truth.nii.gz")

    @property
    def kernel(self) -> Words:
        """Kernel EM."""
        return ("--kernel", self.guide, "--kernel-window", "3", "--kernel-neighbours", "5")

    @property
    def cache(self) -> Words:
        """Sensitivities that are kept."""
        return ("--cache", str(self.folder / "cache"))

    @cached_property
    def facts(self) -> str:
        """What is known of an examination."""
        path = self.folder / "facts.json"
        path.write_text(json.dumps({
            "TracerRadionuclide": "F18", "InjectedRadioactivity": 300, "PatientWeight": 70,
            "InjectedRadioactivityUnits": "MBq", "InjectionStart": -3600, "ScanStart": 0,
            "TimeZero": "10:00:00", "FrameDuration": [600],
        }))  # fmt: skip
        return str(path)

    @cached_property
    def times(self) -> tuple[Words, ...]:
        """Parts of list-mode."""
        gates = self.folder / "gates.tsv"
        gates.write_text("onset\tduration\tgate\n0\t1\t1\n1\t1\t2\n")
        decayed = ("--decay-corrected", "--frames", "0:1,1:1", "--facts", self.facts)
        return ("--frames", "0:1,1:1"), decayed, ("--gates", str(gates)), ("--span", "3")

    def quantities(self, efficiencies: str) -> tuple[Words, ...]:
        """Return what an image may be in, of a scan with efficiencies from somewhere."""
        path = self.folder / f"calibration {efficiencies}.json"
        write_calibration(path, PetCalibration(5e4, "tiny", efficiencies), {})
        calibrated: Words = ("--calibration", str(path), "--facts", self.facts)
        dead: Words = ("--dead-time-us", "1", "--facts", self.facts)
        return (
            ("--facts", self.facts), calibrated, ("--suv", *calibrated), dead,
            (*dead, "--dead-time-model", "paralysable"),
        )  # fmt: skip

    def regions(self, scan: Path) -> tuple[Words, ...]:
        """Return how regions of a simulated scan may be measured."""
        labels: Words = ("--regions", str(scan / "labels.nii.gz"))
        drawn: Words = ("--uncertainty", "bootstrap", "--draws", "2")
        return (*labels, "--uncertainty", "none"), (*labels, *drawn)

    @cached_property
    def corrections(self) -> tuple[Words, ...]:
        """The corrections of the sinograms."""
        scan = self.pet
        mu, bed = scan / "mu.nii.gz", scan / "bed.nii.gz"
        body = read_image(mu)
        write_image(Volume(body.voxels * 0.3, body.affine, body.unit), bed)
        simulated: Words = ("--scatter", "simulate", "--mu", str(mu))
        files = ("normalisation", "attenuation", "randoms", "scatter")
        return (
            *((f"--{name}", str(scan / f"{name}.hs")) for name in files),
            ("--mu", str(mu)), ("--mu", str(mu), str(bed)), ("--mu-unit", "1/cm", "--mu", str(mu)),
            simulated, (*simulated, "--scatter-absolute"), (*simulated, "--scatter-rounds", "1"),
            (*simulated, "--window-kev", "400", "650"), (*simulated, "--energy-resolution", "0.2"),
        )  # fmt: skip


def _simulated(folder: Path, like: Acquisition, **how: Any) -> Path:
    """Write a scan of a kind; return its folder."""
    jobs.run(SimulationJob("flip-finder", folder, like, **how))
    return folder
