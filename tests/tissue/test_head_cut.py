"""A whole head is stripped with maps of a brain that lies elsewhere: fluid stays, scalp goes."""

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from emrecon.errors import DataError
from emrecon.io import head_maps
from emrecon.tissue.head_cut import strip_with_maps
from emrecon.tissue.segment import segment
from emrecon.volume import Grid, Volume
from phantoms.brain import brain
from phantoms.mri import Brain, Scan, acquire, from_phantom, signal

GRID = Grid.centred((60, 72, 68), (3.0, 3.0, 3.0))
SCALP, SKULL = 1, 2


def truth() -> Brain:
    return from_phantom(brain(), {3: 1, 4: 2, 5: 3, 6: 2, 7: 2}, GRID, finer=2)


def whole_head(contrast: str) -> Volume:
    """Return a head in 4 % noise: dark bone, and scalp of fat beside muscle like grey matter."""
    inner = truth()
    image, field = acquire(
        inner, Scan(contrast=contrast, noise_percent=4), np.random.default_rng(3)
    )
    label = brain().label_map(GRID).voxels
    brightest = 1000 / max(signal(contrast, tissue) for tissue in ("CSF", "GM", "WM"))
    grey = brightest * signal(contrast, "GM")
    fat = np.indices(label.shape).sum(axis=0) % 8 < 4
    scalp = np.where(fat, 1.6 * grey, 0.9 * grey) * field
    outer = (label == SCALP) & ~inner.mask
    return Volume(
        np.where(outer, image.voxels + scalp, image.voxels).astype(np.float32), GRID.affine
    )


def maps_elsewhere() -> tuple[np.ndarray, np.ndarray]:
    """Return blurred maps of the brain, moved and tilted by 8 degrees."""
    turn, pitch = np.eye(4), np.radians(8)
    turn[1:3, 1:3] = [[np.cos(pitch), -np.sin(pitch)], [np.sin(pitch), np.cos(pitch)]]
    turn[:3, 3] = (4, -30, 25)
    maps = np.stack([gaussian_filter(one, 1) for one in np.moveaxis(truth().fractions, 3, 0)], -1)
    return maps, turn @ GRID.affine


def dice(one: np.ndarray, two: np.ndarray) -> float:
    return float(2 * (one & two).sum() / (one.sum() + two.sum()))


def keeps_fluid(found: np.ndarray) -> None:
    inner = truth()
    fluid = inner.labels == 1
    assert dice(found, inner.mask) > 0.96
    assert (fluid & ~found).sum() < 0.1 * fluid.sum()


@pytest.mark.slow
def test_a_t2_head_is_stripped_with_its_fluid() -> None:
    maps = maps_elsewhere()
    keeps_fluid(strip_with_maps(whole_head("T2"), *maps, fat_is_bright=False))


@pytest.mark.slow
def test_segment_strips_a_t1_head_with_the_maps_it_is_given(
    caplog: pytest.LogCaptureFixture,
) -> None:
    maps, affine = maps_elsewhere()
    volumes = [Volume(np.ascontiguousarray(maps[..., k]), affine) for k in range(3)]
    made = segment([whole_head("T1")], head_maps=lambda: volumes)
    assert "stripped with maps" in caplog.text
    keeps_fluid(made.volume(np.ones(len(made.labels), np.uint8)).voxels > 0)
    assert np.allclose(made.volumes_ml, truth().volumes_ml, rtol=0.15)


def test_a_constant_image_has_no_head() -> None:
    image = Volume(np.full(GRID.shape, 5, np.float32), GRID.affine)
    with pytest.raises(DataError, match="constant"):
        strip_with_maps(image, *maps_elsewhere(), fat_is_bright=True)


def test_maps_are_found_where_a_package_holds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "nilearn" / "datasets" / "data"
    folder.mkdir(parents=True)
    spec = ModuleSpec("nilearn", None, origin=str(tmp_path / "nilearn" / "__init__.py"))
    monkeypatch.setattr(head_maps, "find_spec", lambda name: spec)
    assert head_maps.installed_maps() == ()
    for what, value in (("t1", 100), ("gm", 50), ("wm", 0)):
        values = np.full((2, 2, 2), value, np.uint8)
        values[0] = 0
        if what == "wm":
            values[1, 1] = 200
        name = f"mni_icbm152_{what}_tal_nlin_sym_09a_converted.nii.gz"
        nib.save(nib.Nifti1Image(values, np.eye(4)), folder / name)
    fluid, grey, white = (one.voxels for one in head_maps.installed_maps())
    assert grey[1, 0, 0] == 1
    assert white[1, 1, 1] == 1
    assert fluid.max() == 0
    assert not grey[0].any()


def test_without_the_package_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_maps, "find_spec", lambda name: None)
    assert head_maps.installed_maps() == ()
    assert "nilearn" not in sys.modules
