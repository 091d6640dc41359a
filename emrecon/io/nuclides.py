"""Isotopes as files name them."""

from __future__ import annotations

import re

ELEMENTS = {
    "carbon": "C", "fluorine": "F", "gallium": "Ga", "indium": "In", "iodine": "I",
    "iodide": "I", "krypton": "Kr", "lutetium": "Lu", "holmium": "Ho", "radium": "Ra",
    "rhenium": "Re", "samarium": "Sm", "technetium": "Tc", "thallium": "Tl", "xenon": "Xe",
    "yttrium": "Y", "actinium": "Ac", "lead": "Pb", "bismuth": "Bi", "terbium": "Tb",
    "thorium": "Th", "copper": "Cu", "chromium": "Cr", "cobalt": "Co",
    "nitrogen": "N", "oxygen": "O", "rubidium": "Rb", "zirconium": "Zr", "sodium": "Na",
    "germanium": "Ge",
}  # fmt: skip
"""Symbols by name, in lower case."""

_SYMBOLS = "|".join(sorted(set(ELEMENTS.values()), key=len, reverse=True))
_BEFORE = re.compile(rf"\b({_SYMBOLS})\s*-?\s*(\d{{2,3}}\s*m?)\b")
_AFTER = re.compile(rf"\b(\d{{2,3}}m?)\s*-?\s*({_SYMBOLS})\b")


def nuclide_in(text: str) -> str:
    """Return the isotope that a text names, such as ``Tc-99m``; empty where it names none.

    >>> [nuclide_in(t) for t in ("^99m^Technetium", "Technetium Tc99m MDP", "I-123", "177Lu")]
    ['Tc-99m', 'Tc-99m', 'I-123', 'Lu-177']
    """
    plain = text.replace("^", " ").replace("[", " ").replace("]", " ")
    for name, symbol in ELEMENTS.items():
        plain = re.sub(name, f" {symbol} ", plain, flags=re.IGNORECASE)
    if match := _BEFORE.search(" ".join(plain.split())):
        return f"{match[1]}-{match[2].replace(' ', '')}"
    if match := _AFTER.search(" ".join(plain.split())):
        return f"{match[2]}-{match[1]}"
    return ""
