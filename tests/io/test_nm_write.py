"""NM TOMO files written: legal DICOM, and the same counts at the same places when read."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emrecon.errors import DataError, GeometryError, SettingsError, WriteError
from emrecon.io.dicom.nm import read_projections
from emrecon.io.dicom.write import Study, write_projections
from emrecon.io.spect import Window
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.inputs import CameraFacts

WINDOWS = (Window("peak", ((126.46, 154.56),)), Window("", ((109.6, 126.46),)))
ORDERS = [
    order
    for order in itertools.permutations(("window", "detector", "rotation", "view"))
    if order.index("rotation") == 2
]


def camera_of(heads=2, views=8, start=217.0, step=-22.5, *, circular=False):
    """Return views head by head; heads evenly about the patient."""
    first = start + 360.0 / heads * np.arange(heads)
    angle = np.deg2rad(first[:, None] + step * np.arange(views)).ravel()
    radius = np.full(angle.size, 230.0) if circular else np.linspace(200, 280, angle.size)
    return Camera(-np.pi / 2 - angle, radius, (np.arange(9) - 4) * 4.4, (np.arange(6) - 2.5) * 3.1)


def counts_of(camera, *lead, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 65536, (*lead, *camera.shape)).astype(np.float32)


def by_angle(camera):
    """Return the order of views by DICOM angle, which is how they are read."""
    angle = (-90 - np.rad2deg(camera.theta_rad)) % 360
    return np.argsort(np.round(angle, 3), kind="stable")


def assert_same(path, camera, counts, **given):
    read = read_projections(path, CameraFacts(**given))
    order = by_angle(camera)
    np.testing.assert_array_equal(read.counts, counts[:, order])
    turned = np.exp(1j * read.camera.theta_rad) - np.exp(1j * camera.theta_rad[order])
    assert np.abs(turned).max() < 1e-6
    np.testing.assert_allclose(read.camera.radius_mm, camera.radius_mm[order], rtol=1e-9)
    np.testing.assert_allclose(read.camera.u_mm, camera.u_mm, atol=1e-9)
    np.testing.assert_allclose(read.camera.z_mm, camera.z_mm, atol=1e-9)
    return read


@pytest.mark.parametrize("first_row", ["head", "feet"])
@pytest.mark.parametrize("order", ORDERS)
def test_any_order_of_frames_comes_back(tmp_path, order, first_row):
    camera = camera_of()
    study = Study(
        WINDOWS, heads=2, frame_order=order, first_row=first_row, position="FFP",
        origin_mm=(3.0, -250.5, 1200.25),
    )  # fmt: skip
    counts = counts_of(camera, 2)
    read = assert_same(
        write_projections(tmp_path / "a.dcm", camera, counts, study), camera, counts
    )
    assert read.origin_mm == pytest.approx(study.origin_mm, abs=1e-6)
    assert read.facts["patient_position"] == "FFP"
    assert read.windows[0] == WINDOWS[0]
    assert read.facts["view_duration_s"] == 20


@pytest.mark.parametrize("step", [22.5, -22.5])
@pytest.mark.parametrize("heads", [1, 3])
def test_heads_and_directions_come_back(tmp_path, heads, step):
    camera = camera_of(heads, 5, 90.0, step, circular=True)
    counts = counts_of(camera, 1)
    study = Study(WINDOWS[:1], heads=heads, nuclide="Lu-177")
    read = assert_same(
        write_projections(tmp_path / "a.dcm", camera, counts, study), camera, counts
    )
    assert read.facts["rotation_direction"] == ("CC" if step > 0 else "CW")
    assert read.facts["radionuclide"] == "Lu-177"


def test_gates_come_back(tmp_path):
    camera = camera_of(1)
    counts = np.floor(counts_of(camera, 1, 4) / 4)
    path = write_projections(tmp_path / "a.dcm", camera, counts, Study(WINDOWS[:1]))
    assert_same(path, camera, counts.sum(axis=1))
    assert_same(path, camera, counts[:, 2], gate=3)


@pytest.mark.parametrize("gates", [0, 4])
@pytest.mark.parametrize("nuclide", ["Tc-99m", "I-131", "Lu-177"])
def test_legal(tmp_path, nuclide, gates):
    """The validator of dicom3tools finds no error in what is written."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    validator = shutil.which("dciodvfy", path=places)
    if validator is None:
        pytest.skip("no dciodvfy: install dicom3tools")
    camera = camera_of(2)
    lead = (2, gates) if gates else (2,)
    study = Study(WINDOWS, nuclide, heads=2, collimator="Siemens Symbia LEHR", dose_mbq=740.0)
    path = write_projections(tmp_path / "a.dcm", camera, counts_of(camera, *lead), study)
    ran = subprocess.run(
        [validator, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    said = (ran.stdout + ran.stderr).splitlines()
    assert "NMImage" in said
    assert [line for line in said if line.startswith(("Error", "Abort"))] == []


def test_the_same_scan_gives_the_same_bytes(tmp_path):
    camera = camera_of()
    paths = [
        write_projections(tmp_path / name, camera, counts_of(camera, 2), Study(WINDOWS, heads=2))
        for name in ("a.dcm", "b.dcm")
    ]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_what_cannot_be_written(tmp_path):
    camera, path = camera_of(), tmp_path / "a.dcm"
    good, study = counts_of(camera, 2), Study(WINDOWS, heads=2)
    for bad in (good + 0.5, good - 70000, good + 70000):
        with pytest.raises(DataError, match="whole numbers from 0 to 65535"):
            write_projections(path, camera, bad, study)
    with pytest.raises(GeometryError, match="shape"):
        write_projections(path, camera, good[:1], study)
    with pytest.raises(GeometryError, match="3 heads"):
        write_projections(path, camera, good, replace(study, heads=3))
    with pytest.raises(GeometryError, match="even steps"):
        write_projections(path, camera_of(2, step=-20.0), good, replace(study, heads=1))
    with pytest.raises(WriteError):
        write_projections(tmp_path / "none" / "a.dcm", camera, good, study)
    for wrong in ({"position": "HFDL"}, {"first_row": "top"}, {"frame_order": ("view",)}):
        with pytest.raises(SettingsError):
            Study(WINDOWS, **wrong)
    assert not list(tmp_path.iterdir())
