"""Time of flight in PET projections: on the right side of the line, described, written."""

from __future__ import annotations

import numpy as np
import pytest

from emrecon.errors import FormatError, SettingsError
from emrecon.io import describe
from emrecon.io.interfile import read_geometry, read_projections, write_projections
from emrecon.io.interfile.pet import Flight
from emrecon.tomo.exam import ExamInfo
from emrecon.tomo.geometry.presets import PRESETS
from emrecon.tomo.geometry.tof import Timing
from tests.io.test_interfile_pet import GANTRY_TO_RAS, bins_ends, stir_ends

FLIGHT = {
    "Maximum number of (unmashed) TOF time bins": "16",
    "Size of unmashed TOF time bins (ps)": "80",
    "TOF mashing factor": "5",
    "TOF timing resolution (ps)": "400",
}


@pytest.mark.parametrize(("orientation", "rotation"), GANTRY_TO_RAS)
def test_time_of_flight_on_the_right_side(make_pet, orientation, rotation):
    """STIR's position k counts along the line towards its end at negative l in the gantry.

    That is end 1 of a line; the matrix takes the distance of a voxel from the middle as
    ``-inner_product(voxel - middle, unit vector to end 2)`` (ProjMatrixByBin of STIR 6).
    """
    lying = {"patient orientation": orientation, "patient rotation": rotation}
    path, places = make_pet(most=1, views=6, timings=[1, 10, 3], **lying, **FLIGHT)
    read = read_projections(path)
    timing = read.bins.timing
    assert (timing.bins, timing.width_ps, timing.fwhm_ps) == pytest.approx((3, 400, 400))
    assert read.data.shape == (3, *read.bins.shape)
    middle, signs = read.data[1] / 10, np.array(GANTRY_TO_RAS[orientation, rotation])
    for at in ((0, 1, 2), (3, 6, 20), (5, 0, 10)):
        place = places[round(float(middle[at]))]
        planes = {s.ring_differences: s.planes for s in read.bins.segments}[place[:2]]
        first, second = (signs * end for end in stir_ends(place, planes=planes, views=6, bins=8))
        ours = np.subtract(*bins_ends(read.bins, *at)[::-1])  # towards end 2
        same = ours @ (second - first) > 0
        # Position +1 holds 3 and lies towards STIR's first end.
        wanted = [3, 10, 1] if same else [1, 10, 3]
        assert read.data[:, *at] / middle[at] == pytest.approx(wanted)


def test_time_of_flight_that_is_not_described(make_pet, caplog):
    for key, says in (
        ("Size of unmashed TOF time bins (ps)", "sum_tof"),
        ("TOF timing resolution (ps)", "tof_fwhm_ps"),
    ):
        path, _ = make_pet(timings=[1, 2, 3], **(FLIGHT | {key: None}))
        with pytest.raises(FormatError, match=says):
            read_projections(path)
        assert "cannot be used" in describe(path)["time of flight"]
    assert read_geometry(path, Flight(fwhm_ps=321.0)).timing.fwhm_ps == pytest.approx(321)
    path, _ = make_pet(timings=[1, 2], **FLIGHT)
    with pytest.raises(FormatError, match="make 2"):
        read_projections(path)
    assert "time of flight" not in describe(make_pet()[0])


@pytest.mark.parametrize(
    ("timings", "flight", "says"),
    [
        ([], {"summed": True}, "sum_tof is for time of flight, and scan.hs has none"),
        ([], {"fwhm_ps": 321.0}, "tof_fwhm_ps is for time of flight, and scan.hs has none"),
        ([1, 2, 3], {"summed": True, "fwhm_ps": 321.0}, "leave out tof_fwhm_ps"),
        ([1, 2, 3], {"fwhm_ps": 321.0}, "tof_fwhm_ps is for files that do not say it"),
    ],
)
def test_what_has_no_effect_on_time_of_flight_is_refused(make_pet, timings, flight, says):
    path, _ = make_pet(**({"timings": timings, **FLIGHT} if timings else {}))
    with pytest.raises(SettingsError, match=says):
        read_projections(path, Flight(**flight))
    read_projections(path, Flight(**flight, prompts=False))  # a correction of others
    read_projections(path, Flight(fwhm_ps=400.0 if timings else 0.0))  # what it says itself


def test_a_known_scanner_says_its_time_of_flight(make_pet):
    signa = PRESETS["Signa PET/MR"]
    keys = {
        "originating system": "GE Signa PET/MR",
        "Number of rings": None,
        "Number of detectors per ring": None,
        "Inner ring diameter (cm)": None,
        "Average depth of interaction (cm)": None,
        "Distance between rings (cm)": None,
        "Default bin size (cm)": None,
        "!matrix size [2]": "{45}",
        "minimum ring difference per segment": "{0}",
        "maximum ring difference per segment": "{0}",
        "!matrix size [4]": "1",
    }
    path, _ = make_pet(views=224, most=0, timings=[1] * 27, **keys)
    assert read_geometry(path).timing == signa.timing


@pytest.mark.parametrize("position", ["HFS", "HFP", "FFS", "FFP"])
@pytest.mark.parametrize("count", [1, 5, 8])
def test_written_time_of_flight_reopens_the_same(tmp_path, position, count):
    bins = PRESETS["tiny"].bins(span=3, views=12).timed(Timing(33.3, 21.7, count))
    data = np.random.default_rng(1).normal(size=bins.data_shape).astype(np.float32)
    exam = ExamInfo(patient_position=position)
    write_projections(tmp_path / "a.hs", bins, data, exam)
    read = read_projections(tmp_path / "a.hs")
    assert read.data.tobytes() == data.tobytes()
    assert read.bins.timing.like(bins.timing)
    assert not bins.difference(read.bins)
    write_projections(tmp_path / "b.hs", bins, data[0], exam)
    flat = read_projections(tmp_path / "b.hs")
    assert flat.bins.timing is None
    assert not bins.difference(flat.bins)
    assert "time-of-flight" in bins.timed(Timing(33.3, 25.0, count)).difference(read.bins)
    assert f"{count} bins of 21.7 mm" in describe(tmp_path / "a.hs")["time of flight"]
