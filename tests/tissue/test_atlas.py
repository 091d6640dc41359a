"""Tissue priors: laid on the image wherever its header puts it, and never the wrong way round."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, repeat
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from emrecon.em import em, until
from emrecon.errors import DataError, EmreconError, GeometryError, SettingsError
from emrecon.stop import after
from emrecon.tissue.align import Pose
from emrecon.tissue.atlas import align, lay, points, stack
from emrecon.tissue.settings import Settings
from emrecon.volume import Volume
from phantoms.mri import Scan, acquire, from_labels, grouped
from tests.tissue.test_segment import head, shot

pytestmark = pytest.mark.slow

LANDMARKS = np.array([[0, 0, 0, 1], [55, 0, 0, 1], [-55, 0, 0, 1], [0, 70, 0, 1], [0, -70, 0, 1],
                      [0, 0, 50, 1], [30, 30, -30, 1.0]])  # fmt: skip


def maps() -> tuple[np.ndarray, np.ndarray]:
    return np.ascontiguousarray(head().fractions, np.float32), head().affine


def moved(axis: str, degrees: float, shift: tuple[float, ...], scale: float) -> np.ndarray:
    out = np.eye(4)
    out[:3, :3] = scale * Rotation.from_euler(axis, degrees, degrees=True).as_matrix()
    out[:3, 3] = shift
    return out


def apart_mm(one: np.ndarray, two: np.ndarray) -> float:
    return float(np.linalg.norm(((one - two) @ LANDMARKS.T)[:3], axis=0).max())


@pytest.mark.parametrize(
    "truth",
    [
        moved("x", 20, (30, -40, 20), 1.0),
        moved("z", 25, (-10, 15, 35), 0.87),
    ],
)
def test_a_displaced_turned_and_scaled_atlas_is_found(truth: np.ndarray) -> None:
    brain, affine = maps()
    found = align(shot(), head().mask, brain, truth @ affine)
    assert apart_mm(found.matrix, truth) < 3.0  # one voxel: ellipsoids hardly show a turn
    assert found.explained > 0.3


def test_intensities_below_0_tell_as_much() -> None:
    """Those of a brain that was standardised are 0 in the mean."""
    brain, affine = maps()
    image, inside, truth = shot(), head().mask, moved("x", 10, (9, -12, 15), 1.0)
    scored = (image.voxels - image.voxels[inside].mean()) / image.voxels[inside].std()
    usual, found = (
        align(replace(image, voxels=voxels), inside, brain, truth @ affine)
        for voxels in (image.voxels, np.where(inside, scored, 0).astype(np.float32))
    )
    assert apart_mm(found.matrix, truth) < 3.0
    assert found.explained > 0.95 * usual.explained


@pytest.mark.parametrize("shift", [(250.0, 0, 0), (-150.0, 400.0, 90.0)])
def test_headers_far_apart_are_brought_together(
    shift: tuple[float, ...], caplog: pytest.LogCaptureFixture
) -> None:
    brain, affine = maps()
    truth = moved("x", 8, shift, 1.05)
    with caplog.at_level("INFO"):
        found = align(shot(), head().mask, brain, truth @ affine, called="those maps")
    assert apart_mm(found.matrix, truth) < 4.0  # ellipsoids hardly show a turn
    assert np.linalg.det(found.matrix[:3, :3]) > 0  # no mirror image
    assert "those maps were aligned: moved by" in caplog.text
    assert "those maps were moved by" in caplog.text
    assert "different origins" in caplog.text


def test_without_overlap_a_step_goes_nowhere() -> None:
    brain, affine = maps()
    far = points(shot(), head().mask, brain, moved("x", 0, (900.0, 0, 0), 1.0) @ affine, 12.0)
    begun = far.begin(np.eye(4))
    after_one = far.maximise(begun, far.expect(begun)[0])
    np.testing.assert_allclose(after_one.matrix, np.eye(4), atol=1e-6)


@pytest.mark.slow
def test_how_voxels_are_stored_does_not_matter() -> None:
    """A flip or a quarter turn in the handling of axes would put the atlas elsewhere."""
    brain, affine = maps()
    image, mask = shot(), head().mask
    turned = np.ascontiguousarray(image.voxels.transpose(2, 0, 1)[::-1])
    order = np.zeros((4, 4))
    order[[2, 0, 1, 3], [0, 1, 2, 3]] = 1
    back = np.diag([-1.0, 1, 1, 1])
    back[0, 3] = len(turned) - 1
    stored = Volume(turned, image.affine @ order @ back)
    found = align(stored, mask.transpose(2, 0, 1)[::-1], brain, affine)
    assert apart_mm(found.matrix, np.eye(4)) < 3.0
    at = np.argwhere(stored.voxels > 700)[::50]
    here = at @ stored.affine[:3, :3].T + stored.affine[:3, 3]
    index = np.rint((here - affine[:3, 3]) / 3).astype(int)
    np.testing.assert_allclose(
        np.abs(found.at(tuple(at.T), stored.affine) - brain[tuple(index.T)]).mean(), 0, atol=0.2
    )


@pytest.mark.parametrize(("axis", "degrees"), [("x", 180), ("y", 90)])
def test_a_header_that_turns_the_head_is_refused_or_mended(axis: str, degrees: float) -> None:
    brain, affine = maps()
    image = shot()
    turn = moved(axis, degrees, (0, 0, 0), 1.0)
    try:
        found = align(Volume(image.voxels, turn @ image.affine), head().mask, brain, affine)
    except DataError as error:
        assert "orientation" in str(error)  # noqa: PT017 - or it was mended
    else:
        assert apart_mm(found.matrix @ turn, np.eye(4)) < 3.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("truth", "outcome"),
    [
        (moved("x", 20, (30, -40, 20), 1.0), "found"),
        (moved("x", 180, (0, 0, 0), 1.0), "refused"),
        (np.diag([1.0, 1, -1, 1]), "refused"),
    ],
)
def test_folds_show_where_the_atlas_lies(
    truth: np.ndarray, outcome: str, shared_data: Path
) -> None:
    """The labels of a real brain, its own maps moved; upside down, or bottom and top mirrored."""
    file = shared_data / "brain_labels" / "synthseg_training_seg_01.nii.gz"
    if not file.exists():
        pytest.skip("no labels of a real brain")
    part = nib.load(file)
    codes = np.asarray(part.dataobj)[::2, ::2, ::2].astype(np.float32)
    real = from_labels(Volume(codes, part.affine @ np.diag([2.0, 2, 2, 1])))
    image = acquire(real, Scan(), np.random.default_rng(3))[0]
    brain = np.ascontiguousarray(real.fractions, np.float32)
    if outcome == "refused":
        with pytest.raises(DataError, match="orientation"):
            align(Volume(image.voxels, truth @ image.affine), real.mask, brain, real.affine)
    else:
        found = align(image, real.mask, brain, truth @ real.affine)
        assert apart_mm(found.matrix, truth) < 2.0


def test_the_likelihood_never_falls_and_its_slope_is_right() -> None:
    brain, affine = maps()
    model = points(shot(), head().mask, brain, moved("z", 10, (6, -4, 3), 1.05) @ affine, 8.0)
    begun = model.begin(np.eye(4))
    run = list(until(em(repeat(model), begun), after(15)))
    assert all(b.log_likelihood >= a.log_likelihood - 1e-8 for a, b in pairwise(run))
    assert run[-1].log_likelihood > run[0].log_likelihood
    seen, _ = model.expect(begun)
    for n in (0, 3, 7, 10):
        step = np.zeros(12)
        step[n] = 1e-5
        ends = [model.expect(Pose(model._moved(begun.matrix, s), begun.densities))[1]
                for s in (step, -step)]  # fmt: skip
        assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(seen.pull[n], rel=0.02, abs=1.0)


def volumes(count: int = 3) -> list[Volume]:
    brain, affine = maps()
    return [Volume(np.ascontiguousarray(brain[..., k]), affine) for k in range(count)]


def test_several_maps_make_up_a_class() -> None:
    parts = [*volumes(), volumes()[2]]
    brain, _ = stack(parts, 3, (1, 2, 3, 3))
    np.testing.assert_allclose(brain.sum(axis=3).max(), 1, atol=1e-5)
    with pytest.raises(SettingsError, match="stand for classes 1, 2, 3, 4"):
        stack(parts, 3, ())


@pytest.mark.parametrize(
    ("priors", "settings", "kind", "words"),
    [
        (volumes(2), Settings(), SettingsError, "as many priors"),
        ([Volume(v.voxels * 100, v.affine) for v in volumes()], Settings(), DataError, "from 0"),
        ([Volume(v.voxels * 0, v.affine) for v in volumes()], Settings(), DataError, "0 every"),
        ([Volume(v.voxels[1:], v.affine) for v in volumes()], Settings(align="none"),
         GeometryError, "--align"),
        ([*volumes(2), Volume(head().fractions[1:, ..., 2].copy(), head().affine)], Settings(),
         GeometryError, "prior 3"),
    ],
)  # fmt: skip
def test_priors_that_do_not_fit_are_refused(
    priors: list[Volume], settings: Settings, kind: type[EmreconError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        lay(priors, (), settings, shot(), head().mask)


@pytest.mark.slow
def test_a_real_brain_and_real_priors(shared_data: Path) -> None:
    """The atlas alone labels a real scan, also from a start far off; not when mirrored."""
    files = [shared_data / "brain_priors" / f"niftyseg_{name}_prior.nii.gz"
             for name in ("ECSF", "ICSF", "CGM", "DGM", "WM")]  # fmt: skip
    scan = shared_data / "brain_real_t1" / "niivue_norm.mgz"
    if not scan.exists() or not files[0].exists():
        pytest.skip("no real brain or no priors")
    parts = [nib.load(f) for f in files]
    brain, affine = stack(
        [Volume(np.asarray(p.dataobj, np.float32), p.affine) for p in parts], 3, (1, 1, 2, 2, 3)
    )
    image = nib.load(scan)
    codes = np.asarray(nib.load(scan.parent / "aparc.a2009s+aseg.mgz").dataobj)[::2, ::2, ::2]
    truth = grouped(codes)
    affine_2mm = image.affine @ np.diag([2.0, 2, 2, 1])
    voxels = np.ascontiguousarray(np.asarray(image.dataobj, np.float32)[::2, ::2, ::2])
    off = moved("x", 15, (25, -30, 20), 0.9)
    found = align(Volume(voxels, off @ affine_2mm), voxels > 0, brain, affine)
    at = np.nonzero(truth)
    scores = dice(found.at(at, off @ affine_2mm), truth[at])
    # maps of many people know folds only on average: 0.49 / 0.76 / 0.65, whatever the start
    assert scores[1] > 0.72
    assert scores[2] > 0.62
    # a right turn about each axis of what was found must fit far worse
    for axis in "xyz":
        for degrees in (90, 180):
            turn = moved(axis, degrees, (0, 0, 0), 1.0)
            wrong = dice(found.at(at, off @ turn @ affine_2mm), truth[at])
            assert wrong[2] < scores[2] - 0.08


def dice(chance: np.ndarray, truth: np.ndarray) -> list[float]:
    found = chance.argmax(axis=1) + 1
    return [
        2 * np.sum((found == k) & (truth == k)) / (np.sum(found == k) + np.sum(truth == k))
        for k in (1, 2, 3)
    ]
