"""The files that a scan comes in, besides its prompts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from emrecon.errors import SettingsError
from emrecon.forms import NONE, SIMULATE, WORD
from emrecon.tomo.corrections.dead_time import MODELS, DeadTime

IN_BINS = ("normalisation", "attenuation", "randoms", "scatter", "correction", "additive")
"""Corrections that are projection data."""

NO_MAP = (
    "scatter is simulated from an attenuation map: give --mu (or --ct); attenuation factors do "
    "not tell where matter is"
)
"""Why scatter cannot be worked out without one."""


_OR_NONE = {WORD: (NONE,)}

SPAN = 11
"""Axial compression of list-mode data by default."""


@dataclass(frozen=True)
class Corrections:
    """The files of a scan besides its prompts, and how to read them.

    What a scan's manifest may state is None (or empty) until it is said, so that what is said
    goes before the manifest, whatever it says. In place of a file ``Path("none")`` says that there
    is none, though the manifest names one; a file of that name is given by its absolute path, or
    where it is typed as ``./none``.

    Examples
    --------
    >>> Corrections(mu=Path("mu.nii.gz"), mu_unit="1/cm").mu_unit
    '1/cm'
    """

    normalisation: Path | None = field(default=None, metadata=_OR_NONE)
    """Detection efficiencies of the bins (Interfile); 0 marks dead and missing ones."""

    attenuation: Path | None = field(default=None, metadata=_OR_NONE)
    """Attenuation factors of the bins (Interfile): survival probabilities, at most 1."""

    correction: Path | None = field(default=None, metadata=_OR_NONE)
    """Multiplicative correction in STIR's sense (Interfile): attenuation correction over
    efficiency; 0 marks dead bins. Instead of normalisation and attenuation."""

    norm: Path | None = field(default=None, metadata=_OR_NONE)
    """Siemens' normalisation by components (.n.hdr, mMR and mCT): efficiencies of single crystals,
    for any span, and gaps. Its dead time is made up for where singles are known."""

    mu: tuple[Path, ...] = field(default=(), metadata=_OR_NONE)
    """Attenuation map (NIfTI or Interfile image, Siemens' .v.hdr too), projected to attenuation
    factors. Several are added up: body, bed, coils."""

    mu_unit: str = ""
    """Unit of the attenuation maps that do not state their own: 1/mm or 1/cm."""

    mu_centred: bool | None = None
    """Put the middle of the attenuation map on the camera's axis of rotation, in the middle of
    the planes, whatever its header says: as STIR's SPECT projector does."""

    ct: Path | None = field(default=None, metadata=_OR_NONE)
    """CT in Hounsfield units (NIfTI, or a DICOM series: its folder or one of its files), turned
    to an attenuation map at the energy of the photons that are imaged."""

    ct_kvp: float | None = None
    """Tube voltage of the CT in kV, where its files do not say."""

    mlaa: bool = False
    """Estimate attenuation together with the activity, from time of flight, where the map (mu or
    ct) is 0 in the body; where it is above 0 it is known, and sets the scale. A part of muscle or
    liver at 0.0096 per mm will do. The whole map is written beside the image."""

    mlaa_passes: int = 3
    """Estimated attenuation: passes over the counts in each of five rounds."""

    randoms: Path | None = field(default=None, metadata=_OR_NONE)
    """Mean randoms in each bin, counts as measured (Interfile)."""

    scatter: Path | None = field(default=None, metadata={WORD: (NONE, SIMULATE)})
    """Mean scatter in each bin, counts as measured (Interfile); or the word simulate, which is
    to work it out of image and attenuation map in turns (PET)."""

    simulate_scatter: bool = False
    """What --scatter simulate says."""

    scatter_rounds: int = 3
    """Simulated scatter: most rounds of image and scatter; fewer where it changes by under 1 %."""

    scatter_absolute: bool = False
    """Simulated scatter: keep its absolute scale, instead of fitting it to the counts beside the
    body; that of single events always is."""

    window_kev: tuple[float, ...] = ()
    """Simulated scatter: lower and upper limit of the energies that count, where neither file nor
    scanner says it."""

    energy_resolution: float = 0.0
    """Simulated scatter: FWHM of the measured energy at 511 keV as a share, such as 0.15, where
    the scanner is not known."""

    additive: Path | None = field(default=None, metadata=_OR_NONE)
    """Background in STIR's sense (Interfile): (randoms + scatter) times the correction."""

    span: int | None = None
    """Axial compression of list-mode data: an odd number of ring differences a segment; by
    default 11."""

    sum_tof: bool | None = None
    """Add the time-of-flight bins of PET files up, to go without time of flight."""

    tof_fwhm_ps: float | None = None
    """Time-of-flight resolution in ps, where neither file nor scanner says it."""

    calibration: Path | None = field(default=None, metadata=_OR_NONE)
    """The scanner's calibration, as `emrecon calibrate` writes it: the image is then in Bq/mL,
    each frame brought to the start of the scan."""

    facts: Path | None = field(default=None, metadata=_OR_NONE)
    """What is known about the examination, in JSON by the keys of BIDS PET: isotope, dose, times,
    and PatientWeight in kg. The sidecar holds all of it."""

    dead_time_us: float | None = None
    """Microseconds for which each prompt makes the scanner dead, or with singles_cps each single
    its block. The image is multiplied by what was lost so at the rate of the scan or frame."""

    dead_time_model: str = ""
    """Dead time: paralysable where counts that are lost prolong it, or nonparalysable, which is
    the default."""

    singles_cps: float | None = None
    """Dead time: singles a second that a block counted, the mean of all blocks; such as the total
    uncorrected singles rate over the number of blocks (448 on the mMR) in a header of Siemens'
    sinograms. With a norm and no dead_time_us the parameters of the norm's rings are used: by
    default at the singles of each block, where the list-mode tells them (mMR); 0 leaves it out."""

    suv: bool | None = None
    """Standardised uptake values by body weight, in g/mL, instead of Bq/mL."""

    def __post_init__(self) -> None:
        one: object = self.mu
        if isinstance(one, Path):  # one will do for several
            object.__setattr__(self, "mu", (one,))
        if Path(NONE) in self.mu and len(self.mu) > 1:
            raise SettingsError("mu is none or names files, not both")
        if self.scatter == Path(SIMULATE):
            object.__setattr__(self, "scatter", None)
            object.__setattr__(self, "simulate_scatter", True)
        if self.mlaa_passes < 1:
            raise SettingsError(f"mlaa_passes is 1 or more, not {self.mlaa_passes}")
        if self.scatter_rounds < 1 or len(self.window_kev) not in {0, 2}:
            raise SettingsError(
                "scatter_rounds is 1 or more, and window_kev a lower and an upper limit, unlike "
                f"{self.scatter_rounds} and {self.window_kev}"
            )
        if self.window_kev and not 0 < self.window_kev[0] < self.window_kev[1]:
            raise SettingsError(f"window_kev rises from above zero, unlike {self.window_kev}")
        if not 0 <= self.energy_resolution < 1:
            raise SettingsError(
                f"energy_resolution is a share, such as 0.15, not {self.energy_resolution}"
            )
        _ = self.dead_time  # refuses what makes no sense

    @property
    def dead_time(self) -> DeadTime | None:
        """How dead time is made up for, if it is."""
        seconds = 1e-6 * (self.dead_time_us or 0.0)
        model = self.dead_time_model or MODELS[0]
        chosen = DeadTime(seconds, model, self.singles_cps or 0.0)
        return chosen if seconds else None

    @property
    def ring_singles_cps(self) -> float | None:
        """Rate of singles of a block where a norm's rings tell the dead time; 0 where not.

        None where the scan's own singles are meant.
        """
        return 0.0 if self.dead_time_us else self.singles_cps

    @property
    def listmode_span(self) -> int:
        """Axial compression of list-mode data."""
        return SPAN if self.span is None else self.span


@dataclass(frozen=True)
class CameraFacts:
    """What to take from a SPECT file, and what stands in for what it does not say.

    Examples
    --------
    >>> CameraFacts(scatter_from="tew", radius_mm=(250.0,)).radius_mm
    (250.0,)
    """

    window: str = ""
    """Energy window by number (from 1) or name; by default the photopeak of the isotope."""

    scatter_from: str = ""
    """Estimate scatter from the windows beside the photopeak: tew, from one on each side, or
    dew, half of what the one below holds."""

    scatter_fwhm_mm: float = 20.0
    """Gaussian filter on the scatter estimate: FWHM in mm."""

    gate: int = 0
    """Time slot of a gated acquisition, from 1; 0 adds all of them."""

    radius_mm: tuple[float, ...] = ()
    """Distance from the axis of rotation to the collimator: one, one for each view of a head, or
    one for each view of all heads, head by head."""

    start_angles_deg: tuple[float, ...] = ()
    """DICOM angle of each head's first view: 0 behind the patient, 90 at the patient's left."""

    angular_step_deg: float = 0.0
    """Angle between views, above 0."""

    direction: str = ""
    """CW or CC: whether angles fall or grow, seen from the patient's feet."""

    pixel_mm: tuple[float, ...] = ()
    """Distance between rows, then between columns, of a projection."""

    axis_column: float = -1.0
    """Column, from 0, in which the axis of rotation is seen; by default the middle."""

    axis_mm: tuple[float, ...] = ()
    """Where the middle of the projections lies on the axis of rotation: R, A, S in mm of the
    patient's coordinates."""

    patient_position: str = ""
    """HFS, HFP, FFS or FFP."""

    first_row: str = ""
    """head or feet: the end of the patient that the first row of a projection shows."""

    parallel_holes: bool = False
    """Take the collimator for one of parallel holes where the file says that it is unknown."""

    frame_order: tuple[str, ...] = ()
    """What the frames run through, slowest first, where a file has no vectors: window,
    detector, rotation, interval, slot, view."""

    def __post_init__(self) -> None:
        for name, words in _CHOICES.items():
            if getattr(self, name).upper() not in words:
                raise SettingsError(
                    f"{name} is one of {', '.join(words[1:])}, not {getattr(self, name)!r}"
                )
        for name, counts in (("pixel_mm", {0, 2}), ("axis_mm", {0, 3})):
            if len(getattr(self, name)) not in counts:
                raise SettingsError(
                    f"{name} takes {max(counts)} numbers, not {getattr(self, name)}"
                )
        if any(not 0 < value < 1e5 for value in (*self.radius_mm, *self.pixel_mm)):
            raise SettingsError("radius_mm and pixel_mm are above 0")
        if any(not abs(value) < 1e5 for value in self.axis_mm):
            raise SettingsError(f"axis_mm is less than 1e5 away, unlike {self.axis_mm}")
        if not 0 <= self.angular_step_deg < 360 or self.gate < 0:
            raise SettingsError("angular_step_deg and gate are above 0")


@dataclass(frozen=True)
class Binning:
    """How list-mode is summed to sinograms."""

    span: int = 11
    """Axial compression of the sinograms: an odd number of ring differences a segment."""

    max_ring_difference: int | None = None
    """Largest ring difference to keep; all of the file's by default."""

    start_s: float = 0.0
    """Start of the part of a list-mode file to take, in seconds."""

    stop_s: float | None = None
    """End of the part of a list-mode file to take, in seconds; by default that of the file."""


_CHOICES = {
    "scatter_from": ("", "TEW", "DEW"),
    "direction": ("", "CW", "CC"),
    "patient_position": ("", "HFS", "HFP", "FFS", "FFP"),
    "first_row": ("", "HEAD", "FEET"),
}
