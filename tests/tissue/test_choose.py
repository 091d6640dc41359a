"""The number of classes, and what independent voxels have to do with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from emrecon.cli import main
from emrecon.io import nifti
from emrecon.tissue.choose import compare_classes
from emrecon.tissue.settings import CANDIDATES, Settings
from emrecon.volume import Volume


def layered(noise: np.ndarray) -> Volume:
    """Three layers of 100, 200 and 300 with this noise."""
    levels = np.repeat([100.0, 200.0, 300.0], 12)[:, None, None]
    return Volume((levels + noise).astype(np.float32), np.eye(4))


def test_three_layers_are_three_classes() -> None:
    rng = np.random.default_rng(0)
    image = layered(rng.normal(0, 12, (36, 20, 20)))
    mask = Volume(np.ones((36, 20, 20), np.float32), np.eye(4))
    found = compare_classes([image], (2, 3, 4), Settings(mixed=0), mask=mask)
    assert min(found, key=lambda c: c.bic).classes == 3
    assert min(found, key=lambda c: c.icl).classes == 3
    best = found[1]
    assert best.gap > 5
    assert 0.7 * image.voxels.size < best.effective_voxels <= image.voxels.size


def files(tmp_path: Path) -> list[str]:
    """The layers and their mask, as arguments of the command."""
    image = layered(np.random.default_rng(0).normal(0, 12, (36, 20, 20)))
    for name, voxels in (("i.nii", image.voxels), ("m.nii", np.ones_like(image.voxels))):
        nifti.write(Volume(voxels, image.affine), tmp_path / name)
    mask = ["--mask", str(tmp_path / "m.nii"), "--bias-mm", "0", "--scale", "1"]
    return ["segment", str(tmp_path / "i.nii"), *mask, "-o", str(tmp_path / "out")]


def test_the_command_finds_the_number_and_the_layers(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main([*files(tmp_path), "--classes", "auto"])
    told = json.loads((tmp_path / "out" / "i_dseg.json").read_text())
    assert list(told["LabelMap"].values()) == ["class1", "class2", "class3"]
    compared = {one["classes"]: one["icl"] for one in told["ClassesCompared"]}
    assert set(compared) == set(CANDIDATES)
    assert min(compared, key=lambda number: compared[number]) == 3
    labels = nifti.read(tmp_path / "out" / "i_dseg.nii.gz").voxels
    assert (labels == np.repeat([1, 2, 3], 12)[:, None, None]).mean() > 0.99


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (["--classes", "auto", "--means", "1", "2", "3"], "of a given one"),
        (["--classes", "auto", "--labels", "i.nii"], "of a given one"),
        (["--classes", "auto", "--priors", "i.nii", "m.nii"], "of a given one"),
        (["--criterion", "bic"], "their number is given"),
    ],
)
def test_what_a_found_number_has_no_use_for_is_refused(
    more: list[str], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = [str(tmp_path / word) if word.endswith(".nii") else word for word in more]
    with pytest.raises(SystemExit) as ended:
        main([*files(tmp_path), *more])
    assert ended.value.code in {1, 2}
    assert why in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_smooth_noise_counts_for_fewer_voxels() -> None:
    rng = np.random.default_rng(1)
    smooth = gaussian_filter(rng.normal(size=(36, 20, 20)), 1.0)
    image = layered(12 * smooth / smooth.std())
    mask = Volume(np.ones((36, 20, 20), np.float32), np.eye(4))
    found = compare_classes([image], (2, 3), Settings(mixed=0), mask=mask)
    # a Gaussian of 1 voxel makes neighbours alike by exp(-1/4): (1 - r) / (1 + r) is 0.124
    expected = 0.124**3 * image.voxels.size
    assert expected / 2 < found[1].effective_voxels < 5 * expected  # the mean is taken off
