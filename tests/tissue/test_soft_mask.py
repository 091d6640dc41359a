"""Masks: what they are set at, interpolated or not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from emrecon.tissue.data import flags_of
from emrecon.tissue.segment import begin
from emrecon.tissue.settings import Settings
from emrecon.volume import Volume
from tests.tissue.test_segment import head, region, shot

BALL = np.linalg.norm(np.indices((48, 48, 48)) - 23.6, axis=0) < 18
IMAGE = np.random.default_rng(0).normal(100, 10, BALL.shape).astype(np.float32)


def flags(mask: np.ndarray, image: np.ndarray = IMAGE) -> np.ndarray:
    first, second = (Volume(v.astype(np.float32), np.eye(4)) for v in (image, mask))
    return flags_of(second, first, "the mask", resample=False)


def moved(mask: np.ndarray, order: int = 1) -> np.ndarray:
    """Return a mask there and back by half a voxel, which leaves dust outside."""
    there = ndimage.shift(mask.astype(float), 0.5, order=order)
    return ndimage.shift(there, -0.5, order=order)


@pytest.mark.parametrize("top", [1, 0.99998, 255, 0.25])
@pytest.mark.parametrize("order", [1, 3])
def test_an_interpolated_mask_is_cut_at_one_half(caplog, top: float, order: int) -> None:
    soft = top * (moved(BALL, order) + 1e-7)
    assert np.count_nonzero(flags(soft) != BALL) < 0.02 * BALL.sum()
    assert "cut at one half" in caplog.text


@pytest.mark.parametrize("top", [100, 255])
def test_an_interpolated_mask_of_whole_numbers_is_cut_at_one_half(caplog, top: int) -> None:
    soft = np.rint(ndimage.gaussian_filter(BALL.astype(np.float32), 1.5) * top)
    found = flags(soft.astype(np.float32))
    assert (found != BALL).mean() < 0.02 < ((soft > 0) != BALL).mean()
    assert "cut at one half" in caplog.text


def test_a_small_lesion_that_was_blurred_is_cut_at_one_half() -> None:
    lesion = np.zeros(BALL.shape)
    lesion[8:12, 8:12, 8:12] = 1
    soft = ndimage.gaussian_filter(lesion, 1.0)
    np.testing.assert_array_equal(flags(soft), soft > 0.5)


@pytest.mark.parametrize("values", [1.0, 255.0, 3.0 + (np.indices(BALL.shape)[0] > 9)])
def test_whole_numbers_are_set_above_0(caplog, values) -> None:
    np.testing.assert_array_equal(flags(np.where(BALL, values, 0)), BALL)
    np.testing.assert_array_equal(flags(np.where(BALL, values, -1)), BALL)
    np.testing.assert_array_equal(flags(np.where(BALL, values, np.nan)), BALL)
    assert not caplog.records


def test_a_stripped_image_is_its_own_mask(caplog) -> None:
    for image in (IMAGE, IMAGE / IMAGE.max(), (IMAGE - 100) / 10):
        stripped = np.where(BALL, image, 0).astype(np.float32)
        np.testing.assert_array_equal(flags(stripped, stripped), BALL)
    np.testing.assert_array_equal(flags(np.where(BALL, IMAGE, 0)), BALL)  # of another channel
    assert not caplog.records


def test_an_exclusion_leaves_the_rest_of_a_stripped_brain(monkeypatch) -> None:
    """Without a mask, the brain is found as if nothing were left out."""
    monkeypatch.setattr("emrecon.tissue.segment.find_brain", lambda *_: (head().mask, "maps"))
    lesion = np.zeros(head().mask.shape, np.float32)
    lesion[:20] = 1
    fit = begin([shot()], Settings(starts=1), exclude=Volume(lesion, head().affine))
    whole = begin([shot()], Settings(starts=1), mask=region(head()))
    np.testing.assert_array_equal(fit.data.mask, whole.data.mask & (lesion == 0))
