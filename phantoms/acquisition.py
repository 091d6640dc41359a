"""What a person may choose about a simulated scan; flags, panels and batches fill this in."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from emrecon.errors import SettingsError

if TYPE_CHECKING:
    from emrecon.tomo.geometry.bins import Bins, Scanner
    from emrecon.tomo.geometry.tof import Timing
    from phantoms.phantom import Phantom
    from phantoms.simulate import Simulation
    from phantoms.simulate_events import EventSimulation
    from phantoms.simulate_photons import PhotonScan


_SHARE = 0.95
"""Of the radius of the field of view that a phantom may fill."""

_SCAN_BYTES, _EVENTS_BYTES = (22.0, 12.0), (45.0, 26.0)
"""Memory for a line while it is counted, and for each of its time-of-flight bins: measured."""


SCATTERS = ("smooth", "monte-carlo")
"""Where scatter may be from."""

MOST_MM = 100.0
"""Width of a blur that no PET scanner has."""

MOST_COUNTS = 1e18
"""More counts than any scanner sees, and still few enough to be drawn."""


@dataclass(frozen=True)
class Acquisition:
    """A scanner, and how long and how well it counts.

    Examples
    --------
    >>> Acquisition("tiny", counts=1e5).layout().shape
    (24, 23, 27)
    """

    scanner: str = "ECAT HR+"
    """Scanner by name, such as "Siemens Biograph mMR"; an unknown name lists them all."""

    span: int | None = None
    """Axial compression, an odd number of ring differences a segment; by default the usual one."""

    max_ring_difference: int | None = None
    """Largest ring difference in coincidence; by default the usual one, or all if a span is
    given."""

    views: int | None = None
    """Views; by default half the crystals of a ring."""

    bins: int | None = None
    """Tangential positions; by default all of the scanner."""

    arc_corrected: bool = False
    """Equally spaced bins instead of equal angles."""

    tof_fwhm_ps: float = 0.0
    """Time-of-flight resolution, FWHM in ps of time difference; 0 is without time of flight."""

    tof_width_ps: float = 0.0
    """Width of a time-of-flight bin in ps; by default the scanner's, or half the resolution."""

    tof_bins: int = 0
    """Time-of-flight bins; by default the scanner's, or as many as the field of view needs."""

    counts: float = 2e7
    """Expected prompts."""

    randoms_fraction: float = 0.2
    """Share of the prompts that are random coincidences."""

    scatter: str = "smooth"
    """Where scatter is from: smooth, a wide blur of the trues, or monte-carlo, which follows
    photons one by one (minutes for 1e7 counts) and keeps trues, single and multiple scatter."""

    scatter_fraction: float = 0.2
    """Share of the prompts that were scattered; what it is for monte-carlo, photons tell."""

    resolution_mm: float = 0.0
    """Blur by detectors: FWHM in mm of a point in the middle of the scanner."""

    spread: float = 0.1
    """Spread of the crystals' efficiencies, as a share."""

    dead_blocks: int = 0
    """Detector blocks that count nothing."""

    attenuate: bool = True
    """Whether the phantom attenuates."""

    noise: bool = True
    """Whether counts are drawn; without noise they are the exact mean. DICOM
    holds whole counts: there the mean over the views is exact, and --counts 1e9 finer."""

    fit: bool = True
    """Shrink a phantom that is larger than the field of view until it fits."""

    seed: int = 1
    """Seed of all that is random."""

    def __post_init__(self) -> None:
        if not 0 < self.counts <= MOST_COUNTS:
            raise SettingsError(f"counts are above 0 and at most {MOST_COUNTS:g}: {self.counts:g}")
        if self.seed < 0:
            raise SettingsError(f"a seed is 0 or more, not {self.seed}")
        if min(self.tof_fwhm_ps, self.tof_width_ps, self.tof_bins) < 0:
            raise SettingsError("time-of-flight resolution, width and bins are not negative")
        if (self.tof_width_ps or self.tof_bins) and not self.tof_fwhm_ps:
            raise SettingsError("time-of-flight bins need a resolution: say tof_fwhm_ps")
        if self.scatter not in SCATTERS:
            raise SettingsError(f"scatter is {' or '.join(SCATTERS)}, not {self.scatter!r}")
        if not 0 <= self.resolution_mm < MOST_MM:
            raise SettingsError(f"resolution_mm is 0 or more, not {self.resolution_mm}")
        idle = ("scatter_fraction", "arc_corrected", "noise")
        if self.monte_carlo and any(getattr(self, n) != _default(n) for n in idle):
            raise SettingsError(
                "monte-carlo counts single pairs of crystals, and physics scatters them: leave "
                "scatter_fraction, arc_corrected and noise as they are"
            )

    @property
    def monte_carlo(self) -> bool:
        """Whether photons are followed one by one."""
        return self.scatter == "monte-carlo"

    def layout(self) -> Bins:
        """Return the bins of this acquisition."""
        from emrecon.tomo.geometry.presets import by_name, usual_span  # noqa: PLC0415 - quick --help

        scanner = by_name(self.scanner)
        span, most = usual_span(scanner) if self.span is None else (self.span, None)
        bins = scanner.bins(
            span=span,
            max_ring_difference=self.max_ring_difference or most,
            views=self.views,
            count=self.bins,
            arc_corrected=self.arc_corrected,
        )
        return bins.timed(self._timing(bins, scanner)) if self.tof_fwhm_ps else bins

    def holds(self, phantom: Phantom) -> bool:
        """Return whether a phantom fits into the field of view, as it is."""
        return phantom.radius_mm <= _SHARE * self.layout().fov_mm

    def event_layout(self) -> Bins:
        """Return the bins of single crystal pairs: span 1, an odd number of positions."""
        count = self.bins or replace(self, span=1, bins=None).layout().s_mm.size
        return replace(self, span=1, bins=count - (count % 2 == 0)).layout()

    def _timing(self, bins: Bins, scanner: Scanner) -> Timing:
        """Return the time-of-flight bins."""
        from emrecon.tomo.geometry.tof import Timing  # noqa: PLC0415 - quick --help

        known = None if self.tof_width_ps else scanner.timing
        width_ps = self.tof_width_ps or (known.width_ps if known else self.tof_fwhm_ps / 2)
        timing = Timing.of_ps(self.tof_fwhm_ps, width_ps, 1)
        beyond = (bins.fov_mm + timing.reach_mm) / timing.width_mm - 0.5
        count = self.tof_bins or (known.bins if known else 2 * math.ceil(beyond) + 1)
        return Timing.of_ps(self.tof_fwhm_ps, width_ps, count)

    def scan(self, phantom: Phantom) -> Simulation:
        """Count a phantom."""
        import numpy as np  # noqa: PLC0415 - quick --help

        from phantoms.detection import Efficiencies  # noqa: PLC0415
        from phantoms.simulate import simulate  # noqa: PLC0415

        layout = self.layout()
        _check_fits(layout, _SCAN_BYTES)
        unlike = Efficiencies(self.spread, self.dead_blocks)
        if self.fit:
            phantom = phantom.fitted(_SHARE * layout.fov_mm)
        if self.monte_carlo:
            from phantoms.simulate_photons import simulate_photons  # noqa: PLC0415 - as above

            return simulate_photons(self._photons(phantom, layout))
        return simulate(
            phantom,
            layout,
            counts=self.counts,
            rng=np.random.default_rng(self.seed),
            randoms_fraction=self.randoms_fraction,
            scatter_fraction=self.scatter_fraction,
            normalisation=unlike if self.spread or self.dead_blocks else None,
            attenuate=self.attenuate,
            noise=self.noise,
            resolution_mm=self.resolution_mm,
        )

    def _photons(self, phantom: Phantom, layout: Bins) -> PhotonScan:
        """Return how photons are followed."""
        import numpy as np  # noqa: PLC0415 - quick --help

        from phantoms.detection import Efficiencies  # noqa: PLC0415
        from phantoms.simulate_photons import PhotonScan  # noqa: PLC0415

        unlike = Efficiencies(self.spread, self.dead_blocks)
        return PhotonScan(
            phantom,
            layout,
            self.counts,
            np.random.default_rng(self.seed),
            self.randoms_fraction,
            unlike if self.spread or self.dead_blocks else None,
            self.attenuate,
            self.resolution_mm,
        )

    def events(self, phantom: Phantom) -> EventSimulation:
        """Count a phantom pair by pair: span 1, all views, always with noise.

        There is scatter by Monte Carlo alone, and so is blur.
        """
        import numpy as np  # noqa: PLC0415 - quick --help

        from phantoms.detection import Efficiencies  # noqa: PLC0415
        from phantoms.simulate_events import simulate_events  # noqa: PLC0415

        if self.span not in {None, 1} or self.views or self.arc_corrected or not self.noise:
            raise SettingsError(
                "events are of single crystal pairs, one by one: leave span, views, "
                "arc_corrected and noise as they are"
            )
        if self.resolution_mm and not self.monte_carlo:
            raise SettingsError(
                "single events are blurred by scatter monte-carlo alone: give both"
            )
        layout = self.event_layout()
        _check_fits(layout, _EVENTS_BYTES)
        unlike = Efficiencies(self.spread, self.dead_blocks)
        if self.fit:
            phantom = phantom.fitted(_SHARE * layout.fov_mm)
        if self.monte_carlo:
            from phantoms.simulate_photons import simulate_photon_events  # noqa: PLC0415

            return simulate_photon_events(self._photons(phantom, layout))
        return simulate_events(
            phantom,
            layout,
            counts=self.counts,
            rng=np.random.default_rng(self.seed),
            randoms_fraction=self.randoms_fraction,
            efficiencies=unlike if self.spread or self.dead_blocks else None,
            attenuate=self.attenuate,
        )


def _default(name: str) -> object:
    """Return what a field is by default."""
    return Acquisition.__dataclass_fields__[name].default


def scan_mb(layout: Bins, *, events: bool = False) -> float:
    """Return the memory in MB that counting a scan takes, beside that of what is loaded."""
    return _mb(layout, _EVENTS_BYTES if events else _SCAN_BYTES)


def _mb(layout: Bins, each: tuple[float, float]) -> float:
    """Return the memory in MB for lines and time-of-flight bins of so many bytes."""
    bins = layout.timing.bins if layout.timing else 1
    return math.prod(layout.shape) * (each[0] + bins * each[1]) / (1 << 20)


def _check_fits(layout: Bins, each: tuple[float, float]) -> None:
    """Refuse what memory does not hold."""
    from emrecon.memory import check_fits  # noqa: PLC0415 - quick --help

    check_fits(
        _mb(layout, each),
        f"counting {math.prod(layout.shape):,} lines",
        "choose a smaller scanner, ring difference or number of time-of-flight bins, a larger "
        "span, or fewer bins or views",
    )


def phantom_named(name: str) -> Phantom:
    """Return a phantom by the name it has on the command line."""
    from phantoms import PHANTOMS  # noqa: PLC0415 - quick --help

    if name not in PHANTOMS:
        raise SettingsError(f"there is no phantom {name!r}; there are {', '.join(PHANTOMS)}")
    return PHANTOMS[name]()
