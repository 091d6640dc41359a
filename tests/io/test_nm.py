"""DICOM NM TOMO: every projection at its place, whatever the order, direction and position."""

from __future__ import annotations

import numpy as np
import pytest

from emrecon import io
from emrecon.errors import FormatError, SettingsError
from emrecon.io.dicom.nm import read_projections
from emrecon.tomo.inputs import CameraFacts
from tests.io.nm_files import COLUMN_MM, ROW_MM, nm_dataset, saved
from tests.io.spect_points import POINTS, found_at

HEADS = {1: (0.0,), 2: (0.0, 180.0), 3: (0.0, 120.0, 240.0)}
WITHIN_MM = 0.05  # frames hold whole numbers, a share of 1e-3 of the least point


def read(dataset, tmp_path, isotope="", **given):
    return read_projections(saved(dataset, tmp_path), CameraFacts(**given), isotope)


def assert_right(projections):
    found = found_at(projections)
    assert found is not None
    np.testing.assert_allclose(found, POINTS, atol=WITHIN_MM)


@pytest.mark.parametrize("order", [("window", "detector", "view"), ("view", "window", "detector")])
@pytest.mark.parametrize("start", [0.0, 90.0, 217.0])
@pytest.mark.parametrize("heads", [1, 2, 3])
@pytest.mark.parametrize("direction", ["CW", "CC"])
def test_points_lie_where_they_are(tmp_path, direction, heads, start, order):
    starts = tuple((start + first) % 360 for first in HEADS[heads])
    dataset = nm_dataset(
        direction=direction, starts=starts, views=12, step=360 / heads / 12, order=order, windows=2
    )
    found = read(dataset, tmp_path, window="2")
    assert found.camera.shape == (12 * heads, 30, 26)
    assert found.camera.bin_mm == pytest.approx(COLUMN_MM)
    assert found.camera.plane_mm == pytest.approx(ROW_MM)
    assert_right(found)
    radius = dict(zip(found.heads, found.camera.radius_mm, strict=True))
    assert radius == {head: 190.0 + 10 * head for head in range(1, heads + 1)}
    np.testing.assert_array_equal(found.counts[1], 2 * found.counts[0])


@pytest.mark.parametrize("first_row", ["head", "feet"])
@pytest.mark.parametrize("position", ["HFS", "HFP", "FFS", "FFP"])
def test_angles_are_about_the_patient_however_he_lies(tmp_path, position, first_row):
    """The standard's zero is the patient's back; orientation says which row is the head."""
    dataset = nm_dataset(starts=(217.0, 37.0), position=position, first_row=first_row)
    found = read(dataset, tmp_path)
    assert found.facts["patient_position"] == position
    assert_right(found)


def test_a_mirrored_reading_is_not_right(tmp_path):
    """The test itself tells left from right, front from back and head from feet."""
    from dataclasses import replace

    found = read(nm_dataset(starts=(30.0,)), tmp_path)
    for data in (found.data[:, ::-1], found.data[:, :, ::-1], found.data[::-1]):
        other = found_at(replace(found, data=data))
        assert other is None or np.abs(other - POINTS).max() > 5


@pytest.mark.parametrize("starts", [(0.0,), (217.0, 37.0), (90.0, 210.0, 330.0)])
@pytest.mark.parametrize("first_row", ["head", "feet"])
def test_place_in_the_patient(tmp_path, starts, first_row):
    origin = (12.5, -41.0, 310.25)
    dataset = nm_dataset(starts=starts, first_row=first_row, origin=origin)
    found = read(dataset, tmp_path)
    np.testing.assert_allclose(found.origin_mm, origin, atol=1e-3)
    given = read(dataset, tmp_path, axis_mm=(1.0, 2.0, 3.0))
    assert given.origin_mm == (1.0, 2.0, 3.0)


def test_heads_that_disagree_leave_the_place_open(tmp_path):
    dataset = nm_dataset(starts=(0.0, 180.0), origin=(0.0, 0.0, 0.0))
    for head in dataset.DetectorInformationSequence:  # as some makers do: in the axis' plane
        head.ImagePositionPatient[1] = 0.0
    found = read(dataset, tmp_path)
    assert found.origin_mm is None
    assert "apart" in found.facts["origin_from"]
    assert_right(found)


def test_a_place_beyond_any_room_is_left_open(tmp_path):
    dataset = nm_dataset(starts=(0.0, 180.0), origin=(0.0, 0.0, 0.0))
    for head in dataset.DetectorInformationSequence:
        head.ImagePositionPatient[1] = 1e30
    found = read(dataset, tmp_path)
    assert found.origin_mm is None
    assert "beyond" in found.facts["origin_from"]


def test_windows_by_isotope_name_and_number(tmp_path):
    dataset = nm_dataset(windows=3)
    found = read(dataset, tmp_path)
    assert found.windows[found.chosen].name == "Tc peak"
    assert found.facts["radionuclide"] == "Tc-99m"
    assert found.scatter_windows() == (0, 2)
    widths = [high - low for window in found.windows for low, high in window.ranges_kev]
    assert widths == pytest.approx([14.5, 28.1, 13.4])
    assert read(dataset, tmp_path, window="high").chosen == 2
    assert read(dataset, tmp_path, window="1").chosen == 0
    assert read(dataset, tmp_path, isotope="I-123").chosen == 2
    with pytest.raises(SettingsError, match="no one energy window '4'"):
        read(dataset, tmp_path, window="4")
    del dataset.RadiopharmaceuticalInformationSequence
    with pytest.raises(FormatError, match=r"no isotope is named: give --window"):
        read(dataset, tmp_path)


def test_radii_of_views_heads_and_rotations(tmp_path):
    dataset = nm_dataset(starts=(0.0, 180.0), views=4, step=45.0, order=("view", "detector"))
    dataset.DetectorInformationSequence[0].RadialPosition = [200, 210, 220, 230]
    del dataset.DetectorInformationSequence[1].RadialPosition
    dataset.RotationInformationSequence[0].RadialPosition = [300, 310, 320, 330]
    camera = read(dataset, tmp_path).camera
    np.testing.assert_allclose(camera.radius_mm, [200, 210, 220, 230, 300, 310, 320, 330])
    np.testing.assert_allclose(
        np.rad2deg(camera.theta_rad) % 360, [270, 225, 180, 135, 90, 45, 0, 315], atol=1e-9
    )
    given = read(dataset, tmp_path, radius_mm=(250.0,)).camera
    np.testing.assert_array_equal(given.radius_mm, 250.0)
    every = tuple(float(radius) for radius in range(200, 280, 10))
    np.testing.assert_array_equal(read(dataset, tmp_path, radius_mm=every).camera.radius_mm, every)


def test_an_item_of_rotation_for_each_head_is_not_guessed_at(tmp_path):
    """Some makers put each head's radii there, though there is one rotation."""
    dataset = nm_dataset(starts=(0.0, 180.0), views=4, step=45.0)
    dataset.RotationInformationSequence.append(dataset.RotationInformationSequence[0])
    with pytest.raises(FormatError, match=r"RotationInformationSequence .*2 items.*--radius-mm"):
        read(dataset, tmp_path)
    assert_right(read(dataset, tmp_path, radius_mm=(210.0,)))


@pytest.mark.parametrize("first_row", ["head", "feet"])
@pytest.mark.parametrize("starts", [(0.0, 180.0), (90.0, 0.0)])
def test_one_orientation_for_all_heads(tmp_path, caplog, first_row, starts):
    """Some makers write the first head's for each: its rows tell which end is up."""
    dataset = nm_dataset(starts=starts, views=4, step=45.0, first_row=first_row)
    one, two = dataset.DetectorInformationSequence
    two.ImageOrientationPatient = one.ImageOrientationPatient
    assert_right(read(dataset, tmp_path))
    assert f"the first, which does not fit {starts[1]:g} degrees" in caplog.text
    assert f"taken for the patient's {first_row}" in caplog.text
    caplog.clear()
    assert_right(read(dataset, tmp_path, first_row=first_row))
    assert not caplog.text
    one.ImageOrientationPatient = two.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    with pytest.raises(FormatError, match="--first-row"):
        read(dataset, tmp_path)


def test_gates(tmp_path):
    dataset = nm_dataset(gates=3, order=("slot", "view"))
    whole = read(dataset, tmp_path)
    assert_right(whole)
    parts = [read(dataset, tmp_path, gate=gate).data for gate in (1, 2, 3)]
    np.testing.assert_array_equal(sum(parts), whole.data)
    np.testing.assert_array_equal(parts[2], 3 * parts[0])
    with pytest.raises(FormatError, match=r"no gate 4 \(--gate\)"):
        read(dataset, tmp_path, gate=4)


def test_what_a_person_says_stands_in(tmp_path):
    dataset = nm_dataset(starts=(90.0, 270.0), views=10, step=18.0, order=("view", "detector"))
    turn = dataset.RotationInformationSequence[0]
    del turn.AngularStep, turn.RotationDirection, turn.StartAngle
    for head in dataset.DetectorInformationSequence:
        del head.StartAngle, head.RadialPosition, head.ImageOrientationPatient
    del dataset.PixelSpacing, dataset.DetectorVector, dataset.AngularViewVector
    del dataset.PatientGantryRelationshipCodeSequence
    said = {
        "start_angles_deg": (90.0, 270.0), "angular_step_deg": 18.0, "direction": "cc",
        "radius_mm": (222.0,), "pixel_mm": (ROW_MM, COLUMN_MM), "patient_position": "ffs",
        "first_row": "head", "frame_order": ("view", "detector"),
    }  # fmt: skip
    assert_right(read(dataset, tmp_path, **said))
    attributes = {
        "start_angles_deg": "StartAngle", "angular_step_deg": "AngularStep",
        "direction": "RotationDirection", "radius_mm": "RadialPosition",
        "pixel_mm": "PixelSpacing", "patient_position": "PatientGantryRelationshipCodeSequence",
        "first_row": "ImageOrientationPatient", "frame_order": "Vector",
    }  # fmt: skip
    for name, attribute in attributes.items():
        flag = "--" + name.replace("_", "-")
        rest = {key: value for key, value in said.items() if key != name}
        with pytest.raises(FormatError, match=rf"{attribute} \([\dA-F,]+\) .*{flag}"):
            read(dataset, tmp_path, **rest)


def test_axis_off_the_middle(tmp_path):
    dataset = nm_dataset()
    dataset.DetectorInformationSequence[0].CenterOfRotationOffset = 4.75
    with pytest.raises(FormatError, match=r"CenterOfRotationOffset \(0018,1145\).*--axis-column"):
        read(dataset, tmp_path)
    camera = read(dataset, tmp_path, axis_column=15.5).camera
    assert camera.u_mm[0] == pytest.approx(-15.5 * COLUMN_MM)
    turned = read(dataset, tmp_path, axis_column=15.5, first_row="feet").camera
    assert turned.u_mm[-1] == pytest.approx(15.5 * COLUMN_MM)


def test_kinds_and_the_scan(tmp_path):
    from emrecon.io.scan import read_scan

    path = saved(nm_dataset(windows=3, origin=(1.0, 2.0, 3.0)), tmp_path)
    assert io.kind(path) == "projections"
    scan, inputs = read_scan(path)
    assert inputs == {"prompts": path}
    assert scan.duration_s == 12 * 15
    assert scan.facts["view_duration_s"] == 15
    assert scan.origin_mm == pytest.approx((1, 2, 3), abs=1e-3)
    with pytest.raises(FormatError, match="holds no image"):
        io.read_image(path)


def test_unknown_collimators_need_a_word(tmp_path):
    dataset = nm_dataset()
    dataset.DetectorInformationSequence[0].CollimatorType = "UNKN"
    with pytest.raises(FormatError, match=r"CollimatorType \(0018,1181\).*--parallel-holes"):
        read(dataset, tmp_path)
    assert_right(read(dataset, tmp_path, parallel_holes=True))
    dataset.DetectorInformationSequence[0].CollimatorType = ""  # PARA is the standard's default
    assert_right(read(dataset, tmp_path))


def test_the_energy_of_the_photons_is_that_of_the_window(tmp_path):
    from emrecon.io.spect import Window, emission_kev

    low, high = Window("", ((154.0, 188.0),)), Window("", ((220.0, 270.0),))
    assert emission_kev("In-111", low) == pytest.approx(171.3, abs=0.1)
    assert emission_kev("In-111", high) == pytest.approx(245.4, abs=0.1)
    assert emission_kev("In-111", None) == pytest.approx(171.3, abs=0.1)
    assert emission_kev("Xx-1", low) is None
    assert read(nm_dataset(windows=3), tmp_path).facts["emission_kev"] == pytest.approx(140.511)


@pytest.mark.parametrize("padding", [1, 2, 126])
def test_padding_of_pixels_is_dropped(tmp_path, padding):
    dataset = nm_dataset()
    plain = read(dataset, tmp_path).data
    dataset.PixelData += bytes(padding)
    np.testing.assert_array_equal(read(dataset, tmp_path).data, plain)


def test_stored_values_are_counts_by_their_slope(tmp_path):
    dataset = nm_dataset()
    plain = read(dataset, tmp_path).data
    dataset.RescaleSlope, dataset.RescaleIntercept = 0.25, 0
    scaled = read(dataset, tmp_path)
    np.testing.assert_array_equal(scaled.data, plain / 4)
    assert scaled.facts["counts_of_stored_1"] == 0.25
