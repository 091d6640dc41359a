"""What a person may choose about the image of a transmission scan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from emrecon.errors import SettingsError
from emrecon.tomo.settings import Settings


@dataclass(frozen=True)
class RayFiles:
    """What was measured beside the counts, and where a flat detector's pixels lie."""

    blank: Path | None = None
    """Scan without the object, in the bins of the counts; HDF5 has white fields of its own."""

    background: Path | None = None
    """Mean counts that did not come straight through, in the bins of the counts: scatter,
    emission; HDF5 has dark fields of its own."""

    blank_scale: float = 1.0
    """What the blank is multiplied by, such as the length of the scan over that of the blank."""

    pixel_mm: float = 0.0
    """HDF5: size of a detector pixel."""

    axis_column: float | Literal["auto"] = "auto"
    """HDF5: column on which the axis of rotation lies, from 0; auto finds it in views half a turn
    apart."""

    sum_columns: int = 1
    """HDF5: how many neighbouring columns count as one."""

    def __post_init__(self) -> None:
        if not 0 < self.blank_scale < 1e30:
            raise SettingsError(f"blank_scale is above 0, not {self.blank_scale}")
        if not 0 <= self.pixel_mm < 1e3:
            raise SettingsError(f"pixel_mm is above 0, not {self.pixel_mm}")
        if self.sum_columns < 1:
            raise SettingsError(f"sum_columns is 1 or more, not {self.sum_columns}")


@dataclass(frozen=True)
class TransmissionSettings:
    """The image, and how long it is iterated."""

    iterations: int = 20
    """Passes with all rays, in each of which the objective rises."""

    quick: int = 3
    """Passes before them with subsets of the views, without the prior."""

    subsets: int = 12
    """Subsets in those."""

    voxel_mm: tuple[float, ...] = ()
    """Voxel size: one number or x, y, z; by default the size of a bin."""

    size: tuple[int, ...] = ()
    """Voxels along x, y, z; by default the field of view."""

    threads: int = 0
    """Processor threads; 0 is all. The result does not depend on it."""

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.subsets < 1 or self.quick < 0:
            raise SettingsError("iterations and subsets are 1 or more, quick is 0 or more")
        self.projection()

    def projection(self) -> Settings:
        """Return them as the projector takes them."""
        return Settings(voxel_mm=self.voxel_mm, size=self.size, threads=self.threads)
