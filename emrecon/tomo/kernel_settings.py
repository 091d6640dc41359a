"""What a person may choose about kernel EM."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from emrecon.errors import SettingsError

WIDEST = 15
"""Most voxels along an axis among which neighbours are sought."""


@dataclass(frozen=True)
class KernelSettings:
    """Reconstruct an image as sums over voxels that look alike in other images of the body.

    Examples
    --------
    >>> KernelSettings((Path("t1.nii.gz"),), kernel_fwhm_mm=6).kernel_neighbours
    50
    >>> KernelSettings(kernel_window=4)
    Traceback (most recent call last):
        ...
    emrecon.errors.SettingsError: kernel_window is an odd number of voxels, 3 to 15, not 4
    """

    kernel: tuple[Path, ...] = ()
    """Kernel EM: make each voxel a weighted mean of neighbours that look like it in these images,
    such as a T1, the folder of tissues that emrecon segment wrote or a composite of frames; for
    MLEM and OSEM."""

    kernel_neighbours: int = 50
    """How many neighbours that mean is over, itself included: those most alike, or all that the
    window holds."""

    kernel_window: int = 7
    """Among how many voxels along each axis they are sought; an odd number."""

    kernel_width: float = 1.0
    """Difference of the images at which a neighbour's weight falls, as sigma of a Gaussian, in
    standard deviations of each image."""

    kernel_fwhm_mm: float = 0.0
    """Make the kernel compact in space: FWHM in mm of a Gaussian of distance that multiplies its
    weights; 0 for none."""

    kernel_pet_width: float = 0.0
    """Make the kernel hybrid: let the smoothed image of a pass of OSEM count too, with this width
    in its standard deviations; 0 for none."""

    kernel_as_stir: bool = False
    """Back-project as STIR 6.5 does, with the kernel where its transpose belongs, and take
    standard deviations over the whole of an image: to compare with STIR's images."""

    def __post_init__(self) -> None:
        if not (self.kernel_window % 2 and 3 <= self.kernel_window <= WIDEST):
            raise SettingsError(
                f"kernel_window is an odd number of voxels, 3 to {WIDEST}, not "
                f"{self.kernel_window}"
            )
        if self.kernel_neighbours < 2:
            raise SettingsError(f"kernel_neighbours is 2 or more, not {self.kernel_neighbours}")
        if not 0 < self.kernel_width < 1e6:
            raise SettingsError(f"kernel_width is above 0, not {self.kernel_width}")
        for name in ("kernel_fwhm_mm", "kernel_pet_width"):
            if not 0 <= getattr(self, name) < 1e6:
                raise SettingsError(f"{name} is 0 or more, not {getattr(self, name)}")
