"""Values a hair below 0 are set to 0 and counted; those beyond are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from emrecon import io
from emrecon.errors import DataError, SettingsError
from emrecon.io.corrections import read_medium
from emrecon.tomo.dust import without_dust
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.inputs import Corrections
from emrecon.tomo.scan import Scan
from emrecon.volume import Grid, Volume

CAMERA = Camera(np.zeros(2), np.full(2, 200.0), np.arange(3.0), np.arange(4.0))


def scan(name: str, value: float, level: float = 3.0) -> Scan:
    """Return a scan, level everywhere but for one value of one part."""
    data = np.full(CAMERA.shape, level, np.float32)
    data[0, 1, 2] = value
    return replace(Scan(CAMERA, np.ones(CAMERA.shape, np.float32)), **{name: data})


@pytest.mark.parametrize(
    ("name", "value", "level"),
    [
        ("prompts", -2e-7, 3.0),
        ("prompts", -1e-40, 0.0),
        ("randoms", -5e-9, 0.004),
        ("scatter", -9e-7, 1e-3),
        ("normalisation", -1e-8, 0.02),
    ],
)
def test_dust_is_0_and_counted(name, value, level):
    clean = scan(name, value, level).without_dust()
    clean.check()
    assert getattr(clean, name).min() == 0.0
    assert getattr(clean, name).max() == np.float32(max(level, 0.0))
    assert clean.facts["dust_set_to_0"] == {name: 1}


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("prompts", -1e-3, "raw prompts"),
        ("prompts", -np.inf, "infinite"),
        ("randoms", -1.0, "mean counts"),
        ("scatter", -1e-5, "mean counts"),
        ("normalisation", -1e-4, "efficiency"),
    ],
)
def test_what_is_no_dust_is_refused(name, value, why):
    with pytest.raises(DataError, match=why):
        scan(name, value).without_dust().check()


def test_clean_data_are_not_copied():
    data = np.ones(3, np.float32)
    assert without_dust(data, "prompts")[0] is data


@pytest.mark.parametrize(("noise", "read"), [(2e-4, True), (5e-3, False)])
def test_noise_in_the_air_of_a_mu_map(tmp_path, noise, read):
    voxels = np.full((6, 6, 4), 0.097, np.float32)
    voxels[:2, 0] = -noise
    path = tmp_path / "mu.nii"
    io.write_image(Volume(voxels, Grid.centred((6, 6, 4), (4.0, 4.0, 4.0)).affine), path)
    if not read:
        with pytest.raises(SettingsError, match="negative"):
            read_medium(Corrections(mu=path, mu_unit="1/cm"))
        return
    medium = read_medium(Corrections(mu=path, mu_unit="1/cm"))
    assert medium.mu is not None
    assert medium.mu.voxels.min() == 0.0
    assert medium.facts == {"mu_dust_set_to_0": 8}
