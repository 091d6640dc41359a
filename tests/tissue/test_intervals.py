"""Intervals of a second scan: narrower than those of the truth, and they hold what it gives."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from emrecon.tissue.classes import Classes
from emrecon.tissue.result import DRIFT, REPEATED
from emrecon.tissue.segment import segment
from emrecon.tissue.settings import Settings
from emrecon.volume import Volume
from phantoms.mri import Scan, acquire
from tests.tissue.test_segment import head, region, shot


def test_the_border_of_two_tissues_moves_with_the_brightness_of_both() -> None:
    """By its share times their middle over their step; two channels err each on its own."""
    made = segment([shot()], Settings(bias_mm=0, starts=1, iterations=1), mask=region(head()))
    halves = np.zeros_like(made.fractions)
    halves[:1000, :2] = 0.5  # 250 voxels of 3 mm are shared
    for channels in (1, 2):
        means = np.repeat([[100.0], [200.0], [400.0]], channels, axis=1)
        spread = np.repeat(np.eye(channels)[None] * 9, 3, axis=0)
        known = replace(made, fractions=halves, classes=Classes(np.ones(3), means, spread))
        shared, mixed = 250 * 0.027, 6 * 250 * 0.027
        drift = DRIFT * np.sqrt(10) * mixed * 1.5 / np.sqrt(channels)
        either = np.sqrt(2) * np.hypot(drift, REPEATED * shared)
        np.testing.assert_allclose(known.repeat_errors_ml, [either, either, 0], rtol=1e-4)


def test_what_a_weaker_spatial_field_leaves_in_doubt_does_not_widen_the_intervals() -> None:
    """The model's part shrinks as the field does from what was asked, if it is not estimated."""
    made = segment([shot()], Settings(bias_mm=0, starts=1, iterations=1), mask=region(head()))
    certain = replace(made.errors, shares=np.zeros(3), rivals=np.zeros(3))
    full = replace(made, errors=certain)
    end = full.stages[-1]
    weak = replace(full, stages=(replace(end, image=replace(end.image, beta=0.7)),))
    np.testing.assert_allclose(weak.volume_errors_ml, 0.7 * full.volume_errors_ml, rtol=1e-6)
    for beta in ("auto", 0.0):
        other = replace(weak, settings=replace(made.settings, beta=beta))
        np.testing.assert_allclose(other.volume_errors_ml, full.volume_errors_ml, rtol=1e-6)


@pytest.mark.slow
def test_a_second_scan_lies_in_the_interval_of_the_first() -> None:
    results = []
    for seed in range(5):
        rng = np.random.default_rng(100 + seed)
        scan = Scan(noise_percent=5.0, bias_percent=float(10 * seed))
        image, _ = acquire(head(), scan, rng)
        results.append(segment([Volume(image.voxels, image.affine)], mask=region(head())))
    held = [
        (one.repeat_intervals_ml[:, 0] <= other.volumes_ml)
        & (other.volumes_ml <= one.repeat_intervals_ml[:, 1])
        for one, other in permutations(results, 2)
    ]
    assert np.mean(held) > 0.9
    for one in results:
        assert (np.ptp(one.repeat_intervals_ml, axis=1) < np.ptp(one.intervals_ml, axis=1)).all()
