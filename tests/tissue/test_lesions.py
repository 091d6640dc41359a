"""Lesions are a label of their own and of no tissue; where nothing tells them, that is said."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from emrecon.errors import SettingsError
from emrecon.jobs.segment import SegmentationJob, segment_files
from emrecon.neighbours import neighbourhood
from emrecon.tissue.inputs import TissueInputs
from emrecon.tissue.lattice import lattice
from emrecon.tissue.lesions import edge_of, symmetry
from emrecon.tissue.maps import Atlas
from emrecon.tissue.result import Segmentation
from emrecon.tissue.segment import segment
from emrecon.tissue.settings import Settings
from emrecon.volume import Volume
from phantoms.ct import acquire_ct
from phantoms.lesions import OVER_GREY, ball, hollowed, spots
from phantoms.mri import Brain, Scan, acquire
from tests.tissue.test_contrasts import maps
from tests.tissue.test_segment import head, region, shot

LESIONS = Settings(lesions=True, starts=2)
CAVITY = (38, 36, 40)


@cache
def share() -> np.ndarray:
    return spots(head(), 10, (5.0, 9.0), np.random.default_rng(1))


def scan(contrast: str) -> Volume:
    rng = np.random.default_rng(5)
    return acquire(head(), Scan(contrast=contrast), rng, share(), OVER_GREY[contrast])[0]


def overlap(result: Segmentation, truth: np.ndarray) -> float:
    found = result.volume(result.lesions.astype(np.uint8)).voxels > 0
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


@pytest.mark.slow
def test_lesions_that_flair_shows_are_of_no_tissue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emrecon.jobs.segment.installed_maps", tuple)
    paths = {}
    for name, image in (("t1", scan("T1")), ("flair", scan("FLAIR")), ("mask", region(head()))):
        paths[name] = tmp_path / f"{name}.nii"
        nib.save(nib.Nifti1Image(image.voxels, image.affine), paths[name])
    files = TissueInputs(mask=paths["mask"])
    made, written = segment_files([paths["t1"], paths["flair"]], tmp_path / "out", LESIONS, files)
    result, truth = made.segmentation, share() > 0.5
    assert overlap(result, truth) > 0.85
    assert not result.fractions[result.lesions].any()
    left = (head().fractions * (1 - share()[..., None]))[head().mask].sum(axis=0)
    np.testing.assert_allclose(result.volumes_ml, left * head().voxel_ml, rtol=0.05)
    out = tmp_path / "out"
    labels = np.asarray(nib.load(out / "t1_dseg.nii.gz").dataobj)
    mask = np.asarray(nib.load(out / "t1_label-lesion_mask.nii.gz").dataobj)
    np.testing.assert_array_equal(labels == 4, mask == 1)
    assert (out / "t1_dseg.tsv").read_text().splitlines()[4].startswith("4\tlesion\t#")
    told = json.loads((out / "t1_dseg.json").read_text())
    assert told["LabelMap"]["4"] == "lesion"
    assert told["Volumes"]["lesion"]["LabelVolumeML"] == pytest.approx(mask.sum() * 0.027)
    assert any(line.startswith("lesions: ") for line in made.summary().lines)
    job = SegmentationJob((paths["t1"], paths["flair"]), out, LESIONS, files)
    assert {path.name for path in written} <= {path.name for path in job.outputs()}


def test_the_edge_is_as_thick_as_a_voxel_though_neighbours_two_steps_away_count() -> None:
    mask = np.zeros((9, 9, 9), bool)
    mask[1:8, 1:8, 1:8] = True
    sites = lattice(mask, np.zeros((1, 7**3), np.float32), neighbourhood(12, (1.0, 1.0, 1.0)))
    inner = np.ones((9, 9, 9), bool)
    inner[2:7, 2:7, 2:7] = False
    np.testing.assert_array_equal(edge_of(sites), inner[sites.index])


def hollow() -> tuple[Brain, np.ndarray]:
    """Return a brain with a ball of fluid in the white matter of one side, and where that is."""
    hole = ball(head(), np.array(CAVITY), 12.0) * head().mask
    return hollowed(head(), hole), (hole > 0.5) & (head().fractions[..., 0] < 0.5)


def test_a_cavity_is_told_by_maps_and_the_other_side(caplog: pytest.LogCaptureFixture) -> None:
    brain, hole = hollow()
    image, _ = acquire(brain, Scan(), np.random.default_rng(2))
    result = segment([image], LESIONS, mask=region(head()), head_maps=maps)
    assert "cavities alone are told" in caplog.text
    assert overlap(result, hole) > 0.8
    left = brain.fractions[head().mask & ~hole].sum(axis=0) * head().voxel_ml
    np.testing.assert_allclose(result.volumes_ml, left, rtol=0.06)


def test_a_brain_without_lesions_has_none(caplog: pytest.LogCaptureFixture) -> None:
    result = segment([shot()], LESIONS, mask=region(head()), head_maps=maps)
    assert not result.lesions.any()
    assert set(np.unique(result.labels)) == {1, 2, 3}
    assert "nothing tells" not in caplog.text


def test_where_nothing_tells_lesions_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    few = replace(LESIONS, iterations=1, bias_mm=0)
    result = segment([scan("T1")], few, mask=region(head()))
    assert "nothing tells lesions from tissue" in caplog.text
    assert result.lesions_ml == 0


def test_blood_in_a_ct_is_a_lesion() -> None:
    image = acquire_ct(head(), 3.0, np.random.default_rng(3))
    blood = ball(head(), np.array(CAVITY), 12.0) * head().mask
    voxels = image.voxels + blood * (70 - image.voxels)
    settings = replace(LESIONS, contrast="CT")
    bleeding = replace(image, voxels=voxels.astype(np.float32))
    result = segment([bleeding], settings, mask=region(head()), head_maps=maps)
    assert overlap(result, blood > 0.5) > 0.85


@pytest.mark.parametrize(
    "changed", [{"only_bias": True}, {"contrast": "other"}, {"classes": 4}, {"classes": "auto"}]
)
def test_lesions_are_of_a_brain_with_tissues(changed: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="lesions are told from"):
        Settings(lesions=True, **changed)


@pytest.mark.parametrize("axis", [0, 1])
def test_the_middle_of_the_maps_is_found(axis: int) -> None:
    """Of maps whose first or second axis runs from left to right."""
    half = np.random.default_rng(0).random((20, 30, 16, 3)).astype(np.float32)
    whole = np.concatenate([np.zeros((7, 30, 16, 3), np.float32), half, half[::-1]])
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    if axis:
        whole, affine = whole.swapaxes(0, 1), affine[:, [1, 0, 2, 3]]
    assert symmetry(Atlas(whole, affine, np.eye(4))) == (axis, 26.5)
