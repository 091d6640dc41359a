"""Tissue classes with a spatial field and a bias field: the mixture of a whole image.

The memberships of neighbouring voxels attract each other (a hidden Markov random field), by mean
field on the expected tissue fractions; a smooth field multiplies the image. Both are part of one
free energy, which no step lets fall.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emrecon.brief import brief
from emrecon.tissue.bias import Basis, Block, improve, penalty
from emrecon.tissue.classes import Classes, tables
from emrecon.tissue.kernels import sweep as kernel
from emrecon.tissue.kernels.tally import tally
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
    """Expected fraction of each class in each voxel, in the lattice's order, and 0 in the last
    row: what is outside. Shape ``(n + 1, k)``; quickest where the voxels of a class are neighbours
    in memory (Fortran's order)."""

    bias: Floats
    """Coefficients of each channel's log field, shape ``(c, m)``; none when m is 0."""

    __repr__ = brief


@dataclass(frozen=True, eq=False)
class Tallies:
    """What each component sees of the corrected intensities in each block of the bias field.

    By component, so that the field can follow classes that were improved since.
    """

    linear: Floats
    """Sums of intensities, by pattern of channels, shape ``(p, j, b, c)``."""

    square: Floats
    """Sums of products, lower triangles, shape ``(p, j, b, c (c + 1) / 2)``."""

    __repr__ = brief


@dataclass(frozen=True, eq=False)
class Expected:
    """What a sweep found."""

    sums: Floats
    """Moments of each pattern and component."""

    fractions: Floats32
    """Expected fractions."""

    tallies: Tallies | None
    """What the bias field's update needs."""

    __repr__ = brief


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
    """What is known of each voxel's place: log prior of each class, times its weight, if there is
    an atlas, then log odds of each nucleus, shape ``(n, e)``; see `Layout.known`."""

    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Distance of neighbouring voxels."""

    lowered: Floats32 | None = None
    """What was added to intensities so that grey matter is as bright everywhere, ``(c, n)``."""

    __repr__ = brief

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
        components = 0 if self.basis is None else len(self.rules.layout.mixing)
        shares = np.empty((components, self.lattice.size), np.float32)
        fractions, sums, energy = self._sweep(params, corrected, shares, np.eye(components))
        expected = Expected(sums, fractions, self._tallies(corrected, shares))
        return expected, energy + self._prior(params)

    def posterior(self, params: State, loads: Floats) -> tuple[Floats32, Floats32]:
        """Return expected fractions, and the expectation of `loads` in each voxel.

        Parameters
        ----------
        params : State
            Estimate; its fractions are those of the neighbours.
        loads : array, shape (j, l)
            Numbers that each component stands for.
        """
        posteriors = np.empty((loads.shape[1], self.lattice.size), np.float32)
        fractions, _, _ = self._sweep(params, self.corrected(params.bias), posteriors, loads)
        return fractions, posteriors.T

    def _sweep(
        self,
        params: State,
        corrected: Floats32,
        loaded: Floats32,
        loads: Floats,
    ) -> tuple[Floats32, Floats, float]:
        """Fill `loaded`; return the new fractions, moments and free energy."""
        layout, near, classes = self.rules.layout, self.lattice, params.classes
        old = np.asfortranarray(params.fractions)
        fractions = np.empty(old.shape, np.float32, order="F")
        fractions[-1] = 0
        sums = np.zeros((len(near.seen), len(layout.mixing), width(len(corrected))))
        energy = 0.0
        outer = np.empty((0, 0), np.float32) if self.external is None else self.external
        known = layout.known(outer.shape[1]).astype(np.float32)
        of_pattern = [tables(classes, layout, seen, self.rules.log_uniform) for seen in near.seen]
        for run in near.runs:
            table = of_pattern[run.pattern]
            chunks = -(-(run.last - run.first) // kernel.CHUNK)
            partial = np.zeros((chunks, len(near.seen), *sums.shape[1:]))
            terms = np.zeros((chunks, 3))
            kernel.sweep(
                run.first, run.last, corrected, run.pattern, near.beside,
                table.means.astype(np.float32), table.factors.astype(np.float32),
                np.maximum(table.constants, -1e4).astype(np.float32),
                layout.fractions.astype(np.float32), near.weights, near.earlier[run.colour],
                np.float32(self.beta), outer, known,
                loads.astype(np.float32), old.T, fractions.T, loaded, partial, terms,
            )  # fmt: skip
            sums += partial.sum(axis=0)
            evidence, agreement, earlier = terms.sum(axis=0)
            energy += evidence - self.beta * (agreement - earlier)
        return fractions, sums, float(energy)

    def maximise(self, params: State, expected: Expected) -> State:
        """Return better classes, then a bias field that is better with these.

        Were the field improved with the old classes, the free energy could fall: an
        expectation-conditional-maximisation step takes one after the other (Meng and Rubin,
        Biometrika 80, 267 (1993)).
        """
        classes = maximise(expected.sums, params.classes, self.rules)
        bias = params.bias
        if self.basis is not None and expected.tallies is not None:
            bias = improve(bias, self._block(classes, expected.tallies), self.basis)
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

    def _tallies(self, corrected: Floats32, shares: Floats32) -> Tallies | None:
        """Return what each component sees of each block, from its share of each voxel."""
        if self.basis is None:
            return None
        channels, components, blocks = len(corrected), len(shares), len(self.basis.values)
        shape = (len(self.lattice.seen), components, blocks)
        linear = np.zeros((*shape, channels))
        square = np.zeros((*shape, channels * (channels + 1) // 2))
        shift = (self.centre / self.scale).astype(np.float32)
        for run in self.lattice.runs:
            tally(
                run.first, run.last, corrected, shift, self.basis.blocks, shares,
                linear[run.pattern], square[run.pattern],
            )  # fmt: skip
        return Tallies(linear, square)

    def _block(self, classes: Classes, tallies: Tallies) -> Block:
        """Return the sums over blocks that the bias field's update needs beside these classes."""
        blocks, channels = tallies.linear.shape[2:]
        linear, square = np.zeros((blocks, channels)), np.zeros((blocks, channels, channels))
        low, high = np.tril_indices(channels)
        for p, seen in enumerate(self.lattice.seen):
            table = tables(classes, self.rules.layout, seen, self.rules.log_uniform)
            precision = np.einsum("jdc,jde->jce", table.factors, table.factors)
            raw = (table.means + (self.centre / self.scale)) * precision.any(axis=2)
            weighted = np.einsum("jcd,jd->jc", precision, raw)
            linear += np.einsum("jbc,jc->bc", tallies.linear[p], weighted)
            product = np.einsum("jbn,jn->bn", tallies.square[p], precision[:, low, high])
            square[:, low, high] += product
        square[:, high, low] = square[:, low, high]
        return Block(self._present(), linear, square)
