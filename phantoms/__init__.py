"""Synthetic objects whose truth is known exactly."""

from __future__ import annotations

from collections.abc import Callable

from phantoms.brain import brain
from phantoms.cylinder import uniform_cylinder
from phantoms.derenzo import derenzo
from phantoms.flip_finder import flip_finder
from phantoms.nema import nema
from phantoms.phantom import Phantom
from phantoms.shepp_logan import shepp_logan

PHANTOMS: dict[str, Callable[[], Phantom]] = {
    "cylinder": uniform_cylinder,
    "shepp-logan": shepp_logan,
    "nema": nema,
    "derenzo": derenzo,
    "flip-finder": flip_finder,
    "brain": brain,
}
"""Phantoms by the name asked for on the command line."""

__all__ = [
    "PHANTOMS",
    "Phantom",
    "brain",
    "derenzo",
    "flip_finder",
    "nema",
    "shepp_logan",
    "uniform_cylinder",
]
