"""Means of tissues come from flat voxels, in brains whose tissue is not what the model has."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import repeat
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from emrecon.em import em, until
from emrecon.neighbours import neighbourhood
from emrecon.stop import after
from emrecon.tissue.classes import Classes
from emrecon.tissue.field import Image
from emrecon.tissue.lattice import lattice
from emrecon.tissue.layout import Layout
from emrecon.tissue.local_level import LocalLevels, levelled, local_level
from emrecon.tissue.local_mixture import LocalMixture
from emrecon.tissue.moments import Prior, Rules
from emrecon.tissue.pure_means import (
    FLATTEST,
    flat_voxels,
    meeting_layout,
    noise_part,
    pure_means,
)
from emrecon.tissue.segment import segment
from emrecon.tissue.settings import Settings
from emrecon.volume import Volume
from phantoms.mri import Brain, Scan, acquire, from_labels, grouped

UNEVEN = Scan(
    noise_percent=2.0,
    texture_percent=(20.0, 5.0, 2.0),
    deep_shift=0.8,
    myelin=0.5,
    vessels=0.004,
)


@cache
def folded(folder: Path) -> Brain:
    """Return a brain with real folds in voxels of 2 mm: each as large as the cortex is thick."""
    file = folder / "brain_labels" / "synthseg_training_seg_01.nii.gz"
    if not file.exists():
        pytest.skip("no labels of a real brain")
    part = nib.load(file)
    codes = np.asarray(part.dataobj)[::2, ::2, ::2].astype(np.float32)
    return from_labels(Volume(codes, part.affine @ np.diag([2.0, 2, 2, 1])), 0.4)


def white_matter(scan: Scan, truth: Brain, **settings: object) -> tuple[float, float]:
    """Return Dice and relative error of the volume of white matter's labels."""
    image, _ = acquire(truth, scan, np.random.default_rng(4))
    mask = Volume(truth.mask.astype(np.float32), truth.affine)
    result = segment([image], Settings(**settings), mask=mask)
    for stage in result.stages:
        assert (np.diff(stage.trace) >= -1e-7 * stage.image.lattice.size).all()
    assert result.converged
    found, real = result.labels == 3, truth.labels[result.index] == 3
    return 2 * np.sum(found & real) / (found.sum() + real.sum()), found.sum() / real.sum() - 1


def test_flat_voxels_are_judged_without_themselves() -> None:
    """In noise alone the flat voxels have the mean and spread of all; beside an edge none is."""
    step = np.where(np.arange(30)[:, None, None] < 15, 0, 100) * np.ones((30, 30, 30))
    noisy = step + np.random.default_rng(5).normal(0, 10, step.shape)
    mask = np.ones(step.shape, bool)
    near = lattice(
        mask, noisy.reshape(1, -1).astype(np.float32), neighbourhood(6, (1.0, 1.0, 1.0))
    )
    values = noisy.reshape(1, -1)[:, near.order].astype(np.float32)
    image = Image(values, near, Rules(Layout.of(2)), np.zeros(1), np.ones(1))
    flat = flat_voxels(image, values)
    assert flat.mean() / (28 / 30) ** 3 == pytest.approx(FLATTEST, abs=0.05)
    where = near.index[0][flat]
    assert not np.isin(where, (0, 14, 15, 29)).any()
    dark = values[0, flat][where < 14]
    assert dark.mean() == pytest.approx(0, abs=0.5)
    assert dark.std() == pytest.approx(10, rel=0.03)


@pytest.mark.parametrize(("noise", "texture"), [(0.2, 0.0), (0.1, 0.2), (0.02, 0.2)])
def test_noise_is_told_from_what_neighbours_share(noise: float, texture: float) -> None:
    rng = np.random.default_rng(12)
    smooth = gaussian_filter(rng.standard_normal((40, 40, 40)), 4)
    level = texture * smooth / smooth.std() + rng.normal(0, noise, smooth.shape)
    near = lattice(
        np.ones(level.shape, bool), level.reshape(1, -1).astype(np.float32),
        neighbourhood(6, (1.0, 1.0, 1.0)),
    )  # fmt: skip
    values = level.reshape(1, -1)[:, near.order].astype(np.float32)
    image = Image(values, near, Rules(Layout.of(1)), np.zeros(1), np.ones(1))
    whole = Classes(np.ones(1), np.zeros(1), np.full(1, noise**2 + texture**2))
    flat = np.flatnonzero(flat_voxels(image, values))
    part = noise**2 / (noise**2 + texture**2)
    assert noise_part(image, values, flat, whole) == pytest.approx(part, rel=0.06, abs=0.005)


def pale() -> Image:
    """Return a brain of places with more or less white matter, hardly brighter than grey."""
    rng = np.random.default_rng(7)
    at = np.indices((48, 48, 48)) // 12
    white = 0.1 + 0.8 * ((at.sum(axis=0) % 4) / 3)
    drawn = rng.random(white.shape)
    tissue = np.where(drawn < white, 2, np.where(drawn < white + 0.06, 0, 1))
    level = np.array([-1.5, 0.0, 0.36])[tissue]
    mixed = (drawn > 0.9) * rng.uniform(-1.5, 0, white.shape)  # fluid with grey matter
    noisy = np.where(mixed < 0, mixed, level) + rng.normal(0, 0.17, white.shape)
    near = lattice(
        np.ones(white.shape, bool), noisy.reshape(1, -1).astype(np.float32),
        neighbourhood(6, (1.0, 1.0, 1.0)),
    )  # fmt: skip
    values = noisy.reshape(1, -1)[:, near.order].astype(np.float32)
    return Image(values, near, Rules(Layout.of(3)), np.zeros(1), np.ones(1))


def test_classes_hardly_distinct_are_told_by_their_shares_of_places() -> None:
    """A mixture of the whole takes mixed voxels for grey matter, and the tissues for white."""
    wrong = Classes(np.full(3, 1 / 3), np.array([-1.5, -0.9, 0.2]), np.array([0.1, 0.1, 0.05]))
    pure = pure_means(pale(), wrong, lambda _: False)
    assert pure is not None
    found, rivals, *_ = pure
    np.testing.assert_allclose(found.means[1:, 0], (0, 0.36), atol=0.03)  # mixed ones draw fluid
    assert rivals.shape == (2, 3, 1)


def test_mixed_voxels_of_sulci_draw_neither_fluid_nor_grey_matter() -> None:
    """Rival models, one of which has none of them, tell how far they would."""
    start = Classes(np.full(3, 1 / 3), np.array([-1.2, 0.1, 0.5]), np.array([0.1, 0.1, 0.05]))
    pure = pure_means(pale(), start, lambda _: False, (0, 1))
    assert pure is not None
    found, rivals, *_ = pure
    np.testing.assert_allclose(found.means[1:, 0], (0, 0.36), atol=0.02)
    own, *_, without, free = np.abs([found.means[0, 0] + 1.5, *(rivals[:, 0, 0] + 1.5)])
    assert free < own < 0.6 * without


@pytest.mark.parametrize(
    "layout", [Layout.of(3), Layout.of(3, mixed=3, pairs=((0, 1),)), meeting_layout(3, (0, 1))]
)
def test_a_local_mixture_never_gets_worse(layout: Layout) -> None:
    """Also of two channels, where each count is a voxel, and with mixed voxels."""
    rng = np.random.default_rng(8)
    values = rng.normal(size=(600, 2)) + rng.integers(0, 3, 600)[:, None]
    every = np.arange(len(values))
    prior = Prior(common=150.0)
    model = LocalMixture(values, every, every // 60, np.ones(len(every)), prior, layout)
    means = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
    start = Classes(np.full(3, 1 / 3), means, np.tile(np.eye(2), (3, 1, 1)))
    run = until(em(repeat(model), model.begin(start)), after(40))
    trace = np.array([one.log_likelihood for one in run])
    assert np.diff(trace).min() >= -1e-9 * abs(trace[0])
    assert trace[-1] > trace[0] + 5


def drifting() -> tuple[Image, NDArray[np.float64]]:
    """Return a brain whose grey matter is brighter in some places, and by how much in each voxel.

    White matter and fluid are as bright everywhere; half of each place is grey matter.
    """
    rng = np.random.default_rng(9)
    at = np.indices((48, 48, 48))
    drift = np.where(at[0] < 24, 0.1, -0.1)
    tissue = np.where(at[1] % 12 < 6, 1, np.where(at[2] % 12 < 6, 0, 2))
    level = np.choose(tissue, (-1.0, 0.0, 1.0)) + drift * (tissue == 1)
    noisy = level + rng.normal(0, 0.15, level.shape)
    near = lattice(
        np.ones(level.shape, bool), noisy.reshape(1, -1).astype(np.float32),
        neighbourhood(6, (1.0, 1.0, 1.0)),
    )  # fmt: skip
    values = noisy.reshape(1, -1)[:, near.order].astype(np.float32)
    image = Image(values, near, Rules(Layout.of(3)), np.zeros(1), np.ones(1))
    return image, np.where(tissue == 1, drift, 0).ravel()[near.order]


@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_grey_matter_is_made_as_bright_everywhere(scale: float) -> None:
    """Its drift goes; the other tissues' levels stay, and so does the order of intensities."""
    image, drift = drifting()
    own = replace(image, values=image.values * scale, scale=np.full(1, scale))
    grid = np.zeros((4, 4, 4))
    grid[:2], grid[2:] = 0.1, -0.1
    classes = Classes(np.full(3, 1 / 3), np.array([[-1.0], [0], [1]]), np.full((3, 1, 1), 0.04))
    made = levelled(own, classes, 1, grid, (12, 12, 12))
    even, was, plane = made.values[0] / scale, image.values[0], image.lattice.index[0]
    inner = np.abs(plane - 23.5) > 6  # between the middles of places it changes evenly
    sides = [inner & (drift > 0), inner & (drift < 0)]
    assert np.subtract(*(was[side].mean() for side in sides)) == pytest.approx(0.2, abs=0.01)
    assert abs(np.subtract(*(even[side].mean() for side in sides))) < 0.03
    np.testing.assert_allclose(even[np.abs(was) > 1], was[np.abs(was) > 1], atol=1e-6)
    for one in (plane == 2, plane == 40):
        assert (np.diff(even[one][np.argsort(was[one])]) > -1e-6).all()
    assert made.lowered is not None
    np.testing.assert_allclose(made.values - made.lowered, own.values, atol=1e-6 * scale)


def test_drift_is_found_in_flat_voxels() -> None:
    """A part of it, as each place starts with the common level."""
    image, drift = drifting()
    start = Classes(np.full(3, 1 / 3), np.array([[-1.0], [0], [1]]), np.full((3, 1, 1), 0.04))
    pure = pure_means(image, start, lambda _: False, (0, 1))
    assert pure is not None
    even = pure.image.values[0]
    assert 0.05 < even[drift > 0].mean() - even[drift < 0].mean() < 0.18
    none = pure_means(image, start, lambda _: False)
    assert none is not None
    assert none.image is image  # without fluid and grey matter


def test_local_levels_never_get_worse_and_have_no_mean() -> None:
    rng = np.random.default_rng(10)
    place = np.repeat(np.arange(20), 60)
    tissue = rng.integers(0, 3, len(place))
    own = rng.normal(0, 0.2, 20)
    values = tissue - 1.0 + own[place] * (tissue == 1) + rng.normal(0, 0.2, len(place))
    every = np.arange(len(place))
    layout = meeting_layout(3, (0, 1))
    mixture = LocalMixture(values[:, None], every, place, np.ones(len(place)), Prior(), layout)
    classes = Classes(np.full(3, 1 / 3), np.array([[-1.0], [0], [1]]), np.full((3, 1, 1), 0.04))
    model = LocalLevels(mixture, classes, 1)
    run = until(em(repeat(model), model.begin()), after(40))
    trace = np.array([one.log_likelihood for one in run])
    assert np.diff(trace).min() >= -1e-9 * abs(trace[0])
    assert trace[-1] > trace[0] + 5
    drift = local_level(mixture, classes, 1)
    assert np.corrcoef(drift, own)[0, 1] > 0.8
    assert abs(np.average(drift, weights=np.bincount(place[tissue == 1]))) < 0.02


@pytest.mark.slow
def test_uneven_tissue_moves_white_matter_less(shared_data: Path) -> None:
    truth = folded(shared_data)
    with_all, too_much = white_matter(UNEVEN, truth, pure_means=False)
    # every second label leaves cortex with holes, where fluid would meet white matter
    with_flat, error = white_matter(UNEVEN, truth, deep_grey="none")
    assert too_much > 0.1
    assert abs(error) < 0.85 * too_much
    assert with_flat > with_all + 0.005


@pytest.mark.slow
def test_even_tissue_loses_nothing(shared_data: Path) -> None:
    truth = folded(shared_data)
    with_all, _ = white_matter(Scan(), truth, pure_means=False)
    with_flat, error = white_matter(Scan(), truth)
    assert with_flat > with_all - 0.002
    assert abs(error) < 0.03


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "names"),
    [
        ("brain_real_vxm", ("T1.nii.gz", "labels.nii.gz")),
        ("brain_real_t1", ("niivue_norm.mgz", "aparc.a2009s+aseg.mgz")),
    ],
)
def test_fluid_of_ventricles_alone_is_found_where_a_mask_cuts_all_other(
    shared_data: Path, folder: str, names: tuple[str, str]
) -> None:
    """Labels above 0 are a mask that people use; a T2 has the order of tissues turned round.

    It is made of the T1 without its field, which multiplies that and would be added to this.
    """
    if not (shared_data / folder).exists():
        pytest.skip("no real brain")
    files = [nib.load(shared_data / folder / name) for name in names]
    image, labels = (np.asarray(file.dataobj, np.float32) for file in files)
    if labels.max() > 3:
        labels = grouped(labels)
    mask = Volume(np.float32(labels > 0), files[0].affine)
    volumes = []
    for contrast in ("T1", "T2"):
        settings = Settings(contrast=contrast, deep_grey="none")
        found = segment([Volume(image, files[0].affine)], settings, mask=mask)
        true_ml = np.bincount(labels[labels > 0].astype(int))[1:] * found.voxel_ml
        assert found.label_volumes_ml[0] < 1.4 * true_ml[0]
        assert found.volumes_ml[0] < 2 * true_ml[0]  # little of which is in many voxels of cortex
        assert np.abs(found.volumes_ml[1:] / true_ml[1:] - 1).max() < 0.07
        volumes.append(found.volumes_ml)
        image[found.index] = 250 - found.corrected[0]
    np.testing.assert_allclose(*volumes, rtol=0.01)
