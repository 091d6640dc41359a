"""Brains of label maps."""

from typing import Any

import numpy as np
import pytest

from emrecon.errors import SettingsError
from phantoms.mri import Brain, Scan, grouped, of_shares, tissue_signal

CODES = {  # FreeSurferColorLUT.txt
    "ctx-lh-precentral": (1024, 2),
    "ctx-rh-insula": (2035, 2),
    "ctx_lh_G_cuneus": (11111, 2),
    "ctx_rh_S_temporal_transverse": (12175, 2),
    "wm-lh-precentral": (3024, 3),
    "wm_rh_G_cuneus": (14111, 3),
    "Right-UnsegmentedWhiteMatter": (5002, 3),
    "Left-Lateral-Ventricle": (4, 1),
    "Skull": (165, 0),
}


@pytest.mark.parametrize("name", CODES)
def test_codes_of_freesurfer_are_grouped(name: str) -> None:
    code, tissue = CODES[name]
    assert grouped(np.array([code]))[0] == tissue


def sheets() -> Brain:
    """Return fluid, grey and white matter side by side along the first axis, 12 mm each."""
    shares = np.zeros((36, 20, 20, 3), np.float32)
    for n in range(3):
        shares[12 * n : 12 * n + 12, :, :, n] = 1
    return of_shares(shares, np.eye(4))


def drawn(**uneven: object) -> np.ndarray:
    return tissue_signal(sheets(), Scan(**uneven), np.random.default_rng(0))


def test_tissue_is_uneven_where_it_is_asked_for() -> None:
    even = drawn()
    assert np.unique(even.round(6)).size == 3
    changed = (drawn(texture_percent=(0.0, 10.0, 0.0)) / even - 1).reshape(3, -1)
    np.testing.assert_allclose(changed.std(axis=1), [0, 0.1, 0], atol=0.03)


def test_myelin_brightens_the_foot_of_the_cortex_alone() -> None:
    more = (drawn(myelin=0.5) - drawn())[:, 10, 10]
    gap = np.ptp(drawn()[[14, 30], 10, 10])
    np.testing.assert_allclose(more[:18], 0, atol=0.001 * gap)
    assert (np.diff(more[18:24]) > 0).all()
    assert 0.2 * gap < more[23] < 0.5 * gap
    np.testing.assert_allclose(more[24:], 0)


def test_vessels_are_few_bright_and_outside_white_matter() -> None:
    bright = drawn(vessels=0.01) > drawn().max()
    assert bright.mean() == pytest.approx(0.01, rel=0.05)
    assert not bright[24:].any()


@pytest.mark.parametrize(
    "wrong",
    [
        {"deep_shift": 1.5},
        {"myelin": -0.1},
        {"vessels": 2.0},
        {"noise_percent": -3.0},
        {"texture_percent": (0.0, -1.0, 0.0)},
        {"bias_percent": 200.0},
        {"brightest": 0.0},
    ],
)
def test_a_scan_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong)).split("_")[0]):
        Scan(**wrong)
