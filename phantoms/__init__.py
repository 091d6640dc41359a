"""Synthetic objects whose truth is known exactly."""

from __future__ import annotations

from collections.abc import Callable

from emrecon.plugins import Extended
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


PHANTOMS: Extended[Callable[[], Phantom]] = Extended(BUILT_IN, GROUP)
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
