"""DICOM PT: legal files, values and places that come back, an SUV that others compute alike."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emrecon import Volume, read_image, write_image
from emrecon.cli import main
from emrecon.errors import DataError, EmreconError, FormatError, SettingsError
from emrecon.io import write_series
from emrecon.io.dicom.pet_exam import read_exam_facts
from emrecon.io.pet_facts import PetFacts
from emrecon.tomo.corrections.quantity import suv_factor
from tests.io.samples import ABOUT

pydicom = pytest.importorskip("pydicom")

DATA = Path(os.environ.get("EMRECON_TEST_DATA", "/nowhere"))


def image(*frames: int, unit: str = "Bq/mL") -> Volume:
    """Return an image off the axis, no two voxels alike, slices of very unlike range."""
    rng = np.random.default_rng(7)
    voxels = rng.uniform(0, 3e4, (*frames, 7, 5, 4)) * 10.0 ** -np.arange(4)
    affine = np.diag([2.5, 3.0, 4.25, 1.0])
    affine[:3, 3] = -12.0, 7.5, -30.125
    return Volume(voxels.astype(np.float32), affine, unit)


def written(folder: Path, volume: Volume, **changes: Any) -> list[Any]:
    folder.mkdir()
    about = {key: fact for key, fact in (ABOUT | changes).items() if fact is not None}
    return [pydicom.dcmread(path) for path in write_series(volume, folder, about)]


def in_place(slices: list[Any]) -> Volume:
    """Return slices as nibabel and dcm2niix place them, by the standard's equation C.7.6.2.1-1."""
    first, last = slices[0], slices[-1]
    rows, columns = np.array(first.ImageOrientationPatient, float).reshape(2, 3)
    affine = np.eye(4)
    affine[:3, 0] = rows * float(first.PixelSpacing[1])
    affine[:3, 1] = columns * float(first.PixelSpacing[0])
    ends = [np.array(each.ImagePositionPatient, float) for each in (first, last)]
    affine[:3, 2] = (ends[1] - ends[0]) / (len(slices) - 1)
    affine[:3, 3] = ends[0]
    voxels = np.stack([s.pixel_array.T * float(s.RescaleSlope) for s in slices], axis=2)
    return Volume(voxels.astype(np.float32), np.diag([-1.0, -1, 1, 1]) @ affine).ras()


def test_values_and_places_come_back(tmp_path: Path) -> None:
    volume = image()
    slices = written(tmp_path / "series", volume)
    back = in_place(slices)
    np.testing.assert_allclose(back.affine, volume.affine, atol=1e-5)
    most = volume.voxels.max(axis=(0, 1))
    assert (np.abs(back.voxels - volume.voxels) <= most / 131_000).all()
    assert slices[0].ImageOrientationPatient == [1, 0, 0, 0, 1, 0]  # as viewers show it
    ours = read_image(tmp_path / "series" / "00003.dcm")
    assert ours.unit == "Bq/mL"
    np.testing.assert_allclose(ours.ras().voxels, back.voxels, rtol=1e-6)
    np.testing.assert_allclose(ours.ras().affine, back.affine, atol=1e-6)


def test_an_oblique_image_stays_in_place(tmp_path: Path) -> None:
    turn = np.deg2rad(20)
    volume = image()
    affine = volume.affine.copy()
    tilt = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])
    affine[:3, :3] = tilt @ affine[:3, :3]
    back = in_place(written(tmp_path / "series", Volume(volume.voxels, affine, "Bq/mL")))
    np.testing.assert_allclose(back.affine, affine, atol=1e-5)
    assert np.corrcoef(back.voxels.ravel(), volume.voxels.ravel())[0, 1] > 1 - 1e-9


def suv_of(slices: list[Any]) -> float:
    """Return what multiplies stored activity, by QIBA's vendor-neutral way."""
    one = slices[0]
    (given,) = one.RadiopharmaceuticalInformationSequence
    assert one.Units == "BQML"
    assert {"ATTN", "DECY"} <= set(one.CorrectedImage)
    assert one.DecayCorrection == "START"
    series = datetime.strptime(one.SeriesDate + one.SeriesTime, "%Y%m%d%H%M%S.%f")
    acquired = min(
        datetime.strptime(s.AcquisitionDate + s.AcquisitionTime, "%Y%m%d%H%M%S.%f") for s in slices
    )
    injected = datetime.strptime(given.RadiopharmaceuticalStartDateTime, "%Y%m%d%H%M%S.%f")
    waited = (min(series, acquired) - injected).total_seconds()
    left = float(given.RadionuclideTotalDose) * 2 ** (-waited / float(given.RadionuclideHalfLife))
    return float(one.PatientWeight) * 1000 / left


def test_an_suv_that_others_compute_is_ours(tmp_path: Path) -> None:
    """Across midnight: the day counts."""
    slices = written(tmp_path / "series", image())
    assert slices[0].SeriesDate == "20240310"
    ours = suv_factor(71.5, 310.5e6, 3540.0, 109.77 * 60)
    assert suv_of(slices) == pytest.approx(ours, rel=1e-9)


def test_frames_are_told_apart(tmp_path: Path) -> None:
    changes = {
        "FrameTimesStart": [3600, 3660], "FrameDuration": [60, 240],
        "DecayCorrectionFactor": [1.01, 1.05],
    }  # fmt: skip
    slices = written(tmp_path / "series", image(2), **changes)
    assert [s.ImageIndex for s in slices] == [*range(1, 9)]
    assert {s.NumberOfTimeSlices for s in slices} == {2}
    assert list(slices[0].SeriesType) == ["DYNAMIC", "IMAGE"]
    assert slices[4].AcquisitionTime == "003100.000000"
    assert [int(s.ActualFrameDuration) for s in slices] == [60_000] * 4 + [240_000] * 4
    assert float(slices[5].DecayFactor) == 1.05
    # A little before the middle, 60 + 120 s, as activity falls.
    assert 179_000 < float(slices[5].FrameReferenceTime) < 180_000


def test_frames_come_back_in_their_order(tmp_path: Path) -> None:
    changes = {"FrameTimesStart": [3600, 3660, 3900], "FrameDuration": [60, 240, 60]}
    changes["DecayCorrectionFactor"] = [1.01, 1.05, 1.06]
    volume, folder = image(3), tmp_path / "series"
    written(folder, volume, **changes)
    paths = sorted(folder.iterdir())
    shuffled = np.random.default_rng(1).permutation(len(paths))
    for path, number in zip(paths, shuffled, strict=True):
        path.rename(folder / f"s{number:03d}.dcm")
    back = read_image(folder / "s004.dcm")
    assert back.voxels.shape == (3, 7, 5, 4)
    assert back.unit == volume.unit
    for frame, wanted in zip(back.voxels, volume.voxels, strict=True):
        one = Volume(frame, back.affine).ras()
        np.testing.assert_allclose(one.affine, volume.affine, atol=1e-4)
        np.testing.assert_allclose(one.voxels, wanted, atol=1e-5 * wanted.max())
    (folder / "s002.dcm").unlink()
    with pytest.raises(FormatError, match="11 files of this series are there, of 3 frames"):
        read_image(folder / "s004.dcm")


@pytest.mark.parametrize(
    ("unit", "changes"),
    [
        ("Bq/mL", {}),
        ("g/mL", {}),
        ("counts/mm", {"ImageDecayCorrected": False, "PatientWeight": None}),
        ("Bq/mL", {"InjectedRadioactivity": None, "TracerRadionuclide": "Zr89"}),
    ],
)
def test_legal(tmp_path: Path, unit: str, changes: dict[str, Any]) -> None:
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    validator = shutil.which("dciodvfy", path=places)
    if validator is None:
        pytest.skip("no dciodvfy: install dicom3tools")
    written(tmp_path / "series", image(unit=unit), **changes)
    ran = subprocess.run(
        [validator, str(tmp_path / "series" / "00002.dcm")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    said = (ran.stdout + ran.stderr).splitlines()
    assert "PETImage" in said
    assert [line for line in said if line.startswith(("Error", "Abort"))] == []


def test_all_that_a_scanner_tells_for_an_suv_is_told(tmp_path: Path) -> None:
    path = DATA / "suv_headers" / "test" / "metadata" / "SIEMENS-instances.json"
    if not path.exists():
        pytest.skip("needs the headers of real scanners")
    real = json.loads(path.read_text())[0]
    one = written(tmp_path / "series", image())[0]
    (given,) = one.RadiopharmaceuticalInformationSequence
    told = {element.keyword for each in (one, given) for element in each}
    assert set(real) - {"PhilipsPETPrivateGroup"} <= told
    assert real["Units"] == one.Units
    assert real["DecayCorrection"] == one.DecayCorrection


@pytest.mark.parametrize("key", ["TimeZero", "ScanStart", "FrameDuration", "TracerRadionuclide"])
def test_what_is_missing_is_named(tmp_path: Path, key: str) -> None:
    with pytest.raises(SettingsError, match=f"a DICOM series needs {key}"):
        written(tmp_path / "series", image(), **{key: None})


def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no word for 1/mm"):
        written(tmp_path / "a", image(unit="1/mm"))
    below = image()
    with pytest.raises(DataError, match="values from 0 on"):
        written(tmp_path / "b", Volume(below.voxels - 100, below.affine, "Bq/mL"))
    with pytest.raises(SettingsError, match="1 frames, and the sidecar tells of 2"):
        written(tmp_path / "c", image(), FrameTimesStart=[0, 1])
    with pytest.raises(SettingsError, match="TimeZero is hh:mm:ss"):
        written(tmp_path / "d", image(), TimeZero="noon")
    with pytest.raises(SettingsError, match="ImageDecayCorrectionTime is 7 s"):
        written(tmp_path / "e", image(), ImageDecayCorrectionTime=7)


def test_a_slice_that_is_missing_is_missed(tmp_path: Path) -> None:
    written(tmp_path / "series", image())
    (tmp_path / "series" / "00004.dcm").unlink()
    with pytest.raises(EmreconError, match=r"NumberOfSlices .* is '4'; 3 files"):
        read_image(tmp_path / "series" / "00001.dcm")


def test_the_command_converts_an_image_by_its_sidecar(tmp_path: Path, capsys: Any) -> None:
    write_image(image(), tmp_path / "a.nii.gz")
    command = ["convert", str(tmp_path / "a.nii.gz"), "-o", str(tmp_path / "series")]
    with pytest.raises(SystemExit):
        main(command)
    assert "a DICOM series needs TimeZero, ScanStart" in capsys.readouterr().err
    assert not (tmp_path / "series").exists()
    (tmp_path / "a.json").write_text(json.dumps(ABOUT))
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert not ended.value.code
    assert len(list((tmp_path / "series").iterdir())) == 4
    with pytest.raises(SystemExit):
        main(command)
    assert "it is a folder with files; name another" in capsys.readouterr().err


@pytest.mark.parametrize("correction", ["ScanStart", "InjectionStart"])
def test_the_suv_of_a_slice_is_that_of_its_sidecar(tmp_path: Path, correction: str) -> None:
    about = ABOUT | {"ImageDecayCorrectionTime": ABOUT[correction]}
    written(tmp_path / "s", image(), ImageDecayCorrectionTime=ABOUT[correction])
    facts = read_exam_facts(tmp_path / "s" / "00002.dcm")
    wanted = PetFacts(about).suv_per_bq_per_ml
    assert facts.suv_per_bq_per_ml == pytest.approx(wanted, rel=1e-5)


def test_a_slice_that_says_less_gives_no_suv_and_names_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "s" / "00001.dcm"
    one = written(tmp_path / "s", image())[0]
    del one.PatientWeight
    one.save_as(path)
    with pytest.raises(SettingsError, match="needs PatientWeight"):
        _ = read_exam_facts(path).suv_per_bq_per_ml
    one.SeriesTime = "235959"  # after its counts: made later, and the start is not known
    one.save_as(path)
    with pytest.raises(SettingsError, match="InjectionStart, PatientWeight, ImageDecayCorr"):
        _ = read_exam_facts(path).suv_per_bq_per_ml
