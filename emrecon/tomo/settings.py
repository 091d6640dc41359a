"""What a person may choose about a reconstruction.

The command line, the napari panel and the batch job file all fill in this one dataclass; the
text under each field is its help.
"""

from __future__ import annotations

from dataclasses import dataclass

from emrecon.errors import SettingsError

PROJECTORS = ("joseph", "siddon")


@dataclass(frozen=True)
class Settings:
    """How to reconstruct: MLEM (one subset) or OSEM.

    Examples
    --------
    >>> Settings(iterations=2, subsets=21, psf_fwhm_mm=(4.5,)).subsets
    21
    >>> Settings(subsets=0)
    Traceback (most recent call last):
        ...
    emrecon.errors.SettingsError: subsets must be 1 or more, not 0
    """

    iterations: int = 4
    """Passes over all the data; a pass is one update for each subset."""

    subsets: int = 12
    """Interleaved subsets of the views (OSEM); 1 is MLEM. Where the views do not divide
    evenly a near number is taken, and said."""

    voxel_mm: tuple[float, ...] = ()
    """Voxel size in mm, one number or x, y, z; by default the central bin and half the ring
    spacing."""

    size: tuple[int, ...] = ()
    """Voxels along x, y, z; by default what covers the field of view."""

    centre_mm: tuple[float, ...] = ()
    """Centre of the image in RAS mm; by default that of the scanner."""

    psf_fwhm_mm: tuple[float, ...] = ()
    """Resolution modelled in the image: FWHM of a Gaussian in mm, one number or x, y, z."""

    projector: str = "joseph"
    """How lines of response meet voxels: joseph, which interpolates, or siddon, which adds up
    lengths in boxes along STIR's rays, with STIR's subsets: to compare with STIR's images."""

    rays: int = 2
    """The siddon projector: rays across a bin, which STIR calls "number of rays in tangential
    direction to trace for each bin"."""

    ring_wide: bool = False
    """Give every line of response the axial width of a ring, as STIR (and siddon) does.
    Nothing is taken to lie beyond the image: its end planes overshoot where something does."""

    collimator: str = ""
    """Gamma cameras: collimator by name, such as "Siemens Symbia LEHR", whose blur with distance
    is modelled; an unknown name lists them all."""

    isotope: str = ""
    """Gamma cameras: isotope, such as Tc-99m, where the file names none."""

    response_mm: tuple[float, ...] = ()
    """Gamma cameras: blur with distance, instead of a collimator: FWHM a mm of distance (slope),
    FWHM in mm at the collimator's face, and optionally that of the detector."""

    cps_per_mbq: float = 0.0
    """Gamma cameras: sensitivity of one head, counts per second and MBq; the image is then in
    Bq/mL."""

    view_s: float = 0.0
    """Gamma cameras: seconds a view, where the file does not say; needed for Bq/mL."""

    decayed_h: float = 0.0
    """Gamma cameras: hours from the time for which Bq/mL are wanted to the start of the scan."""

    post_fwhm_mm: tuple[float, ...] = ()
    """Gaussian filter on the final image: FWHM in mm, one number or x, y, z."""

    tolerance: float = 0.0
    """Stop early once the log-likelihood grows by less than this share of itself in a pass."""

    checkpoint_every: int | None = None
    """Save the state every so many updates, so that a stopped run can be resumed; 0 is never, as
    is the default but in batches, which save it after each pass."""

    threads: int = 0
    """Processor threads; 0 is all. The result does not depend on it."""

    def __post_init__(self) -> None:
        whole = (
            self.iterations,
            self.subsets,
            self.checkpoint_every or 0,
            self.threads,
            *self.size,
        )
        if any(not isinstance(number, int) for number in (*whole, self.rays)):
            raise SettingsError(f"counts are whole numbers, unlike one of {whole}")
        for name in ("iterations", "subsets", "rays"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} must be 1 or more, not {getattr(self, name)}")
        for name in ("checkpoint_every", "threads", "tolerance", "cps_per_mbq", "view_s"):
            if not (getattr(self, name) or 0) >= 0:
                raise SettingsError(f"{name} must be 0 or more, not {getattr(self, name)}")
        for name, counts in (("voxel_mm", {0, 1, 3}), ("size", {0, 3})):
            _lengths(name, getattr(self, name), counts, least=1e-9)
        _lengths("centre_mm", self.centre_mm, {0, 3}, least=-1e6)
        for name in ("psf_fwhm_mm", "post_fwhm_mm"):
            _lengths(name, getattr(self, name), {0, 1, 3}, least=0.0)
        self._check_projector()
        self._check_camera()

    def _check_projector(self) -> None:
        if self.projector not in PROJECTORS:
            choices = " or ".join(PROJECTORS)
            raise SettingsError(f"projector is {choices}, not {self.projector!r}")

    def _check_camera(self) -> None:
        _lengths("response_mm", self.response_mm, {0, 2, 3}, least=0.0)
        if self.response_mm and self.collimator:
            raise SettingsError("give a collimator or its response_mm, not both")
        if not abs(self.decayed_h) < 1e5:
            raise SettingsError(f"decayed_h must be finite, not {self.decayed_h}")


def per_axis(lengths: tuple[float, ...]) -> tuple[float, float, float]:
    """Return one length an axis from none (0), one (the same for all) or three."""
    if len(lengths) not in {0, 1, 3}:
        raise SettingsError(f"lengths are 1 or 3 numbers, not {len(lengths)}")
    x, y, z = lengths * 3 if len(lengths) == 1 else lengths or (0.0, 0.0, 0.0)
    return x, y, z


def _lengths(name: str, values: tuple[float, ...], counts: set[int], least: float) -> None:
    wanted = " or ".join(str(count) for count in sorted(counts - {0}))
    if len(values) not in counts:
        raise SettingsError(f"{name} takes {wanted} numbers, not {len(values)}")
    if not all(least <= value < 1e6 for value in values):
        kind = "above zero" if least > 0 else "finite" if least < 0 else "zero or more"
        raise SettingsError(f"{name} must be {kind}, not {values}")
