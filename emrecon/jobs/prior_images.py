"""The images that a prior takes, from files to the grid of the reconstruction."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from emrecon import io
from emrecon.errors import DataError, GeometryError
from emrecon.tomo.operators.resampling import resampled
from emrecon.tomo.penalised import Penalised
from emrecon.tomo.penalty import Penalty
from emrecon.volume import Array, Grid, Volume


def penalised(
    penalty: Penalty, grid: Grid, origin_mm: tuple[float, float, float] | None
) -> Penalised:
    """Return a prior's choices with the images they name, resampled in world space.

    Parameters
    ----------
    penalty : Penalty
        The choices.
    grid : Grid
        Where the image lies.
    origin_mm : tuple of float or None
        Where a camera's own origin, that of the grid, lies in the patient.

    Raises
    ------
    EmreconError
        If an image cannot be read, does not overlap with the grid, or holds what makes no sense.
    """
    if origin_mm is not None:
        x, y, z = (a + b for a, b in zip(grid.origin_mm, origin_mm, strict=True))
        grid = replace(grid, origin_mm=(x, y, z))
    kappa = None
    if penalty.kappa is not None:
        (kappa,) = _read(penalty.kappa, grid)
        if kappa.min() < 0:
            raise DataError(f"{penalty.kappa}: kappa is 0 or more, not {kappa.min():g}")
    several = [one for path in penalty.anatomy for one in _read(path, grid)]
    if penalty.prior == "pls" and len(several) != 1:
        raise DataError(f"the prior pls follows one anatomy, not the {len(several)} of 4D images")
    return Penalised(penalty, kappa, np.stack(several) if several else None)


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
