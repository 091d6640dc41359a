"""What a reconstruction needs of a gamma camera besides counts: response and calibration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from emrecon.errors import SettingsError
from emrecon.tomo.corrections.calibration import Calibration
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.geometry.collimator import Isotope, Response, collimator_named, isotope_named
from emrecon.tomo.scan import Scan
from emrecon.tomo.settings import Settings

ONLY_HERE = ("collimator", "isotope", "response_mm", "cps_per_mbq", "view_s", "decayed_h")
"""Settings that say nothing about ring scanners."""


def completed(scan: Scan, settings: Settings) -> Scan:
    """Return a camera's scan with the response that the settings name; any other as it is.

    Raises
    ------
    SettingsError
        If settings of cameras are given for another scan or the other way round, or a collimator
        or isotope is not known.
    """
    if not isinstance(scan.bins, Camera):
        named = [name for name in ONLY_HERE if getattr(settings, name)]
        if named:
            raise SettingsError(f"{named[0]} is for gamma cameras, and this scan is of none")
        return scan
    if settings.ring_wide:
        raise SettingsError("ring_wide is for ring scanners, and this scan is of a gamma camera")
    if settings.projector != "joseph":
        raise SettingsError(
            f"{settings.projector} is a projector of lines, and this scan is of a gamma camera"
        )
    if settings.response_mm:
        return scan.with_(response=Response(*settings.response_mm))
    if settings.collimator:
        isotope = _isotope(scan, settings)
        if isotope is None:
            raise SettingsError(
                "the resolution of a collimator depends on the photons' energy: name the isotope"
            )
        energy = scan.exam.emission_kev or isotope.energy_kev
        response = collimator_named(settings.collimator).response(energy)
        return scan.with_(response=response)
    return scan


def calibration(scan: Scan, settings: Settings) -> Calibration | None:
    """Return what makes Bq/mL of the image; None where no sensitivity is given.

    Raises
    ------
    SettingsError
        If the time of a view is not known, or decay is wanted of an unknown isotope.
    """
    if not settings.cps_per_mbq or not isinstance(scan.bins, Camera):
        return None
    view_s = settings.view_s or scan.exam.view_s
    if not view_s:
        raise SettingsError("the file does not say how long a view counts: give view_s")
    isotope = _isotope(scan, settings)
    if isotope is None:
        raise SettingsError("Bq/mL need the isotope's half-life: name the isotope")
    return Calibration(
        settings.cps_per_mbq,
        view_s,
        scan.bins.bin_mm * scan.bins.plane_mm,
        isotope.half_life_s,
        settings.decayed_h * 3600,
        scan.duration_s or 0.0,
    )


def about_axis(settings: Settings, scan: Scan) -> Settings:
    """Return the settings with the image's centre about the axis that a camera turns round."""
    origin = scan.origin_mm
    if not (origin and settings.centre_mm):
        return settings
    centre = np.subtract(settings.centre_mm, origin)
    return replace(settings, centre_mm=tuple(float(value) for value in centre))


def facts(scan: Scan, known: Calibration | None) -> dict[str, Any]:
    """Return what was modelled, for the sidecar; nothing of ring scanners."""
    if not isinstance(scan.bins, Camera):
        return {}
    response = scan.response
    about: dict[str, Any] = {"attenuation_modelled": scan.mu is not None}
    about["collimator_response"] = response and {
        "fwhm_slope": response.slope,
        "fwhm_at_face_mm": response.intercept_mm,
        "intrinsic_fwhm_mm": response.intrinsic_mm,
    }
    return about | ({} if known is None else known.facts())


def _isotope(scan: Scan, settings: Settings) -> Isotope | None:
    """Return the isotope that settings or file name."""
    name = settings.isotope or scan.exam.nuclide
    return isotope_named(name) if name else None
