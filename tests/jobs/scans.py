"""Small scans of every kind of data, and a measure of their images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from emrecon import jobs
from emrecon.jobs.simulate import SimulationJob
from phantoms.acquisition import Acquisition
from phantoms.spect_acquisition import CameraAcquisition

LIKE = {
    "time of flight": {"scanner": "tiny", "tof_fwhm_ps": 400.0, "span": 3},
    "single events": {"scanner": "tiny"},
    "gamma camera": {"views": 12, "bins": 32},
}
"""The kinds of data beside plain sinograms, and what each is simulated with."""


def simulated(folder: Path, data: str) -> Path:
    """Write a scan of a kind; return its folder."""
    camera = CameraAcquisition(bin_mm=8.0, planes=10, plane_mm=8.0)
    jobs.run(SimulationJob(
        "flip-finder", folder, Acquisition(counts=3e4, **LIKE[data]),
        camera if data == "gamma camera" else CameraAcquisition(),
        dicom=data == "gamma camera", petsird=data == "single events",
    ))  # fmt: skip
    return folder


def roughness(image) -> float:
    """Return the mean step between neighbours over the mean."""
    return sum(float(np.abs(np.diff(image, axis=axis)).mean()) for axis in range(3)) / image.mean()
