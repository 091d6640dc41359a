"""Dura about fluid is dropped from the inside of a skull; cortex at its edge is not."""

from __future__ import annotations

import numpy as np
import pytest

from emrecon.tissue.rim import without_rim
from emrecon.volume import Volume

AT = np.indices((60, 60, 60)) - 29.5
DEPTH = 27.0 - np.sqrt((AT**2).sum(axis=0))
"""Of each voxel under the edge of a ball, in voxels."""


def ball(spacing_mm: float, fluid: np.ndarray) -> tuple[Volume, np.ndarray]:
    """Return a ball of white matter under cortex, with dura and fluid about it in places."""
    mm = DEPTH * spacing_mm
    cortex = np.where(fluid, 6.0, 0.0)
    levels = np.select(
        [mm < 0, mm < cortex - 4, mm < cortex, mm < cortex + 4], [50, 700, 200, 700], 1000
    )
    noisy = levels + np.random.default_rng(3).normal(0, 30, levels.shape)
    return Volume(noisy.astype(np.float32), np.diag([spacing_mm] * 3 + [1])), mm > 0


@pytest.mark.parametrize("spacing_mm", [1.0, 2.0])
def test_dura_goes_and_cortex_stays(spacing_mm: float) -> None:
    above = AT[2] > 0
    image, inside = ball(spacing_mm, above)
    found = without_rim(image, inside)
    dura = inside & above & (DEPTH * spacing_mm < 2)
    assert not (found & ~inside).any()
    assert found[dura].mean() < 0.2
    away = np.abs(AT[2]) > 5 / spacing_mm  # where the two halves meet anything may be
    assert found[(DEPTH * spacing_mm > 4) & away].all()
    assert found[inside & ~above & away].all()


def test_a_brain_that_is_tight_stays_as_it_is() -> None:
    image, inside = ball(1.0, np.zeros(DEPTH.shape, bool))
    np.testing.assert_array_equal(without_rim(image, inside), inside)
