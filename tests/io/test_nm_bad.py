"""DICOM that is no NM TOMO, or one that is damaged or contradicts itself: refused by name."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from emrecon.errors import FormatError, SettingsError
from emrecon.io import kind
from emrecon.io.dicom.nm import read_projections
from emrecon.io.scan import read_scan
from emrecon.tomo.inputs import CameraFacts, Corrections
from phantoms.spect_acquisition import CameraAcquisition
from tests.io.nm_files import item, nm_dataset, saved


def turn(**changes):
    def change(dataset):
        for name, value in changes.items():
            setattr(dataset.RotationInformationSequence[0], name, value)

    return change


def head(number=0, **changes):
    def change(dataset):
        for name, value in changes.items():
            if value is None:
                delattr(dataset.DetectorInformationSequence[number], name)
            else:
                setattr(dataset.DetectorInformationSequence[number], name, value)

    return change


def top(**changes):
    def change(dataset):
        for name, value in changes.items():
            if value is None:
                delattr(dataset, name)
            else:
                setattr(dataset, name, value)

    return change


def vector(keyword, index, value):
    def change(dataset):
        values = list(getattr(dataset, keyword))
        values[index] = value
        setattr(dataset, keyword, values)

    return change


def shorter(keyword):
    def change(dataset):
        setattr(dataset, keyword, list(getattr(dataset, keyword))[:-1])

    return change


def truncated(dataset):
    dataset.PixelData = dataset.PixelData[:-100]


def orientation(*cosines):
    return head(ImageOrientationPatient=list(cosines))


PET = "1.2.840.10008.5.1.4.1.1.128"
CT = "1.2.840.10008.5.1.4.1.1.2"
IMAGE = ("ORIGINAL", "PRIMARY")

BAD = {
    "a PET file": (top(SOPClassUID=PET, Modality="PT"), "Positron Emission .*Modality PT"),
    "a CT file": (top(SOPClassUID=CT, Modality="CT"), r"CT Image Storage \(Modality CT\)"),
    "static": (top(ImageType=[*IMAGE, "STATIC", "EMISSION"]), "NM image of ImageType .*STATIC"),
    "reconstructed": (
        top(ImageType=["DERIVED", "PRIMARY", "RECON TOMO", "EMISSION"]), "already reconstructed",
    ),
    "transmission": (top(ImageType=[*IMAGE, "TOMO", "TRANSMISSION"]), "not of emission"),
    "short vector": (
        shorter("AngularViewVector"), r"AngularViewVector \(0054,0090\).*23 entries for 24 frames",
    ),
    "no vector": (top(DetectorVector=None), r"DetectorVector \(0054,0020\) is missing.*order"),
    "a view twice": (vector("AngularViewVector", 1, 1), "frames 1 and 2 are both .*view 1"),
    "a gap": (vector("AngularViewVector", 3, 13), "a head has views 1 to 13, 12 of them"),
    "a head too many": (vector("DetectorVector", 3, 3), r"DetectorVector.*go from 1 to 2"),
    "fewer windows": (
        top(NumberOfEnergyWindows=2), r"EnergyWindowVector \(0054,0010\).*from 1 to 2",
    ),
    "no windows": (
        top(EnergyWindowInformationSequence=None),
        r"EnergyWindowInformationSequence \(0054,0012\) is missing; it has 0 items for 1",
    ),
    "window without limits": (
        lambda ds: delattr(
            ds.EnergyWindowInformationSequence[0].EnergyWindowRangeSequence[0],
            "EnergyWindowLowerLimit",
        ),
        "EnergyWindowUpperLimit .*limits from 0 keV",
    ),
    "truncated": (truncated, r"PixelData \(7FE0,0010\) is truncated: 37340 bytes"),
    "colours": (top(PhotometricInterpretation="RGB"), "PhotometricInterpretation .*MONOCHROME2"),
    "white is low": (top(PhotometricInterpretation="MONOCHROME1"), "PhotometricInterpretation"),
    "scaled": (top(RescaleSlope=0), r"RescaleSlope \(0028,1053\).*above 0"),
    "shifted": (top(RescaleIntercept=-3), r"RescaleIntercept \(0028,1052\)"),
    "too long": (
        lambda ds: setattr(ds, "PixelData", ds.PixelData + bytes(6) + b"\1\0"),
        r"PixelData \(7FE0,0010\) is too long",
    ),
    "frames": (top(NumberOfFrames=25), "24 entries for 25 frames"),
    "no radius": (head(RadialPosition=None), r"RadialPosition \(0018,1142\).*--radius-mm"),
    "radius of 0": (head(1, RadialPosition=0), "RadialPosition .*above 0 mm.*--radius-mm"),
    "radii": (head(RadialPosition=[200, 201]), "2 radii for 12 views"),
    "no start": (head(1, StartAngle=None), r"StartAngle \(0054,0200\).*--start-angles-deg"),
    "arc": (turn(ScanArc=270), r"ScanArc \(0018,1143\) is '270.*make 180.*--angular-step-deg"),
    "step": (turn(AngularStep=0), r"AngularStep \(0018,1144\)"),
    "backwards": (turn(AngularStep=-15), r"AngularStep"),
    "direction": (turn(RotationDirection="UP"), r"RotationDirection \(0018,1140\) is 'UP'"),
    "views of a rotation": (turn(NumberOfFramesInRotation=30), "NumberOfFramesInRotation"),
    "fan beam": (head(CollimatorType="FANB"), r"CollimatorType \(0018,1181\) is 'FANB'"),
    "tilt": (head(GantryDetectorTilt=5), "GantryDetectorTilt"),
    "mirrored": (
        orientation(1, 0, 0, 0, 0, -1), r"ImageOrientationPatient \(0020,0037\).*--first-row",
    ),
    "oblique": (orientation(-0.9, 0.436, 0, 0, 0, -1), "ImageOrientationPatient"),
    "a slice": (orientation(1, 0, 0, 0, 1, 0), "ImageOrientationPatient"),
    "five cosines": (orientation(1, 0, 0, 0, 1), "ImageOrientationPatient .*6 numbers"),
    "pixel": (top(PixelSpacing=[3.0, 0.0]), r"PixelSpacing \(0028,0030\).*--pixel-mm"),
    "too few heads": (
        lambda ds: ds.DetectorInformationSequence.pop(), "item 2 is wanted, there are 1",
    ),
    "positions": (top(PatientPosition="FFS"), "PatientPosition .*say HFS.*--patient-position"),
    "on the side": (
        lambda ds: setattr(
            ds.PatientOrientationCodeSequence[0].PatientOrientationModifierCodeSequence[0],
            "CodeValue", "F-10318",
        ),
        "PatientGantryRelationshipCodeSequence .*supine or prone",
    ),
    "time slices": (
        top(FrameIncrementPointer=[0x00540010, 0x00540100]),
        "FrameIncrementPointer .*TimeSliceVector",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_refused_by_name(tmp_path, what):
    change, words = BAD[what]
    dataset = nm_dataset(starts=(0.0, 180.0), views=12, step=15.0)
    change(dataset)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of some on writing
        path = saved(dataset, tmp_path)
    with pytest.raises(FormatError, match=words) as caught:
        read_projections(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("written", ["many", "0.5"])
def test_pydicom_says_nothing_of_what_is_refused_by_name(tmp_path, recwarn, caplog, written):
    path = saved(nm_dataset(), tmp_path)
    content = path.read_bytes()
    at = content.index(b"\x28\0\x08\0IS") + 8  # NumberOfFrames
    size = content[at - 2]
    path.write_bytes(content[:at] + written.encode().ljust(size)[:size] + content[at + size :])
    with pytest.raises(FormatError, match=r"NumberOfFrames \(0028,0008\)"):
        read_projections(path)
    assert not recwarn.list
    assert not caplog.messages


def test_good_without_the_change(tmp_path):
    found = read_projections(saved(nm_dataset(starts=(0.0, 180.0), views=12, step=15.0), tmp_path))
    assert found.camera.shape == (24, 30, 26)


def test_cut_off_files(tmp_path):
    path = saved(nm_dataset(), tmp_path)
    content = path.read_bytes()
    for length in (10, 132, 140, 300, 1000, len(content) - 2000):
        path.write_bytes(content[:length])
        with pytest.raises(FormatError):
            read_projections(path)


def test_compressed_without_a_codec_or_broken(tmp_path):
    dataset = nm_dataset()
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEG2000Lossless

    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless

    dataset.PixelData = encapsulate([b"rubbish!"] * dataset.NumberOfFrames)
    dataset["PixelData"].is_undefined_length = True
    with pytest.raises(FormatError, match="cannot be decompressed"):
        read_projections(saved(dataset, tmp_path))


def test_an_attenuation_map_needs_the_place_of_the_axis(tmp_path):
    from emrecon.io import write_image
    from emrecon.volume import Grid, Volume

    grid = Grid.centred((8, 8, 8), (20.0, 20.0, 20.0))
    mu = tmp_path / "mu.nii"
    write_image(Volume(np.full(grid.shape, 0.015, np.float32), grid.affine), mu)
    path = saved(nm_dataset(), tmp_path)
    parts = Corrections(mu=mu, mu_unit="1/mm")
    with pytest.raises(FormatError, match=r"attenuation map cannot be placed.*--axis-mm"):
        read_scan(path, parts)
    scan, _ = read_scan(path, parts, CameraFacts(axis_mm=(5.0, 6.0, 7.0)))
    np.testing.assert_allclose(scan.mu.affine[:3, 3], grid.affine[:3, 3] - (5, 6, 7))
    assert scan.origin_mm == (5, 6, 7)


def test_other_dicom_is_named_by_every_reader(tmp_path):
    dataset = nm_dataset()
    dataset.ImageType = [*IMAGE, "STATIC", "EMISSION"]
    path = saved(dataset, tmp_path)
    assert kind(path) == "other"
    for read in (read_projections, read_scan):
        with pytest.raises(FormatError, match="STATIC"):
            read(path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"direction": "left"}, {"patient_position": "HFDR"}, {"first_row": "top"},
        {"radius_mm": (0.0,)}, {"pixel_mm": (4.0,)}, {"axis_mm": (1.0, 2.0)},
        {"axis_mm": (0.0, 1e30, 0.0)}, {"gate": -1},
        {"scatter_from": "qew"},
    ],
)  # fmt: skip
def test_impossible_flags(wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        CameraFacts(**wrong)


def test_patients_beyond_any_room_are_refused():
    with pytest.raises(SettingsError, match="patient_mm is less than"):
        CameraAcquisition(patient_mm=(0.0, 0.0, 1e30))


def test_frame_order_must_explain_the_frames(tmp_path):
    path = saved(nm_dataset(starts=(0.0, 180.0), views=12, step=15.0), tmp_path)
    for order in (("view",), ("view", "detector", "detector"), ("detector", "phase", "view")):
        with pytest.raises(FormatError, match="frame-order"):
            read_projections(path, CameraFacts(frame_order=order))


def test_two_tables_positions(tmp_path):
    dataset = nm_dataset(views=12)
    first = dataset.RotationInformationSequence[0]
    first.TableTraverse = 0
    dataset.RotationInformationSequence.append(
        item(**{e.keyword: e.value for e in first} | {"TableTraverse": -400})
    )
    dataset.NumberOfRotations = 2
    dataset.NumberOfFrames = 24
    dataset.PixelData = dataset.PixelData * 2
    for name in ("EnergyWindowVector", "DetectorVector", "AngularViewVector"):
        setattr(dataset, name, list(getattr(dataset, name)) * 2)
    dataset.RotationVector = [1] * 12 + [2] * 12
    with pytest.raises(FormatError, match=r"TableTraverse \(0018,1131\).*the table moved"):
        read_projections(saved(dataset, tmp_path))
    dataset.RotationInformationSequence[1].TableTraverse = 0
    found = read_projections(saved(dataset, tmp_path))  # the same orbit twice
    assert found.camera.shape[0] == 24
    np.testing.assert_array_equal(found.data[::2], found.data[1::2])


def test_corrected_projections_are_told(tmp_path, caplog):
    dataset = nm_dataset()
    dataset.CorrectedImage = ["UNIF", "COR", "DECY"]
    read_projections(saved(dataset, tmp_path))
    assert "CorrectedImage" not in caplog.text
    dataset.CorrectedImage = ["UNIF", "ATTN", "SCAT"]
    read_projections(saved(dataset, tmp_path))
    assert "attenuation and scatter was corrected for (CorrectedImage)" in caplog.text
