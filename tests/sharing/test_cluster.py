"""Real workers: the same bits as a stand-in for them, also when one is killed on the way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

pytest.importorskip("distributed")

from emrecon import Settings
from emrecon.cli import main
from emrecon.errors import EmreconError, SettingsError
from emrecon.io import read_image
from emrecon.workers import Workers, opened
from tests.batch import kills
from tests.sharing.conftest import Here, shared

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Port .* is already in use", "default::ResourceWarning"),
]

QUICK = Settings(iterations=3, subsets=4, psf_fwhm_mm=(5.0,))
FLAGS = ["--iterations", "3", "--subsets", "4", "--psf-fwhm-mm", "5"]


@pytest.fixture(scope="module")
def wanted(scan, tmp_path_factory):
    """The image as one worker makes it."""
    out = tmp_path_factory.mktemp("wanted") / "one.nii.gz"
    return shared(scan, out, QUICK, workers=Here(1), chunks=3).volume.voxels.tobytes()


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_worker_costs_time_and_no_bit(scan, tmp_path, wanted, victim):
    """Its views are read again by another, and lost images made anew."""
    killed = []
    with opened("2", 1) as workers:
        pids = [workers.result(workers.submit(n, os.getpid)) for n in range(2)]
        assert len({*pids, os.getpid()}) == 3

        class Meter:
            def __init__(self, what, total): ...

            def __enter__(self):
                return self

            def __exit__(self, *error): ...

            def update(self, done, total): ...

            def __call__(self, iterate):
                if iterate.number == 5:
                    os.kill(pids[victim], signal.SIGKILL)
                    killed.append(pids[victim])

        made = shared(
            scan, tmp_path / "a.nii.gz", replace(QUICK, checkpoint_every=5), meters=Meter,
            workers=workers, chunks=3,
        )  # fmt: skip
    assert killed
    assert made.history.rows[-1].sub_iteration == 12
    assert made.volume.voxels.tobytes() == wanted


def test_command_line(scan, tmp_path, wanted, capsys):
    out = tmp_path / "two.nii.gz"
    command = ["recon", str(scan), "-o", str(out), *FLAGS, "--workers", "2", "--chunks", "3"]
    with pytest.raises(SystemExit) as left:
        main([*command])
        raise SystemExit(0)
    assert left.value.code == 0
    assert read_image(out).voxels.tobytes() == wanted
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "two.csv", "two.json", "two.nii.gz", "two.png"
    ]  # fmt: skip
    assert f"wrote {out}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--workers", "some"], "a number or the address of a Dask scheduler"),
        (["--workers", "0"], "at least one worker"),
        (["--workers", "2", "--cache", "here"], "--cache or --workers"),
        (["--chunks", "2"], "--chunks are for --workers"),
    ],
)
def test_what_makes_no_sense_is_refused(scan, tmp_path, capsys, flags, words):
    with pytest.raises(SystemExit) as left:
        main(["recon", str(scan), "-o", str(tmp_path / "a.nii.gz"), *flags])
    assert left.value.code == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_a_worker_refuses_is_one_line(scan, tmp_path, capfd):
    """The workers' own words on it, with their tracebacks, are not for the user."""
    bad = shutil.copytree(scan, tmp_path / "bad")
    factors = np.fromfile(bad / "attenuation.s", np.float32)
    factors[-1] = np.nan
    factors.tofile(bad / "attenuation.s")
    out = tmp_path / "out" / "a.nii.gz"
    out.parent.mkdir()
    with pytest.raises(SystemExit) as left:
        main(["recon", str(bad), "-o", str(out), "--workers", "2"])
    assert left.value.code == 1
    said = capfd.readouterr().err
    assert "attenuation" in said
    assert "Traceback" not in said
    assert not list(out.parent.iterdir())


def test_workers_that_die_again_and_again_are_told_of():
    from distributed import KilledWorker

    class Dead:
        def result(self):
            raise KilledWorker("load", SimpleNamespace(address="tcp://there:1"), 3)

    with pytest.raises(EmreconError, match=r"the workers died .*--resume"):
        Workers.result(Dead())


def test_a_worker_that_is_killed_while_it_starts_is_one_line(monkeypatch):
    from distributed import Nanny

    async def struck(nanny):
        raise OSError("its process is gone")

    monkeypatch.setattr(Nanny, "start_unsafe", struck)
    with pytest.raises(EmreconError, match="could not be started"), opened("2", 1):
        pass


def test_no_scheduler_and_no_fitting_worker(monkeypatch):
    from distributed import LocalCluster

    monkeypatch.setattr("emrecon.workers.START_S", 0.5)
    with pytest.raises(EmreconError, match="no Dask scheduler answers"):
        with opened("tcp://127.0.0.1:9"):
            pass
    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, protocol="tcp"
    ) as cluster:
        with pytest.raises(SettingsError, match="--nthreads 1"):
            with opened(cluster.scheduler_address):
                pass


def test_the_end_of_a_scheduler_is_one_line(scan, tmp_path):
    """Dask tells of it in tracebacks; what was saved is whole, and nothing else is there."""
    out = tmp_path / "out"
    out.mkdir()
    flags = ["--iterations", 20000, "--subsets", 4, "--checkpoint-every", 4, "--workers"]
    with kills.dask(tmp_path) as (address, scheduler):
        run = kills.start(
            "recon", scan, "-o", out / "a.nii.gz", *flags, address, stderr=subprocess.PIPE
        )
        kills.wait_for(run, (out / "a.checkpoint.npz").exists)
        scheduler.kill()
        (said,) = run.communicate()[1].decode().splitlines()
    assert run.returncode == 1
    assert said.startswith("emrecon: the workers died")
    assert [path.name for path in out.iterdir()] == ["a.checkpoint.npz"]


@pytest.mark.slow
def test_two_runs_at_once_serve_this_machine_alone() -> None:
    """A port that is taken is no reason to fail: warnings are errors here."""
    from dask import config

    listening = set()
    with opened("1", 1), opened("1", 1):
        assert config.get("scheduler", None) is None  # arrays of the process stay its own
        for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
            found = process.net_connections()
            listening |= {one.laddr.ip for one in found if one.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}
