"""Means of tissues come from flat voxels, in brains whose tissue is not what the model has."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from emrecon.tissue.segment import segment
from emrecon.tissue.settings import Settings
from emrecon.volume import Volume
from phantoms.mri import Brain, Scan, acquire, from_labels

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
    found, real = result.labels == 3, truth.labels[result.index] == 3
    return 2 * np.sum(found & real) / (found.sum() + real.sum()), found.sum() / real.sum() - 1


@pytest.mark.slow
def test_uneven_tissue_moves_white_matter_less(shared_data: Path) -> None:
    truth = folded(shared_data)
    with_all, too_much = white_matter(UNEVEN, truth, pure_means=False)
    with_flat, error = white_matter(UNEVEN, truth)
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
