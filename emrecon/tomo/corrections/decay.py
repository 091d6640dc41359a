"""Radioactive decay, and the isotopes whose positrons PET counts."""

from __future__ import annotations

import math
from dataclasses import dataclass

from emrecon.errors import SettingsError


def start_over_mean(half_life_s: float, duration_s: float) -> float:
    """Return the activity at the start of a stretch of time over its mean during it."""
    gone = math.log(2) * duration_s / half_life_s
    return gone / -math.expm1(-gone) if gone > 0 else 1.0


def earlier_over_later(half_life_s: float, elapsed_s: float) -> float:
    """Return the activity at one time over that at another, `elapsed_s` later."""
    return math.exp(math.log(2) * elapsed_s / half_life_s)


@dataclass(frozen=True)
class Emitter:
    """A positron emitter."""

    name: str
    """Element and mass, such as F-18."""

    half_life_s: float
    """Half-life."""

    branching: float
    """Positrons a decay."""


MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0

EMITTERS = {
    emitter.name: emitter
    for emitter in (
        Emitter("C-11", 20.36 * MINUTE, 0.998),
        Emitter("N-13", 9.965 * MINUTE, 0.998),
        Emitter("O-15", 122.24, 0.999),
        Emitter("F-18", 109.77 * MINUTE, 0.967),
        Emitter("Na-22", 950.5 * DAY, 0.903),
        Emitter("Cu-64", 12.70 * HOUR, 0.175),
        Emitter("Ga-68", 67.71 * MINUTE, 0.891),
        Emitter("Ge-68", 270.95 * DAY, 0.891),  # in equilibrium with Ga-68, which emits
        Emitter("Rb-82", 76.4, 0.955),
        Emitter("Zr-89", 78.41 * HOUR, 0.228),
        Emitter("I-124", 4.176 * DAY, 0.23),
    )
}
"""Positron emitters by name. Half-lives are those of the evaluated data of NNDC and DDEP, shares
of positrons those that scanners usually state (European Pharmacopoeia 5.7 for C-11, N-13, O-15 and
F-18; Conti and Eriksson 2016, EJNMMI Phys 3:8, for the others within 2 %). With a calibration by
the same isotope the latter do not matter."""


ELEMENTS = {
    "c": "carbon", "n": "nitrogen", "o": "oxygen", "f": "fluorine", "na": "sodium",
    "cu": "copper", "ga": "gallium", "ge": "germanium", "rb": "rubidium", "zr": "zirconium",
    "i": "iodine",
}  # fmt: skip
"""Names of their elements by symbol, both in lower case."""


def emitter_named(name: str) -> Emitter:
    """Return the positron emitter called `name`: F-18, F18, 18F, ^18^Fluorine alike.

    Raises
    ------
    SettingsError
        If none of that name is known.
    """
    plain = "".join(letter for letter in name.casefold() if letter.isalnum())
    for known, emitter in EMITTERS.items():
        element, mass = known.casefold().split("-")
        for each in (element, ELEMENTS[element]):
            if plain in {each + mass, mass + each}:
                return emitter
    raise SettingsError(
        f"no positron emitter called {name!r} is known; known are {', '.join(EMITTERS)}"
    )
