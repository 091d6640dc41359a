"""Interfile SPECT in STIR's dialect: read as STIR projects, written so that it reads the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from emrecon import io
from emrecon.errors import FormatError, GeometryError, WriteError
from emrecon.io.interfile.spect import read_projections, write_projections
from emrecon.io.scan import read_scan
from emrecon.tomo.exam import ExamInfo
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.inputs import CameraFacts, Corrections
from tests.io.spect_points import POINTS, WEIGHTS, found_at

VIEWS, BINS, PLANES, BIN_MM, PLANE_MM = 10, 30, 26, 4.75, 3.5

# How a patient's L, P, S stand to the gantry's left, floor and feet end, by common sense: lying
# the other way round or on the belly.
GANTRY = {
    "HFS": lambda p: (-p[0], -p[1], -p[2]),
    "HFP": lambda p: (p[0], p[1], -p[2]),
    "FFS": lambda p: (p[0], -p[1], p[2]),
    "FFP": lambda p: (-p[0], p[1], p[2]),
}


def stored(position, start, step, offset=0.0):
    """Return projections ``[view, axial, bin]`` by the measured law, from the gantry's axes."""
    out = np.zeros((VIEWS, PLANES, BINS), np.float32)
    for view in range(VIEWS):
        phi = np.deg2rad(start + step * view)
        for point, weight in zip(POINTS, WEIGHTS, strict=True):
            x, y, z = GANTRY[position](point)
            c = (-x * np.cos(phi) + y * np.sin(phi)) / BIN_MM + (BINS - 1) / 2
            r = z / PLANE_MM + (PLANES - 1) / 2
            i, j = int(np.floor(r)), int(np.floor(c))
            for di, wi in ((0, 1 - (r - i)), (1, r - i)):
                for dj, wj in ((0, 1 - (c - j)), (1, c - j)):
                    out[view, i + di, j + dj] += weight * wi * wj
    return out


def written(folder, data, **changes):
    keys = {
        "!imaging modality": "nucmed", "!version of keys": "3.3", "name of data file": "a.s",
        "!type of data": "Tomographic", "imagedata byte order": "LITTLEENDIAN",
        "!number format": "float", "!number of bytes per pixel": "4",
        "patient orientation": "head_in", "patient rotation": "supine",
        "!matrix size [1]": str(BINS), "!scaling factor (mm/pixel) [1]": str(BIN_MM),
        "!matrix size [2]": str(PLANES), "!scaling factor (mm/pixel) [2]": str(PLANE_MM),
        "!number of projections": str(VIEWS), "!extent of rotation": "360",
        "!process status": "acquired", "!direction of rotation": "CW", "start angle": "180",
        "orbit": "circular", "radius": "150",
    }  # fmt: skip
    keys |= changes
    lines = [f"{key} := {value}" for key, value in keys.items() if value is not None]
    path = folder / "a.hs"
    path.write_text("\n".join(["!INTERFILE :=", *lines, "!END OF INTERFILE :=", ""]))
    data.astype("<f4").tofile(folder / "a.s")
    return path


@pytest.mark.parametrize("direction", ["CW", "CC"])
@pytest.mark.parametrize("start", [0, 90, 217])
@pytest.mark.parametrize("position", GANTRY)
def test_points_lie_where_they_are(tmp_path, position, start, direction):
    step = -36 if direction == "CW" else 36
    path = written(
        tmp_path, stored(position, start, step),
        **{
            "start angle": str(start), "!direction of rotation": direction,
            "patient orientation": "head_in" if position[0] == "H" else "feet_in",
            "patient rotation": "prone" if position[2] == "P" else "supine",
        },
    )  # fmt: skip
    read = read_projections(path)
    assert read.facts["patient_position"] == position
    np.testing.assert_allclose(found_at(read), POINTS, atol=0.01)


def test_head_first_supine_is_dicoms_angle(tmp_path):
    """Behind the patient at 0, at his left at 90: theta = -90 degrees - angle."""
    path = written(tmp_path, stored("HFS", 0, 0), **{"!direction of rotation": "CC",
                                                     "start angle": "0"})  # fmt: skip
    theta = np.rad2deg(read_projections(path).camera.theta_rad) % 360
    np.testing.assert_allclose(theta, (-90 - 36 * np.arange(10)) % 360, atol=1e-9)


@pytest.mark.parametrize(
    "orbit",
    [
        {"orbit": "non-circular", "radius": None, "radii": "{%s}"},
        {"orbit": "circular", "radius": "{%s}"},
        {"orbit": "Non-circular", "radius": "{%s}"},
    ],
)
def test_a_radius_a_view_under_any_key(tmp_path, orbit):
    radii = np.arange(140.0, 150.0)
    listed = ", ".join(map(str, radii))
    orbit = {key: value and value.replace("%s", listed) for key, value in orbit.items()}
    camera = read_projections(written(tmp_path, stored("HFS", 180, -36), **orbit)).camera
    np.testing.assert_array_equal(camera.radius_mm, radii)


@pytest.mark.parametrize("position", GANTRY)
@pytest.mark.parametrize("step", [-7.5, 7.5])
@pytest.mark.parametrize("circular", [True, False])
def test_written_and_read_again(tmp_path, position, step, circular):
    rng = np.random.default_rng(1)
    radii = np.full(24, 145.5) if circular else rng.uniform(140, 200, 24)
    camera = Camera(
        np.deg2rad(33.3 + step * np.arange(24)), radii,
        (np.arange(7) - 3) * 3.32, (np.arange(5) - 2) * 2.5,
    )  # fmt: skip
    data = rng.random(camera.shape, np.float32)
    exam = ExamInfo(
        nuclide="Tc-99m", emission_kev=140.511, window_kev=(126.0, 154.0), duration_s=720.0,
        start_s=0.0, calibration_factor=2.5, patient_position=position,
    )  # fmt: skip
    write_projections(tmp_path / "a.hs", camera, data, exam)
    read = read_projections(tmp_path / "a.hs")
    assert camera.difference(read.camera) == ""
    np.testing.assert_array_equal(read.data, data)
    assert read.exam == replace(exam, emission_kev=pytest.approx(140.511, abs=0.01))
    assert read.facts["radionuclide"] == "Tc-99m"
    assert read.facts["energy_window_kev"] == [126, 154]
    assert ("non-circular" in (tmp_path / "a.hs").read_text()) is not circular


def mu_map(folder, *, size=12, offsets=True, position=("head_in", "supine")):
    """Write a map of water as STIR would; its own offsets of even sizes are those of no header."""
    lines = ["!INTERFILE :=", "!imaging modality := nucmed", "name of data file := mu.v",
             *(f"{key} := {word}" for key, word in
               zip(("patient orientation", "patient rotation"), position, strict=True) if word),
             "imagedata byte order := LITTLEENDIAN", "!number format := float",
             "!number of bytes per pixel := 4", "number of dimensions := 3"]  # fmt: skip
    for axis, label in enumerate("xyz", 1):
        lines += [f"matrix axis label [{axis}] := {label}", f"!matrix size [{axis}] := {size}",
                  f"scaling factor (mm/pixel) [{axis}] := {BIN_MM}"]  # fmt: skip
        if not offsets:
            middle = 0 if label == "z" else -(size - 1) / 2 * BIN_MM
            lines += [f"first pixel offset (mm) [{axis}] := {middle}"]
    (folder / "mu.hv").write_text("\n".join([*lines, "!END OF INTERFILE :=", ""]))
    np.full((size, size, size), 0.15, "<f4").tofile(folder / "mu.v")
    return Corrections(mu=folder / "mu.hv", mu_unit="1/cm")


def test_a_map_of_stirs_is_centred_where_a_person_says_so(tmp_path, caplog):
    """STIR's projector of SPECT centres the array, which its header puts half a voxel aside."""
    scan = written(tmp_path, stored("HFS", 180, -36))
    half = BIN_MM / 2
    parts = mu_map(tmp_path)
    beside = read_scan(scan, parts)[0].mu
    middle = beside.affine @ (5.5, 5.5, 5.5, 1)
    np.testing.assert_allclose(middle[:3], (half, half, 0), atol=1e-6)
    assert f"lies {half:.3g}, {half:.3g}, " in caplog.text
    assert "give --mu-centred" in caplog.text
    caplog.clear()
    centred = read_scan(scan, replace(parts, mu_centred=True))[0].mu
    np.testing.assert_allclose((centred.affine @ (5.5, 5.5, 5.5, 1))[:3], 0, atol=1e-6)
    np.testing.assert_array_equal(centred.voxels, beside.voxels)
    read_scan(scan, mu_map(tmp_path, offsets=False))  # centred by its own header
    read_scan(scan, mu_map(tmp_path, size=13))  # its middle is a voxel
    assert "mu-centred" not in caplog.text


@pytest.mark.parametrize(
    ("scan_lies", "map_lies", "says"),
    [
        (("head_in", "prone"), ("head_in", "supine"), r"supine \(HFS\).*prone \(HFP\)"),
        (("feet_in", "supine"), ("", ""), "does not say how the patient lies, who is FFS"),
        (("head_in", "supine"), ("feet_in", "prone"), r"prone \(FFP\)"),
        (("head_in", "supine"), ("", ""), ""),
        (("feet_in", "prone"), ("feet_in", "prone"), ""),
    ],
)
def test_map_and_scan_of_one_position(tmp_path, scan_lies, map_lies, says):
    names = ("patient orientation", "patient rotation")
    data = stored("HFS", 180, -36)
    scan = written(tmp_path, data, **dict(zip(names, scan_lies, strict=True)))
    parts = mu_map(tmp_path, position=map_lies)
    if not says:
        assert read_scan(scan, parts)[0].mu is not None
        return
    with pytest.raises(GeometryError, match=says):
        read_scan(scan, parts)


def test_what_a_header_cannot_say_is_not_written(tmp_path):
    theta = np.deg2rad([0.0, 10.0, 25.0])
    row = (np.arange(5) - 2.0) * 3
    data = np.ones((3, 5, 5), np.float32)
    path = tmp_path / "a.hs"
    even = np.deg2rad([0.0, 10.0, 20.0])
    for camera in (
        Camera(theta, np.full(3, 150.0), row, row),
        Camera(even, np.full(3, 150.0), row + 1, row),
        Camera(even, np.full(3, 150.0), row, row + 1),
    ):
        with pytest.raises(GeometryError):
            write_projections(path, camera, data)
    good = Camera(even, np.full(3, 150.0), row, row)
    with pytest.raises(GeometryError, match="do not fit"):
        write_projections(path, good, data[:2])
    with pytest.raises(GeometryError, match="HFDL"):
        write_projections(path, good, data, ExamInfo(patient_position="HFDL"))
    with pytest.raises(WriteError, match=r"named \.hs"):
        write_projections(tmp_path / "a.nii", good, data)
    assert not list(tmp_path.iterdir())


BAD = {
    "no radius": ({"radius": None}, "give --radius-mm"),
    "radii": ({"radius": "{140, 150, 160}"}, "3 radii .* for 10 projections"),
    "negative radius": ({"radius": "-150"}, "above 0"),
    "no start": ({"start angle": None}, "'start angle' is missing: give --start-angles-deg"),
    "no extent": ({"!extent of rotation": None}, "'extent of rotation' is missing"),
    "no direction": ({"!direction of rotation": None}, "is missing: give --direction CW or CC"),
    "direction": ({"!direction of rotation": "up"}, "direction of rotation := up"),
    "no pixel": ({"!scaling factor (mm/pixel) [2]": None}, "give --pixel-mm"),
    "orbit": ({"orbit": "elliptic"}, "orbit := elliptic"),
    "images": ({"!process status": "reconstructed"}, "process status := reconstructed"),
    "windows": ({"number of energy windows": "2"}, "number of energy windows"),
    "frames": ({"number of time frames": "3"}, "number of time frames"),
    "PET": ({"!imaging modality": "PT"}, "imaging modality"),
    "on the side": ({"patient rotation": "left"}, "patient rotation"),
    "truncated": ({"!matrix size [2]": "27"}, "truncated"),
    "more planes than memory": ({"!matrix size [2]": "9" * 15}, "truncated"),
    "more views than memory": ({"!number of projections": "9" * 15}, "truncated"),
    "beyond any number": ({"!matrix size [2]": "9" * 20}, "matrix size .*no number is above"),
    "no data": ({"name of data file": "b.s"}, "no data file"),
}


@pytest.mark.parametrize("what", BAD)
def test_refused_by_name(tmp_path, what):
    changes, words = BAD[what]
    path = written(tmp_path, stored("HFS", 180, -36), **changes)
    with pytest.raises(FormatError, match=words):
        read_projections(path)


def test_what_a_person_says_stands_in(tmp_path):
    lacking = {"radius": None, "start angle": None, "!scaling factor (mm/pixel) [1]": None}
    path = written(tmp_path, stored("HFS", 180, -36), **lacking)
    given = CameraFacts(radius_mm=(150.0,), start_angles_deg=(180.0,), pixel_mm=(PLANE_MM, BIN_MM))
    np.testing.assert_allclose(found_at(read_projections(path, given)), POINTS, atol=0.01)


def test_a_direction_is_said(tmp_path):
    path = written(tmp_path, stored("HFS", 180, -36), **{"!direction of rotation": None})
    read = read_projections(path, CameraFacts(direction="CW"))
    np.testing.assert_allclose(found_at(read), POINTS, atol=0.01)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"radius": "2"}, "collimator is 2 to 2 mm from the axis"),
        ({"radius": "15000"}, "are the radii in mm"),
        ({"!extent of rotation": "6.2832"}, "are of 5.65 degrees alone"),
        ({"!scaling factor (mm/pixel) [1]": "0.5"}, "bins are 0.5 mm across"),
    ],
)
def test_numbers_of_another_unit_are_told(tmp_path, caplog, changes, words):
    read_scan(written(tmp_path, stored("HFS", 180, -36), **changes))
    assert words in caplog.text
    assert len(caplog.messages) == bool(words)


def test_simset(shared_data):
    """Counts of SimSET in STIR's example: sizes, sums and where its header puts them."""
    path = shared_data / "spect_simset" / "input.hs"
    assert io.kind(path) == "projections"
    scan, _ = read_scan(path)
    raw = np.fromfile(path.with_suffix(".s"), "<f4").reshape(120, 64, 128)
    assert scan.bins.shape == (120, 128, 64)
    assert scan.bins.bin_mm == pytest.approx(3.32)
    np.testing.assert_array_equal(scan.bins.radius_mm, 150.0)
    # 180 is in front of the patient; the axial coordinate of STIR runs to the feet.
    assert np.rad2deg(scan.bins.theta_rad[0]) == pytest.approx(90.0)
    np.testing.assert_array_equal(scan.prompts, raw.transpose(0, 2, 1)[:, :, ::-1])
