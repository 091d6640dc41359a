from dataclasses import replace

import numpy as np
import pytest

from emrecon.errors import DataError
from emrecon.tomo.corrections.randoms import mean_randoms, singles
from emrecon.tomo.geometry.detectors import sum_over_pairs
from emrecon.tomo.geometry.presets import by_name
from emrecon.tomo.listmode import ListmodeSinograms

TINY = by_name("tiny")
BINS = TINY.bins(span=1, max_ring_difference=4)


def true_singles(rng, spread):
    """Rates of crystals, rings, and single detectors; one crystal is dead."""
    rates = np.outer(rng.uniform(0.7, 1.3, 6), 1 + 0.4 * np.sin(np.arange(48) / 7.6))
    rates *= np.exp(spread * rng.standard_normal(rates.shape))
    rates[:, 5] = 0
    return rates


def fans_of(data):
    """Fan sums by brute force, from span-1 counts."""
    from emrecon.tomo.geometry.detectors import crystal_pairs, planes_of_rings

    end1, end2 = crystal_pairs(BINS)
    planes = planes_of_rings(BINS)
    fans = np.zeros((6, 48))
    for one, two in zip(*np.nonzero(planes >= 0), strict=True):
        counts = data[:, :, planes[one, two]]
        np.add.at(fans[one], end1[..., 0], counts)
        np.add.at(fans[two], end2[..., 0], counts)
    return np.rint(fans).astype(np.int64)


def drawn(seed, spread, total):
    """True mean delayeds, and a Poisson draw of them counted."""
    rng = np.random.default_rng(seed)
    rates = true_singles(rng, spread)
    mean = sum_over_pairs(BINS, rates)
    scale = total / mean.sum(dtype=np.float64)
    mean *= np.float32(scale)
    delayeds = rng.poisson(mean).astype(np.float32)
    fans = fans_of(delayeds)
    drawn_total = int(delayeds.sum())
    counts = ListmodeSinograms(
        BINS,
        np.zeros_like(mean),
        delayeds,
        drawn_total,
        fans,
        fans,
        4,
        0,
        drawn_total,
        0,
        1,
        0,
        1.0,
    )
    return rates * np.sqrt(scale), mean, counts


def test_rates_come_back_from_fan_sums_without_noise():
    rates = true_singles(np.random.default_rng(1), 0.2) * 30
    fans = fans_of(sum_over_pairs(BINS, rates))
    got = singles(fans, BINS, 4)
    assert got[:, 5].max() == 0
    # Thousands of counts a detector: the prior hardly pulls, and rounding the fans costs little.
    np.testing.assert_allclose(got, rates, rtol=0.02)


def test_rates_come_back_within_their_statistical_error():
    rates, _, counts = drawn(2, 0.2, 2_000_000)
    got = singles(counts.delayed_fans, BINS, 4)
    live = rates > 0
    error = (got[live] / rates[live] - 1) * np.sqrt(counts.delayed_fans[live])
    assert np.sqrt(np.mean(error**2)) == pytest.approx(1.0, abs=0.3)


@pytest.mark.parametrize(
    ("total", "gain"),
    # Noise falls from sqrt(bins / total) to about sqrt(parameters / total): with 20,976 bins and
    # 54 ring and crystal rates (few counts) or 288 detectors (many), by 20 and 8.
    [(5_000, 8), (2_000_000, 5)],
)
def test_randoms_are_far_less_noisy_than_delayeds_and_keep_their_total(total, gain):
    _, mean, counts = drawn(3, 0.1, total)
    randoms = mean_randoms(counts)
    raw, smooth = (np.sqrt(np.mean((data - mean) ** 2)) for data in (counts.delayeds, randoms))
    assert smooth < raw / gain
    assert randoms.sum(dtype=np.float64) == pytest.approx(counts.delayeds.sum(), rel=1e-5)
    assert randoms.min() >= 0


def test_few_counts_leave_ring_and_crystal_rates_many_show_single_detectors():
    rates, _, few = drawn(4, 0.1, 3_000)
    _, _, many = drawn(4, 0.1, 3_000_000)
    product, single = (singles(c.delayed_fans, BINS, 4) for c in (few, many))
    assert np.linalg.matrix_rank(product, tol=1e-6 * product.max()) == 1
    live = rates > 0
    departure = np.log(single[live]) - np.log(rates[live])
    assert np.std(departure) < 0.02


def test_dead_detectors_get_no_randoms():
    _, _, counts = drawn(5, 0.1, 200_000)
    live = np.ones((6, 48), bool)
    live[:, 5] = live[2, 20] = False
    randoms = mean_randoms(counts, live)
    np.testing.assert_array_equal(randoms == 0, sum_over_pairs(BINS, live.astype(float)) == 0)


def test_no_delayeds_no_randoms():
    _, _, counts = drawn(6, 0.1, 1000)
    none = replace(counts, delayed_sum=0, delayed_fans=0 * counts.delayed_fans)
    assert mean_randoms(none).max() == 0
    assert singles(none.delayed_fans, BINS, 4).max() == 0


def test_shapes_must_fit():
    with pytest.raises(DataError, match=r"\(6, 48\)"):
        singles(np.ones((48, 6), np.int64), BINS, 4)
