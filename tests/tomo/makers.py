"""Small geometries and operators of every kind, made from a seed."""

from __future__ import annotations

import numpy as np

from emrecon.tomo.bins import Bins
from emrecon.tomo.blur import Blur
from emrecon.tomo.operator import Chain, Dense, Operator
from emrecon.tomo.ray import Projector
from emrecon.tomo.scanner import Scanner
from emrecon.volume import Grid

SMALL = Scanner("small", 5, 40, 4.1, 60.0, 3.0, 4.0, 25)


def ring_bins(seed: int) -> Bins:
    rng = np.random.default_rng(seed)
    return SMALL.bins(
        span=int(rng.choice([1, 3, 5])),
        max_ring_difference=int(rng.integers(1, 5)),
        views=int(rng.choice([20, 10])),
        count=int(rng.integers(12, 25)),
        arc_corrected=bool(rng.integers(2)),
    )


def random_grid(seed: int, bins: Bins) -> Grid:
    """A grid of any voxel size, off centre, at times axially fitting and at times not."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(7, 19, 3))
    axial = SMALL.ring_spacing_mm / 2 if rng.integers(2) else float(rng.uniform(1.2, 7))
    spacing = (float(rng.uniform(3, 9)), float(rng.uniform(3, 9)), axial)
    base = Grid.centred(shape, spacing)
    shift = rng.uniform(-4, 4, 3)
    return Grid(
        shape, spacing, tuple(float(o + d) for o, d in zip(base.origin_mm, shift, strict=True))
    )


def dense(seed: int) -> Operator:
    return Dense(np.random.default_rng(seed).random((7, 5), np.float32))


def chain(seed: int) -> Operator:
    rng = np.random.default_rng(seed)
    return Chain(Dense(rng.random((7, 6), np.float32)), Dense(rng.random((6, 5), np.float32)))


def ring(seed: int) -> Operator:
    bins = ring_bins(seed)
    return Projector(random_grid(seed, bins), bins)


def wide(seed: int) -> Operator:
    bins = ring_bins(seed)
    return Projector(random_grid(seed, bins), bins, ring_wide=True)


def subset(seed: int) -> Operator:
    bins = ring_bins(seed)
    return Projector(random_grid(seed, bins), bins.subset(seed % 3, 3), bins.fov_mm)


def parallel(seed: int) -> Operator:
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 7))
    s_mm = np.cumsum(rng.uniform(1, 5, 15)) - 40
    bins = Bins.parallel(angles, s_mm, slices=int(rng.integers(1, 6)), slice_mm=2.5)
    return Projector(bins.grid((4.0, 3.1, 2.5)), bins)


def blur(seed: int) -> Operator:
    rng = np.random.default_rng(seed)
    grid = Grid.centred(tuple(int(n) for n in rng.integers(1, 12, 3)), (2.0, 3.0, 1.5))
    return Blur(grid, tuple(float(w) for w in rng.uniform(0, 9, 3)))


def resolved(seed: int) -> Operator:
    projector = ring(seed)
    assert isinstance(projector, Projector)
    return Chain(projector, Blur(projector.grid, (6.0, 5.0, 4.0)))


MAKERS = [dense, chain, ring, wide, subset, parallel, blur, resolved]
