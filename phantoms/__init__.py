"""Synthetic objects whose truth is known exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from emrecon.plugins import installed
from phantoms.brain import brain
from phantoms.cylinder import uniform_cylinder
from phantoms.derenzo import derenzo
from phantoms.flip_finder import flip_finder
from phantoms.nema import nema
from phantoms.phantom import Phantom
from phantoms.shepp_logan import shepp_logan

BUILT_IN: dict[str, Callable[[], Phantom]] = {
    "cylinder": uniform_cylinder,
    "shepp-logan": shepp_logan,
    "nema": nema,
    "derenzo": derenzo,
    "flip-finder": flip_finder,
    "brain": brain,
}
"""The phantoms of this package, by name."""

GROUP = "emrecon.phantoms"
"""Entry points of other packages' phantoms, which name what makes a `Phantom`."""


class Phantoms(Mapping[str, Callable[[], Phantom]]):
    """What makes each phantom, by name; those of other packages come last."""

    def __getitem__(self, name: str) -> Callable[[], Phantom]:
        return BUILT_IN[name] if name in BUILT_IN else installed(GROUP)[name]

    def __iter__(self) -> Iterator[str]:
        yield from BUILT_IN
        yield from (name for name in installed(GROUP) if name not in BUILT_IN)

    def __len__(self) -> int:
        return sum(1 for _ in self)


PHANTOMS = Phantoms()
"""Phantoms by the name asked for on the command line, in the panel and in batches."""

__all__ = [
    "BUILT_IN",
    "PHANTOMS",
    "Phantom",
    "brain",
    "derenzo",
    "flip_finder",
    "nema",
    "shepp_logan",
    "uniform_cylinder",
]
