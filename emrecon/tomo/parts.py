"""The files that a scan comes in, besides its prompts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Parts:
    """The files of a scan besides its prompts, and how to read them."""

    normalisation: Path | None = None
    """Detection efficiencies of the bins (Interfile); 0 marks dead and missing ones."""

    attenuation: Path | None = None
    """Attenuation factors of the bins (Interfile): survival probabilities, at most 1."""

    correction: Path | None = None
    """Multiplicative correction in STIR's sense (Interfile): attenuation correction over
    efficiency; 0 marks dead bins. Instead of normalisation and attenuation."""

    mu: Path | None = None
    """Attenuation map (NIfTI or Interfile image), projected to attenuation factors."""

    mu_unit: str = ""
    """Unit of the attenuation map: 1/mm or 1/cm."""

    randoms: Path | None = None
    """Mean randoms in each bin, counts as measured (Interfile)."""

    scatter: Path | None = None
    """Mean scatter in each bin, counts as measured (Interfile)."""

    additive: Path | None = None
    """Background in STIR's sense (Interfile): (randoms + scatter) times the correction."""

    span: int = 11
    """Axial compression of list-mode data: an odd number of ring differences a segment."""
