"""STIR's rays against a plain tracer, against exact lengths in boxes, and as a setting."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numba
import numpy as np
import pytest

from emrecon.errors import GeometryError, SettingsError
from emrecon.tomo.geometry.bins import Bins, Scanner
from emrecon.tomo.operators.siddon import Siddon
from emrecon.tomo.prepare import prepare, recon
from emrecon.tomo.scan import Scan
from emrecon.tomo.settings import Settings
from emrecon.tomo.subsets import mirrors, turns
from emrecon.volume import Grid
from phantoms.cylinder import uniform_cylinder
from phantoms.lines import pair_integrals
from phantoms.shapes import box
from phantoms.simulate import simulate
from tests.stir_case import stir_subsets
from tests.tomo import siddon as plain
from tests.tomo.makers import SMALL, siddon, small_camera
from tests.tomo.test_ray import exact, gaussian


def test_the_plain_tracer_has_the_length_of_a_chord() -> None:
    bins = Scanner("small", 5, 40, 4.0, 60.0, 0.0, 4.0, 25).bins(span=1, arc_corrected=True)
    system = plain.Siddon(Grid.centred((31, 31, 9), (3.0, 3.0, 2.0)), bins)
    middle = system.forward(np.ones(system.domain, np.float32))[:, :, 2]
    chord = 2 * np.sqrt(np.maximum(system.fov_mm**2 - bins.s_mm**2, 0))
    seen = chord > 20
    # Whole voxels at either end: longer, by at most a voxel's diagonal each.
    excess = (middle - chord)[:, seen]
    assert excess.min() > -0.5
    assert excess.max() < 2 * 3 * np.sqrt(2)


def test_it_is_the_plain_tracer() -> None:
    """Written apart, ray by ray in three dimensions, and held to STIR's own images."""
    rng = np.random.default_rng(1)
    for size, voxel, half in ((24, 4.0, 0), (31, 2.7, 0), (12, 7.0, 1), (40, 3.1, 1)):
        scanner = Scanner("some", 5, 40, 4.1, 90.0, 0.0, 3.3, 25)
        bins = scanner.bins(span=1, arc_corrected=True)
        centre = (half * voxel / 2, half * voxel / 2, 0.0)
        grid = bins.grid((voxel, voxel, 2.05), (size, size, 9), centre)
        ours, theirs = Siddon(grid, bins), plain.Siddon(grid, bins)
        if ours.fov_mm < theirs.fov_mm:  # theirs ends with the image alone
            theirs = replace(theirs, bound_mm=ours.fov_mm)
        image, data = rng.random(ours.domain, np.float32), rng.random(ours.range, np.float32)
        for found, wanted in (
            (ours.forward(image), theirs.forward(image)),
            (ours.adjoint(data), theirs.adjoint(data)),
        ):
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5 * wanted.max())
            assert np.array_equal(found > 0, wanted > 0)


@pytest.mark.parametrize(("span", "rays", "axial"), [(3, 1, 1), (1, 2, 2), (1, 3, 4), (3, 2, 3)])
def test_a_block_of_voxels_has_the_lengths_of_a_box(span: int, rays: int, axial: int) -> None:
    """Exact: the block is a box, and what its rays have in it is known."""
    bins = SMALL.bins(span=span, max_ring_difference=4)
    bins = replace(bins, segments=tuple(s for s in bins.segments if s.planes > 1))
    step = bins.segments[0].step_mm
    vz = step / axial
    grid = Grid.centred((21, 19, 41), (3.3, 3.7, vz))
    image = np.zeros(grid.shape, np.float32)
    low, high = np.array([6, 5, 14]), np.array([13, 12, 25])
    image[tuple(slice(*ends) for ends in zip(low, high, strict=True))] = 1
    middle = grid.origin_mm + ((low + high - 1) / 2) * grid.spacing_mm
    body = box(middle, (high - low) * grid.spacing_mm)
    found = Siddon(grid, bins, bins.fov_mm, rays).forward(image)
    width = np.gradient(bins.s_mm)
    wanted = np.zeros(bins.shape)
    for aside in (np.arange(rays) + 0.5) / rays - 0.5:
        for tilted in (False, True):
            # Planes without tilt are means over their width: of samples within the voxels.
            n = axial if tilted else 4 * axial
            for above in ((np.arange(n) + 0.5) / n - 0.5) * step:
                lengths = rays_in(body, bins, aside * width, above)
                where = (bins.plane_tilt_mm != 0) == tilted
                wanted[..., where] += lengths[..., where] / (rays * n)
    np.testing.assert_allclose(found, wanted, atol=2e-4)
    assert wanted.max() > 20


def rays_in(body, bins: Bins, aside_mm: np.ndarray, above_mm: float) -> np.ndarray:
    """Return what rays beside the middles of bins, with the same tilt, have in a body."""
    phi, s = bins.phi_rad[:, None, None], (bins.s_mm + aside_mm)[None, :, None]
    z = bins.plane_z_mm + above_mm
    ends = []
    for side in (-1, 1):
        l_mm = side * bins.half_chord_mm[None, :, None]
        x, y = s * np.cos(phi) - l_mm * np.sin(phi), s * np.sin(phi) + l_mm * np.cos(phi)
        at = np.broadcast_arrays(x, y, z + side * bins.plane_tilt_mm / 2)
        ends.append(np.stack(at, -1).reshape(-1, 3))
    return pair_integrals([body], *ends, [1.0]).reshape(bins.shape)


def test_line_integrals_of_a_blob_converge() -> None:
    bins = SMALL.bins(span=3, count=21)
    bins = replace(bins, segments=tuple(s for s in bins.segments if s.planes > 1))
    errors = []
    for voxel, axial in ((6.0, 1), (3.0, 2), (1.5, 4), (0.75, 8)):
        grid = Grid.centred(
            (round(150 / voxel), round(150 / voxel), 41 * axial), (voxel, voxel, 2.05 / axial)
        )
        wanted = exact(bins)
        error = Siddon(grid, bins, bins.fov_mm, rays=1).forward(gaussian(grid)) - wanted
        errors.append(np.sqrt(np.mean(error**2) / np.mean(wanted**2)))
    assert all(fine < coarse / 1.4 for coarse, fine in pairwise(errors))
    assert errors[-1] < 0.012  # h / 3 of a gradient, at random, once a voxel on the way


def test_same_bits_for_any_number_of_threads() -> None:
    op = siddon(5)
    rng = np.random.default_rng(0)
    image, data = rng.random(op.domain, np.float32), rng.random(op.range, np.float32)
    most, results = numba.config.NUMBA_NUM_THREADS, []
    for threads in (1, min(2, most), min(4, most)):
        numba.set_num_threads(threads)
        results.append((op.forward(image), op.adjoint(data)))
    numba.set_num_threads(most)
    for forward, back in results[1:]:
        np.testing.assert_array_equal(forward, results[0][0])
        np.testing.assert_array_equal(back, results[0][1])


def test_what_a_line_does_not_meet_is_exactly_nothing() -> None:
    """One voxel, one bin: rounding must not let either see what it does not meet."""
    for seed in range(12):
        op, rng = siddon(seed), np.random.default_rng(seed)
        voxels = [tuple(int(i) for i in rng.integers(op.domain)) for _ in range(8)]
        lines = [tuple(int(i) for i in rng.integers(op.range)) for _ in range(8)]
        rows = [op.adjoint(one(op.range, line)) for line in lines]
        for voxel in voxels:
            column = op.forward(one(op.domain, voxel))
            for line, row in zip(lines, rows, strict=True):
                assert row[voxel] == pytest.approx(column[line], rel=1e-5)
        noise = rng.random(op.range, np.float32)
        seen = op.adjoint(np.ones(op.range, np.float32)) > 0
        assert np.array_equal(op.adjoint(noise) > 0, seen)


def one(shape: tuple[int, ...], at: tuple[int, ...]) -> np.ndarray:
    array = np.zeros(shape, np.float32)
    array[at] = 1
    return array


def test_what_it_cannot_do_is_refused() -> None:
    bins = SMALL.bins(span=1)
    with pytest.raises(GeometryError, match=r"4.1 mm apart, voxels 3 mm; give voxels of 4.1 mm"):
        Siddon(bins.grid((4.0, 4.0, 3.0)), bins)
    with pytest.raises(GeometryError, match="centred on the scanner's axis to within a voxel"):
        Siddon(bins.grid((4.0, 4.0, 4.1), centre_mm=(9.0, 0.0, 0.0)), bins)
    with pytest.raises(GeometryError, match="at least one ray"):
        Siddon(bins.grid((4.0, 4.0, 4.1)), bins, rays=0)
    with pytest.raises(SettingsError, match="joseph or siddon, not 'sidon'"):
        Settings(projector="sidon")
    with pytest.raises(SettingsError, match="rays must be 1 or more"):
        Settings(rays=0)
    gamma = small_camera(np.random.default_rng(0))
    counts = Scan(gamma, np.ones(gamma.shape, np.float32))
    with pytest.raises(SettingsError, match="this scan is of a gamma camera"):
        prepare(counts, Settings(projector="siddon"))


def chosen(views: int, subsets: int, voxel: tuple[float, float, float]) -> list[list[int]]:
    scanner = Scanner("any", 3, 2 * views, 4.0, 90.0, 0.0, 4.0, 21)
    bins = scanner.bins(arc_corrected=True)
    order = turns(bins, bins.grid(voxel), Settings(projector="siddon", subsets=subsets))
    assert [number for number, _ in order] == list(range(len(order)))
    assert sorted(np.concatenate([at for _, at in order])) == list(range(views))
    return [at.tolist() for _, at in order]


def test_subsets_are_stirs() -> None:
    assert chosen(96, 12, (4.0, 4.0, 4.0)) == stir_subsets(96)
    # Oblong voxels mirror in x and y alone; so do views in twos that are no fours.
    for views, voxel in ((8, (4.0, 3.0, 4.0)), (10, (4.0, 4.0, 4.0))):
        for group in chosen(views, 2, voxel):
            assert all(-v % views in group for v in group)
    assert chosen(8, 2, (4.0, 3.0, 4.0)) == [[0, 2, 4, 6], [1, 3, 5, 7]]
    assert chosen(9, 3, (4.0, 4.0, 4.0)) == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
    assert len(chosen(96, 96, (4.0, 4.0, 4.0))) == 24  # no more: each has its mirrored views


def test_views_that_mirror_none_are_interleaved() -> None:
    turned = Bins.parallel(np.arange(12) * np.pi / 12 + 0.1, np.arange(-5.0, 6.0))
    assert mirrors(turned, turned.grid()) == 1
    straight = Bins.parallel(np.arange(12) * np.pi / 12, np.arange(-5.0, 6.0))
    assert mirrors(straight, straight.grid()) == 4


def test_as_a_setting() -> None:
    """A cylinder comes back, from parallel beams too."""
    bins = Bins.parallel(np.arange(60) * np.pi / 60, np.arange(-30.0, 31.0) * 2, 3, 2.0)
    made = uniform_cylinder(40.0, 60.0)
    scan = simulate(made, bins, counts=1e6, rng=np.random.default_rng(0), noise=False,
                    attenuate=False)  # fmt: skip
    settings = Settings(iterations=10, subsets=5, projector="siddon")
    image = recon(scan.scan, settings)
    assert image.voxels[25:36, 25:36].mean() == pytest.approx(
        scan.truth.voxels[30, 30, 1], rel=0.01
    )
