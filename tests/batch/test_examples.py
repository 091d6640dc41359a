"""The examples run, as far as they can where they are tested."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import emrecon
from tests.batch.conftest import copies

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture
def surroundings(tmp_path: Path) -> dict[str, str]:
    """Environment in which ``emrecon`` is the one that is tested."""
    command = tmp_path / "bin/emrecon"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m emrecon "$@"\n')
    command.chmod(0o755)
    return os.environ | {
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(emrecon.__file__).parents[1]),
    }


def run(command: list[object], folder: Path, surroundings: dict[str, str]) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder, env=surroundings, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_shell_script(tmp_path: Path, surroundings: dict[str, str]) -> None:
    told = run(["bash", EXAMPLES / "batch.sh"], tmp_path, surroundings)
    assert "6 to do" in told
    assert "all done" in told
    assert len(list((tmp_path / "images").glob("*.nii.gz"))) == 6


def test_python_script(tmp_path: Path, surroundings: dict[str, str]) -> None:
    told = run([sys.executable, "-W", "error", EXAMPLES / "batch.py"], tmp_path, surroundings)
    assert re.findall(r"image-\d done", told) == [f"image-{n} done" for n in (1, 2, 3)]


def test_slurm_script(made: Path, tmp_path: Path, surroundings: dict[str, str]) -> None:
    """Run as SLURM would run it, without SLURM: the directives are comments to a shell."""
    copies(made, tmp_path, 1)
    (tmp_path / "jobs.toml").write_text('out = "out"\n[[scan]]\ninput = "p000"\niterations = 1\n')
    run(["bash", EXAMPLES / "slurm.sh"], tmp_path, surroundings)
    assert (tmp_path / "out/p000.nii.gz").exists()
    text = (EXAMPLES / "slurm.sh").read_text()
    assert re.findall(r"^#SBATCH --(\S+?)[=\n]", text, re.MULTILINE) == [
        "job-name", "nodes", "cpus-per-task", "mem", "time", "signal", "requeue", "output",
    ]  # fmt: skip


def test_snakefile(made: Path, tmp_path: Path, surroundings: dict[str, str]) -> None:
    snakemake = shutil.which("snakemake")
    if snakemake is None:
        pytest.skip("needs snakemake")
    copies(made, tmp_path / "scans", 2)
    run([snakemake, "-s", EXAMPLES / "Snakefile", "--cores", 2], tmp_path, surroundings)
    assert {path.name for path in (tmp_path / "images").glob("*.nii.gz")} == {
        "p000.nii.gz", "p001.nii.gz",
    }  # fmt: skip
