"""Given starts: labels and atlas lead where means do, and are refused when they cannot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from emrecon.errors import DataError, SettingsError
from emrecon.tissue.data import Data, prepare
from emrecon.tissue.data_checks import counted_from_0
from emrecon.tissue.layout import Layout
from emrecon.tissue.maps import Atlas
from emrecon.tissue.segment import segment
from emrecon.tissue.settings import Settings
from emrecon.tissue.user_starts import SURE, atlas_start, labels_start, means_start
from tests.tissue.test_segment import head, region, shot

pytestmark = pytest.mark.slow

LAYOUT = Layout.of(3, mixed=3)


def data() -> Data:
    return prepare(shot().voxels[None].copy(), head().mask, head().affine, 3)


def levels(contrast: str = "T1", least: float = 0.0) -> np.ndarray:
    """Return the mean intensity of the voxels that each tissue fills to that share or more."""
    values, sure = shot(contrast=contrast).voxels, head().fractions.max(axis=-1) > least
    return np.array([values[(head().labels == k) & sure].mean() for k in (1, 2, 3)])


def test_labels_and_atlas_start_from_the_means_of_their_voxels() -> None:
    labels = head().labels.astype(np.float32)
    labels[::2] = 0  # half of them unknown
    one = data()
    atlas = Atlas(np.ascontiguousarray(head().fractions, np.float32), head().affine, np.eye(4))
    from_labels = labels_start(labels, one, LAYOUT, Settings())
    from_atlas = atlas_start(atlas, one, LAYOUT, Settings())
    given = means_start(levels(), one, LAYOUT)
    for start, wanted in ((from_labels, levels()), (given, levels()),
                          (from_atlas, levels(least=SURE))):  # fmt: skip
        found = start.means[:, 0] * one.scale[0] + one.centre[0]
        np.testing.assert_allclose(found, wanted, rtol=0.02)


def test_given_means_are_those_of_the_image_though_it_is_counted_from_elsewhere() -> None:
    moved = prepare(shot().voxels[None] - np.float32(700), head().mask, head().affine, 3)
    counted = counted_from_0(moved, Settings())
    assert (counted.values >= 0).mean() > 0.99
    wanted = means_start(levels(), data(), LAYOUT).means
    np.testing.assert_allclose(
        means_start(levels() - 700, counted, LAYOUT).means, wanted, atol=1e-4
    )
    with pytest.raises(SettingsError, match=rf"\({np.nanmin(moved.values):g} to "):
        means_start(levels() - 9000, counted, LAYOUT)


def test_several_gaussians_share_a_label() -> None:
    layout = Layout.of(3, 2)
    start = labels_start(head().labels.astype(np.float32), data(), layout, Settings())
    assert start.means.shape == (6, 1)
    assert (np.diff(start.means[:, 0]) > 0).all()


def test_bright_fluid_needs_the_right_contrast() -> None:
    labels = head().labels.astype(np.float32)
    t2 = prepare(shot(contrast="T2").voxels[None].copy(), head().mask, head().affine, 3)
    start = labels_start(labels, t2, LAYOUT, Settings(contrast="T2"))
    found = start.means[:, 0] * t2.scale[0] + t2.centre[0]
    np.testing.assert_allclose(found[::-1], levels("T2"), rtol=0.05)
    with pytest.raises(DataError, match="order of brightness"):
        labels_start(labels, t2, LAYOUT, Settings())


@pytest.mark.parametrize(
    ("change", "words"), [(lambda x: x * 2, "labels 1 to 3"), (lambda x: x / 2, "whole numbers"),
                          (lambda x: np.where(x == 2, 0, x), "GM no voxel")],
)  # fmt: skip
def test_labels_that_cannot_be_are_refused(change: object, words: str) -> None:
    labels = change(head().labels.astype(np.float32))
    with pytest.raises(DataError, match=words):
        labels_start(labels, data(), LAYOUT, Settings())


def test_the_start_is_chosen_by_the_settings() -> None:
    few = Settings(iterations=1, bias_mm=0.0, starts=2)
    kinds = {}
    for kind in ("quantiles", "k-means"):
        found = segment([shot()], replace(few, start=kind), mask=region(head()))
        kinds[kind] = {o.start.split()[0] for o in found.optima}
    assert kinds == {"quantiles": {"quantiles"}, "k-means": {"k-means"}}
    labels = replace(region(head()), voxels=head().labels.astype(np.float32))
    found = segment([shot()], few, mask=region(head()), labels=labels)
    assert [o.start for o in found.optima] == ["labels"]
    with pytest.raises(SettingsError, match="no priors"):
        segment([shot()], replace(few, start="atlas"), mask=region(head()))
