"""A whole head is stripped with maps of a brain that lies elsewhere: fluid stays, scalp goes."""

import json
import sys
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from emrecon.errors import DataError
from emrecon.files import sha256
from emrecon.io import head_maps
from emrecon.jobs.base import digests, key_of
from emrecon.jobs.segment import SegmentationJob, segment_files
from emrecon.tissue.head_cut import strip_with_maps
from emrecon.tissue.inputs import TissueInputs
from emrecon.tissue.settings import Settings
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


def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Make a package that is to hold maps; return where they belong, by what they are."""
    folder = tmp_path / "nilearn" / "datasets" / "data"
    folder.mkdir(parents=True)
    spec = ModuleSpec("nilearn", None, origin=str(tmp_path / "nilearn" / "__init__.py"))
    monkeypatch.setattr(head_maps, "find_spec", lambda name: spec)
    name = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
    return {what: folder / name.format(what) for what in ("t1", "gm", "wm")}


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
    keeps_fluid(strip_with_maps(whole_head("T2"), *maps, "bone"))


@pytest.mark.slow
def test_a_head_is_found_whichever_side_its_header_calls_the_top(caplog) -> None:
    maps, over = maps_elsewhere(), np.diag([1.0, -1, -1, 1])  # half a turn about left to right
    head = whole_head("T1")
    keeps_fluid(strip_with_maps(replace(head, affine=over @ head.affine), *maps, "bone and fat"))
    assert "turned by 180 degrees from where its header has it" in caplog.text


@pytest.mark.slow
def test_a_t1_head_is_stripped_with_the_installed_maps_and_the_sidecar_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    maps, affine = maps_elsewhere()
    places = install(tmp_path, monkeypatch)
    inside = 100.0 * (maps.sum(axis=-1) > 0.5)
    for what, values in (("t1", inside), ("gm", maps[..., 1]), ("wm", maps[..., 2])):
        nib.save(nib.Nifti1Image(values.astype(np.float32), affine), places[what])
    head = whole_head("T1")
    nib.save(nib.Nifti1Image(head.voxels, head.affine), tmp_path / "head.nii.gz")
    found, _ = segment_files([tmp_path / "head.nii.gz"], tmp_path / "out")
    made = found.segmentation
    assert "stripped with maps" in caplog.text
    assert "from where its header has it" not in caplog.text
    keeps_fluid(made.volume(np.ones(len(made.labels), np.uint8)).voxels > 0)
    assert np.allclose(made.volumes_ml, truth().volumes_ml, rtol=0.15)
    told = json.loads((tmp_path / "out" / "head_dseg.json").read_text())
    assert told["MaskFrom"] == "maps"
    said = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert told["Warnings"] == list(dict.fromkeys(said))
    assert any("stripped with maps" in line for line in said)
    assert told["Inputs"]["head map gm"]["SHA256"] == sha256(places["gm"])


def test_whether_maps_are_installed_is_in_the_key_of_a_job_with_a_use_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "t1.nii"
    image.write_bytes(b"an image")

    def keys() -> list[str]:
        bare = SegmentationJob((image,))
        masked = replace(bare, settings=Settings(deep_grey="none"), files=TissueInputs(mask=image))
        deep = replace(bare, files=TissueInputs(mask=image))
        other = replace(bare, settings=Settings(classes=4))
        return [key_of(job, digests(job.inputs())) for job in (bare, deep, masked, other)]

    places = install(tmp_path, monkeypatch)
    without = keys()
    for what, path in places.items():
        path.write_bytes(what.encode())
    first = keys()
    assert first[0] != without[0]
    assert first[1] != without[1]
    assert first[2:] == without[2:]
    places["wm"].write_bytes(b"maps of another version")
    again = keys()
    assert again[0] not in {first[0], without[0]}
    assert again[2:] == without[2:]


def test_a_constant_image_has_no_head() -> None:
    image = Volume(np.full(GRID.shape, 5, np.float32), GRID.affine)
    with pytest.raises(DataError, match="constant"):
        strip_with_maps(image, *maps_elsewhere(), "bone and fat")


def test_maps_are_found_where_a_package_holds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = install(tmp_path, monkeypatch)
    assert head_maps.installed_maps() == ()
    for what, value in (("t1", 100), ("gm", 50), ("wm", 0)):
        values = np.full((2, 2, 2), value, np.uint8)
        values[0] = 0
        if what == "wm":
            values[1, 1] = 200
        nib.save(nib.Nifti1Image(values, np.eye(4)), places[what])
    fluid, grey, white = (one.voxels for one in head_maps.installed_maps())
    assert grey[1, 0, 0] == 1
    assert white[1, 1, 1] == 1
    assert fluid.max() == 0
    assert not grey[0].any()


def test_without_the_package_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_maps, "find_spec", lambda name: None)
    assert head_maps.installed_maps() == ()
    assert "nilearn" not in sys.modules
