"""The images that a prior or a kernel takes, from files to the grid of the reconstruction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from emrecon.brief import brief
from emrecon.errors import DataError
from emrecon.jobs.anatomy import Anatomy, check_on_grid, read_on_grid
from emrecon.jobs.base import Meters
from emrecon.tomo.anatomy_settings import AnatomySettings
from emrecon.tomo.kernel_settings import KernelSettings
from emrecon.tomo.operators.blur import Blur
from emrecon.tomo.operators.kernel import Kernel, kernel_of
from emrecon.tomo.penalised import SMOOTH_MM, WARM_UPDATES, Penalised, refuse_few_updates
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

    anatomy: Anatomy
    """Reads the images of the body that either takes."""

    meters: Meters
    """Makes the progress bars."""

    _made: tuple[Grid, Kernel] | None = field(default=None, init=False)

    __repr__ = brief

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
            chosen = penalised(
                self.penalty, grid, lambda paths: self._images(paths, problem, grid)
            )
            each = [replace(chosen, penalty=one, facts={}) for one in self.penalty.each()]
            whole = problem.whole_if_few(problem.settings.iterations + WARM_UPDATES)
            refuse_few_updates(self.penalty, whole.settings.iterations, len(whole.likelihoods))
            return [replace(whole, penalised=one) for one in each]
        if self.kernel.kernel:
            return [problem.balanced().through(self._kernel(problem, grid))]
        return [problem.balanced()]

    def _kernel(self, problem: Problem, grid: Grid) -> Kernel:
        """Return the kernel; one of images alone serves all frames of a grid."""
        if self._made is None or self._made[0] != grid or self.kernel.kernel_pet_width:
            features = np.stack(self._images(self.kernel.kernel, problem, grid))
            if not features.any():
                named = ", ".join(map(str, self.kernel.kernel))
                raise DataError(f"{named}: 0 everywhere, so that there is no kernel to make of it")
            pet = self._first(problem).voxels if self.kernel.kernel_pet_width else None
            self._made = grid, kernel_of(features, grid.spacing_mm, self.kernel, pet)
        return self._made[1]

    def _images(self, paths: Sequence[Path], problem: Problem, grid: Grid) -> list[Array]:
        """Return images of the body on the grid."""
        return self.anatomy.on(grid, paths, lambda: self._first(problem))

    def _first(self, problem: Problem) -> Volume:
        """Return the smoothed image of a pass of OSEM where it lies in the patient."""
        with self.meters("first image", WARM_UPDATES) as meter:
            image = problem.first(*([meter] if meter else []))
        smooth = Blur(problem.grid, (SMOOTH_MM,) * 3).forward(image)
        return Volume(smooth, _in_patient(problem.grid, problem.origin_mm).affine)


def check_guides(
    penalty: Penalty, kernel: KernelSettings, settings: AnatomySettings, grid: Grid
) -> None:
    """Refuse images of a prior or a kernel that cannot guide an image, as headers tell.

    Raises
    ------
    EmreconError
        If one lies wholly beside the grid, where it is not moved, or they are too many.
    """
    if penalty.kappa is not None:
        check_on_grid([penalty.kappa], grid)
    images = (*penalty.anatomy, *kernel.kernel)
    number = len(images) if settings.align_anatomy == "rigid" else check_on_grid(images, grid)
    if penalty.anatomy and not settings.segment_anatomy:
        _refuse_several(penalty, number)


def _refuse_several(penalty: Penalty, number: int) -> None:
    """Refuse another number of images than a prior follows."""
    if penalty.prior == "pls" and number != 1:
        raise DataError(f"the prior pls follows one anatomy, not {number} images")


def penalised(
    penalty: Penalty, grid: Grid, images: Callable[[Sequence[Path]], list[Array]]
) -> Penalised:
    """Return a prior's choices with the images they name, resampled in world space.

    Parameters
    ----------
    penalty : Penalty
        The choices.
    grid : Grid
        Where the image lies in the patient.
    images : callable
        Reads images of the body onto the grid.

    Raises
    ------
    EmreconError
        If an image cannot be read, does not overlap with the grid, or holds what makes no sense.
    """
    kappa = None
    if penalty.kappa is not None:
        (kappa,) = read_on_grid([penalty.kappa], grid)
        if kappa.min() < 0:
            raise DataError(f"{penalty.kappa}: kappa is 0 or more, not {kappa.min():g}")
    several = images(penalty.anatomy) if penalty.anatomy else []
    _refuse_several(penalty, len(several))
    return Penalised(penalty, kappa, np.stack(several) if several else None)


def _in_patient(grid: Grid, origin_mm: tuple[float, float, float] | None) -> Grid:
    """Return a grid about a camera's own origin where that lies in the patient."""
    if origin_mm is None:
        return grid
    x, y, z = (a + b for a, b in zip(grid.origin_mm, origin_mm, strict=True))
    return replace(grid, origin_mm=(x, y, z))
