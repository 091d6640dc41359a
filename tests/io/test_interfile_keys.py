"""Keys that decide what counts are and where they lie, under every name that writers give them."""

from __future__ import annotations

import numpy as np
import pytest

from emrecon import io
from emrecon.errors import FormatError, SettingsError
from emrecon.io.interfile import read_image
from emrecon.io.interfile import read_projections as read_pet
from emrecon.io.interfile.spect import read_projections
from emrecon.io.scan import read_scan
from emrecon.tomo.inputs import CameraFacts
from emrecon.volume import Grid, Volume
from tests.io.spect_points import POINTS, found_at
from tests.io.test_interfile_spect import GANTRY, stored, written

ORDER = "imagedata byte order"


@pytest.fixture
def data():
    return stored("HFS", 180, -36)


@pytest.mark.parametrize("key", ["image data byte order", "Data byte order", "byte_order"])
def test_names_of_the_byte_order(tmp_path, data, key):
    path = written(tmp_path, data, **{ORDER: None, key: "BIGENDIAN"})
    data.astype(">f4").tofile(path.with_suffix(".s"))
    np.testing.assert_allclose(read_projections(path).data.sum(), data.sum(), rtol=1e-6)


@pytest.mark.parametrize(
    ("stated", "other"), [("BIGENDIAN", "<"), ("LITTLEENDIAN", ">"), (None, "<")]
)
@pytest.mark.parametrize("number", ["u2", "i4", "u4", "f4"])
def test_an_order_that_makes_counts_absurd_is_said(tmp_path, data, stated, other, number, caplog):
    kind = {"u": "unsigned integer", "i": "signed integer", "f": "float"}[number[0]]
    changes = {"!number format": kind, "!number of bytes per pixel": number[1]}
    path = written(tmp_path, data, **{ORDER: stated}, **changes)
    np.rint(data * 10).astype(other + number).tofile(path.with_suffix(".s"))
    read_projections(path)
    assert "is 'imagedata byte order' right?" in caplog.text


@pytest.mark.parametrize("odd", [None, np.nan, 1e30])
def test_a_right_order_is_no_cause_for_words(tmp_path, data, odd, caplog):
    """Nor are numbers that are odd in any order, such as an efficiency of NaN among ones."""
    data = data if odd is None else np.where(np.arange(data.size).reshape(data.shape) == 7, odd, 1)
    read_projections(written(tmp_path, data))
    assert "byte order" not in caplog.text


@pytest.mark.parametrize("order", ["<", ">"])
def test_tails_of_a_model_are_no_sign_of_another_order(tmp_path, data, order, caplog):
    path = written(tmp_path, data, **{ORDER: "LITTLEENDIAN"})
    tails = np.where(data > np.median(data), data, 1e-35 * (1 + data)).astype(order + "f4")
    tails.tofile(path.with_suffix(".s"))
    read_projections(path)
    assert ("is 'imagedata byte order' right?" in caplog.text) is (order == ">")


@pytest.mark.parametrize(
    "chosen",
    [{"window": "1"}, {"gate": 1}, {"first_row": "feet"}, {"parallel_holes": True},
     {"frame_order": ("view",)}],
)  # fmt: skip
def test_what_says_nothing_of_interfile_is_refused(tmp_path, data, chosen):
    path, camera = written(tmp_path, data), CameraFacts(**chosen)
    with pytest.raises(SettingsError, match=f"{next(iter(chosen))} is for DICOM NM"):
        read_scan(path, camera=camera)
    read_projections(path, camera)  # as a correction of a scan that has them


def test_where_the_axis_lies_is_taken_from_who_says_it(tmp_path, data):
    path = written(tmp_path, data)
    assert read_projections(path).origin_mm is None
    assert read_projections(path, CameraFacts(axis_mm=(1, 2, 500))).origin_mm == (1, 2, 500)


@pytest.mark.parametrize(
    "key", ["image scale factor[1]", "data rescale slope", "Rescale Slope", "NUD/rescale slope"]
)
def test_names_of_the_scale(tmp_path, data, key):
    read = read_projections(written(tmp_path, data, **{key: "0.125"}))
    np.testing.assert_allclose(read.data.sum(), data.sum() / 8, rtol=1e-6)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data rescale offset", "-4"),
        ("NUD/rescale intercept", "1"),
        ("!X_offset", "9.6"),
        ("X_offset (mm)", "-3"),
        ("Y_offset", "2.5"),
        ("!Centre_of_rotation", "For_every_angle"),
        ("center of rotation", "31.5"),
        ("First projection angle in data set", "45"),
        ("collimator type", "Fan beam"),
        ("Collimator", "pinhole"),
        ("number of time windows", "6"),
        ("number of detector heads", "3"),
        ("data starting block", "-1"),
    ],
)
def test_what_is_not_supported_is_refused(tmp_path, data, key, value):
    with pytest.raises(FormatError, match=r"a\.hs, line \d+: '.* := .*is not supported"):
        read_projections(written(tmp_path, data, **{key: value}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("X_offset", "0."),
        ("Centre_of_rotation", "Single_value"),
        ("First projection angle in data set", "0"),
        ("First projection angle in data set", "540"),
        ("collimator type", "LEHR parallel"),
        ("data rescale slope", "1.0"),
    ],
)
def test_what_changes_nothing_is_read(tmp_path, data, key, value, caplog):
    read = read_projections(written(tmp_path, data, **{key: value}))
    assert "not known here" not in caplog.text
    np.testing.assert_allclose(found_at(read), POINTS, atol=0.01)


@pytest.mark.parametrize("position", GANTRY)
def test_the_axis_may_lie_beside_the_middle(tmp_path, position):
    moved = np.roll(stored(position, 180, -36), 3, axis=2)
    path = written(
        tmp_path, moved, X_offset="14.25",
        **{
            "patient orientation": "head_in" if position[0] == "H" else "feet_in",
            "patient rotation": "prone" if position[2] == "P" else "supine",
        },
    )  # fmt: skip
    read = read_projections(path, CameraFacts(axis_column=17.5))
    np.testing.assert_allclose(found_at(read), POINTS, atol=0.01)


def test_what_a_person_states_goes_before_keys_that_are_known(tmp_path, data, caplog):
    path = written(
        tmp_path, data, **{"Centre_of_rotation": "For_every_angle", "X_offset": "3",
                           "first projection angle in data set": "45"},
    )  # fmt: skip
    stated = CameraFacts(axis_column=15.5, start_angles_deg=(180.0,), pixel_mm=(4.0, 4.75))
    read = read_projections(path, stated)
    assert "not known here" not in caplog.text
    assert "ignored_keys" not in read.facts


@pytest.mark.parametrize("orbit", ["Non-circular", "noncircular", "circular"])
def test_one_radius_of_an_orbit_that_is_no_circle_is_told(tmp_path, data, orbit, caplog):
    path = written(tmp_path, data, orbit=orbit)
    read_projections(path, CameraFacts(radius_mm=(170.0,)))
    assert not caplog.text
    read_projections(path)
    assert ("one radius stands there" in caplog.text) is (orbit != "circular")


def test_data_may_start_at_a_block(tmp_path, data):
    path = written(tmp_path, data, **{"!data starting block": "2"})
    file = path.with_suffix(".s")
    file.write_bytes(b"\1" * 4096 + file.read_bytes())
    np.testing.assert_allclose(read_projections(path).data.sum(), data.sum(), rtol=1e-6)
    path.write_text(path.read_text().replace("radius", "data offset in bytes := 512\nradius"))
    with pytest.raises(FormatError, match="data starting block"):
        read_projections(path)


def test_a_ring_scanner_is_centred(make_pet):
    path, _ = make_pet(most=1, X_offset="2")
    with pytest.raises(FormatError, match="x offset := 2"):
        read_pet(path)


def test_an_image_in_the_words_of_another_dialect(tmp_path):
    voxels = np.random.default_rng(1).random((4, 5, 3), np.float32)
    path = tmp_path / "mu.hv"
    io.write_image(Volume(voxels, Grid.centred(voxels.shape, (2.0, 3.0, 4.0)).affine), path)
    text = path.read_text().replace("scaling factor (mm", "scale factor (mm")
    path.write_text(text.replace(ORDER, "image data byte order"))
    volume = read_image(path).volume
    np.testing.assert_array_equal(volume.voxels, voxels)
    np.testing.assert_allclose(volume.spacing_mm, (2.0, 3.0, 4.0))
