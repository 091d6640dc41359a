"""NIfTI in napari: every landmark where the scanner has it, and every header back as it came."""

from __future__ import annotations

import gzip
import json

import nibabel as nib
import numpy as np
import pytest

from emrecon import io
from emrecon.errors import DataError, EmreconError, FormatError, SettingsError
from emrecon.io import nifti
from emrecon.volume import Volume

pytest.importorskip("napari", reason="napari is not installed")

from napari.layers import Image, Labels

from napari_plugin import nifti_layers, reader, writer
from napari_plugin.layers import KEY, look, usual, volume_of, world

SHAPE, PEAK, ZOOMS = (20, 24, 28), (6, 15, 9), (2.0, 3.0, 4.0)


def turned(*degrees: float) -> np.ndarray:
    x, y, z = np.deg2rad(degrees)
    about_x = [[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]]
    about_y = [[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]]
    about_z = [[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]]
    return np.array(about_x) @ about_y @ about_z


def affine_of(directions: np.ndarray) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = directions @ np.diag(ZOOMS)
    affine[:3, 3] = (-17.5, 12.25, -31.75)
    return affine


AFFINES = {
    "RAS": affine_of(np.eye(3)),
    "LAS": affine_of(np.diag([-1, 1, 1])),
    "LPS": affine_of(np.diag([-1, -1, 1])),
    "IRA": affine_of(np.array([[0, 1, 0], [0, 0, 1], [-1, 0, 0]])),
    "4D": affine_of(np.diag([-1, 1, 1])),
}


def saved(path, affine, data, **fields):
    image = nib.Nifti1Image(data, affine)
    image.set_qform(affine, 1)
    image.set_sform(affine, 2)
    image.header.set_xyzt_units("mm", "msec" if data.ndim == 4 else "sec")
    for name, value in fields.items():
        image.header[name] = value
    nib.save(image, path)
    return path


def bright(kind=np.float32, frames=0):
    data = np.zeros((*SHAPE, frames) if frames else SHAPE, kind)
    data[PEAK] = 100
    if frames:
        data[(*PEAK, 2)] = 120
    return data


def layer_of(path):
    (made,) = reader.read(path)
    data, info, kind = made
    return (Labels if kind == "labels" else Image)(data, **info)


def peak_mm(layer):
    """Return R, A, S of the brightest voxel."""
    data = np.asarray(layer.data)
    place = np.unravel_index(int(np.argmax(data)), data.shape)
    return np.asarray(layer.data_to_world(place))[-3:][::-1]


@pytest.mark.parametrize("name", AFFINES)
@pytest.mark.parametrize("kind", [np.float32, np.int16])
def test_a_landmark_lies_where_the_scanner_has_it(tmp_path, name, kind):
    data = bright(kind, 3 if name == "4D" else 0)
    path = saved(tmp_path / f"{name}.nii.gz", AFFINES[name], data)
    layer = layer_of(path)
    true = AFFINES[name] @ [*PEAK, 1]
    np.testing.assert_allclose(peak_mm(layer), true[:3], atol=1e-3)
    lead = ("t",) if name == "4D" else ()
    assert layer.axis_labels == (*lead, "S", "A", "R")
    assert [str(unit) for unit in layer.units[-3:]] == ["millimeter"] * 3
    assert layer.data.dtype == kind
    assert np.all(np.asarray(layer.scale)[-3:] > 0)  # never mirrored


def test_frames_are_seconds_apart_and_come_first(tmp_path):
    data = bright(np.float32, 3)
    image = nib.Nifti1Image(data, AFFINES["RAS"])
    image.header.set_zooms((*ZOOMS, 1500.0))
    image.header.set_xyzt_units("mm", "msec")
    nib.save(image, tmp_path / "dynamic.nii")
    layer = layer_of(tmp_path / "dynamic.nii")
    assert layer.data.shape == (3, *SHAPE[::-1])
    assert layer.scale[0] == pytest.approx(1.5)
    assert str(layer.units[0]) == "second"


@pytest.mark.parametrize("name", [*AFFINES, "oblique"])
def test_reading_and_writing_gives_the_same_file(tmp_path, name, rng):
    affine = affine_of(turned(12, -8, 15)) if name == "oblique" else AFFINES[name]
    shape = (*SHAPE, 3) if name == "4D" else SHAPE
    data = rng.normal(size=shape).astype(np.float32)
    path = saved(tmp_path / "in.nii.gz", affine, data, descrip=b"from a scanner", aux_file=b"x")
    layer = layer_of(path)
    found, info, _ = layer.as_layer_data_tuple()
    writer.write(tmp_path / "out.nii.gz", found, info, labels=False)
    one, other = nib.load(path), nib.load(tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(np.asarray(one.dataobj), np.asarray(other.dataobj))
    np.testing.assert_array_equal(one.affine, other.affine)
    assert one.header == other.header


def test_an_oblique_file_is_shown_in_place_and_computed_with_on_its_own_grid(tmp_path):
    affine = affine_of(turned(12, -8, 15))
    grid = np.indices(SHAPE)
    blob = np.exp(-0.5 * sum((g - p) ** 2 for g, p in zip(grid, PEAK, strict=True)) / 1.5**2)
    path = saved(tmp_path / "oblique.nii.gz", affine, blob.astype(np.float32))
    layer = layer_of(path)
    assert layer.metadata["nifti"]["display_only"]
    assert "resampled" in layer.name
    shown = np.asarray(layer.data, np.float64)
    middle = [
        (shown.sum(axis=tuple({0, 1, 2} - {a})) @ np.arange(shown.shape[a])) / shown.sum()
        for a in range(3)
    ]
    found = np.asarray(layer.data_to_world(middle))[::-1]
    np.testing.assert_allclose(found, (affine @ [*PEAK, 1])[:3], atol=0.05)
    volume = volume_of(layer)
    assert volume.voxels.shape == SHAPE
    np.testing.assert_allclose(volume.affine, affine, atol=1e-5)


@pytest.mark.slow
def test_labels_painted_on_an_oblique_copy_come_back_onto_the_file_s_own_grid(tmp_path):
    affine = affine_of(turned(12, -8, 15))
    data = np.zeros(SHAPE, np.uint8)
    data[4:12, 8:16, 6:18] = 2
    path = saved(tmp_path / "dseg.nii.gz", affine, data)
    layer = layer_of(path)
    assert isinstance(layer, Labels)
    layer.data[layer.data == 2] = 5
    found, info, _ = layer.as_layer_data_tuple()
    writer.write(tmp_path / "back.nii.gz", found, info, labels=True)
    back = nib.load(tmp_path / "back.nii.gz")
    np.testing.assert_allclose(back.affine, affine, atol=1e-4)
    changed = np.asarray(back.dataobj)
    assert set(np.unique(changed)) == {0, 5}
    agree = 2 * np.sum((changed == 5) & (data == 2)) / (np.sum(changed == 5) + np.sum(data == 2))
    assert agree > 0.9  # the nearest voxel, twice


def test_a_tilt_that_cannot_be_seen_is_left_away_but_not_in_the_file(tmp_path):
    affine = affine_of(turned(0.05, 0, 0))
    path = saved(tmp_path / "straight.nii.gz", affine, bright())
    layer = layer_of(path)
    assert not layer.metadata["nifti"]["display_only"]
    assert np.abs(peak_mm(layer) - (affine @ [*PEAK, 1])[:3]).max() < 0.05
    found, info, _ = layer.as_layer_data_tuple()
    writer.write(tmp_path / "out.nii.gz", found, info, labels=False)
    np.testing.assert_array_equal(nib.load(path).affine, nib.load(tmp_path / "out.nii.gz").affine)


def test_a_layer_that_was_moved_is_written_where_it_is_now(tmp_path):
    path = saved(tmp_path / "in.nii.gz", AFFINES["LAS"], bright())
    layer = layer_of(path)
    layer.translate = np.add(layer.translate, (5, -2, 1))
    found, info, _ = layer.as_layer_data_tuple()
    writer.write(tmp_path / "out.nii.gz", found, info, labels=False)
    again = layer_of(tmp_path / "out.nii.gz")
    true = np.add((AFFINES["LAS"] @ [*PEAK, 1])[:3], (1, -2, 5))
    np.testing.assert_allclose(peak_mm(again), true, atol=1e-3)


def test_names_and_colours_of_labels_are_read_and_kept(tmp_path):
    data = np.zeros(SHAPE, np.int16)
    data[2:5], data[6:9] = 1, 7
    path = saved(tmp_path / "sub-1_dseg.nii.gz", AFFINES["RAS"], data)
    table = "index\tname\tcolor\n1\tGM\t#ff0000\n7\tWM\t#00ff00\n"
    (tmp_path / "sub-1_dseg.tsv").write_text(table)
    layer = layer_of(path)
    assert list(layer.features["name"]) == ["", "GM", "WM"]
    np.testing.assert_allclose(layer.get_color(7), (0, 1, 0, 1))
    found, info, _ = layer.as_layer_data_tuple()
    files = writer.write(tmp_path / "out.nii.gz", found, info, labels=True)
    names = json.loads(files[1].read_text())["LabelMap"]
    assert names == {"1": "GM", "7": "WM"}
    back = layer_of(files[0])
    assert isinstance(back, Labels)
    assert list(back.features["name"]) == ["", "GM", "WM"]


@pytest.mark.parametrize(
    ("ending", "content", "warned"),
    [
        (".json", '{"Modality": "MR", "FlipAngle": 9}', False),
        (".json", "[1, 2]", False),
        (".json", '{"LabelMap": ["GM"]}', True),
        (".json", '{"broken', True),
        (".json", b"\xff\xfe{", True),
        (".tsv", "value\tname\n1\tGM\n", True),
        (".tsv", "index\tname\none\tGM\n", True),
        (".tsv", b"index\tname\n1\t\xe4\n", True),
    ],
)
@pytest.mark.parametrize("name", ["bold", "sub-1_dseg"])
def test_a_companion_of_another_program_stops_no_image(
    tmp_path, caplog, name, ending, content, warned
):
    path = saved(tmp_path / f"{name}.nii.gz", AFFINES["RAS"], bright(np.int16))
    beside = tmp_path / f"{name}{ending}"
    beside.write_bytes(content if isinstance(content, bytes) else content.encode())
    layer = layer_of(path)
    assert isinstance(layer, Labels) == (name == "sub-1_dseg")
    assert int(np.asarray(layer.data).max()) == 100
    looked = name == "sub-1_dseg" or ending == ".json"
    assert (str(beside) in caplog.text) == (warned and looked)


def test_tables_of_labels_may_leave_colours_out_and_have_more_columns(tmp_path, caplog):
    data = np.zeros(SHAPE, np.int16)
    data[2:5], data[6:9], data[10:12], data[13] = 1, 2, 3, 4
    path = saved(tmp_path / "sub-1_dseg.nii.gz", AFFINES["RAS"], data)
    table = "\ufeffindex\tabbr\tcolor\tname\r\n1\tg\t#ff0000\tGM\r\n2\tw\tn/a\tWM\r\n"
    table += "3\tc\treddish\tCSF\r\n4\tx\r\n"
    (tmp_path / "sub-1_dseg.tsv").write_bytes(table.encode())
    layer = layer_of(path)
    assert list(layer.features["name"]) == ["", "GM", "WM", "CSF", "label 4"]
    np.testing.assert_allclose(layer.get_color(1), (1, 0, 0, 1))
    assert "reddish is no colour" in caplog.text


def test_channels_are_layers_and_colours_are_colours(tmp_path, rng):
    five = rng.normal(size=(*SHAPE, 1, 2)).astype(np.float32)
    path = saved(tmp_path / "vector.nii.gz", AFFINES["RAS"], five)
    layers = reader.read(path)
    assert [info["name"] for _, info, _ in layers] == ["vector [1]", "vector [2]"]
    np.testing.assert_array_equal(layers[1][0], five[..., 0, 1].transpose())
    colours = rng.integers(0, 255, (*SHAPE, 3)).astype(np.uint8)
    packed = np.zeros(SHAPE, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    for place, name in enumerate("RGB"):
        packed[name] = colours[..., place]
    path = saved(tmp_path / "colour.nii.gz", AFFINES["LAS"], packed)
    ((data, info, _),) = reader.read(path)
    assert info["rgb"]
    np.testing.assert_array_equal(data, colours[::-1].transpose(2, 1, 0, 3))


def test_scaled_integers_are_read_as_what_they_stand_for(tmp_path):
    image = nib.Nifti1Image(bright(np.int16), AFFINES["RAS"])
    image.header.set_slope_inter(0.5, -10)
    image.header["cal_min"], image.header["cal_max"] = 0, 30
    nib.save(image, tmp_path / "ct.nii")
    layer = layer_of(tmp_path / "ct.nii")
    assert layer.data.max() == 0.5 * 100 - 10
    assert tuple(layer.contrast_limits) == (0, 30)


def test_a_large_file_is_read_when_it_is_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(nifti_layers, "LAZY_BYTES", 1000)
    path = saved(tmp_path / "large.nii", AFFINES["IRA"], bright())
    ((data, info, _),) = reader.read(path)
    assert not isinstance(data, np.ndarray)
    true = (AFFINES["IRA"] @ [*PEAK, 1])[:3]
    np.testing.assert_allclose(peak_mm(Image(data, **info)), true, atol=1e-3)


def test_other_formats_and_other_layers(tmp_path, rng):
    volume = Volume(rng.random((4, 5, 6)).astype(np.float32), AFFINES["RAS"], "counts/mm")
    data, info, _ = reader.volume_layer(volume, "x")
    layer = Image(data, **info)
    assert layer.metadata[KEY]["unit"] == "counts/mm"
    np.testing.assert_allclose(world(layer)[:3, 3], AFFINES["RAS"][:3, 3][::-1])
    found, info, _ = layer.as_layer_data_tuple()
    for name in ("a.nii.gz", "a.hv"):
        writer.write(tmp_path / name, found, info, labels=False)
        back = layer_of(tmp_path / name)
        np.testing.assert_array_equal(np.asarray(back.data), found)
        np.testing.assert_allclose(world(back), world(layer), atol=1e-3)
    assert nifti.read(tmp_path / "a.nii.gz").unit == "counts/mm"
    again = volume_of(layer)
    np.testing.assert_array_equal(again.voxels, volume.voxels)
    np.testing.assert_allclose(again.affine, volume.affine)


def test_what_cannot_be_read_or_written_is_refused_in_words(tmp_path):
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(b"\x1f\x8b" + bytes(50))
    with pytest.raises(EmreconError, match=r"bad\.nii"):
        reader.read(bad)
    complex_ = saved(tmp_path / "c.nii", np.eye(4), np.zeros((2, 2, 2), np.complex64))
    with pytest.raises(FormatError, match="complex64"):
        reader.read(complex_)
    plain = np.zeros((3, 3, 3), np.float32)
    with pytest.raises(SettingsError, match="no format ends so"):
        writer.write(tmp_path / "x.png", plain, {}, labels=False)
    with pytest.raises(DataError, match="3 axes"):
        writer.write(tmp_path / "x.nii", plain[0], {}, labels=False)
    with pytest.raises(DataError, match="counts of a scan"):
        about = {"metadata": {KEY: {"scan": "x"}}}
        writer.write(tmp_path / "x.nii", plain, about, labels=False)
    assert reader.get_reader([str(bad)]) is None
    (tmp_path / "notes.nii").write_text("hello")
    assert reader.get_reader(str(tmp_path / "notes.nii")) is None


def test_the_panel_opens_what_the_command_opens(tmp_path):
    data = bright()
    packed = gzip.compress(saved(tmp_path / "a.nii", AFFINES["RAS"], data).read_bytes())
    (tmp_path / "packed.nii").write_bytes(packed)  # by its content, whatever its name
    np.testing.assert_array_equal(layer_of(tmp_path / "packed.nii").data, data.T)
    (tmp_path / "damaged.nii.gz").write_bytes(packed[:-8] + bytes(8))
    cifti = nib.Nifti2Image(np.zeros((1, 1, 1, 1, 2, 2), np.float32), np.eye(4))
    cifti.header["intent_code"] = 3006
    cifti.to_filename(tmp_path / "a.dscalar.nii")
    saved(tmp_path / "parsec.nii", np.eye(4), data)
    content = bytearray((tmp_path / "parsec.nii").read_bytes())
    content[123] = 7
    (tmp_path / "parsec.nii").write_bytes(content)
    for name in ("damaged.nii.gz", "a.dscalar.nii", "parsec.nii"):
        with pytest.raises(FormatError) as ours:
            io.read_image(tmp_path / name)
        with pytest.raises(FormatError) as panels:
            reader.read(tmp_path / name)
        assert str(panels.value) == str(ours.value)


def test_frames_of_mgh_are_seconds_apart(tmp_path):
    image = nib.MGHImage(np.stack([bright()] * 2, axis=-1).astype(np.float32), AFFINES["RAS"])
    image.header.set_zooms((*image.header.get_zooms()[:3], 1500))
    image.to_filename(tmp_path / "bold.mgz")
    assert layer_of(tmp_path / "bold.mgz").scale[0] == pytest.approx(1.5)


@pytest.mark.parametrize("name", ["pair.hdr", "pair.img", "a.mgz", "analyze.hdr"])
def test_the_family_of_nifti_is_shown_in_place(tmp_path, name):
    kind = {"pair": nib.Nifti1Pair, "a": nib.MGHImage, "analyze": nib.AnalyzeImage}
    affine = AFFINES["LAS"]
    image = kind[name.partition(".")[0]](bright(), affine)
    image.to_filename(tmp_path / name.replace(".hdr", ".img"))
    layer = layer_of(tmp_path / name)
    assert layer.data.shape == SHAPE[::-1]
    if not name.startswith("analyze"):  # which does not say where it lies
        np.testing.assert_allclose(peak_mm(layer), (affine @ [*PEAK, 1])[:3], atol=1e-3)
        data, info, _ = layer.as_layer_data_tuple()
        writer.write(tmp_path / "out.nii.gz", data, info, labels=False)
        again = layer_of(tmp_path / "out.nii.gz")
        np.testing.assert_allclose(peak_mm(again), (affine @ [*PEAK, 1])[:3], atol=1e-3)


def test_windows_suit_what_they_are_for(rng):
    pet = np.abs(rng.normal(size=(30, 30, 30))).astype(np.float32)
    pet[0, 0, 0] = 1e4  # one hot voxel does not decide the window
    assert usual(pet, "Bq/mL") == "PET, grey inverted"
    low, high = look("PET, grey inverted", pet)["contrast_limits"]
    assert low == 0
    assert 2 < high < 6
    assert look("PET, SUV 0 to 6", pet) == {"colormap": "gray_r", "contrast_limits": (0.0, 6.0)}
    ct = np.full((10, 10, 10), -1000, np.int16)
    ct[3:6] = 400
    assert usual(ct) == "CT, soft tissue"
    assert look("CT, bone", ct)["contrast_limits"] == (-450.0, 1050.0)
    low, high = look("MR, 1 to 99 %", np.arange(1, 1001).reshape(10, 10, 10))["contrast_limits"]
    assert (low, high) == pytest.approx((10.99, 990.01))
    flat = look("Full range", np.zeros((4, 4, 4)))["contrast_limits"]
    assert flat[1] > flat[0]


@pytest.mark.parametrize(
    ("value", "kind"), [(1, np.uint8), (1, np.float32), (255, np.uint8), (9, np.int16)]
)
def test_a_mask_is_seen(tmp_path, value, kind):
    """Of one value: not darkest, as it is where its own percentiles make the window."""
    mask = np.zeros(SHAPE, kind)
    mask[4:9, 4:9, 4:9] = value
    layer = layer_of(saved(tmp_path / "part.nii.gz", AFFINES["RAS"], mask))
    assert tuple(layer.contrast_limits) == (0, value)
    name = "sub-01_desc-brain_mask.nii.gz"
    (_, _, how), *_ = reader.read(saved(tmp_path / name, AFFINES["RAS"], mask))
    assert how == ("image" if kind is np.float32 else "labels")


def test_every_label_is_seen_in_an_image_of_labels():
    """Of float32 they are an image, whose least value is not as dark as none."""
    labels = np.zeros((9, 9, 9), np.float32)
    labels[2:8], labels[4:6] = 1, 3
    assert look("MR, 1 to 99 %", labels)["contrast_limits"] == (0, 3)


@pytest.mark.parametrize(("unit", "mm"), [("um", 1e-3), ("nm", 1e-6), ("cm", 10), ("inch", 25.4)])
def test_lengths_of_layers_in_other_units_are_turned_to_mm(tmp_path, unit, mm):
    layer = Image(bright(), scale=(2, 3, 4), translate=(5, 6, 7), units=(unit,) * 3)
    volume = volume_of(layer)
    np.testing.assert_allclose(volume.spacing_mm, np.array([4, 3, 2]) * mm)
    np.testing.assert_allclose(volume.affine[:3, 3], np.array([7, 6, 5]) * mm)
    data, info, _ = layer.as_layer_data_tuple()
    writer.write(tmp_path / "a.nii", data, info, labels=False)
    np.testing.assert_allclose(nib.load(tmp_path / "a.nii").affine, volume.affine, rtol=1e-6)


def test_a_layer_without_lengths_is_in_mm_and_that_is_said(caplog):
    np.testing.assert_allclose(volume_of(Image(bright(), scale=(2, 3, 4))).spacing_mm, (4, 3, 2))
    assert "no length" in caplog.text
