"""Tissue classes with a spatial field and a bias field: the mixture of a whole image.

The memberships of neighbouring voxels attract each other (a hidden Markov random field), by mean
field on the expected tissue fractions; a smooth field multiplies the image. Both are part of one
free energy, which no step lets fall.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emrecon.tissue.bias import Basis, Block, improve, penalty
from emrecon.tissue.classes import Classes, Tables, tables
from emrecon.tissue.kernels import sweep as kernel
from emrecon.tissue.lattice import Lattice
from emrecon.tissue.moments import Rules, maximise, width

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class State:
    """What is estimated of an image."""

    classes: Classes
    """Mixture of the corrected, standardised intensities."""

    fractions: Floats32
    """Expected fraction of each class in each voxel of the padded box, shape ``(v, k)``; quickest
    where the voxels of a class are neighbours in memory (Fortran's order)."""

    bias: Floats
    """Coefficients of each channel's log field, shape ``(c, m)``; none when m is 0."""


@dataclass(frozen=True, eq=False)
class Expected:
    """What a sweep found."""

    sums: Floats
    """Moments of each pattern and component."""

    fractions: Floats32
    """Expected fractions."""

    blocks: Block | None
    """What the bias field's update needs."""


@dataclass(frozen=True, eq=False)
class Image:
    """A masked image as a mixture with spatial and bias field: a model of the loop.

    References
    ----------
    Zhang, Brady and Smith, IEEE Trans. Med. Imaging 20, 45 (2001); Wells et al., ibid. 15, 429
    (1996); Roche et al., Med. Image Anal. 15, 830 (2011).
    """

    values: Floats32
    """Intensities in the lattice's order, shape ``(c, n)``; 0 where missing."""

    lattice: Lattice
    """Where the voxels lie."""

    rules: Rules
    """Structure of the mixture."""

    centre: Floats
    """Taken from the corrected intensities of each channel, shape ``(c,)``."""

    scale: Floats
    """Then divided by, shape ``(c,)``."""

    beta: float = 0.0
    """Strength of the spatial field."""

    basis: Basis | None = None
    """Functions of the bias field; none for no field."""

    external: Floats32 | None = None
    """Log prior of each class in each voxel, times its weight, shape ``(n, k)``."""

    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Distance of neighbouring voxels."""

    def log_field(self, bias: Floats, basis: Basis, corner_mm: Floats) -> Floats32:
        """Return a smooth log field in each voxel, shape ``(c, n)``.

        Parameters
        ----------
        bias : array, shape (c, m)
            Coefficients of each channel.
        basis : Basis
            Their functions, of this image or of a coarser one.
        corner_mm : array, shape (3,)
            Where the basis' box begins, from the corner of this image's box, along its axes.
        """
        axes = [
            (np.arange(n) + 0.5) * d - at
            for n, d, at in zip(self.lattice.shape, self.spacing_mm, corner_mm, strict=True)
        ]
        return np.stack([basis.smooth(one, axes).ravel()[self.lattice.places] for one in bias])

    def without(self, log_field: Floats32) -> Image:
        """Return the model of the image divided by a field, with no field of its own."""
        return replace(self, values=self.values * np.exp(-log_field), basis=None)

    def corrected(self, bias: Floats) -> Floats32:
        """Return the standardised intensities without the field, shape ``(c, n)``."""
        out = np.empty_like(self.values)
        shift = (self.centre / self.scale).astype(np.float32)
        for c, one in enumerate(self.values):
            out[c] = one * np.float32(1 / self.scale[c])
            if self.basis is not None:
                gain = np.exp(-self.basis.on_blocks(bias[c])).astype(np.float32)
                out[c] *= gain[self.basis.blocks]
            out[c] -= shift[c]
        if not self.lattice.seen.all():
            for run in self.lattice.runs:
                out[~self.lattice.seen[run.pattern], run.first : run.last] = 0
        return out

    def expect(self, params: State) -> tuple[Expected, float]:
        """Return what a sweep over all voxels finds, and the free energy after it."""
        corrected = self.corrected(params.bias)
        channels = len(corrected)
        columns = channels * (channels + 3) // 2 if self.basis is not None else 0
        loaded = np.empty((self.lattice.size, columns), np.float32)
        fractions, sums, energy = self._sweep(params, corrected, loaded)
        found = Expected(sums, fractions, self._blocks(corrected, loaded))
        return found, energy + self._prior(params)

    def posterior(self, params: State, loads: Floats) -> tuple[Floats32, Floats32]:
        """Return expected fractions in the box, and the expectation of `loads` in each voxel.

        Parameters
        ----------
        params : State
            Estimate; its fractions are those of the neighbours.
        loads : array, shape (j, l)
            Numbers that each component stands for.
        """
        found = np.empty((self.lattice.size, loads.shape[1]), np.float32)
        fractions, _, _ = self._sweep(params, self.corrected(params.bias), found, loads)
        return fractions, found

    def _sweep(
        self,
        params: State,
        corrected: Floats32,
        loaded: Floats32,
        given: Floats | None = None,
    ) -> tuple[Floats32, Floats, float]:
        """Fill `loaded`; return the new fractions, moments and free energy."""
        layout, near, classes = self.rules.layout, self.lattice, params.classes
        old = np.asfortranarray(params.fractions)
        fractions = np.zeros(old.shape, np.float32, order="F")  # air takes no memory until written
        sums = np.zeros((len(near.seen), len(layout.mixing), width(len(corrected))))
        energy = 0.0
        outer = np.empty((0, layout.classes), np.float32)
        of_pattern = [tables(classes, layout, seen, self.rules.log_uniform) for seen in near.seen]
        for run in near.runs:
            table = of_pattern[run.pattern]
            loads = self._loads(table, loaded.shape[1]) if given is None else given
            chunks = -(-(run.last - run.first) // kernel.CHUNK)
            part = np.zeros((chunks, len(near.seen), *sums.shape[1:]))
            terms = np.zeros((chunks, 3))
            kernel.sweep(
                run.first, run.last, corrected, run.pattern, near.places,
                table.means.astype(np.float32), table.factors.astype(np.float32),
                np.maximum(table.constants, -1e4).astype(np.float32),
                layout.fractions.astype(np.float32), near.offsets, near.weights,
                near.earlier[run.colour], np.float32(self.beta),
                outer if self.external is None else self.external,
                loads.astype(np.float32), old.T, fractions.T, loaded, part, terms,
            )  # fmt: skip
            sums += part.sum(axis=0)
            evidence, agreement, earlier = terms.sum(axis=0)
            energy += evidence - self.beta * (agreement - earlier)
        return fractions, sums, float(energy)

    def maximise(self, params: State, expected: Expected) -> State:
        """Return better classes, then a better bias field."""
        classes = maximise(expected.sums, params.classes, self.rules)
        bias = params.bias
        if self.basis is not None and expected.blocks is not None:
            bias = improve(bias, expected.blocks, self.basis)
        return replace(params, classes=classes, fractions=expected.fractions, bias=bias)

    def _prior(self, params: State) -> float:
        total = self.rules.prior.log(params.classes, self.rules.layout, self.rules.covariance)
        if self.basis is None:
            return total
        total -= sum(penalty(c, self.basis.precision) for c in params.bias)
        return total - float(np.sum(params.bias * (self._present().T @ self.basis.values)))

    def _present(self) -> Floats:
        """Return how many voxels of each block have each channel, shape ``(b, c)``."""
        if self.basis is None:
            return np.empty((0, len(self.values)))
        count = np.zeros((len(self.basis.values), len(self.values)))
        for run in self.lattice.runs:
            at = self.basis.blocks[run.first : run.last]
            here = np.bincount(at, minlength=len(count))
            count += here[:, None] * self.lattice.seen[run.pattern]
        return count

    def _loads(self, table: Tables, columns: int) -> Floats:
        """Return precision-weighted means and precisions of the components, in raw units."""
        components, channels = table.means.shape
        if not columns:
            return np.empty((components, 0))
        precision = np.einsum("jdc,jde->jce", table.factors, table.factors)
        raw = (table.means + (self.centre / self.scale)) * precision.any(axis=2)
        low, high = np.tril_indices(channels)
        weighted = np.einsum("jcd,jd->jc", precision, raw)
        return np.hstack([weighted, precision[:, low, high]])

    def _blocks(self, corrected: Floats32, loaded: Floats32) -> Block | None:
        """Return the sums over blocks that the bias field's update needs."""
        if self.basis is None:
            return None
        channels, blocks = len(corrected), len(self.basis.values)
        at = self.basis.blocks
        raw = [
            one + np.float32(s) for one, s in zip(corrected, self.centre / self.scale, strict=True)
        ]
        linear, square = np.zeros((blocks, channels)), np.zeros((blocks, channels, channels))
        low, high = np.tril_indices(channels)
        for c in range(channels):
            linear[:, c] = np.bincount(at, raw[c] * loaded[:, c], blocks)
        for n, (c, d) in enumerate(zip(low.tolist(), high.tolist(), strict=True), channels):
            product = np.bincount(at, raw[c] * raw[d] * loaded[:, n], blocks)
            square[:, c, d] = square[:, d, c] = product
        return Block(self._present(), linear, square)
