"""How a batch is run: what begins when, and who is kept out."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from emrecon.batch import Planned, Record, Store, plan, run
from emrecon.batch.job import batch_job
from emrecon.batch.run import exit_code
from emrecon.batch.store import locked
from emrecon.batch.worker import obey
from emrecon.cli import main
from emrecon.jobs.base import Estimate
from emrecon.jobs.bundle import remove_parts
from tests.batch.conftest import copies


class Scripted:
    """An engine that ends jobs in the order in which they began, when nothing else can begin."""

    def __init__(self, slots: int, ahead: int = 0) -> None:
        self._slots, self.ahead = slots, ahead
        self.running: list[str] = []
        self.most: list[set[str]] = []
        self._timer: threading.Timer | None = None

    def about(self) -> str:
        return "scripted"

    def slots(self) -> int:
        return self._slots

    def submit(self, order: dict[str, Any], told, done) -> None:
        name = order["job"]["name"]
        self.running.append(name)
        self.most.append(set(self.running))

        def end() -> None:
            self.running.remove(name)
            done(Record(name, "recon", "done"))

        threading.Timer(0.2, end).start()

    def close(self) -> None: ...


def planned(name: str, memory_mb: float) -> Planned:
    return Planned(
        batch_job(name, "simulate", ("brain",), Path(name), {}), "run", Estimate(memory_mb, 1.0)
    )


def test_jobs_are_held_back_until_they_fit(tmp_path: Path) -> None:
    engine = Scripted(slots=3)
    todo = [planned("big", 700), planned("large", 600), planned("small", 250), planned("own", 990)]
    records = run(todo, engine, Store(tmp_path), budget_mb=1000)
    assert [record.status for record in records] == ["done"] * 4
    assert engine.most[:2] == [{"big"}, {"big", "small"}]
    assert {"big", "large"} not in engine.most
    assert {"own"} in engine.most
    assert not any({"own"} < together for together in engine.most)


@pytest.mark.parametrize("ahead", [0, 1])
def test_no_more_jobs_than_slots_and_those_ahead(tmp_path: Path, ahead: int) -> None:
    engine = Scripted(2, ahead)
    run([planned(f"j{n}", 1) for n in range(6)], engine, Store(tmp_path), budget_mb=1000)
    assert max(map(len, engine.most)) == 2 + ahead


@pytest.mark.parametrize(
    ("records", "code"),
    [
        ([Record("a", "recon", "done")], 0),
        ([Record("a", "recon", "done"), Record("b", "recon", "failed")], 1),
        ([Record("a", "recon", "failed", started="2026")], 1),
        ([Record("a", "recon", "failed"), Record("b", "recon", "failed")], 3),
    ],
)
def test_exit_codes(records: list[Record], code: int) -> None:
    assert exit_code(records) == code


@pytest.mark.slow
def test_a_second_batch_is_kept_out(made: Path, tmp_path: Path, capsys) -> None:
    (scan,) = copies(made, tmp_path, 1)
    (tmp_path / "jobs.toml").write_text(f"out = 'out'\n[[scan]]\ninput = '{scan.name}'\n")
    store = Store(tmp_path / "out/batch")
    store.make()
    with store.alone(), pytest.raises(SystemExit) as left:
        main(["batch", str(tmp_path / "jobs.toml")])
    assert left.value.code == 1
    assert "another batch is at work" in capsys.readouterr().err


def test_locks_end_with_their_holder(tmp_path: Path) -> None:
    with locked(tmp_path / "lock", 0) as first, locked(tmp_path / "lock", 0) as second:
        assert first
        assert second is None
    with locked(tmp_path / "lock", 0) as third:
        assert third


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    mine = [".part-abcd_123-p1.nii.gz", ".part-zz99zz99-p1.nii.gz"]
    others = [".part-abcd_123-p10.nii.gz", "p1.nii.gz", ".part-own"]
    for name in (*mine, *others):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half.json").touch()
    (tmp_path / ".part-abcd_123-p1.checkpoint.npz").touch()
    remove_parts(tmp_path / "p1.nii.gz")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)


@pytest.mark.parametrize(
    ("shape", "mm", "channels", "found_mb", "found_s"),
    [
        ((188, 256, 190), 0.88, 1, 739, 7.1),
        ((188, 256, 190), 0.88, 3, 805, 13.9),
        ((263, 358, 266), 0.629, 1, 1411, 14.5),
        ((94, 128, 95), 1.76, 1, 338, 4.4),
    ],
)
def test_estimates_of_segmentations(
    tmp_path: Path, shape: tuple[int, ...], mm: float, channels: int, found_mb: float,
    found_s: float,
) -> None:  # fmt: skip
    """Against heads whose segmentation was measured."""
    head = nibabel.Nifti1Image(np.zeros(shape, np.int8), np.diag([mm, mm, mm, 1]))
    nibabel.save(head, tmp_path / "t1.nii.gz")
    source = (str(tmp_path / "t1.nii.gz"),) * channels
    needs = batch_job("j", "segment", source, tmp_path / "out", {}).work.estimate()
    assert found_mb < needs.memory_mb < 1.3 * found_mb
    assert 0.7 * found_s < needs.cpu_s < 1.5 * found_s


def test_an_estimate_goes_by_the_voxels_of_an_interfile_image(shared_data: Path) -> None:
    t1 = shared_data / "t1_brain_3mm/t1_icbm_normal_3mm_pn3_rf20.hv"  # they are of 1 x 1 x 3 mm
    needs = batch_job("j", "segment", (str(t1),), Path("out"), {}).work.estimate()
    assert 346 < needs.memory_mb < 1.35 * 346


def test_estimates_cover_what_is_used(made: Path, tmp_path: Path) -> None:
    """Of a tiny scan, where all is base: `docs/batch.md` tells of large ones."""
    job = batch_job("j", "recon", (str(made),), tmp_path / "i.nii", {"subsets": 4})
    (one,) = plan([job], Store(tmp_path / "batch"))
    assert one.todo == "run"
    assert 200 < one.needs.memory_mb < 400
    options = {"size": [800, 800, 400]}
    huge = batch_job("j", "recon", (str(made),), tmp_path / "i.nii", options)
    (one,) = plan([huge], Store(tmp_path / "batch"), most_mb=6000)
    assert one.todo == "refuse"
    assert one.needs.memory_mb > 8 * 800 * 800 * 400 * 4 / 2**20


def test_a_worker_reads_no_input_again_that_the_plan_read(made: Path, tmp_path: Path) -> None:
    """Touched, but the same: the plan finds that out, and its digest (here a wrong one) holds."""
    image = tmp_path / "mu.nii.gz"
    image.write_bytes((made / "mu.nii.gz").read_bytes())
    job = batch_job("j", "convert", (str(image),), tmp_path / "out.nii", {})
    order = {"job": job.plain(), "store": str(tmp_path / "batch")}
    first = obey(order, lambda message: None)
    assert first.status == "done"
    Path(first.outputs[0]).unlink()
    about = image.stat()
    seen = {"source": [str(image), about.st_size, about.st_mtime_ns, "digest"]}
    again = obey(json.loads(json.dumps(order | {"seen": seen})), lambda message: None)
    assert again.status == "done"
    assert again.inputs["source"][3] == "digest"


def test_planning_needs_no_compiler() -> None:
    """So that it is quick, and the processor is left to the workers, which start meanwhile."""
    code = "import sys, emrecon.batch; print('numba' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"
