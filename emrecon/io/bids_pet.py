"""The keys of BIDS PET that a reconstruction knows by itself.

They stand in every sidecar of a PET image; what only people know (dose, times, tracer) comes from
`emrecon.io.pet_facts`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def recon_keys(settings: Mapping[str, Any], method: str) -> dict[str, Any]:
    """Return the keys that say how an image was reconstructed.

    Parameters
    ----------
    settings : mapping
        Settings by name, as a sidecar holds them.
    method : str
        Name of the algorithm.
    """
    psf = "PSF-" if any(settings["psf_fwhm_mm"]) else ""
    filtered = any(settings["post_fwhm_mm"])
    keys: dict[str, Any] = {
        "ReconMethodName": psf + method,
        "ReconMethodParameterLabels": ["subsets", "iterations"],
        "ReconMethodParameterUnits": ["none", "none"],
        "ReconMethodParameterValues": [settings["subsets"], settings["iterations"]],
        "ReconFilterType": "Gaussian" if filtered else "none",
    }
    return keys | ({"ReconFilterSize": max(settings["post_fwhm_mm"])} if filtered else {})


def time_keys(
    scan_start_s: float,
    frames: Sequence[tuple[float, float]],
    decay_factors: Sequence[float] | None,
) -> dict[str, Any]:
    """Return the keys about times and decay, all in s after BIDS' ``TimeZero``.

    Parameters
    ----------
    scan_start_s : float
        Start of the scan after ``TimeZero``.
    frames : sequence of tuple
        Start after that of the scan, and duration, of every frame.
    decay_factors : sequence of float, optional
        What brought every frame to the start of the scan; None where nothing did.
    """
    keys: dict[str, Any] = {
        "FrameTimesStart": [scan_start_s + start for start, _ in frames],
        "FrameDuration": [duration for _, duration in frames],
    }
    return keys | decay_keys(scan_start_s, decay_factors)


def decay_keys(scan_start_s: float, decay_factors: Sequence[float] | None) -> dict[str, Any]:
    """Return the keys about decay alone; see `time_keys`."""
    keys: dict[str, Any] = {
        "ImageDecayCorrected": decay_factors is not None,
        "ImageDecayCorrectionTime": scan_start_s,
    }
    return keys if decay_factors is None else keys | {"DecayCorrectionFactor": [*decay_factors]}
