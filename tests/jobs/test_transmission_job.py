"""Attenuation maps as a command: X-ray frames, a rod source, and what is refused."""

from __future__ import annotations

import json
from itertools import pairwise

import h5py
import numpy as np
import pytest

from emrecon import io, jobs
from emrecon.cli import main
from emrecon.errors import DataError, FormatError, SettingsError
from emrecon.io.interfile import write_projections
from emrecon.jobs.transmission import TransmissionJob
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.transmission_settings import RayFiles, TransmissionSettings
from phantoms.acquisition import Acquisition
from phantoms.phantom import Phantom
from phantoms.shapes import Material, cylinder
from phantoms.simulate import attenuation_factors

MU = 0.02
BODY = Phantom("rod", (cylinder((6, 4, 0), (20, 20), 400).filled(Material(1.0, MU), label=1),),
               {1: "rod"})  # fmt: skip


def inside_of(volume) -> np.ndarray:
    """Return the voxels well inside of the body."""
    x, y = (volume.grid().centres_mm(axis) for axis in (0, 1))
    return volume.voxels[np.hypot(x[:, None] - 6, y - 4) < 13]


@pytest.fixture
def frames(tmp_path):
    """A file of frames of 200 photons a pixel, with an offset and an axis beside the middle."""
    angles, columns = np.arange(61) * np.pi / 60, np.arange(64)
    through = attenuation_factors(BODY, Bins.parallel(angles, (columns - 29.0) * 1.0, slices=2))
    dark, white = np.full((3, 2, 64), 20.0), np.full((3, 2, 64), 220.0)
    counts = np.random.default_rng(0).poisson(200 * np.swapaxes(through, 1, 2) + 20)
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        for name, data in (("data", counts), ("data_dark", dark), ("data_white", white),
                           ("theta", np.rad2deg(angles))):  # fmt: skip
            file[f"exchange/{name}"] = data
    return path


@pytest.mark.slow
def test_frames_become_a_map_in_one_command(frames, tmp_path) -> None:
    spreads = []
    for prior in ([], ["--prior", "rdp"]):
        out = tmp_path / f"mu{len(prior)}.nii.gz"
        command = ["transmission", str(frames), "-o", str(out), "--pixel-mm", "1", *prior]
        with pytest.raises(SystemExit) as ended:
            main([*command, "--quiet"])
        assert not ended.value.code
        voxels = inside_of(io.read_image(out))
        assert voxels.mean(dtype=float) == pytest.approx(MU, rel=0.02)  # 200 photons a ray
        spreads.append(voxels.std())
        about = json.loads(out.with_name(f"mu{len(prior)}.json").read_text())
        assert about["Facts"]["axis_column"] == pytest.approx(29, abs=0.5)
        assert len(about["Objective"]) == 21
        for before, after in pairwise(about["Objective"]):
            assert after >= before - 1e-7 * abs(before)
    assert about["Facts"]["prior"]["beta"] > 0
    assert spreads[1] < 0.7 * spreads[0]


def ring_files(tmp_path, counts_of=lambda mean: np.random.default_rng(0).poisson(mean)):
    """Write counts of a rod source, the blank of a scan twice as long, and the emission."""
    bins = Acquisition(scanner="tiny").layout()
    blank, emission = np.full(bins.shape, 150.0), np.full(bins.shape, 5.0)
    mean = blank * attenuation_factors(BODY, bins) + emission
    for name, data in (("counts", counts_of(mean)), ("blank", 2 * blank), ("emission", emission)):
        write_projections(tmp_path / f"{name}.hs", bins, data.astype(np.float32))
    return RayFiles(tmp_path / "blank.hs", tmp_path / "emission.hs", 0.5)


def test_a_rod_source_in_a_ring(tmp_path) -> None:
    rays = ring_files(tmp_path)
    job = TransmissionJob(
        tmp_path / "counts.hs", tmp_path / "mu.nii.gz", rays, penalty=Penalty("quadratic")
    )
    _, files = jobs.run(job)
    assert [file.name for file in files] == ["mu.nii.gz", "mu.json", "mu.png"]
    assert inside_of(io.read_image(files[0])).mean() == pytest.approx(MU, rel=0.02)


def test_a_manifest_names_counts_alone(tmp_path) -> None:
    rays = ring_files(tmp_path)
    folder = tmp_path / "scan"
    folder.mkdir()
    manifest = folder / "scan.toml"
    manifest.write_text('prompts = "../counts.hs"\n')
    job = TransmissionJob(folder, tmp_path / "mu.nii.gz", rays, TransmissionSettings(iterations=1))
    assert set(job.inputs().values()) >= {manifest, tmp_path / "blank.s"}
    jobs.run(job)
    job.keep_others()  # it is its own
    told = json.loads((tmp_path / "mu.json").read_text())
    assert told["Inputs"]["prompts"]["File"] == "counts.hs"
    manifest.write_text('prompts = "../counts.hs"\nrandoms = "../emission.hs"\n')
    with pytest.raises(SettingsError, match="names randoms, which transmission does not use"):
        job.begin()


def test_logarithms_are_refused_with_the_way_to_counts(tmp_path, frames) -> None:
    rays = ring_files(tmp_path, lambda mean: -np.log(mean / 155) - 0.01)
    with pytest.raises(DataError, match=r"as they were measured, not -log|negative|below 0"):
        TransmissionJob(tmp_path / "counts.hs", rays=rays).begin().iterate()
    with h5py.File(frames, "r+") as file:
        counts = file["exchange/data"][:]
        del file["exchange/data"]
        file["exchange/data"] = -np.log(np.maximum(counts - 20, 1) / 200)
    with pytest.raises(DataError, match="not -log"):
        TransmissionJob(frames, rays=RayFiles(pixel_mm=1.0)).begin().iterate()


REFUSED = [
    ({}, "how large is a pixel"),
    ({"rays": RayFiles(pixel_mm=1.0, blank_scale=2.0)}, "blank_scale says nothing about HDF5"),
    ({"penalty": Penalty("rdp", algorithm="lbfgs")}, "algorithm says nothing about transmission"),
    ({"penalty": Penalty(beta=1.0)}, "beta says nothing without prior"),
    ({"penalty": Penalty("rdp", beta=(0.1, 0.2))}, "several betas are of images of activity"),
    ({"penalty": Penalty("quadratic", gamma=1.0)}, "gamma says nothing without prior rdp"),
    ({"penalty": Penalty("rdp", eta=0.1)}, "eta says nothing without prior pls"),
    ({"penalty": Penalty("rdp", similar=3)}, "similar says nothing without anatomy"),
    ({"penalty": Penalty("rdp"), "settings": TransmissionSettings(quick=0)}, "quick passes"),
]


@pytest.mark.parametrize(("fields", "words"), REFUSED)
def test_what_makes_no_sense_is_refused(frames, fields, words) -> None:
    with pytest.raises(SettingsError, match=words):
        TransmissionJob(frames, **fields).begin()


def test_files_that_lack_something_are_refused(tmp_path, frames) -> None:
    ring_files(tmp_path)
    with pytest.raises(SettingsError, match="give --blank"):
        TransmissionJob(tmp_path / "counts.hs").begin()
    with pytest.raises(SettingsError, match="pixel_mm says nothing about projections"):
        rays = RayFiles(tmp_path / "blank.hs", pixel_mm=1.0)
        TransmissionJob(tmp_path / "counts.hs", rays=rays).begin()
    with h5py.File(frames, "r+") as file:
        del file["exchange/data_dark"]
    with pytest.raises(FormatError, match="no exchange/data_dark"):
        TransmissionJob(frames, rays=RayFiles(pixel_mm=1.0)).begin()
    frames.write_bytes(b"no HDF5")
    with pytest.raises(FormatError, match="no HDF5 file"):
        TransmissionJob(frames, rays=RayFiles(pixel_mm=1.0)).begin()


def test_part_of_a_turn_needs_the_axis(frames) -> None:
    with h5py.File(frames, "r+") as file:
        theta = file["exchange/theta"][:] / 2
        file["exchange/theta"][:] = theta
    with pytest.raises(SettingsError, match="span 90 degrees: give --axis-column"):
        TransmissionJob(frames, rays=RayFiles(pixel_mm=1.0)).begin()


def test_a_tooth_from_its_frames(shared_data, tmp_path) -> None:
    """Of the frames of tomopy's tooth, four columns as one: enamel stands out, air is empty."""
    rays = RayFiles(pixel_mm=0.01, sum_columns=4)
    settings = TransmissionSettings(iterations=5)
    out = tmp_path / "tooth.nii.gz"
    jobs.run(TransmissionJob(shared_data / "xray_tooth" / "tooth.h5", out, rays, settings))
    about = json.loads((tmp_path / "tooth.json").read_text())
    assert about["Facts"]["axis_column"] == pytest.approx(296, abs=3)
    voxels = io.read_image(out).voxels
    assert voxels.shape[2] == 2
    assert np.median(voxels) < 0.05 * np.percentile(voxels, 99)
