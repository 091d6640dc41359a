"""A smooth field that multiplies the image: log of a sum of cosines, estimated inside EM.

The field is constant on small blocks while it is estimated, so that its update is exact, and
smooth where it is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emrecon.brief import brief
from emrecon.tissue.kernels import cosines as kernel

Floats = NDArray[np.float64]

MARGIN = 0.2
"""Part of the cut-off by which the cosines' box is larger than the image's on each side: at the
wall of their box all are level, which a field at the edge of the head is not."""


@dataclass(frozen=True, eq=False)
class Basis:
    """Cosines over the box of the lattice, slower than a cut-off, and how large each may be."""

    factors: tuple[Floats, Floats, Floats]
    """Cosines along each axis at the blocks' centres, shape ``(blocks, modes)``."""

    size_mm: Floats
    """Of the cosines' box, shape ``(3,)``."""

    margin_mm: float
    """By which it is larger than the lattice's box on each side."""

    modes: NDArray[np.intp]
    """Frequencies along the axes of each function kept, shape ``(m, 3)``."""

    precision: Floats
    """Inverse prior variance of each coefficient, shape ``(m,)``."""

    blocks: NDArray[np.intp]
    """Block of each voxel of the lattice, among those in use, shape ``(n,)``."""

    values: Floats
    """Functions on the blocks in use, shape ``(b, m)``."""

    __repr__ = brief

    def on_blocks(self, coefficients: Floats) -> Floats:
        """Return the log field on the blocks in use."""
        return np.asarray(kernel.combine(self.values, coefficients))

    def smooth(self, coefficients: Floats, axes_mm: Sequence[Floats]) -> NDArray[np.float32]:
        """Return the log field on a grid, ``(i, j, k)``.

        `axes_mm` are the grid's positions along each axis, from the corner of the lattice's box.
        """
        most = self.modes.max(axis=0)
        full = np.zeros(most + 1)
        full[tuple(self.modes.T)] = coefficients
        for at, size, count in zip(axes_mm, self.size_mm, most, strict=True):
            waves = _cosines((at + self.margin_mm) / size, int(count))
            full = np.tensordot(full, waves.astype(np.float32), (0, 1))
        return np.asarray(full, np.float32)


def basis(
    shape: tuple[int, int, int],
    places: NDArray[np.int32],
    spacing_mm: tuple[float, float, float],
    cutoff_mm: float,
    weight: float,
    block_mm: float,
) -> Basis:
    """Return the cosines of wavelength `cutoff_mm` or more over a box.

    Parameters
    ----------
    shape : tuple
        Voxels of the box.
    places : array
        Index in the flat box of each voxel that counts.
    spacing_mm : tuple
        Voxel size.
    cutoff_mm : float
        Shortest wavelength.
    weight : float
        Prior precision of the slowest function's coefficient; that of a faster one grows with
        the fourth power of its frequency, like the bending of the field.
    block_mm : float
        Size of the blocks.
    """
    margin = MARGIN * cutoff_mm
    size = np.asarray(shape) * np.asarray(spacing_mm) + 2 * margin
    most = np.floor(2 * size / cutoff_mm).astype(int)
    grid = np.stack(np.meshgrid(*(np.arange(m + 1) for m in most), indexing="ij"), -1)
    modes = grid.reshape(-1, 3)
    frequency = np.linalg.norm(modes / (2 * size), axis=1)
    kept = (frequency > 0) & (frequency <= 1 / cutoff_mm)
    modes, frequency = modes[kept], frequency[kept]
    slowest = 1 / (2 * size.max())
    precision = weight * (frequency / slowest) ** 4
    steps = [max(round(block_mm / d), 1) for d in spacing_mm]
    coarse = [-(-n // s) for n, s in zip(shape, steps, strict=True)]
    index = [a // s for a, s in zip(np.unravel_index(places, shape), steps, strict=True)]
    flat = np.ravel_multi_index(tuple(index), coarse)
    taken = np.bincount(flat, minlength=int(np.prod(coarse))) > 0
    used, blocks = np.flatnonzero(taken), (np.cumsum(taken) - 1)[flat]
    factors = []
    for axis, (n, step) in enumerate(zip(shape, steps, strict=True)):
        centres = np.minimum((np.arange(coarse[axis]) + 0.5) * step, n)
        factors.append(_cosines((centres * spacing_mm[axis] + margin) / size[axis], most[axis]))
    cells = np.unravel_index(used, coarse)
    values = np.ones((len(used), len(modes)))
    for axis in range(3):
        values *= factors[axis][cells[axis]][:, modes[:, axis]]
    return Basis(
        (factors[0], factors[1], factors[2]), size, margin, modes, precision,
        np.asarray(blocks, np.intp), values,
    )  # fmt: skip


def _cosines(at: NDArray[np.floating], most: int) -> Floats:
    return np.asarray(np.cos(np.pi * np.outer(at, np.arange(most + 1))))


def penalty(coefficients: Floats, precision: Floats) -> float:
    """Return minus the log prior of a field, without constants."""
    return float(0.5 * np.sum(precision * coefficients**2))


@dataclass(frozen=True, eq=False)
class Block:
    """What the update of a field needs of each block of voxels: all are sums over its voxels."""

    count: Floats
    """Voxels that have the channel, shape ``(b, c)``."""

    linear: Floats
    """Corrected intensity times the expected precision-weighted mean, shape ``(b, c)``."""

    square: Floats
    """Products of corrected intensities, times expected precisions, shape ``(b, c, c)``."""


def improve(coefficients: Floats, block: Block, functions: Basis, steps: int = 1) -> Floats:
    """Return better coefficients, shape ``(c, m)``, by Newton steps channel by channel.

    With memberships fixed, a change ``d`` of the log field on the blocks changes the expected
    log-likelihood by ``sum(linear exp(-d) - square exp(-2 d) / 2 - count d)``; each step is
    halved until the penalised sum grows.
    """
    improved = coefficients.copy()
    for _ in range(steps):
        for channel in range(len(improved)):
            improved = _newton(improved, channel, coefficients, block, functions)
    return improved


def _newton(
    current: Floats, channel: int, begun: Floats, block: Block, functions: Basis
) -> Floats:
    phi, precision = functions.values, functions.precision
    shrink = np.exp(-_change(current, begun, functions))
    square = shrink * np.einsum("bcd,bd->bc", block.square, shrink)
    pull = square[:, channel] - block.linear[:, channel] * shrink[:, channel]
    pull -= block.count[:, channel]
    own = block.square[:, channel, channel] * shrink[:, channel] ** 2
    left = kernel.gram(phi, own + block.count[:, channel]) + np.diag(precision)
    right = kernel.project(phi, pull) - precision * current[channel]
    step = np.linalg.solve(left, right)
    now = _gain(current, begun, block, functions)
    for halving in range(6):
        tried = current.copy()
        tried[channel] += step / 2**halving
        if _gain(tried, begun, block, functions) > now:
            return tried
    return current


def _gain(current: Floats, begun: Floats, block: Block, functions: Basis) -> float:
    change = _change(current, begun, functions)
    shrink = np.exp(-change)
    total = np.sum(block.linear * shrink) - np.sum(block.count * change)
    total -= 0.5 * np.einsum("bc,bcd,bd->", shrink, block.square, shrink)
    return float(total) - sum(penalty(c, functions.precision) for c in current)


def _change(current: Floats, begun: Floats, functions: Basis) -> Floats:
    """Return how the log field changed on the blocks, shape ``(b, c)``."""
    return np.stack([kernel.combine(functions.values, c) for c in current - begun], axis=1)
