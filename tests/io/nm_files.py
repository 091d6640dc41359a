"""NM TOMO files made attribute by attribute, without the writer under test."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.io.spect_points import frame

pydicom = pytest.importorskip("pydicom")
Dataset, FileMetaDataset = pydicom.dataset.Dataset, pydicom.dataset.FileMetaDataset

ROWS, COLUMNS, ROW_MM, COLUMN_MM = 26, 30, 3.5, 4.75
KEYWORDS = {
    "window": "EnergyWindowVector", "detector": "DetectorVector", "rotation": "RotationVector",
    "interval": "RRIntervalVector", "slot": "TimeSlotVector", "view": "AngularViewVector",
}  # fmt: skip
LYING = {"S": "F-10340", "P": "F-10310"}
FIRST = {"H": "F-10470", "F": "F-10480"}


def item(**attributes):
    made = Dataset()
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def code(value, **more):
    return item(CodeValue=value, CodingSchemeDesignator="99SDM", CodeMeaning="x", **more)


def nm_dataset(  # noqa: PLR0915 - one attribute after the other
    *, direction="CC", starts=(0.0,), views=12, step=None, order=("window", "detector", "view"),
    windows=1, gates=0, position="HFS", first_row="head", oriented=True, origin=None, scale=None,
):  # fmt: skip
    """Return a file of the three points; frames run through `order`, slowest first.

    Window w holds the counts of the first times w + 1; gate g its own share.
    """
    step = 360.0 / views if step is None else step
    sign = {"CW": -1, "CC": 1}[direction]
    sizes = {
        "window": windows, "detector": len(starts), "rotation": 1, "interval": 1,
        "slot": gates or 1, "view": views,
    }  # fmt: skip
    rest = [name for name in sizes if name not in order]
    names = [*rest, *order]
    ds = Dataset()
    frames, keys = [], []
    for key in itertools.product(*(range(sizes[name]) for name in names)):
        at = dict(zip(names, key, strict=True))
        angle = starts[at["detector"]] + sign * step * at["view"]
        one = frame(angle, ROWS, COLUMNS, ROW_MM, COLUMN_MM, first_row)
        times = (at["window"] + 1) * (at["slot"] + 1) if scale is None else scale(at)
        frames.append(one * times)
        keys.append(at)
    used = ["window", "detector", "rotation", "view"]
    used = [*used[:3], "interval", "slot", *used[3:]] if gates else used
    for name in used:
        setattr(ds, KEYWORDS[name], [at[name] + 1 for at in keys])
    ds.FrameIncrementPointer = [pydicom.tag.Tag(KEYWORDS[name]) for name in used]
    ds.NumberOfEnergyWindows, ds.NumberOfDetectors, ds.NumberOfRotations = windows, len(starts), 1
    if gates:
        ds.NumberOfRRIntervals, ds.NumberOfTimeSlots = 1, gates
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.20", pydicom.uid.generate_uid()
    ds.Modality = "NM"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "GATED TOMO" if gates else "TOMO", "EMISSION"]
    ds.NumberOfFrames, ds.Rows, ds.Columns = len(frames), ROWS, COLUMNS
    ds.PixelSpacing = [ROW_MM, COLUMN_MM]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 0
    ds.PixelData = np.array(frames).astype("<u2").tobytes()
    ds["PixelData"].VR = "OW"
    ds.EnergyWindowInformationSequence = [
        item(EnergyWindowName=name, EnergyWindowRangeSequence=[
            item(EnergyWindowLowerLimit=low, EnergyWindowUpperLimit=high)])
        for name, low, high in (
            ("low", 112, 126.5), ("Tc peak", 126.5, 154.6), ("high", 154.6, 168)
        )[:windows]
    ]  # fmt: skip
    if windows == 1:
        ds.EnergyWindowInformationSequence[0].EnergyWindowName = "only"
    ds.RadiopharmaceuticalInformationSequence = [
        item(RadionuclideCodeSequence=[
            item(CodeValue="C-163A8", CodingSchemeDesignator="SNM3", CodeMeaning="^99m^Technetium")
        ])
    ]  # fmt: skip
    ds.PatientOrientationCodeSequence = [
        code("F-10450", PatientOrientationModifierCodeSequence=[code(LYING[position[2]])])
    ]
    ds.PatientGantryRelationshipCodeSequence = [code(FIRST[position[0]])]
    ds.DetectorInformationSequence = [
        detector(start, 200.0 + 10 * number, first_row, oriented, origin)
        for number, start in enumerate(starts)
    ]
    ds.RotationInformationSequence = [
        item(StartAngle=starts[0], AngularStep=step, RotationDirection=direction,
             ScanArc=step * views, ActualFrameDuration=15000, NumberOfFramesInRotation=views)
    ]  # fmt: skip
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    return ds


def detector(start, radius, first_row, oriented, origin):
    """Return a head; a frame's first pixel lies on the face of the collimator, radius away."""
    made = item(
        CollimatorGridName="LEHR", CollimatorType="PARA", StartAngle=start, RadialPosition=radius
    )
    t, up = np.deg2rad(start), np.array([0.0, 0.0, 1.0])
    towards = np.array([np.sin(t), np.cos(t), 0.0])
    right = np.cross(-towards, up)
    right, down = (right, -up) if first_row == "head" else (-right, up)
    if oriented:
        made.ImageOrientationPatient = [f"{v:.8f}" for v in (*right, *down)]
    if origin is not None:
        r, a, s = origin
        corner = (
            np.array([-r, -a, s]) + radius * towards - right * COLUMN_MM * (COLUMNS - 1) / 2
            - down * ROW_MM * (ROWS - 1) / 2
        )  # fmt: skip
        made.ImagePositionPatient = [f"{v:.6f}" for v in corner]
    return made


def saved(dataset, folder, name="scan.dcm"):
    path = folder / name
    dataset.save_as(path, enforce_file_format=True)
    return path
