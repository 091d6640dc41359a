"""The images that a prior or a kernel takes, from files to the grid of the reconstruction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from emrecon import io
from emrecon.errors import DataError, GeometryError
from emrecon.jobs.base import Meters
from emrecon.tomo.kernel_settings import KernelSettings
from emrecon.tomo.operators.blur import Blur
from emrecon.tomo.operators.kernel import Kernel, kernel_of
from emrecon.tomo.operators.resampling import resampled
from emrecon.tomo.penalised import SMOOTH_MM, WARM_UPDATES, Penalised
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.problem import Problem
from emrecon.volume import Array, Grid, Volume


@dataclass(eq=False)
class Guide:
    """Puts what other images say into the problems of a run, of frames or gates one by one."""

    penalty: Penalty
    """The prior, where one is chosen."""

    kernel: KernelSettings
    """What kernel EM takes, where it is chosen."""

    meters: Meters
    """Makes the progress bars."""

    _made: tuple[Grid, Kernel] | None = field(default=None, init=False)

    def of(self, problem: Problem) -> list[Problem]:
        """Return a problem with the prior or the kernel, if either is chosen; one a strength.

        Raises
        ------
        EmreconError
            If an image cannot be read, does not overlap with the grid, or holds what makes no
            sense.
        """
        grid = _in_patient(problem.grid, problem.origin_mm)
        if self.penalty.prior:
            chosen = penalised(self.penalty, grid)
            each = [replace(chosen, penalty=one, facts={}) for one in self.penalty.each()]
            whole = problem.whole_if_few()
            return [replace(whole, penalised=one) for one in each]
        if self.kernel.kernel:
            return [problem.through(self._kernel(problem, grid))]
        return [problem]

    def _kernel(self, problem: Problem, grid: Grid) -> Kernel:
        """Return the kernel; one of images alone serves all frames of a grid."""
        if self._made is None or self._made[0] != grid or self.kernel.kernel_pet_width:
            features = np.stack(_several(self.kernel.kernel, grid))
            if not features.any():
                named = ", ".join(map(str, self.kernel.kernel))
                raise DataError(f"{named}: 0 everywhere, so that there is no kernel to make of it")
            pet = self._warm(problem) if self.kernel.kernel_pet_width else None
            self._made = grid, kernel_of(features, grid.spacing_mm, self.kernel, pet)
        return self._made[1]

    def _warm(self, problem: Problem) -> Array:
        """Return the smoothed image of a pass of OSEM."""
        with self.meters("first image", WARM_UPDATES) as meter:
            image = problem.first(*([meter] if meter else []))
        return Blur(problem.grid, (SMOOTH_MM,) * 3).forward(image)


def penalised(penalty: Penalty, grid: Grid) -> Penalised:
    """Return a prior's choices with the images they name, resampled in world space.

    Parameters
    ----------
    penalty : Penalty
        The choices.
    grid : Grid
        Where the image lies in the patient.

    Raises
    ------
    EmreconError
        If an image cannot be read, does not overlap with the grid, or holds what makes no sense.
    """
    kappa = None
    if penalty.kappa is not None:
        (kappa,) = _read(penalty.kappa, grid)
        if kappa.min() < 0:
            raise DataError(f"{penalty.kappa}: kappa is 0 or more, not {kappa.min():g}")
    several = _several(penalty.anatomy, grid)
    if penalty.prior == "pls" and len(several) != 1:
        raise DataError(f"the prior pls follows one anatomy, not the {len(several)} of 4D images")
    return Penalised(penalty, kappa, np.stack(several) if several else None)


def _in_patient(grid: Grid, origin_mm: tuple[float, float, float] | None) -> Grid:
    """Return a grid about a camera's own origin where that lies in the patient."""
    if origin_mm is None:
        return grid
    x, y, z = (a + b for a, b in zip(grid.origin_mm, origin_mm, strict=True))
    return replace(grid, origin_mm=(x, y, z))


def _several(paths: Sequence[Path], grid: Grid) -> list[Array]:
    """Return the images in all files on the grid."""
    return [one for path in paths for one in _read(path, grid)]


def _read(path: Path, grid: Grid) -> list[Array]:
    """Return the image in a file, or those of a 4D one, on the grid."""
    volume = io.read_image(path)
    frames = volume.voxels if volume.voxels.ndim == 4 else volume.voxels[None]
    if not np.isfinite(frames).all():
        raise DataError(f"{path} holds infinite or NaN values")
    try:
        return [resampled(Volume(one, volume.affine), grid).voxels for one in frames]
    except GeometryError as error:
        raise GeometryError(
            f"{path} lies wholly beside the image that is reconstructed: check the affines of both"
        ) from error
