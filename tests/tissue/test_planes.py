"""What no scanner measured is left out of a mask or said: blank and repeated planes, air."""

from __future__ import annotations

import numpy as np
import pytest

from emrecon.errors import DataError
from emrecon.tissue.mask import background
from emrecon.tissue.planes import check_air, without_blank_planes

SHAPE = (30, 32, 34)


def noisy() -> np.ndarray:
    return np.random.default_rng(4).normal(100, 9, SHAPE).astype(np.float32)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("value", [0.0, 70.0])
def test_planes_of_one_value_are_left_out(caplog, axis: int, value: float) -> None:
    image, mask = noisy(), np.ones(SHAPE, bool)
    np.moveaxis(image, axis, 0)[[5, 11]] = value
    kept = np.moveaxis(without_blank_planes([noisy(), image], mask), axis, 0)
    assert np.flatnonzero(~kept.any(axis=(1, 2))).tolist() == [5, 11]
    assert kept.sum() == mask.sum() - 2 * kept[0].size
    assert f"2 planes of channel 2 hold one value alone (planes 5, 11 of axis {axis + 1}" in (
        caplog.text
    )
    assert mask.all()


def test_planes_that_a_slab_of_one_value_makes_are_no_blank_ones(caplog) -> None:
    """Beside a brain that was stripped such a slab alone is shown."""
    image, mask = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, bool)
    brain, slab = (slice(8, 24),) * 3, (slice(None), slice(None), slice(14, 17))
    image[brain], mask[brain] = noisy()[brain], True
    image[slab], mask[slab] = 70, True
    kept = without_blank_planes([image], mask)
    mask[slab] = False
    assert np.array_equal(kept, mask)
    assert "(planes 14, 15, 16 of axis 3" in caplog.text
    assert len(caplog.records) == 1


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_repeated_planes_are_said_and_kept(caplog, axis: int) -> None:
    image, mask = noisy(), np.ones(SHAPE, bool)
    lines = np.moveaxis(image, axis, 0)
    lines[8] = lines[9] = lines[7]
    assert without_blank_planes([image], mask) is mask
    assert "2 planes of channel 1 are the same as the plane before them (planes 8, 9 of axis " in (
        caplog.text
    )


def test_what_lies_outside_the_mask_does_not_count(caplog) -> None:
    image, mask = noisy(), np.zeros(SHAPE, bool)
    mask[:, :, 4:20] = True
    image[~mask] = 0
    image[:, :, 25] = 70
    assert without_blank_planes([image], mask) is mask
    assert not caplog.text


def test_one_odd_voxel_makes_a_plane_its_own(caplog) -> None:
    image, mask = noisy(), np.ones(SHAPE, bool)
    image[9] = 70
    image[9, 1, 1] = 71
    image[20] = image[19]
    image[20, 1, 1] += 1
    assert without_blank_planes([image], mask) is mask
    assert not caplog.text


def test_drawings_without_noise_are_taken_as_they_are(caplog) -> None:
    image, mask = np.zeros(SHAPE, np.float32), np.ones(SHAPE, bool)
    image[10:] = 1
    image[20:] = 2
    assert without_blank_planes([image], mask) is mask
    assert not caplog.text


@pytest.mark.parametrize("air", [0.0, -1.7])
def test_a_mask_of_another_image_is_refused(caplog, air: float) -> None:
    image, mask = noisy(), np.ones(SHAPE, bool)
    image[:15] = air
    with pytest.raises(DataError, match="50% of the mask is background of the image"):
        check_air(image, mask, air)
    mask[:13] = False
    check_air(image, mask, air)
    assert "12 % of the mask is background" in caplog.text


def test_a_mask_that_fits_is_taken_without_a_word(caplog) -> None:
    image, mask = noisy(), np.ones(SHAPE, bool)
    image[:15], mask[:15] = 0, False
    check_air(image, mask, 0.0)
    assert not caplog.text


@pytest.mark.parametrize("values", [(0.0, 0.0), (0.0, 1.0), (np.nan, np.nan)])
def test_images_of_few_values_are_refused_as_such(caplog, values: tuple[float, float]) -> None:
    image = np.where(noisy() > 100, *values).astype(np.float32)
    check_air(image, np.ones(SHAPE, bool), background(image))
    assert not caplog.text
