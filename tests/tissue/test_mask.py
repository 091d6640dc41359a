"""Which voxels are brain: stripped images are taken whole, heads are stripped."""

from pathlib import Path

import numpy as np
import pytest

from emrecon.cli.demo import simulate_t1
from emrecon.errors import DataError
from emrecon.io import read_image
from emrecon.tissue.find_brain import find_brain
from emrecon.tissue.mask import brain_mask, head_mask, shown_brain
from emrecon.tissue.settings import Settings
from emrecon.volume import Volume
from tests.tissue.test_segment import head, shot


@pytest.mark.parametrize("outside", [0, np.nan])
def test_what_is_shown_of_a_stripped_brain_is_brain(outside: float) -> None:
    image, inside = shot(), head().mask
    found = brain_mask(np.where(inside, image.voxels, outside), image.spacing_mm)
    assert np.array_equal(found, inside & (image.voxels > 0))


@pytest.mark.parametrize("background", [0.0, -1.25, np.nan])
def test_intensities_below_0_are_brain_too(background: float) -> None:
    """Images that were standardised within the brain have a mean of 0 there."""
    image, inside = shot(), head().mask
    scored = (image.voxels - image.voxels[inside].mean()) / image.voxels[inside].std()
    scored = np.where(inside, scored, background).astype(np.float32)
    assert np.array_equal(brain_mask(scored, image.spacing_mm), inside)


@pytest.mark.parametrize("background", [0.0, -1.25])
def test_what_an_interpolation_leaves_outside_is_no_brain(background: float, caplog) -> None:
    image, inside = shot(), head().mask
    scale = image.voxels[inside].mean()
    dust = np.random.default_rng(0).normal(background, 1e-4, inside.shape)
    bare = np.where(inside, image.voxels / scale, dust).astype(np.float32)
    found = brain_mask(bare, image.spacing_mm)
    assert (found != inside).sum() < 1e-3 * inside.sum()
    assert "was interpolated" in caplog.text


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("background", [0.0, np.nan])
def test_slices_that_were_lost_are_said(axis: int, background: float, caplog) -> None:
    image, inside = shot(), head().mask
    bare = np.where(inside, image.voxels, background).astype(np.float32)
    middle = bare.shape[axis] // 2
    np.moveaxis(bare, axis, 0)[middle - 1 : middle + 2] = background
    bare[1, 1, 1] = 30  # a speck beside a brain has nothing lost before it
    brain_mask(bare, image.spacing_mm)
    assert f"3 planes within the brain show nothing (axis {axis + 1})" in caplog.text
    assert caplog.text.count("planes within") == 1


@pytest.mark.parametrize(
    ("odd", "background"),
    [(np.inf, 0.0), (-np.inf, 0.0), (np.nan, 0.0), (np.inf, np.nan), (np.nan, -np.inf)],
)
def test_voxels_of_a_brain_that_are_not_finite_are_said(
    odd: float, background: float, caplog
) -> None:
    image, inside = shot(), head().mask
    bare = np.where(inside, image.voxels, background).astype(np.float32)
    brain_mask(bare, image.spacing_mm)
    assert not caplog.text
    middle = tuple(n // 2 for n in bare.shape)
    bare[middle] = bare[middle[0] + 3, middle[1], middle[2]] = odd
    assert not brain_mask(bare, image.spacing_mm)[middle]
    assert "2 voxels within the brain have no finite intensity" in caplog.text


def test_a_slab_may_be_of_a_brain_or_of_a_head() -> None:
    image = shot()
    bare = np.where(head().mask, image.voxels, 0)
    with pytest.raises(DataError, match="cut at several faces"):
        brain_mask(np.ascontiguousarray(bare[25:37]), image.spacing_mm)


def test_a_head_in_empty_air_is_stripped(shared_data: Path) -> None:
    whole = read_image(shared_data / "brain_real_t1" / "chris_t1_head.nii.gz")
    image = np.ascontiguousarray(whole.voxels[::2, ::2, ::2])
    spacing = tuple(2 * d for d in whole.spacing_mm)
    bare = np.pad(np.where(head_mask(image), image, 0), 2)  # shown nowhere at the faces
    volume_ml = brain_mask(bare, spacing).sum() * np.prod(spacing) / 1000
    assert 1200 < volume_ml < 1600


@pytest.mark.parametrize("bone", [False, True])
@pytest.mark.parametrize("bright_rim", [False, True])
def test_a_large_stripped_brain_is_none_of_a_head(*, bone: bool, bright_rim: bool) -> None:
    """Brains that were brought to the size of a template have up to 2300 mL; heads have bone."""
    grid = np.indices((70, 70, 70)) - 34.5
    deep = 84.0 - 3.0 * np.sqrt((grid**2).sum(axis=0))  # mm, of a ball of 2480 mL
    image = np.where(deep > 0, 300.0, 0.0)
    image[(deep > 0) & (deep < 4)] = 600.0 if bright_rim or bone else 100.0
    image[deep > 20] = 400.0
    if bone:
        image[(deep > 5) & (deep < 10)] = 20.0
    found = shown_brain(image.astype(np.float32), (3.0, 3.0, 3.0))
    assert (found is None) == bone
    assert bone or np.array_equal(found, deep > 0)


def test_both_hemispheres_are_kept_where_the_fissure_is_wide(tmp_path: Path) -> None:
    simulate_t1(tmp_path / "t1.nii.gz", tmp_path / "brain.nii.gz")
    image = read_image(tmp_path / "t1.nii.gz")
    brain = read_image(tmp_path / "brain.nii.gz").voxels > 0
    found = brain_mask(image.voxels, image.spacing_mm)
    middle = len(found) // 2
    assert found[:middle].sum() == pytest.approx(found[-middle:].sum(), rel=0.1)
    assert 2 * (found & brain).sum() / (found.sum() + brain.sum()) > 0.8  # 0.54 with one alone


@pytest.mark.parametrize("maps", [(), ("three maps",)])
def test_a_head_that_was_stripped_to_little_is_refused(monkeypatch, maps: tuple) -> None:
    small = np.zeros((50, 50, 50), bool)
    small[10:40, 10:40, 10:40] = True
    image = Volume(small.astype(np.float32), np.diag([2.0, 2, 2, 1]))
    room = "emrecon.tissue.find_brain"
    for name, answer in (("shown_brain", None), ("brain_mask", small), ("strip_with_maps", small),
                         ("stack", (None, None))):  # fmt: skip
        monkeypatch.setattr(f"{room}.{name}", lambda *_, answer=answer: answer)
    with pytest.raises(DataError, match="216 mL, which is little for a brain"):
        find_brain(image, Settings(), lambda: maps)
    found, how = find_brain(image, Settings(scale=1), lambda: maps)
    assert found is small
    assert how == ("maps" if maps else "intensities")
