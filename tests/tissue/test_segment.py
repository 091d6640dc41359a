"""From images to tissue: right on simulated brains, and clear about what cannot be done."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from emrecon.errors import DataError, GeometryError, SettingsError
from emrecon.tissue.data import on_grid
from emrecon.tissue.result import Segmentation
from emrecon.tissue.segment import begin, segment
from emrecon.tissue.settings import Settings
from emrecon.volume import Grid, Volume
from phantoms.brain import brain
from phantoms.mri import Brain, Scan, acquire, from_phantom

TISSUE_OF = {3: 1, 4: 2, 5: 3, 6: 2, 7: 2}


@cache
def head() -> Brain:
    return from_phantom(brain(), TISSUE_OF, Grid.centred((56, 64, 60), (3.0, 3.0, 3.0)))


def shot(**scan: object) -> Volume:
    return acquire(head(), Scan(**scan), np.random.default_rng(3))[0]


def region(truth: Brain) -> Volume:
    return Volume(truth.mask.astype(np.float32), truth.affine)


def dice(result: Segmentation, truth: Brain) -> list[float]:
    found, real = result.labels, truth.labels[result.index]
    return [
        2 * np.sum((found == k) & (real == k)) / (np.sum(found == k) + np.sum(real == k))
        for k in (1, 2, 3)
    ]


@pytest.mark.slow
def test_tissue_bias_and_volumes_are_found() -> None:
    truth = head()
    image, field = acquire(truth, Scan(bias_percent=40.0), np.random.default_rng(3))
    result = segment([image], mask=region(truth))
    assert result.names == ("CSF", "GM", "WM")
    assert min(dice(result, truth)) > 0.95
    log_error = np.log(result.field[0]) - np.log(field[result.index])
    assert log_error.std() < 0.25 * np.log(field[result.index]).std()
    np.testing.assert_allclose(result.volumes_ml, truth.volumes_ml, rtol=0.04)
    np.testing.assert_allclose(result.fractions.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, atol=1e-5)
    wrong = np.sqrt(np.mean((result.fractions - truth.fractions[result.index]) ** 2))
    assert wrong < 0.12
    for stage in result.stages:
        assert (np.diff(stage.trace) >= -1e-4).all()
    again = segment([image], mask=region(truth))
    np.testing.assert_array_equal(result.fractions, again.fractions)


@pytest.mark.slow
def test_an_even_image_acquires_no_field() -> None:
    result = segment([shot(bias_percent=0.0)], mask=region(head()))
    assert np.log(result.field[0]).std() < 0.01
    off = segment([shot(bias_percent=0.0)], Settings(bias_mm=0.0), mask=region(head()))
    np.testing.assert_array_equal(off.field, 1)
    assert min(dice(off, head())) > 0.95


@pytest.mark.slow
def test_channels_help_and_may_be_missing() -> None:
    truth = head()
    one = shot(noise_percent=9.0)
    two = shot(contrast="T2", noise_percent=9.0)
    three = shot(contrast="PD", noise_percent=9.0)
    holes = two.voxels.copy()
    holes[:, :, ::5] = np.nan
    result = segment([one, Volume(holes, two.affine), three], mask=region(truth))
    alone = segment([one], mask=region(truth))
    assert np.mean(dice(result, truth)) > np.mean(dice(alone, truth)) + 0.005
    assert np.isnan(result.corrected[1]).mean() == pytest.approx(0.2, abs=0.02)
    assert np.isfinite(result.fractions).all()


@pytest.mark.slow
def test_contrast_names_the_classes() -> None:
    image = shot(contrast="T2")
    result = segment([image], Settings(contrast="T2"), mask=region(head()))
    assert result.names == ("CSF", "GM", "WM")
    assert (np.diff(result.classes.means[:, 0]) < 0).all()
    assert dice(result, head())[0] > 0.9
    numbered = segment([image], Settings(contrast="other"), mask=region(head()))
    assert numbered.names == ("class1", "class2", "class3")
    np.testing.assert_array_equal(numbered.labels, 4 - result.labels)


def test_priors_mend_what_intensity_cannot_tell() -> None:
    truth = head()
    image = shot(noise_percent=20.0)
    maps = [Volume(np.ascontiguousarray(truth.fractions[..., k]), truth.affine) for k in range(3)]
    settings = Settings(bias_mm=0.0)
    without = segment([image], settings, mask=region(truth))
    helped = segment([image], settings, mask=region(truth), priors=maps)
    assert np.mean(dice(helped, truth)) > np.mean(dice(without, truth)) + 0.03
    with pytest.raises(SettingsError, match="as many priors"):
        segment([image], settings, mask=region(truth), priors=maps[:2])


def test_lesions_are_left_out_and_means_are_obeyed() -> None:
    truth = head()
    left_out = np.zeros(truth.mask.shape, np.float32)
    left_out[:20] = 1
    image = shot()
    result = segment(
        [image], mask=region(truth), exclude=Volume(left_out, truth.affine),
        means=np.array([300.0, 750.0, 1000.0]),
    )  # fmt: skip
    assert result.index[0].min() >= 20
    assert [o.start for o in result.optima] == ["given"]
    with pytest.raises(SettingsError, match="need as many means"):
        segment([image], mask=region(truth), means=np.array([1.0, 2.0]))


def test_a_stripped_image_needs_no_mask() -> None:
    truth = head()
    image = shot()
    bare = Volume(np.where(truth.mask, image.voxels, 0), image.affine)
    result = segment([bare])
    assert len(result.fractions) == np.count_nonzero(bare.voxels)
    assert min(dice(result, truth)) > 0.95


@pytest.mark.slow
def test_intervals_hold_the_true_volumes() -> None:
    """Eight draws; the benchmark makes a hundred."""
    truth = head()
    held = np.zeros(3)
    for draw in range(8):
        image, _ = acquire(truth, Scan(noise_percent=5.0), np.random.default_rng(draw))
        result = segment([image], mask=region(truth))
        low, high = result.intervals_ml.T
        held += (low <= truth.volumes_ml) & (truth.volumes_ml <= high)
        assert (high - low < 0.65 * truth.volumes_ml).all()  # most voxels of 3 mm are mixed
    assert (held >= 7).all()


def grid(values: np.ndarray) -> Volume:
    return Volume(values.astype(np.float32), np.eye(4))


NOISE = np.random.default_rng(0).normal(100, 10, (12, 12, 12))


@pytest.mark.parametrize(
    ("image", "mask", "kind", "words"),
    [
        (NOISE, np.zeros((12, 12, 12)), DataError, "mask is empty"),
        (np.full((12, 12, 12), 7.0), np.ones((12, 12, 12)), DataError, "1 distinct intensities"),
        (np.where(NOISE > 100, 1.0, 2.0), np.ones((12, 12, 12)), DataError, "2 distinct"),
        (np.full((12, 12, 12), np.nan), np.ones((12, 12, 12)), DataError, "finite intensity"),
        (np.full((12, 12, 12), 7.0), None, DataError, "constant"),
        (np.zeros((12, 12, 12)), None, DataError, "0 or missing everywhere"),
        (np.zeros((12, 12, 12)), np.ones((12, 12, 12)), DataError, "does the mask fit"),
        (np.stack([NOISE, NOISE]), np.ones((12, 12, 12)), GeometryError, "2 volumes"),
        (NOISE, np.ones((5, 5, 5)), GeometryError, "does not lie on"),
    ],
)
def test_bad_input_is_refused(
    image: np.ndarray, mask: np.ndarray | None, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        segment([grid(image)], mask=None if mask is None else grid(mask))


def test_a_second_grid_is_resampled_only_when_asked() -> None:
    truth = head()
    one, two = shot(), shot(contrast="T2")
    shifted = Volume(two.voxels[1:], two.affine @ np.array(
        [[1, 0, 0, 1.0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))  # fmt: skip
    with pytest.raises(GeometryError, match=r"channel 2 .* resample"):
        segment([one, shifted], mask=region(truth))
    result = segment([one, shifted], Settings(resample=True), mask=region(truth))
    assert min(dice(result, truth)) > 0.9


@pytest.mark.parametrize(
    "wrong",
    [{"classes": 0}, {"classes": 1}, {"mixed": -1}, {"gaussians": 2}, {"beta": -1.0},
     {"bias_mm": 5.0}, {"bias_mm": float("nan")}, {"starts": 0}, {"iterations": 0},
     {"scale": 0.0}, {"scale": float("inf")}, {"seed": -1}, {"classes": 10**9}, {"starts": 10**9},
     {"tolerance": float("inf")}, {"beta": float("nan")}, {"weight_prior": 1e9}],
)  # fmt: skip
def test_senseless_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingsError):
        Settings(**wrong)


@pytest.mark.parametrize(
    "means", [[1e9, 2e9, 3e9], [500.0, 500.0, 500.0], [np.nan, 500.0, 900.0], [-np.inf, 1.0, 2.0]]
)
def test_means_that_the_image_cannot_have_are_refused(means: list[float]) -> None:
    with pytest.raises(SettingsError, match="means are distinct intensities of the image"):
        segment([shot()], mask=region(head()), means=np.array(means))


@pytest.mark.parametrize(
    ("settings", "more", "words"),
    [
        ({"align": "affine"}, {}, "align is about priors"),
        ({"atlas_weight": 1.0}, {}, "atlas_weight is about priors"),
        ({}, {"prior_classes": [1, 2, 3]}, "prior_classes is about priors"),
        ({}, {"means": np.arange(3.0), "labels": shot()}, "one of the two"),
    ],
)
def test_what_would_have_no_effect_is_refused(settings, more, words) -> None:
    with pytest.raises(SettingsError, match=words):
        segment([shot()], Settings(**settings), mask=region(head()), **more)


def test_no_image_is_refused() -> None:
    with pytest.raises(DataError, match="no image"):
        segment([])


def test_more_threads_than_there_are_are_refused() -> None:
    with pytest.raises(SettingsError, match="threads wanted"):
        segment([], Settings(threads=9999))


@pytest.mark.parametrize(("moved_mm", "same"), [(0.002, True), (0.05, True), (0.08, False)])
def test_grids_that_a_header_rounds_are_one(moved_mm: float, same: bool) -> None:  # noqa: FBT001
    """Of voxels of 3 mm; a mask further off is refused with the distance."""
    image, moved = shot(), region(head()).affine.copy()
    moved[0, 3] += moved_mm
    mask = Volume(head().mask.astype(np.float32), moved)
    if same:
        np.testing.assert_array_equal(
            on_grid(mask, image, "the mask", 0, resample=False), mask.voxels
        )
    else:
        with pytest.raises(GeometryError, match=r"up to 0.08 mm apart.*--resample"):
            on_grid(mask, image, "the mask", 0, resample=False)


@pytest.mark.slow
def test_an_image_that_was_standardised_has_the_tissues_and_the_field_of_the_image(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A field taken for one about the mean would cost a tenth of grey and white matter's Dice."""
    image = shot(bias_percent=40.0)
    inside = image.voxels[head().mask]
    standard = Volume((image.voxels - inside.mean()) / inside.std(), image.affine)
    own = segment([image], mask=region(head()))
    assert "below 0" not in caplog.text
    result = segment([standard], mask=region(head()))
    assert "of channel 1 are below 0" in caplog.text
    np.testing.assert_allclose(dice(result, head()), dice(own, head()), atol=0.005)
    assert np.corrcoef(np.log(result.field[0]), np.log(own.field[0]))[0, 1] > 0.99
    step, own_step = (np.diff(one.classes.means[:, 0]) for one in (result, own))
    np.testing.assert_allclose(step * inside.std(), own_step, rtol=0.1)


@pytest.mark.parametrize(("shift", "bias_mm"), [(0, 100), (-700, 100), (-700, 0)])
def test_only_where_a_field_multiplies_it_an_image_below_0_is_counted_from_its_least(
    shift: float, bias_mm: float, caplog: pytest.LogCaptureFixture
) -> None:
    image = shot()
    other = Volume(np.full_like(image.voxels, 100) + image.voxels, image.affine)
    shifted = Volume(image.voxels + np.float32(shift), image.affine)
    fit = begin([shifted, other], Settings(starts=1, bias_mm=bias_mm), mask=region(head()))
    moved = shift < 0 and bias_mm > 0
    assert ("channel 1 are below 0" in caplog.text) == moved
    assert "channel 2" not in caplog.text
    inside = [one.voxels[head().mask] for one in (shifted, other)]
    least = np.quantile(inside[0], 0.001) if moved else 0
    np.testing.assert_allclose(np.median(fit.data.values[0]), np.median(inside[0]) - least)
    np.testing.assert_allclose(fit.data.centre, np.median(fit.data.values, axis=1), rtol=0.02)
    np.testing.assert_array_equal(fit.data.values[1], np.minimum(inside[1], fit.data.high[1]))
