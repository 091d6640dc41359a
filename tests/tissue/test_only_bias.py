"""The bias field alone: what is written, and how near it comes to the one that was simulated."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from emrecon.errors import SettingsError, WriteError
from emrecon.jobs.segment import SegmentationJob, segment_files
from emrecon.tissue.inputs import TissueInputs
from emrecon.tissue.settings import Settings
from emrecon.volume import Grid
from phantoms.brain import brain
from phantoms.mri import Scan, acquire, from_phantom


@pytest.mark.slow
def test_the_field_alone_is_that_of_the_simulation(tmp_path: Path) -> None:
    grid = Grid.centred((60, 72, 68), (3.0, 3.0, 3.0))
    truth = from_phantom(brain(), {3: 1, 4: 2, 5: 3, 6: 2, 7: 2}, grid, finer=2)
    scan = Scan(noise_percent=4, bias_percent=40)
    image, field = acquire(truth, scan, np.random.default_rng(2))
    t1, mask = tmp_path / "t1.nii.gz", tmp_path / "mask.nii.gz"
    nib.save(nib.Nifti1Image(image.voxels, grid.affine), t1)
    nib.save(nib.Nifti1Image(truth.mask.astype(np.uint8), grid.affine), mask)
    settings, files = Settings(only_bias=True), TissueInputs(mask=mask)
    _, written = segment_files([t1], tmp_path / "out", settings, files)
    job = SegmentationJob((t1,), tmp_path / "out", settings, files)
    assert set(written) == set(job.outputs()) == set((tmp_path / "out").iterdir())
    inside = truth.mask
    found, mended = (np.asarray(nib.load(path).dataobj)[inside] for path in written[:2])
    np.testing.assert_allclose(found * mended, image.voxels[inside], rtol=1e-3)
    off = np.log(found) - np.log(field[inside])
    assert np.log(field[inside]).std() > 0.07
    assert off.std() < 0.015  # a common factor is no part of a bias field
    told = json.loads((tmp_path / "out" / "t1_biasfield.json").read_text())
    assert told["Settings"]["only_bias"] is True
    t1.write_bytes(mask.read_bytes())
    with pytest.raises(WriteError, match="does not come of"):
        job.keep_others()


def test_a_field_that_is_not_modelled_cannot_be_had_alone() -> None:
    with pytest.raises(SettingsError, match="bias_mm 0 has none"):
        Settings(only_bias=True, bias_mm=0)
