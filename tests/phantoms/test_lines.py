"""Line integrals of sinograms against end-point pairs and against volumes."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from emrecon.errors import GeometryError
from emrecon.tomo.geometry.bins import Bins, Scanner
from phantoms.lines import line_integrals, pair_integrals
from phantoms.nema import torso
from phantoms.shapes import box, cylinder, ellipsoid, rotation, sphere

TURN = rotation(20, -35, 50)
BODIES = [
    ellipsoid((5, -8, 3), (40, 25, 30), TURN),
    sphere((20, 20, 10), 12).clipped((0, 0, 1), 12),
    cylinder((0, 0, 2), (50, 40), 60).clipped((0, -1, 0), 0),
    cylinder((-10, 4, 6), (30, 20), 50, TURN).clipped((1, 1, 0.3), 4),
    cylinder((0, 0, 0), (10, 8), 40, rotation(x_deg=90)),
    box((3, 9, -5), (30, 40, 50), TURN),
    box((1, 2, 3), (20, 30, 40)),
    sphere((0, 0, 0), 400).clipped((0, 0, 1), 12).clipped((0, 0.1, -1), 12),
]
VALUES = np.array([1, 2, -0.5, 1.5, 1, 0.7, 3, 0.1])


@pytest.fixture(scope="module")
def bins() -> Bins:
    scanner = Scanner("small", 8, 48, 10.0, 80.0, 5.0, 4.0, 31, view_offset_deg=3)
    return scanner.bins(span=3)


def ends(bins: Bins, side: float, half: float | None = None) -> np.ndarray:
    """End points of every bin's line, shape (bins, 3), as `CONVENTIONS` says."""
    phi, s = bins.phi_rad[:, None, None], bins.s_mm[None, :, None]
    way = side * (bins.half_chord_mm if half is None else np.full(bins.s_mm.size, half))
    way = way[None, :, None]
    x = s * np.cos(phi) - way * np.sin(phi)
    y = s * np.sin(phi) + way * np.cos(phi)
    z = bins.plane_z_mm + side * bins.plane_tilt_mm / 2
    return np.stack(np.broadcast_arrays(x, y, z), axis=-1).reshape(-1, 3)


@pytest.mark.parametrize("number", range(len(BODIES)))
def test_every_bin_holds_the_chord_between_its_ends(bins: Bins, number: int) -> None:
    body = BODIES[number]
    got = line_integrals([body], bins, [1.0])
    expected = body.chord_mm(ends(bins, -1), ends(bins, 1)).reshape(bins.shape)
    assert np.count_nonzero(expected) > 100
    np.testing.assert_allclose(got, expected, atol=1e-4)  # float32 of lengths up to 160 mm


def test_bodies_add(bins: Bins) -> None:
    got = line_integrals(BODIES, bins, VALUES)
    expected = pair_integrals(BODIES, ends(bins, -1), ends(bins, 1), VALUES)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected.reshape(bins.shape), atol=1e-4)


def test_parallel_beams_run_to_infinity() -> None:
    flat = Bins.parallel(np.linspace(0, np.pi, 7), np.linspace(-300, 300, 41), 9, 6.0)
    got = line_integrals(BODIES, flat, VALUES)
    expected = pair_integrals(BODIES, ends(flat, -1, 1e3), ends(flat, 1, 1e3), VALUES)
    np.testing.assert_allclose(got, expected.reshape(flat.shape), atol=2e-4)


@pytest.mark.parametrize("angle", [0.0, 0.4, np.pi / 2])
def test_a_fine_projection_sums_to_volume_times_activity(angle: float) -> None:
    body = ellipsoid((4, -5, 6), (20, 30, 25), TURN)
    fine = Bins.parallel(np.array([angle]), np.arange(-60, 60, 0.5) + 0.25, 240, 0.5)
    total = line_integrals([body], fine, [3.0]).sum(dtype=np.float64) * 0.25
    assert total == pytest.approx(3 * body.volume_mm3, rel=1e-4)


def test_a_torso_in_parts_has_no_seams() -> None:
    """Through its flat, where parts meet, a torso is as wide as it is one nanometre higher."""
    flat = Bins.parallel(np.array([np.pi / 2]), np.array([-35.0 - 1e-6, -35.0, -35.0 + 1e-6]))
    got = line_integrals(torso(194), flat, np.ones(4))[0, :, 0]
    np.testing.assert_allclose(got, 294, atol=0.01)


def test_same_bits_for_any_number_of_threads(bins: Bins) -> None:
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        one = line_integrals(BODIES, bins, VALUES)
        numba.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))
        two = line_integrals(BODIES, bins, VALUES)
    finally:
        numba.set_num_threads(threads)
    assert one.tobytes() == two.tobytes()


def test_a_subset_holds_the_views_of_the_whole(bins: Bins) -> None:
    whole = line_integrals(BODIES, bins, VALUES)
    part = line_integrals(BODIES, bins.subset(1, 4), VALUES)
    np.testing.assert_array_equal(part, whole[1::4])


def test_nothing_to_add_gives_zeros(bins: Bins) -> None:
    assert not line_integrals(BODIES[:1], bins, [0.0]).any()


def test_values_and_ends_must_fit(bins: Bins) -> None:
    with pytest.raises(GeometryError, match="as many values"):
        line_integrals(BODIES, bins, [1.0])
    with pytest.raises(GeometryError, match=r"\(n, 3\)"):
        pair_integrals(BODIES, np.zeros((4, 3)), np.zeros((5, 3)), VALUES)
