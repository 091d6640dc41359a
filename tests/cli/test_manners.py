"""How commands speak: help, errors, JSON, dry runs, files of settings."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from emrecon import forms
from emrecon.cli import COMMANDS, FAILED, UNREAD, USAGE, app, main
from emrecon.cli.config_file import OWN, filled
from emrecon.io import read_image, write_image
from emrecon.io.manifest import resolved
from emrecon.jobs import from_options
from emrecon.tomo.inputs import Corrections
from emrecon.tomo.settings import Settings
from emrecon.volume import Volume


def said(*tokens: str) -> int:
    """Run the command line here; return its exit code."""
    try:
        main(tokens)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def examples(command: str) -> list[str]:
    text = import_module(f"emrecon.cli.{command}").__doc__ or ""
    return [line.strip() for line in text.partition("For example::\n")[2].splitlines() if line]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    voxels = np.random.default_rng(0).normal(100, 20, (8, 8, 8)).astype(np.float32)
    write_image(Volume(voxels, np.eye(4)), tmp_path / "image.nii")
    return tmp_path / "image.nii"


REFUSED = {
    "scatter": ("--suv",),
    "normalise": ("--norm ", "--suv"),
    "transmission": ("--algorithm",),
}
"""Flags of shared forms that a command does not take."""


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_the_whole_docstring_with_examples_that_are_understood(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(command, "--help") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert not re.search(r"\[default: (-1|0|0\.0|\(.*)\]|--empty", shown)  # stand-ins for "unsaid"
    flags = app[command].assemble_argument_collection(parse_docstring=True)
    assert [flag.name for flag in flags if flag.show and not flag.parameter.help] == []
    assert not [flag for flag in REFUSED.get(command, ()) if flag in shown]
    function = getattr(import_module(f"emrecon.cli.{command}"), command)
    for paragraph in function.__doc__.partition("Parameters\n")[0].split("\n\n"):
        assert " ".join(paragraph.replace("`", "").split()) in shown
    assert "Exit codes: 0 done, 1 failed, 2 usage" in shown
    assert ("--quiet" in shown) == (command != "completion")
    assert examples(command)
    for example in examples(command):
        assert example in shown
        if "emrecon" in example and "<(" not in example and "how.toml" not in example:
            words = shlex.split(example.partition(">")[0])[1:]
            app.parse_args(words, exit_on_error=False, print_error=False)


def test_a_warning_is_said_once(
    image: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def warn(*_: object) -> dict[str, str]:
        for _ in range(2):
            logging.getLogger("emrecon.io").warning("odd views")
        return {}

    handler = logging.StreamHandler(sys.stderr)  # as the command line has, where tests do not run
    logging.getLogger().addHandler(handler)
    monkeypatch.setattr("emrecon.io.describe", warn)
    try:
        for _ in range(2):  # once for each call
            assert said("info", str(image)) == 0
    finally:
        logging.getLogger().removeHandler(handler)
    assert capsys.readouterr().err.count("odd views") == 2


@pytest.mark.parametrize(
    "typed", ["recon --nope", "recon", "nonsense", "recon a.hs --iterations x", "info -q --json a"]
)
def test_a_mistake_of_usage_is_one_line(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(*typed.split()) == USAGE
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("emrecon: ")
    assert len(err.splitlines()) == 1


NAMES = {
    "recon": "{}",
    "segment": "{}",
    "transmission": "{}",
    "batch": "{}",
    "info": "{}",
    "convert": "{} -o out",
    "metrics": "{} --truth scan",
    "normalise": "{} --radius-mm 40",
    "calibrate": "{} --activity-mbq 60 --volume-ml 6000",
    "scatter": "{} --mu mu.nii --like scan",
}
"""How each command that reads a file is told of it."""


@pytest.mark.parametrize("command", NAMES)
def test_a_file_that_is_not_there_failed(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "missing.nii"
    assert said(command, *NAMES[command].format(missing).split()) == FAILED
    err = capsys.readouterr().err
    assert "missing.nii" in err
    assert len(err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "typed",
    [
        "recon {} -o a.png",
        "convert {} -o a.xyz",
        "transmission {} -o a.hv",
        "normalise {} --radius-mm 40 -o a.nii",
        "scatter {} --mu {} --like {} -o a.nii",
    ],
)
def test_a_name_that_no_format_has_is_usage(
    typed: str, image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(*typed.replace("{}", str(image)).split()) == USAGE
    assert re.search(r"emrecon: .*\ba\.(png|xyz|hv|nii)\b", capsys.readouterr().err)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
@pytest.mark.parametrize("typed", ["--version", "recon --help", "doctor", "completion bash"])
def test_whoever_reads_may_leave(typed: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    code = "import sys; from emrecon.cli import main; main(sys.argv[1:])"
    ended = subprocess.run(
        [sys.executable, "-c", code, *typed.split()],
        stdout=writing, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (UNREAD, "")


def test_json_and_quiet(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said("info", str(image), "--json") == 0
    about = json.loads(capsys.readouterr().out)
    assert about["file"] == str(image)
    truth = ("metrics", str(image), "--truth", str(image))
    assert said(*truth, "--json", "-o", str(image.with_name("f.json"))) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["files"] == [str(image.with_name("f.json"))]
    whole, *_ = next(iter(figures["tables"].values()))
    assert 0.0 in whole.values()  # the error of an image against itself
    for quiet in (("info", str(image), "-q"), (*truth, "--quiet")):
        assert said(*quiet) == 0
        assert capsys.readouterr().out == ""


def test_a_dry_run_says_what_is_needed_and_writes_nothing(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(image.parent.iterdir())
    words = ("segment", str(image), "-o", str(image.parent / "out"), "--dry-run")
    assert said(*words) == 0
    shown = capsys.readouterr().out
    assert str(image) in shown
    assert "needs about" in shown
    assert said(*words, "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["memory_mb"] > 0
    assert plan["inputs"]["channel1"] == str(image)  # and the maps of a brain that are installed
    assert sorted(image.parent.iterdir()) == before
    assert said("segment", str(image) + "x", "--dry-run") == 1  # it is not there


def test_a_dry_run_refuses_what_is_no_scan(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torn = image.with_name("prompts.hs")
    torn.write_text("#!INTERFILE  :=\n")
    for path, words in ((torn, "cannot tell what"), (image, "is no scan (image of NIfTI)")):
        assert said("recon", str(path), "--dry-run") == 1
        assert words in capsys.readouterr().err


def settings_of(*tokens: str) -> Settings:
    """Return the settings that ``recon`` is called with."""
    _, bound, _ = app.parse_args(["recon", "scan", *tokens], exit_on_error=False)
    return bound.arguments.get("settings") or Settings()


def test_a_file_fills_in_what_was_not_typed(tmp_path: Path) -> None:
    how = tmp_path / "how.toml"
    text = "iterations = 7\nvoxel_mm = [2, 3.5, 4]\nring_wide = true\npsf_fwhm_mm = 4\n"
    how.write_text(text, encoding="utf-8-sig")  # as editors on Windows do
    config = ("--config", str(how))
    assert settings_of(*config) == Settings(7, 12, (2, 3.5, 4), psf_fwhm_mm=(4,), ring_wide=True)
    typed = settings_of(*config, "--iterations", "4", "--voxel-mm", "5")
    assert typed == Settings(4, 12, (5,), psf_fwhm_mm=(4,), ring_wide=True)
    tables = tmp_path / "tables.toml"
    tables.write_text("[recon]\nsubsets = 3\n[segment]\nclasses = 2\n")
    assert settings_of("--config", str(tables)) == Settings(subsets=3)


STATED = {
    "span": 3, "sum_tof": True, "mu_centred": True, "suv": True, "ct_kvp": 80.0,
    "tof_fwhm_ps": 300.0, "dead_time_us": 5.0, "dead_time_model": "paralysable",
    "singles_cps": 2e4,
}  # fmt: skip
"""What a manifest states that has other defaults."""

SAID = {
    "span": 11, "sum_tof": False, "mu_centred": False, "suv": False, "ct_kvp": 0.0,
    "tof_fwhm_ps": 0.0, "dead_time_us": 0.0, "dead_time_model": "nonparalysable",
    "singles_cps": 0.0,
}  # fmt: skip
"""What goes without saying, said."""


def test_what_is_said_goes_before_a_manifest_where_it_is_the_default(tmp_path: Path) -> None:
    (tmp_path / "scan.toml").write_text(
        'prompts = "p.hs"\n' + forms.as_toml(Corrections(**STATED))
    )
    how = tmp_path / "how.toml"
    how.write_text(forms.as_toml(Corrections(**SAID)))

    def heard(*flags: str) -> Corrections:
        _, bound, _ = app.parse_args(["recon", str(tmp_path), *flags], exit_on_error=False)
        return resolved(tmp_path, bound.arguments.get("corrections") or Corrections())[1]

    assert heard() == Corrections(**STATED)
    assert heard("--span", "11", "--no-sum-tof") == Corrections(
        **STATED | {"span": 11, "sum_tof": False}
    )
    assert heard(*forms.as_flags(Corrections(**SAID))) == Corrections(**SAID)
    assert heard("--config", str(how)) == Corrections(**SAID)
    assert heard("--config", str(how), "--span", "3", "--suv") == Corrections(
        **SAID | {"span": 3, "suv": True}
    )
    job = from_options("recon", [str(tmp_path)], tmp_path / "out.nii", SAID)
    assert resolved(tmp_path, job.corrections)[1] == Corrections(**SAID)


def test_dead_time_of_a_manifest_can_be_left_out(tmp_path: Path) -> None:
    """No flag that is off is refused for saying nothing, nor what a manifest says beside it."""
    scan = tmp_path / "scan"
    assert (
        said("simulate", "cylinder", "--scanner", "tiny", "--counts", "1e4", "-o", str(scan)) == 0
    )
    plain, made_up, off = (tmp_path / f"{name}.nii" for name in ("plain", "made_up", "off"))
    once = ("recon", str(scan), "--iterations", "1", "-o")
    assert said(*once, str(plain)) == 0
    facts = json.dumps({"FrameTimesStart": [0], "FrameDuration": [60]})
    (scan / "facts.json").write_text(facts)
    with (scan / "scan.toml").open("a") as manifest:
        manifest.write("facts = 'facts.json'\n")
        manifest.write("dead_time_us = 500.0\ndead_time_model = 'paralysable'\n")
    assert said(*once, str(made_up)) == 0
    assert said(*once, str(off), "--dead-time-us", "0", "--no-suv") == 0
    images = [read_image(path).voxels for path in (plain, made_up, off)]
    np.testing.assert_array_equal(images[2], images[0])
    assert images[1].sum() > 1.001 * images[0].sum()


def test_paths_of_a_file_are_beside_it(tmp_path: Path) -> None:
    how = tmp_path / "how.toml"
    lines = [
        'mu = "mu.nii"', 'mu_unit = "1/cm"', 'frames = "frames.tsv"', 'cache = "kept"',
        'out = "a.nii"', 'scatter = "simulate"', 'prior = "rdp"', 'kappa = "auto"',
    ]  # fmt: skip
    how.write_text("\n".join(lines))
    _, bound, _ = app.parse_args(["recon", "scan", "--config", str(how)], exit_on_error=False)
    given = bound.arguments
    assert given["corrections"].mu == (tmp_path / "mu.nii",)
    assert given["listmode"].frames == str(tmp_path / "frames.tsv")
    assert given["out"] == tmp_path / "a.nii"
    assert given["execution"].cache == tmp_path / "kept"
    assert given["corrections"].simulate_scatter  # words that stand for no file
    assert given["penalty"].kappa is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("iteration = 3", "recon has no setting 'iteration'"),
        ("dry_run = true", "recon has no setting 'dry_run'"),
        ("iterations = 'x'", "iterations is a whole number"),
        ("iterations = 3.5", "iterations is a whole number"),
        ("iterations = ", "not TOML"),
        ("[recon]\n[other]\n", "'other' is in no table"),
        ("recon = 3", "recon is a table"),
    ],
)
def test_what_a_file_says_wrongly_is_refused(
    text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    how = tmp_path / "how.toml"
    how.write_text(text)
    assert said("recon", "scan", "--config", str(how)) == USAGE
    err = capsys.readouterr().err
    assert words in err
    assert "how.toml" in err


def test_a_file_of_settings_that_is_not_there_failed(capsys: pytest.CaptureFixture[str]) -> None:
    assert said("segment", "t1.nii", "--config", "nowhere.toml") == 1
    assert "cannot read nowhere.toml" in capsys.readouterr().err


def test_flags_of_the_command_line_alone_are_real() -> None:
    """Those that a file cannot hold are flags of both commands."""
    assert filled in app.config
    for command in ("recon", "segment"):
        words = app[command].assemble_argument_collection()
        names = {name.removeprefix("--") for one in words for name in one.names}
        assert names >= OWN


def test_one_length_stands_for_three() -> None:
    assert settings_of("--voxel-mm", "3") == Settings(voxel_mm=(3.0,))
    from emrecon.tomo.geometry.image_grid import grid_of
    from emrecon.tomo.geometry.presets import TINY

    one, three = (grid_of(TINY.bins(), Settings(voxel_mm=v)) for v in ((3.0,), (3.0, 3.0, 3.0)))
    assert [getattr(one, f.name) for f in fields(one)] == [
        getattr(three, f.name) for f in fields(three)
    ]


def test_doctor_tells_versions_and_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert said("doctor", "--json") == 0
    tables = json.loads(capsys.readouterr().out)
    assert tables["packages"]["emrecon"] == app.version()  # type: ignore[operator, misc]
    assert "MISSING" not in tables["packages"].values()
    assert "NIfTI" in tables["formats and phantoms"]["formats"]
    assert " of " in tables["machine"]["threads"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_that_the_shell_reads(
    shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said("completion", shell) == 0
    script = capsys.readouterr().out
    assert all(command in script for command in COMMANDS)
    assert "psf-fwhm-mm" in script
    defined, _, after = script.partition("\n}\n")
    name = defined.partition("() {")[0].split()[-1]
    if shell == "zsh":  # sourced or as a file of any name, it completes
        assert script.startswith("#compdef emrecon\n")
        assert f"\ncompdef {name} emrecon\n" in after
        assert f'&& {name} "$@"' in after
    if found := shutil.which(shell):
        subprocess.run([found, "-n", "/dev/stdin"], input=script, text=True, check=True)
    if shell == "zsh" and found:
        shown = subprocess.check_output(
            [found, "-f", "-c", f"{script}\nprint $_comps[emrecon]"],
            env={**os.environ, "ZDOTDIR": str(tmp_path)}, text=True,
        )  # fmt: skip
        assert shown.split() == [name]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437"])
@pytest.mark.parametrize("command", ["info", "segment --dry-run"])
def test_a_console_that_lacks_letters_prints_them_by_number(
    image: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, command: str
) -> None:
    named = image.rename(image.with_name("Sch\u00e4del \u982d.nii"))
    monkeypatch.chdir(named.parent)
    console = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr("sys.stdout", console)
    name, *flags = command.split()
    assert said(name, named.name, *flags) == 0
    console.flush()
    assert "\\u982d.nii" in console.buffer.getvalue().decode(encoding)
