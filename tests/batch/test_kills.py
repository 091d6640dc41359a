"""Nothing is lost when a run is killed with SIGKILL: what is taken up ends in the same bits."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from emrecon import Settings
from emrecon.jobs.recon import reconstruct
from tests.batch import kills
from tests.batch.conftest import copies

pytestmark = pytest.mark.slow

SETTINGS = Settings(iterations=30, subsets=4, checkpoint_every=4)

JOBS = """
out = "out"
[defaults]
iterations = 30
subsets = 4
[[scan]]
input = "p0*"
"""


@pytest.fixture(scope="module")
def whole(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is left of a run that no one disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    for name in ("p000", "p001"):
        reconstruct(made, folder / f"{name}.nii.gz", SETTINGS)
    return folder


def test_a_batch_that_is_killed_goes_on_to_the_same_bits(
    made: Path, whole: Path, tmp_path: Path
) -> None:
    copies(made, tmp_path, 2)
    (tmp_path / "jobs.toml").write_text(JOBS)
    out = tmp_path / "out"
    running = kills.start("batch", tmp_path / "jobs.toml", "-j", 1)
    assert kills.kill_when(running, (out / "p001.checkpoint.npz").exists)
    assert kills.workers_gone(out / "batch")
    assert not kills.differences(out, whole, whole=False)
    assert kills.finish("batch", tmp_path / "jobs.toml", "-j", 1, "--resume") == 0
    assert not kills.differences(out, whole, whole=True)
    assert '"resumed_at":null' not in (out / "batch/records/p001.json").read_text()


def test_a_batch_whose_scheduler_is_killed_goes_on_to_the_same_bits(
    made: Path, whole: Path, tmp_path: Path
) -> None:
    pytest.importorskip("distributed")
    copies(made, tmp_path, 2)
    command, out = ["batch", tmp_path / "jobs.toml"], tmp_path / "out"
    (tmp_path / "jobs.toml").write_text(JOBS)
    with kills.dask(tmp_path, "--resources", "RECON=1") as (address, scheduler):
        flags = ["--engine", "dask", "--scheduler", address, "--memory-mb", 4000]
        running = kills.start(*command, *flags, stderr=subprocess.PIPE)
        kills.wait_for(running, (out / "p001.checkpoint.npz").exists)
        scheduler.kill()
        said = running.communicate()[1].decode()
        assert running.returncode == 1
        assert "Traceback" not in said
        assert said.splitlines()[-1].startswith("emrecon: the Dask scheduler ended")
    assert kills.workers_gone(out / "batch")
    assert '"running"' in (out / "batch/report.jsonl").read_text()
    assert not kills.differences(out, whole, whole=False)
    assert kills.finish(*command, "-j", 1, "--resume") == 0
    assert not kills.differences(out, whole, whole=True)


def test_a_reconstruction_that_is_killed_goes_on_to_the_same_bits(
    made: Path, whole: Path, tmp_path: Path
) -> None:
    flags = ["--iterations", 30, "--subsets", 4, "--checkpoint-every", 4]
    out = tmp_path / "p000.nii.gz"
    running = kills.start("recon", made, "-o", out, *flags)
    assert kills.kill_when(running, (tmp_path / "p000.checkpoint.npz").exists)
    assert not out.exists()
    assert kills.finish("recon", made, "-o", out, *flags, "--resume") == 0
    assert not kills.differences(tmp_path, whole, whole=False)
    assert (tmp_path / "p000.csv").exists()


def test_a_batch_told_to_end_says_what_is_not_finished_and_leaves_no_worker(
    made: Path, tmp_path: Path
) -> None:
    copies(made, tmp_path, 1)
    (tmp_path / "jobs.toml").write_text(JOBS.replace("30", "30000"))
    running = kills.start("batch", tmp_path / "jobs.toml", "-j", 1)
    kills.strike_when(running, (tmp_path / "out/p000.checkpoint.npz").exists, signal.SIGTERM)
    assert running.wait() == 130
    assert kills.workers_gone(tmp_path / "out/batch")
    assert '"running"' in (tmp_path / "out/batch/report.jsonl").read_text()
    assert "Not finished" in (tmp_path / "out/batch/report.html").read_text()
    assert not (tmp_path / "out/p000.nii.gz").exists()
