"""A user's mistake ends in one clear line, an exit code above 0, and no partial file."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from emrecon.cli import main
from emrecon.io import read_image, write_image
from emrecon.volume import Volume
from tests.cli.test_commands import QUICK, run


def refused(capsys, code: int, says: str, *tokens: object) -> None:
    """Run a command that must fail with one line that holds these words."""
    capsys.readouterr()
    assert run(*tokens) == code
    said = capsys.readouterr().err.strip().splitlines()
    assert sum(line.startswith("emrecon: ") for line in said) == 1, said
    assert says in said[-1], said
    assert "Traceback" not in "".join(said)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder / "image.nii.gz"


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path):
    """No test here may leave an output or part of one."""
    yield
    left = [path for path in (tmp_path / "out").glob("**/*") if path.is_file()]
    assert left == []


def rewritten(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_truncated_data_file(copy: Path, out: Path, capsys) -> None:
    data = copy / "prompts.s"
    data.write_bytes(data.read_bytes()[:-100])
    refused(capsys, 1, "bytes", "recon", copy, "-o", out)


def test_data_file_that_is_too_long(copy: Path, out: Path, capsys) -> None:
    data = copy / "prompts.s"
    data.write_bytes(data.read_bytes() + b"\0" * 8)
    refused(capsys, 1, "bytes", "recon", copy, "-o", out)


def test_missing_data_file(copy: Path, out: Path, capsys) -> None:
    (copy / "prompts.s").unlink()
    refused(capsys, 1, "prompts.s", "recon", copy, "-o", out)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("LITTLEENDIAN", "MIDDLEENDIAN", "byte order"),
        ("!number format := float", "!number format := roman", "number format"),
        ("!imaging modality := PT", "!imaging modality := US", "modality"),
    ],
)
def test_unknown_key_values(copy: Path, out: Path, capsys, old: str, new: str, says: str) -> None:
    rewritten(copy / "prompts.hs", old, new)
    refused(capsys, 1, says, "recon", copy, "-o", out)


def changed(copy: Path, change) -> None:
    data = np.fromfile(copy / "prompts.s", "<f4")
    change(data)
    data.tofile(copy / "prompts.s")


def test_negative_counts(copy: Path, out: Path, capsys) -> None:
    changed(copy, lambda data: data.__setitem__(slice(5, 8), -1))
    refused(capsys, 1, "prompts is negative in 3 bins", "recon", copy, "-o", out)


def test_nan_counts(copy: Path, out: Path, capsys) -> None:
    changed(copy, lambda data: data.__setitem__(7, np.nan))
    refused(capsys, 1, "NaN or infinite values in 1 bins", "recon", copy, "-o", out)


def test_mu_map_that_does_not_overlap(copy: Path, out: Path, capsys) -> None:
    mu = read_image(copy / "mu.nii.gz")
    away = mu.affine.copy()
    away[2, 3] += 500
    write_image(Volume(mu.voxels, away), copy / "away.nii")
    given = ["--mu", copy / "away.nii", "--mu-unit", "1/mm"]
    refused(capsys, 1, "do not overlap", "recon", copy / "prompts.hs", *given, "-o", out)


def test_mu_map_without_or_with_the_wrong_unit(copy: Path, out: Path, capsys) -> None:
    mu = read_image(copy / "mu.nii.gz")
    write_image(Volume(mu.voxels, mu.affine), copy / "bare.nii")
    given = ["recon", copy / "prompts.hs", "--mu", copy / "bare.nii", "-o", out]
    refused(capsys, 2, "--mu-unit 1/mm or --mu-unit 1/cm", *given)
    refused(capsys, 2, "is it in 1/mm", *given, "--mu-unit", "1/cm")


def test_sinogram_of_another_template(copy: Path, out: Path, capsys) -> None:
    run(
        "simulate",
        "cylinder",
        "-o",
        copy / "other",
        "--scanner",
        "tiny",
        "--span",
        1,
        "--counts",
        1e4,
    )
    given = ["--randoms", copy / "other" / "randoms.hs"]
    refused(
        capsys,
        1,
        "randoms (randoms.hs) does not fit the prompts",
        "recon",
        copy,
        *given,
        "-o",
        out,
    )


def test_subsets_that_do_not_divide_the_views(copy: Path, tmp_path: Path, capsys, caplog) -> None:
    kept = tmp_path / "kept.nii"
    assert run("recon", copy, "-o", kept, "--iterations", 1, "--subsets", 7) == 0
    assert "7 subsets do not divide 24 views evenly: 6 subsets are used" in caplog.text
    assert '"subsets": 6' in kept.with_suffix(".json").read_text()


@pytest.mark.parametrize(
    ("tokens", "says"),
    [
        (["--subsets", "0"], "subsets must be 1 or more, not 0"),
        (["--psf-fwhm-mm", "1", "2"], "psf_fwhm_mm takes 1 or 3 numbers, not 2"),
        (["--threads", "9999"], "threads wanted"),
    ],
)
def test_settings(copy: Path, out: Path, capsys, tokens: list[str], says: str) -> None:
    refused(capsys, 2, says, "recon", copy, "-o", out, *tokens)


def test_unwritable_outputs(copy: Path, tmp_path: Path, capsys) -> None:
    refused(capsys, 1, "there is no folder", "recon", copy, "-o", tmp_path / "no" / "a.nii")
    refused(capsys, 1, "it is a folder", "recon", copy, "-o", copy.rename(tmp_path / "scan.nii"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_permission(copy: Path, tmp_path: Path, capsys) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    refused(capsys, 1, "Permission denied", "recon", copy, "-o", locked / "a.nii")


def test_unknown_format(copy: Path, out: Path, capsys) -> None:
    refused(capsys, 2, "known are .nii", "recon", copy, "-o", out.with_name("image.tiff"))


def test_full_disk(copy: Path, out: Path, capsys) -> None:
    """A limit on file sizes stands in for a full disk: no output fits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))
    try:
        refused(capsys, 1, "cannot write", "recon", copy, "-o", out, *QUICK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def test_ctrl_c(copy: Path, out: Path) -> None:
    many = ["--iterations", "100000", "--subsets", "4", "--checkpoint-every", "4"]
    # A job in the background ignores interruptions, and what it starts does too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, "-m", "emrecon", "recon", str(copy), "-o", str(out), *many],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    signal.signal(signal.SIGINT, before)
    begun = time.monotonic()
    while not list(out.parent.glob("*.checkpoint.npz")):  # until it iterates
        assert process.poll() is None
        assert time.monotonic() < begun + 120
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert said.strip().splitlines()[-1] == "emrecon: interrupted"
    assert "Traceback" not in said
    for kept in out.parent.iterdir():  # nothing else
        assert kept.name.endswith(".checkpoint.npz")
        kept.unlink()


def test_what_is_half_made_at_an_interruption_does_not_complain() -> None:
    script = """
import sys
from emrecon import cli
class Half:
    def __del__(self):
        self.never_made
def app(*given, **flags):
    half = Half()
    raise KeyboardInterrupt
cli.app, sys.argv = app, ["emrecon", "info"]
cli._explain = print
cli.main()
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (130, "emrecon: interrupted\n")


def test_disk_that_fills_while_the_image_is_written(copy: Path, out: Path, capsys) -> None:
    """The small files fit, the image does not: none of them may stay."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
    try:
        big = ["--size", "60", "60", "60", "--iterations", 1]
        refused(capsys, 1, "cannot write", "recon", copy, "-o", out.with_name("image.nii"), *big)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def test_output_that_is_an_input(copy: Path, capsys) -> None:
    mu, before = copy / "mu.nii.gz", (copy / "mu.nii.gz").read_bytes()
    given = ["--mu", mu, "--mu-unit", "1/mm", "-o", mu]
    refused(capsys, 1, "one of the inputs", "recon", copy / "prompts.hs", *given)
    refused(capsys, 1, "one of the inputs", "convert", mu, "-o", mu)
    assert mu.read_bytes() == before
    image, about = copy / "truth.nii.gz", copy / "truth.json"
    about.write_text("{}")
    over = ["--overwrite", "-o"]
    like = ["--like", copy / "prompts.hs", "--mu", mu, *over, copy / "truth.hs"]
    filled = ["--bq-per-ml", 1, "--isotope", "F-18", "--duration-s", 1, "--scanner", "tiny"]
    for line in (
        ["scatter", image, *like],
        ["metrics", mu, "--truth", image, *over, about],
        ["calibrate", image, *filled, *over, about],
    ):
        refused(capsys, 1, f"truth.json: that is the sidecar of {image}", *line)
    assert about.read_text() == "{}"


def test_scatter_without_a_map_is_refused_before_the_run(copy: Path, tmp_path, capsys) -> None:
    words = "from an attenuation map: give --mu"
    given = [copy / "prompts.hs", "--scatter", "simulate", "-o", tmp_path / "a.nii.gz"]
    refused(capsys, 2, words, "recon", *given, "--dry-run")
    refused(capsys, 2, "beta says nothing without prior", "recon", copy, "--beta", 1, "--dry-run")
    jobs = tmp_path / "jobs.toml"
    jobs.write_text(f"out = 'done'\n[[scan]]\ninput = '{copy}'\nscatter = 'simulate'\n")
    with pytest.raises(SystemExit) as left:
        main(["batch", str(jobs), "--dry-run"])
    assert left.value.code == 3
    assert "attenuation map" in " ".join(capsys.readouterr().out.split())


def test_additive_without_its_correction(copy: Path, out: Path, capsys) -> None:
    given = ["--additive", copy / "scatter.hs", "--normalisation", copy / "normalisation.hs"]
    refused(capsys, 2, "in STIR's sense", "recon", copy / "prompts.hs", *given, "-o", out)


def test_prompts_that_are_no_counts(copy: Path, out: Path, capsys, caplog) -> None:
    rewritten(copy / "prompts.hs", "PET data type := Emission", "PET data type := Transmission")
    refused(capsys, 1, "'PET data type' is 'transmission'", "recon", copy, "-o", out)


def test_prompts_that_were_corrected(copy: Path, tmp_path: Path, caplog) -> None:
    text = (copy / "prompts.hs").read_text()
    line = next(row for row in text.splitlines() if row.startswith("applied corrections"))
    rewritten(copy / "prompts.hs", line, "applied corrections := {randoms}")
    run("recon", copy, "-o", tmp_path / "a.nii", "--iterations", 1)
    assert "randoms was applied" in caplog.text


def test_a_damaged_cache_is_computed_anew(copy: Path, tmp_path: Path, caplog) -> None:
    tokens = ["recon", copy, *QUICK, "--cache", tmp_path / "cache", "-o"]
    run(*tokens, tmp_path / "a.nii")
    first = min((tmp_path / "cache").iterdir())
    first.write_bytes(first.read_bytes()[:60])
    assert run(*tokens, tmp_path / "b.nii") == 0
    assert "damaged: computed anew" in caplog.text
    assert (tmp_path / "a.nii").read_bytes() == (tmp_path / "b.nii").read_bytes()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("prompts = 'prompts.hs'\nspan = 11.5", "span is a whole number, not 11.5"),
        ("prompts = 3", "prompts is text in quotes, not 3"),
        ("prompts = 3 apples", "not a manifest"),
        ("normalisation = 'a.hs'", "no 'prompts'"),
        ("prompts = 'prompts.hs'\nprose = 'x'", "unknown key 'prose'"),
    ],
)
def test_manifests(copy: Path, out: Path, capsys, content: str, says: str) -> None:
    (copy / "scan.toml").write_text(content)
    refused(capsys, 1, says, "recon", copy, "-o", out)


def test_things_that_are_no_scan(copy: Path, tmp_path: Path, out: Path, capsys) -> None:
    (tmp_path / "words.txt").write_text("hello")
    refused(capsys, 1, "cannot read", "recon", tmp_path / "none.hs", "-o", out)
    refused(capsys, 1, "cannot tell", "recon", tmp_path / "words.txt", "-o", out)
    refused(capsys, 1, "no scan", "recon", copy / "truth.nii.gz", "-o", out)
    refused(capsys, 1, "scan.toml does not exist", "recon", tmp_path, "-o", out)
    refused(capsys, 1, "cannot tell", "info", tmp_path / "words.txt")
    refused(capsys, 2, "there is no phantom 'moon'", "simulate", "moon", "-o", tmp_path / "x")
    refused(
        capsys,
        2,
        "no scanner called",
        "simulate",
        "nema",
        "--scanner",
        "moon",
        "-o",
        tmp_path / "x",
    )
    both = ["--correction", copy / "randoms.hs", "--attenuation", copy / "attenuation.hs"]
    refused(capsys, 2, "not both", "recon", copy / "prompts.hs", *both, "-o", out)


@pytest.mark.parametrize(
    ("twice", "says"),
    [
        (("--randoms", "randoms.hs", "--scatter", "randoms.hs"), "as randoms and as scatter"),
        (("--normalisation", "prompts.hs"), "as prompts and as normalisation"),
        (("--mu", "mu.nii.gz", "./mu.nii.gz", "--mu-unit", "1/mm"), "as mu1 and as mu2"),
    ],
)
def test_a_file_is_one_thing(copy: Path, out: Path, capsys, monkeypatch, twice, says) -> None:
    """Not two corrections, nor a correction of itself, nor matter that is there twice."""
    monkeypatch.chdir(copy)
    shutil.copy("truth.nii.gz", "mu.nii.gz")
    refused(capsys, 2, says, "recon", "prompts.hs", *twice, "-o", out)


def test_what_siddon_cannot_do(copy: Path, out: Path, capsys) -> None:
    refused(capsys, 2, "joseph or siddon", "recon", copy, "--projector", "sidon", "-o", out)
    rays = ["recon", copy, "--projector", "siddon", "-o", out]
    refused(capsys, 1, "a whole number of voxels apart", *rays, "--voxel-mm", 4, 4, 4.9)
    refused(capsys, 1, "centred on the scanner's axis", *rays, "--centre-mm", 40, 0, 0)


def test_usage(capsys) -> None:
    assert run("recon") == 2
    assert run("recon", "a", "--iterations", "many") == 2
    assert run("fly") == 2
    assert run("recon", "a", "--iterations", "1.5") == 2
    assert run("recon", "a", "--size", "3.5", "3", "3") == 2
    assert run("info") == 2
    assert run("phantom", "nema", "--voxel-mm", "4", "4") == 2


@pytest.mark.parametrize("kind", ["loop", "long"])
def test_names_that_the_system_refuses_end_in_a_line(tmp_path: Path, capsys, kind: str) -> None:
    image = tmp_path / "a.nii"
    write_image(Volume(np.ones((3, 4, 5), np.float32), np.eye(4)), image)
    loop, other = tmp_path / "loop.nii", tmp_path / "other.nii"
    loop.symlink_to(other)
    other.symlink_to(loop)
    out = loop if kind == "loop" else tmp_path / f"{'x' * 300}.nii"
    before = sorted(tmp_path.iterdir())
    for words in (["convert", image, "-o", out], ["convert", image, "-o", out / "x.nii"]):
        with pytest.raises(SystemExit) as left:
            main([str(word) for word in words])
        said = capsys.readouterr().err
        assert (left.value.code, said.count("\n")) in {(1, 1), (0, 0)}
        assert not said or said.startswith("emrecon: ")
    assert sorted(tmp_path.iterdir()) == before
