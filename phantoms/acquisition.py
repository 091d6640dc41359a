"""What a person may choose about a simulated scan; flags, panels and batches fill this in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from emrecon.errors import SettingsError

if TYPE_CHECKING:
    from emrecon.tomo.bins import Bins
    from phantoms.phantom import Phantom
    from phantoms.simulate import Simulation


@dataclass(frozen=True)
class Acquisition:
    """A scanner, and how long and how well it counts."""

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

    counts: float = 2e7
    """Expected prompts."""

    randoms_fraction: float = 0.2
    """Share of the prompts that are random coincidences."""

    scatter_fraction: float = 0.2
    """Share of the prompts that were scattered."""

    spread: float = 0.1
    """Spread of the crystals' efficiencies, as a share."""

    dead_blocks: int = 0
    """Detector blocks that count nothing."""

    attenuate: bool = True
    """Whether the phantom attenuates."""

    noise: bool = True
    """Whether counts are drawn; without noise they are the exact mean."""

    fit: bool = True
    """Shrink a phantom that is larger than the field of view until it fits."""

    seed: int = 1
    """Seed of all that is random."""

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise SettingsError(f"a seed is 0 or more, not {self.seed}")

    def layout(self) -> Bins:
        """Return the bins of this acquisition."""
        from emrecon.tomo.presets import by_name, usual_span  # noqa: PLC0415 - quick --help

        scanner = by_name(self.scanner)
        span, most = usual_span(scanner) if self.span is None else (self.span, None)
        return scanner.bins(
            span=span,
            max_ring_difference=self.max_ring_difference or most,
            views=self.views,
            count=self.bins,
            arc_corrected=self.arc_corrected,
        )

    def scan(self, phantom: Phantom) -> Simulation:
        """Count a phantom."""
        import numpy as np  # noqa: PLC0415 - quick --help

        from phantoms.detection import Efficiencies  # noqa: PLC0415
        from phantoms.simulate import simulate  # noqa: PLC0415

        layout = self.layout()
        unlike = Efficiencies(self.spread, self.dead_blocks)
        if self.fit:
            phantom = phantom.fitted(0.95 * layout.fov_mm)
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
        )


def phantom_named(name: str) -> Phantom:
    """Return a phantom by the name it has on the command line."""
    from phantoms import PHANTOMS  # noqa: PLC0415 - quick --help

    if name not in PHANTOMS:
        raise SettingsError(f"there is no phantom {name!r}; there are {', '.join(PHANTOMS)}")
    return PHANTOMS[name]()
