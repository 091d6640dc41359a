"""A small whole file of each built-in format that does not write images."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from emrecon.io import interfile, write_series
from emrecon.io.calibration_file import write_calibration
from emrecon.io.interfile import spect as interfile_spect
from emrecon.io.petlink.sinograms import sample_events, write_events
from emrecon.tomo.corrections.quantity import PetCalibration
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.geometry.presets import by_name
from emrecon.volume import Volume
from phantoms.cylinder import uniform_cylinder
from phantoms.simulate_events import simulate_events
from tests.io.nm_files import nm_dataset, saved
from tests.io.siemens_files import mmr_components, write_norm

AFFINE = np.array([[-2.0, 0, 0, 10], [0, 3, 0, -20], [0, 0, 4, 30], [0, 0, 0, 1]])

ABOUT = {
    "TimeZero": "23:30:00", "ScanDate": "2024-03-09", "ScanStart": 3600, "InjectionStart": 60,
    "FrameTimesStart": [3600], "FrameDuration": [600], "ImageDecayCorrected": True,
    "ImageDecayCorrectionTime": 3600, "DecayCorrectionFactor": [1.03], "TracerRadionuclide": "F18",
    "TracerName": "FDG", "InjectedRadioactivity": 310.5, "InjectedRadioactivityUnits": "MBq",
    "PatientWeight": 71.5, "Units": "Bq/mL", "AttenuationCorrection": "mu-map",
    "ReconMethodName": "PSF-OSEM", "ReconMethodParameterLabels": ["subsets", "iterations"],
    "ReconMethodParameterValues": [12, 4],
    "Facts": {"efficiencies_from": "bins", "randoms": 1e5, "scatter": 1e5},
}  # fmt: skip
"""A sidecar that tells all that DICOM PT needs."""


def nifti(folder: Path) -> list[Path]:
    """Return the two names of a pair."""
    image = nib.Nifti1Pair(np.arange(60, dtype=np.int16).reshape(3, 4, 5), AFFINE)
    image.to_filename(folder / "pair.img")
    return [folder / "pair.hdr", folder / "pair.img"]


def analyze(folder: Path) -> list[Path]:
    image = nib.AnalyzeImage(np.arange(60, dtype=np.int16).reshape(3, 4, 5), AFFINE)
    image.to_filename(folder / "analyze.img")
    return [folder / "analyze.hdr"]


def mgh(folder: Path) -> list[Path]:
    voxels = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    for name in ("a.mgh", "a.mgz"):
        nib.MGHImage(voxels, AFFINE).to_filename(folder / name)
    return [folder / "a.mgh", folder / "a.mgz"]


def petlink(folder: Path) -> list[Path]:
    bins = by_name("tiny").bins(span=1)
    mean = np.full(bins.shape, 2e4 / np.prod(bins.shape))
    events = sample_events(bins, mean, mean / 5, 2.0, np.random.default_rng(0))
    write_events(folder / "scan.l.hdr", bins, events)
    return [folder / "scan.l.hdr"]


def pet(folder: Path) -> list[Path]:
    bins = by_name("tiny").bins(span=3)
    counts = np.random.default_rng(0).poisson(3.0, bins.shape).astype(np.float32)
    interfile.write_projections(folder / "scan.hs", bins, counts)
    return [folder / "scan.hs"]


def spect(folder: Path) -> list[Path]:
    camera = Camera(
        np.arange(12) * np.pi / 6, np.full(12, 150.0), np.arange(9.0) - 4, np.arange(5.0) - 2
    )
    counts = np.random.default_rng(0).poisson(3.0, camera.shape).astype(np.float32)
    interfile_spect.write_projections(folder / "scan.hs", camera, counts)
    return [folder / "scan.hs"]


def dicom(folder: Path) -> list[Path]:
    return [saved(nm_dataset(), folder)]


def pet_images(folder: Path) -> list[Path]:
    voxels = np.random.default_rng(0).uniform(0, 1e4, (5, 4, 3)).astype(np.float32)
    write_series(Volume(voxels, np.abs(AFFINE), "Bq/mL"), folder, ABOUT)
    return [folder / "00002.dcm"]


def petsird(folder: Path) -> list[Path]:
    from emrecon.io.petsird.write import Coincidences, write

    bins = by_name("tiny").bins(count=21)
    rng = np.random.default_rng(0)
    made = simulate_events(uniform_cylinder(), bins, counts=2e3, rng=rng, randoms_fraction=0.2)
    prompts, delayeds = Coincidences(*made.prompts), Coincidences(*made.delayeds)
    write(folder / "scan.petsird", made.bins, prompts, delayeds, 2.0, made.efficiencies)
    return [folder / "scan.petsird"]


def calibration(folder: Path) -> list[Path]:
    found = PetCalibration(3.2, "Siemens mMR", "bins", frozenset({"attenuation", "scatter"}))
    write_calibration(folder / "mmr.json", found, {"Isotope": "F18"})
    return [folder / "mmr.json"]


SAMPLES = {
    "NIfTI": nifti,
    "Analyze": analyze,
    "MGH": mgh,
    "PETLINK": petlink,
    "Siemens normalisation": lambda folder: [write_norm(folder, mmr_components())],
    "Interfile": lambda folder: [],
    "Interfile PET": pet,
    "Interfile SPECT": spect,
    "DICOM PT": pet_images,
    "DICOM NM": dicom,
    "PETSIRD": petsird,
    "calibration": calibration,
}
"""What writes whole files of each format into a folder."""
