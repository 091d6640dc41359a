"""What a scan's files say about the examination, besides where its counts lie."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class ExamInfo:
    """Tracer, energies, times and patient position of a scan; what no file says is empty."""

    nuclide: str = ""
    """Isotope as the file names it; in SPECT as in ``Tc-99m``."""

    half_life_s: float | None = None
    """Half-life of the isotope, where the file itself states it."""

    branching: float | None = None
    """Positrons a decay, where the file itself states it."""

    emission_kev: float | None = None
    """Energy of the photons that the energy window counts."""

    window_kev: tuple[float, float] | None = None
    """Lower and upper limit of the energy window."""

    energy_resolution: float | None = None
    """FWHM of the measured energy at 511 keV as a share."""

    duration_s: float | None = None
    """Length of the acquisition as the file states it."""

    start_s: float | None = None
    """Time from the start of the study to that of the acquisition."""

    view_s: float | None = None
    """How long a gamma camera counts at each view."""

    calibration_factor: float | None = None
    """What turns counts into the unit that the file's writer had in mind."""

    dead_time_corrected: bool = False
    """Whether the efficiencies hold the dead time that the file tells."""

    patient_position: str = "HFS"
    """How the patient lies: HFS, HFP, FFS or FFP."""

    applied_corrections: tuple[str, ...] = ()
    """Corrections that the counts have had already."""

    def lasting(self, duration_s: float | None) -> ExamInfo:
        """Return the same with the length that was measured, where one was."""
        return replace(self, duration_s=duration_s) if duration_s else self
