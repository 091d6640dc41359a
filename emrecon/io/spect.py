"""Projections of a gamma camera from any file that holds them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from emrecon.errors import FormatError
from emrecon.io.sniff import is_dicom, open_head
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.geometry.collimator import ISOTOPES, isotope_named
from emrecon.tomo.inputs import CameraFacts
from emrecon.volume import Array


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

    @property
    def width_kev(self) -> float:
        """Width of all ranges together."""
        return sum(high - low for low, high in self.ranges_kev)

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

    facts: dict[str, Any] = field(default_factory=dict)
    """What the file says besides."""

    origin_mm: tuple[float, float, float] | None = None
    """Where the camera's origin lies in the patient's coordinates (RAS), if the file says so."""

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


def read_projections(
    path: Path, given: CameraFacts | None = None, isotope: str = ""
) -> Projections:
    """Read SPECT projections: DICOM (NM, TOMO or GATED TOMO) or Interfile in STIR's dialect.

    Parameters
    ----------
    path : Path
        The DICOM file, or the Interfile header.
    given : CameraFacts, optional
        What to choose, and what stands in for what the file does not say.
    isotope : str, optional
        Isotope that goes before the file's.

    Raises
    ------
    FormatError
        If the file is something else, is damaged, contradicts itself, or leaves out what cannot
        be known otherwise; it names the attribute and the flag that supplies it.
    """
    given = given or CameraFacts()
    if is_dicom(open_head(path)):
        from emrecon.io.dicom import nm  # noqa: PLC0415 - brings pydicom

        return nm.read_projections(path, given, isotope)
    from emrecon.io.dicom.windows import nuclide_in  # noqa: PLC0415 - imports this
    from emrecon.io.interfile import spect as interfile_spect  # noqa: PLC0415 - one of two

    read = interfile_spect.read_projections(path, given)
    stated = str(read.facts.get("radionuclide", ""))
    name = isotope_named(isotope).name if isotope else nuclide_in(stated) or stated
    if not name:
        return read
    energy = emission_kev(name, read.windows[0] if read.windows else None)
    return replace(read, facts=read.facts | {"radionuclide": name, "emission_kev": energy})


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
