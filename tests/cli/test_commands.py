"""The commands, as a person types them, and what they leave on disk."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from emrecon import Settings, recon
from emrecon.cli import main
from emrecon.cli.demo import demo as demo_command
from emrecon.io import read_image, write_image
from emrecon.io.calibration_file import write_calibration
from emrecon.io.scan import read_scan
from emrecon.tomo.corrections.quantity import PetCalibration
from emrecon.volume import Volume

QUICK = ["--iterations", "2", "--subsets", "4"]


def run(*tokens: object) -> int:
    """Run the command line here; return its exit code."""
    with pytest.raises(SystemExit) as left:
        main([str(token) for token in tokens])
        raise SystemExit(0)
    code = left.value.code
    return code if isinstance(code, int) else 0


def test_recon_writes_image_sidecar_log_and_picture(scan_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "image.nii.gz"
    assert run("recon", scan_folder, "-o", out, *QUICK, "--psf-fwhm-mm", 4) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "image.csv", "image.json", "image.nii.gz", "image.png",
    ]  # fmt: skip
    nifti = nib.load(out)
    assert nifti.get_data_dtype() == np.float32
    assert nifti.header["qform_code"] == nifti.header["sform_code"] == 1
    assert nifti.header.get_xyzt_units() == ("mm", "sec")
    np.testing.assert_allclose(nifti.get_qform(), nifti.affine, atol=1e-4)
    assert np.linalg.det(nifti.affine) > 0
    told = json.loads((tmp_path / "image.json").read_text())
    assert told["Settings"]["psf_fwhm_mm"] == [4.0]
    assert told["Settings"]["subsets"] == 4
    assert told["Units"] == "counts/mm"
    parts = {"prompts", "normalisation", "attenuation", "randoms", "scatter"}
    data = {f"{name} data" for name in parts}
    assert set(told["Inputs"]) == parts | data | {"manifest"}
    found = hashlib.sha256((scan_folder / "prompts.s").read_bytes()).hexdigest()
    assert told["Inputs"]["prompts data"]["SHA256"] == found
    assert all(len(file["SHA256"]) == 64 for file in told["Inputs"].values())
    assert told["Facts"]["prompts"] == pytest.approx(3e5, rel=0.02)
    assert [row["sub_iteration"] for row in told["Convergence"]] == list(range(9))
    rows = list(csv.DictReader((tmp_path / "image.csv").read_text().splitlines()))
    assert [float(row["log_likelihood"]) for row in rows] == [
        row["log_likelihood"] for row in told["Convergence"]
    ]
    with Image.open(tmp_path / "image.png") as picture:
        assert min(picture.size) > 300
        assert np.asarray(picture).std() > 1


def test_command_line_and_python_give_the_same_bits(scan_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "image.nii"
    assert run("recon", scan_folder, "-o", out, *QUICK, "--threads", 1) == 0
    scan, _ = read_scan(scan_folder)
    image = recon(scan, Settings(iterations=2, subsets=4))
    np.testing.assert_array_equal(read_image(out).voxels, image.voxels)
    np.testing.assert_allclose(read_image(out).affine, image.affine, atol=1e-4)


def test_parts_by_name_are_the_manifest(scan_folder: Path, tmp_path: Path) -> None:
    whole, byname = tmp_path / "a.nii", tmp_path / "b.nii"
    run("recon", scan_folder, "-o", whole, *QUICK)
    parts = [
        token
        for name in ("normalisation", "attenuation", "randoms", "scatter")
        for token in (f"--{name}", scan_folder / f"{name}.hs")
    ]
    assert run("recon", scan_folder / "prompts.hs", *parts, "-o", byname, *QUICK) == 0
    np.testing.assert_array_equal(read_image(whole).voxels, read_image(byname).voxels)


def test_files_of_others_are_written_over_when_that_is_said(
    scan_folder: Path, tmp_path: Path, capsys
) -> None:
    picture = tmp_path / "image.png"
    picture.write_bytes(b"a photograph")
    command = ("recon", scan_folder, "-o", tmp_path / "image.nii", *QUICK)
    assert run(*command) == 1
    assert "image.png exists already" in capsys.readouterr().err
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"a photograph"]
    assert run(*command, "--overwrite") == 0
    assert run(*command) == 0  # now they are of this scan


def test_stir_terms_are_the_same_model(scan_folder: Path, tmp_path: Path) -> None:
    """correction = 1 / (n a), additive = (r + s) / (n a)."""
    from emrecon.io import interfile

    scan, _ = read_scan(scan_folder)
    efficiency = scan.normalisation * scan.attenuation
    correction = np.divide(1, efficiency, where=efficiency > 0, out=np.zeros_like(efficiency))
    interfile.write_projections(tmp_path / "norm.hs", scan.bins, correction)
    additive = (scan.randoms + scan.scatter) * correction
    interfile.write_projections(tmp_path / "add.hs", scan.bins, additive)
    a, b = tmp_path / "a.nii", tmp_path / "b.nii"
    run("recon", scan_folder, "-o", a, *QUICK)
    stir = ["--correction", tmp_path / "norm.hs", "--additive", tmp_path / "add.hs"]
    assert run("recon", scan_folder / "prompts.hs", *stir, "-o", b, *QUICK) == 0
    np.testing.assert_allclose(read_image(a).voxels, read_image(b).voxels, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("unit", ["1/mm", "1/cm"])
def test_mu_map_in_either_unit(scan_folder: Path, tmp_path: Path, unit: str) -> None:
    from emrecon.io import write_image
    from emrecon.volume import Volume

    mu = read_image(scan_folder / "mu.nii.gz")
    factor = 10 if unit == "1/cm" else 1
    write_image(Volume(mu.voxels * np.float32(factor), mu.affine), tmp_path / "mu.nii")
    names = ("normalisation", "randoms", "scatter")
    parts = [token for name in names for token in (f"--{name}", scan_folder / f"{name}.hs")]
    given = ["--mu", tmp_path / "mu.nii", "--mu-unit", unit]
    assert (
        run("recon", scan_folder / "prompts.hs", *parts, *given, "-o", tmp_path / "b.nii", *QUICK)
        == 0
    )
    run("recon", scan_folder, "-o", tmp_path / "a.nii", *QUICK)
    a, b = (read_image(tmp_path / name).voxels for name in ("a.nii", "b.nii"))
    assert b.sum() == pytest.approx(a.sum(), rel=0.02)


def test_resume_is_bit_identical(scan_folder: Path, tmp_path: Path, monkeypatch) -> None:
    whole, out = tmp_path / "whole.nii", tmp_path / "part.nii"
    settings = ["--iterations", "3", "--subsets", "4", "--checkpoint-every", "2"]
    assert run("recon", scan_folder, "-o", whole, *settings) == 0
    assert not (tmp_path / "whole.checkpoint.npz").exists()
    interrupt_after(monkeypatch, 5)
    assert run("recon", scan_folder, "-o", out, *settings) == 130
    monkeypatch.undo()
    assert not out.exists()
    assert (tmp_path / "part.checkpoint.npz").exists()
    assert run("recon", scan_folder, "-o", out, *settings, "--resume") == 0
    assert out.read_bytes() == whole.read_bytes()
    told = json.loads((tmp_path / "part.json").read_text())
    assert told["Facts"]["resumed_at_update"] == 4
    assert [row["sub_iteration"] for row in told["Convergence"]] == list(range(13))
    assert not (tmp_path / "part.checkpoint.npz").exists()


@pytest.mark.slow
def test_resumed_run_stops_where_the_whole_one_does(scan_folder, tmp_path, monkeypatch) -> None:
    flat = ["--iterations", 60, "--subsets", 4, "--tolerance", 1e-5, "--checkpoint-every", 1]
    whole, out = tmp_path / "whole.nii", tmp_path / "part.nii"
    assert run("recon", scan_folder, "-o", whole, *flat) == 0
    end = json.loads((tmp_path / "whole.json").read_text())["Facts"]["updates"]
    assert 8 < end < 240
    interrupt_after(monkeypatch, end - 2)
    run("recon", scan_folder, "-o", out, *flat)
    monkeypatch.undo()
    assert run("recon", scan_folder, "-o", out, *flat, "--resume") == 0
    assert out.read_bytes() == whole.read_bytes()


def test_a_fresh_run_leaves_the_checkpoint_of_another(scan_folder, tmp_path, monkeypatch) -> None:
    out = tmp_path / "a.nii"
    interrupt_after(monkeypatch, 3)
    run("recon", scan_folder, "-o", out, "--iterations", 9, "--checkpoint-every", 1)
    monkeypatch.undo()
    assert run("recon", scan_folder, "-o", out, *QUICK) == 0
    assert (tmp_path / "a.checkpoint.npz").exists()


def test_what_is_given_stands_for_the_manifests(scan_folder: Path, tmp_path: Path) -> None:
    """A mu-map instead of the folder's attenuation factors."""
    mu = ["--mu", scan_folder / "mu.nii.gz", "--mu-unit", "1/mm"]
    assert run("recon", scan_folder, *mu, "-o", tmp_path / "a.nii", *QUICK) == 0
    told = json.loads((tmp_path / "a.json").read_text())
    assert "mu" in told["Inputs"]
    assert "attenuation" not in told["Inputs"]
    assert told["Facts"]["mu_unit"] == "1/mm"


def test_info_on_a_header_without_data(scan_folder: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "template.hs").write_text((scan_folder / "prompts.hs").read_text())
    assert run("info", tmp_path / "template.hs") == 0
    said = capsys.readouterr().out
    assert "missing" in said
    assert "6 rings of 48 crystals" in said


def interrupt_after(monkeypatch: pytest.MonkeyPatch, updates: int) -> None:
    """Press Ctrl-C, as it were, when the log sees this update."""
    from emrecon.watchers import ConvergenceLog

    plain = ConvergenceLog.__call__

    def pressed(self, iterate) -> None:
        plain(self, iterate)
        if iterate.number == updates:
            raise KeyboardInterrupt

    monkeypatch.setattr(ConvergenceLog, "__call__", pressed)


def test_checkpoint_of_other_settings_is_refused(
    scan_folder, tmp_path, monkeypatch, capsys
) -> None:
    out = tmp_path / "part.nii"
    interrupt_after(monkeypatch, 3)
    run("recon", scan_folder, "-o", out, *QUICK, "--checkpoint-every", 1)
    monkeypatch.undo()
    capsys.readouterr()
    other = ["--iterations", 2, "--subsets", 6, "--checkpoint-every", 1]
    assert run("recon", scan_folder, "-o", out, *other, "--resume") == 1
    assert "other data, settings or version" in capsys.readouterr().err


def test_cache_keeps_sensitivities(scan_folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for name in ("a.nii", "b.nii"):
        assert run("recon", scan_folder, "-o", tmp_path / name, *QUICK, "--cache", cache) == 0
    assert len(list(cache.iterdir())) == 4
    assert (tmp_path / "a.nii").read_bytes() == (tmp_path / "b.nii").read_bytes()


def test_simulate_phantom_convert_metrics(tmp_path: Path, capsys) -> None:
    scan = tmp_path / "scan"
    few = ["--scanner", "tiny", "--span", 3, "--counts", 1e5]
    assert run("simulate", "flip-finder", "-o", scan, *few) == 0
    assert run("simulate", "flip-finder", "-o", tmp_path / "again", *few) == 0
    assert (scan / "prompts.s").read_bytes() == (tmp_path / "again" / "prompts.s").read_bytes()
    assert run("recon", scan, "-o", scan / "image.hv", *QUICK) == 0
    assert run("convert", scan / "image.hv", "-o", tmp_path / "image.nii.gz") == 0
    hv, nifti = read_image(scan / "image.hv").ras(), read_image(tmp_path / "image.nii.gz").ras()
    np.testing.assert_array_equal(hv.voxels, nifti.voxels)
    np.testing.assert_allclose(hv.affine, nifti.affine, atol=1e-3)
    assert (
        run("metrics", tmp_path / "image.nii.gz", "--truth", scan, "--out", tmp_path / "m.json")
        == 0
    )
    figures = json.loads((tmp_path / "m.json").read_text())
    assert 0 < figures["whole image"][0]["nrmse"] < 1
    assert {row["name"] for row in figures["regions"]} >= {"background"}
    assert "nrmse" in capsys.readouterr().out
    assert run("phantom", "derenzo", "-o", tmp_path / "rods", "--voxel-mm", 6) == 0
    assert read_image(tmp_path / "rods" / "mu.nii.gz").voxels.max() == pytest.approx(
        0.0096, rel=0.01
    )


def test_noise_and_attenuation_can_be_switched_off(tmp_path: Path) -> None:
    few = ["--scanner", "tiny", "--span", 3, "--counts", 1e5, "--no-noise", "--no-attenuate"]
    assert run("simulate", "cylinder", "-o", tmp_path, *few) == 0
    scan, _ = read_scan(tmp_path)
    assert scan.attenuation is None
    assert float(scan.prompts.sum(dtype=np.float64)) == pytest.approx(1e5, rel=1e-5)
    assert np.any(scan.prompts % 1 > 0)


def test_info_says_what_files_are(scan_folder: Path, capsys) -> None:
    assert run("info", scan_folder, scan_folder / "randoms.hs", scan_folder / "truth.nii.gz") == 0
    said = capsys.readouterr().out
    for words in (
        "scan in a folder",
        "6 rings of 48 crystals",
        "-1..1",
        "RAS",
        "counts/mm",
        "HFS",
    ):
        assert words in said, words


def test_brackets_in_names_are_no_markup(tmp_path: Path, capsys) -> None:
    """Files and labels are named as they are, and a damaged file keeps no other from view."""
    folder = tmp_path / "a["
    folder.mkdir()
    image, copy, broken = folder / "b].nii", tmp_path / "T2[red]x.nii", tmp_path / "[/i].nii.gz"
    voxels = (np.indices((12, 12, 12)).sum(axis=0) % 3).astype(np.float32)
    for path in (image, copy):
        write_image(Volume(voxels, np.eye(4)), path)
    broken.parent.mkdir(exist_ok=True)
    broken.write_bytes(b"\x1f\x8b" + bytes(30))
    assert run("info", copy, broken, image) == 1
    shown = capsys.readouterr()
    assert copy.name in shown.out
    assert "a[/b].nii" in shown.out
    assert len(shown.err.splitlines()) == 1
    copy.with_suffix(".json").write_text('{"LabelMap": {"1": "c[/d]"}}')
    assert run("metrics", image, "--truth", image, "--labels", copy) == 0
    assert "c[/d]" in capsys.readouterr().out


@pytest.mark.slow
def test_time_of_flight(tmp_path: Path, capsys) -> None:
    """Simulated, described, reconstructed, and with its bins summed."""
    scan = tmp_path / "scan"
    flags = ["--scanner", "tiny", "--span", 3, "--counts", 2e5, "--tof-fwhm-ps", 80]
    assert run("simulate", "cylinder", "-o", scan, *flags, "--tof-width-ps", 60) == 0
    assert run("info", scan) == 0
    said = capsys.readouterr().out
    assert "bins of 8.994 mm (60 ps)" in said
    assert "11.99 mm (80 ps)" in said
    images = {}
    for name, more in (("timed", []), ("summed", ["--sum-tof"])):
        assert run("recon", scan, "-o", tmp_path / f"{name}.nii.gz", *QUICK, *more) == 0
        images[name] = read_image(tmp_path / f"{name}.nii.gz").voxels
    told = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in images}
    bins = read_scan(scan)[0].bins
    assert bins.timing.covers(bins.fov_mm)
    assert told["timed"]["Facts"]["tof_bins"] == bins.timing.bins
    assert told["summed"]["Facts"]["tof_bins_summed"] == bins.timing.bins
    difference = np.abs(images["timed"] - images["summed"]).mean() / images["summed"].mean()
    assert 0.01 < difference < 0.5
    assert run("simulate", "cylinder", "-o", tmp_path / "no", "--tof-bins", 5) != 0
    assert "tof_fwhm_ps" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
    (scan / "scan.toml").write_text('prompts = "prompts.hs"\nsum_tof = 1\n')
    assert run("recon", scan, "-o", tmp_path / "no.nii.gz") != 0
    assert "true or false" in capsys.readouterr().err


def test_demo(tmp_path: Path, monkeypatch, capsys) -> None:
    """The demo on a smaller scanner; its full size is the README's first command."""
    from dataclasses import replace

    from emrecon.cli import demo

    small = replace(demo.SMALL, views=72, bins=112, counts=1.5e7)
    monkeypatch.setattr(demo, "SMALL", small)
    assert run("demo", "-o", tmp_path / "demo") == 0
    image = read_image(tmp_path / "demo" / "recon.nii.gz")
    truth = read_image(tmp_path / "demo" / "scan" / "truth.nii.gz")
    assert np.corrcoef(image.voxels.ravel(), truth.voxels.ravel())[0, 1] > 0.8
    *_, said = capsys.readouterr().out.splitlines()
    true = [float(volume) for volume in re.findall(r"([0-9.]+) mL", said)]
    about = json.loads((tmp_path / "demo" / "tissue" / "t1_dseg.json").read_text())
    found = [about["Volumes"][tissue]["FractionVolumeML"] for tissue in ("CSF", "GM", "WM")]
    assert found == pytest.approx(true, rel=0.03)  # noise is 3 %
    (tmp_path / "demo" / "scan" / "scan.toml").unlink()  # then the image may be another's
    assert run("demo", "-o", tmp_path / "demo") == 1
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.slow
def test_help_is_quick_and_complete() -> None:
    """Nothing heavy is imported for --help."""
    script = (
        "import sys\nfrom emrecon.cli import main\n"
        "try:\n main({tokens})\nexcept SystemExit: pass\n"
        "print([m for m in ('numpy', 'numba', 'scipy', 'nibabel') if m in sys.modules])"
    )
    for tokens in (["--help"], ["recon", "--help"], ["info", "--help"]):
        found = subprocess.run(
            [sys.executable, "-c", script.format(tokens=tokens)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert found.stdout.strip().endswith("[]"), found.stdout[-300:]
    from emrecon.cli import COMMANDS

    assert all(command in found_help() for command in COMMANDS)


def found_help() -> str:
    return subprocess.run(
        [sys.executable, "-m", "emrecon", "--help"], capture_output=True, text=True, check=True
    ).stdout


def test_info_says_what_a_calibration_is(tmp_path: Path, capsys) -> None:
    path = tmp_path / "calibration.json"
    write_calibration(path, PetCalibration(5e4, "tiny", "counts", frozenset({"decay"})), {})
    assert run("info", path) == 0
    said = capsys.readouterr().out
    for words in ("calibration of a PET scanner", "tiny", "50000 Bq/mL", "decay"):
        assert words in said
    assert run("recon", path, "-o", tmp_path / "out.nii") != 0
    assert "is no scan" in capsys.readouterr().err


def test_a_demo_that_is_stopped_leaves_no_empty_folder(tmp_path: Path, monkeypatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("emrecon.cli.demo.do", stopped)
    (tmp_path / "mine").mkdir()
    for name in ("demo", "mine"):
        with pytest.raises(KeyboardInterrupt):
            demo_command(out=tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
