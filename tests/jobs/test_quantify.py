"""Counts/mm to Bq/mL and SUV: a cylinder calibrates, other isotopes and times come out right."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.ndimage import gaussian_filter

from emrecon import Corrections, Settings, Volume, reconstruct, run
from emrecon.errors import EmreconError, SettingsError
from emrecon.io import read_image, write_image
from emrecon.io.calibration_file import read_calibration
from emrecon.io.frames import Frame
from emrecon.io.pet_facts import read_pet_facts
from emrecon.io.scan import read_scan
from emrecon.jobs.calibrate import CalibrationJob
from emrecon.jobs.cylinder import Cylinder
from emrecon.jobs.quantify import Quantifier
from emrecon.jobs.recon import ReconstructionJob
from emrecon.jobs.scan_files import write_scan
from emrecon.metrics.cylinder import inside_of
from emrecon.tomo.corrections.decay import (
    EMITTERS,
    earlier_over_later,
    emitter_named,
    start_over_mean,
)
from emrecon.tomo.exam import ExamInfo
from emrecon.tomo.gates import Gate
from emrecon.tomo.geometry.presets import TINY
from emrecon.tomo.scan import Scan
from phantoms.lines import line_integrals
from phantoms.shapes import cylinder

SETTINGS = Settings(iterations=12, subsets=1)
COUNTED = 2e-5
"""Counts of a bin for 1 mm at 1 Bq/mL, a second and a positron a decay: any number will do with
which fewer are counted than there are."""

DOSE = {
    "InjectedRadioactivity": 250.0, "InjectedRadioactivityUnits": "MBq", "InjectionStart": 0,
    "ScanStart": 3300, "PatientWeight": 62.5,
}  # fmt: skip


def scan_of(folder: Path, bq_per_ml: float, nuclide: str, seconds: float, span: int = 3) -> Path:
    """Write the exact counts of a cylinder that held so much at the start of the scan."""
    bins = TINY.bins(span=span)
    emitter = EMITTERS[nuclide]
    times = np.linspace(0, seconds, 20_001)
    left = trapezoid(0.5 ** (times / emitter.half_life_s), times)  # s at the start's activity
    lines = line_integrals((cylinder((0.0, 0.0, 0.0), (30.0, 30.0), 200.0),), bins, (1.0,))
    counts = lines * np.float32(COUNTED * bq_per_ml * emitter.branching * left)
    exam = ExamInfo(nuclide=nuclide)
    folder.mkdir()
    return write_scan(folder, Scan(bins, counts, duration_s=seconds, exam=exam))[0]


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calibration")
    scan = scan_of(folder / "ge", 5000.0, "F-18", 1800.0)
    reconstruct(scan, folder / "cylinder.nii.gz", SETTINGS)
    # 5000 Bq/mL at the start of the scan were more an hour before.
    mbq = 5000.0 * 200 / 1e6 * 2 ** (3600 / (109.77 * 60))
    about = Cylinder(activity_mbq=mbq, volume_ml=200.0, assayed_h=1.0)
    result, (file,) = run(CalibrationJob(folder / "cylinder.nii.gz", folder / "c.json", about))
    assert result.inside.radius_mm == pytest.approx(30, abs=1)
    assert result.inside.plane_spread < 0.005
    return file


def test_decay_is_the_integral() -> None:
    times = np.linspace(0, 600, 100_001)
    left = 0.5 ** (times / 120)
    assert start_over_mean(120, 600) == pytest.approx(600 / trapezoid(left, times), rel=1e-9)
    assert start_over_mean(1e12, 600) == pytest.approx(1, rel=1e-9)
    assert earlier_over_later(120, 240) == pytest.approx(4)
    later = trapezoid(left[times >= 60], times[times >= 60]) / 540
    assert Frame(60, 540).decay_factor(120) == pytest.approx(1 / later, rel=1e-4)


@pytest.mark.parametrize("name", ["F-18", "18F", "f18", "^18^Fluorine", "Fluorine-18"])
def test_names_of_isotopes(name: str) -> None:
    assert emitter_named(name).name == "F-18"


def test_an_unknown_isotope_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match="'Tc-99m' is known; known are C-11"):
        emitter_named("Tc-99m")


@pytest.mark.parametrize(("nuclide", "seconds"), [("C-11", 1200.0), ("Ga-68", 60.0)])
def test_any_isotope_and_time_comes_out_in_bq_per_ml(
    calibrated: Path, tmp_path: Path, nuclide: str, seconds: float
) -> None:
    scan = scan_of(tmp_path / "scan", 1234.0, nuclide, seconds)
    result = reconstruct(scan, None, SETTINGS, Corrections(calibration=calibrated))
    assert result.volume.unit == "Bq/mL"
    assert inside_of(result.volume).mean == pytest.approx(1234.0, rel=1e-4)


def test_suv_is_by_weight_and_dose_at_the_start(calibrated: Path, tmp_path: Path) -> None:
    scan = scan_of(tmp_path / "scan", 4000.0, "F-18", 300.0)
    facts = tmp_path / "pet.json"
    facts.write_text(json.dumps(DOSE))
    chosen = Corrections(calibration=calibrated, facts=facts, suv=True)
    result = reconstruct(scan, tmp_path / "suv.nii.gz", SETTINGS, chosen)
    dose = 250e6 * 0.5 ** (3300 / (109.77 * 60))
    assert inside_of(result.volume).mean == pytest.approx(4000 * 62_500 / dose, rel=1e-4)
    sidecar = json.loads((tmp_path / "suv.json").read_text())
    assert sidecar["Units"] == "g/mL"
    assert sidecar["ImageDecayCorrected"]
    assert sidecar["ImageDecayCorrectionTime"] == sidecar["FrameTimesStart"][0] == 3300
    assert sidecar["DecayCorrectionFactor"] == [pytest.approx(1.0159, abs=1e-3)]


def test_a_dicom_series_gives_the_same_suv(calibrated: Path, tmp_path: Path) -> None:
    scan = scan_of(tmp_path / "scan", 4000.0, "F-18", 300.0)
    facts = tmp_path / "pet.json"
    facts.write_text(json.dumps(DOSE | {"TimeZero": "09:30:00"}))
    chosen = Corrections(calibration=calibrated, facts=facts)
    with pytest.raises(SettingsError, match="a DICOM series needs TimeZero, ScanStart"):
        reconstruct(scan, tmp_path / "series", SETTINGS, replace(chosen, facts=None))
    assert not (tmp_path / "series").exists()
    reconstruct(scan, tmp_path / "series", SETTINGS, chosen)
    slices = read_image(tmp_path / "series" / "00001.dcm").ras()
    suv = reconstruct(scan, None, SETTINGS, replace(chosen, suv=True)).volume
    dose = 250e6 * 0.5 ** (3300 / (109.77 * 60))
    np.testing.assert_allclose(slices.affine, suv.affine, atol=1e-5)
    np.testing.assert_allclose(
        slices.voxels * (62_500 / dose), suv.voxels, atol=2e-5 * suv.voxels.max()
    )
    assert {"recon.json", "recon.png"} < {path.name for path in (tmp_path / "series").iterdir()}
    with pytest.raises(EmreconError, match="a folder with files; name another"):
        reconstruct(scan, tmp_path / "series", SETTINGS, chosen)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"InjectedRadioactivityUnits": "Bq"}, r"about .* times the dose .* 250 Bq: is the unit"),
        ({"InjectionStart": 3600}, "InjectionStart is 300 s after ScanStart, when the scan"),
        ({"TracerRadionuclide": "C11"}, r"its isotope is F-18, and .*pet\.json that it is C-11"),
    ],
)
def test_facts_that_contradict_the_counts_are_refused(
    calibrated: Path, tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    scan = scan_of(tmp_path / "scan", 4000.0, "F-18", 300.0)
    facts = tmp_path / "pet.json"
    facts.write_text(json.dumps(DOSE | changes))
    chosen = Corrections(calibration=calibrated, facts=facts, suv=True)
    with pytest.raises(SettingsError, match=words):
        ReconstructionJob(scan, None, SETTINGS, chosen).begin().iterate()


@pytest.mark.parametrize("suv", [False, True])
def test_the_share_of_the_dose_in_view_is_told(
    calibrated: Path, tmp_path: Path, *, suv: bool, caplog: pytest.LogCaptureFixture
) -> None:
    scan = scan_of(tmp_path / "scan", 4000.0, "F-18", 300.0)
    facts = tmp_path / "pet.json"
    chosen = Corrections(calibration=calibrated, facts=facts, suv=suv)
    for unit, warned in (("MBq", False), ("GBq", True), ("n/a", False)):
        facts.write_text(json.dumps(DOSE | {"InjectedRadioactivityUnits": unit}))
        if suv and unit == "n/a":
            continue
        caplog.clear()
        result = reconstruct(scan, tmp_path / f"{unit[0]}.nii.gz", SETTINGS, chosen)
        ml = float(np.prod(result.volume.spacing_mm)) / 1e3
        held = float(result.volume.voxels.sum()) * ml
        dose = 250e6 * 0.5 ** (3300 / (109.77 * 60)) * (1e3 if unit == "GBq" else 1)
        share = held / 62_500 if suv else held / dose
        said = [line for line in result.summary().lines if "of the injected dose" in line]
        if unit == "n/a":
            assert not said
            continue
        assert float(said[0].split()[0]) == pytest.approx(100 * share, rel=0.01)
        assert warned == ("of the injected dose is in the image: check" in caplog.text)


@pytest.mark.parametrize(("stated", "warned"), [(900, True), ([900.0], True), (300.5, False)])
def test_another_duration_than_the_counts_have_is_warned_of(
    calibrated: Path, tmp_path: Path, stated: object, *, warned: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    scan = scan_of(tmp_path / "scan", 4000.0, "F-18", 300.0)
    facts = tmp_path / "pet.json"
    facts.write_text(json.dumps({"FrameDuration": stated}))
    result = reconstruct(scan, None, SETTINGS, Corrections(calibration=calibrated, facts=facts))
    assert inside_of(result.volume).mean == pytest.approx(4000.0, rel=1e-4)
    assert ("FrameDuration is 900 s, and the scan's file holds 300 s" in caplog.text) == warned


def test_a_sidecar_names_the_isotope_of_the_scan(tmp_path: Path) -> None:
    scan = scan_of(tmp_path / "scan", 4000.0, "F-18", 300.0)
    reconstruct(scan, tmp_path / "image.nii.gz", SETTINGS)
    assert json.loads((tmp_path / "image.json").read_text())["TracerRadionuclide"] == "F18"


@pytest.mark.parametrize("missing", DOSE)
def test_suv_names_what_is_missing(calibrated: Path, tmp_path: Path, missing: str) -> None:
    facts = tmp_path / "pet.json"
    facts.write_text(json.dumps({key: value for key, value in DOSE.items() if key != missing}))
    chosen = Corrections(calibration=calibrated, facts=facts, suv=True)
    with pytest.raises(SettingsError, match=f"SUV needs {missing}: state it in pet.json"):
        Quantifier.of(chosen, "", decay_corrected=False)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"InjectedRadioactivityUnits": "Curie"}, "InjectedRadioactivityUnits is 'Curie'"),
        ({"PatientWeight": "70 kg"}, "PatientWeight is '70 kg'; wanted a number"),
        ({"PatientWeight": 0}, "makes no sense"),
        ({"ScanStart": True}, "ScanStart is True; wanted a number"),
    ],
)
def test_facts_that_make_no_sense(
    calibrated: Path, tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    facts = tmp_path / "pet.json"
    facts.write_text(json.dumps(DOSE | changes))
    chosen = Corrections(calibration=calibrated, facts=facts, suv=True)
    with pytest.raises(EmreconError, match=words):
        Quantifier.of(chosen, "", decay_corrected=False)


def test_what_a_calibration_does_not_fit_is_refused(calibrated: Path, tmp_path: Path) -> None:
    scan = scan_of(tmp_path / "scan", 4000.0, "F-18", 300.0)
    shutil.copytree(scan.parent, tmp_path / "copy")
    bins = tmp_path / "copy" / "prompts.hs"  # any efficiencies of bins
    ones = Corrections(calibration=calibrated, normalisation=bins)
    with pytest.raises(SettingsError, match=r"efficiencies from .nothing.*bins"):
        reconstruct(scan, None, SETTINGS, ones)
    finer = scan_of(tmp_path / "finer", 4000.0, "F-18", 300.0, span=1)  # fewer lines a bin
    with pytest.raises(SettingsError, match=r"nothing, in \d+ views and \d+ planes.*its counts"):
        reconstruct(finer, None, SETTINGS, Corrections(calibration=calibrated))
    other = json.loads(calibrated.read_text()) | {"Scanner": "Siemens mMR"}
    (tmp_path / "other.json").write_text(json.dumps(other))
    with pytest.raises(SettingsError, match=r"the scanner 'Siemens mMR'.*'tiny'"):
        reconstruct(scan, None, SETTINGS, Corrections(calibration=tmp_path / "other.json"))


def test_a_scan_corrected_for_more_than_the_cylinder_is_refused(
    calibrated: Path, tmp_path: Path
) -> None:
    assert read_calibration(calibrated).corrected == frozenset()
    scan = scan_of(tmp_path / "scan", 4000.0, "F-18", 300.0)
    mu = tmp_path / "mu.nii.gz"
    grid = TINY.bins(span=3).grid()
    write_image(Volume(np.full(grid.shape, 0.0096, np.float32), grid.affine, "1/mm"), mu)
    chosen = Corrections(calibration=calibrated, mu=(mu,))
    with pytest.raises(SettingsError, match="not corrected for attenuation, and this scan is"):
        reconstruct(scan, None, SETTINGS, chosen)
    both = tmp_path / "both.json"
    stated = json.loads(calibrated.read_text()) | {"CorrectedFor": ["attenuation", "scatter"]}
    both.write_text(json.dumps(stated))
    result = reconstruct(scan, None, SETTINGS, replace(chosen, calibration=both))
    assert "not corrected for scatter: Bq/mL are too high by it" in result.summary().lines
    del stated["CorrectedFor"]  # as files had it before
    both.write_text(json.dumps(stated))
    reconstruct(scan, None, SETTINGS, replace(chosen, calibration=both))


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({"bq_per_ml": 5e3, "isotope": "Ga-68"}, "says isotope F-18, and --isotope Ga-68"),
        ({"bq_per_ml": 5e3, "duration_s": 300.0}, "says duration_s 1800.0, and --duration-s 300"),
        ({"bq_per_ml": 5e3, "scanner": "mMR"}, "says scanner tiny, and --scanner mMR"),
        ({"activity_mbq": 1.0, "volume_ml": 0.2}, r"holds 0\.2 mL, and in its image it has 6"),
        ({"bq_per_ml": 5.0}, r"counted .* coincidences for each positron that 5 Bq/mL emit"),
        ({"activity_mbq": 1.0, "volume_ml": 200.0, "assayed_h": 90.0}, "coincidences for each"),
    ],
)
def test_a_cylinder_that_cannot_be_is_refused(
    calibrated: Path, known: dict[str, Any], words: str
) -> None:
    image = calibrated.parent / "cylinder.nii.gz"
    with pytest.raises(EmreconError, match=words):
        CalibrationJob(image, None, Cylinder(**known)).begin().iterate()


def test_what_a_cylinder_is_said_to_be_may_be_said_twice(calibrated: Path) -> None:
    image = calibrated.parent / "cylinder.nii.gz"
    twice = Cylinder(bq_per_ml=5e3, isotope="18F", duration_s=1800.4, scanner="Tiny")
    lines = CalibrationJob(image, None, twice).begin().iterate().summary().lines
    assert lines[1] == "from 5000 Bq/mL of F-18 at the start, for 1800 s"
    prompts = float(read_scan(calibrated.parent / "ge")[0].prompts.sum(dtype=float))
    ml, left = np.pi * 9 * 2.2, 1800 / start_over_mean(109.77 * 60, 1800)
    share = prompts / (5e3 * ml * 0.967 * left)
    assert float(lines[-2].split()[1]) == pytest.approx(100 * share, rel=0.01)
    assert lines[-2].endswith("% of the positrons in view")
    assert "not corrected for attenuation and scatter" in lines[-1]
    million = CalibrationJob(image, None, replace(twice, bq_per_ml=5e9)).begin().iterate()
    assert any(line.startswith("that is no usual share") for line in million.summary().lines)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"Scanner": "x"}', "no json"])
def test_files_that_are_no_calibration(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(EmreconError, match=r"c\.json is no calibration"):
        read_calibration(tmp_path / "c.json")
    if text not in {"{}", '{"Scanner": "x"}'}:
        with pytest.raises(EmreconError, match=r"c\.json holds no facts"):
            read_pet_facts(tmp_path / "c.json")


def test_a_cylinder_without_its_facts_is_refused(tmp_path: Path) -> None:
    x = np.arange(-10, 11)
    disc = (np.hypot(x[:, None], x) < 7).astype(np.float32)
    image = Volume(np.repeat(disc[:, :, None], 12, axis=2), np.diag([4.0, 4.0, 4.0, 1.0]))
    write_image(image, tmp_path / "c.nii.gz")
    known = Cylinder(bq_per_ml=1.0, isotope="F-18", duration_s=60.0, scanner="tiny")
    with pytest.raises(EmreconError, match=r"is in no stated unit: .*counts/mm"):
        CalibrationJob(tmp_path / "c.nii.gz", None, known).begin().iterate()
    job = CalibrationJob(tmp_path / "c.nii.gz", None, Cylinder(bq_per_ml=1.0))
    (tmp_path / "c.json").write_text('{"Units": "counts/mm"}')
    with pytest.raises(SettingsError, match="does not say isotope: give --isotope"):
        job.begin().iterate()
    with pytest.raises(SettingsError, match="how active is the cylinder"):
        CalibrationJob(tmp_path / "c.nii.gz", None, replace(known, bq_per_ml=0.0)).begin()


UNEVEN, HIDDEN = "the planes differ too much", "noise would hide that planes differ by"


@pytest.mark.parametrize(
    ("noise", "drift", "bad_plane", "doubts"),
    [
        (0.0, 0.0, 0.0, ()),
        (0.1, 0.0, 0.0, ()),
        (0.1, 0.05, 0.0, (UNEVEN,)),
        (0.1, 0.0, 0.15, (UNEVEN,)),
        (0.02, 0.04, 0.0, (UNEVEN,)),
        (0.02, 0.015, 0.0, ()),
        (0.3, 0.0, 0.0, (HIDDEN,)),
    ],
)
def test_planes_that_differ_by_more_than_noise_are_told(
    tmp_path: Path, noise: float, drift: float, bad_plane: float, doubts: tuple[str, ...]
) -> None:
    """A cylinder of 48 % of noise once had planes 6.8 % off: 2.5 % a plane were by chance."""
    across, along = np.arange(-32, 33) * 3.0, np.linspace(-1, 1, 45)
    disc = np.hypot(across[:, None], across) < 80
    chance = gaussian_filter(np.random.default_rng(4).standard_normal((65, 65, 45)), 0.9)
    each = 1 + drift * along
    each[20] += bad_plane
    voxels = disc[:, :, None] * (each + noise * chance / chance.std())
    write_image(
        Volume(voxels.astype(np.float32), np.diag([3.0, 3.0, 4.0, 1.0]), "counts/mm"),
        tmp_path / "c.nii.gz",
    )
    known = Cylinder(bq_per_ml=5e3, isotope="F-18", duration_s=60, scanner="tiny")
    result, _ = run(CalibrationJob(tmp_path / "c.nii.gz", tmp_path / "scanner.json", known))
    seen = result.inside
    said = result.summary().lines[6:]
    assert len(said) == len(doubts)
    assert all(line.startswith(words) for line, words in zip(said, doubts, strict=True))
    assert abs(seen.mean - 1) < 4 * seen.error + 1e-3
    if noise and not drift and not bad_plane:
        off = np.abs((np.array(seen.planes) - 1) / seen.plane_errors)
        assert 0.7 < float(np.sqrt(np.mean(off**2))) < 1.4


@pytest.mark.slow
def test_the_validator_of_bids_takes_what_a_person_completes(
    calibrated: Path, tmp_path: Path
) -> None:
    tool = shutil.which("bids-validator-deno", path=Path(sys.executable).parent)
    if tool is None:
        pytest.skip("bids-validator-deno is not installed")
    facts = tmp_path / "pet.json"
    facts.write_text(
        json.dumps(
            DOSE
            | {
                "Manufacturer": "emrecon", "ManufacturersModelName": "tiny", "TracerName": "FDG",
                "TracerRadionuclide": "F18", "TimeZero": "09:30:00",
                "ModeOfAdministration": "bolus",
                "InjectedMass": "n/a", "InjectedMassUnits": "n/a", "SpecificRadioactivity": "n/a",
                "SpecificRadioactivityUnits": "n/a",
            }
        )
    )  # fmt: skip
    scan = scan_of(tmp_path / "scan", 4000.0, "F-18", 300.0)
    data = tmp_path / "data"
    pet = data / "sub-01" / "pet"
    pet.mkdir(parents=True)
    chosen = Corrections(calibration=calibrated, facts=facts)
    reconstruct(scan, tmp_path / "sub-01_pet.nii.gz", SETTINGS, chosen)
    for end in ("nii.gz", "json"):
        shutil.move(tmp_path / f"sub-01_pet.{end}", pet)
    about = {"Name": "one", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    (data / "dataset_description.json").write_text(json.dumps(about))
    (data / "README").write_text("One cylinder.\n")
    (data / "participants.tsv").write_text("participant_id\nsub-01\n")
    done = subprocess.run([tool, str(data), "--json"], capture_output=True, text=True, check=False)
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert done.returncode == 0, issues
    told = [i for i in issues if i["severity"] == "error" or "REQUIRED" in i.get("code", "")]
    assert not told


@pytest.mark.parametrize("calibrate", [0, 1])
@pytest.mark.parametrize(
    ("model", "blocks", "kept"),
    [
        ("nonparalysable", 0, lambda rate, dead: 1 / (1 + rate * dead)),
        ("paralysable", 0, lambda rate, dead: np.exp(-rate * dead)),
        ("nonparalysable", 1e4, lambda rate, dead: 1 / (1 + rate * dead)),
        ("paralysable", 1e4, lambda rate, dead: np.exp(-rate * dead)),
    ],
)
def test_dead_time_is_made_up_for(
    calibrated: Path, tmp_path: Path, calibrate: float, model: str, blocks: float,
    kept: Callable[[float, float], float],
) -> None:  # fmt: skip
    """What a scanner that loses counts by a model's own law counts gives the same image."""
    scan = read_scan(scan_of(tmp_path / "scan", 4000.0, "F-18", 300.0))[0]
    rate = blocks or float(scan.prompts.sum()) / 300
    dead = 0.2 / rate
    share = float(kept(rate, dead))
    lost = scan.with_(prompts=scan.prompts * np.float32(share ** (2 if blocks else 1)))
    (tmp_path / "lost").mkdir()
    path = write_scan(tmp_path / "lost", lost)[0]
    whole = Corrections(calibration=calibrated if calibrate else None)
    chosen = replace(
        whole, dead_time_us=1e6 * dead, dead_time_model=model, singles_cps=blocks * share
    )
    wanted = reconstruct(tmp_path / "scan/prompts.hs", None, SETTINGS, whole)
    result = reconstruct(path, None, SETTINGS, chosen)
    np.testing.assert_allclose(
        result.volume.voxels,
        wanted.volume.voxels,
        rtol=1e-4,
        atol=1e-5 * wanted.volume.voxels.max(),
    )
    facts = result.images[0].facts
    assert facts["dead_time_factor"] == pytest.approx(share ** -(2 if blocks else 1))
    assert facts["dead_time_corrected"] is True
    assert facts["dead_time_of"] == ("blocks" if blocks else "scanner")


def test_dead_time_that_cannot_be_is_refused(tmp_path: Path) -> None:
    scan = scan_of(tmp_path / "scan", 4000.0, "F-18", 300.0)
    with pytest.raises(EmreconError, match=r"with a dead time of 1e\+06 us .* nothing counts"):
        reconstruct(scan, None, SETTINGS, Corrections(dead_time_us=1e6))
    with pytest.raises(SettingsError, match="nonparalysable or paralysable, not 'dead'"):
        Corrections(dead_time_us=1.0, dead_time_model="dead")
    told = Quantifier.of(Corrections(dead_time_us=1.0), "", decay_corrected=False)
    with pytest.raises(SettingsError, match="leave dead_time_us out"):
        told.quantity(None, ExamInfo(dead_time_corrected=True), {"prompts": 1.0}, 1.0)
    with pytest.raises(SettingsError, match="dead time needs the time of the counts"):
        told.quantity(None, ExamInfo(), {"prompts": 1.0}, None)


def test_frames_and_gates_of_a_decaying_source_are_all_alike(calibrated: Path) -> None:
    """Whatever of a scan is counted, the activity at its start comes out."""
    chosen = Quantifier.of(Corrections(calibration=calibrated), "", decay_corrected=False)
    exam, half_life = ExamInfo(nuclide="C-11"), EMITTERS["C-11"].half_life_s
    gate = Gate(np.array([[0, 1000], [900_000, 1_500_000], [2_000_000, 2_300_000]]))
    views, _, planes = TINY.bins(span=3).shape
    about = {"scanner": "tiny", "views": views, "planes": planes}
    values = []
    for stretch in (Frame(0, 60), Frame(1800, 600), gate, None):
        edges = [(0.0, 1200.0)] if stretch is None else [getattr(stretch, "window_s", None)]
        edges = gate.stretches_ms / 1000 if stretch is gate else edges
        left = [0.5 ** (np.array(edge) / half_life) * half_life / np.log(2) for edge in edges]
        counts = sum(start - end for start, end in left)
        seconds = float(sum(end - start for start, end in edges))
        quantity = chosen.quantity(stretch, exam, about, seconds)
        assert quantity.unit == "Bq/mL"
        values.append(counts * quantity.scale)
    np.testing.assert_allclose(values, values[0], rtol=1e-9)
