"""A batch in which much goes wrong: the rest is done, and every failure is told."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from emrecon.batch import Store, plan, read_jobs
from emrecon.cli import main
from tests.batch import faults
from tests.batch.conftest import copies

pytestmark = pytest.mark.slow

JOBS = """
out = "out"

[defaults]
iterations = 3
subsets = 4
mu = "{folder}/mu.nii.gz"
mu_unit = "1/mm"

[[scan]]
input = "scans/p*"

[[scan]]
name = "absurd"
input = "scans/p000"
voxel_mm = [0.01, 0.01, 0.01]

[[scan]]
name = "greedy"
input = "more/greedy"
memory_mb = 480

[[scan]]
name = "killed"
input = "scans/p001"
iterations = 20000
"""

WHY = {
    "p002": "is truncated",
    "p003": "there is no .*mu.nii.gz",
    "p004": "finite|NaN",
    "p005": "prompts.hs",
    "absurd": "would take about .* of memory",
    "greedy": "stopped at .* MB of memory; it may hold 480",
    "killed": "SIGKILL",
}
"""What the report says of each job that fails."""


def run(*tokens: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(token) for token in tokens])
    return int(left.value.code or 0)


@pytest.fixture(scope="module")
def batch(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 12 jobs, 7 of which go wrong; run once."""
    folder = tmp_path_factory.mktemp("faults")
    scans = copies(made, folder / "scans", 8)
    for scan, fault in zip(
        scans[2:], [faults.truncate, faults.lose_mu, faults.poison, faults.garble], strict=False
    ):
        fault(scan)
    (folder / "more").mkdir()
    faults.bloat(copies(made, folder / "more", 1)[0].rename(folder / "more/greedy"))
    (folder / "jobs.toml").write_text(JOBS)
    with faults.Killer(folder / "out/batch/logs/killed.log", 0.5) as killer:
        assert run("batch", folder / "jobs.toml", "-j", 2, "--memory-mb", 4000) == 1
    assert killer.killed
    return folder


def lines(folder: Path) -> dict[str, dict]:
    text = (folder / "out/batch/report.jsonl").read_text()
    return {entry["name"]: entry for entry in map(json.loads, text.splitlines())}


def test_what_is_good_is_done_and_what_fails_says_why(batch: Path) -> None:
    found = lines(batch)
    done = {name for name, entry in found.items() if entry["status"] == "done"}
    assert done == {"p000", "p001", "p006", "p007"}
    assert set(found) == done | set(WHY)
    for name, words in WHY.items():
        assert found[name]["status"] == "failed"
        assert re.search(words, found[name]["error"]), found[name]["error"]
        assert not (batch / "out" / f"{name}.nii.gz").exists()
    images = {path.name for path in (batch / "out").glob("*.nii.gz")}
    assert images == {f"{name}.nii.gz" for name in done}
    assert not list((batch / "out").rglob(".part-*"))


def test_entries_hold_what_was_measured(batch: Path) -> None:
    entry = lines(batch)["p000"]
    assert entry["counts"] == pytest.approx(3e5, rel=0.02)
    assert len(entry["curve"]) == 13
    assert all(b > a for a, b in zip(entry["curve"][::4], entry["curve"][4::4], strict=False))
    assert 100 < entry["peak_mb"] < 1000
    assert entry["seconds"] > 0
    assert entry["settings"]["subsets"] == 4
    assert {Path(path).suffix for path in entry["outputs"]} == {".gz", ".json", ".csv", ".png"}
    assert len(entry["inputs"]["prompts data"][3]) == 64


class Page(HTMLParser):
    """Counts what the report shows."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures: list[str] = []
        self.curves = 0
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.curves += tag == "polyline"
        if tag == "img":
            self.pictures.append(dict(attrs)["src"] or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_report_shows_images_curves_and_failures_in_one_file(batch: Path) -> None:
    page = Page()
    page.feed((batch / "out/batch/report.html").read_text())
    assert len(page.pictures) == page.curves == 4
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.pictures)
    for name, words in WHY.items():
        assert name in page.text
        assert re.search(words, page.text)


def test_resume_does_only_what_failed(batch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in (batch / "out").glob("p*.nii.gz")}
    (batch / "jobs.toml").write_text(JOBS.replace("iterations = 20000", "iterations = 4"))
    faults.lose_mu(batch / "more/greedy")
    assert run("batch", batch / "jobs.toml", "--resume", "--json", "--memory-mb", 4000) == 1
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {entry["name"] for entry in told} == set(WHY)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (batch / "out/killed.nii.gz").exists()
    assert lines(batch)["killed"]["status"] == "done"


def test_a_changed_setting_or_input_is_done_again(made: Path, tmp_path: Path) -> None:
    copies(made, tmp_path, 1)
    jobs = tmp_path / "jobs.toml"
    jobs.write_text('out = "one"\n[[scan]]\ninput = "p000"\niterations = 1\nsubsets = 4\n')
    assert run("batch", jobs) == 0

    def todo() -> str:
        (job,), out = read_jobs(jobs)
        (planned,) = plan([job], Store(out / "batch"), resume=True)
        return planned.todo

    assert todo() == "skip"
    text = jobs.read_text()
    jobs.write_text(text + "psf_fwhm_mm = 4.5\n")
    assert todo() == "run"
    jobs.write_text(text + "checkpoint_every = 3\n")  # does not change the image
    assert todo() == "skip"
    file = tmp_path / "p000/prompts.s"
    counts = file.read_bytes()
    file.write_bytes(counts)  # touched, but the same
    assert todo() == "skip"
    file.write_bytes(counts[:-4] + np.float32(7).tobytes())
    assert todo() == "run"
    file.write_bytes(counts)
    (tmp_path / "one/p000.csv").unlink()
    assert todo() == "run"
