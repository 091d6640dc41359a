"""Deep nuclei nearly as bright as white matter are grey matter where an average brain has them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from emrecon.tissue.atlas import place
from emrecon.tissue.deep_grey import NUCLEI, log_odds
from emrecon.tissue.layout import SCARCE, Layout
from emrecon.tissue.maps import Average
from emrecon.tissue.segment import begin
from emrecon.tissue.settings import Settings
from emrecon.volume import Volume
from phantoms.mri import Brain, Scan, acquire, from_labels
from tests.tissue.test_head_cut import maps_elsewhere, truth

CODES = {"thalamus": (10, 49), "putamen": (12, 51), "pallidum": (13, 52)}


@cache
def codes(folder: Path) -> Volume:
    """Return the labels of a real brain in voxels of 2 mm."""
    file = folder / "brain_labels" / "synthseg_training_seg_01.nii.gz"
    if not file.exists():
        pytest.skip("no labels of a real brain")
    part = nib.load(file)
    labels = np.asarray(part.dataobj)[::2, ::2, ::2].astype(np.float32)
    return Volume(labels, part.affine @ np.diag([2.0, 2, 2, 1]))


def onto_average(labels: Volume) -> np.ndarray:
    """Return the affine map that brings the middles of the nuclei together, RAS+ mm."""
    places, theirs = [], []
    for nucleus in NUCLEI:
        for side, code in zip((-1, 1), CODES[nucleus.name], strict=True):
            index = np.argwhere(labels.voxels == code).mean(axis=0)
            places.append(labels.affine[:3, :3] @ index + labels.affine[:3, 3])
            theirs.append(np.array(nucleus.centre_mm) * (side, 1, 1))
    known = np.column_stack([places, np.ones(len(places))])
    solution = np.linalg.lstsq(known, np.array(theirs), rcond=None)[0]
    return np.vstack([solution.T, [0, 0, 0, 1]])


def test_log_odds_are_greatest_amid_a_nucleus_of_either_side_and_fall_outside() -> None:
    for n, nucleus in enumerate(NUCLEI):
        x, y, z = nucleus.centre_mm
        amid, other, beyond = log_odds(np.array([[x, y, z], [-x, y, z], [x, y, z + 40]]))[:, n]
        assert amid == other > 1
        assert beyond < -5
    assert log_odds(np.array([[0.0, -100, 60]])).max() <= -20


def test_nuclei_share_the_weight_of_their_class_and_leave_no_trace() -> None:
    plain = Layout.of(3, mixed=3, outliers=True)
    more = plain.with_nuclei(2, 1)
    assert more.gaussians == 5
    assert (more.fractions[3:5] == plain.fractions[1]).all()
    weights = np.linspace(1, 2, len(plain.mixing))
    weights = plain.spread(plain.gather(weights / weights.sum()))
    spread = more.spread(plain.gather(weights))
    assert spread.sum() == pytest.approx(weights.sum())
    np.testing.assert_allclose(spread[3:5], weights[1] * SCARCE)
    back = more.without_nuclei()
    for name in ("mixing", "fractions", "groups", "shares"):
        np.testing.assert_allclose(getattr(back, name), getattr(plain, name))
    known = more.known(3 + 2)
    np.testing.assert_array_equal(known[:, :3], more.fractions)
    np.testing.assert_array_equal(known[3:5, 3:], np.eye(2))
    assert known[:, 3:].sum() == 2


@pytest.mark.slow
def test_an_average_brain_lies_on_a_whole_brain_and_not_on_a_slab_of_it() -> None:
    inner = truth()
    image, _ = acquire(inner, Scan(bias_percent=0), np.random.default_rng(0))
    maps, affine = maps_elsewhere()
    whole = place(image, inner.mask, maps, affine)
    assert whole.matrix is not None
    middle = whole.matrix @ affine_of_middle(inner)
    theirs = affine @ np.linalg.inv(inner.affine) @ affine_of_middle(inner)
    assert np.linalg.norm(middle - theirs) < 3
    slab = inner.mask & (np.abs(np.arange(inner.mask.shape[2]) - 34) < 7)
    cut = place(image, slab, maps, affine)
    assert cut.matrix is None
    assert cut.why_not


def affine_of_middle(brain: Brain) -> np.ndarray:
    """Return the middle of a brain's grid in mm, as four numbers."""
    return brain.affine @ [*((np.array(brain.mask.shape) - 1) / 2), 1]


def test_nuclei_are_asked_for_of_t1_images_of_human_brains_alone() -> None:
    assert Settings().shows_nuclei
    for other in (
        {"contrast": "T2"}, {"contrast": "other"}, {"classes": 4}, {"scale": 0.4}, {"mixed": 0},
        {"deep_grey": "none"}, {"pure_means": False}, {"only_bias": True},
    ):  # fmt: skip
        assert not Settings(**other).shows_nuclei


@pytest.mark.slow
def test_nuclei_near_white_matter_are_grey_where_the_average_brain_has_them(
    shared_data: Path,
) -> None:
    labels = codes(shared_data)
    truth = from_labels(labels, 0.4)
    scan = Scan(noise_percent=2, bias_percent=0, deep_shift=0.9)
    image, _ = acquire(truth, scan, np.random.default_rng(4))
    mask = Volume(truth.mask.astype(np.float32), truth.affine)
    fit = begin([image], Settings(bias_mm=0), mask=mask)
    assert "no maps" in fit.average.why_not
    shares = []
    for average in (Average(), Average(onto_average(labels), 1.0)):
        placed = replace(fit, average=average)
        result = placed.finish(placed.stages(lambda *_: ()))
        deep = np.isin(labels.voxels[result.index], [c for own in CODES.values() for c in own])
        shares.append((result.labels[deep] == 2).mean())
        assert sorted(result.nuclei) == (sorted(CODES) if average.matrix is not None else [])
        assert len(result.classes.means) == 3
        for stage in result.stages:
            assert (np.diff(stage.trace) >= -1e-7 * stage.image.lattice.size).all()
    assert shares[1] > 0.75
    assert shares[0] < shares[1] - 0.1
