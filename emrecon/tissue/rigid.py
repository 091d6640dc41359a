"""Where the tissues of a head lie on another image of it, such as a PET: turned and moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import DataError
from emrecon.tissue.align import RIGID
from emrecon.tissue.atlas import climb, points, stack
from emrecon.tissue.atlas_starts import angle, shift_mm
from emrecon.volume import Volume

Floats = NDArray[np.float64]

COARSE_TO_FINE_MM = (12.0, 8.0, 5.0)
"""Distances of the points that are compared, pass by pass."""

MOST = 40
"""Updates of a pass at most."""

FARTHEST_MM = 60.0
"""Move of the middle of the image beyond which no place counts as found."""

_TURNS_AND_MOVES = RIGID[:, :6]  # the last column scales


@dataclass(frozen=True, eq=False)
class RigidPlace:
    """Where tissues lie on an image."""

    matrix: Floats
    """Image mm to mm of the tissues, shape ``(4, 4)``."""

    moved_mm: float
    """How far that moves the middle of the image."""

    turned_deg: float
    """By how much it turns."""

    def moved(self, volume: Volume) -> Volume:
        """Return a volume that lies as the tissues do, where it lies on the image."""
        return Volume(volume.voxels, np.linalg.inv(self.matrix) @ volume.affine, volume.unit)


def align_rigid(image: Volume, tissues: Sequence[Volume]) -> RigidPlace:
    """Return where tissues explain the intensities of an image best, from where both headers say.

    The likelihood is that of an atlas on an image, so any contrast will do (see
    `emrecon.tissue.align`); scale and shear stay as they are.

    Parameters
    ----------
    image : Volume
        The other image, such as a smoothed PET.
    tissues : sequence of Volume
        Fraction of each tissue, on one grid.

    Raises
    ------
    DataError
        If no place is found near where the headers say.
    """
    maps, affine = stack(tissues, len(tissues), ())
    matrix, middle = np.eye(4), np.zeros(3)
    for distance_mm in COARSE_TO_FINE_MM:
        model = replace(points(image, None, maps, affine, distance_mm), free=_TURNS_AND_MOVES)
        matrix = climb(model, model.begin(matrix), MOST).params.matrix
        middle = model.middle
    moved = shift_mm(matrix, middle)
    if moved > FARTHEST_MM:
        raise DataError(
            f"the tissues would have to be moved by {moved:.0f} mm to lie on the image: check the "
            "headers of both, or align them beforehand"
        )
    return RigidPlace(matrix, moved, float(angle(matrix, np.eye(4))))
