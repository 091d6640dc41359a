"""Projections of a gamma camera, whatever file they come from, and their scatter."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from emrecon.errors import FormatError
from emrecon.io.formats import Reading
from emrecon.tomo.exam import ExamInfo
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.geometry.collimator import ISOTOPES
from emrecon.tomo.scan import Scan
from emrecon.volume import Array

log = logging.getLogger(__name__)

LEAST_RADIUS, MOST_RADIUS_MM = 0.2, 2000.0
"""Least distance of a collimator from the axis, in that of the outermost bin, and largest one."""

LEAST_ARC_DEG = 120.0
"""Arc that views go over at least; 180 degrees are usual for the heart."""

MOST_ASPECT = 4.0
"""Largest ratio of the sides of a bin."""


@dataclass(frozen=True)
class Window:
    """An energy window of a gamma camera."""

    name: str
    """Name in the file, empty where it has none."""

    ranges_kev: tuple[tuple[float, float], ...]
    """Lower and upper limit of each range."""

    def __str__(self) -> str:
        limits = " + ".join(f"{low:g} to {high:g}" for low, high in self.ranges_kev)
        return f"{self.name} ({limits} keV)" if self.name else f"{limits} keV"

    def holds(self, energy_kev: float) -> bool:
        """Return whether photons of this energy are counted."""
        return any(low <= energy_kev <= high for low, high in self.ranges_kev)


@dataclass(frozen=True, eq=False)
class Projections:
    """What a gamma camera counted, turned to the patient's axes."""

    camera: Camera
    """Where the counts lie, around the axis of rotation; planes run from feet to head."""

    data: Array
    """Counts of the chosen energy window, shape of `camera`."""

    exam: ExamInfo = field(default_factory=ExamInfo)
    """Isotope, energies, times and patient position."""

    facts: dict[str, Any] = field(default_factory=dict)
    """All that the file says, for the sidecar."""

    origin_mm: tuple[float, float, float] | None = None
    """Where the camera's origin lies in the patient's coordinates (RAS), if the file says so."""

    origin_unknown: str = ""
    """Why that is not known, in a file with coordinates of the patient."""

    windows: tuple[Window, ...] = ()
    """All energy windows of the file."""

    chosen: int = 0
    """Which of them `data` holds."""

    counts: Array | None = None
    """Counts of all windows, shape ``(windows, *camera.shape)``."""

    heads: tuple[int, ...] = ()
    """Which head, from 1, measured each view."""

    def scatter_windows(self, gap_kev: float = 3.0) -> tuple[int | None, int | None]:
        """Return the windows just below and just above the chosen one, None where there is none.

        Parameters
        ----------
        gap_kev : float, optional
            How far limits of neighbours may lie apart, or overlap.
        """
        if not self.windows:
            return None, None
        low = min(ends[0] for ends in self.windows[self.chosen].ranges_kev)
        high = max(ends[1] for ends in self.windows[self.chosen].ranges_kev)
        below = above = None
        for number, window in enumerate(self.windows):
            if number == self.chosen or len(window.ranges_kev) != 1:
                continue
            ((start, end),) = window.ranges_kev
            if abs(end - low) <= gap_kev and start < low:
                below = number
            elif abs(start - high) <= gap_kev and end > high:
                above = number
        return below, above


def camera_scan(read: Projections, reading: Reading) -> Scan:
    """Return projections as a scan, with scatter estimated from other windows if so wanted.

    The scan lies about the axis of rotation; `Scan.origin_mm` says where that is.
    """
    if reading.prompts:
        say_oddities(read.camera)
    facts = read.facts | {"origin_mm": read.origin_mm and list(read.origin_mm)}
    scatter, method = None, reading.camera.scatter_from
    if method and reading.prompts:
        scatter = scatter_estimate(read, method, reading.camera.scatter_fwhm_mm)
        facts |= {"scatter_from": method, "scatter_fwhm_mm": reading.camera.scatter_fwhm_mm}
    return Scan(
        read.camera,
        read.data,
        scatter=scatter,
        duration_s=read.exam.duration_s,
        origin_mm=read.origin_mm,
        origin_unknown=read.origin_unknown,
        exam=read.exam,
        facts=facts,
    )


def say_oddities(camera: Camera) -> None:
    """Warn of an orbit or bins that no gamma camera has: some number may be in another unit."""
    near, far = float(camera.radius_mm.min()), float(camera.radius_mm.max())
    widest = float(np.abs(camera.u_mm).max())
    if near < LEAST_RADIUS * widest or far > MOST_RADIUS_MM:
        log.warning(
            "the collimator is %.4g to %.4g mm from the axis, and bins reach %.4g mm from it: are "
            "the radii in mm (--radius-mm)?",
            near, far, widest,
        )  # fmt: skip
    turns = np.sort(np.rad2deg(camera.theta_rad) % 360)
    arc = 360 - float(np.diff(turns, append=turns[0] + 360).max())
    if camera.theta_rad.size > 1 and arc < LEAST_ARC_DEG:
        log.warning(
            "the views are of %.3g degrees alone, from which no image can be told well: is the "
            "step in degrees (--angular-step-deg)?",
            arc,
        )
    bin_mm, plane_mm = camera.bin_mm, camera.plane_mm
    if max(bin_mm, plane_mm) > MOST_ASPECT * min(bin_mm, plane_mm):
        log.warning(
            "bins are %.4g mm across and %.4g mm along the axis: is that right (--pixel-mm)?",
            bin_mm, plane_mm,
        )  # fmt: skip


def emission_kev(nuclide: str, window: Window | None) -> float | None:
    """Return the energy of an isotope's photons that a window counts.

    Its main energy where the window is not known or holds none; None for an unknown isotope.
    """
    isotope = ISOTOPES.get(nuclide)
    lines = [energy for energy, _ in isotope.lines] if isotope else []
    held = [energy for energy in lines if window is not None and window.holds(energy)]
    return next(iter((*held, *lines)), None)


def scatter_estimate(read: Projections, method: str, fwhm_mm: float) -> Array:
    """Return the mean scatter in the chosen window, estimated from the windows beside it.

    Parameters
    ----------
    read : Projections
        Counts of all windows.
    method : str
        ``tew``, from a window on each side of the peak, or ``dew``, from the one below.
    fwhm_mm : float
        Gaussian filter on the estimate.

    Raises
    ------
    FormatError
        If the file has not the windows that it takes.
    """
    from emrecon.tomo.corrections.scatter import dual_window, smoothed, triple_window  # noqa: PLC0415 - scipy

    below, above = read.scatter_windows()
    missing = below is None or (above is None and method.lower() == "tew")
    peak = read.windows[read.chosen].ranges_kev if read.windows else ()
    if missing or read.counts is None or len(peak) != 1:
        listed = "; ".join(map(str, read.windows)) or "none stated"
        raise FormatError(
            f"scatter cannot be estimated ({method}): energy windows are {listed}, and one just "
            "below the photopeak is wanted, for tew also one just above"
        )
    assert below is not None  # noqa: S101 - tells the type checker
    lower = read.counts[below]
    if method.lower() == "dew":
        return smoothed(dual_window(lower), read.camera, fwhm_mm)
    assert above is not None  # noqa: S101 - tells the type checker
    limits = (read.windows[below].ranges_kev[0], read.windows[above].ranges_kev[0], peak[0])
    return smoothed(triple_window(lower, read.counts[above], limits), read.camera, fwhm_mm)
