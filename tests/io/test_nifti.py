"""NIfTI by our module against nibabel itself."""

from __future__ import annotations

import gzip
import logging
import re
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from emrecon import io
from emrecon.errors import DataError, FormatError
from emrecon.io import nifti
from emrecon.io.nifti.reading import header_of
from emrecon.io.summary import image_summary
from emrecon.volume import Volume

TURN = np.linalg.qr(np.array([[1.8, -0.4, 0.1], [0.3, 2.1, 0.2], [0.1, -0.2, 2.9]]))[0]
OBLIQUE = np.eye(4)
OBLIQUE[:3] = np.column_stack([TURN * (-1.8, -2.1, 2.9), (10.0, -20.0, 30.0)])


def test_what_is_written(tmp_path):
    rng = np.random.default_rng(0)
    voxels = rng.normal(size=(4, 3, 5, 2)).astype(np.float32)
    io.write_image(Volume(voxels, OBLIQUE, "Bq/mL"), tmp_path / "a.nii.gz")
    image = nib.load(tmp_path / "a.nii.gz")
    assert image.get_data_dtype() == np.float32
    assert image.shape == (3, 5, 2, 4)
    assert (int(image.header["qform_code"]), int(image.header["sform_code"])) == (1, 1)
    assert image.header.get_xyzt_units() == ("mm", "sec")
    assert bytes(image.header["descrip"].item()).startswith(b"emrecon")
    np.testing.assert_allclose(image.affine, OBLIQUE, atol=1e-5)
    np.testing.assert_array_equal(np.moveaxis(image.get_fdata(), -1, 0), voxels)


@pytest.mark.parametrize("made", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_read_scaled_integers_of_either_version_and_byte_order(tmp_path, made, big, suffix):
    stored = np.arange(-12, 12, dtype=np.int16).reshape(2, 3, 4)
    header = made.header_class(endianness=">" if big else "<")
    image = made(stored, OBLIQUE, header)
    image.header.set_slope_inter(0.5, 3)
    path = tmp_path / f"a{suffix}"
    image.to_filename(path)
    assert io.kind(path) == "image"
    volume = io.read_image(path)
    slope, inter = nib.load(path).dataobj.slope, nib.load(path).dataobj.inter
    np.testing.assert_allclose(volume.voxels, stored * slope + inter)
    np.testing.assert_allclose(volume.affine, OBLIQUE, atol=1e-5)
    assert volume.voxels.dtype == np.float32


@pytest.mark.parametrize(("code", "factor"), [(0, 1), (1, 1000), (2, 1), (3, 0.001)])
def test_lengths_become_mm(tmp_path, code, factor):
    image = nib.Nifti1Image(np.zeros((2, 2, 2), np.float32), OBLIQUE)
    image.header["xyzt_units"] = code
    image.to_filename(tmp_path / "a.nii")
    wanted = OBLIQUE.copy()
    wanted[:3] *= factor
    np.testing.assert_allclose(io.read_image(tmp_path / "a.nii").affine, wanted, rtol=1e-5)


def test_an_unknown_unit_of_length(tmp_path):
    image = nib.Nifti1Image(np.zeros((2, 2, 2), np.float32), OBLIQUE)
    image.header["xyzt_units"] = 5
    image.to_filename(tmp_path / "a.nii")
    with pytest.raises(FormatError, match="unit of length 5"):
        io.read_image(tmp_path / "a.nii")


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [((2, 3, 4, 1), (2, 3, 4)), ((2, 3, 4, 1, 1), (2, 3, 4)), ((2, 3, 4, 5), (5, 2, 3, 4))],
)
def test_time_comes_first_and_lone_frames_have_none(tmp_path, shape, wanted):
    nib.Nifti1Image(np.zeros(shape, np.float32), OBLIQUE).to_filename(tmp_path / "a.nii")
    assert io.read_image(tmp_path / "a.nii").voxels.shape == wanted


@pytest.mark.parametrize(
    ("top", "low", "dtype"), [(3, 0, np.uint8), (300, 0, np.int16), (3, -1, np.int16)]
)
def test_labels_are_small_integers(tmp_path, top, low, dtype):
    voxels = np.array([low, top, 1, 2], np.float32).reshape(2, 2, 1)
    nifti.write(Volume(voxels, OBLIQUE), tmp_path / "a.nii", labels=True)
    image = nib.load(tmp_path / "a.nii")
    assert image.get_data_dtype() == dtype
    np.testing.assert_array_equal(image.get_fdata(), voxels)
    io.write_image(Volume(voxels.astype(np.int64), OBLIQUE), tmp_path / "b.nii")
    assert nib.load(tmp_path / "b.nii").get_data_dtype() == dtype


@pytest.mark.parametrize("value", [0.5, np.nan, 40000.0])
def test_labels_that_are_none(tmp_path, value):
    voxels = np.full((2, 2, 2), value, np.float32)
    with pytest.raises(DataError, match="whole numbers"):
        nifti.write(Volume(voxels, OBLIQUE), tmp_path / "a.nii", labels=True)
    assert not list(tmp_path.iterdir())


def test_refused(tmp_path):
    path = tmp_path / "a.nii"
    nib.Nifti1Image(np.zeros((2, 2), np.float32), OBLIQUE).to_filename(path)
    with pytest.raises(FormatError, match="3 axes"):
        io.read_image(path)
    rgb = np.zeros((2, 2, 2), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.Nifti1Image(rgb, OBLIQUE).to_filename(path)
    with pytest.raises(FormatError, match="not real numbers"):
        io.read_image(path)
    nib.Nifti1Image(np.zeros((2, 2, 2), np.complex64), OBLIQUE).to_filename(path)
    with pytest.raises(FormatError, match="complex"):
        io.read_image(path)
    image = nib.Nifti1Image(np.zeros((2, 2, 2), np.float32), OBLIQUE)
    image.header["srow_z"] = np.nan
    image.header["sform_code"] = 1
    image.to_filename(path)
    raw = bytearray(path.read_bytes())
    raw[312:328] = np.full(4, np.nan, "<f4").tobytes()
    path.write_bytes(raw)
    with pytest.raises(FormatError, match="affine"):
        io.read_image(path)


@pytest.mark.parametrize(("label", "said"), [((1 << 24) + 1, True), (1 << 24, False)])
def test_whole_numbers_that_are_rounded_are_a_warning(tmp_path, caplog, label, said):
    image = nib.Nifti1Image(np.full((2, 2, 2), label, np.int32), OBLIQUE)
    image.to_filename(tmp_path / "allen.nii")
    nifti.read(tmp_path / "allen.nii")
    assert ("which are rounded" in caplog.text) == said


def test_no_place_in_space_is_a_warning(tmp_path, caplog):
    nib.Nifti1Image(np.zeros((2, 2, 2), np.float32), None).to_filename(tmp_path / "a.nii")
    with caplog.at_level(logging.WARNING):
        io.read_image(tmp_path / "a.nii")
    assert "left and right are a guess" in caplog.text


def test_a_flipped_bit_in_gzip(tmp_path):
    path = tmp_path / "a.nii.gz"
    noise = np.random.default_rng(0).normal(size=(9, 9, 9)).astype(np.float32)
    io.write_image(Volume(noise, OBLIQUE), path)
    raw = bytearray(path.read_bytes())
    raw[-6] ^= 0xFF
    path.write_bytes(raw)
    with pytest.raises(FormatError, match="cannot read"):
        io.read_image(path)


def test_an_image_of_another_format_has_no_header_to_keep(tmp_path, caplog):
    hv = tmp_path / "like.hv"
    hv.write_text("!INTERFILE  :=\n" * 40)
    image = Volume(np.ones((3, 4, 5), np.float32), OBLIQUE)
    nifti.write(image, tmp_path / "made.nii.gz", like=hv)
    np.testing.assert_allclose(nifti.read(tmp_path / "made.nii.gz").affine, OBLIQUE, rtol=1e-6)
    assert not caplog.records


def test_a_header_is_kept_whatever_the_name_of_its_file(tmp_path):
    header = nib.Nifti1Header()
    header["descrip"] = b"kept"
    named = tmp_path / "T1.NII"
    made = nib.Nifti1Image(np.ones((3, 4, 5), np.float32), OBLIQUE, header)
    named.write_bytes(made.to_bytes())
    nifti.write(nifti.read(named), tmp_path / "made.nii.gz", like=named)
    assert nib.load(tmp_path / "made.nii.gz").header["descrip"] == b"kept"


@pytest.mark.parametrize(
    ("units", "said"), [("mm", "up to 24 mm apart"), ("micron", "up to 0.024 mm apart")]
)
def test_qform_and_sform_that_disagree_are_told_with_millimetres(tmp_path, caplog, units, said):
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    image = nib.Nifti1Image(np.zeros((5, 6, 7), np.float32), affine)
    image.header.set_xyzt_units(units)
    image.set_qform(affine, 1)
    for moved, spoken in ((0.9, False), (24.0, True)):
        sform = affine.copy()
        sform[1, 3] += moved
        image.set_sform(sform, 2)
        nib.save(image, tmp_path / "a.nii")
        caplog.clear()
        assert io.read_image(tmp_path / "a.nii").affine[1, 3] > 0  # the sform's
        assert (said in caplog.text) is spoken
    image.set_sform(None, 0)
    nib.save(image, tmp_path / "a.nii")
    caplog.clear()
    io.read_image(tmp_path / "a.nii")
    assert "apart" not in caplog.text


def test_a_file_that_was_unpacked_is_read_by_its_content(tmp_path):
    """As browsers leave it: plain, and still named .nii.gz."""
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), tmp_path / "a.nii")
    (tmp_path / "a.nii").rename(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(nifti.read(tmp_path / "a.nii.gz").voxels, voxels)


def patched(path, at, kind, *values):
    """Write values into a header, byte by byte."""
    content = bytearray(path.read_bytes())
    struct.pack_into(kind, content, at, *values)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_voxels_that_would_begin_in_the_header(tmp_path, packed):
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(np.ones((3, 4, 5), np.float32), np.eye(4)), path)
    patched(path, 108, "<f", 0.0)
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(FormatError, match="begin at byte 0, in the header"):
        io.read_image(path)


@pytest.mark.parametrize("size", [1e300, 1e-200])
def test_numbers_beyond_single_precision(tmp_path, size):
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(np.full((3, 4, 5), size), np.eye(4)), path)
    with pytest.raises(FormatError, match=re.escape(f"numbers up to {size:.3g}: they are")):
        io.read_image(path)
    nib.save(nib.Nifti1Image(np.full((3, 4, 5), np.inf), np.eye(4)), path)
    assert np.isinf(io.read_image(path).voxels).all()


def test_a_slope_beyond_single_precision(tmp_path):
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(np.full((3, 4, 5), 1000, np.int16), np.eye(4)), path)
    patched(path, 112, "<2f", 1e38, 0.0)
    with pytest.raises(FormatError, match="scales its numbers by"):
        io.read_image(path)
    patched(path, 112, "<2f", 1e20, 0.0)
    np.testing.assert_allclose(io.read_image(path).voxels, 1e23)


def test_what_nibabel_mends_is_a_warning_with_the_name(tmp_path, caplog, capfd):
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(np.ones((3, 4, 5), np.float32), np.eye(4)), path)
    io.read_image(patched(path, 80, "<f", -2.0))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "a.nii: pixdim[1,2,3] should be positive" in caplog.text
    caplog.clear()
    with pytest.raises(FormatError, match="data code 0 not supported"):
        io.read_image(patched(path, 70, "<h", 0))
    assert not caplog.messages
    assert not capfd.readouterr().err  # nibabel prints by itself


def test_bytes_after_the_end_of_gzip_are_named(tmp_path):
    path = tmp_path / "a.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((3, 4, 5), np.float32), np.eye(4)), path)
    path.write_bytes(path.read_bytes() + b"trailing bytes " * 20)
    with pytest.raises(FormatError, match="bytes follow the end of what is compressed"):
        io.read_image(path)


def test_voxels_that_are_not_finite_do_not_hide_the_range_of_the_others():
    voxels = np.array([[[np.nan, -2.0, 5.0, np.inf]]], np.float32)
    said = image_summary(Volume(voxels, np.eye(4)))
    assert (said["range"], said["sum"], said["not finite"]) == ("-2 to 5", "3", "2")
    nothing = image_summary(Volume(np.full_like(voxels, np.nan), np.eye(4)))
    assert (nothing["range"], nothing["sum"], nothing["not finite"]) == ("none", "0", "4")


def test_what_nibabel_mends_in_a_header_is_said_once_with_the_file(tmp_path, caplog, capfd):
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(np.zeros((2, 3, 4), np.int16), np.diag([2.0, 2, 2, 1])), path)
    stored = bytearray(path.read_bytes())
    struct.pack_into("<3f", stored, 80, 0, 0, 0)  # pixdim
    path.write_bytes(stored)
    io.read_image(path)
    header_of(path)  # as results keep it
    (said,) = [
        one.getMessage()
        for one in caplog.records
        if "pixdim" in one.getMessage() and one.name.startswith("emrecon")
    ]
    assert said.startswith(f"{path}: pixdim[1,2,3] should be non-zero")
    assert "pixdim" not in capfd.readouterr().err


def test_axes_that_are_not_at_right_angles_are_said() -> None:
    affine = np.diag([-2.0, 2, 3, 1])
    voxels = np.ones((3, 3, 3), np.float32)
    assert image_summary(Volume(voxels, affine))["axes run towards"] == "LAS"
    affine[0, 1] = 2
    assert (
        image_summary(Volume(voxels, affine))["axes run towards"] == "LAS, sheared by 45 degrees"
    )


def test_a_pair_of_which_one_is_missing_names_it(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(np.ones((3, 3, 3), np.float32), np.eye(4)), tmp_path / "a.hdr")
    (tmp_path / "a.img").unlink()
    with pytest.raises(FormatError, match=r"there is no .*a\.img, which belongs to it"):
        io.read_image(tmp_path / "a.hdr")


@pytest.mark.parametrize("name", ["image.nii.gz", "image.mgz"])
def test_headers_of_packed_images_tell_whether_they_are_cut(tmp_path, name):
    """Packed in one piece or in several, or with bytes behind the voxels."""
    voxels = np.random.default_rng(0).normal(size=(6, 5, 4)).astype(np.float32)
    kind = nib.MGHImage if name == "image.mgz" else nib.Nifti1Image
    path = tmp_path / name
    kind(voxels, OBLIQUE).to_filename(path)
    whole = gzip.decompress(path.read_bytes())
    pieces = [whole[:200], whole[200:] + bytes(8)]
    for content in (path.read_bytes(), b"".join(map(gzip.compress, pieces))):
        path.write_bytes(content)
        assert io.image_header(path).voxels.shape == (6, 5, 4)
        for bad in (content[:-5], gzip.compress(whole[:350])):
            path.write_bytes(bad)
            with pytest.raises(FormatError, match=r"truncated|Compressed file ended"):
                io.image_header(path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nii.bz2"])
@pytest.mark.parametrize("shape", [(1 << 40, 1 << 20, 1 << 10), (1 << 62, 4, 4)])
def test_sizes_beyond_64_bits_are_refused_as_cut(tmp_path, recwarn, shape, suffix):
    """Of files that have their names, and of those that are not packed as those say."""
    header = nib.Nifti2Header()
    header.set_data_dtype(np.float32)
    header.set_data_shape(shape)
    header["vox_offset"] = 544
    content = header.binaryblock + bytes(5000)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(gzip.compress(content) if suffix == ".nii.gz" else content)
    for read in (io.read_image, io.image_header):
        with pytest.raises(FormatError, match=r"truncated: it has 5540 bytes of \d{19,}"):
            read(path)
    assert not recwarn.list


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_headers_that_are_cut_anywhere_are_refused(tmp_path, kind):
    path = tmp_path / "a.nii"
    content = kind(np.zeros((2, 3, 4), np.float32), OBLIQUE).to_bytes()
    for length in range(0, len(content), 5):
        path.write_bytes(content[:length])
        for read in (io.read_image, io.image_header):
            with pytest.raises(FormatError):
                read(path)


def test_extensions_that_are_odd_are_told_of_with_the_file_or_refused(tmp_path, recwarn, caplog):
    image = nib.Nifti1Image(np.zeros((2, 3, 4), np.float32), OBLIQUE)
    image.header.extensions.append(nib.nifti1.Nifti1Extension(6, b"words"))
    path = tmp_path / "a.nii"
    image.to_filename(path)
    io.read_image(patched(path, 352, "<i", 12))
    (said,) = caplog.messages
    assert said.startswith(f"{path}: Extension size is not a multiple of 16 bytes")
    caplog.clear()
    with pytest.raises(FormatError):
        io.read_image(patched(path, 352, "<i", 1001))
    assert not caplog.messages
    assert not recwarn.list


@pytest.mark.parametrize("value", [1e12, -1e300, np.inf])
def test_places_that_no_voxel_has_are_refused(tmp_path, recwarn, value):
    path = tmp_path / "a.nii"
    nib.Nifti2Image(np.zeros((2, 3, 4), np.float32), np.eye(4)).to_filename(path)
    with pytest.raises(FormatError, match="singular, not finite or beyond"):
        io.read_image(patched(path, 400, "<d", value))  # the first of srow_x
    assert not recwarn.list
