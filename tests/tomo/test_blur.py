"""The resolution model: a Gaussian of the width it was asked for."""

from __future__ import annotations

import numpy as np
import pytest

from emrecon.gaussian import FWHM_PER_SIGMA
from emrecon.tomo.operators.blur import Blur, gaussian_taps
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


@pytest.mark.parametrize("shape", [(5, 7, 9), (1, 2, 30), (3, 1, 1)])
def test_borders_are_mirrored(shape: tuple[int, int, int]) -> None:
    """Totals and uniform images stay, even where the kernel is longer than the image."""
    blur = Blur(Grid.centred(shape, (2.0, 2.0, 2.0)), (9.0, 5.0, 20.0))
    np.testing.assert_allclose(blur.forward(np.ones(shape, np.float32)), 1, rtol=1e-5)
    image = np.random.default_rng(1).random(shape, np.float32)
    assert blur.forward(image).sum() == pytest.approx(image.sum(), rel=1e-5)


def test_agrees_with_a_plain_convolution() -> None:
    from scipy.ndimage import convolve1d

    image = np.random.default_rng(2).random((6, 5, 8), np.float32)
    found = Blur(Grid.centred(image.shape, (2.0, 3.0, 1.0)), (5.0, 6.0, 4.0)).forward(image)
    wanted = image.astype(float)
    for axis, fwhm in enumerate((5.0 / 2, 6.0 / 3, 4.0)):
        half = gaussian_taps(fwhm)
        wanted = convolve1d(wanted, np.r_[half[:0:-1], half], axis=axis, mode="reflect")
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
