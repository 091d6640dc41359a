"""List-mode in job files: frames and gates as the command makes them, done once, and reported."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from emrecon.batch import Store, plan
from emrecon.batch.job import batch_job
from emrecon.batch.jobfile import read_jobs
from emrecon.batch.record import Record
from emrecon.batch.report import page
from emrecon.batch.worker import obey
from emrecon.errors import SettingsError
from tests.cli.test_commands import run
from tests.io.test_gates import RESPIRATORY_ON, with_tags
from tests.io.test_petlink import random_words, written

JOBS = """
out = "out"
[defaults]
iterations = 2
voxel_mm = [8, 8, 8]
[[scan]]
name = "frames"
input = "scan"
frames = "tables/frames.tsv"
subsets = 5
[[scan]]
name = "gates"
input = "scan"
subsets = 2
list_mode = true
gates = "2"
gate_by = "respiratory"
"""
FRAMES = "FrameTimesStart\tFrameDuration\n0\t0.02\n0.02\t0.025\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A job file beside a scan with triggers, which a manifest names, and a table of frames."""
    (tmp_path / "scan").mkdir()
    (tmp_path / "tables").mkdir()
    written(tmp_path / "scan", with_tags(random_words(1, 9000), {RESPIRATORY_ON: [2, 20, 44]}))
    (header,) = (tmp_path / "scan").glob("*.hdr")
    (tmp_path / "scan" / "scan.toml").write_text(f'prompts = "{header.name}"\nspan = 1\n')
    (tmp_path / "tables" / "frames.tsv").write_text(FRAMES)
    (tmp_path / "jobs.toml").write_text(JOBS)
    return tmp_path


def ran(folder: Path) -> tuple[dict[str, str], list[Record]]:
    """Plan the job file, and do in this process what is to be done."""
    jobs, out = read_jobs(folder / "jobs.toml")
    store = Store(out / "batch")
    planned = plan(jobs, store, resume=True)
    made = []
    for one in planned:
        assert one.todo != "refuse", one.why
        if one.todo == "run":
            order = {"job": one.job.plain(), "store": str(store.folder)}
            made.append(obey(order, lambda message: None))
            assert made[-1].status == "done", made[-1].error
            assert one.needs.memory_mb > 200
    return {one.job.name: one.todo for one in planned}, made


HOW = ("--iterations", 2, "--voxel-mm", 8, 8, 8)
COMMANDS = {
    "frames": ("--frames", "tables/frames.tsv", "--subsets", 5),
    "gates": ("--list-mode", "--gates", 2, "--gate-by", "respiratory", "--subsets", 2),
}


@pytest.mark.slow
def test_jobs_make_what_the_command_makes(folder: Path, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    _, records = ran(folder)
    for record in records:
        assert run("recon", "scan", "-o", "own.nii.gz", *HOW, *COMMANDS[record.name]) == 0
        image = nib.load(f"out/{record.name}.nii.gz")
        assert image.shape[3] == 2
        own = nib.load("own.nii.gz")
        np.testing.assert_array_equal(np.asarray(image.dataobj), np.asarray(own.dataobj))
        told, mine = (
            json.loads(Path(name).read_text()) for name in (f"out/{record.name}.json", "own.json")
        )
        for key in set(mine) - {"Created", "Convergence"}:
            assert told[key] == mine[key], key
        rows = told["Convergence"]
        assert (
            record.subsets == told["Settings"]["subsets"] == {"frames": 4, "gates": 2}[record.name]
        )
        each = 2 * record.subsets + 1
        part = record.name.removesuffix("s")
        assert [row[part] for row in rows] == [1] * each + [2] * each
        for n, summed in enumerate(record.curve):
            assert summed == rows[n]["log_likelihood"] + rows[n + each]["log_likelihood"]
        assert record.counts == sum(facts["prompts"] for facts in told["Facts"][record.name])
        log = Path(f"out/{record.name}.csv").read_text().splitlines()
        assert log[0].startswith(f"{part},iteration,sub_iteration")
        assert len(log) == 1 + 2 * each
    shown = page(Store(folder / "out" / "batch"), records)
    assert shown.count("<polyline") == shown.count("data:image/jpeg") == 2


def test_only_what_changed_is_done_again(folder: Path) -> None:
    assert ran(folder)[0] == {"frames": "run", "gates": "run"}
    assert ran(folder)[0] == {"frames": "skip", "gates": "skip"}
    table = folder / "tables" / "frames.tsv"
    table.write_text(table.read_text().replace("0.025", "0.02"))
    assert ran(folder)[0] == {"frames": "run", "gates": "skip"}
    (folder / "jobs.toml").write_text(JOBS.replace('gates = "2"', 'gates = "3"'))
    assert ran(folder)[0] == {"frames": "skip", "gates": "run"}


def test_a_matrix_of_frames_names_files_that_every_system_takes(folder: Path) -> None:
    (folder / "jobs.toml").write_text(
        '[matrix]\nframes = ["", "0:1,1:2", "tables/frames.tsv"]\n[[scan]]\ninput = "scan"\n'
    )
    names = [Path(job.out).name for job in read_jobs(folder / "jobs.toml")[0]]
    assert names == [f"scan_frames-{mark}.nii.gz" for mark in ("none", "0-1-1-2", "frames.tsv")]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('gates = "2"', "gates = 2", "gates is text in quotes, not 2"),
        ('gates = "2"', 'frames = "0:1"', "how many phases"),
        ("list_mode = true", 'frames = "0:1"', "not both"),
        ("list_mode = true", "decay_corrected = 1", "true or false"),
    ],
)
def test_mistakes_are_refused_before_anything_runs(folder: Path, old, new, reason) -> None:
    (folder / "jobs.toml").write_text(JOBS.replace(old, new))
    with pytest.raises(SettingsError, match=reason):
        read_jobs(folder / "jobs.toml")


def test_frames_that_make_no_sense_are_refused_by_the_plan(folder: Path) -> None:
    (folder / "jobs.toml").write_text(JOBS.replace('"tables/frames.tsv"', '"0:5,2:3"'))
    jobs, out = read_jobs(folder / "jobs.toml")
    first, second = plan(jobs, Store(out / "batch"))
    assert (first.todo, second.todo) == ("refuse", "run")
    assert "before 5 s" in first.why


def test_the_memory_of_petsird_grows_with_events_and_voxels(tmp_path: Path) -> None:
    """`docs/batch.md` tells what was estimated and found of large ones."""
    from tests.io.test_petsird import NEWEST

    large = tmp_path / "large.petsird"
    large.write_bytes(NEWEST.read_bytes() + bytes(10**8))
    needs = []
    for path, options in (
        (NEWEST, {}),
        (large, {}),
        (NEWEST, {"size": [400, 400, 200]}),
        (NEWEST, {"size": [400, 400, 200], "frames": "0:1,1:1"}),
    ):
        job = batch_job("j", "recon", (str(path),), tmp_path / "x.nii", options)
        needs.append(job.work.estimate().memory_mb)
    assert 230 < needs[0] < 300
    assert 400 < needs[1] - needs[0] < 700  # 20 million events: 33 bytes each were found
    image_mb = 400 * 400 * 200 * 4 / 2**20
    assert needs[2] - needs[0] == pytest.approx(8 * image_mb, rel=0.1)
    assert needs[3] - needs[2] == pytest.approx(2 * image_mb, rel=0.1)
