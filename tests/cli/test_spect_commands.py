"""SPECT from the command line: simulate to DICOM, look at it, reconstruct it, hold it to truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from emrecon.cli import main
from emrecon.io import read_image
from emrecon.io.dicom.nm import read_projections
from emrecon.io.interfile.spect import write_projections
from emrecon.io.scan import read_scan
from emrecon.jobs.recon import reconstruct
from emrecon.jobs.simulate import write_camera_simulation
from emrecon.tomo.inputs import CameraFacts, Corrections
from emrecon.tomo.settings import Settings
from phantoms.acquisition import Acquisition
from phantoms.flip_finder import flip_finder
from phantoms.spect_acquisition import CameraAcquisition
from tests.tomo.test_recon import check_centroids
from tests.tomo.test_spect_recon import ring_means

pytestmark = pytest.mark.slow

SHAPE = ["--views", 36, "--bins", 48, "--planes", 30, "--bin-mm", 4.5, "--plane-mm", 4.5]
QUICK = ["--iterations", 5, "--subsets", 6]
PATIENT_MM = (12.0, -35.0, 410.0)


def run(*tokens: object) -> int:
    """Run the command line here; return its exit code."""
    with pytest.raises(SystemExit) as left:
        main([str(token) for token in tokens])
        raise SystemExit(0)
    code = left.value.code
    return code if isinstance(code, int) else 0


@pytest.mark.parametrize("fastest", ["view", "detector"])
@pytest.mark.parametrize("start", [0.0, 90.0, 217.0])
@pytest.mark.parametrize("heads", [1, 2, 3])
@pytest.mark.parametrize("direction", ["CW", "CC"])
def test_flip_finder_is_where_it_is(
    tmp_path: Path, direction: str, heads: int, start: float, fastest: str
) -> None:
    """Exact line integrals, rounded to counts: centroids right to half a voxel in the patient."""
    positions = ("HFS", "HFP", "FFS", "FFP")
    position = positions[(heads + int(start)) % 4]
    how = CameraAcquisition(
        heads=heads, start_deg=start, direction=direction, bin_mm=4.5, plane_mm=4.5, planes=30,
        orbit_mm=180.0, collimator="none", position=position, patient_mm=PATIENT_MM,
        detector_fastest=fastest == "detector",
    )  # fmt: skip
    like = Acquisition(
        views=24, bins=48, counts=4e6, scatter_fraction=0.0, attenuate=False, noise=False
    )
    made = how.scan(flip_finder(), like)
    write_camera_simulation(tmp_path / "scan", made)
    assert read_scan(tmp_path / "scan")[0].facts["patient_position"] == position
    reconstruct(
        tmp_path / "scan", tmp_path / "image.nii", Settings(iterations=4, subsets=4, threads=1)
    )
    image = read_image(tmp_path / "image.nii")
    np.testing.assert_allclose(image.affine, made.truth.affine, atol=1e-4)
    check_centroids(image, made.truth, made.labels)


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An attenuated, blurred, scattered and noisy flip finder, as a person makes it."""
    folder = tmp_path_factory.mktemp("spect") / "scan"
    assert run(
        "simulate", "flip-finder", "--dicom", "-o", folder, *SHAPE, "--counts", 4e6,
        "--start-deg", 217, "--orbit-mm", 180, "--patient-mm", *PATIENT_MM,
    ) == 0  # fmt: skip
    return folder


def test_simulate_info_recon_metrics(scan: Path, tmp_path: Path, capsys) -> None:
    assert sorted(path.name for path in scan.iterdir()) == [
        "labels.json", "labels.nii.gz", "mu.nii.gz", "projections.dcm", "scan.toml",
        "truth.json", "truth.nii.gz", "truth.png",
    ]  # fmt: skip
    truth = json.loads((scan / "truth.json").read_text())
    assert (truth["Phantom"], truth["Settings"]["orbit_mm"]) == ("flip-finder", 180)
    assert truth["Settings"]["counts"] == truth["Facts"]["expected_counts"] == 4e6
    capsys.readouterr()
    assert run("info", scan, scan / "projections.dcm") == 0
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for words in ("head 2", "18 views, 10 degrees apart", "126.46", "HFS", "Tc-99m", "-35.000",
                  "from left and behind (233 degrees", "Symbia LEHR"):  # fmt: skip
        assert words in said, words
    out = tmp_path / "image.nii.gz"
    code = run(
        "recon", scan, "-o", out, *QUICK, "--collimator", "Siemens Symbia LEHR",
        "--scatter-from", "tew", "--cps-per-mbq", 90,
    )  # fmt: skip
    assert code == 0
    told = json.loads((tmp_path / "image.json").read_text())
    assert told["Units"] == "Bq/mL"
    assert told["Facts"]["radionuclide"] == "Tc-99m"
    assert told["Facts"]["attenuation_modelled"] is True
    assert told["Facts"]["scatter_from"] == "tew"
    assert told["Facts"]["scatter"] == pytest.approx(0.2 * 4e6, rel=0.01)
    assert set(told["Inputs"]) == {"manifest", "prompts", "mu"}
    truth = read_image(scan / "truth.nii.gz")
    image = read_image(out)
    factor = told["Facts"]["bq_per_ml_per_count_per_mm"]
    counted = image.voxels / np.float32(factor)
    assert counted.sum() == pytest.approx(truth.voxels.sum(), rel=0.02)
    from emrecon.volume import Volume

    # The blur of the collimator is modelled, not undone within so few updates: under 0.6 voxels.
    check_centroids(
        Volume(counted, image.affine), truth, read_image(scan / "labels.nii.gz"), within=0.6
    )


def test_a_cylinder_simulated_without_noise_comes_back_flat(tmp_path: Path) -> None:
    """Whole counts in a file do not show on the axis: rings of 10 mm within 2 % of the truth."""
    few = ["--views", 60, "--bins", 64, "--planes", 8, "--counts", 1e6, "--no-noise"]
    code = run("simulate", "cylinder", "--dicom", "-o", tmp_path, *few,
               "--collimator", "none", "--scatter-fraction", 0)  # fmt: skip
    assert code == 0
    out = tmp_path / "image.nii"
    assert run("recon", tmp_path, "-o", out, "--iterations", 10, "--subsets", 6) == 0
    image, truth = read_image(out), read_image(tmp_path / "truth.nii.gz")
    planes = slice(2, 6)
    flat = ring_means(image, planes) / ring_means(truth, planes)
    np.testing.assert_allclose(flat, 1.0, atol=0.02)


def test_scatter_estimate_is_the_scatter_put_in(tmp_path: Path) -> None:
    """Without noise, the trapezium gives the straight line that was put in, but for rounding."""
    how = CameraAcquisition(bin_mm=4.5, plane_mm=4.5, planes=30, orbit_mm=180.0)
    made = how.scan(flip_finder(), Acquisition(views=12, bins=48, counts=2e6, noise=False))
    write_camera_simulation(tmp_path, made)
    camera = CameraFacts(scatter_from="tew", scatter_fwhm_mm=0.0)
    scan, _ = read_scan(tmp_path, camera=camera)
    back = read_projections(tmp_path / "projections.dcm")
    order = [
        int(np.argmin(np.abs(np.exp(1j * theta) - np.exp(1j * made.camera.theta_rad))))
        for theta in back.camera.theta_rad
    ]
    assert made.scatter is not None
    # Each window is within 1 of its mean, 0 over the views; the peak is 5/6 of both together.
    wrong = scan.scatter - made.scatter[order]
    assert np.abs(wrong).max() < 2 * 5 / 6 + 0.01
    assert np.abs(wrong.mean(axis=0)).max() < (2 * 5 / 6 + 0.01) / len(order)
    smooth, _ = read_scan(tmp_path, camera=CameraFacts(scatter_from="tew"))
    assert smooth.scatter.sum() == pytest.approx(scan.scatter.sum(), rel=1e-4)


def test_interfile_of_the_same_counts_gives_the_same_image(tmp_path: Path) -> None:
    how = CameraAcquisition(
        heads=1, start_deg=217.0, bin_mm=4.5, plane_mm=4.5, planes=30, orbit_mm=180.0,
    )  # fmt: skip
    like = Acquisition(views=36, bins=48, counts=2e6, scatter_fraction=0.0)
    made = how.scan(flip_finder(), like)
    write_camera_simulation(tmp_path / "scan", made)
    write_projections(tmp_path / "a.hs", made.camera, made.counts[0])
    settings = Settings(iterations=1, subsets=1)
    parts = Corrections(mu=tmp_path / "scan" / "mu.nii.gz")
    reconstruct(tmp_path / "scan", tmp_path / "a.nii", settings)
    reconstruct(
        tmp_path / "a.hs", tmp_path / "b.nii", settings, Corrections(mu=parts.mu, mu_unit="1/mm")
    )
    one, other = read_image(tmp_path / "a.nii"), read_image(tmp_path / "b.nii")
    np.testing.assert_allclose(one.affine, other.affine, atol=1e-5)
    np.testing.assert_allclose(one.voxels, other.voxels, rtol=1e-3, atol=1e-5)


def test_simset_is_reconstructed(shared_data: Path, tmp_path: Path) -> None:
    """Counts explain themselves: totals agree, and nothing is outside the body."""
    out = tmp_path / "image.nii.gz"
    path = shared_data / "spect_simset" / "input.hs"
    assert run("recon", path, "-o", out, "--iterations", 2, "--subsets", 12) == 0
    image = read_image(out)
    told = json.loads((tmp_path / "image.json").read_text())
    assert image.voxels.shape == (128, 128, 64)
    assert image.spacing_mm == pytest.approx((3.32, 3.32, 3.32))
    rows = [row["log_likelihood"] for row in told["Convergence"]]
    assert rows[-1] > rows[0]
    scan, _ = read_scan(path)
    # Without attenuation every view holds the sum of the image times the bin over its area.
    per_view = scan.prompts.sum(dtype=np.float64) / 120
    assert image.voxels.sum(dtype=np.float64) * 3.32 == pytest.approx(per_view, rel=0.02)


def test_center_of_the_image_is_in_the_patient(scan: Path, tmp_path: Path) -> None:
    centre = (10.0, -30.0, 400.0)
    settings = Settings(
        iterations=1, subsets=6, voxel_mm=(9.0, 9.0, 9.0), size=(11, 9, 7), centre_mm=centre
    )
    made = reconstruct(scan, tmp_path / "a.nii", settings)
    middle = made.volume.affine @ (5, 4, 3, 1)
    np.testing.assert_allclose(middle[:3], centre, atol=1e-4)
    told = json.loads((tmp_path / "a.json").read_text())
    assert told["Settings"]["centre_mm"] == list(centre)


def test_mistakes_end_in_one_line(
    scan: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, capsys
) -> None:
    out = ["-o", tmp_path / "x.nii"]
    dcm = scan / "projections.dcm"
    other = tmp_path_factory.mktemp("other") / "other.dcm"
    other.write_bytes(dcm.read_bytes())
    cases = [
        (["recon", dcm, *out, "--window", "9"], 2, "energy window '9'"),
        (["recon", dcm, *out, "--scatter-from", "qew"], 2, "scatter_from"),
        (["recon", dcm, *out, "--radius-mm", "100", "200"], 1, "2 radii for 18 views"),
        (["recon", scan, *out, "--scatter-from", "tew", "--scatter", other], 2, "not both"),
        (["recon", dcm, *out, "--collimator", "sieve"], 2, "sieve"),
        (["simulate", "cylinder", *out, "--heads", "3"], 2, "--dicom"),
        (["simulate", "cylinder", "--dicom", *out, "--heads", "7"], 2, "7 heads"),
        (["simulate", "cylinder", "--dicom", *out, "--isotope", "Xx-1"], 2, "Xx-1"),
    ]  # fmt: skip
    for tokens, code, words in cases:
        assert run(*tokens) == code, tokens
        said = capsys.readouterr().err.strip().splitlines()[-1]
        assert words in said, (tokens, said)
    assert not list(tmp_path.iterdir())


def test_dicom_to_interfile(scan: Path, tmp_path: Path) -> None:
    """Two heads become one row of views; the chosen window's counts stay."""
    assert run("convert", scan / "projections.dcm", "-o", tmp_path / "a", "--window", 1) == 0
    dicom, interfile = read_scan(scan / "projections.dcm")[0], read_scan(tmp_path / "a")[0]
    assert dicom.bins.difference(interfile.bins) == ""
    np.testing.assert_array_equal(dicom.prompts, interfile.prompts)
    assert interfile.facts["radionuclide"] == "Tc-99m"


def test_other_dicom_ends_in_one_line(tmp_path: Path, capsys) -> None:
    from tests.io.nm_files import nm_dataset, saved

    dataset = nm_dataset()
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "STATIC", "EMISSION"]
    path = saved(dataset, tmp_path)
    for command in (["info", path], ["recon", path, "-o", tmp_path / "x.nii"], ["convert", path,
                    "-o", tmp_path / "y"]):  # fmt: skip
        assert run(*command) == 1
        assert "ImageType (0008,0008)" in capsys.readouterr().err
