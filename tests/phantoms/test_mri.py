"""Brains of label maps."""

import numpy as np
import pytest

from phantoms.mri import grouped

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
