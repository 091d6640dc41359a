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
