"""Images that are converted: what NIfTI knows of them is kept."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from emrecon import jobs
from emrecon.errors import FormatError
from emrecon.jobs.convert import ConversionJob

AFFINE = np.array([[-2.0, 0, 0, 90], [0, 2, 0, -126], [0, 0, 3, -72], [0, 0, 0, 1]])
SHAPE = (4, 5, 6)


def converted(source: Path, ending: str = ".nii.gz") -> nib.Nifti1Image:
    out = source.parent / f"out{ending}"
    jobs.run(ConversionJob(source, out))
    return nib.load(out)


@pytest.mark.parametrize("make", [nib.Nifti1Image, nib.Nifti2Image, nib.Nifti1Pair])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint32, np.int64, np.float64])
def test_header_and_numbers_are_kept(tmp_path: Path, make, order: str, kind) -> None:
    numbers = np.arange(4 * 5 * 6 * 3).reshape(*SHAPE, 3).astype(kind)
    numbers[0, 0, 0, 0] = np.iinfo(kind).max if np.issubdtype(kind, np.integer) else 1e300
    header = make.header_class(endianness=order)
    header.set_data_dtype(np.dtype(kind).newbyteorder(order))
    image = make(numbers, AFFINE, header, dtype=np.dtype(kind).newbyteorder(order))
    image.set_qform(AFFINE, 2)
    image.set_sform(AFFINE, 4)
    image.header.set_xyzt_units("mm", "msec")
    image.header["pixdim"][4] = 720
    image.header.set_intent("t test", (17,), name="faces")
    image.header["descrip"] = b"smoothed"
    image.header["cal_max"] = 40
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Ann Smith"))
    source = tmp_path / ("a.img" if make is nib.Nifti1Pair else "a.nii")
    image.to_filename(source)
    out = converted(source)
    assert out.get_data_dtype() == np.dtype(kind).newbyteorder(order)
    np.testing.assert_array_equal(out.dataobj.get_unscaled(), numbers)
    np.testing.assert_array_equal(out.affine, AFFINE)
    header = out.header
    assert header.get_zooms()[3] == 720
    assert header.get_xyzt_units() == ("mm", "msec")
    assert (int(header["qform_code"]), int(header["sform_code"])) == (2, 4)
    assert header.get_intent() == ("t test", (17.0,), "faces")
    assert (bytes(header["descrip"].item()), float(header["cal_max"])) == (b"smoothed", 40)
    assert not header.extensions


def test_scaled_numbers_keep_their_slope(tmp_path: Path) -> None:
    numbers = np.arange(120, dtype=np.int16).reshape(SHAPE)
    image = nib.Nifti1Image(numbers, AFFINE)
    image.header.set_slope_inter(0.25, -7)
    image.to_filename(tmp_path / "a.nii")
    source = nib.load(tmp_path / "a.nii")
    out = converted(tmp_path / "a.nii", ".nii")
    assert (out.dataobj.slope, out.dataobj.inter) == (source.dataobj.slope, source.dataobj.inter)
    np.testing.assert_array_equal(out.get_fdata(), source.get_fdata())


def test_labels_of_mgh_stay_whole_numbers(tmp_path: Path) -> None:
    labels = np.arange(120, dtype=np.int32).reshape(SHAPE) + (1 << 24)
    nib.MGHImage(labels, AFFINE).to_filename(tmp_path / "aseg.mgz")
    out = converted(tmp_path / "aseg.mgz")
    assert out.get_data_dtype() == np.int32
    np.testing.assert_array_equal(out.dataobj, labels)
    np.testing.assert_allclose(out.affine, AFFINE)
    assert out.header.get_xyzt_units()[0] == "mm"


def test_frames_of_mgh_are_as_far_apart_in_seconds(tmp_path: Path) -> None:
    """MGH has the repetition time in ms."""
    image = nib.MGHImage(np.zeros((*SHAPE, 3), np.float32), AFFINE)
    image.header.set_zooms((*image.header.get_zooms()[:3], 2500))
    image.to_filename(tmp_path / "bold.mgz")
    header = converted(tmp_path / "bold.mgz").header
    assert header.get_zooms()[3] == pytest.approx(2.5)
    assert header.get_xyzt_units()[1] == "sec"


def test_what_holds_no_numbers_is_refused(tmp_path: Path) -> None:
    nib.Nifti1Image(np.zeros(SHAPE, np.complex64), AFFINE).to_filename(tmp_path / "a.nii")
    with pytest.raises(FormatError, match="complex64"):
        converted(tmp_path / "a.nii")
    assert not (tmp_path / "out.nii.gz").exists()


def test_header_and_data_are_named_both(tmp_path: Path) -> None:
    source, out = tmp_path / "a.nii", tmp_path / "b.hv"
    nib.save(nib.Nifti1Image(np.ones(SHAPE, np.float32), AFFINE), source)
    _, files = jobs.run(ConversionJob(source, out))
    assert set(files) == {out, tmp_path / "b.v"} == set(tmp_path.iterdir()) - {source}
