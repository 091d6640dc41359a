"""Priors that are taken as they lie must lie on the image."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from emrecon.errors import DataError
from emrecon.tissue.atlas import lay
from emrecon.tissue.settings import Settings
from emrecon.volume import Volume
from tests.tissue.test_segment import head, shot

pytestmark = pytest.mark.slow

AS_THEY_LIE = Settings(align="none", resample=True)


def maps(shift_mm: float) -> list[Volume]:
    affine = head().affine.copy()
    affine[1, 3] += shift_mm
    return [Volume(np.ascontiguousarray(head().fractions[..., k]), affine) for k in range(3)]


def test_maps_beside_the_brain_are_refused() -> None:
    with pytest.raises(DataError, match=r"of the mask lies beyond the priors.*align"):
        lay(maps(60), (), AS_THEY_LIE, shot(), head().mask)


def test_maps_that_fit_better_elsewhere_are_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        lay(maps(0), (), AS_THEY_LIE, shot(), head().mask)
        lay(maps(2), (), AS_THEY_LIE, shot(), head().mask)
    assert not caplog.records
    lay(maps(-14), (), AS_THEY_LIE, shot(), head().mask)
    assert "fit better when moved" in caplog.text


@pytest.mark.parametrize(("axis", "sides"), [(1, "front and back"), (2, "top and bottom")])
def test_maps_that_are_turned_over_are_warned_of(
    caplog: pytest.LogCaptureFixture, axis: int, sides: str
) -> None:
    """Of a brain without white matter in one half, so that its halves differ."""
    csf, grey, white = (volume.voxels for volume in maps(0))
    ends = [np.moveaxis(one.copy(), axis, 0) for one in (grey, white)]
    half = slice(0, ends[0].shape[0] // 2)
    ends[0][half] += ends[1][half]
    ends[1][half] = 0
    grey, white = (np.moveaxis(one, 0, axis) for one in ends)
    tissue = 30 * csf + 60 * grey + 90 * white
    noisy = tissue + np.random.default_rng(2).normal(0, 3, tissue.shape)
    image = Volume(noisy.astype(np.float32), head().affine)
    every = [Volume(np.ascontiguousarray(one), head().affine) for one in (csf, grey, white)]
    lay(every, (), AS_THEY_LIE, image, head().mask)
    assert not caplog.records
    over = [Volume(np.ascontiguousarray(np.flip(one.voxels, axis)), one.affine) for one in every]
    lay(over, (), AS_THEY_LIE, image, head().mask)
    assert f"fit better when turned over, {sides}" in caplog.text
