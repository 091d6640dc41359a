"""Cortical and subcortical grey matter, MRtrix's five tissues, and fractions in a template."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from emrecon.batch.bids_names import derivative
from emrecon.errors import DataError, SettingsError
from emrecon.jobs.segment import SegmentationJob, segment_files
from emrecon.tissue import atlas
from emrecon.tissue.grey_parts import five_tissues
from emrecon.tissue.inputs import TissueInputs
from emrecon.tissue.result import Segmentation
from emrecon.tissue.segment import begin, segment
from emrecon.tissue.settings import Settings
from emrecon.tissue.template import in_template, voxel_ml
from emrecon.volume import Grid, Volume
from phantoms.brain import brain
from phantoms.mri import from_phantom
from tests.tissue.test_contrasts import maps
from tests.tissue.test_segment import head, region, shot

QUICK = Settings(starts=1, iterations=4, bias_mm=0, deep_grey="none")


@cache
def deep() -> np.ndarray:
    """Return the share of deep nuclei."""
    nuclei = {3: 1, 4: 1, 5: 1, 6: 2, 7: 2}
    grid = Grid.centred((56, 64, 60), (3.0, 3.0, 3.0))
    return from_phantom(brain(), nuclei, grid).fractions[..., 1]


def four() -> list[Volume]:
    """Return maps of fluid, cortex, deep grey and white matter."""
    fluid, grey, white = np.moveaxis(head().fractions, 3, 0)
    parts = fluid, grey * (1 - deep()), grey * deep(), white
    return [Volume(gaussian_filter(one, 0.7), head().affine) for one in parts]


@cache
def parted() -> Segmentation:
    lesion = replace(QUICK, lesions=True, five_tissue=True)
    return segment(
        [shot(), shot(contrast="FLAIR")], lesion, mask=region(head()), priors=four(),
        prior_classes=(1, 2, 2, 3), deep_priors=(3,),
    )  # fmt: skip


def test_deep_grey_matter_is_where_the_maps_have_it() -> None:
    found = parted().volume(parted().subcortical.astype(np.uint8)).voxels > 0
    grey = head().labels == 2
    truth = (deep() > 0.5) & grey
    dice = 2 * (found & truth).sum() / ((found & grey).sum() + truth.sum())
    assert dice > 0.9


def test_five_tissues_are_as_5ttcheck_wants_them() -> None:
    """Four axes, five volumes, floating point; each from 0 to 1, their sum 1 or, outside, 0."""
    result = parted()
    lesions = np.zeros(len(result.fractions), bool)
    lesions[100:120] = True
    fractions = np.where(lesions[:, None], 0, result.fractions).astype(np.float32)
    image = five_tissues(replace(result, lesions=lesions, fractions=fractions))
    assert image.voxels.dtype == np.float32
    assert image.voxels.shape[0] == 5
    assert image.voxels.min() >= 0
    assert image.voxels.max() <= 1
    total = image.voxels.sum(axis=0)
    inside = total != 0
    assert inside.sum() == len(result.fractions)
    np.testing.assert_allclose(total[inside], 1, atol=1e-4)
    np.testing.assert_array_equal(image.voxels[4].sum(), 20)
    place = np.array([a[500] for a in result.index])
    mm = result.affine[:3, :3] @ place + result.affine[:3, 3]
    to_own = np.linalg.inv(image.affine)
    i, j, k = np.rint(to_own[:3, :3] @ mm + to_own[:3, 3]).astype(int)
    own = image.voxels[:, i, j, k]
    csf, grey, white = result.fractions[500]
    np.testing.assert_allclose([own[0] + own[1], own[2], own[3]], [grey, white, csf], atol=1e-5)


def test_all_of_it_is_written_with_names_of_bids(tmp_path: Path) -> None:
    paths = {}
    named = {"t1": shot(), "mask": region(head())} | dict(zip("abcd", four(), strict=True))
    for name, image in named.items():
        paths[name] = tmp_path / f"{name}.nii"
        nib.save(nib.Nifti1Image(image.voxels, image.affine), paths[name])
    files = TissueInputs(
        mask=paths["mask"], priors=tuple(paths[n] for n in "abcd"), prior_classes=(1, 2, 2, 3),
        deep_priors=(3,),
    )  # fmt: skip
    settings = replace(QUICK, five_tissue=True, space="template")
    made, written = segment_files([paths["t1"]], tmp_path / "out", settings, files)
    job = SegmentationJob((paths["t1"],), tmp_path / "out", settings, files)
    assert {path.name for path in written} == {path.name for path in job.outputs()}
    five = nib.load(tmp_path / "out" / "t1_5tt.nii.gz")
    assert five.ndim == 4
    assert five.get_data_dtype() == np.float32
    told = json.loads((tmp_path / "out" / "t1_dseg.json").read_text())["Volumes"]
    parts = [told[name]["FractionVolumeML"] for name in ("CGM", "SGM")]
    assert sum(parts) == pytest.approx(made.segmentation.volumes_ml[1], rel=1e-3)
    facts = tmp_path / "out" / "t1_space-template_label-GM_fraction.json"
    assert json.loads(facts.read_text())["SpatialReference"] == "a.nii"
    rest = "space-template_label-GM_fraction.nii.gz"
    name = derivative({"sub": "1", "run": "2"}, rest)
    assert name == "sub-1_run-2_space-template_label-GM_desc-fraction_probseg.nii.gz"


def test_volumes_are_the_same_in_a_template() -> None:
    """Of maps that lie turned and moved, in voxels of 4 mm in place of 3."""
    grid = np.diag([4.0, 4.0, 4.0, 1.0])
    turn, angle = np.eye(4), np.radians(10)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turn[:3, 3] = (5, -8, 12)
    grid[:3, 3] = (-110, -120, -105)
    result = parted()
    laid = replace(result.atlas, maps=np.zeros((56, 60, 56, 3), np.float32), affine=grid,
                   matrix=turn)  # fmt: skip
    moved = replace(result, atlas=laid)
    image = in_template(moved, result.fractions[:, 1])
    assert image.voxels.shape == (56, 60, 56)
    np.testing.assert_allclose(image.affine, grid)
    assert voxel_ml(moved) == pytest.approx(0.064)
    assert image.voxels.sum() * 0.064 == pytest.approx(result.volumes_ml[1], rel=0.01)
    index = np.stack(result.index)
    mm = (turn @ result.affine)[:3] @ np.vstack([index, np.ones(index.shape[1])])
    weight = result.fractions[:, 1]
    middle = (mm * weight).sum(axis=1) / weight.sum()
    there = np.stack(np.nonzero(image.voxels))
    own = image.voxels[tuple(there)]
    found = 4 * (there * own).sum(axis=1) / own.sum() + grid[:3, 3]
    np.testing.assert_allclose(found, middle, atol=0.2)


@pytest.mark.parametrize(
    ("settings", "priors", "deep_priors", "words"),
    [
        (replace(QUICK, five_tissue=True), 4, (), "give priors, one or more of them of deep"),
        (QUICK, 4, (1,), "numbers of some of the priors of grey matter .class 2., .* 2 3"),
        (QUICK, 4, (2, 3), "the others are the cortex's"),
        (QUICK, 4, (7,), "deep_priors 7"),
        (QUICK, 0, (1,), "about priors, and there are none"),
        (Settings(classes=4), 4, (3,), "not CSF, GM and WM"),
    ],
)
def test_what_maps_do_not_tell_is_refused(
    settings: Settings, priors: int, deep_priors: tuple[int, ...], words: str
) -> None:
    classes = (1, 2, 2, 3) if priors else ()
    with pytest.raises(SettingsError, match=words):
        begin(
            [shot()], settings, mask=region(head()), priors=four()[:priors],
            prior_classes=classes, deep_priors=deep_priors,
        )  # fmt: skip


def test_a_template_needs_maps() -> None:
    wanted = replace(QUICK, space="template")
    with pytest.raises(DataError, match=r"space template .* emrecon\[maps\]"):
        begin([shot()], wanted, mask=region(head()))
    assert begin([shot()], wanted, mask=region(head()), head_maps=maps).atlas is not None


def test_maps_that_are_priors_are_laid_once(monkeypatch: pytest.MonkeyPatch) -> None:
    laid, align = [], atlas.align

    def counted(*args: object, **named: object) -> atlas.Atlas:
        laid.append(align(*args, **named))
        return laid[-1]

    monkeypatch.setattr(atlas, "align", counted)
    monkeypatch.setattr("emrecon.tissue.stage_models.FEW", 0)
    wanted = replace(QUICK, deep_grey="auto", lesions=True)
    elsewhere = np.eye(4)
    elsewhere[:3, 3] = 7.0
    moved = [replace(one, affine=elsewhere @ one.affine) for one in maps()]
    begun = begin([shot()], wanted, mask=region(head()), head_maps=lambda: moved)
    assert len(laid) == 1
    assert begun.average.explained == laid[0].explained


@pytest.mark.parametrize("changed", [{"five_tissue": True}, {"space": "template"}])
def test_a_bias_field_alone_has_no_tissues(changed: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="writes no tissues"):
        Settings(only_bias=True, **changed)
