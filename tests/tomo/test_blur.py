"""The resolution model: a Gaussian of the width it was asked for."""

from __future__ import annotations

import numpy as np
import pytest

from emrecon.tomo.blur import FWHM_PER_SIGMA, Blur
from emrecon.volume import Grid


@pytest.mark.parametrize("fwhm", [(0.8, 3.0, 9.0), (4.5, 4.5, 4.5), (0.0, 6.0, 2.0)])
def test_a_point_spreads_by_the_given_width(fwhm: tuple[float, float, float]) -> None:
    grid = Grid.centred((41, 37, 51), (2.0, 2.5, 1.6))
    point = np.zeros(grid.shape, np.float32)
    point[20, 18, 25] = 7
    image = Blur(grid, fwhm).forward(point).astype(float)
    assert image.sum() == pytest.approx(7, rel=1e-5)
    for axis in range(3):
        profile = image.sum(axis=tuple({0, 1, 2} - {axis})) / image.sum()
        x = grid.centres_mm(axis)
        mean = (profile * x).sum()
        width = np.sqrt((profile * (x - mean) ** 2).sum()) * FWHM_PER_SIGMA
        assert mean == pytest.approx(0, abs=1e-4)
        # cut at 4 sigma, the second moment falls short by about 0.1 %
        assert width == pytest.approx(fwhm[axis], rel=2e-3, abs=1e-3)


def test_zero_width_changes_nothing() -> None:
    image = np.random.default_rng(0).random((4, 5, 6), np.float32)
    same = Blur(Grid.centred((4, 5, 6), (1.0, 1.0, 1.0)), (0.0, 0.0, 0.0)).forward(image)
    np.testing.assert_array_equal(same, image)
