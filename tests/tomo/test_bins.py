"""Where lines of response lie, by the crystals at their ends."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from emrecon.errors import GeometryError
from emrecon.tomo.geometry.bins import Bins, Scanner
from emrecon.tomo.geometry.segments import ring_difference_ranges
from emrecon.tomo.subsets import subset_order

MMR = Scanner("mMR", 64, 504, 4.0625, 328.0, 7.0, 2.08626, 344, (9, 8))
TINY = Scanner("tiny", 6, 48, 4.0, 80.0, 3.0, 4.0, 27)


def test_mmr_span_11_has_the_planes_of_its_template() -> None:
    bins = MMR.bins(span=11, max_ring_difference=60)
    assert bins.shape == (252, 344, 837)
    assert [s.planes for s in bins.segments] == [127, 115, 115, 93, 93, 71, 71, 49, 49, 27, 27]
    assert bins.segments[1].ring_differences == (6, 16)
    assert bins.segments[2].ring_differences == (-16, -6)
    assert bins.segments[1].tilt_mm == pytest.approx(11 * 4.0625)
    assert bins.grid().shape[2] == 127
    assert MMR.bins(span=1, max_ring_difference=60).planes == 4084


@pytest.mark.parametrize("span", [1, 3, 5])
def test_planes_are_the_means_of_their_ring_pairs(span: int) -> None:
    bins = TINY.bins(span=span)
    z = (np.arange(6) - 2.5) * 4.0
    for segment in bins.segments:
        low, high = segment.ring_differences
        pairs = [
            ((z[a] + z[b]) / 2, z[b] - z[a])
            for a in range(6)
            for b in range(6)
            if low <= b - a <= high
        ]
        planes = segment.first_mm + segment.step_mm * np.arange(segment.planes)
        assert sorted({round(mid, 6) for mid, _ in pairs}) == pytest.approx(planes)
        assert segment.tilt_mm == pytest.approx((low + high) / 2 * 4.0)
    gathered = [
        d for s in bins.segments for d in range(s.ring_differences[0], s.ring_differences[1] + 1)
    ]
    assert sorted(gathered) == list(range(-5, 6))


def test_bins_lie_between_crystals() -> None:
    bins = TINY.bins()
    ring = TINY.effective_radius_mm
    crystals = ring * np.exp(2j * np.pi * np.arange(48) / 48)
    chords = set()
    for a in range(48):
        for b in range(a):
            normal = np.angle(crystals[a] + crystals[b]) if (a - b) != 24 else None
            s = ring * np.cos(np.pi * (a - b) / 48)
            if normal is not None:
                phi = normal % np.pi
                chords.add((round(phi % np.pi, 6) % round(np.pi, 6), round(abs(s), 4)))
    # every other bin of a view is a pair of crystals (the rest are those of the views beside it)
    for view in range(0, 24, 5):
        phi = bins.phi_rad[view]
        for s in bins.s_mm[1:-1]:
            near = min(
                abs((phi - p + np.pi / 2) % np.pi - np.pi / 2) * ring + abs(abs(s) - t)
                for p, t in chords | {(phi, 0.0)}
            )
            assert near <= ring * np.pi / 48 + 1e-3  # half a crystal of interleaving


def test_middle_of_even_and_odd_numbers_of_bins() -> None:
    even, odd = TINY.bins(count=10, arc_corrected=True), TINY.bins(count=11, arc_corrected=True)
    assert even.s_mm == pytest.approx(4.0 * np.arange(-4, 6))
    assert odd.s_mm == pytest.approx(4.0 * np.arange(-5, 6))
    assert even.fov_mm == pytest.approx(18)
    assert odd.fov_mm == pytest.approx(22)


def test_view_mashing_puts_views_in_the_middle_of_those_they_gather() -> None:
    fine, mashed = TINY.bins(), TINY.bins(views=12)
    assert mashed.phi_rad == pytest.approx(fine.phi_rad.reshape(12, 2).mean(1))


def test_subsets_share_all_views() -> None:
    bins = TINY.bins()
    views = np.concatenate([bins.subset(k, 4).phi_rad for k in range(4)])
    assert sorted(views) == pytest.approx(bins.phi_rad)


@pytest.mark.parametrize("subsets", [1, 2, 3, 8, 12, 21, 42])
def test_successive_subsets_are_far_apart(subsets: int) -> None:
    order = subset_order(subsets)
    assert sorted(order) == list(range(subsets))
    gaps = [min((a - b) % subsets, (b - a) % subsets) for a, b in pairwise(order)]
    assert not gaps or min(gaps) >= subsets // 5


def test_default_grid_covers_the_field_of_view() -> None:
    bins = MMR.bins(span=11, max_ring_difference=60, arc_corrected=True)
    grid = bins.grid()
    assert grid.shape == (344, 344, 127)
    assert grid.spacing_mm == pytest.approx((2.08626, 2.08626, 2.03125))
    assert grid.centres_mm(2)[[0, -1]] == pytest.approx([-127.96875, 127.96875])
    wide = bins.grid((4.0, 4.0, 4.0))
    assert wide.shape[0] * 4.0 == pytest.approx(344 * 2.08626, abs=4)
    assert wide.shape[2] * 4.0 == pytest.approx(127 * 2.03125, abs=4)


def test_difference_says_what() -> None:
    bins = TINY.bins(span=3)
    assert bins.difference(TINY.bins(span=3)) == ""
    assert "(views, bins, planes)" in bins.difference(TINY.bins(span=1))
    assert "bins are" in bins.difference(TINY.bins(span=3, arc_corrected=True))
    assert "degrees" in bins.difference(
        Scanner("tiny", 6, 48, 4.0, 80.0, 3.0, 4.0, 27, view_offset_deg=1.0).bins(span=3)
    )
    assert "planes lie elsewhere" in bins.difference(
        Scanner("tiny", 6, 48, 4.5, 80.0, 3.0, 4.0, 27).bins(span=3)
    )


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: TINY.bins(span=2), "odd"),
        (lambda: TINY.bins(max_ring_difference=6), "needs more than 6 rings"),
        (lambda: TINY.bins(views=7), "do not divide"),
        (lambda: TINY.bins(count=60), "do not fit"),
        (lambda: Scanner("odd", 1, 47, 4.0, 80.0, 3.0, 4.0, 27), "odd number"),
        (lambda: Scanner("none", 0, 48, 4.0, 80.0, 3.0, 4.0, 27), "above zero"),
        (lambda: Bins.parallel(np.zeros(2), np.array([1.0, 0.0])), "must increase"),
        (lambda: TINY.segment(3, 2), "do not exist"),
    ],
)
def test_refusals(call, says: str) -> None:
    with pytest.raises(GeometryError, match=says):
        call()


def test_outermost_segments_are_cut() -> None:
    assert ring_difference_ranges(6, 3, 5) == [(-1, 1), (2, 4), (-4, -2), (5, 5), (-5, -5)]
