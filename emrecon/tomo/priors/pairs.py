"""Penalties of pairs of neighbours: which pairs, how much each counts, and their sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import GeometryError
from emrecon.neighbours import neighbourhood
from emrecon.tomo.kernels import pair_potentials as kernels
from emrecon.tomo.kernels.pair_sums import pair_sums
from emrecon.volume import Array

_NO_FACTORS = np.empty((0, 0, 0), np.float32)
_NO_BITS = np.empty((0, 0, 0), np.uint32)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Which voxels are compared, and how much each pair counts.

    Neighbours beyond the image are left out. A pair of the voxels j and k counts
    ``weight kappa_j kappa_k``, and half or nothing of that where `similar` says so.
    """

    steps: NDArray[np.intp]
    """Index steps to the neighbours, shape ``(n, 3)``, opposite ones as far from both ends."""

    weights: Array
    """Of each step, shape ``(n,)``; the same for opposite ones."""

    kappa: Array | None = None
    """Factor of each voxel; None for 1."""

    similar: NDArray[np.uint32] | None = None
    """Bit n of a voxel says whether it chose the neighbour at step n; see `bowsher`. A pair counts
    half if one of the two chose the other, so that the penalty has a gradient."""

    @classmethod
    def around(
        cls,
        spacing_mm: tuple[float, float, float],
        kappa: Array | None = None,
        similar: NDArray[np.uint32] | None = None,
    ) -> Self:
        """Return the 26 neighbours of voxels of this size, weighted as STIR does.

        The weight is the voxel's length along x over the distance of the centres.
        """
        near = neighbourhood(26, spacing_mm)
        along_x = near.weights[(near.steps == (1, 0, 0)).all(axis=1)]
        return cls(near.steps, np.asarray(near.weights / along_x, np.float32), kappa, similar)

    def sums(self, what: int, potential: Potential, image: Array, along: Array) -> Array:
        """Return the sum over the neighbours of each voxel of what a kernel calls `what`."""
        return self._summed(what, potential, image, along)[0]

    def total(self, potential: Potential, image: Array) -> float:
        """Return the sum of a potential over all pairs, each once."""
        return self._summed(kernels.VALUE, potential, image, image)[1] / 2

    def _summed(
        self, what: int, potential: Potential, image: Array, along: Array
    ) -> tuple[Array, float]:
        """Return the sums, and their sum."""
        image, along = (np.ascontiguousarray(one, np.float32) for one in (image, along))
        for name, one in (("kappa", self.kappa), ("similar", self.similar), ("along", along)):
            if one is not None and one.shape != image.shape:
                raise GeometryError(f"{name} of {one.shape} for an image of {image.shape}")
        kappa = _NO_FACTORS if self.kappa is None else np.ascontiguousarray(self.kappa)
        similar = _NO_BITS if self.similar is None else self.similar
        constants = tuple(map(np.float32, potential.constants))
        out = np.empty_like(image)
        pairs = self.steps, self.weights, kappa, similar
        whole = pair_sums(what, potential.KERNEL, image, along, pairs, constants, out)
        return out, whole


class Potential(Protocol):
    """What a pair of neighbouring voxels adds to a penalty."""

    KERNEL: ClassVar[int]
    """Which of `emrecon.tomo.kernels.pair_potentials` it is."""

    @property
    def constants(self) -> tuple[float, float]:
        """The numbers in it, as its kernel takes them."""
        ...


@dataclass(frozen=True, eq=False)
class PairPrior:
    """A `Prior`: the sum of a potential over all pairs of neighbours, times a strength."""

    beta: float
    """Strength, 0 or more."""

    potential: Potential
    """What each pair adds: `Quadratic`, `RelativeDifference` or `LogCosh`."""

    pairs: Pairs
    """The pairs and their weights."""

    def value(self, image: Array) -> float:
        """Return the penalty."""
        return self.beta * self.pairs.total(self.potential, image)

    def gradient(self, image: Array) -> Array:
        """Return its derivative in each voxel."""
        return self._of(kernels.GRADIENT, image)

    def curvature(self, image: Array, along: Array) -> Array:
        """Return the Hessian at `image` times `along`."""
        return self._of(kernels.CURVATURE, image, along)

    def diagonal(self, image: Array) -> Array:
        """Return the diagonal of the Hessian."""
        return self._of(kernels.DIAGONAL, image)

    def majorant(self, image: Array) -> Array:
        """Return curvatures of a separable parabola that the penalty never exceeds.

        A pair is the mean of two in which one voxel of it moves twice as far and the other stays
        (De Pierro, IEEE Trans. Med. Imaging 14, 132 (1995)): so each takes twice the curvature
        that majorises with the other fixed.
        """
        return 2 * self._of(kernels.MAJORANT, image)

    def _of(self, what: int, image: Array, along: Array | None = None) -> Array:
        """Return sums over neighbours times the strength."""
        along = image if along is None else along
        return np.float32(self.beta) * self.pairs.sums(what, self.potential, image, along)
