"""From files to files: everything written, on the image's own grid, or nothing at all."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from emrecon.cli import main
from emrecon.errors import DataError, GeometryError, SettingsError, WriteError
from emrecon.io import nifti
from emrecon.jobs.segment import segment_files
from emrecon.tissue.inputs import TissueInputs
from emrecon.tissue.settings import Settings
from emrecon.volume import Volume
from tests.tissue.test_segment import head, shot

AFFINE = np.array([[-3.0, 0.1, 0, 80], [0.1, 3, 0, -90], [0, 0, 3, -70], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An oblique, mirrored image and its mask."""
    folder = tmp_path_factory.mktemp("brain")
    nib.save(nib.Nifti1Image(shot().voxels, AFFINE), folder / "t1.nii.gz")
    nib.save(nib.Nifti1Image(head().mask.astype(np.uint8), AFFINE), folder / "mask.nii.gz")
    return folder / "t1.nii.gz", folder / "mask.nii.gz"


def test_everything_is_written_on_the_same_grid(files: tuple[Path, Path], tmp_path: Path) -> None:
    image, mask = files
    _, written = segment_files([image], tmp_path / "out", Settings(), TissueInputs(mask=mask))
    assert written[0].name == "t1_dseg.nii.gz"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(p.name for p in written)
    labels = nib.load(written[0])
    assert labels.get_data_dtype() == np.uint8
    np.testing.assert_allclose(labels.affine, AFFINE, atol=1e-5)
    found = np.asarray(labels.dataobj)
    assert set(np.unique(found)) == {0, 1, 2, 3}
    assert (found[head().mask] == head().labels[head().mask]).mean() > 0.95
    total = np.zeros(found.shape)
    for name in ("CSF", "GM", "WM"):
        part = nib.load(tmp_path / "out" / f"t1_label-{name}_fraction.nii.gz")
        np.testing.assert_allclose(part.affine, AFFINE, atol=1e-5)
        total += np.asarray(part.dataobj)
    np.testing.assert_allclose(total, head().mask, atol=1e-3)
    table = (tmp_path / "out" / "t1_dseg.tsv").read_text().splitlines()
    assert table[0] == "index\tname\tcolor"
    assert table[3].split("\t")[:2] == ["3", "WM"]
    field = np.asarray(nib.load(tmp_path / "out" / "t1_biasfield.nii.gz").dataobj)
    corrected = np.asarray(nib.load(tmp_path / "out" / "t1_corrected.nii.gz").dataobj)
    inside = head().mask
    rounded = 0.5 / 4096 / field[inside].min()
    assert rounded < 2e-4
    np.testing.assert_allclose(
        (field * corrected)[inside], shot().voxels[inside], rtol=rounded + 1e-6
    )


def test_the_sidecar_says_how_it_came_about(files: tuple[Path, Path], tmp_path: Path) -> None:
    image, mask = files
    segment_files([image], tmp_path, Settings(iterations=2), TissueInputs(mask=mask))
    told = json.loads((tmp_path / "t1_dseg.json").read_text())
    assert told["LabelMap"] == {"1": "CSF", "2": "GM", "3": "WM"}
    low, high = told["Volumes"]["GM"]["Interval95ML"]
    assert low < told["Volumes"]["GM"]["FractionVolumeML"] < high
    assert np.shape(told["Errors"]["Means"]) == (3, 1)
    assert len(told["Inputs"]["channel1"]["SHA256"]) == 64
    assert told["Settings"]["iterations"] == 2
    assert told["MaskFrom"] == "given"
    volume_ml = head().mask.sum() * abs(np.linalg.det(AFFINE)) / 1000
    assert told["MaskVolumeML"] == pytest.approx(volume_ml, rel=1e-5)
    assert len(told["Starts"]) == 2 * Settings().starts  # each with outliers throughout, or late
    (trace,) = told["FreeEnergy"]
    assert (np.diff(trace) > -1e-4).all()


def test_a_prior_alone_is_refused_in_a_line(files: tuple[Path, Path], tmp_path: Path) -> None:
    image, mask = files
    with pytest.raises((DataError, SettingsError), match="prior"):
        segment_files([image], tmp_path / "out", Settings(), TissueInputs(mask, priors=(mask,)))
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_when_it_fails(files: tuple[Path, Path], tmp_path: Path) -> None:
    flat = tmp_path / "flat.nii.gz"
    nib.save(nib.Nifti1Image(np.full((9, 9, 9), 4.0, np.float32), np.eye(4)), flat)
    with pytest.raises(DataError):
        segment_files([flat], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    for none in ([], [Path()]):
        with pytest.raises(SettingsError, match="no image"):
            segment_files(none, tmp_path / "out")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WriteError):
        segment_files(
            [files[0]], tmp_path / "file", Settings(iterations=1), TissueInputs(mask=files[1])
        )


def test_the_header_of_the_input_is_kept(tmp_path: Path) -> None:
    """Codes, units, description, and a qform that differs from the sform."""
    source = tmp_path / "t1.nii.gz"
    image = nib.Nifti1Image(np.zeros((4, 5, 6), np.int16), None)
    metres = np.diag([1e-3, 1e-3, 1e-3, 1]) @ AFFINE
    image.set_qform(np.diag([3e-3, 3e-3, 3e-3, 1]), 1)
    image.set_sform(metres, 4)
    image.header.set_xyzt_units("meter", "msec")
    image.header["descrip"], image.header["aux_file"] = b"a scan", b"beside"
    image.header["cal_max"] = 7
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"a name"))
    nib.save(image, source)
    read = nifti.read(source)
    labels = Volume(np.ones((4, 5, 6), np.float32), read.affine)
    nifti.write(labels, tmp_path / "l.nii.gz", labels=True, like=source, intent="label")
    one, two = nib.load(source).header, nib.load(tmp_path / "l.nii.gz").header
    for name in ("qform_code", "sform_code", "xyzt_units", "descrip", "aux_file"):
        assert one[name] == two[name]
    np.testing.assert_array_equal(one.get_sform(), two.get_sform())
    np.testing.assert_array_equal(one.get_qform(), two.get_qform())
    assert two.get_intent()[0] == "label"
    assert two.get_data_dtype() == np.uint8
    assert not two.extensions
    assert two["cal_max"] == 0
    np.testing.assert_allclose(nifti.read(tmp_path / "l.nii.gz").affine, AFFINE, atol=1e-4)
    np.testing.assert_array_equal(nifti.read(tmp_path / "l.nii.gz").voxels, 1)


@pytest.mark.slow
def test_labels_of_another_image_are_not_written_over(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two images of one name, in folders of their own, have one default folder for results."""
    image, mask = files
    other = tmp_path / "b" / image.name
    other.parent.mkdir()
    nib.save(nib.Nifti1Image(shot().voxels * 2, AFFINE), other)

    def code(path: Path, *more: str) -> object:
        tokens = ["segment", path, "--mask", mask, "--iterations", 1, "--starts", 1, *more]
        with pytest.raises(SystemExit) as left:
            main([*map(str, tokens), "-o", str(tmp_path / "out")])
            raise SystemExit(0)
        return left.value.code

    labels = tmp_path / "out" / "t1_dseg.nii.gz"
    assert not code(image)
    assert not code(image)
    before = labels.read_bytes()
    assert code(other) == 1
    assert "does not come of" in capsys.readouterr().err
    assert labels.read_bytes() == before
    assert not code(other, "--overwrite")
    labels.with_name("t1_dseg.json").unlink()
    assert code(other) == 1


@pytest.mark.slow
def test_the_command_takes_priors_and_estimates_the_field(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    image, mask = files
    maps = []
    for k, name in enumerate(("csf", "gm", "wm")):
        maps.append(tmp_path / f"{name}.nii.gz")
        nib.save(nib.Nifti1Image(head().fractions[..., k], AFFINE), maps[-1])
    tokens = ["segment", image, "--mask", mask, "--priors", *maps, "--prior-classes", 1, 2, 3,
              "--align", "none", "--start", "atlas", "--beta", "auto", "--bias-mm", 0]  # fmt: skip
    with pytest.raises(SystemExit) as left:
        main([*map(str, tokens), "-o", str(tmp_path / "out")])
        raise SystemExit(0)
    assert not left.value.code
    told = json.loads((tmp_path / "out" / "t1_dseg.json").read_text())
    assert [start["Start"] for start in told["Starts"]] == ["atlas"]
    assert 0 < told["Beta"] != 1.0
    np.testing.assert_array_equal(told["Atlas"]["ImageToAtlasMM"], np.eye(4))
    found = np.asarray(nib.load(tmp_path / "out" / "t1_dseg.nii.gz").dataobj)
    assert (found[head().mask] == head().labels[head().mask]).mean() > 0.95


def test_one_volume_of_a_4d_image_is_segmented(files: tuple[Path, Path], tmp_path: Path) -> None:
    image, mask = files
    voxels = nib.load(image).get_fdata(dtype=np.float32)
    both = tmp_path / "both.nii.gz"
    nib.save(nib.Nifti1Image(np.stack([np.ones_like(voxels), voxels], -1), AFFINE), both)
    alone = Settings(iterations=1, starts=1)
    with pytest.raises(GeometryError, match=r"2 volumes .* --volume"):
        segment_files([both], tmp_path / "out", alone, TissueInputs(mask=mask))
    with pytest.raises(SettingsError, match="volumes 1 to 2"):
        segment_files([both], tmp_path / "out", alone, TissueInputs(mask=mask, volume=3))
    with pytest.raises(SettingsError, match="one volume alone"):
        segment_files([image], tmp_path / "out", alone, TissueInputs(mask=mask, volume=1))
    assert not (tmp_path / "out").exists()
    chosen = TissueInputs(mask=mask, volume=2)
    _, written = segment_files([both], tmp_path / "out", alone, chosen)
    _, wanted = segment_files([image], tmp_path / "other", alone, TissueInputs(mask=mask))
    labels = nib.load(written[0])
    assert labels.shape == voxels.shape
    assert np.array_equal(labels.get_fdata(), nib.load(wanted[0]).get_fdata())
    told = json.loads((tmp_path / "out" / "both_dseg.json").read_text())
    assert told["Settings"]["volume"] == 2
