import numpy as np
import pytest

from emrecon.errors import GeometryError
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.detectors import crystal_pairs, planes_of_rings, sum_over_pairs
from emrecon.tomo.geometry.presets import by_name

TINY = by_name("tiny")


def crystal_position(scanner, crystal):
    """Where the docstring says that crystals stand."""
    psi = 2 * np.pi * crystal / scanner.crystals
    return scanner.effective_radius_mm * np.stack([np.sin(psi), -np.cos(psi)])


@pytest.mark.parametrize("name", ["tiny", "mMR"])
def test_lines_through_crystals_are_those_of_the_bins(name):
    scanner = by_name(name)
    bins = scanner.bins(max_ring_difference=0)
    end1, end2 = crystal_pairs(bins)
    one, two = (crystal_position(scanner, end[..., 0]) for end in (end1, end2))
    count = bins.shape[1]
    odd = (np.arange(count) - (count - 1 - count // 2)) % 2
    # Interleaving: odd offsets lie half a view below the angle that the view is named by.
    phi = bins.phi_rad[:, None] - odd * np.pi / scanner.crystals
    for point in (one, two):
        s = point[0] * np.cos(phi) + point[1] * np.sin(phi)
        np.testing.assert_allclose(s, np.broadcast_to(bins.s_mm, s.shape), atol=1e-9)
    along = [-p[0] * np.sin(phi) + p[1] * np.cos(phi) for p in (one, two)]
    half_chord = np.broadcast_to(bins.half_chord_mm, along[0].shape)
    np.testing.assert_allclose(along[0], -half_chord, atol=1e-9)
    np.testing.assert_allclose(along[1], half_chord, atol=1e-9)


def test_every_pair_of_crystals_has_at_most_one_bin():
    end1, end2 = crystal_pairs(by_name("mMR").bins(max_ring_difference=0))
    pair = np.sort(np.stack([end1.ravel(), end2.ravel()]), axis=0)
    assert np.unique(pair, axis=1).shape[1] == end1.size


def test_mashed_views_gather_the_pairs_of_whole_ones():
    whole = crystal_pairs(TINY.bins())
    mashed = crystal_pairs(TINY.bins(views=8))
    for one, few in zip(whole, mashed, strict=True):
        assert few.shape == (8, 23, 3)
        np.testing.assert_array_equal(few[5, :, 1], one[16, :, 0])


@pytest.mark.parametrize(("span", "most"), [(1, 5), (3, 5), (5, 4), (11, 5), (3, 3)])
def test_planes_lie_where_their_ring_pairs_do(span, most):
    bins = TINY.bins(span=span, max_ring_difference=most)
    planes = planes_of_rings(bins)
    z = (np.arange(6) - 2.5) * TINY.ring_spacing_mm
    ring1, ring2 = np.nonzero(planes >= 0)
    plane = planes[ring1, ring2]
    np.testing.assert_allclose(bins.plane_z_mm[plane], (z[ring1] + z[ring2]) / 2)
    tilt = z[ring2] - z[ring1]
    assert np.abs(bins.plane_tilt_mm[plane] - tilt).max() <= span // 2 * TINY.ring_spacing_mm
    assert set(plane) == set(range(bins.planes))
    np.testing.assert_array_equal(
        planes >= 0, np.abs(np.subtract.outer(np.arange(6), np.arange(6))) <= most
    )


def test_sum_over_pairs_is_the_sum_over_pairs():
    bins = TINY.bins(span=3, views=12)
    values = np.random.default_rng(3).random((6, 48))
    got = sum_over_pairs(bins, values)
    end1, end2 = crystal_pairs(bins)
    planes = planes_of_rings(bins)
    wanted = np.zeros(bins.shape)
    for one in range(6):
        for two in range(6):
            products = values[one][end1] * values[two][end2]
            wanted[:, :, planes[one, two]] += products.sum(axis=2)
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_bins_that_are_no_whole_crystal_pairs_are_refused():
    with pytest.raises(GeometryError, match="arc-corrected"):
        crystal_pairs(TINY.bins(arc_corrected=True))
    with pytest.raises(GeometryError, match="subsets"):
        crystal_pairs(TINY.bins().subset(1, 2))
    with pytest.raises(GeometryError, match="without a scanner"):
        crystal_pairs(Bins.parallel(np.zeros(1), np.zeros(1)))
    with pytest.raises(GeometryError, match="without a scanner"):
        planes_of_rings(Bins.parallel(np.zeros(1), np.zeros(1)))
    with pytest.raises(GeometryError, match="rings, crystals"):
        sum_over_pairs(TINY.bins(), np.ones((48, 6)))
