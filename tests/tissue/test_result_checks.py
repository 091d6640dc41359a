"""Results that cannot be right are refused; what a person must judge is said and written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from emrecon.errors import DataError, SettingsError
from emrecon.jobs.segment import SegmentationJob, segment_files
from emrecon.neighbours import neighbourhood
from emrecon.tissue import stages
from emrecon.tissue.classes import Classes
from emrecon.tissue.depth import depth_of
from emrecon.tissue.findings import Findings, inner_of
from emrecon.tissue.inputs import TissueInputs
from emrecon.tissue.lattice import lattice
from emrecon.tissue.result_checks import ImplausibleError, distance, judged
from emrecon.tissue.segment import segment
from emrecon.tissue.settings import Settings
from emrecon.tissue.starts import Optimum
from emrecon.volume import Volume
from tests.tissue.test_segment import dice, head, region, shot

RNG = np.random.default_rng(7)


def findings(**changed: object) -> Findings:
    """Return those of a usual brain, whose white matter lies inside."""
    rim = np.arange(1000) < 100
    labels = np.where(rim, np.arange(1000) % 2, np.arange(1000) % 3)
    classes = Classes(np.full(3, 1 / 3), np.array([0.0, 5, 9]), np.ones(3))
    usual = Findings(Settings(), classes, np.eye(3, dtype=np.float32)[labels], 1500.0, rim, 0.0,
                     atlas=False)  # fmt: skip
    return replace(usual, **changed)


def shares(csf: float, gm: float) -> np.ndarray:
    """Return the fractions of voxels, fluid outermost."""
    return np.eye(3, dtype=np.float32)[
        np.digitize(np.arange(1000), [1000 * csf, 1000 * (csf + gm)])
    ]


def levels(*means: float, sd: float = 1.0) -> Classes:
    return Classes(np.full(3, 1 / 3), np.array(means), np.full(3, sd**2))


def test_a_usual_brain_raises_no_doubt() -> None:
    assert judged(findings()) == ()


def test_a_part_of_a_brain_is_told_unless_it_was_said() -> None:
    (doubt,) = judged(findings(human_ml=360.0))
    assert "360 mL are little for a whole brain" in doubt
    assert judged(findings(human_ml=360.0, settings=Settings(scale=1))) == ()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"fractions": shares(0.4, 0.59)}, "WM has 1.0% of the volume"),
        ({"fractions": shares(0.48, 0.02)}, "GM has 2.0% of the volume"),
        ({"fractions": shares(0.8, 0.1)}, "CSF has 80% of the volume"),
        ({"fractions": shares(0.5, 0.5)}, "no voxel was found to be mostly WM"),
        ({"human_ml": 12_500.0}, "1.25e.04 mL are no brain"),
        ({"classes": levels(0, 5, 4)}, "changed places"),
        ({"classes": levels(0, 5, 4), "settings": Settings(mixed=0)}, "changed places"),
        ({"classes": levels(0, 5, 5.3)}, "0.30 standard deviations apart"),
        ({"fractions": np.full((9, 3), np.nan, np.float32)}, "not finite"),
    ],
)
def test_what_cannot_be_right_is_refused(changed: dict[str, object], words: str) -> None:
    with pytest.raises(DataError, match=words):
        judged(findings(**changed))


def began(gap: float) -> Optimum:
    """Return a start from intensities alone whose classes are so far apart."""
    return Optimum("quantiles", levels(0, 5, 9), 0.0, gap, converged=True)


def inside_out(share: float) -> dict[str, object]:
    """Return a brain with so much of its white matter, and a tenth of the grey one, at the rim."""
    labels = np.repeat([0, 1, 2], [300, 400, 300])
    rim = np.zeros(1000, bool)
    rim[300:340] = rim[700 : 700 + round(300 * share)] = True
    return {"fractions": np.eye(3, dtype=np.float32)[labels], "rim": rim}


REFUSED_OF_INTENSITIES: list[tuple[dict[str, object], str]] = [
    ({"start": began(0.4)}, "fewer than three tissues"),
    ({"start": began(7), "fractions": shares(0.3, 0.15)}, "0.27 times as much grey as white"),
    ({"start": began(7), "fractions": shares(0.3, 0.62)}, "7.8 times as much grey as white"),
    ({"start": began(7), **inside_out(0.2)}, "20% of what is taken for white matter and 10%"),
    (
        {"start": began(7), "depth": np.float32(np.arange(1000) % 3 == 1) + 10},
        "white matter lies 10.0 mm deep in the mask, and grey matter 1",
    ),
    (
        {"start": began(7), "fractions": shares(0.5, 0.24), "inner": (0.7, 0.3, 0.7)},
        "2.1 times as much fluid as grey matter",
    ),
]


@pytest.mark.parametrize(("changed", "words"), REFUSED_OF_INTENSITIES)
def test_an_infants_brain_is_refused_where_nothing_else_tells(
    changed: dict[str, object], words: str
) -> None:
    with pytest.raises(ImplausibleError, match=words):
        judged(findings(**changed))
    judged(findings(**changed | {"start": None}))  # a person said which class is which
    other = Settings(contrast="other")
    doubts = judged(findings(**changed | {"settings": other}))
    assert len(doubts) == (changed["start"].gap < 3)  # type: ignore[attr-defined]


def test_an_adults_brain_is_not() -> None:
    assert judged(findings(start=began(6))) == ()
    assert "hardly show 3 classes: two are 2.9" in judged(findings(start=began(2.9)))[0]
    judged(findings(start=began(6), **inside_out(0.1)))
    white_inside = np.float32(np.arange(1000) % 3 == 2) + 10
    assert judged(findings(start=began(6), depth=white_inside)) == ()
    wide_ventricles = shares(0.5, 0.24)
    judged(findings(start=began(6), fractions=wide_ventricles, inner=(0.8, 0.6, 0.7)))


def test_depth_is_that_under_the_outside_of_a_whole_body_and_none_of_a_slab() -> None:
    """To a block of 4 mm; a hole inside counts as body."""
    away = np.linalg.norm(np.indices((60, 60, 30)) * [[[[1]]], [[[1]]], [[[2]]]] - 30.0, axis=0)
    ball = (away < 28) & (away > 4)
    near = neighbourhood(6, (1.0, 1.0, 2.0))

    def depths(mask: np.ndarray) -> np.ndarray | None:
        sites = lattice(mask, np.ones((1, int(mask.sum())), np.float32), near)
        return depth_of(sites, (1.0, 1.0, 2.0)), sites.index

    found, index = depths(ball)
    assert np.abs(found - (28 - away[index])).mean() < 2.5
    slab = ball & (np.abs(np.arange(30) - 15) < 4)
    assert depths(slab)[0] is None


def test_settings_that_would_do_nothing_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"contrast T2 .*classes 4"):
        Settings(classes=4, contrast="T2")
    with pytest.raises(SettingsError, match=r"contrast T1 .*classes auto"):
        Settings(classes="auto", contrast="T1")
    with pytest.raises(SettingsError, match="beta auto is estimated"):
        Settings(only_bias=True, beta="auto")
    assert SegmentationJob((Path("sub-01_T2w.nii"),), settings=Settings(classes=4)).settings


def test_white_matter_far_more_at_the_edge_is_refused_though_fluid_is_there_too() -> None:
    """As of a T1-weighted image that was said to be FLAIR, whose intensities show all classes."""

    def brain(share: float) -> Findings:
        turned = inside_out(share)
        turned["rim"][:300] = True  # the fluid
        return findings(start=began(6), **turned)

    judged(brain(0.25))
    for start, atlas in ((began(6), False), (None, True)):
        odd = replace(brain(0.4), start=start, atlas=atlas)
        with pytest.raises(
            ImplausibleError, match="40% of what is taken for white matter and 10%"
        ):
            judged(odd)
    judged(replace(brain(0.4), start=None))  # a person said which class is which
    agreed = replace(brain(0.4), said=np.log(np.full((3, 3), 0.2) + 0.4 * np.eye(3)))
    judged(agreed)  # bright dura left at the edge: an average brain has the tissues there
    with pytest.raises(ImplausibleError, match="40% of what is taken for white matter"):
        judged(replace(agreed, atlas=True))  # of priors, which had a part in what was found


@pytest.mark.parametrize("order", [[0, 2, 1], [2, 1, 0], [1, 2, 0]])
def test_tissues_that_the_maps_call_by_each_others_name_are_refused(order: list[int]) -> None:
    """As of a T1- or PD-weighted image that was said to be FLAIR, wherever its classes lie."""
    said = np.log([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3], [0.1, 0.4, 0.5]])
    assert judged(findings(said=said)) == ()
    with pytest.raises(
        ImplausibleError, match=r"maps of a brain have (GM|WM) where CSF|WM where GM"
    ):
        judged(findings(said=said[:, order]))


@pytest.mark.parametrize("first", [True, False])
def test_a_fit_that_comes_to_nothing_is_made_once_more(
    first: bool,  # noqa: FBT001 - a parameter of the test
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With outliers where it had none, and the other way round; the sidecar and doubts say so."""
    made: list[bool] = []
    whole = stages.finish

    def finish(data, settings, *rest):
        made.append(settings.outliers)
        if settings.outliers == first:
            raise ImplausibleError("no brain")
        return whole(data, settings, *rest)

    monkeypatch.setattr(stages, "finish", finish)
    mask = region(head())
    settings = Settings(bias_mm=0, starts=1, outliers=first, scale=1)
    found = segment([shot()], settings, mask=mask)
    assert made == [first, not first]
    assert found.settings.outliers is not first
    assert found.doubts[0] == f"it was fitted once more {'without' if first else 'with'} outliers"
    assert "came to nothing: no brain" in caplog.text
    monkeypatch.setattr(stages, "finish", lambda *_: (_ for _ in ()).throw(ImplausibleError("x")))
    caplog.clear()
    with pytest.raises(ImplausibleError, match=r"^x \(the same with.* outliers\)$"):
        segment([shot()], settings, mask=mask)
    assert "once more" not in caplog.text  # a refusal is one line


def test_other_images_may_have_any_volumes() -> None:
    other = Settings(contrast="other")
    for fractions in (shares(0.4, 0.59), shares(0.8, 0.1)):
        assert judged(findings(settings=other, fractions=fractions, human_ml=9e4)) == ()
    with pytest.raises(DataError, match="changed places"):
        judged(findings(settings=other, classes=levels(0, 5, 4)))


def test_priors_of_a_whole_brain_do_not_make_one_of_grey_matter_alone() -> None:
    """As means that ran away do; a part of a brain may be one, such as the cerebellum."""
    grey = {"atlas": True, "fractions": shares(0.1, 0.86)}
    with pytest.raises(ImplausibleError, match="22 times as much grey as white"):
        judged(findings(**grey))
    assert "22 times as much grey" in " ".join(judged(findings(**grey, human_ml=300.0)))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"classes": levels(0, 5, 6.5)}, "only 1.5 standard deviations apart"),
        ({"classes": levels(0, 2, 9)}, "fluid is nearer to grey matter"),
        ({"human_ml": 2500.0}, "2500 mL are much for a brain"),
        ({"fractions": shares(0.3, 0.1)}, "0.17 times as much grey as white matter"),
        ({"outliers": 0.04}, "4.0% of the voxels"),
        ({"widest_mm": 6.0}, "voxels of 6 mm are much wider than the cortex is thick"),
        (
            {"widest_mm": 3.0, "settings": Settings(contrast="neonate")},
            "than the cortex of a newborn is thick",
        ),
        ({"fractions": findings().fractions[:, ::-1]}, "of the fluid lie at the edge of the mask"),
        ({"fractions": findings().fractions[:, [0, 2, 1]]}, "of the grey matter lie at the edge"),
    ],
)
def test_what_a_person_must_judge_is_said(changed: dict[str, object], words: str) -> None:
    (doubt, *_) = judged(findings(**changed))
    assert words in doubt


def test_channels_tell_classes_apart_together() -> None:
    """Alike in one channel and three standard deviations apart in the other, which vary alike."""
    covariance = np.array([[4.0, 2.0], [2.0, 4.0]])
    classes = Classes(
        np.ones(2) / 2, np.array([[1.0, 0.0], [1.0, 6.0]]), np.array([covariance] * 2)
    )
    assert distance(classes) == pytest.approx(np.sqrt(36 / 3))


def test_bright_vessels_take_no_class() -> None:
    """A few voxels three times as bright as white matter: contrast agent, remnants of fat."""
    truth, image = head(), shot()
    voxels = image.voxels.copy()
    vessels = truth.mask & (RNG.random(voxels.shape) < 0.004)
    voxels[vessels] = 3 * np.quantile(voxels[truth.mask], 0.95)
    result = segment([Volume(voxels, image.affine)], mask=region(truth))
    assert min(dice(result, truth)) > 0.93
    odd = result.outliers > 0.5
    there = vessels[result.index]
    assert odd[there].mean() > 0.99
    assert odd[~there].mean() < 1e-3


def test_lengths_scale_with_the_brain() -> None:
    """The brain of a mouse: the same labels as at human size, and volumes in its own."""
    truth, image = head(), shot()
    tiny = np.diag([0.06, 0.06, 0.06, 1.0]) @ image.affine
    small, mask = Volume(image.voxels, tiny), Volume(region(truth).voxels, tiny)
    with pytest.raises(DataError, match=r"a brain of 0.4 mL is no human one.* say --scale 0.066"):
        segment([small], mask=mask)
    with pytest.raises(DataError, match="say --scale"):
        segment([Volume(np.where(truth.mask, image.voxels, 0), tiny)])
    large = segment([image], mask=region(truth))
    with pytest.raises(DataError, match=r"at a scale of 10 .* say --scale 0.066"):
        segment([small], Settings(scale=10), mask=mask)
    found = segment([small], Settings(scale=0.06), mask=mask)
    assert (found.labels == large.labels).mean() > 0.999
    np.testing.assert_allclose(found.volumes_ml, large.volumes_ml * 0.06**3, rtol=1e-3)
    np.testing.assert_allclose(found.volume_errors_ml, large.volume_errors_ml * 0.06**3, rtol=0.02)
    np.testing.assert_allclose(found.affine, tiny, rtol=1e-12)


@pytest.mark.parametrize(
    ("scale", "mask", "words"),
    [
        (10.0, "given", r"1\.\d+ m3 are no brain: is the size of the voxels, 30 x 30 x 30 mm"),
        (10.0, "found", r"1\.\d+ m3 are no brain"),
        (2.0, "given", r"1\.\d+e\+04 mL are no brain"),
        (0.1, "given", r"is the size of its voxels, 0.3 x 0.3 x 0.3 mm, in another unit"),
    ],
)
def test_brains_of_no_size_are_refused_before_the_fit(
    monkeypatch: pytest.MonkeyPatch, scale: float, mask: str, words: str
) -> None:
    monkeypatch.setattr("emrecon.tissue.segment.starting_points", None)
    truth, image = head(), shot()
    affine = np.diag([scale, scale, scale, 1.0]) @ image.affine
    stripped = Volume(np.where(truth.mask, image.voxels, 0).astype(np.float32), affine)
    given = Volume(region(truth).voxels, affine) if mask == "given" else None
    with pytest.raises(DataError, match=words):
        segment([stripped], mask=given)


@pytest.mark.parametrize("kind", ["white", "smooth", "magnitude"])
def test_noise_in_the_shape_of_a_brain_is_refused_before_the_fit(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("emrecon.tissue.segment.starting_points", None)
    mask = region(head())
    noise = RNG.normal(size=(2, *mask.voxels.shape))
    made = {
        "white": 300 + 20 * noise[0],
        "smooth": 300 + 200 * gaussian_filter(noise[0], 1.5),
        "magnitude": 50 * np.hypot(*noise),
    }
    image = Volume(made[kind].astype(np.float32), mask.affine)
    with pytest.raises(DataError, match="show no classes: they are spread as noise is"):
        segment([image], mask=mask)
    if kind != "smooth":
        with pytest.raises(DataError, match="show no classes"):
            segment([image], Settings(contrast="other", classes=3, scale=1), mask=mask)


def test_a_class_that_is_the_border_of_others_is_told() -> None:
    """A dark shell about a bright core, and what is between them in one layer of voxels."""
    index = np.indices((20, 20, 20)) - 9.5
    shell = np.abs(index).max(axis=0)
    labels = np.select([shell > 6, shell > 5], [0, 1], 2)
    everywhere = np.ones(labels.shape, bool)
    near = neighbourhood(26, (1.0, 1.0, 1.0))
    voxels = lattice(everywhere, np.ones((1, labels.size), np.float32), near)
    inner = inner_of(voxels, np.eye(3, dtype=np.float32)[labels[voxels.index]])
    assert inner[1] == 0
    assert min(inner[0], inner[2]) > 0.5
    (doubt,) = judged(findings(inner=inner))
    assert doubt.startswith("GM lies almost only on the border of others")


def test_blocks_larger_than_the_brain_are_not_made() -> None:
    fine = np.diag([0.02, 0.02, 0.02, 1.0])
    voxels = np.repeat(RNG.choice([30.0, 70.0, 100.0], (60, 60)), 60).reshape(60, 60, 60)
    voxels += RNG.normal(0, 4, voxels.shape)
    image = Volume(voxels.astype(np.float32), fine)
    mask = Volume(np.ones(voxels.shape, np.float32), fine)
    result = segment([image], Settings(scale=1, iterations=2, starts=2, bias_mm=0), mask=mask)
    assert len(result.stages) == 1


@pytest.mark.parametrize(
    ("name", "contrast", "wanted", "said"),
    [
        ("sub-01_T2w.nii.gz", "auto", "T2", "taken as T2 weighted, as its name says"),
        ("sub-01_T1w.nii.gz", "auto", "T1", ""),
        ("sub-01_T2w.nii.gz", "T1", "T1", "is named as T2w, but taken as T1 weighted"),
        ("sub-01_T1w.nii.gz", "T2", "T2", "is named as T1w, but taken as T2 weighted"),
        ("sub-01_T2w.nii.gz", "other", "other", ""),
        ("head.nii.gz", "auto", "auto", ""),
    ],
)
def test_names_of_bids_say_the_contrast(
    name: str, contrast: str, wanted: str, said: str, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    image = tmp_path / name
    nib.save(nib.Nifti1Image(np.full((9, 9, 9), 4.0, np.float32), np.eye(4)), image)
    job = SegmentationJob((image,), tmp_path / "out", Settings(contrast=contrast))
    assert job.settings.contrast == wanted
    with pytest.raises(DataError, match=r"constant|maps of an average brain"):
        job.begin()
    assert said in caplog.text
    assert bool(said) == ("is named as" in caplog.text or "is taken as" in caplog.text)


def test_names_of_unknown_contrasts_are_refused(tmp_path: Path) -> None:
    image = tmp_path / "sub-01_T2starw.nii.gz"
    nib.save(nib.Nifti1Image(RNG.random((9, 9, 9)).astype(np.float32), np.eye(4)), image)
    with pytest.raises(SettingsError, match=r"named as T2starw.*--contrast"):
        segment_files([image], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_white_matter_where_fluid_is_is_refused() -> None:
    """A T2-weighted image that is taken for T1."""
    with pytest.raises(ImplausibleError, match="lie at the edge of the mask"):
        segment([shot(contrast="T2")], Settings(iterations=4, starts=2), mask=region(head()))


def test_doubts_and_outliers_are_written(tmp_path: Path) -> None:
    """Of a brain in voxels that are too large."""
    truth, image = head(), shot()
    volume_ml = truth.mask.sum() * abs(np.linalg.det(image.affine[:3, :3])) / 1000
    affine = image.affine @ np.diag([*[(2500 / volume_ml) ** (1 / 3)] * 3, 1])
    nib.save(nib.Nifti1Image(image.voxels, affine), tmp_path / "t.nii.gz")
    nib.save(nib.Nifti1Image(truth.mask.astype(np.uint8), affine), tmp_path / "m.nii.gz")
    settings, files = Settings(iterations=4, starts=2), TissueInputs(mask=tmp_path / "m.nii.gz")
    segment_files([tmp_path / "t.nii.gz"], tmp_path / "out", settings, files)
    told = json.loads((tmp_path / "out" / "t_dseg.json").read_text())
    assert any("2500 mL are much for a brain" in line for line in told["Warnings"])
    odd = nib.load(tmp_path / "out" / "t_outliers.nii.gz")
    share = (np.asarray(odd.dataobj)[truth.mask] > 0.5).mean()
    assert share == pytest.approx(told["OutlierShare"], abs=1e-4)
