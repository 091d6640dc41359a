"""What of a segmentation is judged: volumes, edges and depths of what was found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emrecon.tissue.classes import Classes
from emrecon.tissue.lattice import Lattice
from emrecon.tissue.settings import Settings
from emrecon.tissue.starts import Optimum

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Findings:
    """What is judged of a segmentation."""

    settings: Settings
    """How it was made."""

    classes: Classes
    """Parameters, from dark to bright."""

    fractions: Floats32
    """Of each class in each voxel, in the order of the names, shape ``(n, k)``."""

    human_ml: float
    """Volume of all voxels, were the brain as large as a human one."""

    rim: NDArray[np.bool_]
    """Which voxels are at the edge of the mask, shape ``(n,)``."""

    outliers: float
    """Share of the voxels that no class explains."""

    atlas: bool
    """Whether priors tell the classes apart by place, too."""

    said: Floats | None = None
    """Mean log of what maps say of each class (columns) where each was found (rows), ``(k, k)``,
    in the order of the names; None where no maps lie on the image."""

    start: Optimum | None = None
    """The best start from intensities alone; None where a person gave one."""

    inner: tuple[float, ...] = ()
    """Share of each class, in the order of the names, whose neighbours are of the same class."""

    widest_mm: float = 0.0
    """Longest edge of a voxel, were the brain as large as a human one."""

    depth: Floats32 | None = None
    """Of each voxel under the outside of the mask in mm; None where that tells nothing."""

    @property
    def outer(self) -> dict[str, float]:
        """The share of each class that lies at the edge of the mask."""
        held = np.maximum(self.fractions.sum(axis=0, dtype=np.float64), 1e-9)
        edge = self.fractions[self.rim].sum(axis=0, dtype=np.float64)
        return dict(zip(self.settings.names, (edge / held).tolist(), strict=True))

    @property
    def deep_mm(self) -> dict[str, float]:
        """The mean depth of each class; empty where depth tells nothing."""
        if self.depth is None:
            return {}
        held = np.maximum(self.fractions.sum(axis=0, dtype=np.float64), 1e-9)
        mean = self.depth @ self.fractions / held
        return dict(zip(self.settings.names, mean.tolist(), strict=True))


def rim_of(lattice: Lattice) -> NDArray[np.bool_]:
    """Return which voxels have a neighbour outside the mask, shape ``(n,)``."""
    return np.asarray((lattice.beside == lattice.size).any(axis=0))


def inner_of(lattice: Lattice, fractions: Floats32) -> tuple[float, ...]:
    """Return the share of each class whose nearest neighbours in the mask are of it, too."""
    classes = fractions.shape[1]
    labels = np.append(fractions.argmax(axis=1), -1)
    near = lattice.beside[lattice.weights > 0.99 * lattice.weights.max()]
    own = labels[:-1]
    inside = np.all((labels[near] == own) | (labels[near] < 0), axis=0)
    count = np.maximum(np.bincount(own, minlength=classes), 1)
    shares = np.bincount(own[inside], minlength=classes) / count
    return tuple(shares.tolist())
