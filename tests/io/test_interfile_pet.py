"""PET projections: every number of the file must lie on the line that STIR's rules give it."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest

from emrecon.errors import FormatError, GeometryError, WriteError
from emrecon.io import kind
from emrecon.io.interfile import read_geometry, read_projections, write_projections
from emrecon.io.interfile.pet import Flight
from emrecon.tomo.exam import ExamInfo
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.presets import PRESETS
from tests.io.conftest import CRYSTALS, DEPTH_CM, DIAMETER_CM, SPACING_CM

RADIUS = DIAMETER_CM * 5 + DEPTH_CM * 10
RING = SPACING_CM * 10

# Gantry x, y, z run to L, P, I of a patient head first supine; other positions turn the patient.
GANTRY_TO_RAS = {
    ("head_in", "supine"): (-1, -1, -1),
    ("head_in", "prone"): (1, 1, -1),
    ("feet_in", "supine"): (1, -1, 1),
    ("feet_in", "prone"): (-1, 1, 1),
}


def stir_ends(place, *, planes, views, bins, offset_deg=0.0, arc_mm=None):
    """Return the two ends of a line in gantry axes, by STIR's formulas."""
    low, high, view, axial, tangential = place
    t = tangential - bins // 2
    mash = CRYSTALS // 2 // views
    phi = np.deg2rad(offset_deg) + np.pi / (CRYSTALS / 2) * (mash - 1) / 2 + view * np.pi / views
    s = t * arc_mm if arc_mm else RADIUS * np.sin(t * np.pi / CRYSTALS)
    m = (axial - (planes - 1) / 2) * RING / (2 if low != high else 1)
    half = np.sqrt(RADIUS**2 - s**2)
    tan = (low + high) / 2 * RING / (2 * half)
    return [
        (s * np.cos(phi) - k * np.sin(phi), s * np.sin(phi) + k * np.cos(phi), m + k * tan)
        for k in (-half, half)
    ]


def bins_ends(bins, view, tangential, plane):
    """Return the two ends of a line in RAS, by the conventions."""
    phi, s, half = bins.phi_rad[view], bins.s_mm[tangential], bins.half_chord_mm[tangential]
    return [
        (
            s * np.cos(phi) - k * half * np.sin(phi),
            s * np.sin(phi) + k * half * np.cos(phi),
            bins.plane_z_mm[plane] + k / 2 * bins.plane_tilt_mm[plane],
        )
        for k in (-1, 1)
    ]


def assert_lines(projections, places, signs, *, every=1, **geometry):
    """Check that each number read lies on the line of its place in the file."""
    planes = {(s.ring_differences): s.planes for s in projections.bins.segments}
    where = np.argsort(projections.data, axis=None)
    for number in range(0, len(places), every):
        at = np.unravel_index(where[number], projections.data.shape)
        assert projections.data[at] == number
        place = places[number]
        wanted = np.array(stir_ends(place, planes=planes[place[:2]], **geometry)) * signs
        found = np.array(bins_ends(projections.bins, *at))
        same = np.abs(found - wanted).max()
        swapped = np.abs(found[::-1] - wanted).max()
        assert min(same, swapped) < 1e-9 * RADIUS, place


@pytest.mark.parametrize(("orientation", "rotation"), GANTRY_TO_RAS)
@pytest.mark.parametrize("bins", [7, 8])
def test_every_number_on_its_line_in_every_patient_position(make_pet, orientation, rotation, bins):
    path, places = make_pet(
        span=3,
        bins=bins,
        views=6,
        most=7,
        **{
            "patient orientation": orientation,
            "patient rotation": rotation,
            "View offset (degrees)": "7.5",
        },
    )
    read = read_projections(path)
    signs = GANTRY_TO_RAS[orientation, rotation]
    assert_lines(read, places, signs, every=7, views=6, bins=bins, offset_deg=7.5)
    assert read.facts["view_offset_deg"] == 7.5
    assert read.facts["patient_position"][2] == rotation[0].upper()
    assert np.all(np.diff(read.bins.phi_rad) > 0)


@pytest.mark.parametrize("span", [1, 3, 5, 11])
@pytest.mark.parametrize("by_view", [True, False])
@pytest.mark.parametrize("arc", [True, False])
def test_every_layout(make_pet, span, by_view, arc):
    changes = (
        {"applied corrections": "{arc correction}", "effective central bin size (cm)": "1.3"}
        if arc
        else {}
    )
    path, places = make_pet(span=span, by_view=by_view, **changes)
    read = read_projections(path)
    assert read.bins.arc_corrected is arc
    assert read.bins.shape == read.data.shape
    assert_lines(
        read, places, (-1, -1, -1), every=23, views=12, bins=8, arc_mm=13.0 if arc else None
    )


@pytest.mark.parametrize("by_view", [True, False])
@pytest.mark.parametrize("orientation", ["head_in", "feet_in"])
@pytest.mark.parametrize("piece", [1, 50, 500])
def test_pieces_of_any_size_hold_the_same(make_pet, monkeypatch, by_view, orientation, piece):
    path, _ = make_pet(span=3, by_view=by_view, **{"patient orientation": orientation})
    whole, some = read_projections(path).data, np.array([5, 0, 7])
    monkeypatch.setattr("emrecon.io.interfile.layout.PIECE", piece)
    np.testing.assert_array_equal(read_projections(path).data, whole)
    chosen = read_projections(path, only=lambda views: some).data
    np.testing.assert_array_equal(chosen, whole[some])


def test_segments_in_any_order_come_as_0_plus_minus(make_pet):
    path, places = make_pet(span=3, most=10, order=[4, 0, 3, 6, 2, 5, 1])
    read = read_projections(path)
    differences = [segment.ring_differences for segment in read.bins.segments]
    assert differences == [(-1, 1), (2, 4), (-4, -2), (5, 7), (-7, -5), (8, 10), (-10, -8)]
    assert_lines(read, places, (-1, -1, -1), every=11, views=12, bins=8)


@pytest.mark.parametrize(
    "dtype", ["<f4", ">f4", "<f8", ">f8", "<i1", "<u1", "<i2", ">i2", "<u2", ">u2", "<i4", ">u4"]
)
def test_every_number_format(make_pet, dtype):
    kind = np.dtype(dtype)
    low = -100 if kind.kind != "u" else 0
    top = 100 if kind.itemsize == 1 else 30000
    plain, _ = make_pet()
    order = read_projections(plain).data.astype(int)

    def values(block):
        return low + block % (top - low)

    path, _ = make_pet(dtype=dtype, values=values, offset=13)
    np.testing.assert_array_equal(read_projections(path).data, values(order))


def test_byte_order_is_big_and_numbers_unsigned_unless_stated(make_pet):
    path, _ = make_pet(
        dtype=">u2",
        values=lambda b: b % 5000,
        **{"imagedata byte order": None, "!number format": None},
    )
    read = read_projections(path)
    assert read.data.max() == 4999
    assert read.data.min() == 0


def test_short_float_is_four_bytes(make_pet):
    path, places = make_pet(**{"!number format": "short float"})
    assert read_projections(path).data.max() == len(places) - 1


def test_factors_per_file_and_per_segment(make_pet):
    path, _ = make_pet(most=1, values=lambda b: b * 0 + 4)
    ones = path.read_text()
    path.write_text(ones.replace("!END", "image scaling factor[1] := 0.25\n!END"))
    assert np.all(read_projections(path).data == 1)
    path.write_text(ones.replace("!END", "image scaling factor[1] := {0.25,0.5,1}\n!END"))
    read = read_projections(path)
    start = read.bins.offsets
    # Segments stand as -1, 0, +1 in the file, as 0, +1, -1 in the result.
    assert read.data[0, 0, start].tolist() == [2, 4, 1]
    path.write_text(ones.replace("!END", "quantification units := 0.5\n!END"))
    assert np.all(read_projections(path).data == 2)


def test_timing_positions_are_summed(make_pet, caplog):
    plain, _ = make_pet(span=3, order=[2, 0, 1], most=4)
    once = read_projections(plain).data
    with caplog.at_level(logging.WARNING):
        path, _ = make_pet(span=3, order=[2, 0, 1], most=4, timings=[1, 10, 3])
        read = read_projections(path, Flight(summed=True))
    np.testing.assert_array_equal(read.data, 14 * once)
    assert read.facts["tof_bins_summed"] == 3
    assert read.bins.timing is None
    assert "time of flight is not used" in caplog.text


def test_a_header_without_position_is_head_first_supine(make_pet):
    stated, _ = make_pet()
    first = read_projections(stated)
    path, _ = make_pet(**{"patient orientation": None, "patient rotation": "unknown"})
    read = read_projections(path)
    np.testing.assert_array_equal(read.data, first.data)
    assert read.facts["patient_position"] == "HFS"
    assert (first.facts["patient_position_stated"], read.facts["patient_position_stated"]) == (
        True,
        False,
    )


def test_syntax_is_forgiving(make_pet):
    path, _ = make_pet()
    plain = read_projections(path)
    text = path.read_text()
    loose = "; a comment first\n\n" + text.replace(
        "number of dimensions :=", "!NUMBER__of   Dimensions:="
    ).replace("minimum ring", "Minimum_Ring").replace(
        "number of rings := 12", "number of rings:=12 ; twelve"
    ).replace(" := {-1", " := \\\n {-1").replace("matrix size [1]", "matrix size[ 1 ]")
    assert loose != text
    path.write_text(loose, newline="\r\n")
    read = read_projections(path)
    np.testing.assert_array_equal(read.data, plain.data)
    np.testing.assert_array_equal(read.bins.phi_rad, plain.bins.phi_rad)


def test_a_known_scanner_fills_in_what_the_header_leaves_out(tmp_path, make_pet):
    path, _ = make_pet(
        bins=10,
        views=96,
        most=1,
        **{
            "originating system": "PRT-1",
            "Number of rings": None,
            "Number of detectors per ring": None,
            "Inner ring diameter (cm)": None,
            "Average depth of interaction (cm)": "0.9",
            "Distance between rings (cm)": None,
            "Default bin size (cm)": None,
            "Maximum number of non-arc-corrected bins": None,
            "!matrix size [2]": "{15,16,15}",
        },
    )
    bins = read_geometry(path)
    known = PRESETS["PRT-1"]
    assert bins.scanner.rings == known.rings
    assert bins.scanner.max_bins == known.max_bins
    assert bins.radius_mm == pytest.approx(known.radius_mm + 9)  # the header's depth wins
    assert bins.phi_rad[0] == pytest.approx(np.pi / known.crystals)  # two views mashed


def test_unrelated_views_of_arc_corrected_data_are_equally_spaced(make_pet, caplog):
    path, _ = make_pet(
        views=10, **{"applied corrections": "{arc correction}", "View offset (degrees)": "3"}
    )
    bins = read_geometry(path)
    np.testing.assert_allclose(bins.phi_rad, np.deg2rad(3 + 18 * np.arange(10)))
    assert "not related" in caplog.text


def test_facts_and_ignored_keys(make_pet, caplog):
    path, _ = make_pet(
        **{
            "image duration (sec)[1]": "60.5",
            "image relative start time (sec)[1]": "100",
            "energy window lower level[1]": "430",
            "energy window upper level[1]": "610",
            "radionuclide name[1]": "^18^Fluorine",
            "calibration factor": "1.5",
            "colour of the bed": "blue",
            "patient name": "nobody",
        }
    )
    with caplog.at_level(logging.INFO):
        facts = read_projections(path).facts
    assert facts["duration_s"] == 60.5
    assert facts["start_s"] == 100
    assert facts["energy_window_kev"] == [430, 610]
    assert facts["radionuclide"] == "^18^Fluorine"
    assert facts["calibration_factor"] == 1.5
    assert facts["ignored_keys"] == ["colour of the bed"]
    assert "nobody" not in str(facts)
    assert "without effect: colour of the bed := blue" in caplog.text
    assert sum("colour" in message for message in caplog.messages) == 1


@pytest.mark.parametrize(("value", "known"), [("0", None), ("-1", None), ("60", 60)])
def test_times_that_are_not_known(make_pet, value, known):
    """STIR writes -1 for them, others 0."""
    path, _ = make_pet(**{"image duration (sec)[1]": value, "calibration factor": value})
    exam = read_projections(path).exam
    assert (exam.duration_s, exam.calibration_factor) == (known, known)


def test_a_duration_below_zero_is_refused(make_pet):
    path, _ = make_pet(**{"image duration (sec)[1]": "-60"})
    with pytest.raises(FormatError, match="it is above 0"):
        read_projections(path)


@pytest.mark.parametrize("sign", ["signed", "unsigned"])
def test_numbers_of_another_format_are_told(make_pet, caplog, sign):
    """Floating-point numbers read as whole ones are all of a thousand million."""
    path, places = make_pet(**{"!number format": f"{sign} integer"})
    data = np.arange(1, len(places) + 1) * 3.7
    data.astype("<f4").tofile(path.with_suffix(".s"))
    read_projections(path)
    assert "values make sense as floating-point numbers" in caplog.text
    caplog.clear()
    path.write_text(path.read_text().replace(f"{sign} integer", "float"))
    read_projections(path)
    assert not caplog.messages
    np.rint(data).astype("<i4").tofile(path.with_suffix(".s"))
    read_projections(path)
    assert "values make sense as whole numbers" in caplog.text


def test_geometry_needs_no_data(make_pet):
    path, _ = make_pet()
    bins = read_projections(path).bins
    (path.parent / "scan.s").unlink()
    assert read_geometry(path).shape == bins.shape
    assert kind(path) == "projections"


@pytest.mark.parametrize("span", [1, 3, 11])
@pytest.mark.parametrize("arc", [True, False])
@pytest.mark.parametrize("position", ["HFS", "HFP", "FFS", "FFP"])
def test_written_files_reopen_the_same(tmp_path, span, arc, position):
    rng = np.random.default_rng(1)
    bins = PRESETS["tiny"].bins(span=span, views=PRESETS["tiny"].crystals // 4, arc_corrected=arc)
    data = rng.normal(size=bins.shape).astype(np.float32)
    exam = ExamInfo(
        duration_s=1 / 3, patient_position=position, applied_corrections=("decay",)
    )  # fmt: skip
    write_projections(tmp_path / "a.hs", bins, data, exam)
    read = read_projections(tmp_path / "a.hs")
    assert read.data.tobytes() == data.tobytes()
    turn = read.bins.phi_rad - bins.phi_rad
    np.testing.assert_allclose(np.exp(1j * turn), 1, atol=1e-12)
    np.testing.assert_allclose(read.bins.s_mm, bins.s_mm, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(read.bins.plane_z_mm, bins.plane_z_mm, atol=1e-12)
    np.testing.assert_allclose(read.bins.plane_tilt_mm, bins.plane_tilt_mm, rtol=1e-12)
    assert read.bins.arc_corrected is arc
    assert read.bins.scanner.block_crystals == bins.scanner.block_crystals
    assert read.facts["patient_position"] == position
    assert read.facts["duration_s"] == 1 / 3
    assert "decay" in read.facts["applied_corrections"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.hs", "a.s"]


def test_what_was_read_writes_the_same_numbers_in_the_same_order(make_pet, tmp_path):
    """A file by view with ascending segments is what the writer makes of it."""
    path, _ = make_pet(
        span=3, **{"patient orientation": "feet_in", "View offset (degrees)": "-11"}
    )
    read = read_projections(path)
    write_projections(tmp_path / "again.hs", read.bins, read.data, read.exam)
    assert (tmp_path / "again.s").read_bytes() == (tmp_path / "scan.s").read_bytes()
    again = read_projections(tmp_path / "again.hs")
    assert again.facts["view_offset_deg"] == pytest.approx(-11, abs=1e-9)


def test_the_writer_refuses_what_a_header_cannot_say(tmp_path):
    ring = PRESETS["tiny"].bins()
    flat = Bins.parallel(np.linspace(0, 3, 5), np.arange(-3.0, 4.0), 4)
    some = replace(ring, phi_rad=ring.phi_rad[:9])
    for bins, match in ((flat, "ring scanner"), (some, "all views over 180")):
        with pytest.raises(GeometryError, match=match):
            write_projections(tmp_path / "a.hs", bins, np.zeros(bins.shape, np.float32))
    with pytest.raises(GeometryError, match="do not fit"):
        write_projections(tmp_path / "a.hs", ring, np.zeros((1, 2, 3), np.float32))
    zeros = np.zeros(ring.shape, np.float32)
    with pytest.raises(WriteError, match=r"\.hs"):
        write_projections(tmp_path / "a.dat", ring, zeros)
    with pytest.raises(WriteError, match="nowhere"):
        write_projections(tmp_path / "nowhere" / "a.hs", ring, zeros)
    with pytest.raises(GeometryError, match="HFDR"):
        write_projections(tmp_path / "a.hs", ring, zeros, ExamInfo(patient_position="HFDR"))
    assert not list(tmp_path.iterdir())
