"""A list-mode scan: events with what is known about how they were counted."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emrecon.brief import brief
from emrecon.errors import GeometryError
from emrecon.tomo.exam import ExamInfo
from emrecon.tomo.gates import When
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.events import Events
from emrecon.tomo.geometry.pairs import Pairs
from emrecon.tomo.listmode import EVERYTHING, PartOfStream, refuse_nonsense
from emrecon.volume import Array, Volume

if TYPE_CHECKING:
    from emrecon.tomo.geometry.bins import Scanner
    from emrecon.tomo.geometry.detectors import Indices


@dataclass(frozen=True, eq=False)
class ListmodeScan:
    """Events of a scanner, and what gathers all its detector pairs.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import emrecon as em
    >>> from phantoms.acquisition import Acquisition
    >>> like = Acquisition(scanner="tiny", counts=1e4)
    >>> with TemporaryDirectory() as name:
    ...     _ = em.run(em.SimulationJob("cylinder", Path(name) / "scan", like, petsird=True))
    ...     with em.open_events(Path(name) / "scan" / "scan.petsird") as (scan, _):
    ...         len(scan.events) > 9000, type(scan.bins).__name__
    (True, 'Pairs')
    """

    events: Events
    """The events, with the factors and background of their pairs."""

    bins: Bins | Pairs
    """Where the sensitivity is summed: raw bins of all detector pairs of a ring scanner, of any
    span, or the pairs themselves. Events are not put into them."""

    efficiency: Array
    """Sum of the efficiencies of each bin's detector pairs, shape of `bins`; empty for pairs,
    which have their own."""

    mu: Volume | None = None
    """Attenuation map in 1/mm; the events' factors hold it already."""

    exam: ExamInfo = field(default_factory=ExamInfo)
    """Isotope, energies and times."""

    facts: dict[str, Any] = field(default_factory=dict)
    """What the files said, for the sidecar; nothing is decided by them."""

    __repr__ = brief

    def __post_init__(self) -> None:
        if isinstance(self.bins, Bins) and self.efficiency.shape != self.bins.shape:
            raise GeometryError(
                f"efficiencies of shape {self.efficiency.shape} for bins of {self.bins.shape}"
            )

    @property
    def duration_s(self) -> float:
        """Time that the events took; 0 where it is not known."""
        return self.events.duration_s

    def with_(self, **parts: Any) -> ListmodeScan:  # noqa: ANN401 - any field
        """Return the same scan with some parts replaced."""
        return replace(self, **parts)


class Coincidences:
    """Turns blocks of list-mode words into detector pairs, counting what else they hold.

    Parameters
    ----------
    scanner : Scanner
        The scanner.
    count : int
        Tangential positions of the file.
    rings : tuple of array
        Rings at end 1 and end 2 of each sinogram of the file, in the file's order.
    window_s : tuple of float or Gate, optional
        Time at which to start, and before which to stop; or a gate.
    tag_ms : int, optional
        Time between two time tags.
    """

    def __init__(
        self,
        scanner: Scanner,
        count: int,
        rings: tuple[Indices, Indices],
        window_s: When = EVERYTHING,
        tag_ms: int = 1,
    ) -> None:
        from emrecon.tomo.kernels import histogram  # noqa: PLC0415 - numba only when needed

        self._scanner, self._count, self._rings = scanner, count, rings
        self._part = PartOfStream(window_s, tag_ms)
        self._fans = np.zeros((2, scanner.crystals, scanner.rings), np.int64)
        self._state = np.zeros(histogram.STATE, np.int64)
        self._kernel = histogram
        points = scanner.crystals * scanner.rings
        self._type = np.uint16 if points <= 1 << 16 else np.uint32

    @property
    def finished(self) -> bool:
        """Whether the end of the time window was passed."""
        return bool(self._state[self._kernel.FINISHED])

    def add(self, words: NDArray[np.uint32]) -> NDArray[np.unsignedinteger]:
        """Return the detectors of the prompts among `words`, shape ``(prompts, 2)``."""
        from emrecon.tomo.kernels import petlink_words as kernel  # noqa: PLC0415 - brings numba

        words = self._part.of(words)
        pairs = np.empty((len(words), 2), self._type)
        ring1, ring2 = self._rings
        sizes = self._scanner.crystals, self._count
        count = kernel.pairs_of(
            words, self._part.window_ms, ring1, ring2, *sizes, self._fans, self._state, pairs
        )
        return pairs[:count]

    def check(self) -> None:
        """Refuse what was read if it cannot be; see `refuse_nonsense`."""
        refuse_nonsense(self._state, self._part.window_ms)

    @property
    def fans(self) -> NDArray[np.int64]:
        """The delayeds and prompts of each detector, shape ``(2, rings, crystals)``."""
        return np.ascontiguousarray(self._fans.transpose(0, 2, 1))

    @property
    def duration_s(self) -> float:
        """Time between the first and the last time tag, or of all in a gate; 0 without any."""
        return self._part.duration_s(self._state)
