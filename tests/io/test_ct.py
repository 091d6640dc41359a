"""CT as DICOM series and NIfTI: Hounsfield units where the patient is, as an attenuation map."""

from __future__ import annotations

import numpy as np
import pytest

from emrecon.errors import FormatError, GeometryError, SettingsError
from emrecon.io import read_image, write_image
from emrecon.io.dicom.ct import read_ct
from emrecon.io.scan import read_scan
from emrecon.tomo.inputs import Corrections
from emrecon.tomo.materials import attenuation_per_mm
from emrecon.volume import Volume
from tests.io.nm_files import item, nm_dataset, pydicom, saved

SHAPE, ORIGIN = (7, 5, 6), (-30.0, -20.0, 100.0)  # columns, rows, slices; LPS of the first pixel


def hounsfield():
    """Return different values in every voxel, ``[column, row, slice]``."""
    return (np.arange(np.prod(SHAPE)).reshape(SHAPE) * 7 - 1000).astype(np.float32)


def write_series(
    folder, *, kvp=120, uid="1.2.3", turned=False, only=None, row=(0, 1, 0), at=None, lies=""
):
    """Write slices whose rows follow each other along `row`; `at` moves each, LPS mm."""
    folder.mkdir(exist_ok=True)
    values, moved = hounsfield(), np.zeros((SHAPE[2], 3)) if at is None else at
    for number in range(SHAPE[2]):
        if only is not None and number not in only:
            continue
        ds = item(
            SOPClassUID="1.2.840.10008.5.1.4.1.1.2", SOPInstanceUID=f"{uid}.{number}",
            SeriesInstanceUID=uid, Modality="CT", Rows=SHAPE[1], Columns=SHAPE[0],
            BitsAllocated=16, BitsStored=16, HighBit=15, PixelRepresentation=0,
            SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", PixelSpacing=[3.0, 2.0],
            PatientPosition=lies, RescaleSlope=0.5, RescaleIntercept=-1024, KVP=kvp,
            ImageOrientationPatient=[-1 if turned else 1, 0, 0, *row],
            ImagePositionPatient=list(ORIGIN + np.array([0, 0, 4.0 * number]) + moved[number]),
        )  # fmt: skip
        stored = (values[:, :, number].T + 1024) * 2
        ds.PixelData = stored.astype("<u2").tobytes()
        ds["PixelData"].VR = "OW"
        ds.file_meta = pydicom.dataset.FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        saved(ds, folder, f"{uid}-{(number * 5) % 7}.dcm")  # names do not run with places
    return folder


@pytest.mark.parametrize("turned", [False, True])
def test_series_lies_in_the_patient(tmp_path, turned):
    folder = write_series(tmp_path / "ct", turned=turned)
    (folder / "notes.txt").write_text("no DICOM")
    for path in (folder, next(folder.glob("*.dcm"))):
        read = read_ct(path)
        ct = read.volume
        assert read.kvp == 120
        right = ct.affine @ (2, 1, 3, 1)
        across = -1 if turned else 1
        lps = (ORIGIN[0] + across * 2 * 2.0, ORIGIN[1] + 3.0, ORIGIN[2] + 3 * 4.0)
        if turned:  # row x column runs to the feet: the first slice is the top one
            lps = (*lps[:2], ORIGIN[2] + (SHAPE[2] - 1 - 3) * 4.0)
        np.testing.assert_allclose(right[:3], (-lps[0], -lps[1], lps[2]), atol=1e-9)
        wanted = hounsfield()[:, :, ::-1] if turned else hounsfield()
        np.testing.assert_array_equal(ct.voxels, wanted)


def test_missing_slice_and_other_faults(tmp_path):
    with pytest.raises(FormatError, match="the next slice is 8 mm away, others 4 mm"):
        read_ct(write_series(tmp_path / "a", only=(0, 1, 2, 4, 5)))
    with pytest.raises(FormatError, match=r"no series of CT slices there \(1 found\)"):
        read_ct(write_series(tmp_path / "b", only=(2,)))
    two = write_series(tmp_path / "c")
    write_series(two, uid="4.5.6", only=(0, 1))
    with pytest.raises(FormatError, match="2 series"):
        read_ct(two)
    assert read_ct(two / "1.2.3-0.dcm").volume.voxels.shape == SHAPE
    three = write_series(tmp_path / "d")
    write_series(three, only=(3,), lies="HFP")
    with pytest.raises(FormatError, match=r"PatientPosition .*other slices have (HFP|none)"):
        read_ct(three)
    four = pydicom.dcmread(write_series(tmp_path / "e") / "1.2.3-5.dcm")
    four.Rows, four.PixelData = 1, four.PixelData[: 2 * SHAPE[0]]
    four.save_as(tmp_path / "e" / "1.2.3-5.dcm")
    with pytest.raises(FormatError, match=r"Rows .* is '\d'; other slices have \d"):
        read_ct(tmp_path / "e")
    with pytest.raises(FormatError, match=r"no series of CT slices there \(0 found\)"):
        read_ct(saved(nm_dataset(), tmp_path).parent)


@pytest.mark.parametrize("tilt_deg", [-12.0, 25.0])
def test_a_tilted_gantry_gives_a_sheared_stack(tmp_path, tilt_deg):
    angle = np.deg2rad(tilt_deg)
    row = (0.0, np.cos(angle), -np.sin(angle))
    ct = read_ct(write_series(tmp_path / "tilted", row=row)).volume
    place = ORIGIN + 2 * 2.0 * np.array([1, 0, 0]) + 3.0 * np.array(row) + [0, 0, 3 * 4.0]
    np.testing.assert_allclose((ct.affine @ (2, 1, 3, 1))[:3], place * [-1, -1, 1], atol=1e-9)
    np.testing.assert_array_equal(ct.voxels, hounsfield())
    kept = tmp_path / "ct.nii"  # NIfTI's qform holds no shear, its sform does
    write_image(ct, kept)
    np.testing.assert_allclose(read_image(kept).affine, ct.affine, atol=1e-4)


def test_a_table_that_moves_evenly_aside_shears_the_stack_too(tmp_path):
    drift = np.arange(SHAPE[2])[:, None] * (0.5, 0, 0)
    ct = read_ct(write_series(tmp_path / "a", at=drift)).volume
    place = (ct.affine @ (0, 0, 4, 1))[:3]
    np.testing.assert_allclose(place, (-(ORIGIN[0] + 2.0), -ORIGIN[1], ORIGIN[2] + 16), atol=1e-9)
    rounded = np.random.default_rng(1).uniform(-0.05, 0.05, (SHAPE[2], 3))
    read_ct(write_series(tmp_path / "b", at=rounded))


@pytest.mark.parametrize("tilt_deg", [0.0, 15.0])
def test_stacks_that_no_affine_describes_are_refused(tmp_path, tilt_deg):
    row = (0.0, np.cos(np.deg2rad(tilt_deg)), -np.sin(np.deg2rad(tilt_deg)))
    later = (np.arange(SHAPE[2]) >= 3)[:, None]
    with pytest.raises(FormatError, match="the next slice lies 30 mm aside"):
        read_ct(write_series(tmp_path / "a", row=row, at=later * (30, 0, 0)))
    bent = np.maximum(np.arange(SHAPE[2]) - 2, 0)[:, None] * (0, 1, 0)
    with pytest.raises(FormatError, match=r"ImagePositionPatient \(0020,0032\)"):
        read_ct(write_series(tmp_path / "b", row=row, at=bent))
    with pytest.raises(FormatError, match="not evenly spaced"):
        read_ct(write_series(tmp_path / "c", row=row, at=later * (0, 0, 1.5)))


def test_ct_becomes_mu_at_the_photopeak(tmp_path):
    folder = write_series(tmp_path / "ct")
    scan, inputs = read_scan(
        saved(nm_dataset(origin=(1.0, 2.0, 3.0)), tmp_path), Corrections(ct=folder)
    )
    assert sum(name.startswith("ct") for name in inputs) == SHAPE[2]
    assert scan.facts["ct_kvp"] == 120
    assert scan.facts["mu_kev"] == pytest.approx(140.5, abs=0.1)
    water = attenuation_per_mm("water", 140.511)
    at = tuple(np.argwhere(hounsfield() == 1)[0])  # the nearest to 0 HU
    assert scan.mu.voxels[at] == pytest.approx(water, rel=2e-3)
    assert scan.mu.voxels.min() == pytest.approx(0, abs=1e-6)
    moved = scan.mu.affine[:3, 3] - read_ct(folder).volume.affine[:3, 3]
    np.testing.assert_allclose(moved, (-1, -2, -3), atol=1e-3)


def test_nifti_needs_the_voltage(tmp_path):
    path = saved(nm_dataset(origin=(0.0, 0.0, 0.0)), tmp_path)
    ct = tmp_path / "ct.nii"
    write_image(Volume(hounsfield(), np.diag([2.0, 3.0, 4.0, 1.0])), ct)
    with pytest.raises(SettingsError, match="--ct-kvp"):
        read_scan(path, Corrections(ct=ct))
    scan, _ = read_scan(path, Corrections(ct=ct, ct_kvp=120.0))
    assert scan.mu.unit == "1/mm"
    with pytest.raises(SettingsError, match="--mu or --ct"):
        read_scan(path, Corrections(ct=ct, ct_kvp=120.0, mu=ct))


@pytest.mark.parametrize(
    ("lies", "says"),
    [
        ("HFP", r"prone \(HFP\), the scan of one who lies supine \(HFS\)"),
        ("FFDR", "on the right side"),
    ],
)
def test_a_ct_of_another_position_is_refused(tmp_path, lies, says):
    scan = saved(nm_dataset(origin=(1.0, 2.0, 3.0)), tmp_path)
    folder = write_series(tmp_path / "ct", lies=lies)
    with pytest.raises(GeometryError, match=says):
        read_scan(scan, Corrections(ct=folder))


def test_a_ct_that_went_in_feet_first_is_told(tmp_path, caplog):
    scan = saved(nm_dataset(origin=(1.0, 2.0, 3.0)), tmp_path)
    read_scan(scan, Corrections(ct=write_series(tmp_path / "ct", lies="FFS")))
    assert "lies FFS, the scan of one who lies HFS" in caplog.text
    caplog.clear()
    read_scan(scan, Corrections(ct=write_series(tmp_path / "same", lies="HFS")))
    assert "lies" not in caplog.text
