"""A bias field is kept where the image shows one, and only there."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from emrecon.tissue.evidence import Evidence
from emrecon.tissue.segment import segment
from emrecon.tissue.settings import Settings
from emrecon.volume import Grid, Volume
from phantoms.brain import brain
from phantoms.mri import Brain, Scan, acquire, from_phantom, smooth_field

pytestmark = pytest.mark.slow

TISSUE_OF = {3: 1, 4: 2, 5: 3, 6: 2, 7: 2}


@cache
def head() -> Brain:
    return from_phantom(brain(), TISSUE_OF, Grid.centred((56, 64, 60), (3.0, 3.0, 3.0)))


def shot(bias: float, noise: float = 5.0) -> tuple[Volume, Volume, np.ndarray]:
    scan = Scan(bias_percent=bias, noise_percent=noise)
    image, field = acquire(head(), scan, np.random.default_rng(1))
    return image, Volume(head().mask.astype(np.float32), image.affine), field


@pytest.mark.parametrize(("bias", "noise"), [(20.0, 3.0), (40.0, 9.0)])
def test_a_field_that_all_tissues_follow_is_kept(bias: float, noise: float) -> None:
    image, mask, field = shot(bias, noise)
    result = segment([image], mask=mask)
    assert result.evidence is not None
    assert result.evidence.kept
    wrong = np.log(result.field[0]) - np.log(field[result.index])
    assert wrong.std() < 0.6 * np.log(field[result.index]).std()


@pytest.mark.parametrize("noise", [3.0, 9.0])
def test_an_even_image_acquires_no_field(noise: float) -> None:
    image, mask, _ = shot(0.0, noise)
    result = segment([image], mask=mask)
    assert result.evidence is not None
    assert not result.evidence.kept
    np.testing.assert_array_equal(result.field, 1)
    np.testing.assert_array_equal(result.corrected[0], image.voxels[result.index])


def test_what_one_tissue_shows_alone_is_no_field() -> None:
    """White matter may change slowly; a field that followed it would bend grey matter."""
    image, mask, _ = shot(0.0)
    wave = smooth_field(head().mask, 0.12, np.random.default_rng(2))
    white = np.where(head().fractions[..., 2] > 0.5, wave, 1)
    uneven = Volume((image.voxels * white).astype(np.float32), image.affine)
    result = segment([uneven], mask=mask)
    np.testing.assert_array_equal(result.field, 1)
    asked = segment([uneven], Settings(bias="always"), mask=mask)
    assert asked.evidence is None
    assert np.log(asked.field).std() > 0.005


@pytest.mark.parametrize(
    ("clearer", "size", "followed", "kept"),
    [
        (1.05, 0.049, (0.67, -0.56), True),  # a real scan, white matter half as far from grey
        (1.06, 0.061, (0.44, -0.46), True),  # the same with a bright rim
        (1.15, 0.036, (1.01, 0.05), False),  # the average of many corrected brains
        (0.98, 0.013, (0.34, 0.30), False),  # uneven tissue without a field
        (1.00, 0.080, (0.02, -0.10), False),  # large, and followed by one tissue alone
    ],
)
def test_what_real_brains_show(
    clearer: float, size: float, followed: tuple[float, float], *, kept: bool
) -> None:
    assert Evidence(clearer, np.array([size]), np.array([followed])).kept is kept
