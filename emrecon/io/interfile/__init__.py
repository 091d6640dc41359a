"""Interfile as STIR reads and writes it: images (``.hv``) and PET projections (``.hs``)."""

from __future__ import annotations

from emrecon.io.interfile.images import Image, read_image
from emrecon.io.interfile.images import write as write_image
from emrecon.io.interfile.pet import Projections, read_geometry, read_projections
from emrecon.io.interfile.pet_write import write_projections

__all__ = [
    "Image",
    "Projections",
    "read_geometry",
    "read_image",
    "read_projections",
    "write_image",
    "write_projections",
]
