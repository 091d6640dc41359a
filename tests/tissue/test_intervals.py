"""Intervals of a second scan: narrower than those of the truth, and they hold what it gives."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from emrecon.tissue.segment import segment
from emrecon.volume import Volume
from phantoms.mri import Scan, acquire
from tests.tissue.test_segment import head, region


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
