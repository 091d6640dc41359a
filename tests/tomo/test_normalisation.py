import numpy as np
import pytest

from emrecon.errors import GeometryError
from emrecon.tomo.corrections.normalisation import find_live, known_gaps, live_pairs, ring_pairs
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.presets import by_name

TINY, MMR = by_name("tiny"), by_name("mMR")


def test_ring_pairs_by_hand():
    np.testing.assert_array_equal(ring_pairs(TINY.bins(span=1)), 1)
    # Span 3, ring differences -1, 0, 1: direct planes hold one pair, cross planes two.
    direct = ring_pairs(TINY.bins(span=3, max_ring_difference=1))
    np.testing.assert_array_equal(direct, [1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1])


@pytest.mark.parametrize(("span", "most"), [(1, 60), (11, 60), (9, 22), (3, 63)])
def test_ring_pairs_add_up(span, most):
    pairs = ring_pairs(MMR.bins(span=span, max_ring_difference=most))
    assert pairs.sum() == 64 + 2 * sum(64 - d for d in range(1, most + 1))
    assert pairs.min() >= 1
    assert pairs.max() <= (span + 1) // 2


def test_known_gaps_are_one_crystal_in_nine():
    live = known_gaps(MMR)
    assert live.sum() == 64 * 56 * 8
    assert not live[:, ::9].any()
    assert known_gaps(TINY).all()


def test_live_pairs_without_gaps_are_ring_pairs_times_mashed_views():
    bins = TINY.bins(span=3, views=8)
    efficiency = live_pairs(bins)
    np.testing.assert_array_equal(efficiency, np.broadcast_to(3 * ring_pairs(bins), bins.shape))


def test_live_pairs_of_the_mmr():
    bins = MMR.bins(span=1, max_ring_difference=0)
    efficiency = live_pairs(bins)
    assert set(np.unique(efficiency)) == {0.0, 1.0}
    # A ninth of the crystals is missing at either end; in some bins both ends are.
    assert (efficiency == 0).mean() == pytest.approx(1 - (8 / 9) ** 2, abs=0.01)


def test_no_scanner_no_detectors():
    with pytest.raises(GeometryError, match="without a scanner"):
        live_pairs(Bins.parallel(np.zeros(1), np.zeros(1)))


@pytest.mark.parametrize("per_detector", [0.2, 2.0, 20.0])
def test_gaps_are_found_in_few_counts_and_no_live_crystal_is_masked(per_detector):
    rng = np.random.default_rng(5)
    crystal = rng.uniform(0.3, 1.7, 504)  # efficiencies far wider than real ones
    fans = rng.poisson(per_detector * np.outer(np.linspace(0.5, 2, 64), crystal) * known_gaps(MMR))
    np.testing.assert_array_equal(find_live(fans, (9, 8)), known_gaps(MMR))


def test_dead_crystal_block_and_detector_are_found_when_counts_suffice():
    rng = np.random.default_rng(6)
    alive = known_gaps(MMR)
    alive[:, 100] = False
    alive[16:24, 9:18] = False
    alive[40, 300] = False
    few, many = (find_live(rng.poisson(mean * alive), (9, 8)) for mean in (20.0, 400.0))
    np.testing.assert_array_equal(many, alive)
    # 20 counts in a detector are too few to tell it from a weak one; block and crystal show.
    assert few[40, 300]
    few[40, 300] = False
    np.testing.assert_array_equal(few, alive)


def test_a_weak_crystal_is_not_dead():
    fans = np.full((6, 48), 10_000)
    fans[:, 7] = 1_500
    fans[2, 30] = 1_500
    assert find_live(fans, (6, 3)).all()
    fans[2, 30] = 500
    assert not find_live(fans, (6, 3))[2, 30]


def test_detectors_that_see_nothing_of_a_small_object_are_not_dead():
    fans = np.zeros((64, 504), np.int64)
    fans[10:40, 100:300] = 10_000  # without a scatter or a random elsewhere: sharp edges
    assert find_live(fans, (9, 8)).all()
    assert find_live(np.zeros((64, 504), np.int64), (9, 8)).all()
    assert find_live(np.full((1, 504), 9), (1, 1)).all()


def test_blocks_must_divide_the_ring():
    with pytest.raises(GeometryError, match="do not divide"):
        find_live(np.ones((6, 48), np.int64), (5, 3))
