"""Small geometries and operators of every kind, made from a seed."""

from __future__ import annotations

import numpy as np

from emrecon.tomo.geometry.bins import Bins, Scanner
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.geometry.collimator import Response
from emrecon.tomo.geometry.tof import Timing
from emrecon.tomo.operators.algebra import Chain, Dense, Operator, Repeat, Scale, Stack, Sum
from emrecon.tomo.operators.blur import Blur
from emrecon.tomo.operators.camera import CameraProjector
from emrecon.tomo.operators.joseph import JosephProjector
from emrecon.tomo.operators.siddon import Siddon
from emrecon.volume import Grid, Volume

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
    return JosephProjector(random_grid(seed, bins), bins)


def wide(seed: int) -> Operator:
    bins = ring_bins(seed)
    return JosephProjector(random_grid(seed, bins), bins, ring_wide=True)


def siddon(seed: int) -> Operator:
    """Rays through an image that may lie anywhere, planes one to six voxels apart."""
    rng = np.random.default_rng(seed)
    bins = ring_bins(seed) if rng.integers(4) else parallel_bins(rng)
    grid = random_grid(seed, bins)
    axial = bins.segments[0].step_mm / (1 if bins.scanner is None else rng.integers(1, 4))
    if bins.scanner is not None and bins.segments[0].planes == SMALL.rings:
        axial /= 1 if rng.integers(2) else 2
    grid = Grid(grid.shape, (*grid.spacing_mm[:2], float(axial)), grid.origin_mm)
    return Siddon(grid, bins, bins.fov_mm * rng.uniform(0.3, 1.2), int(rng.integers(1, 4)))


def timed(seed: int) -> Operator:
    """Any time-of-flight bins: few or many, narrow or wide, also too few for what is seen."""
    rng = np.random.default_rng(seed)
    bins = ring_bins(seed)
    timing = Timing(rng.uniform(5, 60), rng.uniform(3, 90), int(rng.integers(1, 14)))
    return JosephProjector(
        random_grid(seed, bins), bins.timed(timing), ring_wide=bool(rng.integers(2))
    )


def subset(seed: int) -> Operator:
    bins = ring_bins(seed)
    return JosephProjector(random_grid(seed, bins), bins.subset(seed % 3, 3), bins.fov_mm)


def parallel_bins(rng: np.random.Generator) -> Bins:
    angles = np.sort(rng.uniform(0, 2 * np.pi, 7))
    s_mm = np.cumsum(rng.uniform(1, 5, 15)) - 40
    return Bins.parallel(angles, s_mm, slices=int(rng.integers(1, 6)), slice_mm=2.5)


def parallel(seed: int) -> Operator:
    bins = parallel_bins(np.random.default_rng(seed))
    return JosephProjector(bins.grid((4.0, 3.1, 2.5)), bins)


def blur(seed: int) -> Operator:
    rng = np.random.default_rng(seed)
    grid = Grid.centred(tuple(int(n) for n in rng.integers(1, 12, 3)), (2.0, 3.0, 1.5))
    return Blur(grid, tuple(float(w) for w in rng.uniform(0, 9, 3)))


def resolved(seed: int) -> Operator:
    projector = ring(seed)
    assert isinstance(projector, JosephProjector)
    return Chain(projector, Blur(projector.grid, (6.0, 5.0, 4.0)))


def small_camera(rng: np.random.Generator) -> Camera:
    """Some heads on an orbit that is no circle, bins of any size, at times off centre."""
    views, bins, planes = (
        int(rng.integers(1, 6)),
        int(rng.integers(5, 14)),
        int(rng.integers(1, 7)),
    )
    u = (np.arange(bins) - (bins - 1) / 2) * rng.uniform(3, 7) + rng.uniform(-2, 2)
    z = np.arange(planes) * rng.uniform(3, 7) - rng.uniform(0, 20)
    return Camera(rng.uniform(-4, 7, views), rng.uniform(10, 60, views), u, z)


def camera(seed: int, *, response: bool = True, mu: bool = True) -> CameraProjector:
    """A camera and an image of unlike voxels, off centre; mu on voxels of its own."""
    rng = np.random.default_rng(seed)
    at = small_camera(rng)
    shape = tuple(int(n) for n in rng.integers(4, 13, 3))
    spacing = tuple(float(d) for d in rng.uniform(2, 9, 3))
    middle = (*rng.uniform(-5, 5, 2), at.z_mm.mean())
    grid = at.grid(spacing, shape, tuple(float(m) for m in middle))
    box = at.grid((6.0, 7.0, 5.0), (9, 8, 7), (3.0, 1.0, float(at.z_mm.mean())))
    medium = Volume(rng.uniform(0, 0.02, box.shape).astype(np.float32), box.affine, "1/mm")
    blur = Response(rng.uniform(0, 0.2), rng.uniform(0, 4), 3.0)
    return CameraProjector(grid, at, blur if response else None, medium if mu else None)


def bare_camera(seed: int) -> Operator:
    return camera(seed, response=False, mu=False)


def stack(seed: int) -> Operator:
    """Two subsets of views as one."""
    bins = ring_bins(seed)
    grid = random_grid(seed, bins)
    return Stack([JosephProjector(grid, bins.subset(n, 3), bins.fov_mm) for n in (2, 0)])


def summed(seed: int) -> Operator:
    return Sum([dense(seed), dense(seed + 1)])


def scale(seed: int) -> Operator:
    projector = ring(seed)
    factors = np.random.default_rng(seed).uniform(0, 2, projector.range[1:])
    return Scale(projector, factors.astype(np.float32))


def repeat(seed: int) -> Operator:
    return Repeat(1 + seed % 3, (3, 4))


MAKERS = [
    dense, chain, ring, wide, siddon, timed, subset, parallel, blur, resolved, camera, bare_camera,
    stack, summed, scale, repeat,
]  # fmt: skip
