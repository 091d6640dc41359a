"""Every contrast has its order of tissues; where one image tells too little, maps are wanted."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from emrecon.errors import DataError, SettingsError
from emrecon.jobs.segment import SegmentationJob, segment_files
from emrecon.tissue.contrasts import WEIGHTINGS, Contrast, check_contrast, contrast_of
from emrecon.tissue.find_brain import find_brain, windowed
from emrecon.tissue.head_cut import strip_with_maps
from emrecon.tissue.inputs import TissueInputs
from emrecon.tissue.segment import begin, no_maps, segment
from emrecon.tissue.settings import Settings
from emrecon.volume import Volume
from phantoms.ct import AIR_HU, HOUNSFIELD, acquire_ct
from phantoms.mri import signal
from tests.tissue.test_head_cut import GRID, brain, maps_elsewhere, truth
from tests.tissue.test_head_cut import dice as overlap
from tests.tissue.test_segment import dice, head, region, shot


def ct(noise_hu: float = 4.0) -> Volume:
    return acquire_ct(head(), noise_hu, np.random.default_rng(3))


def maps() -> list[Volume]:
    """Return blurred maps of the brain, as of an average one."""
    blurred = [gaussian_filter(one, 1.5) for one in np.moveaxis(head().fractions, 3, 0)]
    return [Volume(one, head().affine) for one in blurred]


@pytest.mark.parametrize("contrast", WEIGHTINGS)
def test_tissues_are_in_the_order_of_their_signals(contrast: Contrast) -> None:
    settings, names = Settings(contrast=contrast), ("CSF", "GM", "WM")
    assert settings.names == names
    if contrast != "neonate":
        levels = [HOUNSFIELD[n] if contrast == "CT" else signal(contrast, n) for n in names]
        np.testing.assert_array_equal(settings.dark_first, np.argsort(levels))
        assert not settings.unlike(np.sort(levels))
    np.testing.assert_array_equal(settings.dark_first[settings.ranks], [0, 1, 2])


def test_a_pd_weighted_image_needs_nothing_else() -> None:
    result = segment([shot(contrast="PD")], Settings(contrast="PD"), mask=region(head()))
    assert min(dice(result, head())) > 0.88
    assert (np.diff(result.classes.means[:, 0]) < 0).all()


@pytest.mark.parametrize(("contrast", "least"), [("FLAIR", 0.86), ("CT", 0.85)])
def test_maps_tell_grey_matter_from_mixed_voxels(
    contrast: Contrast, least: float, caplog: pytest.LogCaptureFixture
) -> None:
    image = ct() if contrast == "CT" else shot(contrast=contrast)
    settings = Settings(contrast=contrast)
    with pytest.raises(DataError, match="give tissue probability maps"):
        segment([image], settings, mask=region(head()))
    result = segment([image], settings, mask=region(head()), head_maps=maps)
    assert "maps of an average brain are priors" in caplog.text
    assert min(dice(result, head())) > least
    fluid, grey, white = result.classes.means[:, 0]
    assert fluid < white < grey
    assert result.atlas is not None
    if contrast == "CT":
        np.testing.assert_array_equal(result.field, 1)
        np.testing.assert_allclose([fluid, grey, white], list(HOUNSFIELD.values()), atol=3)


def test_newborns_need_maps_of_newborns() -> None:
    with pytest.raises(DataError, match=r"--priors\) of newborns"):
        begin([shot()], Settings(contrast="neonate"), mask=region(head()), head_maps=maps)


def test_other_channels_do_what_maps_do() -> None:
    several = [shot(contrast="FLAIR"), shot(contrast="T2")]
    begun = begin(several, Settings(contrast="FLAIR", starts=1), mask=region(head()))
    assert begun.atlas is None


def test_bone_and_air_in_the_mask_of_a_ct_are_left_out() -> None:
    image, mask = ct(), region(head())
    voxels = image.voxels.copy()
    voxels[20:24, 30:34, 30:34], voxels[30:34, 30:34, 30:34] = 900, -800
    settings = Settings(contrast="CT", starts=1)
    begun = begin([replace(image, voxels=voxels)], settings, mask=mask, head_maps=maps)
    lost = mask.voxels.astype(bool) & ~begun.data.mask
    assert lost[20:24, 30:34, 30:34].all()
    assert lost[30:34, 30:34, 30:34].all()
    assert lost.sum() < 140


def test_a_stripped_ct_is_shown_where_it_is_not_background() -> None:
    for background in (AIR_HU, 0.0):
        rounded = np.rint(np.where(head().mask, ct().voxels, background)).astype(np.float32)
        settings = Settings(contrast="CT", starts=1)
        begun = begin([replace(ct(), voxels=rounded)], settings, head_maps=maps)
        assert (begun.data.mask != head().mask).sum() < 0.01 * head().mask.sum()
        assert begun.mask_from == "image"


@pytest.mark.parametrize("shift", [1000.0, -60.0])
def test_a_ct_in_other_units_is_refused(shift: float) -> None:
    image = replace(ct(), voxels=ct().voxels + np.float32(shift))
    with pytest.raises(SettingsError, match="wanted in Hounsfield units"):
        begin([image], Settings(contrast="CT"), mask=region(head()), head_maps=maps)


@pytest.mark.parametrize("changed", [{"only_bias": True}, {"bias": "always"}])
def test_a_ct_has_no_bias_field(changed: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no bias field"):
        Settings(contrast="CT", **changed)
    with pytest.raises(SettingsError, match="no bias field"):
        SegmentationJob((tmp_path / "sub-01_ct.nii.gz",), settings=Settings(**changed))
    job = SegmentationJob((tmp_path / "sub-01_ct.nii.gz",), tmp_path)
    assert not [path for path in job.outputs() if "biasfield" in path.name]


@pytest.mark.parametrize("contrast", ["T2", "PD", "FLAIR", "CT"])
def test_without_maps_heads_of_these_contrasts_are_refused(contrast: Contrast) -> None:
    full = np.random.default_rng(0).uniform(20, 50, (60, 60, 60)).astype(np.float32)
    with pytest.raises(DataError, match="give a mask"):
        find_brain(Volume(full, np.diag([3.0, 3, 3, 1])), Settings(contrast=contrast), no_maps)


@pytest.mark.slow
def test_a_ct_of_a_head_is_stripped() -> None:
    inner, label = truth(), brain().label_map(GRID).voxels
    rng = np.random.default_rng(3)
    voxels = acquire_ct(inner, 4.0, rng).voxels
    fat = np.indices(label.shape).sum(axis=0) % 8 < 4
    outer = np.where(label == 1, np.where(fat, -90.0, 50.0), np.where(label == 2, 700.0, AIR_HU))
    whole = np.where(inner.mask, voxels, outer + rng.normal(0, 4, label.shape))
    image = Volume(windowed(whole.astype(np.float32)), GRID.affine)
    found = strip_with_maps(image, *maps_elsewhere(), "bright bone")
    assert overlap(found, inner.mask) > 0.96


def test_the_sidecar_says_which_contrast_was_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image, mask = tmp_path / "sub-01_PDw.nii", tmp_path / "mask.nii"
    nib.save(nib.Nifti1Image(shot(contrast="PD").voxels, head().affine), image)
    nib.save(nib.Nifti1Image(head().mask.astype(np.uint8), head().affine), mask)
    settings = Settings(iterations=2, starts=1, bias_mm=0)
    with caplog.at_level(logging.WARNING):
        made, _ = segment_files([image], tmp_path / "out", settings, TissueInputs(mask=mask))
    assert "is taken as PD weighted, as its name says" in caplog.text
    assert made.segmentation.settings.contrast == "PD"
    assert '"contrast": "PD"' in (tmp_path / "out" / "sub-01_PDw_dseg.json").read_text()


@pytest.mark.parametrize(
    ("name", "contrast"),
    [
        ("sub-01_T2w.nii.gz", "T2"),
        ("IXI002-Guys-0828-T2.nii.gz", "T2"),
        ("BraTS19_x_flair.nii", "FLAIR"),
        ("scan.v2_t1w.mgz", "T1"),
        ("sub-T2.nii.gz", None),  # a participant's label
        ("brain.nii.gz", None),
    ],
)
def test_the_last_word_of_a_name_says_the_contrast(name: str, contrast: Contrast | None) -> None:
    assert contrast_of(name) == contrast


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sub-01_T1map.nii.gz", "none of the contrasts"),
        ("func_BOLD.nii", "none of the contrasts"),
        ("sub-01_dseg.nii.gz", "holds no intensities"),
        ("aseg.mgz", "holds no intensities"),
        ("t1_label-CSF_fraction.nii.gz", "holds no intensities"),
        ("t1_entropy.nii.gz", "holds no intensities"),
        ("t1_channel-2_biasfield.nii.gz", "holds no intensities"),
    ],
)
def test_what_has_no_order_of_tissues_is_refused_by_name(name: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        check_contrast(name, "auto")
    check_contrast(name, "T1")  # a person has said it
