"""Interfile as STIR reads and writes it: images (``.hv``) and PET projections (``.hs``)."""

from __future__ import annotations

from emrecon.io.interfile_images import Image, read_image
from emrecon.io.interfile_images import write as write_image
from emrecon.io.interfile_pet import Projections, read_geometry, read_projections
from emrecon.io.interfile_pet_write import write_projections

__all__ = [
    "Image",
    "Projections",
    "read_geometry",
    "read_image",
    "read_projections",
    "write_image",
    "write_projections",
]
